"""The plan of a picture, and the loop that paints it from coarse to fine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from impasto.optimize.loop import Step, Terms, run_to_end
from impasto.painting.memory_plan import Workload, unusual
from impasto.painting.pastiche import Pastiche
from impasto.painting.pyramid import Level
from impasto.painting.time_budget import TimeBudget, next_pace
from impasto.pictures.picture import Image, resize
from impasto.settings.pictures import Settings

__all__ = ["PicturePlan"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PicturePlan:
    """A picture whose inputs are read and checked, ready to be painted from coarse to fine.

    A pastiche, a texture, a reconstruction and a dream are all such plans. They differ in their
    start and in their losses.

    Attributes:
        settings: the settings of the picture.
        works: how each level is computed with the available memory, coarse to fine.
        inputs: names and SHA-256 sums of the input files, and other facts for the metadata.
        begin: (H, W) → the picture that the first level starts from.
        enlarge: (result of a level, (H, W) of the next) → the picture that the next starts from.
        aim: level → a function from an image to its losses; the level minimizes their sum.
        descend: (image, losses, level) → the steps of the level.
        complete: last image → the picture at full size, in [0, 1].
        alpha: the transparency of the photo, (1, 1, H, W); None: it is opaque.
        kinds: the kinds of losses that every step lists, even those with the weight 0.
        budget: the time of the whole run, which determines the steps; None: all steps are made.
    """

    settings: Settings
    works: tuple[Workload, ...]
    inputs: Mapping[str, Any]
    begin: Callable[[tuple[int, int]], Image]
    enlarge: Callable[[Image, tuple[int, int]], Image]
    aim: Callable[[Workload], Terms]
    descend: Callable[[Image, Terms, Workload], Iterator[Step]]
    complete: Callable[[Image], Image]
    alpha: Image | None = None
    kinds: Sequence[str] = ()
    budget: TimeBudget | None = None

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels, coarse to fine."""
        return tuple(work.level for work in self.works)

    def steps(self, start: Step | None = None) -> Iterator[Step]:
        """Paint the picture, and yield a step after every evaluation of the objective.

        Args:
            start: the step to continue after. It may come from a plan with other weights. If it is
                the last step, one step is repeated, so that there is a result. None: begin at the
                first level.

        Raises: DivergenceError: the optimization failed; the error holds the last good image.
        """
        count = sum(level.steps for level in self.levels)
        first, done, seconds = self._position(start)
        image = self.begin(self.levels[0].size) if start is None else start.image
        pace: float | None = None
        for number, work in enumerate(self.works[first:], first + 1):
            end = sum(level.steps for level in self.levels[:number])
            rest: Workload | None = replace(work, level=replace(work.level, steps=end - done))
            if self.budget is not None:
                works = (work, *self.works[number:])
                rest = self.budget.allot(works, pace, self.settings.step_decay)
            if rest is None:  # the time is over
                return
            image, times = self.enlarge(image.cpu(), rest.level.size), []
            for step in self.descend(image, self.aim(rest), rest):
                yield replace(
                    step,
                    losses={**dict.fromkeys(self.kinds, 0.0), **step.losses},
                    index=done + step.index,
                    count=count,
                    level=number,
                    levels=len(self.works),
                    seconds=seconds + step.seconds,
                )
                times.append(step.seconds)
            if number < len(self.works):
                pace = next_pace(times, work, self.works[number])
            image, seconds, done = step.image, seconds + step.seconds, done + step.index

    def _position(self, start: Step | None) -> tuple[int, int, float]:
        """Return the index of the level to continue at; the number and seconds of past steps."""
        if start is None:
            return 0, 0, 0.0
        ends = [sum(level.steps for level in self.levels[: n + 1]) for n in range(len(self.works))]
        first = min(start.level, len(self.works)) - 1
        done = min(max(start.index, ends[first] - self.levels[first].steps), ends[first])
        if done == ends[first] and first + 1 < len(self.works):
            first += 1
        return first, min(done, ends[-1] - 1), start.seconds

    def finish(self, image: Image, history: Sequence[Mapping[str, Any]]) -> Pastiche:
        """Make the result from the last image: at full size, with alpha, settings and history."""
        full = self.complete(image.detach().cpu())
        alpha = None if self.alpha is None else resize(self.alpha, (full.shape[-2], full.shape[-1]))
        computed = unusual(self.works)
        facts = {**self.inputs, "computed": computed} if computed else {**self.inputs}
        settings = self.settings
        if self.budget is not None:
            settings = self.budget.settings(settings, history)
        return Pastiche(full, alpha, settings, tuple(history), facts)

    def paint(self, on_step: Callable[[Step], None] | None = None) -> Pastiche:
        """Paint the picture to the end, and return the result.

        Args: on_step: a function that is called after every evaluation.

        Raises: as for `steps`.
        """
        return self.finish(*run_to_end(self.steps(), on_step))
