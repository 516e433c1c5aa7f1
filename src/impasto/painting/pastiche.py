"""The result of a run: the picture, and the facts about how it was made."""

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

from impasto.errors import counted
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
        alpha: the photo's transparency, (1, 1, H, W); None: it is opaque.
        settings: the settings of the run.
        history: for each step, its level, seconds and losses; "layers" holds the losses by layer.
        inputs: names (without folders) and SHA-256 sums of the input files, and other facts that
            the metadata needs.
        finished: whether the run reached its last step.
    """

    image: Tensor
    alpha: Tensor | None
    settings: Settings
    history: Sequence[Mapping[str, Any]] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    finished: bool = True

    @property
    def metadata(self) -> dict[str, Any]:
        """The facts that are written into the file; they suffice to make the picture again."""
        from impasto._version import __version__

        unfinished = {} if self.finished else {"finished": False, "steps": len(self.history)}
        files = {name: Path(getattr(self.settings, name)).name for name in ("init", "weights")}
        return {
            "impasto": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "settings": self.settings.to_dict() | files,
            **self.inputs,
            **unfinished,
        }

    def to_pillow(self) -> PIL.Image.Image:
        """Return an 8-bit Pillow image: RGBA if the photo has transparency, otherwise RGB."""
        return to_pillow(self.image, self.alpha)

    def save(
        self, path: str | os.PathLike[str], *, bits: int = 8, dpi: float | None = None
    ) -> None:
        """Write a PNG, JPEG, WebP or TIFF file, with the settings in its metadata.

        Args:
            bits: bits per channel: 8, or 16 in PNG and TIFF.
            dpi: the dots per inch that are written into the file, for printing, except in WebP;
                None: none are written.

        Raises:
            ImageError: the file cannot be written. An existing file is then unchanged.
            SettingsError: bits or dpi has a value that is not allowed.
        """
        save_image(self.image, path, alpha=self.alpha, metadata=self.metadata, bits=bits, dpi=dpi)

    def __repr__(self) -> str:
        height, width = self.image.shape[-2:]
        return f"<Pastiche, {width} x {height} px, {counted(len(self.history), 'step')}>"

    def _repr_png_(self) -> bytes:
        """Return the picture as a PNG file, which Jupyter shows."""
        buffer = BytesIO()
        self.to_pillow().save(buffer, "png")
        return buffer.getvalue()
