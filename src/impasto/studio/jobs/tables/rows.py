"""Rows of the studio's tables, the states of a job, and the commands for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = [
    "ALIVE",
    "ENDED",
    "PACES_LEARNED",
    "Command",
    "State",
    "StoredClip",
    "StoredJob",
    "StoredPicture",
]


class State(StrEnum):
    """State of a job. The values are those of the database and the HTTP API."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    STOPPED = "stopped"  # ended early; the picture is kept as it was
    FAILED = "failed"
    CANCELLED = "cancelled"


ALIVE = (State.QUEUED, State.RUNNING, State.PAUSED)
ENDED = (State.DONE, State.STOPPED, State.FAILED, State.CANCELLED)


class Command(StrEnum):
    """Command for the worker that paints a job."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    CANCEL = "cancel"
    CHANGE = "change"


# Name of a fact, a count. When it changes, earlier estimates are outdated.
PACES_LEARNED = "paces learned"


@dataclass(frozen=True)
class StoredPicture:
    """An uploaded picture.

    Attributes:
        name, sha256, dpi: of the uploaded file, before it was re-encoded.
    """

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
    """An uploaded clip; see `UploadedClip`.

    Attributes:
        sound: whether there is a sound track: 0 or 1.
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
    """A job as it is stored.

    Attributes:
        owner: session that created it.
        kind: see `requests.KINDS`.
        request: the checked, complete request: see `requests.Request`.
        created, started, ended: seconds since 1970; None: not yet.
        progress: last report of the worker: step, count, losses, previews …
        error: the reason why it failed or was stopped; "": there is none.
        deaths: number of workers that died while they painted it.
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

    @property
    def current_request(self) -> dict[str, Any]:
        """The request with the weights as they were last changed."""
        changed = self.progress.get("changed", {})
        return {
            **self.request,
            "settings": {**self.request["settings"], **changed},
            "changes": {**self.request["changes"], **changed},
        }
