"""What a studio remembers, as rows of its tables: jobs, pictures, clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["ALIVE", "ENDED", "LESSONS", "State", "StoredClip", "StoredJob", "StoredPicture"]

State = Literal["queued", "running", "paused", "done", "stopped", "failed", "cancelled"]
ALIVE: tuple[State, ...] = ("queued", "running", "paused")
ENDED: tuple[State, ...] = ("done", "stopped", "failed", "cancelled")

# A fact, a count: with another one, the estimates that were given before are outdated.
LESSONS = "paces learned"


@dataclass(frozen=True)
class StoredPicture:
    """An upload: its id, and what its file was before it was re-encoded."""

    id: str
    owner: str
    name: str
    sha256: str
    width: int
    height: int
    dpi: float | None
    suffix: str
    created: float


@dataclass(frozen=True)
class StoredClip:
    """An uploaded clip: its id, and what its file says of itself, as `UploadedClip` tells it.

    Attributes:
        sound: whether there is a sound track; kept as 0 or 1.
    """

    id: str
    owner: str
    name: str
    width: int
    height: int
    frames: int | None
    seconds: float | None
    rate: float
    sound: int
    created: float


@dataclass(frozen=True)
class StoredJob:
    """A job as it is remembered.

    Attributes:
        owner: the session that made it.
        kind: see `kinds.KINDS`.
        request: what was asked for, checked and complete: see `kinds.Request`.
        created, started, ended: seconds since 1970; None: not yet.
        progress: what the worker last said: step, count, losses, preview …
        error: why it failed, or was stopped; "" otherwise.
        deaths: how many workers died while they painted it.
        watched: whether it stops when its page is closed.
    """

    id: str
    owner: str
    kind: str
    request: dict[str, Any]
    state: State
    created: float
    started: float | None
    ended: float | None
    progress: dict[str, Any]
    error: str
    deaths: int
    watched: bool
