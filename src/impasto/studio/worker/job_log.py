"""The worker's record of a job: progress, clock, preview, result files."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from impasto.pictures.files import save_image, transparency_note
from impasto.pictures.picture import Picture, fit_within, resize, resized
from impasto.storage import replace_file
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.tables.rows import StoredJob

__all__ = ["JobLog", "as_jpeg", "as_png", "reduced"]

_PREVIEW_EVERY = 0.5  # seconds: as often as a page shows it
_PREVIEW_SIDE = 1024  # px; as much as a page shows


class JobLog:
    """Writes the progress of a job into the store, and its pictures into the job's folder.

    Args:
        store, row: the job.
        seconds: painting time of earlier workers.

    Attributes:
        folder: folder of the job's files.
        progress: progress of the job: step, count, losses, previews …
        steps: numbers of the steps since the last report.
    """

    def __init__(self, store: Store, row: StoredJob, seconds: float = 0.0) -> None:
        self.store = store
        self.job = row.id
        self.folder = store.jobs.folder(row.id)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.progress: dict[str, Any] = dict(row.progress)
        self.steps: list[dict[str, Any]] = []
        self._previewed = -1e9
        self._clock: float | None = time.monotonic()
        self._seconds = seconds

    @property
    def seconds(self) -> float:
        """Painting time of the job so far, without pauses."""
        running = 0.0 if self._clock is None else time.monotonic() - self._clock
        return self._seconds + running

    def stop_clock(self) -> None:
        """Stop the clock, for a pause."""
        self._seconds = self.seconds
        self._clock = None

    def start_clock(self) -> None:
        """Start the clock again."""
        self._clock = time.monotonic()

    def note(self, what: str, *, step: int, **details: Any) -> None:
        """Note an interruption or a change, for the metadata of the result."""
        notes = [*self.progress.get("continued", []), {"step": step, "after": what, **details}]
        self.progress["continued"] = notes

    def save_checkpoint(self) -> None:
        """Save all that another worker needs to resume the job."""

    @property
    def preview_due(self) -> bool:
        """Whether the last preview is so old that a new one is needed."""
        return time.monotonic() - self._previewed >= _PREVIEW_EVERY

    def save_preview(self, image: Tensor, alpha: Tensor | None = None) -> None:
        """Save a picture, (1, 3, H, W), as the preview; what is transparent is white."""
        self._previewed = time.monotonic()
        height, width = image.shape[-2:]
        size = fit_within((height, width), _PREVIEW_SIDE)
        preview = as_jpeg(reduced(image, alpha, size))
        replace_file(self.folder / "preview.jpg", preview, durable=False)
        self.progress |= {
            "height": size[0], "width": size[1], "previews": self.progress.get("previews", 0) + 1
        }  # fmt: skip

    def report(self) -> None:
        """Write progress and new steps into the store."""
        self.progress |= {"seconds": self.seconds, "reported": time.time()}
        self.store.jobs.report(self.job, self.progress, self.steps)
        self.steps = []

    def save_result(
        self, image: Tensor, alpha: Tensor | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Write a picture as the result, in all formats, and note what JPEG cannot hold.

        The PNG comes last, because its presence means that the result is complete.
        """
        for suffix, bits in ((".jpg", 8), (".tiff", 16), (".png", 8)):
            save_image(
                image, self.folder / f"result{suffix}", alpha=alpha, metadata=metadata, bits=bits
            )
        self.progress["notes"] = list(transparency_note("result.jpg", alpha))
        self.save_preview(image, alpha)


def reduced(image: Tensor, alpha: Tensor | None, size: tuple[int, int]) -> Picture:
    """Return a step's image at a size, with the transparency of its photo in any other size."""
    own = (image.shape[-2], image.shape[-1])
    opacity = None if alpha is None else resize(alpha, own)
    return resized(Picture(image.detach().cpu().clamp(0, 1), opacity), size)


def as_jpeg(picture: Picture) -> bytes:
    """Return a picture, on white if it is transparent, as the bytes of a JPEG file."""
    return _encoded(picture, "jpeg")


def as_png(picture: Picture) -> bytes:
    """Return a picture, with its transparency, as the bytes of a PNG file."""
    return _encoded(picture, "png")


def _encoded(picture: Picture, format: str) -> bytes:
    buffer = io.BytesIO()
    save_image(picture.image, buffer, alpha=picture.alpha, format=format)
    return buffer.getvalue()
