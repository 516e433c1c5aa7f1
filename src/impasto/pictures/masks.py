"""Masks: read from a picture, resized, and softened at the edges.

A mask is a tensor, (1, 1, H, W) in [0, 1]: 1 selects a pixel, 0 does not.
"""

from __future__ import annotations

import math
import os
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import ImageError
from impasto.pictures.files import Source, load_picture
from impasto.pictures.picture import Picture, fit, identity

__all__ = ["NOT_PREFIX", "check_shape", "feathered", "fitted", "load_mask"]

NOT_PREFIX = "not:"  # before a path: the mask is inverted
_GRAY = 6 / 255  # the largest difference that JPEG makes between the channels of a gray pixel
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
    gray = picture.image.mean(1, keepdim=True)
    colored = bool(((picture.image - gray).abs() > _GRAY).any())
    if colored and picture.alpha is None:
        raise ImageError(
            "is in color, but a mask must be gray: white selects, black does not; use regions for "
            "a map in several colors",
            path=name,
        )
    mask = torch.ones_like(gray) if colored else gray
    mask = mask if picture.alpha is None else mask * picture.alpha
    mask = 1 - mask if inverted else mask
    mask = torch.where(mask < _NEARLY, 0.0, torch.where(mask > 1 - _NEARLY, 1.0, mask))
    if not may_be_empty and not bool(mask.any()):
        color = "white everywhere, and inverted to black" if inverted else "black everywhere"
        raise ImageError(
            f"is {color}: it selects nothing; white selects, black does not", path=name
        )
    return mask, identity(picture) | ({"inverted": True} if inverted else {})


def check_shape(picture: Picture, of: Picture, name: str) -> None:
    """Raise an ImageError unless a picture has another picture's proportions, up to one pixel."""
    expected = fit(of.size, max(picture.size))
    if any(abs(a - b) > 1 for a, b in zip(picture.size, expected, strict=True)):
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
