"""What is shown of pictures and jobs, by the page and by the HTTP API: plain, and all there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from impasto.studio.jobs.tables.rows import ENDED, State

__all__ = ["ClipProgress", "Estimate", "Job", "Upload", "UploadedClip"]


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A picture that was uploaded: what a request names by its id."""

    id: str
    name: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class UploadedClip:
    """A clip that was uploaded.

    Attributes:
        width, height: of its frames, in px.
        frames: how many there are, an estimate for some formats; None: unknown.
        seconds: how long it is; None: unknown.
        rate: frames a second.
        sound: whether there is a sound track.
    """

    id: str
    name: str
    width: int
    height: int
    frames: int | None
    seconds: float | None
    rate: float
    sound: bool


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a job would take.

    Attributes:
        seconds: of painting, without waiting.
        memory: bytes, at most.
        width, height: of the result, in px.
        levels: per size its width, height, steps, tiles and seconds.
        frames: of a clip; 0: it is none, or unknown.
        measured: whether the time was measured with these settings on this machine; else it is
            that of the default recipe, scaled.
    """

    seconds: float
    memory: float
    width: int
    height: int
    levels: list[dict[str, Any]]
    measured: bool
    frames: int = 0


@dataclass(frozen=True, kw_only=True)
class ClipProgress:
    """How far a clip is.

    Attributes:
        frame: the number of the frame that is painted, from 1; 0: none is yet.
        frames: how many there will be, an estimate for some clips; None: unknown.
        done: how many are finished, in all passes.
        stage, stages: the pass, from 1, and how many there are.
        encoding: whether all are painted, and the file is written.
    """

    frame: int = 0
    frames: int | None = None
    done: int = 0
    stage: int = 1
    stages: int = 1
    encoding: bool = False


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
        step, count: the last step, and how many there will be; of a clip: of the frame.
        level, levels: the size that is painted, and how many there are.
        width, height: of the last preview; 0: there is none yet.
        losses: of the last step: content, style, tv.
        clip: how far a clip is; None: it is none.
        seconds: of painting so far, without pauses. Tick on from `reported` for a clock.
        remaining: seconds that are left, estimated; None: unknown.
        reported: when the worker last said something, seconds since 1970.
        previews: how many previews there have been: a new number is a new picture.
        request: what was asked for, complete; settings as last changed.
        continued: notes of interruptions and changes, each a dictionary with its step.
        has_result: whether there is a picture or clip to download.
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
    clip: ClipProgress | None
    seconds: float
    remaining: float | None
    reported: float | None
    previews: int
    request: dict[str, Any]
    continued: list[dict[str, Any]]
    has_result: bool

    @property
    def ended_well(self) -> bool:
        """Whether there is nothing left to wait for, and a result to show."""
        return self.state in ENDED and self.has_result
