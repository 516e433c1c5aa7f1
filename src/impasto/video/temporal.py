"""The temporal loss: a frame's difference from its prediction."""

from __future__ import annotations

from torch import Tensor

from impasto.optimize.loop import Terms
from impasto.pictures.picture import Image

__all__ = ["temporal_loss", "with_temporal"]


def temporal_loss(image: Image, target: Image, trust: Tensor) -> Tensor:
    """Compare a frame with its prediction: mean over pixels and channels of c · (x − ω)².

    Args:
        image: x, the frame that is painted, (1, 3, H, W).
        target: ω, its prediction from earlier pastiches, (1, 3, H, W).
        trust: c, the weight of each pixel, (1, 1, H, W) in [0, 1].

    Paper: Ruder et al. 1604.08610, equation 7.
    """
    return (trust * (image - target).square()).mean()


def with_temporal(objective: Terms, target: Image, trust: Tensor, weight: float) -> Terms:
    """Return an objective with one more term, "temporal": weight × temporal loss."""
    if weight == 0:
        return objective

    def terms(image: Tensor) -> dict[str, Tensor]:
        return {
            **objective(image),
            "temporal": weight * temporal_loss(image, target.to(image), trust.to(image)),
        }

    return terms
