"""The remaining time of a clip."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from impasto.video.clip_run import VideoStep

__all__ = ["RemainingTime"]

_RECENT = 8  # frames whose times the estimate uses


class RemainingTime:
    """The remaining time of a clip, estimated from the times of its last frames.

    A scene's first frame takes longer than the others. Its time counts only until there are others.

    Attributes: frames: the number of frames that have been finished since this object exists.
    """

    def __init__(self) -> None:
        self.seen: VideoStep | None = None
        self.since = 0.0  # seconds of the run when the current frame began
        self.times: deque[float] = deque(maxlen=_RECENT)
        self.frames = 0

    def remaining(self, step: VideoStep) -> float | None:
        """Return the seconds that are left; None: not known yet."""
        if self.seen is not None and step.done > self.seen.done:
            self.frames += 1
            if self.frames == 2:
                self.times.clear()
            # Frames of a draft that are only warped have no steps of their own.
            self.times.append((step.seconds - self.since) / (step.done - self.seen.done))
            self.since = step.seconds
        self.seen = step
        if step.frames is None or not self.times:
            return None
        left = step.frames * step.stages - step.done
        mean = sum(self.times) / len(self.times)
        return max(left * mean - (step.seconds - self.since), 0.0)
