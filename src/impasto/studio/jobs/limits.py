"""The limits of a studio, and its errors."""

from __future__ import annotations

from dataclasses import dataclass

from impasto.errors import ImpastoError

__all__ = ["Busy", "Limits", "NoSuchThing", "QueueFull", "StudioError", "TooLarge"]


class StudioError(ImpastoError):
    """The studio cannot fulfill a request; the message gives the reason."""

    status = 409


class NoSuchThing(StudioError):  # noqa: N818  (the name says what happened)
    """There is no job, picture or file with this name, or it was deleted."""

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
        queue: the largest number of waiting jobs, besides the one that is being painted.
        max_bytes: the largest size of an uploaded picture file, in bytes.
        max_pixels: the largest number of pixels of an uploaded picture, and of a result.
        max_clip_bytes: the largest size of an uploaded clip, in bytes.
        max_frames: the largest number of frames of a clip, or of the painted part of it.
        max_time: the longest painting time of a job, in seconds. Then the job is stopped, and its
            picture is kept.
        grace: the time, in seconds, after which the jobs of a closed page are stopped.
        keep: the largest size of all results and uploads, in bytes; the oldest are deleted first.
        keep_days: the age, in days, at which results and uploads are always deleted.
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
