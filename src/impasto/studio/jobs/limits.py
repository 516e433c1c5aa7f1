"""What a studio allows, and what may go wrong besides what the library reports."""

from __future__ import annotations

from dataclasses import dataclass

from impasto.errors import ImpastoError

__all__ = ["Busy", "Limits", "NoSuchThing", "QueueFull", "StudioError", "TooLarge"]


class StudioError(ImpastoError):
    """Something that was asked of the studio cannot be done; the message says why."""

    status = 409


class NoSuchThing(StudioError):  # noqa: N818  (the name says what happened)
    """No job, picture or file has this name, or it was cleaned up."""

    status = 404


class TooLarge(StudioError):  # noqa: N818
    """What was uploaded or asked for is larger than the studio allows."""

    status = 413


class Busy(StudioError):  # noqa: N818
    """Not now: try again later."""

    status = 429


class QueueFull(Busy):
    """As many jobs wait as may: the documented answer under load."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much the studio takes on.

    Attributes:
        queue: jobs that may wait, besides the one that is painted.
        max_bytes: of an uploaded file.
        max_pixels: of an uploaded picture, and of a result.
        max_clip_bytes: of an uploaded clip.
        max_frames: of a clip, or of the part of it that is painted.
        max_time: seconds that one job may paint; then it is stopped and what is there is kept.
        grace: seconds after which a job stops whose page was closed.
        keep: bytes of results and uploads that are kept; the oldest go first.
        keep_days: days after which they go in any case.
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
