"""The time of a picture, estimated from a few steps that are measured on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from impasto.objective.deferred_layers import FEWEST_STEPS, deepest_that_counts, may_defer
from impasto.objective.objective import Objective
from impasto.optimize.lbfgs import seconds_per_pair
from impasto.optimize.loop import Step, Terms
from impasto.painting.canvas import paint_level
from impasto.painting.inputs import Inputs, initial_image
from impasto.painting.memory_plan import Workload
from impasto.painting.pyramid import Level, pyramid
from impasto.painting.stylizer import Stylizer
from impasto.pictures.picture import fit, resized
from impasto.settings.pictures import Settings

__all__ = ["Pace", "measure_pace"]

# Steps are timed at the picture's size, but at no more than this long side, in px.
_TIMED_SIDE = 512
_TIMED_STEPS = 4


@dataclass(frozen=True)
class Pace:
    """The measured pace of this machine with some settings.

    Attributes:
        fixed: the seconds of a step that do not depend on the size.
        step: the additional seconds of a step for each pixel.
        forward: the seconds, for each pixel, to compute the features of a picture without a
            gradient.
        pair: the additional seconds of a step for each pixel and each pair that L-BFGS keeps.
        deferred: the share of a step's time that remains while deep layers are deferred, that is,
            in the middle four fifths of a level; 1: no layer is deferred.
    """

    fixed: float
    step: float
    forward: float
    pair: float = 0.0
    deferred: float = 1.0

    def seconds_per_step(self, work: Workload) -> float:
        """Estimate a step. In tiles, the network runs twice on each outer box; see `Objective`."""
        remembering = work.pixels * work.pairs * self.pair
        if work.tiles:
            looking = self._seen(work) * (self.step + self.forward)
            return len(work.tiles) * self.fixed + looking + remembering
        return self.fixed + work.pixels * self.step + remembering

    def seconds(self, work: Workload, paintings: int) -> float:
        """Estimate a level: its steps, and the measurement of the photo and the paintings.

        Args: paintings: the number of pixels of all paintings together.
        """
        described = (self._seen(work) if work.tiles else work.pixels) + paintings
        return self.seconds_of_steps(work) + described * self.forward

    def seconds_of_steps(self, work: Workload) -> float:
        """Estimate the steps of a level."""
        steps = work.level.steps
        middle = steps - 2 * (steps // 10) if steps >= FEWEST_STEPS else 0
        return (steps - middle * (1 - self.deferred)) * self.seconds_per_step(work)

    def _seen(self, work: Workload) -> int:
        return sum(tile.outer.area for tile in work.tiles)


def measure_pace(stylizer: Stylizer, inputs: Inputs) -> Pace:
    """Measure a few steps on this machine, at the coarsest size and at a size of up to 512 px."""
    most = min(stylizer.settings.long_side, _TIMED_SIDE)
    least = stylizer.encoder.minimum_side
    levels = pyramid(inputs.photo.size, stylizer.settings, smallest=least)
    coarsest = min(levels[0].long_side, most)
    timed_levels = []
    for side in sorted({coarsest, most}):
        # A small size alone is not enough: the time of some statistics grows faster than the size.
        height, width = fit(inputs.photo.size, side)
        timed_levels.append(Level((max(height, least), max(width, least)), side, _TIMED_STEPS))
    objectives = [_objective(stylizer, inputs, level) for level in timed_levels]
    starts = [
        _start(inputs, level, stylizer.settings, first=level is timed_levels[0])
        for level in timed_levels
    ]
    runs = [
        _timed_steps(stylizer, inputs, level, objective.by_layer, start)
        for level, objective, start in zip(timed_levels, objectives, starts, strict=True)
    ]
    timed = [_seconds_per_step(run) for run in runs]
    pixels = [level.size[0] * level.size[1] for level in timed_levels]
    step, fixed = timed[-1] / pixels[-1], 0.0
    if len(timed) > 1 and pixels[0] < pixels[1] / 2:
        step = (timed[1] - timed[0]) / (pixels[1] - pixels[0])
        fixed = max(timed[0] - step * pixels[0], 0.0)
    image = starts[-1].to(stylizer.device)
    start = time.perf_counter()
    with torch.no_grad():
        stylizer.encoder(image)
    forward = (time.perf_counter() - start) / pixels[-1]
    pair = seconds_per_pair(image) if stylizer.settings.optimizer == "lbfgs" else 0.0
    deferred = 1.0
    if may_defer(stylizer.settings, FEWEST_STEPS):
        up_to = deepest_that_counts(
            objectives[-1], runs[-1][-1].layers, stylizer.settings.deferred_share
        )
        losses = partial(objectives[-1].by_layer, up_to=up_to)
        rest = _timed_steps(stylizer, inputs, timed_levels[-1], losses, starts[-1])
        deferred = min(_seconds_per_step(rest) / timed[-1], 1.0)
    return Pace(fixed, step, forward, pair / pixels[-1], deferred)


def _objective(stylizer: Stylizer, inputs: Inputs, level: Level) -> Objective:
    """Return the objective of a level that is computed whole."""
    return stylizer.objective(inputs, Workload(level, None, stylizer.settings.history, False, 0.0))


def _start(inputs: Inputs, level: Level, settings: Settings, *, first: bool) -> Tensor:
    """Return a picture like the one that a run's level starts from.

    The losses of the layers there decide which of them may be deferred. The result of a coarser
    level is near the photo.
    """
    if first:
        return initial_image(inputs, settings, level.size)
    return resized(inputs.photo, level.size, settings.resampling).image


def _timed_steps(
    stylizer: Stylizer, inputs: Inputs, level: Level, losses: Terms, image: Tensor
) -> list[Step]:
    """Take some steps at one level, from an image, in the same way as a run."""
    settings = stylizer.settings
    work = Workload(level, None, settings.history, False, 0.0)
    return list(paint_level(image, losses, work, inputs, settings, stylizer.device))


def _seconds_per_step(steps: Sequence[Step]) -> float:
    return (steps[-1].seconds - steps[0].seconds) / (len(steps) - 1)
