"""The pyramid: the levels of a picture, coarse to fine, each with its size and number of steps.

Large shapes form at a coarse level, where a step is cheap. Finer levels start from its result and
only add detail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from impasto.errors import SettingsError
from impasto.pictures.picture import fit
from impasto.settings.pictures import Settings
from impasto.settings.units import show_duration

__all__ = ["Level", "pyramid", "steps_within"]


@dataclass(frozen=True)
class Level:
    """One size of the pyramid.

    Attributes:
        size: (H, W) in px.
        long_side: the long side, in px.
        steps: the number of evaluations of the objective at this size.
    """

    size: tuple[int, int]
    long_side: int
    steps: int

    def scaled(self, length: float, long_side: int) -> float:
        """Convert a length, in px of a picture with this long side, to px of this level."""
        return length * self.long_side / long_side


def pyramid(size: tuple[int, int], settings: Settings, *, smallest: int = 1) -> tuple[Level, ...]:
    """Plan the levels for a photo, coarse to fine; the last level has `settings.long_side`.

    Args:
        size: (H, W) of the photo.
        smallest: levels with a short side below this, in px, are left out, except the last one.

    Returns: levels whose steps add up to `settings.steps`.
    """
    sides = [settings.long_side]
    while settings.coarsest and sides[-1] / settings.level_ratio >= settings.coarsest * 0.99:
        # The factor 0.99 is for rounding: 512 / √2 / √2 must count as 256.
        sides.append(round(settings.long_side / settings.level_ratio ** len(sides)))
    sides = [
        side for side in sides if side == settings.long_side or min(fit(size, side)) >= smallest
    ]
    sides = sides[: settings.steps][::-1]
    steps = _share(settings.steps, [side**-settings.step_decay for side in sides])
    return tuple(
        Level(fit(size, side), side, count) for side, count in zip(sides, steps, strict=True)
    )


def _share(total: int, weights: list[float]) -> list[int]:
    """Split a whole number in proportion to the weights, into parts of at least 1."""
    spare = total - len(weights)
    shares = [1 + int(spare * weight / sum(weights)) for weight in weights]
    shares[0] += total - sum(shares)  # the remainder goes to the cheapest level
    return shares


def steps_within(
    size: tuple[int, int],
    settings: Settings,
    *,
    seconds: float,
    seconds_per_megapixel: float,
    spent: float = 0.0,
) -> Settings:
    """Choose the number of steps that take about this many seconds.

    Args:
        size: (H, W) of the photo.
        seconds: the whole time.
        seconds_per_megapixel: the cost of one step, measured on this machine.
        spent: the seconds that have passed already.

    Returns: the settings with `steps` changed.
    Raises:  SettingsError: the time is too short for 12 steps; the message names a time that is
             long enough.
    """
    cost = _mean_cost(pyramid(size, settings), seconds_per_megapixel)
    steps = int((seconds - spent) / cost)
    if steps < _FEWEST_STEPS:
        side = int(settings.long_side * (max(steps, 0) / _FEWEST_STEPS) ** 0.5)
        smaller = f", or try --long-side {side}" if side >= 64 else ""
        raise SettingsError(
            f"{show_duration(seconds)} is too short for {settings.long_side} px on this machine: a "
            f"step takes about {cost:.2g} s; "
            f"allow {math.ceil(spent + cost * _FEWEST_STEPS)} s{smaller}"
        )
    return settings.replace(steps=min(steps, _MOST_STEPS))


def _mean_cost(levels: tuple[Level, ...], seconds_per_megapixel: float) -> float:
    megapixels = sum(level.steps * level.size[0] * level.size[1] for level in levels) / 1e6
    return megapixels * seconds_per_megapixel / sum(level.steps for level in levels)


# Fewer steps leave the photo nearly unchanged. More steps change nothing visible.
_FEWEST_STEPS = 12
_MOST_STEPS = 2000
