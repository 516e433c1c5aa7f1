"""What is put down of a job that is painted: previews, checkpoints, frames, numbers, results."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from impasto.apps.progress import Work
from impasto.apps.studio.limits import NoSuchThing
from impasto.apps.studio.runs import Result, Run, Start
from impasto.apps.studio.store import Store, StoredJob
from impasto.images import fit, resize, save_image
from impasto.optimize import Step
from impasto.pastiche import record

__all__ = ["Easel", "replace_file"]

_PREVIEW_EVERY = 0.5  # seconds: as often as a page shows it
_PREVIEW_SIDE = 1024  # px; as much as a page shows
_CHECKPOINT_SHARE = 20  # times what writing it takes, from one checkpoint to the next
_FRAMES = 60  # of a time-lapse
_FRAME_SIDE = 720


class Easel:
    """Watches a run, as the store and the job's folder are to know it.

    Args: store, row: the job. What an earlier worker has put down of it is gone on with.

    Attributes:
        last: the last step as something to go on from; None: there is none.
    """

    def __init__(self, store: Store, row: StoredJob) -> None:
        self.store = store
        self.job = row.id
        self.folder = store.job_folder(row.id)
        (self.folder / "frames").mkdir(parents=True, exist_ok=True)
        self.facts: dict[str, Any] = dict(row.progress)
        self.last = read_checkpoint(self.folder / "checkpoint.npz")
        self._step: Step | None = None
        self._new: list[dict[str, Any]] = []
        self._shown = self._saved = -1e9
        self._saving = 0.0
        self._clock: float | None = time.monotonic()
        self._seconds = self.last.seconds if self.last is not None else 0.0

    @property
    def seconds(self) -> float:
        """How long the job has been painted, without pauses."""
        running = 0.0 if self._clock is None else time.monotonic() - self._clock
        return self._seconds + running

    def rest(self) -> None:
        """Stop the clock, for a pause."""
        self._seconds = self.seconds
        self._clock = None

    def wake(self) -> None:
        """Let the clock go on."""
        self._clock = time.monotonic()

    def note(self, what: str, **details: Any) -> None:
        """Remember that the run was not painted in one go: the picture's file will say so."""
        step = 0 if self.last is None else self.last.step
        notes = [*self.facts.get("continued", []), {"step": step, "after": what, **details}]
        self.facts["continued"] = notes

    def watch(self, step: Step, run: Run) -> None:
        """Put down a step: always its numbers, its picture when it is time."""
        self._step = step
        self.last = Start(step.image, step.index, step.level, self.seconds)
        numbers = {name: value for name, value in record(step).items() if name != "layers"}
        self._new.append({**numbers, "seconds": round(self.seconds, 3)})
        every = max(1, step.count // _FRAMES)
        if step.index % every == 0 or step.index in (1, step.count):
            self._keep_frame(step, run)
        if time.monotonic() - self._shown >= _PREVIEW_EVERY:
            self.show(run)

    def show(self, run: Run, *, checkpoint: bool = False) -> None:
        """Put down the picture and the numbers as they are now."""
        step = self._step
        if step is None:
            return
        self._shown = time.monotonic()
        side = min(max(step.image.shape[-2:]), _PREVIEW_SIDE)
        height, width = fit((step.image.shape[-2], step.image.shape[-1]), side)
        replace_file(self.folder / "preview.jpg", _jpeg(resize(_plain(step), (height, width))))
        if checkpoint or time.monotonic() - self._saved > _CHECKPOINT_SHARE * self._saving:
            self._save()
        work = Work(run.levels)
        done = work.done(step)
        self.facts |= {
            "step": step.index, "count": step.count, "level": step.level, "levels": step.levels,
            "height": height, "width": width, "losses": dict(step.losses),
            "seconds": self.seconds, "remaining": self.seconds * (1 - done) / done,
            "previews": self.facts.get("previews", 0) + 1,
        }  # fmt: skip
        self.report()

    def report(self) -> None:
        """Tell the store."""
        self.facts["reported"] = time.time()
        self.store.report(self.job, self.facts, self._new)
        self._new = []

    def _save(self) -> None:
        if self.last is None:
            return
        begin = time.monotonic()
        write_checkpoint(self.folder / "checkpoint.npz", self.last)
        self._saved = time.monotonic()
        self._saving = self._saved - begin

    def _keep_frame(self, step: Step, run: Run) -> None:
        size = fit(run.size, min(max(run.size), _FRAME_SIDE))
        frame = _jpeg(resize(_plain(step), size))
        replace_file(self.folder / "frames" / f"{step.index:07d}.jpg", frame)

    def finish(self, result: Result) -> None:
        """Write the result in all its forms, and the last preview."""
        metadata = dict(result.metadata)
        if self.facts.get("continued"):
            metadata["continued"] = self.facts["continued"]
        for suffix, bits in ((".jpg", 8), (".tiff", 16), (".png", 8)):  # whose presence counts last
            save_image(
                result.image, self.folder / f"result{suffix}", alpha=result.alpha,
                metadata=metadata, bits=bits,
            )  # fmt: skip
        height, width = result.image.shape[-2:]
        size = fit((height, width), min(max(height, width), _PREVIEW_SIDE))
        replace_file(self.folder / "preview.jpg", _jpeg(resize(result.image, size)))
        self.facts |= {
            "height": size[0], "width": size[1], "remaining": 0.0, "seconds": self.seconds,
            "previews": self.facts.get("previews", 0) + 1,
        }  # fmt: skip
        self.report()
        (self.folder / "checkpoint.npz").unlink(missing_ok=True)

    @property
    def history(self) -> list[Mapping[str, Any]]:
        """The numbers of all steps so far."""
        return [*self.store.steps(self.job), *self._new]


def replace_file(path: Path, data: bytes) -> None:
    """Put a file in the place of another at once; unlike a result, a power cut may lose it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def write_checkpoint(path: Path, start: Start) -> None:
    """Write where a run is, its picture in 16 bits."""
    buffer = io.BytesIO()
    image = (start.image.detach().cpu().clamp(0, 1) * 65535 + 0.5).numpy().astype(np.uint16)
    place = np.array([start.step, start.level, start.seconds])
    np.savez(buffer, image=image, place=place)
    replace_file(path, buffer.getvalue())


def read_checkpoint(path: Path) -> Start | None:
    """Read where a run was; None: it is not known."""
    try:
        with np.load(io.BytesIO(path.read_bytes())) as saved:
            image = torch.from_numpy(saved["image"].astype(np.float32) / 65535)
            step, level, seconds = saved["place"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NoSuchThing):
        return None
    return Start(image, int(step), int(level), float(seconds))


def _plain(step: Step) -> Tensor:
    return step.image.detach().cpu().clamp(0, 1)


def _jpeg(image: Tensor) -> bytes:
    buffer = io.BytesIO()
    save_image(image, buffer, format="jpeg")
    return buffer.getvalue()
