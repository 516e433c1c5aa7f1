"""From the bytes of picture files to arrays of pixels, and back. Only `files` uses it.

Arrays are (H, W, C). `decode` returns them upright and in sRGB. A fourth channel is alpha, and the
colors are not premultiplied. `tiff` reads TIFF, `png` reads 16-bit PNG, `profiles` writes both in
16 bits, and Pillow does the rest.

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
from impasto.pictures import boxes, png, profiles, samples, tiff
from impasto.pictures.picture import check_pixel_count
from impasto.storage import one_line

__all__ = ["bits_of", "coding_of", "decode", "decode_pillow", "encode", "format_of", "metadata_in"]

QUALITY = 95  # JPEG and lossy WebP; the highest that Pillow's documentation recommends
WRITERS = {
    ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".tif": "tiff", ".tiff": "tiff"
}  # fmt: skip
DEEP = ("png", "tiff")  # can hold 16 bits per channel
LONGEST = {"jpeg": 65500, "webp": 16383}  # px per side: the limits of libjpeg and of WebP
# The formats that Pillow may decode. EPS is left out, because Pillow would run Ghostscript for it.
# Rare formats are left out, too.
READERS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "PPM")
READABLE = "AVIF, BMP, GIF, HEIC, JPEG, PNG, PNM, TIFF, WebP"
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
TURNS = {  # EXIF orientation → the turn that makes the picture upright
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
_STRIP = 1_000_000  # px that are copied at once
# The errors that decoders raise on damaged files.
FAULTS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
    RuntimeError, EOFError, AssertionError, struct.error, zlib.error,
    PIL.Image.DecompressionBombError,
)  # fmt: skip


def decode(data: bytes, max_pixels: int) -> tuple[npt.NDArray[Any], float | None]:
    """Decode a file into (H, W, 1, 3 or 4), upright sRGB, and its dpi."""
    if data.startswith(tiff.SIGNATURES):
        try:
            return tiff.read(data, max_pixels)
        except FAULTS as error:
            raise ImageError(f"is damaged or cut short: {one_line(error)}") from error
    if data.startswith(png.SIGNATURE):
        return _decode_png(data, max_pixels)
    with _open(data) as picture:
        check_pixel_count(picture.size[::-1], max_pixels)
        coding: samples.Coding = samples.ADOBE_RGB if _says_adobe_rgb(picture) else None
        if not boxes.is_heif(data):
            return decode_pillow(picture, picture.info.get("icc_profile") or coding)
        try:
            return decode_pillow(picture, picture.info.get("icc_profile") or boxes.signal_in(data))
        except ImageError as error:
            if reason := boxes.unreadable_matrix(data):  # the picture itself may be sound
                raise ImageError(reason) from error
            raise


def _decode_png(data: bytes, max_pixels: int) -> tuple[npt.NDArray[Any], float | None]:
    """Decode a PNG: with 16 bits a channel by libvips, with fewer by Pillow."""
    coding, data = png.coding_in(data), png.slim(data)
    if not png.is_deep(data):
        with _open(data) as picture:
            check_pixel_count(picture.size[::-1], max_pixels)
            return decode_pillow(picture, coding)
    colors, alpha, dpi = png.read_deep(data, max_pixels)
    return samples.with_alpha(_coded(colors, coding), alpha), dpi


def _coded(colors: npt.NDArray[Any], coding: samples.Coding) -> npt.NDArray[Any]:
    """Return deep colors, (H, W, 1 or 3), in sRGB."""
    if coding is None:
        return colors
    if isinstance(coding, bytes):
        converted = profiles.to_srgb(colors, "L" if colors.shape[-1] == 1 else "RGB", coding)
        return colors if converted is None else converted
    return samples.encoded(colors, coding)


def _open(data: bytes) -> PIL.Image.Image:
    """Open a picture; this reads only its header.

    PIL.Image.open has one limit of pixels for the whole process, above which it warns or refuses.
    `load_picture` has its own limit, so this function calls the format's reader directly.
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
        factory, accepts = PIL.Image.OPEN.get(reader, (None, None))  # Pillow may lack AVIF
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
    """Scale the transparent gray of a 2- or 4-bit PNG to 8 bits.

    Pillow scales the pixels to 8 bits, but not the value of the tRNS chunk.
    """
    depth, gray = data[24:25], data[25:26] == b"\0"  # IHDR
    if picture.format == "PNG" and gray and depth in (b"\2", b"\4"):
        full, value = 2 ** depth[0] - 1, picture.info.get("transparency")
        if isinstance(value, int) and value <= full:
            picture.info["transparency"] = value * 255 // full
    return picture


def decode_pillow(
    picture: PIL.Image.Image, coding: samples.Coding
) -> tuple[npt.NDArray[Any], float | None]:
    """Decode a Pillow image of any mode into (H, W, 1, 3 or 4), upright sRGB, and its dpi.

    Args: coding: how its colors are coded.
    """
    if 0 in picture.size:
        raise ImageError(f"has no pixels: it is {picture.height} × {picture.width}")
    try:
        picture.load()
        exif = _exif(picture)  # Pillow has already applied and removed a TIFF's turn
        turn = TURNS.get(exif.get(ExifTags.Base.Orientation, 1))
        upright = picture if turn is None else picture.transpose(turn)
        values = _pillow_values(upright, coding)
    except FAULTS as error:
        raise ImageError(f"is damaged or cut short: {one_line(error)}") from error
    return values, _dpi(picture, exif)


def coding_of(picture: PIL.Image.Image) -> samples.Coding:
    """Return what a Pillow image says about its colors."""
    return png.coding_of(picture.info) or (samples.ADOBE_RGB if _says_adobe_rgb(picture) else None)


def _pillow_values(picture: PIL.Image.Image, coding: samples.Coding) -> npt.NDArray[Any]:
    """Return (H, W, 1, 3 or 4): 8 bit in sRGB; or the one channel of a deep mode, unchanged."""
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
        whole = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        alpha, picture = whole.getchannel("A"), whole.convert("L" if gray else "RGB")
    elif picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode not in ("L", "CMYK", "LAB"):
        picture = picture.convert("RGB")
    colors = _pillow_to_srgb(picture, coding)
    return samples.with_alpha(colors, None if alpha is None else _array_of(alpha))


def _pillow_to_srgb(picture: PIL.Image.Image, coding: samples.Coding) -> npt.NDArray[np.uint8]:
    """Return an L, RGB, CMYK or LAB image in sRGB, (H, W, 1 or 3)."""
    follow = None
    if isinstance(coding, bytes):
        follow = profiles.transform_to_srgb(coding, picture.mode)
    if follow is not None:
        transform, mode = follow
        picture = ImageCms.applyTransform(picture.convert(mode), transform) or picture
    elif picture.mode not in ("L", "RGB"):
        picture = picture.convert("RGB")
    values = _array_of(picture)
    if coding is None or isinstance(coding, bytes):
        return values
    return samples.encoded(values, coding)


def _array_of(picture: PIL.Image.Image) -> npt.NDArray[np.uint8]:
    """Return an L or RGB image as (H, W, C). np.asarray would hold three copies of the pixels."""
    values = np.empty((picture.height, picture.width, len(picture.getbands())), np.uint8)
    rows = max(1, _STRIP // picture.width)
    for top in range(0, picture.height, rows):
        bottom = min(top + rows, picture.height)
        box = (0, top, picture.width, bottom)
        # crop would check Pillow's own limit of pixels.
        part = picture.resize((picture.width, bottom - top), PIL.Image.Resampling.NEAREST, box)
        values[top:bottom] = np.asarray(part).reshape(bottom - top, picture.width, -1)
    return values


def _says_adobe_rgb(picture: PIL.Image.Image) -> bool:
    """Whether the EXIF says Adobe RGB, as cameras do that embed no profile (DCF 2.0)."""
    try:
        exif = picture.getexif()
        return exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex) == "R03"
    except (*FAULTS, UserWarning):
        return False


def _exif(picture: PIL.Image.Image) -> Mapping[int, Any]:
    try:
        return dict(picture.getexif())
    except (*FAULTS, UserWarning):  # UserWarning: if the caller turns warnings into errors
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
    # JFIF holds whole numbers only; EXIF may hold the same number with decimals.
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
        noted = f'{{"impasto": {noted}}}'  # in PNG, the chunk's keyword is "impasto"
    if values.dtype == np.uint16:
        data = profiles.encode_deep(values, kind, noted, dpi)
        if dpi is not None:
            return data
        # libvips writes 25.4 dpi if it gets no resolution.
        return png.without_dpi(data) if kind == "png" else tiff.without_dpi(data)
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
    if data.startswith(tiff.SIGNATURES):
        return tiff.bits_of(data)
    return 16 if data.startswith(png.SIGNATURE) and png.is_deep(data) else 8


def metadata_in(data: bytes) -> dict[str, Any]:
    """Return the metadata that encode wrote into a file; {} if there is none."""
    is_png, text = data.startswith(png.SIGNATURE), None
    if data.startswith(tiff.SIGNATURES):
        with contextlib.suppress(*FAULTS):
            text = tiff.description_in(data)
    elif is_png:
        text = png.text_in(data, "impasto")
    else:
        with _open(data) as picture:
            text = _exif(picture).get(ExifTags.Base.ImageDescription)
    try:
        noted = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    if not is_png:
        noted = noted.get("impasto") if isinstance(noted, dict) else None
    return noted if isinstance(noted, dict) else {}
