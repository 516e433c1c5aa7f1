"""The progress of a run: its finished part, and the seconds that are left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from impasto.painting.pyramid import Level

if TYPE_CHECKING:
    from impasto.optimize.loop import Step

__all__ = ["RunProgress"]


class RunProgress:
    """The progress of a run, if the time of a step is proportional to its level's pixels.

    Args:
        end: the time of `time.perf_counter` at which the run will end, if its time is known.
    """

    def __init__(self, levels: Sequence[Level], end: float | None = None) -> None:
        self.levels = levels
        self.end = end
        self.costs = [level.size[0] * level.size[1] for level in levels]
        self.total = self._before(len(levels))

    def _before(self, count: int) -> int:
        pairs = zip(self.levels[:count], self.costs[:count], strict=True)
        return sum(level.steps * cost for level, cost in pairs)

    def done(self, step: Step) -> float:
        """Return the finished part after this step, in [0, 1]."""
        if self.end is not None:
            left = max(self.end - time.perf_counter(), 0.0)
            return step.seconds / (step.seconds + left)
        earlier = sum(level.steps for level in self.levels[: step.level - 1])
        here = (step.index - earlier) * self.costs[step.level - 1]
        return (self._before(step.level - 1) + here) / self.total

    def remaining(self, step: Step) -> float:
        """Return the seconds that are left after this step, at the speed so far."""
        done = self.done(step)
        return step.seconds * (1 - done) / done
