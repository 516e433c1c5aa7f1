"""A picture that is planned, and the one loop that paints it from coarse to fine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from impasto.optimize.loop import Step, Terms
from impasto.painting.memory_plan import Workload, unusual
from impasto.painting.pastiche import Pastiche
from impasto.painting.pyramid import Level
from impasto.pictures.picture import Image, resize
from impasto.settings.pictures import Settings

__all__ = ["PicturePlan"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PicturePlan:
    """A picture whose inputs are read and checked, ready to be painted from coarse to fine.

    A pastiche, a texture, a reconstruction and a dream are all such plans. They differ in what
    they start from and what they aim at.

    Attributes:
        settings: layers, sizes, steps and the rest.
        works: the levels, coarse to fine, and how each is computed with the memory there is.
        inputs: what determines the picture besides the settings, for its metadata.
        begin: (H, W) → the picture that the first level starts from.
        enlarge: (result of a level, (H, W) of the next one) → the picture that one starts from.
        aim: level and memory → the losses of an image, whose sum the level minimizes.
        descend: (image, losses, level and memory) → the steps of a level.
        complete: last image → the picture at full size, in [0, 1].
        alpha: transparency of the picture it is made from, (1, 1, H, W), or None.
        kinds: losses that every step lists, also where they have no weight.
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

    @property
    def levels(self) -> tuple[Level, ...]:
        """The sizes, coarse to fine, and their steps."""
        return tuple(work.level for work in self.works)

    def steps(self, start: Step | None = None) -> Iterator[Step]:
        """Paint, and yield after every evaluation of the objective.

        Args:
            start: a step of this plan, or of one with other weights; goes on after it. None:
                begins at the first level. After the last step there is one more, to look at it.

        Raises: DivergenceError: the optimization failed; carries the last good image.
        """
        count = sum(level.steps for level in self.levels)
        first, done, seconds = self._left_of(start)
        image = self.begin(self.levels[0].size) if start is None else start.image
        for number, work in enumerate(self.works[first:], first + 1):
            before = sum(level.steps for level in self.levels[: number - 1])
            left = replace(work, level=replace(work.level, steps=before + work.level.steps - done))
            image = self.enlarge(image.cpu(), left.level.size)
            for step in self.descend(image, self.aim(left), left):
                yield replace(
                    step,
                    losses={**dict.fromkeys(self.kinds, 0.0), **step.losses},
                    index=done + step.index,
                    count=count,
                    level=number,
                    levels=len(self.works),
                    seconds=seconds + step.seconds,
                )
            image, seconds = step.image, seconds + step.seconds
            done = before + work.level.steps

    def _left_of(self, start: Step | None) -> tuple[int, int, float]:
        """Return the first level that is left, how many steps are done, and their seconds."""
        if start is None:
            return 0, 0, 0.0
        ends = [sum(level.steps for level in self.levels[: n + 1]) for n in range(len(self.works))]
        first = min(start.level, len(self.works)) - 1
        done = min(max(start.index, ends[first] - self.levels[first].steps), ends[first])
        if done == ends[first] and first + 1 < len(self.works):
            first += 1
        return first, min(done, ends[-1] - 1), start.seconds

    def finish(self, image: Image, history: Sequence[Mapping[str, Any]]) -> Pastiche:
        """Make the result of the last image: at full size, with alpha, settings and history."""
        whole = self.complete(image.detach().cpu())
        alpha = (
            None if self.alpha is None else resize(self.alpha, (whole.shape[-2], whole.shape[-1]))
        )
        computed = unusual(self.works)
        noted = {"computed": computed} if computed else {}
        return Pastiche(whole, alpha, self.settings, tuple(history), {**self.inputs, **noted})

    def paint(self, on_step: Callable[[Step], None] | None = None) -> Pastiche:
        """Paint to the end and return the result.

        Args: on_step: is called after every evaluation.

        Raises: as `steps`.
        """
        history = []
        for step in self.steps():
            history.append(step.to_dict())
            if on_step is not None:
                on_step(step)
        return self.finish(step.image, history)
