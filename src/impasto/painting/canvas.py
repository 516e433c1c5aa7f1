"""What the optimizer moves, where it is not the picture itself: masks, and the photo's colors."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.pictures.colors import Canvas
from impasto.settings.pictures import Settings

__all__ = ["Surface"]


class Surface:
    """What the optimizer moves, where it is not the picture itself.

    Where no mask paints, the picture is the photo's, all along: what is painted beside it is
    painted to fit. Where the photo's colors are kept, only its luminance is moved.

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
        """Return what is moved to begin with an image."""
        return image if self.canvas is None else self.canvas.blank(image)

    def seen(self, plane: Tensor) -> Tensor:
        """Return what the network is shown."""
        shown = self._shown(plane)
        return shown if self.canvas is None else self.canvas.gray(shown)

    def picture(self, plane: Tensor) -> Tensor:
        """Return the picture."""
        shown = self._shown(plane)
        return shown if self.canvas is None else self.canvas.paint(shown)

    def _shown(self, plane: Tensor) -> Tensor:
        return plane if self.painted is None else self.blank.lerp(plane, self.painted)
