"""A time budget: the steps of each level are chosen while the picture is painted."""

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

# The first level, if the settings have only one: every budget is painted from coarse to fine.
_COARSEST = 128
# More steps change nothing visible.
_MOST_STEPS = 2000
# A level with fewer steps is not worth the time: an enlarged picture of the level before, with more
# steps there, is better. Levels are planned with more steps, so that they begin even if the levels
# before them took longer than expected.
_FEWEST_STEPS = 4
_PLANNED_STEPS = 8
# The first level always gets this much time, so that there is a picture, in seconds.
_LEAST_SECONDS = 0.4
# A step of p times as many pixels takes about p^0.85 as long, and before the first step, a pixel
# takes this many seconds. Both only share the time; when a level ends is measured.
_GROWTH = 0.85
_PER_PIXEL = 2e-6
# Seconds, at the end, for enlarging and writing the picture and ending the process: at least, and
# for each pixel.
_FINISHING = 0.3
_FINISHING_PER_PIXEL = 2.5e-7


@dataclass(frozen=True)
class TimeBudget:
    """The time of a run, which is shared among its levels while it is painted.

    Nothing is measured beforehand. Each level has a share of the time that is left, and ends when
    its share is over. Levels that would have too few steps are not painted; then the last
    picture is enlarged, with the photo's finest detail.

    Attributes:
        end: the time of `time.perf_counter` at which the picture is to be written.
    """

    end: float

    def schedule(self, settings: Settings) -> Settings:
        """Return the settings from which the levels are planned."""
        return settings.replace(
            coarsest=settings.coarsest or min(_COARSEST, settings.long_side),
            # Layers are deferred in a part of a level's steps, whose number is not known here.
            deferred_share=0.0,
            steps=_MOST_STEPS,
        )

    def allot(
        self, works: Sequence[Workload], seconds_per_step: float | None, decay: float
    ) -> Workload | None:
        """Give a level its share of the time that is left; None: no further level is worth it.

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
        """Return the settings that paint the same picture again, without a budget."""
        levels = [row["level"] for row in history]
        counts = tuple(levels.count(level) for level in sorted(set(levels)))
        return settings.replace(level_steps=counts)


def next_pace(times: Sequence[float], work: Workload, following: Workload) -> float:
    """Estimate how long a step of the next level takes.

    Args:
        times: when each step of a level ended, in seconds since its start. The first step also
            prepares what the others use, so it counts only if it is alone.
        work, following: this level, and the next one.
    """
    lengths = [after - before for before, after in pairwise(times)]
    return statistics.median(lengths or times) * _growth(work, following)


def _growth(work: Workload, other: Workload) -> float:
    """Estimate how many times as long a step of another level takes."""
    return math.pow(other.pixels / work.pixels, _GROWTH)
