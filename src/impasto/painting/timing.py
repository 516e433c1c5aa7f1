"""Time estimates for a whole picture, from a few steps that are timed on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from impasto.optimize.lbfgs import seconds_per_pair
from impasto.painting.canvas import paint_level
from impasto.painting.inputs import Inputs
from impasto.painting.memory_plan import Workload
from impasto.painting.pyramid import Level, pyramid, steps_within
from impasto.painting.stylizer import Stylizer
from impasto.pictures.picture import fit, resize
from impasto.settings.pictures import Settings

__all__ = ["Pace", "measure_pace", "settings_within"]

# Steps are timed at the picture's size, but at no more than this long side, in px.
_TIMED_SIDE = 512
_TIMED_STEPS = 4


@dataclass(frozen=True)
class Pace:
    """The measured speed of this machine with some settings.

    Attributes:
        fixed: seconds of a step that do not depend on the size.
        step: further seconds of a step, per pixel.
        forward: seconds to compute the features of a picture without a gradient, per pixel.
        pair: further seconds of a step, per pixel and per pair that L-BFGS keeps.
    """

    fixed: float
    step: float
    forward: float
    pair: float = 0.0

    def seconds_per_step(self, work: Workload) -> float:
        """Estimate the seconds of a step.

        In tiles, the network also runs once without a gradient, and it sees the tiles' margins.
        """
        history = work.pixels * work.pairs * self.pair
        if work.tiles:
            network = self._seen(work) * (self.step + self.forward)
            return len(work.tiles) * self.fixed + network + history
        return self.fixed + work.pixels * self.step + history

    def seconds(self, work: Workload, paintings: int) -> float:
        """Estimate the seconds of a level: its steps, and its targets.

        Args: paintings: the number of pixels of all paintings.
        """
        measured = (self._seen(work) if work.tiles else work.pixels) + paintings
        return work.level.steps * self.seconds_per_step(work) + measured * self.forward

    def _seen(self, work: Workload) -> int:
        return sum(tile.outer.area for tile in work.tiles)


def measure_pace(stylizer: Stylizer, inputs: Inputs) -> Pace:
    """Time a few steps on this machine, at the coarsest size and at a larger one up to 512 px."""
    most = min(stylizer.settings.long_side, _TIMED_SIDE)
    least = stylizer.encoder.minimum_side
    levels = pyramid(inputs.photo.size, stylizer.settings, smallest=least)
    coarsest = min(levels[0].long_side, most)
    timed_levels = []
    for side in sorted({coarsest, most}):
        # The larger size is as large as is affordable, because the cost of some statistics grows
        # faster than the number of pixels.
        height, width = fit(inputs.photo.size, side)
        timed_levels.append(Level((max(height, least), max(width, least)), side, _TIMED_STEPS))
    timed = [_seconds_per_step(stylizer, inputs, level) for level in timed_levels]
    pixels = [level.size[0] * level.size[1] for level in timed_levels]
    step, fixed = timed[-1] / pixels[-1], 0.0
    if len(timed) > 1 and pixels[0] < pixels[1] / 2:
        step = (timed[1] - timed[0]) / (pixels[1] - pixels[0])
        fixed = max(timed[0] - step * pixels[0], 0.0)
    image = resize(inputs.photo.image, timed_levels[-1].size).to(stylizer.device)
    start = time.perf_counter()
    with torch.no_grad():
        stylizer.encoder(image)
    forward = (time.perf_counter() - start) / pixels[-1]
    pair = seconds_per_pair(image) if stylizer.settings.optimizer == "lbfgs" else 0.0
    return Pace(fixed, step, forward, pair / pixels[-1])


def _seconds_per_step(stylizer: Stylizer, inputs: Inputs, level: Level) -> float:
    """Time a few steps at one level, with the code of a run."""
    settings = stylizer.settings
    work = Workload(level, None, settings.history, False, 0.0)
    losses = stylizer.objective(inputs, work).by_layer
    image = resize(inputs.photo.image, level.size)
    steps = paint_level(image, losses, work, inputs, settings, stylizer.device)
    times = [step.seconds for step in steps]
    return (times[-1] - times[0]) / (len(times) - 1)


def settings_within(
    stylizer: Stylizer, inputs: Inputs, seconds: float, *, spent: float = 0.0
) -> Settings:
    """Choose the number of steps for a time, from steps that are timed on this machine.

    Args:
        stylizer: the stylizer that will paint the picture.
        inputs: the inputs of the picture.
        seconds: the whole time.
        spent: the seconds that have passed already; those of the measurement are added.

    Returns: the stylizer's settings with `steps` changed.
    Raises:  SettingsError: the time is too short; the message names a time that is long enough.
    """
    start = time.perf_counter()
    works = stylizer.plan(inputs).works
    pace = measure_pace(stylizer, inputs)
    spent += time.perf_counter() - start
    # The mean over all planned steps. Another number of steps has the same mean, because it is
    # split among the levels in the same proportions.
    megapixels = sum(work.level.steps * work.pixels for work in works) / 1e6
    steps = sum(work.level.steps * pace.seconds_per_step(work) for work in works)
    return steps_within(
        inputs.photo.size,
        stylizer.settings,
        seconds=seconds,
        spent=spent,
        seconds_per_megapixel=steps / megapixels,
    )
