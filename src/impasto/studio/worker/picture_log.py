"""What is put down of a picture that is painted: numbers, previews, checkpoints, the result."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from impasto.optimize.loop import Step
from impasto.painting.progress import RunProgress
from impasto.pictures.picture import fit, resize
from impasto.studio.jobs.limits import NoSuchThing
from impasto.studio.jobs.rows import StoredJob
from impasto.studio.jobs.store import Store
from impasto.studio.worker.checkpoints import Result, Run
from impasto.studio.worker.job_log import Logbook, as_jpeg, replace_file

__all__ = ["Easel"]

_CHECKPOINT_SHARE = 20  # times what writing it takes, from one checkpoint to the next
_FRAMES = 60  # of a time-lapse
_FRAME_SIDE = 720


class Easel(Logbook):
    """Watches a run, as the store and the job's folder are to know it.

    Args: store, row: the job. What an earlier worker has put down of it is gone on with.

    Attributes:
        run: what is watched.
        last: the last step as something to go on from; None: there is none.
    """

    run: Run

    def __init__(self, store: Store, row: StoredJob) -> None:
        self.last = read_checkpoint(store.job_folder(row.id) / "checkpoint.npz")
        super().__init__(store, row, self.last.seconds if self.last is not None else 0.0)
        (self.folder / "frames").mkdir(exist_ok=True)
        self._step: Step | None = None
        self._saved = -1e9
        self._saving = 0.0

    def note_break(self, what: str, **details: Any) -> None:
        """Remember that the run was not painted in one go: the picture's file will say so."""
        self.note(what, step=0 if self.last is None else self.last.index, **details)

    def watch(self, step: Step) -> None:
        """Put down a step: always its numbers, its picture when it is time."""
        self._step = step
        self.last = replace(step, seconds=self.seconds)
        numbers = {name: value for name, value in step.to_dict().items() if name != "layers"}
        self.new.append({**numbers, "seconds": round(self.seconds, 3)})
        every = max(1, step.count // _FRAMES)
        if step.index % every == 0 or step.index in (1, step.count):
            self._keep_frame(step)
        if self.is_time:
            self.show()

    def put_down(self) -> None:
        """Put down all that another worker needs to go on."""
        self.show(checkpoint=True)

    def show(self, *, checkpoint: bool = False) -> None:
        """Put down the picture and the numbers as they are now."""
        step = self._step
        if step is None:
            return
        self.hang(step.image)
        if checkpoint or time.monotonic() - self._saved > _CHECKPOINT_SHARE * self._saving:
            self._save()
        done = RunProgress(self.run.levels).done(step)
        self.facts |= {
            "step": step.index, "count": step.count, "level": step.level, "levels": step.levels,
            "losses": dict(step.losses), "remaining": self.seconds * (1 - done) / done,
        }  # fmt: skip
        self.report()

    def _save(self) -> None:
        if self.last is None:
            return
        begin = time.monotonic()
        write_checkpoint(self.folder / "checkpoint.npz", self.last)
        self._saved = time.monotonic()
        self._saving = self._saved - begin

    def _keep_frame(self, step: Step) -> None:
        size = fit(self.run.size, min(max(self.run.size), _FRAME_SIDE))
        frame = as_jpeg(resize(step.image.detach().cpu().clamp(0, 1), size))
        replace_file(self.folder / "frames" / f"{step.index:07d}.jpg", frame)

    def finish(self, result: Result) -> None:
        """Write the result in all its forms, and the last preview."""
        metadata = dict(result.metadata)
        if self.facts.get("continued"):
            metadata["continued"] = self.facts["continued"]
        self.save(result.image, result.alpha, metadata)
        self.facts["remaining"] = 0.0
        self.report()
        (self.folder / "checkpoint.npz").unlink(missing_ok=True)

    @property
    def history(self) -> list[Mapping[str, Any]]:
        """The numbers of all steps so far."""
        return [*self.store.steps(self.job), *self.new]


def write_checkpoint(path: Path, step: Step) -> None:
    """Write where a run is, its picture in 16 bits."""
    buffer = io.BytesIO()
    image = (step.image.detach().cpu().clamp(0, 1) * 65535 + 0.5).numpy().astype(np.uint16)
    place = np.array([step.index, step.level, step.seconds])
    np.savez(buffer, image=image, place=place)
    replace_file(path, buffer.getvalue())


def read_checkpoint(path: Path) -> Step | None:
    """Read where a run was; None: it is not known."""
    try:
        with np.load(io.BytesIO(path.read_bytes())) as saved:
            image = torch.from_numpy(saved["image"].astype(np.float32) / 65535)
            index, level, seconds = saved["place"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NoSuchThing):
        return None
    return Step(image, {}, int(index), int(index), level=int(level), seconds=float(seconds))
