"""Picture files and Pictures, each into the other: the only module that knows files of pictures.

file, stream, array or Pillow image → Picture → Image tensor → pastiche → file

Read: AVIF, BMP, GIF (first frame), JPEG, PNG, PNM, TIFF, WebP, and HEIC with the plug-in
pillow-heif. Written: PNG, JPEG, WebP, TIFF. Pictures are turned upright as their EXIF says and
converted to sRGB as their ICC profile says. 16 bits a channel are kept in PNG and TIFF, in both
directions; other formats are read at 8 bits.

Files of any kind are written here, too, so that there is one way to do it: an old one is replaced
only once the new one is complete on disk.
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt
import PIL.Image
from torch import Tensor

from impasto.errors import ImageError, SettingsError
from impasto.pictures import codecs as _codecs
from impasto.pictures.picture import (
    Image,
    Picture,
    from_array,
    on_white,
    picture_of,
    quantize,
    with_long_side,
)
from impasto.pictures.profiles import reason

__all__ = [
    "MAX_PIXELS",
    "Source",
    "check_target",
    "check_writable",
    "load_image",
    "load_picture",
    "read_file",
    "read_metadata",
    "save_image",
    "write_file",
]

MAX_PIXELS = 200_000_000  # 2.4 GB as float32 RGB; the largest cameras make 150 megapixels

Source = str | os.PathLike[str] | BinaryIO | PIL.Image.Image | npt.NDArray[Any] | Tensor | Picture

# ---- pictures: reading --------------------------------------------------------------------------


def load_picture(
    source: Source, *, long_side: int | None = None, max_pixels: int = MAX_PIXELS
) -> Picture:
    """Read a picture from wherever it is: upright, in sRGB, as float32 on the CPU.

    The colors under fully transparent pixels are whatever a program left there, so they are
    replaced by a smooth continuation of the visible ones (mid-gray if nothing is visible).

    Args:
        source: a path; a binary file or stream, read to its end and left open; a Pillow image;
            an array of (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); a tensor of (C, H, W) or
            (1, C, H, W) with C = 1, 3 or 4; or a Picture. Arrays and tensors hold sRGB as bool,
            uint8, uint16, or floats in [0, 1]; a fourth channel is alpha.
        long_side: px of the longer side, reached by enlarging or reducing; None keeps the size.
        max_pixels: more are refused, for a file before it is decoded.

    Raises:
        ImageError: the source cannot be read, or not as a picture.
        ShapeError: an array or tensor of another shape.
        SettingsError: long_side is below 1.
    """
    if isinstance(source, Picture):
        _codecs.check_size(source.size, source.name or "the picture", max_pixels)
        return with_long_side(source, long_side)
    if isinstance(source, np.ndarray | Tensor):
        return with_long_side(from_array(source, max_pixels), long_side)
    if isinstance(source, PIL.Image.Image):
        path = str(getattr(source, "filename", ""))  # of an image that was opened from a file
        label = path or "the Pillow image"
        _codecs.check_size(source.size[::-1], label, max_pixels)
        values, dpi = _codecs.decode_pillow(source, label)
        picture = picture_of(values, label, Path(path).name or None, None, dpi)
        return with_long_side(picture, long_side)
    data, label, name = _read_bytes(source)
    values, dpi = _codecs.decode(data, label, max_pixels)
    sha256 = hashlib.sha256(data).hexdigest()
    return with_long_side(picture_of(values, label, name, sha256, dpi), long_side)


def load_image(source: Source, *, long_side: int | None = None) -> Image:
    """Read the colors of a picture as (1, 3, H, W): load_picture(...).image."""
    return load_picture(source, long_side=long_side).image


def read_metadata(path: str | os.PathLike[str] | BinaryIO) -> dict[str, Any]:
    """Return the metadata that save_image wrote into a file; {} if there are none.

    Raises: ImageError: the file cannot be read, or not as a picture.
    """
    data, label, _ = _read_bytes(path)
    return _codecs.metadata_in(data, label)


def _read_bytes(source: str | os.PathLike[str] | BinaryIO) -> tuple[bytes, str, str | None]:
    """Return all bytes, what to call the source in messages, and its bare file name."""
    if isinstance(source, str | os.PathLike):
        return read_file(source, "a picture"), os.fspath(source), Path(source).name
    if hasattr(source, "read"):
        given = getattr(source, "name", None)
        named = isinstance(given, str) and not given.startswith("<")  # <stdin>
        label = str(given) if named else "the stream"
        name = Path(label).name if named else None
        try:
            data = source.read()
        except (OSError, ValueError) as error:  # ValueError: closed
            raise ImageError(f"{label} cannot be read: {reason(error)}") from error
        if not isinstance(data, bytes):
            raise ImageError(f"{label} gives {type(data).__name__} instead of bytes: open it as rb")
    else:
        raise ImageError(
            f"cannot read a picture from {type(source).__name__}; allowed are a path, a binary "
            "file, a Pillow image, an array, a tensor and a Picture"
        )
    if not data:
        raise ImageError(f"{label} is empty")
    return data, label, name


# ---- pictures: writing --------------------------------------------------------------------------


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

    Values are clamped to [0, 1], rounded to the nearest step and tagged sRGB. A file is replaced
    only once the new one is complete on disk; missing folders are made. JPEG knows no alpha: the
    picture is laid on white.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1].
        path: where to, the suffix naming the format; or a binary file, which is left open.
        alpha: (1, 1, H, W) in [0, 1].
        metadata: anything JSON can hold, for read_metadata: in PNG the text "impasto", elsewhere
            the EXIF or TIFF ImageDescription.
        bits: a channel: 8, or 16 in PNG and TIFF.
        dpi: dots per inch to note in the file.
        overwrite: whether a file that exists may be replaced.
        format: "png", "jpeg", "webp" or "tiff", where path is a binary file; else unused.

    Raises:
        ImageError: the image or its metadata cannot be written, or not there.
        ShapeError: image or alpha have another shape.
        SettingsError: bits or dpi have a value that they may not have.
    """
    if dpi is not None and not 1 < dpi < math.inf:
        raise SettingsError(f"dpi is {dpi}; it must be a number above 1")
    target = None
    if isinstance(path, str | os.PathLike):
        label, suffix = os.fspath(path), Path(path).suffix
        _codecs.format_of(suffix, label, bits)
        target = _target(path, overwrite)
    else:
        label, suffix = "the stream", "." + format.removeprefix(".")
    kind = _codecs.format_of(suffix, label, bits)
    if kind == "jpeg" and alpha is not None:
        image, alpha = on_white(image, alpha), None
    values = quantize(image, alpha, bits)
    data = _codecs.encode(values, kind, metadata=metadata, dpi=dpi, label=label)
    try:
        if target is not None:
            _write_file(target, data)
        elif not isinstance(path, str | os.PathLike):
            _write_all(path, data)
    except (OSError, ValueError) as error:  # ValueError: a closed stream
        raise ImageError(f"{label} cannot be written: {reason(error)}") from error


def check_writable(path: str | os.PathLike[str], *, bits: int = 8, overwrite: bool = True) -> None:
    """Say before a long run what would keep save_image from writing there; makes missing folders.

    Raises:
        ImageError: an unknown suffix, 16 bits in a format of 8, a folder, a file that may not
            be replaced, or no permission.
        SettingsError: bits is neither 8 nor 16.
    """
    _codecs.format_of(Path(path).suffix, os.fspath(path), bits)
    check_target(path, overwrite=overwrite)


# ---- files of any kind --------------------------------------------------------------------------


def read_file(source: str | os.PathLike[str], kind: str) -> bytes:
    """Return all bytes of a file, whatever it holds.

    Args: kind: what it is to be, in words.

    Raises: ImageError: there is none, it cannot be read, or is empty.
    """
    label, path = os.fspath(source), Path(source)
    if path.is_dir():
        raise ImageError(f"{label} is a folder, not {kind}")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{label}: there is no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ImageError(f"{label} cannot be read: {reason(error)}") from error
    if not data:
        raise ImageError(f"{label} is empty")
    return data


def check_target(path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Say before a long run what would keep write_file from writing there; makes missing folders.

    Raises: ImageError: a folder, a file that may not be replaced, or no permission.
    """
    target = _target(path, overwrite)
    if target.exists() and not target.is_file():
        return
    try:
        with _temporary(target).open("xb") as trial:
            pass
        Path(trial.name).unlink()
    except OSError as error:
        raise ImageError(
            f"{os.fspath(path)} cannot be written: {reason(error)} in {target.parent}"
        ) from error


def write_file(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = True) -> None:
    """Write a whole file, replacing an old one only once the new one is complete on disk.

    Raises: ImageError: as check_target, or the disk is full.
    """
    target = _target(path, overwrite)
    try:
        _write_file(target, data)
    except OSError as error:
        raise ImageError(f"{os.fspath(path)} cannot be written: {reason(error)}") from error


def _target(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Return where path leads, links followed, having made its folder and checked the rest."""
    label = os.fspath(path)
    try:
        target = Path(os.path.realpath(path))  # so that a link stays a link
        target.parent.mkdir(parents=True, exist_ok=True)
        exists, is_folder, is_file = target.exists(), target.is_dir(), target.is_file()
    except (FileExistsError, NotADirectoryError) as error:
        raise ImageError(f"{label} cannot be written: a part of its folder is a file") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"{label} cannot be written: {reason(error)}") from error
    if is_folder:
        raise ImageError(f"{label} cannot be written: it is a folder")
    if is_file and not overwrite:
        raise ImageError(
            f"{label} exists already; to replace it, use overwrite=True "
            "(--force on the command line)"
        )
    if exists and not os.access(target, os.W_OK):
        raise ImageError(f"{label} cannot be written: it is read-only for this user")
    return target


def _temporary(target: Path) -> Path:
    return target.with_name(f".impasto-{secrets.token_hex(8)}.tmp")


def _write_file(target: Path, data: bytes) -> None:
    """Replace target by data at once; devices and pipes, which cannot be, are written into."""
    if target.exists() and not target.is_file():
        with target.open("wb", buffering=0) as device:
            _write_all(device, data)
        return
    temporary = _temporary(target)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)  # only there if something went wrong


def _write_all(file: IO[bytes], data: bytes) -> None:
    """Write everything, also to what takes a part at a time."""
    rest = memoryview(data)
    while rest:
        count = file.write(rest)
        rest = rest[len(rest) if count is None else count :]
    if hasattr(file, "flush"):
        file.flush()
