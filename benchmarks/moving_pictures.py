"""Clips whose motion is known exactly: photos that pan and zoom, cut-outs that move over a photo.

Every frame is computed from the still pictures and not from its neighbor, so nothing becomes
blurred with time. Flow and occlusion are computed from the motion and not from pixels. motion.py
and flicker.py use these clips.
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

_SOLID = 0.5  # a cut-out hides a pixel if its opacity is above this


@dataclass(frozen=True)
class Motion:
    """Where a still picture lies in frame t: source(p) = (p - center) · zoom^t + at + t · speed.

    Attributes:
        at: the pixel (x, y) of the still picture in the middle of frame 0.
        speed: how far this point moves in a frame, px (x, y) of the still picture; the picture
            seems to move in the other direction.
        zoom: a pixel of frame t covers zoom^t pixels of the still picture; below 1 the picture
            comes closer.
    """

    at: tuple[float, float]
    speed: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0

    def source(self, points: Tensor, middle: tuple[float, float], time: float) -> Tensor:
        """Return the still picture's (x, y) at points of the frame, both (H, W, 2)."""
        start = points.new_tensor(self.at) + time * points.new_tensor(self.speed)
        return (points - points.new_tensor(middle)) * self.zoom**time + start

    def place(self, source: Tensor, middle: tuple[float, float], time: float) -> Tensor:
        """Return where points of the still picture are in the frame: the inverse of `source`."""
        start = source.new_tensor(self.at) + time * source.new_tensor(self.speed)
        return (source - start) / self.zoom**time + source.new_tensor(middle)


@dataclass(frozen=True, eq=False)
class Layer:
    """A still picture and its motion.

    Attributes:
        picture: (1, 3, h, w), sRGB in [0, 1].
        motion: its place in each frame.
        alpha: its opacity, (1, 1, h, w) in [0, 1]; None: opaque everywhere, also outside.
    """

    picture: Tensor
    motion: Motion
    alpha: Tensor | None = None


@dataclass(frozen=True, eq=False)
class ExactClip:
    """A photo that moves, and perhaps a cut-out that moves over it.

    Attributes:
        size: (H, W) of every frame, px.
        count: number of frames.
        background: the photo.
        cutout: the cut-out, or None.
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
        """Return (1, 2, H, W), px: how far each pixel of frame first has moved in frame second."""
        points = self._points()
        moved = self._moved(self.background, points, first, second)
        if self.cutout is not None:
            solid = (self._opacity(points, first) > _SOLID)[0, 0, ..., None]
            moved = torch.where(solid, self._moved(self.cutout, points, first, second), moved)
        return (moved - points).permute(2, 0, 1)[None].float()

    def occluded(self, first: int, second: int) -> Tensor:
        """Return (1, 1, H, W) bool: pixels that are covered in frame second, or outside it."""
        return self.covered(first, second) | self.outside(first, second)

    def covered(self, first: int, second: int) -> Tensor:
        """Return (1, 1, H, W) bool: background pixels that the cut-out covers in frame second."""
        points = self._points()
        if self.cutout is None:
            return torch.zeros(1, 1, *self.size, dtype=torch.bool)
        moved = self._moved(self.background, points, first, second)
        solid = self._opacity(points, first) > _SOLID
        return ~solid & (self._opacity(moved, second) > _SOLID)

    def outside(self, first: int, second: int) -> Tensor:
        """Return (1, 1, H, W) bool: pixels that have left the picture."""
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
        photo: the frames show a part of it; it is enlarged as far as the motion requires.
        size: (H, W) of the frames, px.
        pan: how far the picture moves in a frame, (x, y) px.
        zoom: factor of its growth in a frame; below 1 it becomes smaller.
        count: number of frames.
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
    """Move a cut-out over a photo, which may pan; in the middle of the clip, it is centered.

    Args:
        photo: the background.
        cutout: the photo that contains the cut-out.
        mask: the area to cut out is white.
        size: (H, W) of the frames, px.
        height: of the cut-out's own box, as a share of the frame's height.
        step: how far the cut-out moves in a frame, (x, y) px.
        pan: how far the background moves in a frame, (x, y) px.
        zoom: factor of the cut-out's growth in a frame.
        count: number of frames.
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
