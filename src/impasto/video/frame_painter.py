"""Paints one frame: the first of a scene from coarse to fine, the others from a prediction."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from impasto.objective.deferred_layers import deferring
from impasto.optimize.loop import Step
from impasto.painting.canvas import Surface, complete, paint_level
from impasto.painting.inputs import Inputs
from impasto.painting.level_targets import StyleTargets
from impasto.painting.pyramid import Level
from impasto.painting.stylizer import Stylizer
from impasto.pictures.picture import Image
from impasto.video.io.frames import Frame
from impasto.video.styling import Styling
from impasto.video.temporal import TemporalTerm

__all__ = ["FramePainter", "FrameSteps"]

# Yields the steps of a frame and returns its pastiche.
FrameSteps = Generator[Step, None, Image]


class FramePainter:
    """Paints the frames of a clip with one encoder; the paintings are measured once.

    Args:
        stylizer: holds the settings and the encoder.
        styling: the paintings and their masks.
        size: (H, W) of the frames.
        steps: the largest number of evaluations for a frame that does not start a scene.
    """

    def __init__(
        self, stylizer: Stylizer, styling: Styling, size: tuple[int, int], steps: int = 1
    ) -> None:
        self.stylizer = stylizer
        self.styling = styling
        side = stylizer.settings.long_side
        (self.work,) = stylizer.allot([Level(size, side, steps)], files=styling.paintings)
        self._scene: Frame | None = None
        self._styles: StyleTargets | None = None

    def begin_scene(self, frame: Frame) -> None:
        """Set a scene's first frame: the paintings get its colors, if the settings ask for that."""
        self._scene = frame
        if self.stylizer.settings.color != "style":
            self._styles = None

    def first(self, frame: Frame) -> FrameSteps:
        """Paint the first frame of a scene, with the whole schedule.

        Raises: as for `Stylizer.steps`.
        """
        inputs = self.styling.inputs(frame.picture, frame.index)
        if not self._is_painted(inputs):
            return frame.image
        image = frame.image
        plan = self.stylizer.plan(inputs, blend=self.styling.blend(frame.time))
        for step in plan.steps():
            image = step.image
            yield step
        return self._finished(image, inputs)

    def onward(
        self, frame: Frame, start: Image, target: Image, trust: Image, weight: float, steps: int
    ) -> FrameSteps:
        """Paint a frame at full size; the temporal loss keeps it close to a target.

        Args:
            start: (1, 3, H, W).
            target: the prediction of the frame, (1, 3, H, W).
            trust: the weight of each pixel in the temporal loss, (1, 1, H, W) in [0, 1].
            weight: the weight of the temporal loss.
            steps: the number of evaluations; 0: the start is the result.

        Raises: DivergenceError: the optimization failed.
        """
        inputs = self.styling.inputs(frame.picture, frame.index)
        if not self._is_painted(inputs):
            return frame.image
        image = start
        if steps:
            work = replace(self.work, level=replace(self.work.level, steps=steps))
            seen = self._seen(target, frame.image)
            objective = self.stylizer.objective(
                inputs, work, styles=self._measured(frame), blend=self.styling.blend(frame.time),
                terms=[TemporalTerm(seen, trust, weight)] if weight else [],
            )  # fmt: skip
            losses, settings = deferring(objective, steps), self.stylizer.settings
            device = self.stylizer.device
            for step in paint_level(start, losses, work, inputs, settings, device):
                image = step.image
                yield step
        return self._finished(image, inputs)

    def _measured(self, frame: Frame) -> StyleTargets:
        """Return the paintings, measured with the colors of the frame's scene."""
        if self._styles is None:
            scene, stylizer = self._scene or frame, self.stylizer
            inputs = self.styling.inputs(scene.picture, scene.index)
            self._styles = StyleTargets(stylizer.encoder, inputs, stylizer.settings, self.work)
        return self._styles

    def _seen(self, target: Image, photo: Image) -> Image:
        """Return a target as the objective sees pictures: gray, if only luminance is painted."""
        settings = self.stylizer.settings
        if settings.color != "luminance":
            return target
        surface = Surface(photo, None, settings, self.stylizer.device)
        return surface.seen(surface.start(target.to(self.stylizer.device)))

    def _is_painted(self, inputs: Inputs) -> bool:
        """Return whether any pixel of a frame is painted, by its masks."""
        painted = inputs.layout.painted(self.work.level.size, self.stylizer.settings.feather)
        return painted is None or bool(painted.any())

    def _finished(self, image: Image, inputs: Inputs) -> Image:
        return complete(image, inputs, self.stylizer.settings)
