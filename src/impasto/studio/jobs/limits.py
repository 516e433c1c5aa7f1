"""The limits of a studio, and its errors."""

from __future__ import annotations

from dataclasses import dataclass

from impasto.errors import ImpastoError

__all__ = ["Busy", "Limits", "NoSuchThing", "QueueFull", "StudioError", "TooLarge"]


class StudioError(ImpastoError):
    """The studio cannot do what was asked; the message says why."""

    status = 409


class NoSuchThing(StudioError):  # noqa: N818  (the name says what happened)
    """There is no job, picture or file of this name (any more)."""

    status = 404


class TooLarge(StudioError):  # noqa: N818
    """An upload or a result is larger than the studio allows."""

    status = 413


class Busy(StudioError):  # noqa: N818
    """The studio is busy: try again later."""

    status = 429


class QueueFull(Busy):
    """The queue is full."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a studio.

    Attributes:
        queue: jobs that may wait, besides the one that is being painted.
        max_bytes: bytes of an uploaded picture file.
        max_pixels: pixels of an uploaded picture, and of a result.
        max_clip_bytes: bytes of an uploaded clip.
        max_frames: frames of a clip, or of the painted part of it.
        max_time: painting time of a job in seconds; after that it is stopped, and its picture kept.
        grace: seconds after which the jobs of a closed page are stopped.
        keep: bytes of results and uploads to keep; the oldest are deleted first.
        keep_days: days after which results and uploads are deleted in any case.
    """

    queue: int = 20
    max_bytes: int = 50_000_000
    max_pixels: int = 40_000_000
    max_clip_bytes: int = 500_000_000
    max_frames: int = 2000
    max_time: float = 4 * 3600.0
    grace: float = 120.0
    keep: int = 5_000_000_000
    keep_days: float = 30.0
