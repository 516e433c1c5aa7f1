"""The content term: the distance of a picture's features from the photo's, at each position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from impasto.kernels.products import total
from impasto.objective.terms import FeatureTerm
from impasto.objective.tiles import Tile
from impasto.optimize.loop import LossName
from impasto.settings.layers import minimum_side

__all__ = ["ContentTerm", "content_factor"]


def content_factor(form: str, features: Tensor) -> float:
    """Return the factor that turns the mean square Σ (F − P)² / n into the form of a recipe.

    gatys: ½ Σ (F − P)²; vgg16: ½ Σ ((F − P) / n)², with n = B·C·h·w. For other forms it is 1.
    """
    if form == "gatys":
        return features.numel() / 2
    return 1 / (2 * features.numel()) if form == "vgg16" else 1.0


class ContentTerm(FeatureTerm):
    """The content loss of one layer: the mean squared difference of the features, mean((F − P)²).

    Args:
        layer: the layer that is compared.
        weight: the factor of the loss.
        form: see `content_factor`; "relative" divides the loss by the target's mean square.
        target: the photo's features, (1, C, h, w).
        counts: the weight of each position, (1, 1, h, w); None: 1 everywhere.

    Paper: Gatys, Ecker & Bethge, CVPR 2016, equation 1. Differs: a mean, not half the sum, so that
        the balance of content and style is the same at every size.
    """

    def __init__(
        self, layer: str, weight: float, form: str, target: Tensor, counts: Tensor | None
    ) -> None:
        self.name = LossName("content", layer)
        self.weight = weight
        self.layer = layer
        self.layers = (layer,)
        self.target = target
        self.counts = counts
        scale = (_mean_square(target) or 1.0) if form == "relative" else 1.0
        # The loss is factor · Σ (F − P)² / 2, whose gradient is factor · (F − P).
        self.factor = 2 * weight * content_factor(form, target) / scale / target.numel()
        self._squares = 0.0

    def begin(self) -> None:
        """See `FeatureTerm`."""
        self._squares = 0.0

    def add(self, tile: Tile, features: Mapping[str, Tensor]) -> None:
        """See `FeatureTerm`."""
        difference, counts = self._difference(tile, features).square_(), self._counts(tile)
        counted = difference if counts is None else difference.mul_(counts)
        self._squares += total(counted) / 2

    def finish(self, size: tuple[int, int], *, differentiate: bool) -> float:
        """See `FeatureTerm`."""
        return self.factor * self._squares

    def gradients(self, tile: Tile, features: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """See `FeatureTerm`."""
        difference, counts = self._difference(tile, features), self._counts(tile)
        yield self.layer, difference if counts is None else difference.mul_(counts)

    def _difference(self, tile: Tile, features: Mapping[str, Tensor]) -> Tensor:
        stride = minimum_side(self.layer)
        return tile.own(features[self.layer], stride) - tile.inner.of(self.target, stride)

    def _counts(self, tile: Tile) -> Tensor | None:
        counts = self.counts
        return None if counts is None else tile.inner.of(counts, minimum_side(self.layer))


def _mean_square(features: Tensor) -> float:
    """Return the mean square of features, which may be in bfloat16."""
    wide = features.to(torch.promote_types(features.dtype, torch.float32))
    return total(wide.square()) / wide.numel()
