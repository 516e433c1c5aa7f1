"""Paints the job of a clip, or of a clip's preview sheet.

The painted frames stay in the job's folder until the file is written. So the next worker resumes
at the first missing frame, and a stopped job yields a clip of its finished frames.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from impasto.errors import DivergenceError, VideoError, counted
from impasto.pictures.picture import Image
from impasto.studio.jobs.clip_uploads import named
from impasto.studio.jobs.limits import Limits, StudioError
from impasto.studio.jobs.tables.rows import State, StoredJob
from impasto.studio.worker.footage import Footage, read_footage
from impasto.studio.worker.interrupts import Cause, Interrupted, Interrupts, Outcome
from impasto.studio.worker.job_log import JobLog
from impasto.video.clip_run import VideoStep
from impasto.video.io.frames import Frame, open_clip, read_frames
from impasto.video.preview import contact_sheet, preview_frames, preview_step
from impasto.video.remaining_time import RemainingTime
from impasto.video.stylize_video import Film, VideoPlan, plan_video

__all__ = ["paint_clip", "paint_sheet"]

_RESULT = "result.mp4"
_ENOUGH_STEPS = 4  # after 1/4 of a frame's steps, its time can be estimated


# ---- the clip -----------------------------------------------------------------------------------


def paint_clip(row: StoredJob, interrupts: Interrupts, limits: Limits) -> None:
    """Paint a clip to its end, or until an interruption.

    Raises: ImpastoError: the clip cannot be painted.
    """
    log, store = interrupts.log, interrupts.store
    if (log.folder / _RESULT).is_file():  # an earlier worker died right after it wrote the file
        store.jobs.move(row.id, State.DONE)
        return
    footage = read_footage(row.request, store)
    with named(footage.clip.path, footage.name):
        plan = _plan(footage, log.folder)
        _check_size(plan, limits)
        clip_log = _ClipLog(log, plan)
        outcome = _paint(plan, clip_log, interrupts, limits)
        if outcome.state in (State.DONE, State.STOPPED):
            error = _write_clip(plan, clip_log, footage.name, outcome)
            outcome = outcome._replace(error=error)
    if outcome.state is not None:
        store.jobs.move(row.id, outcome.state, error=outcome.error)
        shutil.rmtree(store.jobs.frames_folder(row.id), ignore_errors=True)


def _plan(footage: Footage, folder: Path) -> VideoPlan:
    """Plan a clip. Raises: StudioError: the clip's sound cannot be stored in MP4."""
    try:
        return _plan_as_is(footage, folder)
    except VideoError as error:
        if footage.sound and footage.clip.has_sound:
            # Raises the same error if the sound is not the reason.
            _plan_as_is(replace(footage, sound=False), folder)
            codecs = " and ".join(footage.clip.sounds)
            raise StudioError(
                f"the sound of {footage.name} is {codecs}, which MP4 cannot hold; paint the clip "
                "without its sound"
            ) from error
        raise


def _plan_as_is(footage: Footage, folder: Path) -> VideoPlan:
    return plan_video(
        footage.clip, footage.styles, folder / _RESULT, footage.settings, footage.video,
        guidance=footage.guidance, start=footage.start, end=footage.end, sound=footage.sound,
        overwrite=True,
    )  # fmt: skip


def _check_size(plan: VideoPlan, limits: Limits) -> None:
    height, width = plan.run.painter.work.level.size
    if height * width > limits.max_pixels:
        raise StudioError(
            f"the result has {width} x {height} px, and the studio allows "
            f"{limits.max_pixels / 1e6:g} megapixels; choose a smaller size"
        )


def _paint(plan: VideoPlan, clip_log: _ClipLog, interrupts: Interrupts, limits: Limits) -> Outcome:
    try:
        for step in plan.steps():
            if step.frame > limits.max_frames:  # the file did not say how many frames it has
                most = counted(limits.max_frames, "frame")
                reason = f"stopped after {most}: the studio allows no more"
                raise Interrupted(Cause.STOP, reason=reason)
            clip_log.add(step)
            interrupts.check()
    except DivergenceError as diverged:
        if not plan.finished:
            raise
        return Outcome(State.STOPPED, str(diverged))
    except Interrupted as interrupted:
        if interrupted.outcome.state is not State.STOPPED:
            clip_log.update()
        return interrupted.outcome
    return Outcome(State.DONE)


def _write_clip(plan: VideoPlan, clip_log: _ClipLog, name: str, outcome: Outcome) -> str:
    """Write the painted frames as a clip, and return the job's error message; "": no error.

    Args: name: the name of the uploaded clip, for messages.
    """
    partly = outcome.state is State.STOPPED
    if partly and not plan.finished:
        clip_log.update()
        return outcome.error or "stopped before its first frame was finished"
    clip_log.start_writing()
    film = plan.finish(partly=partly)
    first = next(read_frames(open_clip(film.path))).image
    notes = [note.replace(plan.run.clip.path.name, name) for note in film.notes]
    clip_log.finish(film, first, notes)
    if film.truncated is not None:
        film.truncated.path = name
        return f"{film.truncated}; all readable frames are painted"
    return outcome.error


class _ClipLog:
    """Writes the progress of a clip into the log of its job: frame, step, remaining time."""

    def __init__(self, log: JobLog, plan: VideoPlan) -> None:
        self.log = log
        self.draft = plan.run.video.draft
        self.last: VideoStep | None = None
        self.time_left = RemainingTime()
        self.begun = 0.0  # seconds when the first frame was finished and the motion search began
        expected, resumed = plan.run.expected, plan.run.store.resumed
        if resumed:
            log.note("an interruption", step=0, frame=resumed + 1)
        stages = plan.run.video.passes
        self._set(frame=0, frames=expected, done=0, stage=1, stages=stages, encoding=False)

    def add(self, step: VideoStep) -> None:
        """Record a step, and its picture if a preview is due."""
        before, self.last = self.last, step
        remaining = self._remaining(replace(step, seconds=self.log.seconds))
        if before is not None and before.done < step.done:
            self._note_frame(before)
        self.log.progress |= {
            "step": step.step.index, "count": step.step.count, "level": step.step.level,
            "levels": step.step.levels, "losses": dict(step.step.losses), "remaining": remaining,
        }  # fmt: skip
        if self.log.preview_due:
            self.update()

    def _remaining(self, step: VideoStep) -> float | None:
        """Return the remaining seconds; None: not known yet."""
        left = self.time_left.remaining(step)
        if self.time_left.frames == 0:
            self.begun = step.seconds
        if self.time_left.frames != 1 or step.frames is None or self.draft:
            return left
        # A scene's first frame takes longer than the others: estimate from the second one's steps.
        index, count = step.step.index, step.step.count
        if index * _ENOUGH_STEPS < count:
            return None
        spent = step.seconds - self.begun
        return spent / index * count * (step.frames * step.stages - step.done) - spent

    def update(self) -> None:
        """Save the preview and report the last step."""
        step = self.last
        if step is not None:
            self.log.save_preview(step.image)
            self._set(
                frame=step.frame, frames=step.frames, done=step.done, stage=step.stage,
                stages=step.stages,
            )  # fmt: skip
        self.log.report()

    def start_writing(self) -> None:
        """Report that all frames are painted and the file is being written."""
        if self.last is not None:
            self._note_frame(self.last)
        self.update()
        self.log.progress["remaining"] = None
        self._set(encoding=True)
        self.log.report()

    def finish(self, film: Film, first: Image, notes: Sequence[str]) -> None:
        """Report that the file is written.

        Args:
            first: its first frame, (1, 3, H, W).
            notes: what is to be said about it, with the names of uploaded files.
        """
        self.log.save_preview(first)
        self._set(frame=film.frames, frames=film.frames, done=film.frames, encoding=False)
        self.log.progress |= {"remaining": 0.0, "notes": list(notes)}
        self.log.report()

    def _note_frame(self, step: VideoStep) -> None:
        numbers = {"step": step.frame, "level": 1, "seconds": round(self.log.seconds, 3)}
        self.log.steps.append({**numbers, **step.step.losses, "total": step.step.total})

    def _set(self, **facts: Any) -> None:
        self.log.progress["clip"] = {**self.log.progress.get("clip", {}), **facts}


# ---- the preview sheet --------------------------------------------------------------------------


def paint_sheet(row: StoredJob, interrupts: Interrupts) -> None:
    """Paint some frames of a clip, small, and show them on a sheet that grows.

    Raises: ImpastoError: they cannot be painted.
    """
    log, store = interrupts.log, interrupts.store
    footage = read_footage(row.request, store)
    painted: list[tuple[Frame, Image]] = []
    outcome = Outcome(State.DONE)
    with named(footage.clip.path, footage.name):
        frames = preview_frames(
            footage.clip, footage.styles, footage.settings, guidance=footage.guidance,
            start=footage.start, end=footage.end,
        )  # fmt: skip
        try:
            for each in frames:
                painted.append(each)
                _show_sheet(log, painted, footage)
                interrupts.check()
        except Interrupted as interrupted:
            outcome = interrupted.outcome
    if outcome.state is None:
        return
    if outcome.state is not State.CANCELLED:
        log.save_result(contact_sheet(painted))
        log.progress["remaining"] = 0.0
        log.report()
    store.jobs.move(row.id, outcome.state, error=outcome.error)


def _show_sheet(log: JobLog, painted: Sequence[tuple[Frame, Image]], footage: Footage) -> None:
    done = len(painted)
    count = None if footage.frames is None else -(-footage.frames // preview_step(footage.clip))
    log.save_preview(contact_sheet(painted))
    log.progress |= {
        "clip": {"frame": done, "frames": count, "done": done}, "step": 1, "count": 1,
        "remaining": None if count is None else log.seconds / done * max(count - done, 0),
    }  # fmt: skip
    log.report()
