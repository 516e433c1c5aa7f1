"""The inputs of a run: the photo, the paintings, their masks, and the picture to start from."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from impasto.errors import ImageError, SettingsError, nearest_match
from impasto.network.encoder import CAFFE_MEAN
from impasto.objective.layer_weights import seen_layers
from impasto.painting.guidance import Guidance, Layout, lay_out
from impasto.painting.pyramid import Level
from impasto.pictures.colors import gray_image, is_gray, style_in_color
from impasto.pictures.files import Source, load_picture
from impasto.pictures.masks import visible_part
from impasto.pictures.picture import (
    Picture,
    cover,
    fit,
    identity,
    no_visible_pixel,
    resize,
    resized,
)
from impasto.settings.layers import deepest, minimum_side
from impasto.settings.pictures import ResamplingName, Settings

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
        paintings: the visible parts of the styles, at least one; see `visible_part`.
        layout: which painting goes where.
        init: the picture to start from; None: the settings choose content, style or noise.
        gray: whether the result is gray: the optimizer then changes one value per pixel.
    """

    photo: Picture
    paintings: tuple[Picture, ...]
    layout: Layout
    init: Picture | None = None
    gray: bool = False

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
        ImageError: a picture cannot be read, is too small, or has no visible pixel.
        SettingsError: there is no painting, or the numbers of masks, weights or scales and of
            paintings differ.
    """
    many: list[Any] = list(styles) if isinstance(styles, list | tuple) else [styles]
    if not many:
        raise SettingsError("no style given: name at least one painting")
    photo = load_picture(content)
    given = [load_picture(style) for style in many]
    paintings = tuple(visible_part(painting) for painting in given)
    scales = settings.per_style("style_scale", len(paintings))
    settings.per_style("style_weight", len(paintings))
    deep = deepest(tuple(seen_layers(settings)), settings.network)
    check_size(photo, settings.long_side, deep, "content")
    for painting, scale in zip(paintings, scales, strict=True):
        check_size(painting, settings.long_side, deep, "style", scale)
    start = chosen_init(settings) if init is None else load_picture(init)
    if start is not None and start.alpha is not None and not bool(start.alpha.any()):
        raise no_visible_pixel(start)
    layout = lay_out(guidance, photo, given)
    gray = _is_gray_run(photo, paintings, start, settings)
    if gray and not photo.is_one_plane:
        photo = replace(photo, image=gray_image(photo.image))
    return Inputs(photo, paintings, layout, start, gray)


def _is_gray_run(
    photo: Picture, paintings: Sequence[Picture], init: Picture | None, settings: Settings
) -> bool:
    """Tell whether no input gives color to a picture: each is gray, or its colors do not count.

    Unless the setting `color` is "style", the result has the photo's colors.
    """
    sources = [photo]
    if settings.color == "style":
        sources += [*paintings, *([] if init is None else [init])]
    return all(is_gray(source) for source in sources)


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
    size = fit(style.size, style_side(style, level.long_side, scale))
    if min(size) < least:  # a strip, at a coarse level
        size = fit(style.size, -(-max(style.size) * least // min(style.size)))
    return resize(style.pixels, size, settings.resampling)


def initial_image(inputs: Inputs, settings: Settings, size: tuple[int, int]) -> Tensor:
    """Return the picture, (1, 3, H, W), that a first level of the size (H, W) starts from.

    A picture of another shape is not distorted: it covers the size, and its center is shown.
    """
    start = _start(inputs, settings, size)
    return gray_image(start) if inputs.gray else start


def _start(inputs: Inputs, settings: Settings, size: tuple[int, int]) -> Tensor:
    if inputs.init is not None:
        return _covering(inputs.init, inputs.photo, size, settings.resampling)
    if settings.init == "content":
        return resized(inputs.photo, size, settings.resampling).image
    if settings.init == "style":
        covering, _ = cover(inputs.paintings[0], size, settings.resampling)
        photo = resized(inputs.photo, size, settings.resampling)
        return style_in_color(covering, photo, settings.color)
    generator = torch.Generator().manual_seed(settings.seed)
    noise = torch.randn((1, 3, *size), generator=generator)
    # The luma of three channels of noise would be weaker than one of them.
    noise = noise[:, :1] if inputs.gray else noise
    return _MEAN_COLOR + settings.noise * noise


def _covering(
    init: Picture, photo: Picture, size: tuple[int, int], resampling: ResamplingName
) -> Tensor:
    """Cover the size with a picture; where the picture is transparent, take the photo."""
    shown, part = cover(init, size, resampling)
    image = shown.image
    if max(part) < max(size):
        image = _with_detail(image, photo, part, resampling)
    if shown.alpha is None:
        return image
    return resized(photo, size, resampling).image.lerp(image, shown.alpha)


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


def enlarge(
    pastiche: Tensor, photo: Picture, size: tuple[int, int], resampling: ResamplingName = "lanczos"
) -> Tensor:
    """Enlarge the result of a level to the next level's size, (H, W).

    An enlarged picture has no detail in its finest band, but the styles have much detail there. So
    the photo's detail in this band is added. The next level then starts at about half the loss, or
    less (docs/performance.md).

    Args: resampling: the filter that scales the photo, as the objective sees it.
    """
    if tuple(pastiche.shape[-2:]) == size:
        return pastiche
    before = (pastiche.shape[-2], pastiche.shape[-1])
    return _with_detail(resize(pastiche, size), photo, before, resampling)


def _with_detail(
    enlarged: Tensor, photo: Picture, before: tuple[int, int], resampling: ResamplingName
) -> Tensor:
    """Add the photo's finest detail to an enlarged picture. Args: before: (h, w) of the smaller."""
    size = (enlarged.shape[-2], enlarged.shape[-1])
    sharp = resized(photo, size, resampling).image
    blurred = resize(resize(sharp, before), size)
    return (enlarged + sharp - blurred).clamp(0, 1)
