"""Picture files to Pictures and back: the only module that opens picture files.

file, stream, array or Pillow image → Picture → Image tensor → pastiche → file

Read: AVIF, BMP, GIF (first frame), JPEG, PNG, PNM, TIFF, WebP, and HEIC with the plug-in
pillow-heif. Written: PNG, JPEG, WebP, TIFF. Pictures are turned upright as their EXIF says and
converted to sRGB as their ICC profile says, or else as the chunks of PNG, the tags of TIFF, the
nclx box of AVIF and HEIC, or EXIF say. 16 bits a channel are kept in PNG and TIFF, in both
directions; floats are read from TIFF; other formats are read at 8 bits.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import PIL.Image
from torch import Tensor

from impasto.errors import ImageError, SettingsError
from impasto.pictures import codecs
from impasto.pictures.picture import (
    Image,
    Picture,
    check_pixel_count,
    from_array,
    naming,
    on_white,
    picture_of,
    quantize,
    unit,
    with_long_side,
    without_hidden_colors,
)
from impasto.pictures.profiles import reading
from impasto.storage import check_target, one_line, read_file, write_all, write_file

__all__ = [
    "MAX_PIXELS",
    "Source",
    "check_writable",
    "load_image",
    "load_picture",
    "read_metadata",
    "save_image",
    "transparency_note",
]

MAX_PIXELS = 200_000_000  # 2.4 GB as float32 RGB; the largest cameras make 150 megapixels

_HOLD_ALPHA = (".png", ".webp", ".tif", ".tiff")  # files with a whole alpha channel

Source = str | os.PathLike[str] | BinaryIO | PIL.Image.Image | npt.NDArray[Any] | Tensor | Picture

# ---- reading ------------------------------------------------------------------------------------


def load_picture(
    source: Source, *, long_side: int | None = None, max_pixels: int = MAX_PIXELS
) -> Picture:
    """Read a picture and return it upright, in sRGB, as float32 on the CPU.

    Fully transparent pixels can have any color in a file. Their colors are replaced by a smooth
    continuation of the visible colors, or by mid-gray if no pixel is visible.

    Args:
        source: a path; a binary file or stream, read to its end and left open; a Pillow image;
            an array of (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); a tensor of (C, H, W) or
            (1, C, H, W) with C = 1, 3 or 4; or a Picture. Arrays and tensors hold sRGB as bool,
            uint8, uint16, or floats in [0, 1]; a fourth channel is alpha.
        long_side: the length of the longer side, in px; the picture is enlarged or reduced to it.
            None keeps the size.
        max_pixels: the largest number of pixels that is allowed. A file is checked before it is
            decoded.

    Raises:
        ImageError: the source cannot be read, is not a picture, has too many pixels, or holds
            values that are not allowed.
        ShapeError: an array or tensor has another shape.
        SettingsError: long_side is less than 1.
    """
    if isinstance(source, Picture):
        with naming(source.name or "the picture"):
            check_pixel_count(source.size, max_pixels)
        return with_long_side(without_hidden_colors(source), long_side)
    if isinstance(source, np.ndarray | Tensor):
        return with_long_side(from_array(source, max_pixels), long_side)
    if isinstance(source, PIL.Image.Image):
        path = str(getattr(source, "filename", ""))  # of an image that was opened from a file
        with _about(path or "the Pillow image"):
            check_pixel_count(source.size[::-1], max_pixels)
            values, dpi = codecs.decode_pillow(source, codecs.coding_of(source))
            picture = picture_of(values, Path(path).name or None, None, dpi)
        return with_long_side(picture, long_side)
    data, label, name = _read_bytes(source)
    with _about(label):
        values, dpi = codecs.decode(data, max_pixels)
        picture = picture_of(values, name, hashlib.sha256(data).hexdigest(), dpi)
    return with_long_side(picture, long_side)


def load_image(source: Source, *, long_side: int | None = None) -> Image:
    """Read a picture, and return only its colors, (1, 3, H, W).

    Args, Raises: as for `load_picture`.
    """
    return load_picture(source, long_side=long_side).image


def read_metadata(path: str | os.PathLike[str] | BinaryIO) -> dict[str, Any]:
    """Return the metadata that `save_image` wrote into a file; {}: there is none.

    Args: path: a path, or an open binary file.

    Raises: ImageError: the file cannot be read, or is not a picture.
    """
    data, label, _ = _read_bytes(path)
    with _about(label):
        return codecs.metadata_in(data)


@contextlib.contextmanager
def _about(name: str) -> Iterator[None]:
    """Add a picture's name to every error and warning about it."""
    token = reading.set(name)
    try:
        with naming(name):
            yield
    finally:
        reading.reset(token)


def _read_bytes(source: str | os.PathLike[str] | BinaryIO) -> tuple[bytes, str, str | None]:
    """Return all bytes, the source's name in messages, and its file name without folders."""
    if isinstance(source, str | os.PathLike):
        data = read_file(source, "a picture", error=ImageError)
        return data, os.fspath(source), Path(source).name
    if hasattr(source, "read"):
        given = getattr(source, "name", None)
        named = isinstance(given, str) and not given.startswith("<")  # <stdin>
        label = str(given) if named else "the stream"
        name = Path(label).name if named else None
        try:
            data = source.read()
        except (OSError, ValueError) as error:  # ValueError: closed
            raise ImageError(f"cannot be read: {one_line(error)}", path=label) from error
        if not isinstance(data, bytes):
            raise ImageError(
                f"gives {type(data).__name__} instead of bytes: open it as rb", path=label
            )
    else:
        raise ImageError(
            f"cannot read a picture from {type(source).__name__}; allowed are a path, a binary "
            "file, a Pillow image, an array, a tensor and a Picture"
        )
    if not data:
        raise ImageError("is empty", path=label)
    return data, label, name


# ---- writing ------------------------------------------------------------------------------------


def save_image(
    image: Image,
    path: str | os.PathLike[str] | BinaryIO,
    *,
    alpha: Tensor | None = None,
    metadata: Mapping[str, Any] | None = None,
    bits: int = 8,
    dpi: float | None = None,
    overwrite: bool = True,
    format: str = "png",
) -> None:
    """Write an image as PNG, JPEG (quality 95, 4:4:4), WebP (lossy, quality 95) or TIFF (deflate).

    Values are clamped to [0, 1] and rounded to the nearest step, and the file is tagged as sRGB. An
    existing file is replaced only after the new one is complete on disk. Missing folders are
    created. JPEG has no transparency, so the picture is laid on white.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1]; or uint8 or uint16 with full scale for 1.
        path: a path, whose suffix names the format; or an open binary file, which stays open.
        alpha: the transparency, (1, 1, H, W) in [0, 1]; None: the picture is opaque.
        metadata: JSON values that `read_metadata` can read. PNG holds them in the text "impasto",
            and the other formats in the ImageDescription of EXIF or TIFF.
        bits: bits per channel: 8, or 16 in PNG and TIFF.
        dpi: the dots per inch that are written into the file, except in WebP; None: none are
            written.
        overwrite: whether an existing file may be replaced.
        format: "png", "jpeg", "webp" or "tiff"; used only for an open binary file.

    Raises:
        ImageError: the image, its metadata or the file cannot be written.
        ShapeError: image or alpha has another shape.
        SettingsError: bits or dpi has a value that is not allowed.
    """
    if dpi is not None and not 1 < dpi < math.inf:
        raise SettingsError(f"dpi is {dpi}; it must be a number above 1")
    if isinstance(path, str | os.PathLike):
        name, suffix = os.fspath(path), Path(path).suffix
    else:
        name, suffix = "the stream", "." + format.removeprefix(".")
    with naming(name):
        kind = codecs.format_of(suffix, bits)
    if kind == "jpeg" and alpha is not None:
        image, alpha = on_white(unit(image), alpha), None
    values = quantize(image, alpha, bits)
    with naming(name):
        data = codecs.encode(values, kind, metadata=metadata, dpi=dpi)
    if isinstance(path, str | os.PathLike):
        write_file(path, data, overwrite=overwrite, error=ImageError)
        return
    try:
        write_all(path, data)
    except (OSError, ValueError) as error:  # ValueError: a closed stream
        raise ImageError(f"cannot be written: {one_line(error)}", path=name) from error


def check_writable(path: str | os.PathLike[str], *, bits: int = 8, overwrite: bool = True) -> None:
    """Check before a long run that save_image can write there; makes missing folders.

    Raises:
        ImageError: the suffix is unknown, the format cannot hold so many bits, path is a folder
            or a file that may not be replaced, or permission is missing.
        SettingsError: bits is neither 8 nor 16.
    """
    with naming(os.fspath(path)):
        codecs.format_of(Path(path).suffix, bits)
    check_target(path, overwrite=overwrite, error=ImageError)


def transparency_note(path: str | os.PathLike[str], alpha: Tensor | None) -> tuple[str, ...]:
    """Return a line about the transparency that a file cannot hold; (): it holds all.

    Args: alpha: the transparency of a picture or a film, in [0, 1]; None: it is opaque.
    """
    suffix = Path(path).suffix.lower()
    if alpha is None or suffix in ("", *_HOLD_ALPHA):
        return ()
    kind = suffix.removeprefix(".").upper()
    if suffix != ".gif":
        return (f"{kind} holds no transparency: transparent pixels become white",)
    if bool(((alpha == 0) | (alpha == 1)).all()):
        return ()
    return ("GIF holds no partial transparency: such pixels become opaque, on white, or vanish",)
