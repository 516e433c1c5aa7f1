"""The temporal term: a painted frame stays close to the prediction from the frames before it."""

from __future__ import annotations

from torch import Tensor

from impasto.objective.terms import PictureTerm
from impasto.optimize.loop import LossName
from impasto.pictures.picture import Image

__all__ = ["TemporalTerm", "temporal_loss"]


def temporal_loss(image: Image, target: Image, trust: Tensor) -> Tensor:
    """Compare a frame with its prediction: mean over pixels and colors of c · (x − ω)².

    Args:
        image, target: x and ω, (1, 3, H, W).
        trust: c, the weight of each pixel, (1, 1, H, W) in [0, 1].

    Paper: Ruder et al. 1604.08610, equation 7.
    """
    return (trust * (image - target).square()).mean()


class TemporalTerm(PictureTerm):
    """The weighted `temporal_loss` of a frame; arguments as there."""

    def __init__(self, target: Image, trust: Tensor, weight: float) -> None:
        self.name = LossName("temporal")
        self.weight = weight
        self.target = target
        self.trust = trust

    def loss(self, image: Image) -> Tensor:
        """See `PictureTerm`."""
        return self.weight * temporal_loss(image, self.target.to(image), self.trust.to(image))
