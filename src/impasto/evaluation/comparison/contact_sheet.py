"""The contact sheet of a comparison: a row per pair, with photo, painting and every result."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from impasto.evaluation.comparison.results import Comparison
from impasto.pictures.files import load_image
from impasto.pictures.films import sheet
from impasto.pictures.picture import fit_within, resize

__all__ = ["contact_sheet"]

_SIDE = 320  # px, the long side of a picture
_PIXELS = 40_000_000  # of all pictures together; many pairs get smaller pictures
_SMALLEST = 48  # px
_MISSING = 0.9  # the gray in place of a result that does not exist
_LETTER = 7  # px, about the width of a letter of a caption


def contact_sheet(comparison: Comparison) -> Tensor | None:
    """Return the sheet, (1, 3, H, W), in sRGB; None: no pair has a result.

    Every picture is in the middle of a white box, and all boxes have one size. A light gray box
    stands for a result that is missing.

    Raises: ImageError: a thumbnail cannot be read.
    """
    rows = _rows(comparison)
    if not rows:
        return None
    room = math.isqrt(_PIXELS // (len(rows) * len(rows[0])))
    side = max(_SMALLEST, min(_SIDE, room))
    known = {path: _small(path, side) for row in rows for _, path in row if path is not None}
    height, width = (max(image.shape[axis] for image in known.values()) for axis in (2, 3))
    gray = torch.full((1, 3, height, width), _MISSING)
    return sheet(
        [
            [
                (_shortened(caption, width), _boxed(known[path], height, width) if path else gray)
                for caption, path in row
            ]
            for row in rows
        ]
    )


def _rows(comparison: Comparison) -> list[list[tuple[str, Path | None]]]:
    """Return (caption, thumbnail) of all pictures of the pairs that have a result."""
    rows: list[list[tuple[str, Path | None]]] = []
    for pair in comparison.pairs:
        if pair.name not in comparison.inputs:
            continue
        photo, painting = comparison.inputs[pair.name]
        row: list[tuple[str, Path | None]] = [(f"{pair.name}: photo", photo)]
        row.append(("painting", painting))
        for method in comparison.methods:
            result = comparison.results.get((pair.name, method))
            row.append((method, result.thumbnail) if result else (f"{method}: missing", None))
        rows.append(row)
    return rows


def _small(path: Path, side: int) -> Tensor:
    image = load_image(path)
    height, width = image.shape[-2:]
    return resize(image, fit_within((height, width), side))


def _boxed(image: Tensor, height: int, width: int) -> Tensor:
    """Return an image in the middle of a white box."""
    box = torch.ones(1, 3, height, width)
    h, w = image.shape[-2:]
    top, left = (height - h) // 2, (width - w) // 2
    box[..., top : top + h, left : left + w] = image
    return box


def _shortened(caption: str, width: int) -> str:
    """Return a caption that fits below a picture."""
    room = max(4, width // _LETTER)
    return caption if len(caption) <= room else f"{caption[: room - 1]}…"
