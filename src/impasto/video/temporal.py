"""The temporal term: how far a frame is from the pastiches before it, warped along the motion."""

from __future__ import annotations

from torch import Tensor

from impasto.optimize.loop import Terms
from impasto.pictures.picture import Image

__all__ = ["temporal_loss", "with_temporal"]


def temporal_loss(image: Image, target: Image, trust: Tensor) -> Tensor:
    """Compare a frame with what was carried to it: mean over pixels and colors of c · (x − ω)².

    Paper: Ruder et al. 1604.08610, equation 7.
    """
    return (trust * (image - target).square()).mean()


def with_temporal(objective: Terms, target: Image, trust: Tensor, weight: float) -> Terms:
    """Return an objective with one more term, "temporal"."""
    if weight == 0:
        return objective

    def terms(image: Tensor) -> dict[str, Tensor]:
        return {
            **objective(image),
            "temporal": weight * temporal_loss(image, target.to(image), trust.to(image)),
        }

    return terms
