"""The style term: the distance of the statistics of a picture's features from the paintings'."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from impasto.objective.terms import FeatureTerm
from impasto.objective.tiles import Tile
from impasto.optimize.loop import LossName
from impasto.settings.layers import minimum_side
from impasto.style import Statistic, Summed, Sums

__all__ = ["StyleSums", "StyleTerm", "WholeStyleTerm", "style_factor"]


def style_factor(form: str, maps: Sequence[Tensor]) -> float:
    """Return the factor that turns `gram_distance`, Σ(G − A)² / (C·C′)², into the form of a recipe.

    G and A are means over positions, and the picture has M positions. gatys: Σ(G − A)² / (4 C C′);
    notebook: mean((M·G − M·A)²) / (C·M) for C = C′; vgg16: ½ Σ((G − A) / (C · C²))². For other
    forms it is 1. The factors are the same for other statistics.

    Args: maps: the layer's features and, for a statistic of two layers, those of the layer before.
    """
    pairs = maps[0].shape[1] * maps[-1].shape[1]
    if form == "gatys":
        return pairs / 4
    if form == "notebook":
        positions = max(features.shape[2] * features.shape[3] for features in maps)
        return math.sqrt(pairs) * positions
    return 1 / (2 * pairs) if form == "vgg16" else 1.0


class StyleSums:
    """The sums of one layer's statistic over a picture, added up tile by tile.

    Args:
        layers: the layers that the statistic measures, deepest first.
        guide: the guide of the whole picture, on the grid of the deepest layer; None: all positions
            have the same weight.
    """

    def __init__(self, statistic: Summed, layers: tuple[str, ...], guide: Tensor | None) -> None:
        self.statistic = statistic
        self.layers = layers
        self.guide = guide
        self.begin()

    def begin(self) -> None:
        """Forget the tiles that were added."""
        self.sums: Sums | None = None
        self._channels: dict[str, int] = {}

    def add(self, tile: Tile, features: Mapping[str, Tensor]) -> None:
        """Add the inner positions of a tile."""
        maps, guide = self._inputs(tile, features)
        self._channels = {name: features[name].shape[1] for name in self.layers}
        if guide is not None and not bool(guide.any()):
            return
        if self.statistic.reach:
            # The statistic needs features around the inner box, but sums only over the inner box.
            counts = maps[0].new_zeros((1, 1, *maps[0].shape[-2:]))
            tile.own(counts, minimum_side(self.layers[0])).fill_(1)
            guide = counts if guide is None else guide * counts
        sums = self.statistic.accumulate(*maps, guide=guide)
        self.sums = sums if self.sums is None else self.sums + sums

    def gradients(
        self, sums_gradient: Sums, tile: Tile, features: Mapping[str, Tensor]
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the gradient at the tile's inner positions of each layer; see `Summed.gradient`."""
        maps, guide = self._inputs(tile, features)
        if guide is not None and not bool(guide.any()):
            return
        gradients = self.statistic.gradient(sums_gradient, *maps, guide=guide)
        for name, gradient in zip(self.layers, gradients, strict=True):
            inner = tile.own(gradient, minimum_side(name)) if self.statistic.reach else gradient
            yield name, inner

    def shapes(self, size: tuple[int, int]) -> list[Tensor]:
        """Return tensors without values, in the shapes of the maps of the whole picture (H, W)."""
        return [
            torch.empty(1, channels, *(side // minimum_side(name) for side in size), device="meta")
            for name, channels in self._channels.items()
        ]

    def _inputs(
        self, tile: Tile, features: Mapping[str, Tensor]
    ) -> tuple[list[Tensor], Tensor | None]:
        """Return the maps and the guide from which a tile's sums are computed."""
        if self.statistic.reach:
            maps, box = [features[name] for name in self.layers], tile.outer
        else:
            maps = [tile.own(features[name], minimum_side(name)) for name in self.layers]
            box = tile.inner
        guide = self.guide
        return maps, None if guide is None else box.of(guide, minimum_side(self.layers[0]))


class StyleTerm(FeatureTerm):
    """The style loss of one layer, for a `Summed` statistic.

    Args:
        name: the name of the loss.
        layers: the layers that the statistic measures, deepest first.
        weight: the factor of the loss.
        form: see `style_factor`; "relative" divides the loss by the loss of a picture whose
            statistic is all 0.
        statistic: how style is measured and compared.
        target: the painting's statistic.
        guide: see `StyleSums`.
    """

    def __init__(
        self, name: LossName, layers: tuple[str, ...], weight: float, form: str,
        statistic: Summed, target: Tensor, guide: Tensor | None,
    ) -> None:  # fmt: skip
        self.name, self.layers, self.weight, self.form = name, layers, weight, form
        self.statistic, self.target = statistic, target
        self.scale = _style_scale(form, statistic, target)
        self.factor = 0.0
        self._sums = StyleSums(statistic, layers, guide)
        self._sums_gradient: Sums | None = None

    def begin(self) -> None:
        """See `FeatureTerm`."""
        self._sums.begin()
        self._sums_gradient = None

    def add(self, tile: Tile, features: Mapping[str, Tensor]) -> None:
        """See `FeatureTerm`."""
        self._sums.add(tile, features)

    def finish(self, size: tuple[int, int], *, differentiate: bool) -> float:
        """See `FeatureTerm`."""
        statistic, sums = self.statistic, self._sums.sums
        if sums is None:  # the guide is 0 everywhere
            return 0.0
        self.factor = self.weight * style_factor(self.form, self._sums.shapes(size)) / self.scale
        self._sums_gradient = statistic.sums_gradient(sums, self.target) if differentiate else None
        return self.factor * float(statistic.distance(statistic.finish(sums), self.target))

    def gradients(self, tile: Tile, features: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """See `FeatureTerm`."""
        if self._sums_gradient is not None:
            yield from self._sums.gradients(self._sums_gradient, tile, features)


class WholeStyleTerm(FeatureTerm):
    """The style loss of one layer, for a statistic that needs the whole picture at once.

    The picture must be a single tile. Args: as for `StyleTerm`.
    """

    def __init__(
        self, name: LossName, layers: tuple[str, ...], weight: float, form: str,
        statistic: Statistic, target: Tensor, guide: Tensor | None,
    ) -> None:  # fmt: skip
        self.name, self.layers, self.weight, self.form = name, layers, weight, form
        self.statistic, self.target, self.guide = statistic, target, guide
        self.scale = _style_scale(form, statistic, target)
        self.factor = 0.0
        self._maps: list[Tensor] = []
        self._gradients: Sequence[Tensor] = ()

    def begin(self) -> None:
        """See `FeatureTerm`."""
        self._maps, self._gradients = [], ()

    def add(self, tile: Tile, features: Mapping[str, Tensor]) -> None:
        """See `FeatureTerm`."""
        self._maps = [features[name].detach() for name in self.layers]

    def finish(self, size: tuple[int, int], *, differentiate: bool) -> float:
        """See `FeatureTerm`."""
        self.factor = self.weight * style_factor(self.form, self._maps) / self.scale
        maps = [features.requires_grad_(differentiate) for features in self._maps]
        with torch.set_grad_enabled(differentiate):
            measured = self.statistic.measure(*maps, guide=self.guide)
            loss = self.statistic.distance(measured, self.target)
        if differentiate:
            self._gradients = torch.autograd.grad(loss, maps)
        self._maps = []  # they are as large as the picture, and are no longer needed
        return self.factor * float(loss.detach())

    def gradients(self, tile: Tile, features: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """See `FeatureTerm`."""
        for layer, gradient in zip(self.layers, self._gradients, strict=True):
            yield layer, gradient.clone()


def _style_scale(form: str, statistic: Statistic, target: Tensor) -> float:
    """Return the divisor of a style loss: for the form "relative", the loss of an empty picture.

    For other forms it is 1. The raw losses of VGG's layers differ by four orders of magnitude, so
    one or two layers would dominate. The quotients have the same influence for every layer,
    network and painting.
    """
    return (statistic.empty_distance(target) or 1.0) if form == "relative" else 1.0
