"""Conversion between stored frames and image tensors: matrix, range, chroma, orientation.

The conversion is computed here in float32: FFmpeg's own is off by up to 2 levels, and it reads
gray as full range even if the file says otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import VideoError
from impasto.pictures.picture import Image
from impasto.pictures.transfer import HLG, PQ, PRIMARIES, Signal, luminance_shares

__all__ = [
    "Colors",
    "Orientation",
    "alpha_of",
    "colors_of",
    "colors_to_write",
    "from_image",
    "orientation_of",
    "to_image",
]

# The weights of red and blue in luma, by ITU-T H.273's number of the matrix.
_SHARES = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
}
_WIDE = 9  # BT.2020 and BT.2100, as matrix and as primaries
_GREEN_ORANGE, _BY_PRIMARIES = 8, 12  # YCgCo; BT.709 and others, derived from the primaries
_UNREADABLE = {
    10: "BT.2020 with constant luminance",
    11: "SMPTE ST 2085",
    13: "constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_PLANAR = re.compile(r"(gray|yuvj?(420|422|444)p)(9|10|12|14|16)?(le)?")


@dataclass(frozen=True)
class Colors:
    """How stored values are read, by the numbers of ITU-T H.273, where 2 is "unspecified".

    Attributes:
        matrix: how luma and chroma are computed from R'G'B'.
        full: True: values use the full range (0–255); False: the limited range (16–235).
        primaries, transfer: what R'G'B' means.
    """

    matrix: int = 1
    full: bool = False
    primaries: int = 1
    transfer: int = 1

    @property
    def shares(self) -> tuple[float, float]:
        """The weights of red and blue in luma."""
        if self.matrix == _BY_PRIMARIES:
            red, _, blue = luminance_shares(self.primaries if self.primaries in PRIMARIES else 1)
            return red, blue
        return _SHARES[self.matrix]


@dataclass(frozen=True)
class Orientation:
    """How to turn a stored picture upright: transpose it, then mirror it, then flip it.

    Attributes:
        transposed: rows and columns are exchanged.
        mirrored: left and right are exchanged.
        flipped: top and bottom are exchanged.
    """

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False

    def upright_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the (H, W) of the upright picture, from the (H, W) of the stored one."""
        return (size[1], size[0]) if self.transposed else size

    def upright(self, image: Image) -> Image:
        """Return the image upright."""
        turned = image.transpose(-1, -2) if self.transposed else image
        sides = [side for side, turns in ((-1, self.mirrored), (-2, self.flipped)) if turns]
        upright: Image = turned.flip(sides) if sides else turned
        return upright


def orientation_of(frame: Any) -> Orientation:
    """Read a frame's display matrix, rounded to quarter turns.

    The matrix maps stored (x, y) to (a·x + c·y, b·x + d·y), in 32-bit integers a b u c d v x y w.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation()
    a, b, _, c, d = np.frombuffer(bytes(matrix), "<i4")[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def colors_of(frame: Any, codec: Any) -> Colors:
    """Return how a frame's values are read; if the file does not state it, guess as players do.

    Raises: VideoError: the values are stored in a way that cannot be read.
    """
    primaries, transfer = codec.color_primaries, codec.color_trc
    name = frame.format.name
    matrix = int(frame.colorspace)
    if primaries not in PRIMARIES and (transfer in (PQ, HLG) or matrix == _WIDE):
        primaries = _WIDE
    if frame.format.is_rgb or name == "pal8":
        return Colors(1, False, primaries, transfer)
    if matrix in _UNREADABLE:
        raise VideoError(
            f"cannot be read: its colors are stored as {_UNREADABLE[matrix]}; convert it to Y'CbCr "
            "of BT.709 or BT.2020 first"
        )
    if matrix not in (*_SHARES, _GREEN_ORANGE, _BY_PRIMARIES):
        # mpv and VLC read high definition as BT.709, and smaller frames as BT.601.
        large = frame.width >= 1280 or frame.height > 576
        matrix = 1 if large else 5 if frame.height == 576 else 6
        matrix = _WIDE if primaries == _WIDE else matrix
    full = int(frame.color_range) == 2 or name.startswith("yuvj")
    if int(frame.color_range) == 0 and name.startswith("gray"):
        full = True  # FFmpeg writes gray with the full range.
    return Colors(matrix, full, primaries, transfer)


def colors_to_write(colors: Colors, *, keep: bool) -> Colors:
    """Return the colors of a result.

    Args: keep: whether the frames are written in the clip's own signal. False: they are sRGB, to
        which `Signal` may have converted them.
    """
    signal = Signal(colors.primaries, colors.transfer)
    if keep:
        return replace(colors, matrix=_WIDE, primaries=signal.known_primaries)
    if not signal.is_srgb:
        return replace(colors, matrix=1, primaries=1, transfer=1)
    return colors if colors.matrix in _SHARES else replace(colors, matrix=1)


# ---- reading ------------------------------------------------------------------------------------


def to_image(frame: Any, colors: Colors, orientation: Orientation) -> Image:
    """Return a decoded frame as an upright image, (1, 3, H, W) in [0, 1]."""
    rgb = _from_rgb(frame) if _is_rgb(frame) else _from_planes(_planar(frame), colors)
    image: Image = orientation.upright(rgb).clamp(0, 1).contiguous()
    return image


def alpha_of(frame: Any, orientation: Orientation) -> Tensor | None:
    """Return the transparency of a decoded frame, upright, (1, 1, H, W); None: it has none."""
    parts, planes = frame.format.components, frame.planes
    if frame.format.name != "pal8" and not any(part.is_alpha for part in parts):
        return None
    if len(planes) == len(parts):
        values = _plane(planes[-1], parts[-1].bits).float() / (2 ** parts[-1].bits - 1)
    else:
        packed = frame.reformat(format="rgba").to_ndarray()[..., 3]
        values = torch.from_numpy(packed.astype(np.float32) / 255)
    return orientation.upright(values[None, None]).contiguous()


def _is_rgb(frame: Any) -> bool:
    return bool(frame.format.is_rgb) or frame.format.name == "pal8"


def _from_rgb(frame: Any) -> Image:
    deep = max(each.bits for each in frame.format.components) > 8
    values = frame.reformat(format="rgb48le" if deep else "rgb24").to_ndarray()
    scaled = values.astype(np.float32) / np.float32(65535 if deep else 255)
    return torch.from_numpy(scaled).permute(2, 0, 1)[None]


def _planar(frame: Any) -> Any:
    """Return the frame in a format with separate planes of luma and chroma, without conversion."""
    name = frame.format.name
    if _PLANAR.fullmatch(name):
        return frame
    if name.startswith("gray"):
        return frame.reformat(format="gray16le")
    deep = frame.format.components[0].bits > 8
    wide = frame.format.chroma_width(64) == 64
    low = frame.format.chroma_height(64) < 64
    kind = "yuv444p" if wide else "yuv420p" if low else "yuv422p"
    # The color space is the same on both sides, so that FFmpeg only rearranges the values.
    space, scope = int(frame.colorspace), int(frame.color_range) or 1
    return frame.reformat(
        format=f"{kind}10le" if deep else kind,
        src_colorspace=space,
        dst_colorspace=space,
        src_color_range=scope,
        dst_color_range=scope,
    )


def _from_planes(frame: Any, colors: Colors) -> Image:
    bits = frame.format.components[0].bits
    height, width = frame.height, frame.width
    luma, *chroma = (_plane(plane, bits) for plane in frame.planes)
    y = luma[None, None].float()  # (1, 1, H, W)
    step = 2.0 ** (bits - 8)
    if colors.full:
        y, scale = y / (2**bits - 1), 2.0**bits - 1
    else:
        y, scale = (y - 16 * step) / (219 * step), 224 * step
    if not chroma:
        return torch.cat([y, y, y], dim=1)
    pair = (torch.stack(chroma)[None].float() - 128 * step) / scale  # (1, 2, h, w)
    blue, red = _enlarge(pair, (height, width))[0][:, None, None]
    if colors.matrix == _GREEN_ORANGE:  # H.273, equations 57 to 60: `blue` holds Cg, `red` Co
        return torch.cat([y - blue + red, y + blue, y - blue - red], dim=1)
    share_red, share_blue = colors.shares
    r = y + 2 * (1 - share_red) * red
    b = y + 2 * (1 - share_blue) * blue
    g = (y - share_red * r - share_blue * b) / (1 - share_red - share_blue)
    return torch.cat([r, g, b], dim=1)


def _plane(plane: Any, bits: int) -> Tensor:
    """Return one plane, (h, w), without the padding at the end of each row."""
    kind = np.dtype("u1" if bits <= 8 else "<u2")
    rows = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)
    return torch.from_numpy(rows[:, : plane.width].astype(np.int32))


def _enlarge(chroma: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate chroma, (1, 2, h, w), to (H, W); samples lie on even columns, between rows."""
    height, width = size
    if chroma.shape[-2] < height:
        tall = 2 * chroma.shape[-2]
        chroma = functional.interpolate(
            chroma, size=(tall, chroma.shape[-1]), mode="bilinear", align_corners=False
        )[..., :height, :]
    if chroma.shape[-1] < width:
        following = torch.cat([chroma[..., 1:], chroma[..., -1:]], dim=-1)
        between = torch.stack([chroma, (chroma + following) / 2], dim=-1)  # (1, 2, H, w, 2)
        chroma = between.flatten(-2)[..., :width]
    return chroma


# ---- writing ------------------------------------------------------------------------------------


def from_image(image: Image, colors: Colors, format: str, av: Any) -> Any:
    """Return an image as a frame to encode.

    Args:
        image: (1, 3, H, W), R'G'B' in [0, 1].
        format: yuv420p, yuv422p or yuv444p, of 8 or more bits: yuv420p10le.
        av: PyAV.
    """
    red, green, blue = image.detach().to("cpu", torch.float32).clamp(0, 1)[0]  # (H, W) each
    share_red, share_blue = colors.shares
    y = share_red * red + (1 - share_red - share_blue) * green + share_blue * blue
    pair = torch.stack([(blue - y) / (2 * (1 - share_blue)), (red - y) / (2 * (1 - share_red))])
    frame = av.VideoFrame(image.shape[-1], image.shape[-2], format)
    frame.colorspace, frame.color_range = colors.matrix, 2 if colors.full else 1
    frame.color_primaries, frame.color_trc = colors.primaries, colors.transfer
    bits = frame.format.components[0].bits
    step = 2.0 ** (bits - 8)
    if colors.full:
        y, scale = y * (2**bits - 1), 2.0**bits - 1
    else:
        y, scale = y * 219 * step + 16 * step, 224 * step
    size = (frame.planes[1].height, frame.planes[1].width)
    chroma = _reduce(pair[None], size)[0] * scale + 128 * step
    for plane, values in zip(frame.planes, (y, *chroma), strict=True):
        _fill(plane, values.round().clamp(0, 2**bits - 1).numpy(), bits)
    return frame


def _reduce(chroma: Tensor, size: tuple[int, int]) -> Tensor:
    """Halve chroma, (1, 2, H, W), onto the positions that `_enlarge` reads."""
    if size[0] < chroma.shape[-2]:
        even = functional.pad(chroma, (0, 0, 0, chroma.shape[-2] % 2), mode="replicate")
        chroma = functional.avg_pool2d(even, (2, 1))
    if size[1] < chroma.shape[-1]:
        wider = functional.pad(chroma, (1, 1, 0, 0), mode="replicate")
        chroma = (wider[..., :-2:2] + 2 * wider[..., 1:-1:2] + wider[..., 2::2]) / 4
    return chroma


def _fill(plane: Any, values: npt.NDArray[np.float32], bits: int) -> None:
    kind = np.dtype("u1" if bits <= 8 else "<u2")
    rows = np.zeros((plane.height, plane.line_size // kind.itemsize), kind)
    rows[:, : plane.width] = values
    plane.update(rows.tobytes())
