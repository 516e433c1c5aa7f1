"""What to aim at, measured tile by tile: photos and paintings larger than memory, exactly.

Beside `impasto.objective.targets`, which measures at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from impasto.network.encoder import Encoder
from impasto.objective.targets import describe as describe_whole, described_layers, measure_content
from impasto.objective.tiles import Tile, alignment, cut, shrinking, tile_margin
from impasto.settings.layers import minimum_side
from impasto.style import Statistic, Summed, Sums

__all__ = ["StyleSums", "cut_for", "describe", "look_around", "measure_content_in_tiles"]

Result = TypeVar("Result")


class StyleSums:
    """The sums of one layer's statistic over a picture, tile by tile.

    Args:
        layers: that the statistic looks at, deepest first.
        guide: of the whole picture, on the grid of the deepest.
    """

    def __init__(self, statistic: Summed, layers: Sequence[str], guide: Tensor | None) -> None:
        self.statistic = statistic
        self.layers = layers
        self.guide = guide
        self.sums: Sums | None = None
        self.channels: dict[str, int] = {}

    def add(self, tile: Tile, features: Mapping[str, Tensor]) -> None:
        """Add what counts of a tile."""
        maps, guide = self._seen(tile, features)
        self.channels = {name: features[name].shape[1] for name in self.layers}
        if guide is not None and not bool(guide.any()):
            return
        if self.statistic.reach:
            # What is around the inner box is looked at, but does not count.
            counts = maps[0].new_zeros((1, 1, *maps[0].shape[-2:]))
            tile.own(counts, minimum_side(self.layers[0])).fill_(1)
            guide = counts if guide is None else guide * counts
        sums = self.statistic.accumulate(*maps, guide=guide)
        self.sums = sums if self.sums is None else self.sums + sums

    def slopes(
        self, pull: Sums, tile: Tile, features: Mapping[str, Tensor]
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the gradient at the tile's own positions of each layer."""
        maps, guide = self._seen(tile, features)
        if guide is not None and not bool(guide.any()):
            return
        slopes = self.statistic.gradient(pull, *maps, guide=guide)
        for name, slope in zip(self.layers, slopes, strict=True):
            yield name, tile.own(slope, minimum_side(name)) if self.statistic.reach else slope

    def shapes(self, size: tuple[int, int]) -> list[Tensor]:
        """Return the maps of the whole picture, (H, W), as far as known: without their values."""
        return [
            torch.empty(1, channels, *(side // minimum_side(name) for side in size), device="meta")
            for name, channels in self.channels.items()
        ]

    def _seen(
        self, tile: Tile, features: Mapping[str, Tensor]
    ) -> tuple[list[Tensor], Tensor | None]:
        if self.statistic.reach:
            maps, box = [features[name] for name in self.layers], tile.outer
        else:
            maps = [tile.own(features[name], minimum_side(name)) for name in self.layers]
            box = tile.inner
        guide = self.guide
        return maps, None if guide is None else box.of(guide, minimum_side(self.layers[0]))


@torch.no_grad()
def measure_content_in_tiles(
    encoder: Encoder,
    image: Tensor,
    layers: Sequence[str],
    *,
    tile: int | None = None,
    half: bool = False,
) -> dict[str, Tensor]:
    """Return the features of a photo, (1, 3, H, W), as `measure_content` does.

    Args:
        tile: the longest side, in px, of what counts of a tile; None: the whole at once, if memory
            suffices.
        half: keep them as bfloat16, in half the memory and to two or three digits.
    """
    if not layers:
        return {}
    size = (image.shape[-2], image.shape[-1])

    def attempt(side: int) -> dict[str, Tensor]:
        tiles = cut_for(encoder, size, side)
        if len(tiles) == 1:
            whole = measure_content(encoder, image, layers)
            return {name: each.bfloat16() if half else each for name, each in whole.items()}
        maps: dict[str, Tensor] = {}
        for tile in tiles:
            features = encoder(tile.outer.of(image))
            for name in layers:
                stride = minimum_side(name)
                own = tile.own(features[name], stride)
                own = own.bfloat16() if half else own
                if name not in maps:
                    grid = (size[0] // stride, size[1] // stride)
                    maps[name] = own.new_empty((*own.shape[:2], *grid))
                tile.inner.of(maps[name], stride).copy_(own)
            del features, own
        return maps

    return _with(attempt, encoder, size, tile)


@torch.no_grad()
def describe(
    encoder: Encoder,
    image: Tensor,
    layers: Sequence[str],
    statistic: Statistic,
    guides: Mapping[str, Tensor] | None = None,
    *,
    tile: int | None = None,
) -> dict[str, Tensor]:
    """Return the statistic of one painting, (1, 3, H, W), as `targets.describe` does.

    One that is no sum over positions is measured at once.

    Args: tile: as for `measure_content_in_tiles`.
    """
    if not isinstance(statistic, Summed) or encoder.padding == "circular":
        return describe_whole(encoder, image, layers, statistic, guides)
    inputs = described_layers(layers, statistic, guides)
    size = (image.shape[-2], image.shape[-1])

    def attempt(side: int) -> dict[str, Tensor]:
        tiles = cut_for(encoder, size, side, look_around(statistic, inputs))
        if len(tiles) == 1:
            return describe_whole(encoder, image, layers, statistic, guides)
        parts = {
            name: StyleSums(statistic, seen, None if guides is None else guides[name])
            for name, seen in inputs.items()
        }
        for tile in tiles:
            features = encoder(tile.outer.of(image))
            for each in parts.values():
                each.add(tile, features)
            del features
        return {
            name: statistic.finish(each.sums)
            for name, each in parts.items()
            if each.sums is not None
        }

    return _with(attempt, encoder, size, tile)


def _with(
    attempt: Callable[[int], Result], encoder: Encoder, size: tuple[int, int], tile: int | None
) -> Result:
    longest = max(size)
    if encoder.padding == "circular":
        return attempt(longest)
    side = longest if tile is None else min(tile, longest)
    return shrinking(attempt, side)[0]


def cut_for(
    encoder: Encoder, size: tuple[int, int], side: int, beyond: int = 0
) -> tuple[Tile, ...]:
    """Cut a picture (H, W) for all layers that an encoder returns; see `cut`."""
    margin = tile_margin(encoder.layers, encoder.network, beyond=beyond)
    return cut(size, side, margin, alignment(encoder.layers, encoder.network))


def look_around(statistic: Statistic, inputs: Mapping[str, Sequence[str]]) -> int:
    """Return how far around a tile a statistic looks, in px."""
    positions = statistic.reach if isinstance(statistic, Summed) else 0
    finest = [min(minimum_side(each) for each in layers) for layers in inputs.values()]
    return positions * max(finest, default=0)
