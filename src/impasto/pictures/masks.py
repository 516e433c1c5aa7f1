"""Masks: read from a picture, resized, and softened at the edges.

A mask is a tensor, (1, 1, H, W) in [0, 1]: 1 selects a pixel, 0 does not.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import ImageError
from impasto.pictures.files import Source, load_picture
from impasto.pictures.picture import (
    Picture,
    continued,
    cropped,
    identity,
    no_visible_pixel,
    same_shape,
    strips,
)

__all__ = [
    "NOT_PREFIX", "check_shape", "face_mask", "feathered", "fitted", "load_mask", "visible_mask",
    "visible_part",
]  # fmt: skip

NOT_PREFIX = "not:"  # before a path: the mask is inverted
_GRAY = 6 / 255  # the largest difference that JPEG makes between the channels of a gray pixel
# A face's box ends at the chin and the cheeks. The mask reaches beyond it, so that the outline is
# inside.
_WIDER, _HIGHER = 1.25, 1.15
_NEARLY = 4 / 255  # the largest change that JPEG makes to black and white


def load_mask(
    source: Source, of: Picture, kind: str, *, may_be_empty: bool = False
) -> tuple[Tensor, dict[str, Any]]:
    """Read a mask of a picture.

    The mask is the file's gray value times its alpha. If the file is in color, it is the alpha
    alone.

    Args:
        source: the mask; a path that begins with "not:" inverts it.
        of: the picture that the mask belongs to.
        kind: the mask's name in error messages.
        may_be_empty: whether a mask that is black everywhere is allowed.

    Returns: (1, 1, h, w) in [0, 1], with the picture's proportions, but maybe another size; and the
             mask's name, SHA-256 and whether it was inverted, for metadata.
    Raises:  ImageError: the mask cannot be read, has other proportions, is in color without an
             alpha channel, or is black everywhere.
    """
    inverted = False
    if isinstance(source, str | os.PathLike):
        inverted = os.fspath(source).startswith(NOT_PREFIX)
        source = os.fspath(source).removeprefix(NOT_PREFIX)
        if not source:
            raise ImageError(f"{kind}: {NOT_PREFIX} needs a picture's file name after it")
    elif isinstance(source, Tensor) and source.ndim == 2:
        source = source[None]
    picture = load_picture(source)
    name = picture.name or f"the {kind}"
    check_shape(picture, of, name)
    gray, tinted = _grays(picture)
    if picture.alpha is not None:
        tinted = tinted & (picture.alpha > _NEARLY)
    colored = bool(tinted.any())
    if colored and picture.alpha is None:
        raise ImageError(
            "is in color, but a mask must be gray: white selects, black does not; use regions for "
            "a map in several colors",
            path=name,
        )
    mask = torch.ones_like(gray) if colored else gray
    mask = mask if picture.alpha is None else mask * picture.alpha
    mask = _without_noise(1 - mask if inverted else mask)
    if not may_be_empty and not bool(mask.any()):
        color = "white everywhere, and inverted to black" if inverted else "black everywhere"
        raise ImageError(
            f"is {color}: it selects nothing; white selects, black does not", path=name
        )
    return mask, identity(picture) | ({"inverted": True} if inverted else {})


def _grays(picture: Picture) -> tuple[Tensor, Tensor]:
    """Return the mean of the channels, and where they differ from it, both (1, 1, H, W)."""
    grays, tints = [], []
    for strip in strips(picture):
        grays.append(strip.mean(1, keepdim=True))
        tints.append(((strip - grays[-1]).abs() > _GRAY).any(1, keepdim=True))
    return torch.cat(grays, dim=2), torch.cat(tints, dim=2)


def _without_noise(mask: Tensor) -> Tensor:
    """Set what is nearly 0 or 1 to 0 or 1: lossy formats change the ends of a mask a little."""
    return torch.where(mask < _NEARLY, 0.0, torch.where(mask > 1 - _NEARLY, 1.0, mask))


def visible_part(picture: Picture) -> Picture:
    """Cut a picture to the box of its visible pixels, as if it had no transparent margin.

    Colors of other pixels in the box continue the visible ones, in proportion to transparency.

    Returns: the part, without alpha.
    Raises:  ImageError: no pixel is visible.
    """
    if picture.alpha is None:
        return picture
    whole = replace(picture, image=continued(picture.image, picture.alpha), alpha=None)
    return cropped(whole, _box(_visible(picture)))


def visible_mask(picture: Picture, mask: Tensor | None = None) -> Tensor | None:
    """Return the mask of `visible_part` that multiplies a mask of the picture by its alpha.

    Args:    mask: (1, 1, h, w) in [0, 1]; None: everywhere.
    Returns: (1, 1, H, W) in [0, 1], of the visible part; None: everywhere.
    Raises:  ImageError: no pixel is visible, or none that the mask selects.
    """
    if picture.alpha is None:
        return mask
    visible = _visible(picture)
    selected = visible if mask is None else fitted(mask, picture.size) * visible
    if not bool(selected.any()):
        raise ImageError(
            "is transparent everywhere that its style mask or region selects, so nothing visible "
            "is left",
            path=picture.name or "the picture",
        )
    top, bottom, left, right = _box(visible)
    part = selected[..., top:bottom, left:right].contiguous()
    return None if bool((part == 1).all()) else part


def _visible(picture: Picture) -> Tensor:
    """Return a picture's alpha as a mask, (1, 1, H, W); raise an ImageError if it is all 0."""
    mask = torch.ones(1, 1, *picture.size) if picture.alpha is None else picture.alpha
    mask = _without_noise(mask)
    if not bool(mask.any()):
        raise no_visible_pixel(picture)
    return mask


def _box(mask: Tensor) -> tuple[int, int, int, int]:
    """Return the (top, bottom, left, right) of the smallest box with all pixels above 0."""
    rows, columns = (mask[0, 0].amax(side).nonzero().flatten() for side in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def check_shape(picture: Picture, of: Picture, name: str) -> None:
    """Raise an ImageError unless a picture has another picture's proportions, up to one pixel."""
    if not same_shape(picture.size, of.size):
        (height, width), (rows, columns) = picture.size, of.size
        raise ImageError(
            f"is {width} x {height} px, which are not the proportions of "
            f"{of.name or 'its picture'}, {columns} x {rows}; any size with these proportions is "
            "allowed",
            path=name,
        )


def fitted(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a mask, (1, 1, h, w), to (H, W).

    A pixel of the result is 0 only if all pixels that it covers are 0, and 1 only if all of them
    are 1. Means over areas and linear interpolation never overshoot.
    """
    if tuple(mask.shape[-2:]) == tuple(size):
        return mask
    if max(mask.shape[-2:]) > max(size):
        return functional.interpolate(mask, size=size, mode="area")
    return functional.interpolate(mask, size=size, mode="bilinear", align_corners=False)


def feathered(mask: Tensor, feather: float) -> Tensor:
    """Soften the edges of a mask over ± feather px, by averaging over squares twice."""
    reach = math.ceil(feather / 2)
    if reach < 1:
        return mask
    soft = mask.double()
    for _ in range(2):
        soft = _means(_means(soft, reach).transpose(2, 3), reach).transpose(2, 3)
    # Differences of running sums leave rounding errors where the mask is all 0 or all 1.
    soft = torch.where(soft < 1e-9, 0.0, torch.where(soft > 1 - 1e-9, 1.0, soft))
    return soft.to(mask)


def _means(mask: Tensor, reach: int) -> Tensor:
    """Average each row over ± reach px, in a time that does not depend on reach."""
    padded = functional.pad(mask, (reach + 1, reach, 0, 0), mode="replicate")
    sums = padded.cumsum(-1)
    return (sums[..., 2 * reach + 1 :] - sums[..., : -2 * reach - 1]) / (2 * reach + 1)


def face_mask(faces: Sequence[float], size: tuple[int, int]) -> Tensor:
    """Return a mask, (1, 1, H, W) in [0, 1], with a soft ellipse around each box.

    An ellipse is 1 up to three quarters of its radius, and falls to 0 at five quarters.

    Args: faces: four numbers for each box; see the setting `faces`.
    """
    height, width = size
    rows = (torch.arange(height) + 0.5) / height
    columns = (torch.arange(width) + 0.5) / width
    mask = torch.zeros(1, 1, height, width)
    for start in range(0, len(faces), 4):
        x, y, across, down = faces[start : start + 4]
        if not across or not down:
            continue
        horizontal = (columns - (x + across / 2)) / (across / 2 * _WIDER)
        vertical = (rows - (y + down / 2)) / (down / 2 * _HIGHER)
        radius = (vertical.square()[:, None] + horizontal.square()).sqrt()
        inside = ((1.25 - radius) / 0.5).clamp(0, 1)
        mask = torch.maximum(mask, (inside.square() * (3 - 2 * inside))[None, None])
    return mask
