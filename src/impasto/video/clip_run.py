"""A clip on its way from photos to pastiches: its frames, what paints them, where they are kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field

from impasto.errors import TruncatedClip
from impasto.optimize.loop import Step
from impasto.pictures.picture import Image
from impasto.settings.clips import VideoSettings
from impasto.video.frame_painter import FramePainter, Painting
from impasto.video.frame_store import Painted, Run
from impasto.video.io.frames import Clip, Frame, read_frames

__all__ = ["Reel", "Steps", "VideoStep"]


@dataclass(frozen=True, eq=False, repr=False)
class VideoStep:
    """One evaluation of the objective of a frame.

    Attributes:
        step: of the frame: its picture and what it scores.
        frame: number of the frame, from 1.
        frames: how many there will be; an estimate for some clips; None: unknown.
        done: how many frames are finished, in all passes.
        stage: number of the pass, from 1.
        stages: how many passes there are.
        seconds: since the run began, or was taken up again.
    """

    step: Step
    frame: int
    frames: int | None
    done: int
    stage: int = 1
    stages: int = 1
    seconds: float = 0.0

    @property
    def image(self) -> Image:
        """The frame as it is by now, (1, 3, H, W), sRGB in [0, 1]."""
        return self.step.image

    def __repr__(self) -> str:
        return f"<VideoStep, frame {self.frame}/{self.frames or '?'}, {self.step!r}>"


Steps = Generator[VideoStep, None, None]


@dataclass(eq=False, kw_only=True)
class Reel:
    """A clip being painted.

    Attributes:
        clip: where the photos are from.
        start, end: seconds of the clip; which part is painted. None: from or to its own end.
        painter: paints one frame.
        video: how frames are tied together.
        run: keeps them.
        done: how many frames are finished, in all passes.
        stage: number of the pass, from 1.
        count: how many frames there were, once all were read.
        truncated: what was wrong, where the clip ended early.
    """

    clip: Clip
    painter: FramePainter
    video: VideoSettings
    run: Run
    start: float | None = None
    end: float | None = None
    done: int = 0
    stage: int = 1
    count: int | None = None
    truncated: TruncatedClip | None = None
    _begun: float = field(default_factory=time.perf_counter, repr=False)

    @property
    def expected(self) -> int | None:
        """How many frames there will be, as far as the clip knows."""
        if self.count is not None:
            return self.count
        clip = self.clip
        if clip.frames is None or clip.duration is None:
            return clip.frames if self.start is None and self.end is None else None
        end = clip.duration if self.end is None else min(self.end, clip.duration)
        if self.start is None and end >= clip.duration:
            return clip.frames
        return max(1, math.ceil((end - (self.start or 0.0)) * float(clip.rate)))

    def photos(self) -> Iterator[Frame]:
        """Read the frames, at the size they are painted at; all there are, if the clip ends early.

        Raises: VideoError: as `read_frames`.
        """
        read = 0
        side = self.painter.stylizer.settings.long_side
        try:
            for frame in read_frames(self.clip, start=self.start, end=self.end, long_side=side):
                yield frame
                read += 1
        except TruncatedClip as error:
            if not read:
                raise
            self.truncated = error.with_traceback(None)
        self.count = read

    def painted(
        self,
        frame: Frame,
        painting: Callable[[], Painting],
        *,
        begins: bool = False,
        folder: str = "",
    ) -> Generator[VideoStep, None, Image]:
        """Paint a frame, unless that was done before, and return it as it is kept.

        Args:
            painting: begins to paint.
            begins: whether a scene begins with the frame.
            folder: of the run, for what is not final.
        """
        if self.run.has(frame.index, folder):
            image = self.run.load(frame.index, folder)
        else:
            losses: Mapping[str, float] = {}
            steps = painting()
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    image = end.value
                    break
                losses = step.losses
                yield self._of_clip(step, frame)
            note = Painted(frame.index, frame.time, frame.duration, begins, losses)
            image = self.run.save(image, note, folder)
        self.done += 1
        return image

    def _of_clip(self, step: Step, frame: Frame) -> VideoStep:
        return VideoStep(
            step,
            frame=frame.index + 1,
            frames=self.expected,
            done=self.done,
            stage=self.stage,
            stages=self.video.passes,
            seconds=time.perf_counter() - self._begun,
        )
