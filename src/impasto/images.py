"""Picture files and tensors, each into the other: the only module that knows files of pictures.

file, stream, array or Pillow image → Picture → Image tensor → pastiche → file

Read: AVIF, BMP, GIF (first frame), JPEG, PNG, PNM, TIFF, WebP, and HEIC with the plug-in
pillow-heif. Written: PNG, JPEG, WebP, TIFF. Pictures are turned upright as their EXIF says and
converted to sRGB as their ICC profile says. 16 bits a channel are kept in PNG and TIFF, in both
directions; other formats are read at 8 bits. Sizes are (H, W) here as everywhere.
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from torch import Tensor
from torch.nn import functional

from impasto import _codecs
from impasto._deep_color import reason
from impasto.errors import ImageError, SettingsError, ShapeError

__all__ = [
    "MAX_PIXELS",
    "Image",
    "Picture",
    "Source",
    "check_target",
    "check_writable",
    "fit",
    "identity",
    "load_image",
    "load_picture",
    "read_file",
    "read_metadata",
    "resize",
    "save_image",
    "to_pillow",
    "write_file",
]

Image = Tensor  # (1, 3, H, W) float32, sRGB in [0, 1]

MAX_PIXELS = 200_000_000  # 2.4 GB as float32 RGB; the largest cameras make 150 megapixels
_ROUNDING = 1e-6  # how far floats may leave [0, 1] by the rounding of what computed them


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """An image with what its file says beside the colors.

    Attributes:
        image: (1, 3, H, W) float32, sRGB in [0, 1], not premultiplied.
        alpha: (1, 1, H, W) float32 in [0, 1]; None if opaque everywhere.
        name: the file's name without its folders, if there is one.
        sha256: of the file's bytes, in hex; None if the picture was not read from bytes.
        dpi: dots per inch, if the file says.
    """

    image: Image
    alpha: Tensor | None = None
    name: str | None = None
    sha256: str | None = None
    dpi: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in px."""
        return self.image.shape[-2], self.image.shape[-1]

    def __repr__(self) -> str:
        height, width = self.size
        return f"<Picture {self.name or 'without a name'}, {width} x {height} px>"


def identity(picture: Picture) -> dict[str, str | None]:
    """Return what a picture is known by: its bare name and the SHA-256 of its file."""
    return {"name": picture.name, "sha256": picture.sha256}


Source = str | os.PathLike[str] | BinaryIO | PIL.Image.Image | npt.NDArray[Any] | Tensor | Picture

# ---- reading ------------------------------------------------------------------------------------


def load_picture(
    source: Source, *, long_side: int | None = None, max_pixels: int = MAX_PIXELS
) -> Picture:
    """Read a picture from wherever it is: upright, in sRGB, as float32 on the CPU.

    The colors under fully transparent pixels are whatever a program left there, so they are
    replaced by a smooth continuation of the visible ones (mid-grey if nothing is visible).

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
        return _with_long_side(source, long_side)
    if isinstance(source, np.ndarray | Tensor):
        return _with_long_side(_from_array(source, max_pixels), long_side)
    if isinstance(source, PIL.Image.Image):
        path = str(getattr(source, "filename", ""))  # of an image that was opened from a file
        label = path or "the Pillow image"
        _codecs.check_size(source.size[::-1], label, max_pixels)
        values, dpi = _codecs.decode_pillow(source, label)
        picture = _picture(values, label, Path(path).name or None, None, dpi)
        return _with_long_side(picture, long_side)
    data, label, name = _read_bytes(source)
    values, dpi = _codecs.decode(data, label, max_pixels)
    sha256 = hashlib.sha256(data).hexdigest()
    return _with_long_side(_picture(values, label, name, sha256, dpi), long_side)


def load_image(source: Source, *, long_side: int | None = None) -> Image:
    """Read the colors of a picture as (1, 3, H, W): load_picture(...).image."""
    return load_picture(source, long_side=long_side).image


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


def _from_array(array: npt.NDArray[Any] | Tensor, max_pixels: int) -> Picture:
    """Read an (H, W[, C]) array or a ([1,] C, H, W) tensor; see load_picture."""
    if isinstance(array, Tensor):
        label, allowed = "the tensor", "(1, C, H, W) or (C, H, W)"
        plain = array[0] if array.ndim == 4 and array.shape[0] == 1 else array
        values = _channels_last(plain) if plain.ndim == 3 else None
    else:
        label, allowed = "the array", "(H, W) or (H, W, C)"
        values = array[..., None] if array.ndim == 2 else array
    if values is None or values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        raise ShapeError(
            f"{label} has the shape {tuple(array.shape)}; a picture is {allowed} with C = 1, 3 "
            "or 4 and at least one pixel"
        )
    _codecs.check_size(values.shape[:2], label, max_pixels)
    return _picture(values, label)


def _channels_last(planes: Tensor) -> npt.NDArray[Any]:
    planes = planes.detach().cpu()
    if planes.is_floating_point():  # NumPy has no bfloat16
        planes = planes.float()
    array: npt.NDArray[Any] = planes.permute(1, 2, 0).numpy()
    return array


def _picture(
    values: npt.NDArray[Any],
    label: str,
    name: str | None = None,
    sha256: str | None = None,
    dpi: float | None = None,
) -> Picture:
    """Make a Picture of (H, W, 1, 3 or 4) values of any allowed kind, sharing no memory with it."""
    planes = torch.from_numpy(_to_unit(values.transpose(2, 0, 1)[None], label))  # (1, C, H, W)
    if planes.shape[1] < 4:
        return Picture(planes.expand(-1, 3, -1, -1).contiguous(), None, name, sha256, dpi)
    image, alpha = planes[:, :3].clone(), planes[:, 3:].clone()
    if bool((alpha == 1).all()):
        return Picture(image, None, name, sha256, dpi)
    return Picture(_fill_transparent(image, alpha), alpha, name, sha256, dpi)


def _to_unit(values: npt.NDArray[Any], label: str) -> npt.NDArray[np.float32]:
    """Return a float32 copy, scaled to [0, 1] if of whole numbers, else checked to lie there."""
    full = {"bool": 1, "uint8": 255, "uint16": 65535}.get(values.dtype.name)
    if full is not None:
        scaled = np.array(values, np.float32, order="C")
        scaled /= np.float32(full)
        return scaled
    if values.dtype.kind != "f":
        raise ImageError(
            f"{label} holds {values.dtype.name}; allowed are uint8, uint16, bool, and floats "
            "in [0, 1]"
        )
    if not np.isfinite(values).all():
        raise ImageError(f"{label} holds values that are not finite (NaN or infinity)")
    low, high = float(values.min()), float(values.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ImageError(f"{label} holds values from {low:g} to {high:g}; floats must be in [0, 1]")
    return np.array(values, np.float32, order="C").clip(0, 1)


# ---- transparency and size ----------------------------------------------------------------------


def _fill_transparent(image: Image, alpha: Tensor) -> Image:
    """Continue the visible colors smoothly below the pixels where alpha is 0."""
    hidden = alpha == 0
    if not bool(hidden.any()):
        return image
    if bool(hidden.all()):
        return torch.full_like(image, 0.5)
    return torch.where(hidden, _push_pull(image * alpha, alpha).clamp(0, 1), image)


def _push_pull(premultiplied: Tensor, weight: Tensor) -> Tensor:
    """Return colors everywhere from colors that are known only where their weight is above 0.

    Halve the picture until no pixel is unknown, then double it, each time laying what is known
    at that size over what comes from the size below.

    Paper: Gortler, Grzeszczuk, Szeliski & Cohen, The Lumigraph, SIGGRAPH 1996, section 3.4.
    """
    if bool((weight > 0).all()):
        return premultiplied / weight
    coarse = [functional.avg_pool2d(plane, 2, ceil_mode=True) for plane in (premultiplied, weight)]
    below = functional.interpolate(
        _push_pull(*coarse), size=weight.shape[-2:], mode="bilinear", align_corners=False
    )
    return premultiplied + (1 - weight) * below


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample every plane to size, antialiased (Lanczos, 3 lobes), clamped to [0, 1].

    The filter is Pillow's, run on float32, so nothing is rounded to 8 bits. Gradients stop here.

    Args:
        image: (B, C, H, W), float, in [0, 1].
        size: (H, W) in px.

    Returns: (B, C, *size), of image's type and on its device; image itself if it has that size.
    Raises:  ShapeError: image is not 4-D, or size is not at least 1 × 1.
    """
    if image.ndim != 4 or 0 in image.shape:
        raise ShapeError(f"resize takes (B, C, H, W), not {tuple(image.shape)}")
    height, width = size
    if min(height, width) < 1:
        raise ShapeError(f"resize to {height} × {width}: each side must be at least 1")
    if tuple(image.shape[-2:]) == (height, width):
        return image
    planes = image.detach().to("cpu", torch.float32).flatten(0, 1).numpy()  # (B·C, H, W)
    resized = np.empty((len(planes), height, width), np.float32)
    for plane, target in zip(planes, resized, strict=True):
        whole = PIL.Image.fromarray(np.ascontiguousarray(plane))
        target[:] = np.asarray(whole.resize((width, height), PIL.Image.Resampling.LANCZOS))
    result = torch.from_numpy(resized).clamp_(0, 1)
    return result.reshape(*image.shape[:2], height, width).to(image)


def fit(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Return the (H, W) whose longer side is long_side, with the shape of size.

    The shorter side is rounded to the nearest px, halves up, and is at least 1.

    Raises: SettingsError: long_side is below 1.
    """
    if long_side < 1:
        raise SettingsError(f"long_side is {long_side}; it must be at least 1 px")
    longest = max(size)
    height, width = (max(1, (2 * side * long_side + longest) // (2 * longest)) for side in size)
    return height, width


def _with_long_side(picture: Picture, long_side: int | None) -> Picture:
    if long_side is None:
        return picture
    size = fit(picture.size, long_side)
    if size == picture.size:
        return picture
    # Hidden colors were filled in by their surroundings, so colors need no weighing by alpha.
    alpha = None if picture.alpha is None else resize(picture.alpha, size)
    return replace(picture, image=resize(picture.image, size), alpha=alpha)


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
        _check_planes(image, alpha)
        opacity = alpha.to(image).clamp(0, 1)
        image, alpha = image.clamp(0, 1) * opacity + (1 - opacity), None
    values = _quantise(image, alpha, bits)
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


def to_pillow(image: Image, alpha: Tensor | None = None) -> PIL.Image.Image:
    """Return an 8-bit Pillow image, RGB or with alpha RGBA; values clamped and rounded.

    Raises:
        ShapeError: image is not (1, 3, H, W), or alpha not (1, 1, H, W).
        ImageError: a value is not finite.
    """
    return PIL.Image.fromarray(_quantise(image, alpha, 8))


def _quantise(image: Image, alpha: Tensor | None, bits: int) -> npt.NDArray[Any]:
    """Round to the nearest of 2^bits steps: (H, W, 3), or (H, W, 4) with alpha."""
    _check_planes(image, alpha)
    planes = image if alpha is None else torch.cat([image, alpha.to(image)], dim=1)
    planes = planes.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(planes).all()):
        raise ImageError("the image holds values that are not finite (NaN or infinity)")
    steps = (planes[0].permute(1, 2, 0).clamp(0, 1) * (2**bits - 1) + 0.5).floor()
    return np.ascontiguousarray(steps.numpy().astype(np.uint8 if bits == 8 else np.uint16))


def _check_planes(image: Image, alpha: Tensor | None) -> None:
    if image.ndim != 4 or image.shape[:2] != (1, 3) or 0 in image.shape:
        raise ShapeError(f"an image is (1, 3, H, W), not {tuple(image.shape)}")
    if alpha is not None and alpha.shape != (1, 1, *image.shape[2:]):
        raise ShapeError(
            f"alpha is {tuple(alpha.shape)}; for this image it is {(1, 1, *image.shape[2:])}"
        )


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


# ---- metadata -----------------------------------------------------------------------------------


def read_metadata(path: str | os.PathLike[str] | BinaryIO) -> dict[str, Any]:
    """Return the metadata that save_image wrote into a file; {} if there are none.

    Raises: ImageError: the file cannot be read, or not as a picture.
    """
    data, label, _ = _read_bytes(path)
    return _codecs.metadata_in(data, label)
