"""Tiles: how a large picture is cut so that its features do not change.

A tile has two boxes. The network sees the outer box, and the losses use the features of the inner
box. The margin between them is so wide that the receptive fields of these features lie in the outer
box. The outer box begins on the grid of the deepest layer, so poolings combine the same pixels as
in the whole picture. Near the picture's border it ends at the border, so padding and the dropping
of odd rows are the same as in the whole picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from impasto.machine import give_freed_memory_back, out_of_memory
from impasto.network.encoder import Encoder
from impasto.settings.layers import deepest, minimum_side, reach
from impasto.style import Statistic, Summed

__all__ = [
    "Box", "Tile", "alignment", "cut", "cut_for", "largest_tile", "look_around", "shrinking",
    "tile_margin",
]  # fmt: skip

# If memory does not suffice, tiles are halved down to this side, in px. A smaller tile would need
# hardly less memory, because of its margin.
_LEAST_SIDE = 128

Result = TypeVar("Result")


@dataclass(frozen=True)
class Box:
    """The pixels in the rows top ≤ row < bottom and the columns left ≤ column < right."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """The number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.right - self.left

    @property
    def area(self) -> int:
        """The number of pixels."""
        return self.height * self.width

    def of(self, picture: Tensor, stride: int = 1) -> Tensor:
        """Return the part of a picture, or of a layer's map of it, that is in the box, as a view.

        Args: stride: the px per position of the map, in each direction; 1 for a picture.
        """
        rows = slice(self.top // stride, self.bottom // stride)
        return picture[..., rows, self.left // stride : self.right // stride]


@dataclass(frozen=True)
class Tile:
    """A part of a picture.

    Attributes:
        outer: the box that the network sees.
        inner: the box whose features are used. Every pixel of the picture is in exactly one inner
            box.
    """

    outer: Box
    inner: Box

    def own(self, features: Tensor, stride: int) -> Tensor:
        """Return the part of a map of the outer box that is in the inner box, as a view."""
        return self.within(self.outer).of(features, stride)

    def within(self, box: Box) -> Box:
        """Return the inner box with coordinates relative to another box."""
        inner = self.inner
        return Box(
            inner.top - box.top, inner.bottom - box.top,
            inner.left - box.left, inner.right - box.left,
        )  # fmt: skip


def tile_margin(layers: Sequence[str], network: str, *, beyond: int = 0) -> int:
    """Return the margin that gives the inner box the same features as in the whole picture.

    Args:
        layers: the layers whose features are used.
        beyond: the distance around the inner box, in px, up to which features are used as well.

    Returns: px, a multiple of `alignment`.
    """
    last, unit = deepest(tuple(layers), network), alignment(layers, network)
    return _rounded_up(reach(last, network), unit) + _rounded_up(beyond, unit)


def alignment(layers: Sequence[str], network: str) -> int:
    """Return the grid spacing of the deepest layer, in px; boxes begin at its multiples."""
    return minimum_side(deepest(tuple(layers), network))


def _rounded_up(length: int, unit: int) -> int:
    return -(-length // unit) * unit


def cut(size: tuple[int, int], inner: int, margin: int, alignment: int) -> tuple[Tile, ...]:
    """Cut a picture into tiles of about equal size, row by row.

    Args:
        size: (H, W) of the picture.
        inner: the longest side of an inner box, in px. Sides are multiples of `alignment`, except
            that the last box in each direction ends at the border. If `inner` is only one unit of
            `alignment`, this last box may be longer than `inner`.
        margin: the margin of the outer box, in px, a multiple of `alignment`.
        alignment: the unit of positions, in px; see the function `alignment`.
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
    """Cut a picture (H, W) for all layers that an encoder returns.

    Args:
        side: the longest side of an inner box, in px.
        beyond: see `tile_margin`.
    """
    margin = tile_margin(encoder.layers, encoder.network, beyond=beyond)
    return cut(size, side, margin, alignment(encoder.layers, encoder.network))


def largest_tile(encoder: Encoder, size: tuple[int, int], side: int, beyond: int = 0) -> int:
    """Return the number of pixels that the network sees of the largest tile of `cut_for`.

    This needs no tiles, of which a huge picture has millions.
    """
    margin = tile_margin(encoder.layers, encoder.network, beyond=beyond)
    unit = alignment(encoder.layers, encoder.network)
    return math.prod(
        max(
            min(end + margin, length) - max(start - margin, 0)
            for start, end in _intervals(length, side, unit)
        )
        for length in size
    )


def look_around(statistic: Statistic, inputs: Mapping[str, Sequence[str]]) -> int:
    """Return the distance around an inner box, in px, up to which a statistic uses features.

    Args: inputs: layer with a term → the layers that the term measures.
    """
    positions = statistic.reach if isinstance(statistic, Summed) else 0
    finest = [min(minimum_side(name) for name in layers) for layers in inputs.values()]
    return positions * max(finest, default=0)


def _intervals(length: int, inner: int, unit: int) -> list[tuple[int, int]]:
    """Cut a side into parts, and return the (start, end) of each.

    Every part has at least one unit, so that it has features in every layer. Parts are at most
    `inner` px long, with two exceptions. If `inner` is less than one unit, parts are one unit long.
    If it is less than two units, the last part may be longer, because it includes the rest.
    """
    if length <= inner:
        return [(0, length)]
    units = max(length // unit, 1)
    count = min(-(-length // max(inner // unit * unit, unit)), units)
    edges = [-(-index * units // count) * unit for index in range(count)]
    return list(zip(edges, [*edges[1:], length], strict=True))


def shrinking(
    attempt: Callable[[int], Result], side: int, *, least: int | None = None
) -> tuple[Result, int]:
    """Call a function with a side of tiles, and with half the side while memory does not suffice.

    Args:
        attempt: the function, side → result.
        least: the smallest side that is tried; None: 128 px.

    Returns: the result, and the side that it was computed with.
    Raises:  the error of `attempt`, if it has another cause or the side is `least` already.
    """
    least = _LEAST_SIDE if least is None else least
    while True:
        try:
            return attempt(side), side
        except (MemoryError, RuntimeError) as error:
            if side <= least or not out_of_memory(error):
                raise
        # This is outside the handler, where the error would keep the attempt's tensors alive.
        give_freed_memory_back()
        side = max(side // 2, least)
