"""How each level is computed, so that memory suffices.

A level is painted whole where it fits, else in tiles, as large as fit. The rest of a large
picture's memory is the optimizer's history: first its precision is reduced, and then its length.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from impasto.errors import MemoryLimitError
from impasto.network.encoder import Encoder
from impasto.objective.layer_weights import seen_layers
from impasto.objective.objective import obstacle
from impasto.objective.tiles import Tile, cut_for, look_around
from impasto.painting.pyramid import Level
from impasto.pictures.picture import fit
from impasto.settings.layers import minimum_side
from impasto.settings.pictures import Settings
from impasto.style import chosen_statistic

__all__ = ["Workload", "show_bytes", "unusual", "workloads"]

# Sides of tiles, in px, from the best; below 768 the margin around them begins to cost.
_LARGE_TILES = (2048, 1536, 1280, 1024, 768)
_SMALL_TILES = (640, 512, 384, 256, 128)
# The least that a history is shortened to: what that costs stands in docs/performance.md.
_SHORTEST = 5

# Measured on Linux with torch 2.13 (docs/performance.md); benchmarks/sizes.py holds the whole
# against reality.
_PROCESS = 550e6  # bytes of the interpreter, torch, its libraries and their scratch
_SCRATCH = 15e6  # bytes for each thread of the kernel
_KERNEL_FILTERS = 8  # transformed filters, forward and backward, against the plain ones
_COPIES = 9  # of the picture, 3 channels in float32, and what is lost between them
_FEATURES = 2.1  # of those that a step keeps: with gradients, temporaries and what lies between
_PAIRED = 4.0  # of two layers on one grid, where a statistic compares them
_BUILT_IN = 1.35  # more, where torch's own convolutions and poolings are used


@dataclass(frozen=True)
class Workload:
    """How a level is computed.

    Attributes:
        level: its size and steps.
        tile: the longest side, in px, of what counts of a tile; None: the picture whole.
        history: how many past steps L-BFGS remembers.
        half: whether that, and the photo's features, are kept in 16 bits.
        memory: the most bytes that the process is expected to have at this level.
        tiles: where the picture is cut; none: it is not.
    """

    level: Level
    tile: int | None
    history: int
    half: bool
    memory: float
    tiles: tuple[Tile, ...] = ()

    @property
    def pixels(self) -> int:
        """How many pixels the picture has."""
        return self.level.size[0] * self.level.size[1]

    @property
    def pairs(self) -> float:
        """How many pairs L-BFGS remembers on average, from none at the first step."""
        steps, full = self.level.steps, min(self.history, self.level.steps)
        return full - full * (full + 1) / (2 * steps) if steps else 0.0

    @property
    def is_thrifty(self) -> bool:
        """Whether not everything is whole and in full precision."""
        return bool(self.tiles) or self.half

    @property
    def side(self) -> int:
        """The longest side, in px, of what counts of a tile, or of the picture."""
        boxes = [tile.inner for tile in self.tiles]
        return max((max(each.height, each.width) for each in boxes), default=max(self.level.size))


def workloads(
    levels: Sequence[Level],
    encoder: Encoder,
    settings: Settings,
    *,
    budget: float | None,
    tile: int | None = None,
    files: int = 0,
    whole: str = "",
) -> tuple[Workload, ...]:
    """Choose how each level is computed within a budget.

    Args:
        budget: bytes that the process, or a GPU's memory, may hold; None: no limit.
        tile: the longest side, in px, of what counts of a tile; None: as large as fits.
        files: pixels of the files of photo and paintings, which are held as well.
        whole: why no level is computed in tiles; empty: it may be.

    Raises: MemoryLimitError: a level does not fit; names the largest size that does.
    """
    planner = _Planner(encoder, settings, math.inf if budget is None else budget, files, whole)
    # The largest level is the size that a person has asked for, so an error names it.
    return tuple(planner.best(level, tile) for level in reversed(levels))[::-1]


def unusual(plan: Sequence[Workload]) -> list[dict[str, Any]]:
    """List, for a picture's metadata, the levels of which not everything was whole and full."""
    return [
        {
            "long_side": work.level.long_side,
            "tile": work.tile,
            "history": work.history,
            "half": work.half,
        }
        for work in plan
        if work.is_thrifty
    ]


@dataclass(frozen=True, eq=False)
class _Planner:
    """Finds how levels are computed within a budget; arguments as for `workloads`."""

    encoder: Encoder
    settings: Settings
    budget: float
    files: int
    whole: str

    def best(self, level: Level, tile: int | None) -> Workload:
        """Return the best way to compute a level that fits, or raise a MemoryLimitError."""
        for work in self.ways(level, tile):
            if work.memory <= self.budget:
                return work
        least = min(work.memory for work in self.ways(level, tile))
        raise MemoryLimitError(self._too_large(level, least))

    def ways(self, level: Level, tile: int | None) -> Iterator[Workload]:
        """List the ways to compute a level, from the best to the one of the least memory."""
        settings, whole = self.settings, self.whole
        fits_tile = bool(whole) or tile is None or tile >= level.long_side
        tiles: list[int | None] = [None if fits_tile else tile]
        small: list[int | None] = []
        if not whole and obstacle(settings, self.encoder) is None:
            most = min(level.long_side, tile or level.long_side)
            tiles += [side for side in _LARGE_TILES if side < most]
            small += [side for side in _SMALL_TILES if side < most]
        full = settings.history
        histories, shorter = [(full, False)], list[tuple[int, bool]]()
        if settings.optimizer == "lbfgs":
            histories.append((full, True))
            shorter = [(length, True) for length in range(full - 1, _SHORTEST - 1, -1)]
        # A history in 16 bits costs nothing that could be measured, and tiles cost only time. So
        # they come before a shorter history, which comes with the smallest tile only: less memory
        # then never makes tiles larger.
        combinations = [
            *itertools.product(tiles, histories),
            *itertools.product(tiles[-1:], shorter),
            *itertools.product(small, histories + shorter),
        ]
        cuts = functools.cache(functools.partial(self._cuts, level))
        for side, (history, half) in combinations:
            work = Workload(level, side, history, half, 0.0, cuts(side))
            yield replace(work, memory=self._needed(work))

    def _cuts(self, level: Level, side: int | None) -> tuple[Tile, ...]:
        """Return the tiles of a level; none: it is one tile."""
        if side is None:
            return ()
        around = look_around(chosen_statistic(self.settings), self._inputs)
        tiles = cut_for(self.encoder, level.size, side, around)
        return tiles if len(tiles) > 1 else ()

    def _needed(self, work: Workload) -> float:
        """Return the bytes that a level needs at most, by figures that were measured."""
        encoder, settings = self.encoder, self.settings
        pixels, width = work.pixels, 2 if work.half else 4
        filters = sum(each.numel() * each.element_size() for each in encoder.buffers())
        kernel = encoder.uses_kernel
        fixed = float(filters * (_KERNEL_FILTERS if kernel else 1))
        if encoder.device.type == "cpu":
            fixed += _PROCESS + (torch.get_num_threads() * _SCRATCH if kernel else 0.0)
        pictures = 12.0 * (_COPIES * pixels + self.files)
        pairs = min(work.history, work.level.steps) if settings.optimizer == "lbfgs" else 1
        remembered = 6.0 * pairs * pixels * width
        content = pixels * _values(seen_layers(settings, "content"), encoder) * width
        seen = max((each.outer.area for each in work.tiles), default=pixels)
        factor = _FEATURES * (1.0 if kernel else _BUILT_IN)
        network = seen * (_kept(encoder) * factor + self._paired * _PAIRED)
        return fixed + pictures + remembered + content + network

    @property
    def _inputs(self) -> dict[str, tuple[str, ...]]:
        """The layers that each style term looks at."""
        return chosen_statistic(self.settings).inputs(seen_layers(self.settings, "style"))

    @property
    def _paired(self) -> float:
        """The most bytes, for a pixel, that a statistic of two layers brings to one grid."""
        grids = [
            (min(map(minimum_side, layers)), sum(map(self.encoder.channels, layers)))
            for layers in self._inputs.values()
            if len(layers) > 1
        ]
        return max((4.0 * channels / stride**2 for stride, channels in grids), default=0.0)

    def _too_large(self, level: Level, least: float) -> str:
        """Say that a level does not fit, why, and which size would."""

        def fits(side: int) -> bool:
            size = fit(level.size, side)
            ways = self.ways(Level(size, max(size), level.steps), None)
            return any(work.memory <= self.budget for work in ways)

        side = _largest(fits, self.encoder.minimum_side, level.long_side)
        reason = self.whole or obstacle(self.settings, self.encoder)
        return (
            f"{level.long_side} px need at least {show_bytes(least)} of memory, and "
            f"{show_bytes(self.budget)} are free or allowed"
            + (f"; the largest that fits is {side} px" if side else "; allow more, or free some")
            + (f" ({reason})" if reason else "")
        )


def _kept(encoder: Encoder) -> float:
    """Return the bytes of features that a step keeps for a pixel."""
    names = [name for name in encoder.path if name.startswith("relu")]
    return _values(names, encoder) * (2 if encoder.precision == "bfloat16" else 4)


def _values(layers: Sequence[str], encoder: Encoder) -> float:
    """Count the features of some layers for a pixel."""
    return sum(encoder.channels(name) / minimum_side(name) ** 2 for name in layers)


def _largest(fits: Callable[[int], bool], low: int, high: int) -> int:
    """Return the largest side that fits, below a high one that does not; 0: none does."""
    if not fits(low):
        return 0
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def show_bytes(count: float) -> str:
    """Write a number of bytes in GB, or MB where it is less than one."""
    if count < 1e9:
        return f"{count / 1e6:.0f} MB"
    return f"{count / 1e9:.2f} GB" if count < 1e10 else f"{count / 1e9:.1f} GB"
