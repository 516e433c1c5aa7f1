"""A time budget chooses the number of steps of each level while the picture is painted."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from impasto.painting.memory_plan import Workload
from impasto.settings.pictures import Settings

__all__ = ["TimeBudget", "next_pace"]

# Long side of the first level, px, if the settings have only one level. With a time budget, every
# picture is painted from coarse to fine.
_COARSEST = 128
# More steps change nothing visible.
_MOST_STEPS = 2000
# A level that would have fewer steps than this is not painted. It is better to make more steps on
# the level before, and to enlarge its picture. The plan gives a level more steps, so that it begins
# even if the levels before it take longer than expected.
_FEWEST_STEPS = 4
_PLANNED_STEPS = 8
# At the first level, at least this many seconds count as left, so that there is a picture.
_LEAST_SECONDS = 0.4
# A step on p times as many pixels takes about p^0.85 times as long. Before the first step, the plan
# assumes this many seconds for each pixel. Both numbers only divide the time among the levels. A
# clock decides when a level ends.
_GROWTH = 0.85
_PER_PIXEL = 2e-6
# Seconds for enlarging and writing the picture and for ending the process: a fixed part, and a part
# for each pixel.
_FINISHING = 0.3
_FINISHING_PER_PIXEL = 2.5e-7


@dataclass(frozen=True)
class TimeBudget:
    """The time of a run, which is divided among the levels while the picture is painted.

    Nothing is measured beforehand. Each level has a share of the time that is left, and ends when
    its share is over. Levels that would have too few steps are not painted. Then the last picture
    is enlarged, and gets the photo's finest detail.

    Attributes:
        end: the time of `time.perf_counter` at which the picture must be written.
    """

    end: float

    def schedule(self, settings: Settings) -> Settings:
        """Return the settings from which the levels are planned."""
        return settings.replace(
            coarsest=settings.coarsest or min(_COARSEST, settings.long_side),
            # No layers are deferred, because the number of a level's steps is not known here.
            deferred_share=0.0,
            steps=_MOST_STEPS,
        )

    def allot(
        self, works: Sequence[Workload], seconds_per_step: float | None, decay: float
    ) -> Workload | None:
        """Give a level its share of the time that is left; None: too little time is left.

        Args:
            works: the level, and the finer ones after it.
            seconds_per_step: how long a step of the level takes; None: this is the first level.
            decay: `Settings.step_decay`.
        """
        work, now = works[0], time.perf_counter()
        left = self.end - _FINISHING - _FINISHING_PER_PIXEL * works[-1].pixels - now
        if seconds_per_step is None:
            left, step = max(left, _LEAST_SECONDS), work.pixels * _PER_PIXEL
        elif left < _FEWEST_STEPS * seconds_per_step:
            return None
        else:
            step = seconds_per_step
        for count in range(len(works), 0, -1):
            shares = [(each.level.long_side / work.level.long_side) ** -decay for each in works]
            costs = [
                share * step * _growth(work, each)
                for share, each in zip(shares, works[:count], strict=False)
            ]
            steps = left / sum(costs)
            if steps * shares[count - 1] >= _PLANNED_STEPS or count == 1:
                break
        return replace(work, until=now + steps * step)

    def settings(self, settings: Settings, history: Sequence[Mapping[str, Any]]) -> Settings:
        """Return the settings that paint the same picture again without a time budget."""
        levels = [row["level"] for row in history]
        counts = tuple(levels.count(level) for level in sorted(set(levels)))
        return settings.replace(level_steps=counts)


def next_pace(times: Sequence[float], work: Workload, following: Workload) -> float:
    """Estimate how long a step of the next level takes.

    Args:
        times: when each step of a level ended, in seconds since the start of the level. The first
            step also makes preparations for the others, so it counts only if it is the only one.
        work, following: this level, and the next one.
    """
    lengths = [after - before for before, after in pairwise(times)]
    return statistics.median(lengths or times) * _growth(work, following)


def _growth(work: Workload, other: Workload) -> float:
    """Estimate the ratio of the time of a step on another level to that of a step on this one."""
    return math.pow(other.pixels / work.pixels, _GROWTH)
