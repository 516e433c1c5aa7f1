"""From the samples of a picture file to sRGB, by the formulas of their color space.

Arrays are (H, W, C). Whole numbers, uint8 and uint16, stand for [0, 1] and are rounded to the
nearest step; floats are in [0, 1]. A result has its input's type. Large pictures are converted in
strips of rows, so that only a strip is held as floats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from impasto.pictures.transfer import (
    PRIMARIES,
    Chromaticities,
    Signal,
    light_to_srgb,
    primaries_matrix,
    srgb_to_light,
)

__all__ = [
    "ADOBE_RGB", "D50", "Coding", "Gamma", "Narrow", "as_type", "cmyk", "divided", "encoded",
    "in_strips", "lab", "upright", "with_alpha", "ycbcr",
]  # fmt: skip

Values = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

D50 = (0.3457, 0.3585)  # x and y of the white of CIELAB in TIFF, if the file names no other
_STRIP = 1_000_000  # samples in a strip


def in_strips(values: Values, convert: Callable[[Floats], Floats]) -> Values:
    """Convert an array in strips of rows.

    Args: convert: (h, W, C) → (h, W, D) for any h, both float32 with full scale at 1. Its result is
        clipped to [0, 1].
    """
    rows = max(1, _STRIP // max(1, values[0].size))
    parts = (values[start : start + rows] for start in range(0, len(values), rows))
    return np.concatenate([_quantized(convert(_unit(part)), values.dtype) for part in parts])


def _unit(values: Values) -> Floats:
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)


def _quantized(values: Floats, kind: np.dtype[Any]) -> Values:
    clipped = np.clip(values, 0, 1)
    if kind.kind == "f":
        return clipped
    rounded: Values = np.floor(clipped * np.iinfo(kind).max + np.float32(0.5)).astype(kind)
    return rounded


def as_type(values: Values, kind: np.dtype[Any]) -> Values:
    """Scale an array to another type; return the same array if it has that type already."""
    return values if values.dtype == kind else _quantized(_unit(values), kind)


def with_alpha(colors: Values, alpha: Values | None) -> Values:
    """Return colors, (H, W, 1 or 3), followed by alpha, (H, W, 1), if there is any."""
    if alpha is None:
        return colors
    rgb = np.repeat(colors, 3, axis=-1) if colors.shape[-1] == 1 else colors
    return np.concatenate([rgb, as_type(alpha, colors.dtype)], axis=-1)


def upright(values: Values, orientation: int) -> Values:
    """Turn and mirror an array as the EXIF orientation, 1 to 8, says; others count as 1."""
    turned: Values = {
        2: lambda: values[:, ::-1],
        3: lambda: values[::-1, ::-1],
        4: lambda: values[::-1],
        5: lambda: values.swapaxes(0, 1),
        6: lambda: np.rot90(values, -1),
        7: lambda: values[::-1, ::-1].swapaxes(0, 1),
        8: lambda: np.rot90(values, 1),
    }.get(orientation, lambda: values)()
    return turned


def divided(colors: Values, alpha: Values) -> Values:
    """Divide premultiplied colors, (H, W, C), by their alpha, (H, W, 1); 0 where alpha is 0."""
    both = np.concatenate([colors, alpha], axis=-1)

    return in_strips(both, lambda strip: strip[..., :-1] / strip[..., -1:].clip(min=1e-9))


def cmyk(values: Values) -> Values:
    """Convert inks, (H, W, 4), to (H, W, 3) without a profile: each ink absorbs light."""
    return in_strips(values, lambda ink: (1 - ink[..., :3]) * (1 - ink[..., 3:]))


def ycbcr(values: Values, shares: Sequence[float], black_white: Sequence[float]) -> Values:
    """Convert Y, Cb, Cr to R, G, B by TIFF 6.0, section 21.

    Args:
        shares: LumaRed, LumaGreen and LumaBlue.
        black_white: ReferenceBlackWhite as shares of full scale: black and white of Y, Cb and Cr.
    """
    red, green, blue = shares
    black, white = (np.array(black_white[first::2], np.float32) for first in (0, 1))
    full = np.iinfo(values.dtype).max if values.dtype.kind == "u" else 255
    ranges = np.array([1, (full // 2) / full, (full // 2) / full], np.float32)  # 127 of 255

    def convert(strip: Floats) -> Floats:
        y, cb, cr = np.moveaxis((strip - black) * (ranges / (white - black)), -1, 0)
        r, b = y + (2 - 2 * red) * cr, y + (2 - 2 * blue) * cb
        return np.stack([r, (y - blue * b - red * r) / green, b], axis=-1)

    return in_strips(values, convert)


def lab(values: Floats, white: tuple[float, float]) -> Floats:
    """Return sRGB in [0, 1] of CIELAB: L* in [0, 100], a* and b*, relative to the white's x, y."""
    light_first, others = (
        (values[..., :1] + 16) / 116,
        values[..., 1:] / np.array([500, -200], np.float32),
    )
    roots = np.concatenate(
        [light_first + others[..., :1], light_first, light_first + others[..., 1:]], -1
    )
    edge = np.float32(6 / 29)
    xyz = np.where(roots > edge, roots**3, 3 * edge**2 * (roots - np.float32(4 / 29)))
    return _to_srgb(xyz, ((1, 0), (0, 1), (0, 0), white))  # X, Y, Z as primaries


def _to_srgb(light: Floats, primaries: Chromaticities) -> Floats:
    """Return sRGB in [0, 1] of light, (…, 3), with white at 1."""
    matrix = primaries_matrix(primaries, 1).numpy().astype(np.float32)
    encoded: Floats = light_to_srgb(torch.from_numpy(light @ matrix.T)).numpy()
    return encoded


@dataclass(frozen=True)
class Gamma:
    """Values that are a power of light.

    Attributes:
        exponent: light = value ** exponent; None: sRGB's transfer function.
        primaries: x and y of red, green, blue and white.
    """

    exponent: float | None
    primaries: Chromaticities = PRIMARIES[1]

    def to_srgb(self, strip: Floats) -> Floats:
        """Return sRGB of (h, W, 1 or 3) in [0, 1]."""
        light: Floats
        if self.exponent is None:
            light = srgb_to_light(torch.from_numpy(strip)).numpy()
        else:
            light = strip**self.exponent
        if strip.shape[-1] == 1:  # gray stays gray: white becomes white
            return light_to_srgb(torch.from_numpy(light)).numpy()
        return _to_srgb(light, self.primaries)


# Adobe RGB (1998): 563/256, and sRGB's red and blue with another green.
ADOBE_RGB = Gamma(563 / 256, ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), (0.3127, 0.3290)))


@dataclass(frozen=True)
class Narrow:
    """A signal of limited range: black at 16, white at 235; in 16 bits, at 256 times as much."""

    signal: Signal


# What a file says about its colors: an ICC profile, or one of the codings; None: they are sRGB.
Coding = bytes | Gamma | Signal | Narrow | None


def encoded(values: Values, coding: Gamma | Signal | Narrow) -> Values:
    """Return sRGB, (H, W, C), of colors with another coding, (H, W, 1 or 3).

    The colors stay unchanged if the coding changes no color by more than 1/255.
    """
    gray = values.shape[-1] == 1

    def convert(strip: Floats) -> Floats:
        signal: Gamma | Signal = coding.signal if isinstance(coding, Narrow) else coding
        if isinstance(coding, Narrow):
            steps = 255 if values.dtype == np.uint8 else 65535 / 256
            strip = ((strip * np.float32(steps) - 16) / 219).clip(0, 1)
        if isinstance(signal, Gamma):
            return signal.to_srgb(strip)
        planes = torch.from_numpy(np.ascontiguousarray(strip.transpose(2, 0, 1)))
        whole = signal.to_srgb(planes.expand(3, -1, -1)).permute(1, 2, 0)
        result: Floats = whole[..., : 1 if gray else 3].numpy()
        return result

    probe = _probe(gray)
    if np.abs(in_strips(probe, convert).astype(int) - probe).max() <= 1:
        return values
    return in_strips(values, convert)


def _probe(gray: bool) -> npt.NDArray[np.uint8]:
    """Return every gray and, in color, a 6 × 6 × 6 lattice of the color cube, one pixel high."""
    ramp = np.arange(256, dtype=np.uint8)
    if gray:
        return ramp[None, :, None]
    lattice = np.stack(np.meshgrid(*[ramp[::51]] * 3), axis=-1).reshape(-1, 3)
    return np.concatenate([lattice, np.repeat(ramp[:, None], 3, axis=1)])[None]
