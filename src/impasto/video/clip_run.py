"""The state of a clip that is being painted: its frames, their painter and their store."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field

from impasto.errors import TruncatedClip
from impasto.optimize.loop import Step
from impasto.pictures.picture import Image
from impasto.settings.clips import VideoSettings
from impasto.video.frame_painter import FramePainter, FrameSteps
from impasto.video.frame_store import FINAL, FrameInfo, FrameStore
from impasto.video.io.frames import Clip, Frame, read_frames

__all__ = ["ClipRun", "ClipSteps", "VideoStep"]


@dataclass(frozen=True, eq=False, repr=False)
class VideoStep:
    """One evaluation of the objective of a frame.

    Attributes:
        step: the step of the frame, with its image and its losses.
        frame: the number of the frame, from 1.
        frames: the expected number of frames, an estimate for some clips; None: unknown.
        done: the number of finished frames, over all passes.
        stage: the number of the pass, from 1.
        stages: the number of passes.
        seconds: the time since the run was started or resumed.
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
        """The frame at this step, (1, 3, H, W), sRGB, in [0, 1] if the pixels are clamped."""
        return self.step.image

    def __repr__(self) -> str:
        return f"<VideoStep, frame {self.frame}/{self.frames or '?'}, {self.step!r}>"


ClipSteps = Generator[VideoStep, None, None]


@dataclass(eq=False, kw_only=True)
class ClipRun:
    """A clip that is being painted.

    Attributes:
        clip: the source of the photos.
        start, end: the part of the clip that is painted, in seconds; None: its start or end.
        painter: paints one frame.
        video: the settings of the clip.
        store: holds the painted frames.
        done: the number of finished frames, over all passes.
        stage: the number of the pass, from 1.
        count: the number of frames; None until all have been read.
        truncated: the error, if the clip ends early.
    """

    clip: Clip
    painter: FramePainter
    video: VideoSettings
    store: FrameStore
    start: float | None = None
    end: float | None = None
    done: int = 0
    stage: int = 1
    count: int | None = None
    truncated: TruncatedClip | None = None
    _begun: float = field(default_factory=time.perf_counter, repr=False)

    @property
    def expected(self) -> int | None:
        """The expected number of frames, by the properties of the clip; None: unknown."""
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
        """Read the frames at the size of painting; if the clip ends early, all that are readable.

        Raises: VideoError: as for `read_frames`.
        """
        read = 0
        settings = self.painter.stylizer.settings
        frames = read_frames(
            self.clip, start=self.start, end=self.end, long_side=settings.long_side,
            resampling=settings.resampling,
        )  # fmt: skip
        try:
            for frame in frames:
                yield self.painter.styling.photo(frame)
                read += 1
        except TruncatedClip as error:
            if not read:
                raise
            self.truncated = error.with_traceback(None)
        self.count = read

    def paint(
        self,
        frame: Frame,
        paint: Callable[[], FrameSteps],
        *,
        starts_scene: bool = False,
        folder: str = FINAL,
    ) -> Generator[VideoStep, None, Image]:
        """Paint a frame, unless it is in the store, and return it as it is stored.

        Args:
            paint: starts painting the frame.
            starts_scene: whether it is the first frame of a scene.
            folder: within the frame store.
        """
        if self.store.has(frame.index, folder):
            image = self.store.load(frame.index, folder)
        else:
            losses: Mapping[str, float] = {}
            steps = paint()
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    image = end.value
                    break
                losses = step.losses
                yield self._video_step(step, frame)
            info = FrameInfo(frame.index, frame.time, frame.duration, starts_scene, losses)
            image = self.store.save(image, info, folder, alpha=frame.alpha)
        self.done += 1
        return image

    def _video_step(self, step: Step, frame: Frame) -> VideoStep:
        return VideoStep(
            step,
            frame=frame.index + 1,
            frames=self.expected,
            done=self.done,
            stage=self.stage,
            stages=self.video.passes,
            seconds=time.perf_counter() - self._begun,
        )
