"""How much of a run is done, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from impasto.painting.pyramid import Level

if TYPE_CHECKING:
    from impasto.optimize.loop import Step

__all__ = ["RunProgress"]


class RunProgress:
    """The part of a run that is done. A step counts by its level's pixels."""

    def __init__(self, levels: Sequence[Level]) -> None:
        self.levels = levels
        self.costs = [level.size[0] * level.size[1] for level in levels]
        self.total = self._before(len(levels))

    def _before(self, count: int) -> int:
        pairs = zip(self.levels[:count], self.costs[:count], strict=True)
        return sum(level.steps * cost for level, cost in pairs)

    def done(self, step: Step) -> float:
        """Return the finished part, in [0, 1]."""
        earlier = sum(level.steps for level in self.levels[: step.level - 1])
        here = (step.index - earlier) * self.costs[step.level - 1]
        return (self._before(step.level - 1) + here) / self.total

    def remaining(self, step: Step) -> float:
        """Return the seconds that are left if a pixel takes as long as before."""
        done = self.done(step)
        return step.seconds * (1 - done) / done
