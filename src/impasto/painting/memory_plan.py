"""What a run takes before it begins: how each level is computed, so that memory suffices.

A level is painted whole where it fits, else in tiles, as large as fit; of the optimizer's history,
which is the rest of a large picture's memory, first the precision and then the length is cut down.
"""

from __future__ import annotations

import functools
import itertools
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
    whole: bool = False,
) -> tuple[Workload, ...]:
    """Choose how each level is computed within a budget.

    Args:
        budget: bytes that the process, or a GPU's memory, may hold; None: no limit.
        tile: the longest side, in px, of what counts of a tile; None: as large as fits.
        files: pixels of the files of photo and paintings, which are held as well.
        whole: not in tiles, come what may.

    Raises: MemoryLimitError: a level does not fit; names the largest size that does.
    """
    chosen = []
    for level in reversed(levels):  # the largest is what a person has asked for
        ways = functools.partial(_options, level, encoder, settings, tile, files, whole)
        best = next((each for each in ways() if budget is None or each.memory <= budget), None)
        if best is None:
            least = min(each.memory for each in ways())
            raise MemoryLimitError(
                _too_large(level, encoder, settings, budget or 0.0, least, files, whole)
            )
        chosen.append(best)
    return tuple(reversed(chosen))


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


def _options(
    level: Level,
    encoder: Encoder,
    settings: Settings,
    tile: int | None,
    files: int,
    whole: bool,
) -> Iterator[Workload]:
    """List the ways to compute a level, from the best to the thriftiest."""
    tiles: list[int | None] = [None] if whole or tile is None or tile >= level.long_side else [tile]
    small: list[int | None] = []
    if not whole and obstacle(settings, encoder) is None:
        most = min(level.long_side, tile or level.long_side)
        tiles += [each for each in _LARGE_TILES if each < most]
        small += [each for each in _SMALL_TILES if each < most]
    full = settings.history
    histories, shorter = [(full, False)], list[tuple[int, bool]]()
    if settings.optimizer == "lbfgs":
        histories.append((full, True))
        shorter = [(length, True) for length in range(full - 1, _SHORTEST - 1, -1)]
    # A history in 16 bits costs nothing that could be measured, and tiles nothing but time; so
    # they come before a shorter one. That comes with the smallest tile only, so that less memory
    # never makes tiles larger.
    ways = [
        *itertools.product(tiles, histories),
        *itertools.product(tiles[-1:], shorter),
        *itertools.product(small, histories + shorter),
    ]
    statistic = chosen_statistic(settings)
    around = look_around(statistic, statistic.inputs(seen_layers(settings, "style")))

    @functools.cache
    def cuts(side: int | None) -> tuple[Tile, ...]:
        tiles = () if side is None else cut_for(encoder, level.size, side, around)
        return tiles if len(tiles) > 1 else ()

    for side, (history, half) in ways:
        work = Workload(level, side, history, half, 0.0, cuts(side))
        yield replace(work, memory=_needed(work, encoder, settings, files))


def _needed(work: Workload, encoder: Encoder, settings: Settings, files: int) -> float:
    """Return the bytes that a level needs at most, by figures that were measured."""
    pixels, width = work.pixels, 2 if work.half else 4
    filters = sum(each.numel() * each.element_size() for each in encoder.buffers())
    kernel = encoder.uses_kernel
    fixed = float(filters * (_KERNEL_FILTERS if kernel else 1))
    if encoder.device.type == "cpu":
        fixed += _PROCESS + (torch.get_num_threads() * _SCRATCH if kernel else 0.0)
    pictures = 12.0 * (_COPIES * pixels + files)
    pairs = min(work.history, work.level.steps) if settings.optimizer == "lbfgs" else 1
    remembered = 6.0 * pairs * pixels * width
    content = pixels * _values(seen_layers(settings, "content"), encoder) * width
    seen = max((each.outer.area for each in work.tiles), default=pixels)
    factor = _FEATURES * (1.0 if kernel else _BUILT_IN)
    network = seen * (_kept(encoder) * factor + _paired(encoder, settings) * _PAIRED)
    return fixed + pictures + remembered + content + network


def _kept(encoder: Encoder) -> float:
    """Return the bytes of features that a step keeps for a pixel."""
    names = [name for name in encoder.path if name.startswith("relu")]
    return _values(names, encoder) * (2 if encoder.precision == "bfloat16" else 4)


def _paired(encoder: Encoder, settings: Settings) -> float:
    """Return the bytes, for a pixel, of the most that a statistic brings to one grid."""
    inputs = chosen_statistic(settings).inputs(seen_layers(settings, "style"))
    grids = [
        (min(map(minimum_side, layers)), sum(map(encoder.channels, layers)))
        for layers in inputs.values()
        if len(layers) > 1
    ]
    return max((4.0 * channels / stride**2 for stride, channels in grids), default=0.0)


def _values(layers: Sequence[str], encoder: Encoder) -> float:
    """Count the features of some layers for a pixel."""
    return sum(encoder.channels(name) / minimum_side(name) ** 2 for name in layers)


def _too_large(
    level: Level,
    encoder: Encoder,
    settings: Settings,
    budget: float,
    least: float,
    files: int,
    whole: bool,
) -> str:
    def fits(side: int) -> bool:
        size = fit(level.size, side)
        smaller = Level(size, max(size), level.steps)
        ways = _options(smaller, encoder, settings, None, files, whole)
        return any(each.memory <= budget for each in ways)

    side = _largest(fits, encoder.minimum_side, level.long_side)
    reason = "opposite borders touch, so it cannot be cut" if whole else None
    reason = reason or obstacle(settings, encoder)
    return (
        f"{level.long_side} px need at least {show_bytes(least)} of memory, and "
        f"{show_bytes(budget)} are free or allowed"
        + (f"; the largest that fits is {side} px" if side else "; allow more, or free some")
        + (f" ({reason})" if reason else "")
    )


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
