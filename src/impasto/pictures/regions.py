"""Maps of regions: pictures in a few flat colors, one color for each region."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from impasto.errors import ImageError
from impasto.pictures.picture import Picture

__all__ = ["Color", "masks_by_color"]

_ALIKE = 40  # of 255, in every channel: the most that scaling and JPEG change a flat color
_FLAT = 12  # of 255, between neighbors; a larger change is an edge, where two colors are blended
_SMALLEST = 5e-4  # share of a map; a color with a smaller share is noise and not a region
_MOST = 16  # colors; a picture with more is a photo


@dataclass(frozen=True, order=True)
class Color:
    """A color of a map, each channel in 0…255."""

    red: int
    green: int
    blue: int

    def __str__(self) -> str:
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"

    @property
    def is_black(self) -> bool:
        """Whether it is black or nearly black."""
        return max(self.red, self.green, self.blue) <= _ALIKE

    def nearest(self, others: Iterable[Color]) -> Color | None:
        """Return the nearest of the colors that count as the same; None if there is none."""
        distances = ((self._distance(each), each) for each in others)
        distance, color = min(distances, default=(256, self))
        return color if distance <= _ALIKE else None

    def _distance(self, other: Color) -> int:
        pairs = ((self.red, other.red), (self.green, other.green), (self.blue, other.blue))
        return max(abs(a - b) for a, b in pairs)


def masks_by_color(picture: Picture) -> dict[Color, Tensor]:
    """Return a mask, (1, 1, H, W) of 0 and 1, for every flat color of a map.

    Other pixels, such as those of smoothed edges, get the nearest color; transparent pixels count
    as black.

    Raises: ImageError: more than 16 colors.
    """
    height, width = picture.size
    image = picture.image if picture.alpha is None else picture.image * (picture.alpha >= 0.5)
    pixels = (image[0] * 255).round().to(torch.uint8).flatten(1).T.numpy()  # (H·W, 3)
    flat = pixels[_is_flat(pixels.reshape(height, width, 3)).reshape(-1)]
    colors, counts = np.unique(flat, axis=0, return_counts=True)
    palette = _palette(colors[np.argsort(-counts, kind="stable")])
    if 1 <= len(palette) <= _MOST * 4:
        sizes = np.bincount(_closest(colors, palette), weights=counts, minlength=len(palette))
        palette = palette[sizes >= _SMALLEST * len(pixels)]
    if not 1 <= len(palette) <= _MOST:
        raise ImageError(
            f"is not a map of regions, which has 1 to {_MOST} flat colors; it may be a photo",
            path=picture.name or "the map of regions",
        )
    chosen = _closest(pixels, palette).reshape(height, width)
    return {
        Color(*map(int, color)): torch.from_numpy(chosen == number).float()[None, None]
        for number, color in enumerate(palette)
    }


def _is_flat(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return a mask, (H, W), of the pixels of (H, W, 3) that nearly equal all four neighbors."""
    padded = np.pad(pixels.astype(int), ((1, 1), (1, 1), (0, 0)), mode="edge")
    middle = padded[1:-1, 1:-1]
    sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    steps: npt.NDArray[np.bool_] = (
        np.stack([np.abs(side - middle).max(2) for side in sides]).max(0) <= _FLAT
    )
    return steps


def _palette(colors: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Choose colors that differ, the most frequent first; stop when there are too many."""
    kept: list[npt.NDArray[np.uint8]] = []
    for color in colors:
        if all(np.abs(color.astype(int) - other).max() > _ALIKE for other in kept):
            kept.append(color)
        if len(kept) > _MOST * 4:
            break
    return np.stack(kept) if kept else colors


def _closest(colors: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    distances = [np.abs(colors.astype(int) - color.astype(int)).max(1) for color in palette]
    closest: npt.NDArray[np.intp] = np.stack(distances).argmin(0)
    return closest
