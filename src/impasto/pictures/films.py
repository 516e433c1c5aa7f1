"""Many pictures in one file: films as GIF, WebP and MP4, and sheets with captions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw
import torch
from torch import Tensor

from impasto.errors import ImageError, SettingsError, ShapeError, install_hint
from impasto.pictures.picture import to_pillow

__all__ = ["FILMS", "as_frame", "check_film", "film", "sheet", "video_library"]

FILMS = (".gif", ".webp", ".mp4")

Pixels = npt.NDArray[np.uint8]  # (H, W, 3), sRGB; or (H, W, 4) with alpha

_PER_SECOND = 12  # frames; so fast that a viewer sees motion, so slow that each step is visible
_HOLD = 24  # frames that show the result
_TRANSPARENT = 255  # the index of the transparent color in a GIF


def check_film(suffix: str, name: str) -> None:
    """Check before a long run that `film` can make such a file.

    Args: name: the file, for messages.

    Raises: ImageError: the suffix is not one of FILMS; SettingsError: an extra is not installed.
    """
    if suffix.lower() not in FILMS:
        raise ImageError(f"cannot be written: films are written as {', '.join(FILMS)}", path=name)
    if suffix.lower() == ".mp4":
        video_library()


def video_library() -> Any:
    """Return PyAV, FFmpeg's libraries in Python.

    Raises: SettingsError: it is not installed.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise SettingsError(
            f".mp4 needs PyAV, but .gif and .webp do not; to install PyAV: {install_hint('video')}"
        ) from error
    return av


def as_frame(image: Tensor, alpha: Tensor | None = None) -> Pixels:
    """Return an image, (1, 3, H, W), as 8-bit (H, W, 3); with alpha, (1, 1, H, W), as (H, W, 4)."""
    return np.asarray(to_pillow(image, alpha))


def film(frames: Sequence[Pixels], suffix: str) -> bytes:
    """Return the bytes of a film with 12 frames per second; the last frame stays for 2 seconds.

    WebP holds the frames' alpha. In a GIF, pixels with less than half of it are
    transparent, and the others are put on white. MP4 has no transparency: frames are put on white.

    Raises: ShapeError: there is no frame, or the frames have several sizes; also as for
        `check_film`.
    """
    check_film(suffix, "the film")
    if not frames or len({frame.shape for frame in frames}) > 1:
        raise ShapeError("a film needs at least one frame, and all frames must have one size")
    if suffix.lower() == ".mp4":
        return _mp4([_laid_on_white(frame) for frame in frames])
    durations = [1000 // _PER_SECOND] * len(frames)
    durations[-1] *= _HOLD
    buffer = io.BytesIO()
    if suffix.lower() == ".gif":
        pictures = [_in_256_colors(frame) for frame in frames]
        options: dict[str, Any] = {"format": "gif", "disposal": 1}
        if frames[0].shape[2] == 4:  # a frame must not shine through the next
            options |= {"disposal": 2, "transparency": _TRANSPARENT}
    else:
        pictures = [PIL.Image.fromarray(frame) for frame in frames]
        options = {"format": "webp", "quality": 85, "method": 3}
    pictures[0].save(
        buffer, save_all=True, append_images=pictures[1:], duration=durations, loop=0, **options
    )
    return buffer.getvalue()


def _laid_on_white(frame: Pixels) -> Pixels:
    if frame.shape[2] == 3:
        return frame
    opacity = frame[..., 3:].astype(np.float32) / 255
    laid: Pixels = (frame[..., :3] * opacity + 255 * (1 - opacity) + 0.5).astype(np.uint8)
    return laid


def _in_256_colors(frame: Pixels) -> PIL.Image.Image:
    """Return a frame with a palette; if it has alpha, the last color is transparent."""
    plain = PIL.Image.fromarray(_laid_on_white(frame))
    if frame.shape[2] == 3:
        return plain.quantize(256, PIL.Image.Quantize.MEDIANCUT)
    picture = plain.quantize(_TRANSPARENT, PIL.Image.Quantize.MEDIANCUT)
    picture.paste(_TRANSPARENT, mask=PIL.Image.fromarray(frame[..., 3] < 128))
    return picture


def _mp4(frames: Sequence[Pixels]) -> bytes:
    av = video_library()
    height, width = frames[0].shape[:2]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        try:
            stream = container.add_stream("libx264", rate=_PER_SECOND)
            stream.options = {"crf": "18"}
        except (ValueError, LookupError):  # this build of FFmpeg has no x264
            stream = container.add_stream("mpeg4", rate=_PER_SECOND)
            stream.bit_rate = 8_000_000
        # Players expect colors at half the resolution, so both sides must be even.
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        for frame in [*frames, *[frames[-1]] * (_HOLD - 1)]:
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return buffer.getvalue()


# ---- sheets -------------------------------------------------------------------------------------

_GAP = 8  # px between pictures
_CAPTION = 18  # px for a line below each picture


def sheet(rows: Sequence[Sequence[tuple[str, Tensor]]]) -> Tensor:
    """Lay out pictures with captions in rows on white.

    Args:    rows: pairs of caption and image, (1, 3, h, w); all images have one size.
    Returns: (1, 3, H, W).
    """
    height, width = rows[0][0][1].shape[-2:]
    columns = max(len(row) for row in rows)
    tall = _GAP + len(rows) * (height + _CAPTION + _GAP)
    paper = PIL.Image.new("RGB", (_GAP + columns * (width + _GAP), tall), "white")
    draw = PIL.ImageDraw.Draw(paper)
    places: list[tuple[int, int, Tensor]] = []
    for y, row in enumerate(rows):
        for x, (caption, image) in enumerate(row):
            left = _GAP + x * (width + _GAP)
            top = _GAP + y * (height + _CAPTION + _GAP)
            places.append((top, left, image))
            draw.text((left, top + height + 3), caption, fill="black")
    array = np.asarray(paper, dtype=np.float32) / 255
    whole = torch.from_numpy(array).permute(2, 0, 1)[None].contiguous()
    for top, left, image in places:  # without Pillow, because it has only 8 bits
        whole[..., top : top + height, left : left + width] = image.detach().cpu().clamp(0, 1)
    return whole
