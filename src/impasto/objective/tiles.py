"""Where to cut a picture that is too large to look at at once, so that nothing changes by it.

A tile's outer box, which the network sees, exceeds its inner box, which counts, by as much as a
feature of the deepest layer sees. It begins on the grid of that layer, so that poolings pool what
they pool in the whole picture, and ends at the picture's border where that is near, so that the
border is padded, and odd rows are dropped, as in the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from impasto.machine import give_freed_memory_back, out_of_memory
from impasto.network.encoder import Encoder
from impasto.settings.layers import deepest, minimum_side, reach
from impasto.style import Statistic, Summed

__all__ = [
    "Box", "Tile", "alignment", "cut", "cut_for", "look_around", "shrinking", "tile_margin"
]  # fmt: skip

# Where memory does not suffice, tiles are halved down to this side, in px: with the margin around
# it, a smaller one would need hardly less.
_LEAST_SIDE = 128

Result = TypeVar("Result")


@dataclass(frozen=True)
class Box:
    """Rows from top to below bottom, columns from left to before right, in px."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """How many rows are in the box."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """How many columns are in the box."""
        return self.right - self.left

    @property
    def area(self) -> int:
        """How many pixels are in the box."""
        return self.height * self.width

    def of(self, picture: Tensor, stride: int = 1) -> Tensor:
        """Return what is in the box, as a view, of a picture or of a layer's map of it.

        Args: stride: how many px in each direction were pooled into a position of the map.
        """
        rows = slice(self.top // stride, self.bottom // stride)
        return picture[..., rows, self.left // stride : self.right // stride]


@dataclass(frozen=True)
class Tile:
    """A part of a picture.

    Attributes:
        outer: what the network sees.
        inner: what counts; the inner boxes of a picture's tiles have each pixel once.
    """

    outer: Box
    inner: Box

    def own(self, features: Tensor, stride: int) -> Tensor:
        """Return what counts of a map of the outer box, as a view."""
        return self.within(self.outer).of(features, stride)

    def within(self, box: Box) -> Box:
        """Return the inner box, counted from a corner of another."""
        inner = self.inner
        return Box(
            inner.top - box.top, inner.bottom - box.top,
            inner.left - box.left, inner.right - box.left,
        )  # fmt: skip


def tile_margin(layers: Sequence[str], network: str, *, beyond: int = 0) -> int:
    """Return how much an outer box exceeds an inner one for features to be the whole picture's.

    Args:
        layers: that are looked at.
        beyond: up to how many px around the inner box they must be.

    Returns: px, whole units of `alignment`.
    """
    last, unit = deepest(tuple(layers), network), alignment(layers, network)
    return _rounded_up(reach(last, network), unit) + _rounded_up(beyond, unit)


def alignment(layers: Sequence[str], network: str) -> int:
    """Return the px that tiles begin at multiples of: those pooled into the deepest feature."""
    return minimum_side(deepest(tuple(layers), network))


def _rounded_up(length: int, unit: int) -> int:
    return -(-length // unit) * unit


def cut(size: tuple[int, int], inner: int, margin: int, alignment: int) -> tuple[Tile, ...]:
    """Cut a picture into tiles as even as possible, row by row.

    Args:
        size: (H, W) of the picture.
        inner: the longest side of an inner box, px. Boxes that do not reach the far border have
            sides of whole units, one at least.
            With a side of one unit, the last box has what is left over too.
        margin: by how much the outer box exceeds it, px, whole units.
        alignment: the unit, px.
    """
    height, width = size
    return tuple(
        Tile(
            Box(
                max(top - margin, 0), min(bottom + margin, height),
                max(left - margin, 0), min(right + margin, width),
            ),
            Box(top, bottom, left, right),
        )
        for top, bottom in _intervals(height, inner, alignment)
        for left, right in _intervals(width, inner, alignment)
    )  # fmt: skip


def cut_for(
    encoder: Encoder, size: tuple[int, int], side: int, beyond: int = 0
) -> tuple[Tile, ...]:
    """Cut a picture (H, W) for all layers that an encoder returns; see `cut`."""
    margin = tile_margin(encoder.layers, encoder.network, beyond=beyond)
    return cut(size, side, margin, alignment(encoder.layers, encoder.network))


def look_around(statistic: Statistic, inputs: Mapping[str, Sequence[str]]) -> int:
    """Return how far around a tile a statistic looks, in px.

    Args: inputs: layer with a term → the layers that it looks at.
    """
    positions = statistic.reach if isinstance(statistic, Summed) else 0
    finest = [min(minimum_side(name) for name in layers) for layers in inputs.values()]
    return positions * max(finest, default=0)


def _intervals(length: int, inner: int, unit: int) -> list[tuple[int, int]]:
    """Cut a side. Each part has a whole unit, so that it has features in every layer."""
    if length <= inner:
        return [(0, length)]
    units = max(length // unit, 1)
    count = min(-(-length // max(inner // unit * unit, unit)), units)
    edges = [-(-index * units // count) * unit for index in range(count)]
    return list(zip(edges, [*edges[1:], length], strict=True))


def shrinking(
    attempt: Callable[[int], Result], side: int, *, least: int | None = None
) -> tuple[Result, int]:
    """Try with tiles of a side, and with tiles half as long where memory did not suffice.

    Args:
        attempt: side → result.
        least: the smallest side that is tried; None: 128 px.

    Returns: the result, and the side of its tiles.
    Raises:  the error of the attempt, if the side is `least` already or memory was not the cause.
    """
    least = _LEAST_SIDE if least is None else least
    while True:
        try:
            return attempt(side), side
        except (MemoryError, RuntimeError) as error:
            if side <= least or not out_of_memory(error):
                raise
        # Not in the handler, where the error would keep alive what the failed attempt held.
        give_freed_memory_back()
        side = max(side // 2, least)
