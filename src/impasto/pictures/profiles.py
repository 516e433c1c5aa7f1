"""The colors of a file: ICC profiles, and 16 bits per channel.

Pillow reads 16-bit RGB as 8 bits and cannot write it. So libvips (pyvips) reads 16-bit PNG and all
TIFF, and writes both with 16 bits. It is imported when it is first needed. Arrays are (H, W, C).

Errors begin with a verb, and the caller adds the picture's name. Warnings do not pass through the
caller, so they take the name from `reading`.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage, ImageCms

from impasto.errors import ImageError, ImageWarning
from impasto.storage import one_line

__all__ = [
    "MM_PER_INCH",
    "encode_deep",
    "readable_dpi",
    "reading",
    "srgb_profile",
    "to_srgb",
    "transform_to_srgb",
    "vips",
    "vips_faults",
    "vips_messages",
    "warn",
    "warn_of_profile",
]

reading: ContextVar[str] = ContextVar("reading", default="a picture")  # the name, for warnings

Values = npt.NDArray[Any]

MM_PER_INCH = 25.4
_HALF_STEP = MM_PER_INCH / 2000  # dpi; half of 1 px per meter
DESCRIPTION = {"png": "png-comment-0-impasto", "tiff": "image-description"}  # libvips' names
# Messages of libvips and libtiff about files that are intact but of a kind that they do not know.
NOT_SUPPORTED = re.compile(r"not (configured|supported|implemented)|unsupported|[Cc]an ?not handle")


@functools.cache
def srgb_profile() -> bytes:
    """Return sRGB as an ICC profile, always in the same bytes: equal pictures give equal files."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes.fromhex("07e8 0001 0001 0000 0000 0000")  # dateTimeNumber: 2024-01-01
    return bytes(profile)


def transform_to_srgb(profile: bytes, mode: str) -> tuple[ImageCms.ImageCmsTransform, str] | None:
    """Return the transform of a profile to sRGB, and the Pillow mode to apply it in.

    It is None in two cases. The profile is damaged or is for another kind of picture; then there is
    a warning. Or the profile is sRGB, under any name: it changes no color by more than 1/255. So
    files in sRGB keep their exact values.

    Args:
        profile: the ICC profile.
        mode: the picture's Pillow mode: L, RGB, CMYK or LAB.
    """
    # Photo editors use relative colorimetric with black point compensation by default.
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if mode == "L" and source.profile.xcolor_space.strip() == "RGB":
            mode = "RGB"  # a gray picture that kept the profile of a colored one
        target = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
        transform = ImageCms.buildTransform(source, target, mode, "RGB", intent, flags)
        if mode in ("L", "RGB"):
            probe = _probe(mode)
            moved = np.asarray(ImageCms.applyTransform(probe, transform), np.int16)
            if np.abs(moved - np.asarray(probe.convert("RGB"), np.int16)).max() <= 1:
                return None
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
        warn_of_profile(error)
        return None
    return transform, mode


def warn(text: str) -> None:
    """Warn of something about the picture that is being read. Args: text: begins with "its"."""
    warnings.warn(f"{reading.get()}: {text}", ImageWarning, stacklevel=2)


def warn_of_profile(fault: BaseException) -> None:
    """Warn that the profile of the picture cannot be used."""
    warn(f"its color profile cannot be used ({one_line(fault)}), so its colors are taken as sRGB")


def _probe(mode: str) -> PillowImage.Image:
    """Return every gray and, for RGB, a 6 × 6 × 6 lattice of the color cube, one pixel high."""
    ramp = np.arange(256, dtype=np.uint8)
    if mode == "L":
        return PillowImage.fromarray(ramp[None])
    lattice = np.stack(np.meshgrid(*[ramp[::51]] * 3), axis=-1).reshape(-1, 3)
    grays = np.repeat(ramp[:, None], 3, axis=1)
    return PillowImage.fromarray(np.concatenate([lattice, grays])[None])


def to_srgb(values: Values, mode: str, profile: bytes) -> Values | None:
    """Convert colors by a profile; None: they need no conversion, or the profile is unusable.

    Args:
        values: (H, W, C): uint8, uint16, or floats in [0, 1].
        mode: their Pillow mode: L, RGB or CMYK.

    Returns: (H, W, 3): uint8 of uint8, else uint16.
    Raises:  ImageError: libvips failed.
    """
    follow = transform_to_srgb(profile, mode)
    if follow is None:
        return None
    if values.dtype.kind == "f":
        values = np.floor(values.clip(0, 1) * 65535 + 0.5).astype(np.uint16)
    if mode == "L" and follow[1] == "RGB":
        values, mode = np.repeat(values, 3, axis=-1), "RGB"
    depth = 16 if values.dtype == np.uint16 else 8
    names = {"L": ("b-w", "grey16"), "RGB": ("srgb", "rgb16"), "CMYK": ("cmyk", "cmyk")}
    pyvips = vips()
    with vips_faults():
        image = pyvips.Image.new_from_array(
            np.ascontiguousarray(values), interpretation=names[mode][depth == 16]
        ).copy()
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
        converted: Values = image.icc_transform(
            "srgb", embedded=True, intent="relative", black_point_compensation=True, depth=depth
        ).numpy()
    return converted[..., :3]


def readable_dpi(dpi: float) -> float:
    """Round dots per inch to as few decimals as a file of whole px per meter permits.

    In PNG, 72 comes back as 72.009.
    """
    rounded = (round(dpi, digits) for digits in (1, 2, 3))
    return next((each for each in rounded if abs(each - dpi) <= _HALF_STEP), dpi)


# ---- libvips ------------------------------------------------------------------------------------

# libvips has one list of messages for all threads of a process.
_MESSAGES = threading.RLock()


@functools.cache
def vips() -> Any:
    """Import pyvips, and let it ignore libvips' warnings.

    pyvips passes them to Python's log, where nobody reads them. If a warning contains a text that
    is not UTF-8, as from a damaged file, pyvips prints a traceback.
    """
    import pyvips

    def ignore(*message: object) -> None:
        pass

    if pyvips.API_mode:
        pyvips.ffi.def_extern(name="_log_handler_callback")(ignore)
    else:  # libvips of the system, without a compiled module
        pyvips._remove_log_handler()
        pyvips._log_handler_cb = pyvips.ffi.callback("GLogFunc", ignore)
        every_level = 0xFF
        pyvips._log_handler_id = pyvips.glib_lib.g_log_set_handler(
            b"VIPS", every_level, pyvips._log_handler_cb, pyvips.ffi.NULL
        )
    return pyvips


@contextlib.contextmanager
def vips_faults() -> Iterator[None]:
    """Turn libvips' errors into an ImageError.

    If libvips does not support a kind of file, the error says so. All other messages of libvips
    count as damage.
    """
    pyvips = vips()
    try:
        with _MESSAGES:
            pyvips.vips_lib.vips_error_clear()  # of an earlier file
            yield
    except UnicodeDecodeError as error:  # pyvips cannot read the message
        pyvips.vips_lib.vips_error_clear()
        raise ImageError("is damaged or cut short") from error
    except pyvips.Error as error:
        given = error.detail.splitlines()
        known = [line for line in given if "custom tag" not in line]  # libtiff lists every such tag
        lines = [line.partition(": ")[2] or line for line in known or given[:1]]
        text = "; ".join(dict.fromkeys(line.strip() for line in lines)) or error.message
        if NOT_SUPPORTED.search(text):
            raise ImageError(f"is of a kind that is not read: {text}") from error
        raise ImageError(f"is damaged or cut short: {text}") from error


def vips_messages() -> list[str]:
    """Return libvips' messages since the last call; call this within `vips_faults` only."""
    pyvips = vips()
    text: bytes = pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer())
    pyvips.vips_lib.vips_error_clear()
    return text.decode("utf-8", "replace").splitlines()


def encode_deep(
    pixels: npt.NDArray[np.uint16], kind: str, text: str | None, dpi: float | None
) -> bytes:
    """Encode (H, W, 3 or 4) as a 16-bit "png" or "tiff", lossless, tagged sRGB.

    Args:
        pixels: sRGB, and alpha if there is a fourth channel.
        kind: "png" or "tiff".
        text: ASCII to store as the comment "impasto" (PNG) or the ImageDescription (TIFF).
        dpi: dots per inch.

    Raises:
        ImageError: libvips failed.
    """
    pyvips = vips()
    scale = {} if dpi is None else {"xres": dpi / MM_PER_INCH, "yres": dpi / MM_PER_INCH}
    try:
        image = pyvips.Image.new_from_array(pixels, interpretation="rgb16").copy(**scale)
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", srgb_profile())
        if text is not None:
            image.set_type(pyvips.GValue.gstr_type, DESCRIPTION[kind], text)
        if kind == "png":
            # With keep="all", libvips would add its own EXIF data.
            data: bytes = image.pngsave_buffer(bitdepth=16, keep="icc:other")
        else:
            data = image.tiffsave_buffer(
                compression="deflate", predictor="horizontal", resunit="inch"
            )
    except pyvips.Error as error:
        raise ImageError(f"cannot be written: {one_line(error)}") from error
    return data
