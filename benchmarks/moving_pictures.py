"""Clips whose motion is known exactly: photos that pan and zoom, cut-outs that move over a photo.

Every frame is computed from the still pictures, none from its neighbor, so that nothing blurs with
time; flow and occlusion are computed from the motion, not from pixels. Used by motion.py, which
asks how well flow is found, and by whatever needs moving pictures with a known truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from impasto.pictures.files import load_image
from impasto.pictures.picture import resize

_SOLID = 0.5  # a cut-out covers a pixel from this opacity on


@dataclass(frozen=True)
class Motion:
    """Where a still picture lies in frame t: source(p) = (p - center) · zoom^t + at + t · speed.

    Attributes:
        at: the pixel (x, y) of the still picture in the middle of frame 0.
        speed: how far it moves on from there in a frame, px (x, y) of the still picture; the
            picture seems to move the other way.
        zoom: pixels of the still picture to a pixel of frame t: zoom^t; below 1 comes closer.
    """

    at: tuple[float, float]
    speed: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0

    def source(self, points: Tensor, middle: tuple[float, float], time: float) -> Tensor:
        """Return the still picture's (x, y) at points of frame time, both (H, W, 2)."""
        start = points.new_tensor(self.at) + time * points.new_tensor(self.speed)
        return (points - points.new_tensor(middle)) * self.zoom**time + start

    def place(self, source: Tensor, middle: tuple[float, float], time: float) -> Tensor:
        """Return where in frame time points of the still picture are: the inverse of source."""
        start = source.new_tensor(self.at) + time * source.new_tensor(self.speed)
        return (source - start) / self.zoom**time + source.new_tensor(middle)


@dataclass(frozen=True, eq=False)
class Layer:
    """A still picture and its motion.

    Attributes:
        picture: (1, 3, h, w), sRGB in [0, 1].
        motion: where it lies in each frame.
        alpha: its opacity, (1, 1, h, w) in [0, 1]; opaque everywhere, also outside, if None.
    """

    picture: Tensor
    motion: Motion
    alpha: Tensor | None = None


@dataclass(frozen=True, eq=False)
class ExactClip:
    """A photo that moves, and perhaps a cut-out that moves over it.

    Attributes:
        size: (H, W) of every frame, px.
        count: frames.
        background: the photo.
        cutout: what moves over it, if anything.
    """

    size: tuple[int, int]
    count: int
    background: Layer
    cutout: Layer | None = None

    def frames(self) -> Iterator[Tensor]:
        """Yield each frame, (1, 3, H, W) float32 in [0, 1]."""
        return (self.frame(time) for time in range(self.count))

    def frame(self, time: int) -> Tensor:
        """Return one frame, (1, 3, H, W) float32 in [0, 1]."""
        image = self._seen(self.background, self.background.picture, time)
        if self.cutout is None:
            return image
        alpha = self._opacity(self._points(), time)
        return image + alpha * (self._seen(self.cutout, self.cutout.picture, time) - image)

    def flow(self, first: int, second: int) -> Tensor:
        """Return (1, 2, H, W), px: where each pixel of frame first has gone in frame second."""
        points = self._points()
        moved = self._moved(self.background, points, first, second)
        if self.cutout is not None:
            solid = (self._opacity(points, first) > _SOLID)[0, 0, ..., None]
            moved = torch.where(solid, self._moved(self.cutout, points, first, second), moved)
        return (moved - points).permute(2, 0, 1)[None].float()

    def occluded(self, first: int, second: int) -> Tensor:
        """Return (1, 1, H, W) bool: what frame second does not show, covered or outside it."""
        return self.covered(first, second) | self.outside(first, second)

    def covered(self, first: int, second: int) -> Tensor:
        """Return (1, 1, H, W) bool: the background's pixels over which the cut-out has moved."""
        points = self._points()
        if self.cutout is None:
            return torch.zeros(1, 1, *self.size, dtype=torch.bool)
        moved = self._moved(self.background, points, first, second)
        solid = self._opacity(points, first) > _SOLID
        return ~solid & (self._opacity(moved, second) > _SOLID)

    def outside(self, first: int, second: int) -> Tensor:
        """Return (1, 1, H, W) bool: the pixels that have left the picture."""
        moved = (self._points() + self.flow(first, second)[0].permute(1, 2, 0)).float()
        height, width = self.size
        x, y = moved.unbind(-1)
        return ((x < 0) | (y < 0) | (x > width - 1) | (y > height - 1))[None, None]

    def _points(self) -> Tensor:
        rows, columns = (torch.arange(side, dtype=torch.float64) for side in self.size)
        return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)

    def _middle(self) -> tuple[float, float]:
        height, width = self.size
        return (width - 1) / 2, (height - 1) / 2

    def _moved(self, layer: Layer, points: Tensor, first: int, second: int) -> Tensor:
        source = layer.motion.source(points, self._middle(), first)
        return layer.motion.place(source, self._middle(), second)

    def _seen(self, layer: Layer, planes: Tensor, time: int) -> Tensor:
        source = layer.motion.source(self._points(), self._middle(), time)
        return _sample(planes, source, padding="border")

    def _opacity(self, points: Tensor, time: int) -> Tensor:
        assert self.cutout is not None
        assert self.cutout.alpha is not None
        source = self.cutout.motion.source(points, self._middle(), time)
        return _sample(self.cutout.alpha, source, padding="zeros")


def _sample(planes: Tensor, points: Tensor, *, padding: str) -> Tensor:
    """Read (1, C, h, w) at points (H, W, 2) in px, bicubic: (1, C, H, W) in [0, 1]."""
    height, width = planes.shape[-2:]
    grid = (2 * points / points.new_tensor([width - 1, height - 1]) - 1)[None].float()
    sampled = functional.grid_sample(
        planes, grid, mode="bicubic", padding_mode=padding, align_corners=True
    )
    return sampled.clamp(0, 1)


def still(path: Path, width: int) -> Tensor:
    """Load a photo, width px wide: (1, 3, H, W)."""
    image = load_image(path)
    height = round(image.shape[-2] * width / image.shape[-1])
    return resize(image, (height, width))


def traveling(
    photo: Path,
    *,
    size: tuple[int, int],
    pan: tuple[float, float] = (0.0, 0.0),
    zoom: float = 1.0,
    count: int = 2,
) -> ExactClip:
    """Pan over a photo, zoom into it, or both.

    Args:
        photo: of which the frames show a part; enlarged as far as the travel needs it.
        size: (H, W) of the frames, px.
        pan: how far what is seen moves in a frame, (x, y) px.
        zoom: how much larger it gets in a frame; below 1 smaller.
        count: frames.
    """
    height, width = size
    last = count - 1
    widest = max(1.0, zoom**-last)
    needed_width = widest * width + last * abs(pan[0]) + 8
    needed_height = widest * height + last * abs(pan[1]) + 8
    image = load_image(photo)
    shape = image.shape[-2] / image.shape[-1]
    picture = still(photo, int(max(needed_width, needed_height / shape) + 1))
    middle = ((picture.shape[-1] - 1) / 2, (picture.shape[-2] - 1) / 2)
    at = tuple(m + last * p / 2 for m, p in zip(middle, pan, strict=True))
    motion = Motion((at[0], at[1]), (-pan[0], -pan[1]), 1 / zoom)
    return ExactClip(size, count, Layer(picture, motion))


def passing(
    photo: Path,
    cutout: Path,
    mask: Path,
    *,
    size: tuple[int, int],
    height: float,
    step: tuple[float, float],
    pan: tuple[float, float] = (0.0, 0.0),
    zoom: float = 1.0,
    count: int = 2,
) -> ExactClip:
    """Move a cut-out over a photo that itself may pan; in the middle of the clip it is centerd.

    Args:
        photo: the background.
        cutout: the photo that the cut-out is from.
        mask: what of it is cut out, white.
        size: (H, W) of the frames, px.
        height: of the cut-out's own box, as a share of the frame's height.
        step: how far the cut-out moves in a frame, (x, y) px.
        pan: how far the background moves in a frame, (x, y) px.
        zoom: how much larger the cut-out gets in a frame.
        count: frames.
    """
    background = traveling(photo, size=size, pan=pan, count=count).background
    alpha = load_image(mask)[:, :1]
    rows = torch.nonzero(alpha[0, 0].amax(1) > _SOLID)
    columns = torch.nonzero(alpha[0, 0].amax(0) > _SOLID)
    box = (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
    scale = height * size[0] / (box[1] - box[0])
    shape = (round(alpha.shape[-2] * scale), round(alpha.shape[-1] * scale))
    middle = ((box[2] + box[3]) / 2 * scale, (box[0] + box[1]) / 2 * scale)
    last = count - 1
    at = tuple(m + last * s / 2 for m, s in zip(middle, step, strict=True))
    motion = Motion((at[0], at[1]), (-step[0], -step[1]), 1 / zoom)
    layer = Layer(resize(load_image(cutout), shape), motion, resize(alpha, shape))
    return ExactClip(size, count, background, layer)
