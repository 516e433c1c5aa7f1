"""Total variation: how much neighboring pixels differ, in brightness and in color."""

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
    """Measure how much neighboring pixels differ, from their differences ∂x and ∂y.

    Args:
        image: (B, C, H, W).
        reduction: "sum", or "mean": the sum divided by the number of values, C·H·W.
        isotropic: add up (∂x² + ∂y²)^power, where a pixel has both neighbors, instead of
            |∂x|^power + |∂y|^power.
        power: ≥ 1.
        wrapped: opposite borders are neighbors too, as in a seamless texture.

    Returns: a scalar; 0 for a constant picture.
    Paper:   Mahendran & Vedaldi 2015 brought it to inverted features, isotropic; anisotropic and
             of power 1 as in neural-style.
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

    With (R + G + B) / √3 they make an orthonormal basis: gray grain has none of them. VGG's
    statistics hardly see color at the scale of single pixels, so nothing but the total variation
    of these planes prevents colored speckles. In a painting, or in its JPEG, color is smooth.
    """
    red, green, blue = image.unbind(dim=1)
    planes = [(red - green) / math.sqrt(2), (red + green - 2 * blue) / math.sqrt(6)]
    return torch.stack(planes, dim=1)


class VariationTerm(PictureTerm):
    """The weighted total variation of a picture, or of planes made from it.

    Args:
        name: of the term.
        weight: of the loss.
        measure: adds up over pixels, and compares each pixel with its neighbors only.
        planes: the sum is divided by so many values per pixel; 0: it is not divided.
        wrapped: whether opposite borders are neighbors.
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
        """Evaluate in bands of rows, which bounds the memory it takes; see `PictureTerm`."""
        if self.wrapped:  # where the first row's neighbor is the last
            return super().evaluate(image, gradient)
        height, total = image.shape[-2], 0.0
        for top in range(0, max(height - 1, 1), _BAND):
            # With one more row, which the band's last row is compared with. The differences
            # within that row belong to the next band.
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
    """Return the terms of total variation, of the picture and of its colors, of weight above 0.

    Args: wrapped: whether opposite borders are neighbors, as in a seamless texture.
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
