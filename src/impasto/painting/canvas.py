"""The optimized variable when only a mask or the luminance is painted."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.pictures.colors import luminance
from impasto.pictures.picture import check_image
from impasto.settings.pictures import Settings

__all__ = ["Canvas", "Surface"]


class Canvas:
    """The gray plane that is optimized when every pixel keeps the photo's color.

    In YIQ, I and Q are differences of red, green and blue, so the pixels with a photo's I and Q
    are x = photo + t for any gray t; those in the gamut have t from −min(photo) to 1 − max(photo).
    A canvas maps that interval to [0, 1]:

    x(u) = photo − min + u · (1 − max + min),  min and max over the pixel's three channels

    For every u, I and Q are the photo's and x is in the gamut: at the gamut's border the luminance
    is limited and the color is kept. A fully saturated pixel has one luminance only.

    Args:
        photo: (1, 3, H, W), sRGB in [0, 1].

    Paper: Gatys et al. 2016, arXiv 1606.05897, paint luminance, and join it with the
        photo's I and Q afterwards. Differs: by what the gamut can hold, within the loop.
    """

    def __init__(self, photo: Tensor) -> None:
        check_image(photo)
        low, high = photo.amin(dim=1, keepdim=True), photo.amax(dim=1, keepdim=True)
        self.chroma = photo - low  # each color without its gray
        self.room = 1 - (high - low)

    def blank(self, image: Tensor) -> Tensor:
        """Return the canvas whose luminance is nearest to an image's, (1, 1, H, W) in [0, 1]."""
        wanted = luminance(image.to(self.chroma)) - luminance(self.chroma)
        return torch.where(self.room > 0, wanted / self.room, 0).clamp(0, 1)

    def paint(self, canvas: Tensor) -> Tensor:
        """Return the picture of a canvas, in the photo's colors, (1, 3, H, W)."""
        return self.chroma + canvas.clamp(0, 1) * self.room

    def gray(self, canvas: Tensor) -> Tensor:
        """Return a canvas's luminance as a gray picture, (1, 3, H, W), for the encoder."""
        return (luminance(self.chroma) + canvas * self.room).expand(-1, 3, -1, -1)


class Surface:
    """The optimized variable when only a mask or the luminance is painted.

    Outside the masks the picture stays the photo in every step, so that the painted parts fit to
    it. If the photo keeps its colors, only its luminance is optimized.

    Args:
        photo: at the level's size, (1, 3, H, W).
        painted: how much each pixel is painted, (1, 1, H, W); None: all of them.
    """

    def __init__(
        self, photo: Tensor, painted: Tensor | None, settings: Settings, device: torch.device
    ) -> None:
        photo = photo.to(device)
        self.painted = None if painted is None else painted.to(device)
        self.canvas = Canvas(photo) if settings.color == "luminance" else None
        self.blank = self.start(photo)

    def start(self, image: Tensor) -> Tensor:
        """Return the variable whose picture is nearest to an image."""
        return image if self.canvas is None else self.canvas.blank(image)

    def seen(self, plane: Tensor) -> Tensor:
        """Return the image that the network sees."""
        shown = self._shown(plane)
        return shown if self.canvas is None else self.canvas.gray(shown)

    def picture(self, plane: Tensor) -> Tensor:
        """Return the picture of a variable."""
        shown = self._shown(plane)
        return shown if self.canvas is None else self.canvas.paint(shown)

    def _shown(self, plane: Tensor) -> Tensor:
        return plane if self.painted is None else self.blank.lerp(plane, self.painted)
