"""The result of a run: the picture, and everything that says how it was made."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from impasto.pictures.files import save_image
from impasto.pictures.picture import to_pillow
from impasto.settings.pictures import Settings

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["Pastiche"]


@dataclass(frozen=True, eq=False, repr=False)
class Pastiche:
    """A finished picture and how it was made.

    Attributes:
        image: (1, 3, H, W) float32, sRGB in [0, 1].
        alpha: the photo's, (1, 1, H, W), or None where it is opaque.
        settings: what it was made with.
        history: per step its level, seconds and losses, under "layers" also apart by layer.
        inputs: bare names and SHA-256 sums of the files it was made from.
        finished: whether it was painted to its last step.
    """

    image: Tensor
    alpha: Tensor | None
    settings: Settings
    history: Sequence[Mapping[str, Any]] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    finished: bool = True

    @property
    def metadata(self) -> dict[str, Any]:
        """What is written into the file: enough to make the picture again."""
        from impasto._version import __version__

        ended = {} if self.finished else {"finished": False, "steps": len(self.history)}
        bare = {name: Path(getattr(self.settings, name)).name for name in ("init", "weights")}
        return {
            "impasto": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "settings": self.settings.to_dict() | bare,
            **self.inputs,
            **ended,
        }

    def to_pillow(self) -> PIL.Image.Image:
        """Return an 8-bit Pillow image, RGBA where the photo had transparency."""
        return to_pillow(self.image, self.alpha)

    def save(
        self, path: str | os.PathLike[str], *, bits: int = 8, dpi: float | None = None
    ) -> None:
        """Write a PNG, JPEG, WebP or TIFF file, with the settings in its metadata.

        Args:
            bits: a channel: 8, or 16 in PNG and TIFF.
            dpi: dots per inch to note in the file, for printing.

        Raises: ImageError: it cannot be written; an old file stays whole.
        """
        save_image(self.image, path, alpha=self.alpha, metadata=self.metadata, bits=bits, dpi=dpi)

    def __repr__(self) -> str:
        height, width = self.image.shape[-2:]
        return f"<Pastiche, {width} x {height} px, {len(self.history)} steps>"

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.to_pillow().save(buffer, "png")
        return buffer.getvalue()
