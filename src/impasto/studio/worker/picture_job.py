"""Paints a picture's job: steps, previews, checkpoints, the result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from impasto.errors import DivergenceError
from impasto.optimize.loop import Step
from impasto.painting.progress import RunProgress
from impasto.pictures.picture import fit_within
from impasto.storage import replace_file
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.tables.rows import State, StoredJob
from impasto.studio.worker.checkpoints import (
    PictureRun,
    Result,
    read_checkpoint,
    write_checkpoint,
)
from impasto.studio.worker.interrupts import Cause, Interrupted, Interrupts, Outcome
from impasto.studio.worker.job_log import JobLog, as_jpeg, as_png, reduced

__all__ = ["PictureLog", "paint_picture"]

_CHECKPOINT_SHARE = 20  # time between two checkpoints / time for writing one
_FRAMES = 60  # frames of a time-lapse
_FRAME_SIDE = 720


class PictureLog(JobLog):
    """The log of a picture's job: also keeps checkpoints and the frames of a time-lapse.

    Args: store, row: the job. The log resumes from an earlier worker's checkpoint if there is one.

    Attributes:
        run: the run that is painted.
        last: the last step, with the seconds of the whole job; None: there is none yet.
    """

    run: PictureRun

    def __init__(self, store: Store, row: StoredJob) -> None:
        self.last = read_checkpoint(store.jobs.folder(row.id) / "checkpoint.npz")
        super().__init__(store, row, self.last.seconds if self.last is not None else 0.0)
        (self.folder / "frames").mkdir(exist_ok=True)
        self._step: Step | None = None
        self._saved = -1e9
        self._saving = 0.0

    def note_break(self, what: str, **details: Any) -> None:
        """Note an interruption or a change after the last step."""
        self.note(what, step=0 if self.last is None else self.last.index, **details)

    def add(self, step: Step) -> None:
        """Record the numbers of a step, and its picture if a frame or a preview is due."""
        self._step = step
        self.last = replace(step, seconds=self.seconds)
        numbers = {name: value for name, value in step.to_dict().items() if name != "layers"}
        self.steps.append({**numbers, "seconds": round(self.seconds, 3)})
        every = max(1, step.count // _FRAMES)
        if step.index % every == 0 or step.index in (1, step.count):
            self._save_frame(step)
        if self.preview_due:
            self.update()

    def save_checkpoint(self) -> None:
        """Save all that another worker needs to resume the job."""
        self.update(checkpoint=True)

    def update(self, *, checkpoint: bool = False) -> None:
        """Save the preview and report the progress.

        Args: checkpoint: write a checkpoint in any case; otherwise, only if it is due.
        """
        step = self._step
        if step is None:
            return
        self.save_preview(step.image, self.run.alpha)
        if checkpoint or time.monotonic() - self._saved > _CHECKPOINT_SHARE * self._saving:
            self._write_checkpoint()
        done = RunProgress(self.run.levels).done(step)
        self.progress |= {
            "step": step.index, "count": step.count, "level": step.level, "levels": step.levels,
            "losses": dict(step.losses), "remaining": self.seconds * (1 - done) / done,
        }  # fmt: skip
        self.report()

    def _write_checkpoint(self) -> None:
        if self.last is None:
            return
        begin = time.monotonic()
        write_checkpoint(self.folder / "checkpoint.npz", self.last)
        self._saved = time.monotonic()
        self._saving = self._saved - begin

    def _save_frame(self, step: Step) -> None:
        size = fit_within(self.run.size, _FRAME_SIDE)
        frame = reduced(step.image, self.run.alpha, size)
        path = self.folder / "frames" / f"{step.index:07d}.jpg"
        if frame.alpha is None:
            replace_file(path, as_jpeg(frame), durable=False)
        else:
            replace_file(path.with_suffix(".png"), as_png(frame), durable=False)

    def finish(self, result: Result) -> None:
        """Write the result in all formats and the last preview; delete the checkpoint."""
        metadata = dict(result.metadata)
        if self.progress.get("continued"):
            metadata["continued"] = self.progress["continued"]
        self.save_result(result.image, result.alpha, metadata)
        self.progress["remaining"] = 0.0
        self.report()
        (self.folder / "checkpoint.npz").unlink(missing_ok=True)

    @property
    def history(self) -> list[Mapping[str, Any]]:
        """The numbers of all steps so far."""
        return [*self.store.jobs.steps(self.job), *self.steps]


def paint_picture(log: PictureLog, interrupts: Interrupts) -> None:
    """Paint a picture to its end, or until an interruption.

    Args: log: log of the job, with its run.

    Raises: ImpastoError: the picture cannot be painted.
    """
    store, start = log.store, log.last
    if start is not None:
        log.note_break("an interruption")
    outcome = Outcome(State.DONE)
    while True:
        try:
            for step in log.run.steps(start):
                log.add(step)
                interrupts.check()
            break
        except DivergenceError as diverged:
            if log.last is None:
                raise
            outcome = Outcome(State.STOPPED, str(diverged))
            break
        except Interrupted as interrupted:
            if interrupted.cause is not Cause.CHANGE:
                outcome = interrupted.outcome
                break
            _change(log, interrupted.details)
            start = log.last
    if outcome.state is None:
        log.save_checkpoint()
        return
    if outcome.state is State.CANCELLED:
        log.report()
    else:
        log.update()
        image = None if log.last is None else log.last.image
        log.finish(log.run.finish(image, log.history, outcome.state is State.DONE))
    store.jobs.move(log.job, outcome.state, error=outcome.error)


def _change(log: PictureLog, details: Mapping[str, Any]) -> None:
    """Replace the run by one with other weights, and note the change."""
    log.note_break("a change", **details)
    log.run = log.run.change(details)
    log.progress["changed"] = {**log.progress.get("changed", {}), **details}
    log.save_checkpoint()
