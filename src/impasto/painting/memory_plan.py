"""The memory plan: how each level is computed so that it fits into memory.

A level is computed whole if it fits, and otherwise in the largest tiles that fit. Much of the other
memory is the optimizer's history. If necessary, first its precision is reduced, then its length.
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
from impasto.objective.tiles import Tile, cut_for, largest_tile, look_around
from impasto.painting.pyramid import Level
from impasto.pictures.picture import fit
from impasto.settings.layers import minimum_side
from impasto.settings.pictures import Settings
from impasto.style import chosen_statistic

__all__ = ["Workload", "show_bytes", "unusual", "workloads"]

# Sides of tiles, in px, best first. Below 768 px, the margin around a tile takes noticeable time.
_LARGE_TILES = (2048, 1536, 1280, 1024, 768)
_SMALL_TILES = (640, 512, 384, 256, 128)
# The shortest history that is tried. docs/performance.md says how it changes the result.
_SHORTEST = 5

# Measured on Linux with torch 2.13 (docs/performance.md). benchmarks/sizes.py measures the memory
# of whole runs.
_PROCESS = 550e6  # bytes of the interpreter, torch, its libraries and their working memory
_SCRATCH = 15e6  # bytes of working memory for each thread of the kernel
_KERNEL_FILTERS = 8  # memory of the filters with the kernel's transformed copies / without them
_COPIES = 9  # copies of the picture, 3 channels in float32, and unused memory between them
_FEATURES = 2.1  # peak memory of features, gradients and temporaries / features that a step keeps
_PAIRED = 4.0  # copies of two layers on one grid, for a statistic that compares them
_BUILT_IN = 1.35  # memory of features with torch's convolutions and poolings / with the kernel


@dataclass(frozen=True)
class Workload:
    """How a level is computed.

    Attributes:
        level: its size and steps.
        tile: the longest side, in px, of a tile's inner box; None: the picture is one tile.
        history: the number of past steps that L-BFGS keeps.
        half: whether the history and the photo's features are kept in 16 bits.
        memory: the estimated peak memory of the process (or of the GPU), in bytes.
        tiles: the tiles of the picture; (): it is computed whole.
        until: the time of `time.perf_counter` at which the level must end; inf: it has all its
            steps.
    """

    level: Level
    tile: int | None
    history: int
    half: bool
    memory: float
    tiles: tuple[Tile, ...] = ()
    until: float = math.inf

    @property
    def pixels(self) -> int:
        """The number of pixels of the picture."""
        return self.level.size[0] * self.level.size[1]

    @property
    def pairs(self) -> float:
        """The number of pairs that L-BFGS keeps, on average over all steps; the first has none."""
        steps, full = self.level.steps, min(self.history, self.level.steps)
        return full - full * (full + 1) / (2 * steps) if steps else 0.0

    @property
    def is_thrifty(self) -> bool:
        """Whether the level is computed in tiles or with 16 bits."""
        return bool(self.tiles) or self.half

    @property
    def side(self) -> int:
        """The longest side, in px, of a tile's inner box, or of a picture without tiles."""
        boxes = [tile.inner for tile in self.tiles]
        return max((max(box.height, box.width) for box in boxes), default=max(self.level.size))


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
    """Choose how each level is computed within a memory budget.

    Args:
        budget: bytes that the process, or a GPU's memory, may hold; None: no limit.
        tile: the longest side, in px, of a tile's inner box; None: the longest that fits.
        files: the number of pixels in the files of the photo and the paintings, which stay in
            memory as well.
        whole: the reason why no level may be computed in tiles; "": levels may be.

    Raises: MemoryLimitError: a level does not fit; the message names the largest size that does.
    """
    planner = _Planner(encoder, settings, math.inf if budget is None else budget, files, whole)
    # The largest level is planned first, because it has the size that the user has asked for. An
    # error must name this size.
    return tuple(planner.best(level, tile) for level in reversed(levels))[::-1]


def unusual(plan: Sequence[Workload]) -> list[dict[str, Any]]:
    """List the levels that are computed in tiles or with 16 bits, for a picture's metadata."""
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
        """Yield the ways to compute a level, from the best one to the one with the least memory."""
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
        # A history in 16 bits makes no measurable difference, and tiles only take more time. So 16
        # bits and large tiles are tried before a shorter history. A shorter history is tried with
        # the smallest large tile, and then with small tiles, so that less memory never gives
        # larger tiles.
        combinations = [
            *itertools.product(tiles, histories),
            *itertools.product(tiles[-1:], shorter),
            *itertools.product(small, histories + shorter),
        ]
        largest = functools.cache(functools.partial(self._largest, level))
        cuts = functools.cache(functools.partial(self._cuts, level))
        for side, (history, half) in combinations:
            work = Workload(level, side, history, half, 0.0)
            needed = self._outside_network(work) + self._inside_network(largest(side))
            # Cutting a huge picture takes minutes, so only tiles that fit are cut.
            cut = cuts(side) if needed <= self.budget else ()
            yield replace(work, memory=needed, tiles=cut)

    def _largest(self, level: Level, side: int | None) -> int:
        """Return the number of pixels that the network sees at once."""
        if side is None:
            return level.size[0] * level.size[1]
        return largest_tile(self.encoder, level.size, side, self._around)

    def _cuts(self, level: Level, side: int | None) -> tuple[Tile, ...]:
        """Return the tiles of a level; (): it is one tile."""
        if side is None:
            return ()
        tiles = cut_for(self.encoder, level.size, side, self._around)
        return tiles if len(tiles) > 1 else ()

    @property
    def _around(self) -> int:
        return look_around(chosen_statistic(self.settings), self._inputs)

    def _outside_network(self, work: Workload) -> float:
        """Estimate the memory of a level besides that of a tile's features, in bytes.

        All estimates use the measured figures; their sum is the peak.
        """
        encoder, settings = self.encoder, self.settings
        pixels, width = work.pixels, 2 if work.half else 4
        filters = sum(buffer.numel() * buffer.element_size() for buffer in encoder.buffers())
        kernel = encoder.uses_kernel
        fixed = float(filters * (_KERNEL_FILTERS if kernel else 1))
        if encoder.device.type == "cpu":
            fixed += _PROCESS + (torch.get_num_threads() * _SCRATCH if kernel else 0.0)
        pictures = 12.0 * (_COPIES * pixels + self.files)
        pairs = min(work.history, work.level.steps) if settings.optimizer == "lbfgs" else 1
        history = 6.0 * pairs * pixels * width
        content = pixels * _values(seen_layers(settings, "content"), encoder) * width
        return fixed + pictures + history + content

    def _inside_network(self, pixels: int) -> float:
        """Estimate the memory of the features of this number of pixels, in bytes."""
        factor = _FEATURES * (1.0 if self.encoder.uses_kernel else _BUILT_IN)
        return pixels * (_kept(self.encoder) * factor + self._paired * _PAIRED)

    @property
    def _inputs(self) -> dict[str, tuple[str, ...]]:
        """For each layer with a style term, the layers that the term measures."""
        return chosen_statistic(self.settings).inputs(seen_layers(self.settings, "style"))

    @property
    def _paired(self) -> float:
        """Bytes per pixel of two layers on one grid, for a statistic of two layers; else 0."""
        grids = [
            (min(map(minimum_side, layers)), sum(map(self.encoder.channels, layers)))
            for layers in self._inputs.values()
            if len(layers) > 1
        ]
        return max((4.0 * channels / stride**2 for stride, channels in grids), default=0.0)

    def _too_large(self, level: Level, least: float) -> str:
        """Return the message that a level does not fit, with the reason and a size that does."""

        def fits(side: int) -> bool:
            size = fit(level.size, side)
            ways = self.ways(Level(size, max(size), level.steps), None)
            return any(work.memory <= self.budget for work in ways)

        side = _largest(fits, self.encoder.minimum_side, level.long_side)
        reason = self.whole or obstacle(self.settings, self.encoder)
        return (
            f"{level.long_side} px need at least {show_bytes(least)} of memory, and "
            f"{show_bytes(self.budget)} are free or allowed"
            + (
                f"; the largest size that fits is {side} px"
                if side
                else "; allow more memory, or free some"
            )
            + (f" ({reason})" if reason else "")
        )


def _kept(encoder: Encoder) -> float:
    """Return the bytes of features that a step keeps, per pixel of the picture."""
    names = [name for name in encoder.path if name.startswith("relu")]
    return _values(names, encoder) * (2 if encoder.precision == "bfloat16" else 4)


def _values(layers: Sequence[str], encoder: Encoder) -> float:
    """Return the number of features of some layers, per pixel of the picture."""
    return sum(encoder.channels(name) / minimum_side(name) ** 2 for name in layers)


def _largest(fits: Callable[[int], bool], low: int, high: int) -> int:
    """Return the largest side from low to high that fits, to within 2 %; 0: low does not fit.

    Args: high: a side that does not fit.
    """
    if not fits(low):
        return 0
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def show_bytes(count: float) -> str:
    """Write a number of bytes in GB, or in MB if it is less than 1 GB."""
    if count < 1e9:
        return f"{count / 1e6:.0f} MB"
    return f"{count / 1e9:.2f} GB" if count < 1e10 else f"{count / 1e9:.1f} GB"
