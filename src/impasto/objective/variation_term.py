"""The smoothness terms: the total variation of a picture, and of its color differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from impasto.objective.terms import PictureTerm
from impasto.optimize.loop import LossName
from impasto.settings.pictures import Settings

__all__ = [
    "VariationTerm",
    "chroma_planes",
    "total_variation",
    "variation_terms",
]

# Rows per band in which a picture's total variation is computed.
_BAND = 256


def total_variation(
    image: Tensor,
    *,
    reduction: str = "mean",
    isotropic: bool = False,
    power: float = 1.0,
    wrapped: bool = False,
) -> Tensor:
    """Return the total variation of an image, from the differences ∂x and ∂y of neighboring pixels.

    Args:
        image: (B, C, H, W).
        reduction: "sum", or "mean": the sum divided by the number of values, B·C·H·W.
        isotropic: sum (∂x² + ∂y²)^power over the pixels with both neighbors, instead of
            |∂x|^power + |∂y|^power.
        power: ≥ 1.
        wrapped: pixels at opposite borders are neighbors too, as in a seamless texture.

    Returns: a scalar; 0 for a constant picture.
    Paper:   Mahendran & Vedaldi 2015 use the isotropic form, to invert features. neural-style uses
             the other form, with power 1.
    """
    if wrapped:
        across, down = image - image.roll(1, 3), image - image.roll(1, 2)
        pairs = across, down
    else:
        across = image[..., :, 1:] - image[..., :, :-1]
        down = image[..., 1:, :] - image[..., :-1, :]
        pairs = across[..., :-1, :], down[..., :-1]
    if isotropic:
        total = (pairs[0].square() + pairs[1].square()).pow(power).sum()
    else:
        total = across.abs().pow(power).sum() + down.abs().pow(power).sum()
    return total if reduction == "sum" else total / image.numel()


def chroma_planes(image: Tensor) -> Tensor:
    """Return the color differences (R − G) / √2 and (R + G − 2B) / √6 of an image, (B, 2, H, W).

    They form an orthonormal basis with (R + G + B) / √3, so gray grain has no color differences.
    VGG's statistics hardly depend on color at the scale of single pixels, so nothing but the total
    variation of these planes prevents colored speckles. In a painting, or in its JPEG file, color
    is smooth.
    """
    red, green, blue = image.unbind(dim=1)
    planes = [(red - green) / math.sqrt(2), (red + green - 2 * blue) / math.sqrt(6)]
    return torch.stack(planes, dim=1)


class VariationTerm(PictureTerm):
    """The weighted total variation of a picture, or of planes made from it.

    Args:
        name: the name of the loss.
        weight: the factor of the loss.
        measure: image → a sum over pixels, in which each pixel is compared only with its neighbors.
        planes: the number of values per pixel; the sum is divided by the number of all values. 0:
            it is not divided.
        wrapped: whether pixels at opposite borders are neighbors.
    """

    def __init__(
        self, name: LossName, weight: float, measure: Callable[[Tensor], Tensor], planes: int,
        *, wrapped: bool = False,
    ) -> None:  # fmt: skip
        self.name = name
        self.weight = weight
        self.measure = measure
        self.planes = planes
        self.wrapped = wrapped

    def loss(self, image: Tensor) -> Tensor:
        """See `PictureTerm`."""
        return self._factor(image) * self.measure(image)

    def evaluate(self, image: Tensor, gradient: Tensor | None) -> float:
        """Evaluate in bands of rows, to save memory; see `PictureTerm`."""
        if self.wrapped:  # the first row is a neighbor of the last
            return super().evaluate(image, gradient)
        height, total = image.shape[-2], 0.0
        for top in range(0, max(height - 1, 1), _BAND):
            # The band has one more row, to compare its last row with. The differences within this
            # additional row belong to the next band.
            bottom = min(top + _BAND, height - 1)
            band = image[..., top : bottom + 1, :].detach()
            band.requires_grad_(gradient is not None)
            with torch.set_grad_enabled(gradient is not None):
                loss = self.measure(band)
                if bottom < height - 1:
                    loss = loss - self.measure(band[..., -1:, :])
                loss = loss * self._factor(image)
            total += float(loss.detach())
            if gradient is not None:
                (own,) = torch.autograd.grad(loss, band)
                gradient[..., top : bottom + 1, :].add_(own)
        return total

    def _factor(self, image: Tensor) -> float:
        count = self.planes * image.shape[-2] * image.shape[-1]
        return self.weight / (count or 1)


def variation_terms(settings: Settings, *, wrapped: bool = False) -> list[VariationTerm]:
    """Return the smoothness terms whose weight is above 0.

    Args: wrapped: whether pixels at opposite borders are neighbors, as in a seamless texture.
    """

    def chroma(image: Tensor) -> Tensor:
        return total_variation(chroma_planes(image), reduction="sum", wrapped=wrapped)

    plain = partial(
        total_variation, reduction="sum", isotropic=settings.tv_isotropic,
        power=settings.tv_power, wrapped=wrapped,
    )  # fmt: skip
    planes = 3 if settings.tv_reduction == "mean" else 0
    terms = [
        VariationTerm(LossName("tv"), settings.tv_weight, plain, planes, wrapped=wrapped),
        VariationTerm(LossName("tv", "chroma"), settings.chroma_weight, chroma, 2, wrapped=wrapped),
    ]
    return [term for term in terms if term.weight > 0]
