"""The facts about pictures, clips, jobs and estimates that pages and programs see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from impasto.studio.jobs.tables.rows import State, StoredClip, StoredPicture

__all__ = ["ClipProgress", "Estimate", "Job", "Upload", "UploadedClip"]


@dataclass(frozen=True, kw_only=True)
class Upload:
    """An uploaded picture. Requests refer to it by its id."""

    id: str
    name: str
    width: int
    height: int

    @classmethod
    def of(cls, row: StoredPicture) -> Upload:
        """Return the public facts about a stored picture."""
        return cls(id=row.id, name=row.name, width=row.width, height=row.height)


@dataclass(frozen=True, kw_only=True)
class UploadedClip:
    """An uploaded clip. Requests refer to it by its id.

    Attributes:
        width, height: size of its frames, px.
        frames: number of frames, an estimate for some formats; None: unknown.
        seconds: duration; None: unknown.
        rate: frames per second.
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

    @classmethod
    def of(cls, row: StoredClip) -> UploadedClip:
        """Return the public facts about a stored clip."""
        return cls(
            id=row.id, name=row.name, width=row.width, height=row.height, frames=row.frames,
            seconds=row.seconds, rate=row.rate, sound=bool(row.sound),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimate of the time and memory that a job needs.

    Attributes:
        seconds: painting time, without the time in the queue.
        memory: peak memory, bytes.
        width, height: size of the result, px.
        levels: width, height, steps, tiles and seconds of each level.
        frames: number of frames of a clip; 0: not a clip, or unknown.
        measured: whether the pace was measured with these settings on this machine; otherwise the
            time is scaled from other settings.
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
    """The progress of a clip.

    Attributes:
        frame: number of the frame being painted, from 1; 0: none yet.
        frames: total number of frames, an estimate for some clips; None: unknown.
        done: number of finished frames, over all passes.
        stage, stages: current pass, from 1, and number of passes.
        encoding: whether all frames are painted and the file is being written.
    """

    frame: int = 0
    frames: int | None = None
    done: int = 0
    stage: int = 1
    stages: int = 1
    encoding: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job.

    Attributes:
        id: everyone who knows the id may see and control the job.
        kind: see `requests.KINDS`.
        state: queued, running or paused; or, when the job has ended: done, stopped (its picture is
            kept as it was), failed or cancelled.
        position: place in the queue, from 1; None: it is not queued.
        created, started, ended: seconds since 1970; None: not yet.
        error: the reason why it failed or was stopped, in words; "": there is none.
        notes: one sentence for each way in which a file differs from what was painted.
        step, count: last step and total number of steps; for a clip, those of its present frame.
        level, levels: current level (size) and number of levels.
        width, height: size of the last preview; 0: there is none yet.
        losses: losses of the last step: content, style, tv.
        clip: progress of a clip; None: it is not a clip.
        seconds: painting time up to the last report, without pauses. To show a clock, add the time
            since `reported`.
        remaining: estimated remaining seconds; None: unknown.
        reported: time of the worker's last report, seconds since 1970.
        previews: number of previews so far; it changes with every new preview.
        request: the complete request, with the latest weights.
        continued: the interruptions and changes so far, each a dictionary that contains its step.
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
    notes: list[str]
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
