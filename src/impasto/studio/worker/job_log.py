"""What store and folder are told of a job, whatever is painted: facts, clock, preview, result."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from impasto.pictures.files import save_image
from impasto.pictures.picture import fit, resize
from impasto.studio.jobs.rows import StoredJob
from impasto.studio.jobs.store import Store

__all__ = ["Logbook", "as_jpeg", "replace_file"]

_PREVIEW_EVERY = 0.5  # seconds: as often as a page shows it
_PREVIEW_SIDE = 1024  # px; as much as a page shows


class Logbook:
    """A job as it is told of.

    Args:
        store, row: the job.
        seconds: for how long it was painted before.

    Attributes:
        folder: where its files are.
        facts: what the worker last said: step, count, losses, preview …
    """

    def __init__(self, store: Store, row: StoredJob, seconds: float = 0.0) -> None:
        self.store = store
        self.job = row.id
        self.folder = store.job_folder(row.id)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.facts: dict[str, Any] = dict(row.progress)
        self.new: list[dict[str, Any]] = []
        self._shown = -1e9
        self._clock: float | None = time.monotonic()
        self._seconds = seconds

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

    def note(self, what: str, *, step: int, **details: Any) -> None:
        """Remember that the run was not painted in one go."""
        notes = [*self.facts.get("continued", []), {"step": step, "after": what, **details}]
        self.facts["continued"] = notes

    def put_down(self) -> None:
        """Put down all that another worker needs to go on."""

    @property
    def is_time(self) -> bool:
        """Whether the last preview was long enough ago."""
        return time.monotonic() - self._shown >= _PREVIEW_EVERY

    def hang(self, image: Tensor) -> None:
        """Put down a picture, (1, 3, H, W), as the preview."""
        self._shown = time.monotonic()
        height, width = image.shape[-2:]
        size = fit((height, width), min(max(height, width), _PREVIEW_SIDE))
        plain = image.detach().cpu().clamp(0, 1)
        replace_file(self.folder / "preview.jpg", as_jpeg(resize(plain, size)))
        self.facts |= {
            "height": size[0], "width": size[1], "previews": self.facts.get("previews", 0) + 1
        }  # fmt: skip

    def report(self) -> None:
        """Tell the store."""
        self.facts |= {"seconds": self.seconds, "reported": time.time()}
        self.store.report(self.job, self.facts, self.new)
        self.new = []

    def save(
        self, image: Tensor, alpha: Tensor | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Write a picture as the result, in all its forms."""
        for suffix, bits in ((".jpg", 8), (".tiff", 16), (".png", 8)):  # whose presence counts last
            save_image(
                image, self.folder / f"result{suffix}", alpha=alpha, metadata=metadata, bits=bits
            )
        self.hang(image)


def replace_file(path: Path, data: bytes) -> None:
    """Put a file in the place of another at once; unlike a result, a power cut may lose it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def as_jpeg(image: Tensor) -> bytes:
    """Return an image, (1, 3, H, W), as a JPEG file."""
    buffer = io.BytesIO()
    save_image(image, buffer, format="jpeg")
    return buffer.getvalue()
