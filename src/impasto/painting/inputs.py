"""The inputs of a run: the photo, the paintings, their masks, and the picture to start from."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from impasto.errors import ImageError, SettingsError, nearest_match
from impasto.network.encoder import CAFFE_MEAN
from impasto.objective.layer_weights import seen_layers
from impasto.painting.guidance import Guidance, Layout, lay_out
from impasto.painting.pyramid import Level
from impasto.pictures.colors import style_in_color
from impasto.pictures.files import Source, load_picture
from impasto.pictures.picture import Picture, fit, identity, resize
from impasto.settings.layers import deepest, minimum_side
from impasto.settings.pictures import Settings

__all__ = [
    "INITS",
    "Inputs",
    "chosen_init",
    "enlarge",
    "initial_image",
    "load_inputs",
    "scaled_style",
    "style_side",
]

INITS = ("content", "style", "noise")


@dataclass(frozen=True, eq=False)
class Inputs:
    """The pictures of a run, read and checked.

    Attributes:
        photo: the content.
        paintings: the styles, at least one.
        layout: which painting goes where.
        init: the picture to start from; None: the settings choose content, style or noise.
    """

    photo: Picture
    paintings: tuple[Picture, ...]
    layout: Layout
    init: Picture | None = None

    def scales(self, settings: Settings) -> tuple[float, ...]:
        """Return the setting `style_scale` of each painting."""
        return settings.per_style("style_scale", len(self.paintings))

    @property
    def identities(self) -> dict[str, Any]:
        """Name and SHA-256 of every picture, for the metadata of the result."""
        files: dict[str, Any] = {
            "content": identity(self.photo),
            "styles": [identity(painting) for painting in self.paintings],
            **self.layout.inputs,
        }
        return files if self.init is None else {**files, "init": identity(self.init)}


def load_inputs(
    content: Source,
    styles: Source | Sequence[Source],
    settings: Settings,
    *,
    guidance: Guidance | None = None,
    init: Source | None = None,
) -> Inputs:
    """Read the pictures of a run, and check that they are large enough for the layers.

    Args: init: the picture to start from; None: the one that the setting `init` names.

    Raises:
        ImageError: a picture cannot be read, or is too small.
        SettingsError: there is no painting, or the numbers of masks, weights or scales and of
            paintings differ.
    """
    many: list[Any] = list(styles) if isinstance(styles, list | tuple) else [styles]
    if not many:
        raise SettingsError("no style given: name at least one painting")
    photo = load_picture(content)
    paintings = tuple(load_picture(style) for style in many)
    scales = settings.per_style("style_scale", len(paintings))
    settings.per_style("style_weight", len(paintings))
    deep = deepest(tuple(seen_layers(settings)), settings.network)
    check_size(photo, settings.long_side, deep, "content")
    for painting, scale in zip(paintings, scales, strict=True):
        check_size(painting, settings.long_side, deep, "style", scale)
    start = chosen_init(settings) if init is None else load_picture(init)
    return Inputs(photo, paintings, lay_out(guidance, photo, paintings), start)


def check_size(
    picture: Picture, long_side: int, layer: str, role: str, scale: float | None = None
) -> None:
    """Raise an ImageError if a picture is too small for the deepest layer to have a feature.

    Args:
        long_side: the long side of the pastiche, in px.
        role: the picture's name in the message, if it has no file name.
        scale: the painting's `style_scale`; None: the picture is the photo.
    """
    least = minimum_side(layer)
    (height, width), long = picture.size, max(picture.size)
    side = long_side if scale is None else style_side(picture, long_side, scale)
    rows, columns = fit(picture.size, side)
    if min(height, width, rows, columns) >= least:
        return
    becomes = f", which becomes {columns} x {rows}" if (rows, columns) != picture.size else ""
    becomes += f" at style_scale {scale:g}" if becomes and scale is not None and scale < 1 else ""
    remedy = "use a larger picture or shallower layers"
    if min(height, width) >= least:  # only its reduced copy is too small
        fits = -(-(2 * least - 1) * long // (2 * min(height, width)))  # where `fit` gives least
        wanted = (
            f"a long_side of at least {fits}" if scale is None
            else f"a style_scale of at least {math.ceil(100 * fits / long_side) / 100:g}"
        )  # fmt: skip
        crop = "crop it to a less narrow shape, or " if side >= least else ""
        remedy = f"{crop}use {wanted}, or shallower layers"
    raise ImageError(
        f"{picture.name or role}: {width} x {height} px{becomes}, is too small: the layer "
        f"{layer} needs at least {least} px on each side; {remedy}"
    )


def style_side(style: Picture, long_side: int, scale: float) -> int:
    """Return the long side, in px, that a painting is resized to; it is never enlarged.

    Args:
        long_side: the long side of the pastiche, in px.
        scale: the painting's `style_scale`.
    """
    return min(max(style.size), max(1, round(long_side * scale)))


def scaled_style(style: Picture, level: Level, settings: Settings, scale: float) -> Tensor:
    """Return a painting at its size for this level, (1, 3, h, w)."""
    layers = tuple(seen_layers(settings, "style"))
    least = minimum_side(deepest(layers, settings.network)) if layers else 1
    side = style_side(style, level.long_side, scale)
    height, width = fit(style.size, side)
    size = (max(height, least), max(width, least))
    return resize(style.image, size, settings.resampling)


def initial_image(inputs: Inputs, settings: Settings, size: tuple[int, int]) -> Tensor:
    """Return the picture, (1, 3, H, W), that a first level of the size (H, W) starts from."""
    if inputs.init is not None:
        start = inputs.init.image
        smaller = max(start.shape[-2:]) < max(size)
        return enlarge(start, inputs.photo, size) if smaller else resize(start, size)
    if settings.init == "content":
        return resize(inputs.photo.image, size, settings.resampling)
    if settings.init == "style":
        covering = _covering(inputs.paintings[0].image, size)
        photo = resize(inputs.photo.image, size, settings.resampling)
        return style_in_color(covering, photo, settings.color)
    generator = torch.Generator().manual_seed(settings.seed)
    noise = torch.randn((1, 3, *size), generator=generator)
    return _MEAN_COLOR + settings.noise * noise


# ImageNet's mean color, in sRGB. VGG subtracts it from every picture (Simonyan & Zisserman).
_MEAN_COLOR = torch.tensor(CAFFE_MEAN).view(1, 3, 1, 1) / 255


def chosen_init(settings: Settings) -> Picture | None:
    """Read the file that `settings.init` names; None: it is content, style or noise.

    Raises:
        SettingsError: `settings.init` is none of these words, and no file of this name exists.
        ImageError: the file cannot be read.
    """
    if settings.init in INITS:
        return None
    # Path.exists raises for a name that is too long; this returns False.
    if not os.path.exists(settings.init):  # noqa: PTH110
        raise SettingsError(
            f"init: {settings.init} is neither {', '.join(INITS)} nor a file that exists"
            f"{nearest_match(settings.init, INITS)}"
        )
    return load_picture(settings.init)


def enlarge(pastiche: Tensor, photo: Picture, size: tuple[int, int]) -> Tensor:
    """Enlarge the result of a level to the next level's size, (H, W).

    An enlarged picture has no detail in its finest band, but the styles have much detail there. So
    the photo's detail in this band is added. The next level then starts at about half the loss, or
    less (docs/performance.md).
    """
    if tuple(pastiche.shape[-2:]) == size:
        return pastiche
    sharp = resize(photo.image, size)
    height, width = pastiche.shape[-2:]
    blurred = resize(resize(sharp, (height, width)), size)
    return (resize(pastiche, size) + sharp - blurred).clamp(0, 1)


def _covering(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize an image without distortion until it covers the size, and crop it to its center."""
    (height, width), (rows, columns) = image.shape[-2:], size
    factor = max(rows / height, columns / width)
    tall, wide = max(rows, round(height * factor)), max(columns, round(width * factor))
    larger = resize(image, (tall, wide))
    top, left = (tall - rows) // 2, (wide - columns) // 2
    return larger[..., top : top + rows, left : left + columns]
