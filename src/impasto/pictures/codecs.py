"""Bytes of picture files to arrays of pixels and back. Only `files` uses it.

Arrays are (H, W, C). decode returns them upright, and in sRGB if they have three channels or four
(the fourth is alpha, not premultiplied). Pillow does the work; `profiles` does the rest.

Errors begin with a verb, and the caller adds the picture's name.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ExifTags, ImageCms, PngImagePlugin

from impasto.errors import ImageError, SettingsError, install_hint, nearest_match
from impasto.pictures import profiles
from impasto.pictures.picture import check_pixel_count
from impasto.storage import one_line

__all__ = ["bits_of", "decode", "decode_pillow", "encode", "format_of", "metadata_in"]

QUALITY = 95  # JPEG and lossy WebP; the highest that Pillow's documentation recommends
WRITERS = {
    ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".tif": "tiff", ".tiff": "tiff"
}  # fmt: skip
DEEP = ("png", "tiff")  # can hold 16 bits per channel
LONGEST = {"jpeg": 65500, "webp": 16383}  # px per side: the limits of libjpeg and of WebP
# The formats that Pillow may decode, without EPS, which runs Ghostscript, and without rare formats.
READERS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "PPM")
READABLE = "AVIF, BMP, GIF, HEIC, JPEG, PNG, PNM, TIFF, WebP"
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
TURNS = {  # EXIF orientation → the turn that brings the picture upright
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
# The errors that decoders raise on damaged files.
FAULTS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
    RuntimeError, EOFError, AssertionError, struct.error, zlib.error,
    PIL.Image.DecompressionBombError,
)  # fmt: skip


def decode(data: bytes, max_pixels: int) -> tuple[npt.NDArray[Any], float | None]:
    """Decode a file into (H, W, 1, 3 or 4), upright sRGB, and its dpi."""
    header = profiles.header_of(data)
    if header is None:
        with _open(data) as picture:
            check_pixel_count(picture.size[::-1], max_pixels)
            return decode_pillow(picture)
    check_pixel_count((header.height, header.width), max_pixels)
    return profiles.read_with_vips(header)


def _open(data: bytes) -> PIL.Image.Image:
    """Read the header only.

    PIL.Image.open has a limit of pixels for the whole process, and warns or refuses. load_picture
    has its own limit, so this calls the format's reader directly.
    """
    PIL.Image.init()
    readers = list(READERS)
    if data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS:
        with contextlib.suppress(ImportError):
            import pillow_heif

            pillow_heif.register_heif_opener()
            readers.append("HEIF")
    fault: Exception | None = None
    for reader in readers:
        factory, accepts = PIL.Image.OPEN.get(reader, (None, None))  # AVIF may be left out
        if factory is None or accepts is None or accepts(data[:16]) in (False, None, ""):
            continue
        try:
            return _scale_transparency(factory(io.BytesIO(data), ""), data)
        except FAULTS as error:
            fault = error
    if data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS and "HEIF" not in readers:
        raise ImageError(f"is HEIC, which needs a plug-in: {install_hint('heic')}")
    if fault is not None:
        raise ImageError(f"is damaged: {one_line(fault)}") from fault
    raise ImageError(f"is not a picture in a format that can be read ({READABLE})")


def _scale_transparency(picture: PIL.Image.Image, data: bytes) -> PIL.Image.Image:
    """Bring the transparent gray of a 2- or 4-bit PNG to the scale of its 8-bit pixels.

    Pillow 13 scales the pixels but leaves the tRNS chunk as it is.
    """
    depth, gray = data[24:25], data[25:26] == b"\0"  # IHDR
    if picture.format == "PNG" and gray and depth in (b"\2", b"\4"):
        full, value = 2 ** depth[0] - 1, picture.info.get("transparency")
        if isinstance(value, int) and value <= full:
            picture.info["transparency"] = value * 255 // full
    return picture


def decode_pillow(picture: PIL.Image.Image) -> tuple[npt.NDArray[Any], float | None]:
    """Decode a Pillow image of any mode into (H, W, 1, 3 or 4), upright sRGB, and its dpi."""
    if 0 in picture.size:
        raise ImageError(f"has no pixels: it is {picture.height} × {picture.width}")
    try:
        picture.load()
        exif = _exif(picture)  # Pillow has already applied and removed a TIFF's turn
        turn = TURNS.get(exif.get(ExifTags.Base.Orientation, 1))
        upright = picture if turn is None else picture.transpose(turn)
        values = _pillow_values(upright, picture.info.get("icc_profile"))
    except FAULTS as error:
        raise ImageError(f"is damaged or cut short: {one_line(error)}") from error
    return values, _dpi(picture, exif)


def _pillow_values(picture: PIL.Image.Image, profile: bytes | None) -> npt.NDArray[Any]:
    """Return (H, W, 1, 3 or 4): 8 bits in sRGB; or unchanged, the one channel of a deeper mode."""
    if picture.mode == "F":
        return np.asarray(picture)[..., None]
    if picture.mode.startswith("I"):  # I;16…, and I, which holds 16-bit files in 32 bits
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError("has values outside 0 … 65535, which are not 16-bit grays")
        return values.astype(np.uint16)[..., None]
    alpha = None
    if picture.mode in ("La", "RGBa"):  # premultiplied
        picture = picture.convert(picture.mode.replace("a", "A"))
    if picture.has_transparency_data:
        gray = picture.mode in ("1", "L", "LA")
        alpha = picture.convert("RGBA").getchannel("A")
        picture = picture.convert("RGBA").convert("L" if gray else "RGB")
    elif picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode not in ("L", "CMYK", "LAB"):
        picture = picture.convert("RGB")
    colors = np.asarray(_pillow_to_srgb(picture, profile))
    return colors if alpha is None else np.dstack([colors, np.asarray(alpha)])


def _pillow_to_srgb(picture: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    """Convert an L, RGB, CMYK or LAB image to sRGB by its profile."""
    follow = profiles.transform_to_srgb(profile, picture.mode) if profile else None
    if follow is None:
        return picture.convert("RGB")
    transform, mode = follow
    converted = ImageCms.applyTransform(picture.convert(mode), transform)
    return picture if converted is None else converted


def _exif(picture: PIL.Image.Image) -> Mapping[int, Any]:
    try:
        return dict(picture.getexif())
    except (*FAULTS, UserWarning):  # Pillow's warning, if the caller made warnings errors
        return {}  # a picture can be read without its EXIF


def _dpi(picture: PIL.Image.Image, exif: Mapping[int, Any]) -> float | None:
    per_inch = {2: 1.0, 3: 2.54}.get(exif.get(ExifTags.Base.ResolutionUnit, 2), math.nan)
    candidates = picture.info.get("dpi"), exif.get(ExifTags.Base.XResolution)
    found = []
    for value, scale in zip(candidates, (1.0, per_inch), strict=True):
        try:
            dpi = float(value[0] if isinstance(value, tuple) else value) * scale  # type: ignore[arg-type]
        except (TypeError, ValueError, ZeroDivisionError, IndexError):
            continue
        if 1 < dpi < math.inf:
            found.append(profiles.readable_dpi(dpi))
    # JFIF holds whole numbers only; EXIF may have the same more exactly.
    if len(found) == 2 and round(found[1]) == found[0]:
        return found[1]
    return found[0] if found else None


def format_of(suffix: str, bits: int) -> str:
    """Return the format of a suffix, after checking that it can hold this number of bits."""
    kind = WRITERS.get(suffix.lower())
    if kind is None:
        what = f"the suffix {suffix}" if suffix else "no suffix"
        raise ImageError(
            f"has {what}; pictures are written as {', '.join(WRITERS)}"
            f"{nearest_match(suffix.lower(), WRITERS)}"
        )
    if bits not in (8, 16):
        raise SettingsError(f"bits is {bits}; it must be 8 or 16")
    if bits == 16 and kind not in DEEP:
        raise ImageError(
            f"cannot be written: {kind} holds 8 bits per channel; 16 bits need .png or .tiff"
        )
    return kind


def encode(
    values: npt.NDArray[Any],
    kind: str,
    *,
    metadata: Mapping[str, Any] | None,
    dpi: float | None,
) -> bytes:
    """Return a whole file of (H, W, 3 or 4) uint8, or uint16 if the format can hold 16 bits."""
    longest = LONGEST.get(kind, max(values.shape))
    if max(values.shape) > longest:
        raise ImageError(
            f"cannot be written: {kind} holds at most {longest} px per side, not "
            f"{values.shape[0]} × {values.shape[1]}; use .png or .tiff"
        )
    try:
        # json.dumps writes ASCII only (\u00fc for ü), which every format can hold.
        noted = None if metadata is None else json.dumps(dict(metadata))
    except (TypeError, ValueError, RecursionError) as error:
        raise ImageError(
            f"cannot be written: the metadata cannot be stored as JSON: {one_line(error)}"
        ) from error
    if noted is not None and kind != "png":
        noted = f'{{"impasto": {noted}}}'  # in PNG the chunk has this name
    if values.dtype == np.uint16:
        return profiles.encode_deep(values, kind, noted, dpi)
    buffer = io.BytesIO()
    try:
        PIL.Image.fromarray(values).save(buffer, kind, **_pillow_options(kind, noted, dpi))
    except (OSError, ValueError, struct.error) as error:
        raise ImageError(f"cannot be written: {one_line(error)}") from error
    return buffer.getvalue()


def _pillow_options(kind: str, text: str | None, dpi: float | None) -> dict[str, Any]:
    """Return the options of Pillow's writer for this format."""
    options: dict[str, Any] = {"icc_profile": profiles.srgb_profile()}
    if dpi is not None and kind != "webp":
        options["dpi"] = (dpi, dpi)
    if kind == "png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        if text is not None:
            options["pnginfo"].add_text("impasto", text)
    elif kind == "tiff":
        options["compression"] = "tiff_adobe_deflate"
        if text is not None:
            options["tiffinfo"] = {ExifTags.Base.ImageDescription: text}
    else:
        options["quality"] = QUALITY
        exif = PIL.Image.Exif()
        if text is not None:
            exif[ExifTags.Base.ImageDescription] = text
        if dpi is not None:
            exif[ExifTags.Base.XResolution] = exif[ExifTags.Base.YResolution] = dpi
            exif[ExifTags.Base.ResolutionUnit] = 2  # inch
        if exif:
            options["exif"] = exif
    if kind == "jpeg":
        options["subsampling"] = "4:4:4"
    return options


def bits_of(data: bytes) -> int:
    """Return the bits per channel of a file: 8, or 16 for a deep PNG or TIFF."""
    header = profiles.header_of(data)
    return 16 if header is not None and header.format == "ushort" else 8


def metadata_in(data: bytes) -> dict[str, Any]:
    """Return the metadata that encode wrote into a file; {} if there is none."""
    header = None if data.startswith(profiles.PNG_SIGNATURE) else profiles.header_of(data)
    chunk = None
    if header is not None:
        text = profiles.description_of(header)
    else:
        with _open(data) as picture:
            chunk = picture.info.get("impasto")
            text = chunk or _exif(picture).get(ExifTags.Base.ImageDescription)
    try:
        noted = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    if chunk is None:
        noted = noted.get("impasto") if isinstance(noted, dict) else None
    return noted if isinstance(noted, dict) else {}
