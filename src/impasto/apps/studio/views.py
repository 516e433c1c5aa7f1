"""What is shown of pictures and jobs, by the page and by the HTTP API: plain, and all there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from impasto.apps.studio.store import ENDED, State

__all__ = ["Estimate", "Job", "Upload"]


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A picture that was uploaded: what a request names by its id."""

    id: str
    name: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a job would take.

    Attributes:
        seconds: of painting, without waiting.
        memory: bytes, at most.
        width, height: of the result, in px.
        levels: per size its width, height, steps, tiles and seconds.
        measured: whether the time was measured with these settings on this machine; else it is
            that of the default recipe, scaled.
    """

    seconds: float
    memory: float
    width: int
    height: int
    levels: list[dict[str, Any]]
    measured: bool


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as it is shown.

    Attributes:
        id: its name; whoever knows it may see it.
        kind: see `kinds.KINDS`.
        state: queued, running, paused; or at its end done, stopped (kept as far as it was), failed
            or cancelled.
        position: place in the queue, from 1; None: it does not wait.
        created, started, ended: seconds since 1970; None: not yet.
        error: why it failed or was stopped, in words; "" otherwise.
        step, count: the last step, and how many there will be.
        level, levels: the size that is painted, and how many there are.
        width, height: of the last preview; 0: there is none yet.
        losses: of the last step: content, style, tv.
        seconds: of painting so far, without pauses. Tick on from `reported` for a clock.
        remaining: seconds that are left, estimated; None: unknown.
        reported: when the worker last said something, seconds since 1970.
        previews: how many previews there have been: a new number is a new picture.
        request: what was asked for, complete; settings as last changed.
        continued: notes of interruptions and changes, each a dictionary with its step.
        has_result: whether there is a picture to download.
    """

    id: str
    kind: str
    state: State
    position: int | None
    created: float
    started: float | None
    ended: float | None
    error: str
    step: int
    count: int
    level: int
    levels: int
    width: int
    height: int
    losses: dict[str, float]
    seconds: float
    remaining: float | None
    reported: float | None
    previews: int
    request: dict[str, Any]
    continued: list[dict[str, Any]]
    has_result: bool

    @property
    def ended_well(self) -> bool:
        """Whether there is nothing left to wait for, and a picture to show."""
        return self.state in ENDED and self.has_result
