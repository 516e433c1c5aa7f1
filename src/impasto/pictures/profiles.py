"""The colors of a file: ICC profiles, and 16 bits per channel. Only `codecs` uses it.

Pillow reads 16-bit RGB as 8 bit and cannot write it, so libvips (pyvips) reads and writes 16-bit
PNG and every TIFF; it is imported with the first such file. Arrays here are (H, W, C), uint8 or
uint16, with C = 3 (sRGB) or 4 (sRGB and alpha, not premultiplied).

Errors begin with a verb, and the caller adds the picture's name. Warnings take the name from
`reading`, because they do not pass the caller.
"""

from __future__ import annotations

import functools
import io
import warnings
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage, ImageCms

from impasto.errors import ImageError
from impasto.storage import one_line

__all__ = [
    "PNG_SIGNATURE",
    "description_of",
    "encode_deep",
    "header_of",
    "read_with_vips",
    "reading",
    "srgb_profile",
    "transform_to_srgb",
]

reading: ContextVar[str] = ContextVar("reading", default="a picture")  # the name, for warnings

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
MM_PER_INCH = 25.4
_HALF_STEP = MM_PER_INCH / 2000  # dpi; half of 1 px per meter
DESCRIPTION = {"png": "png-comment-0-impasto", "tiff": "image-description"}  # libvips' names


@functools.cache
def srgb_profile() -> bytes:
    """Return sRGB as an ICC profile: always the same bytes, so equal pictures are equal files."""
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
        warnings.warn(
            f"{reading.get()}: its color profile cannot be used ({error}), so its colors are read "
            "as sRGB",
            stacklevel=2,
        )
        return None
    return transform, mode


def _probe(mode: str) -> PillowImage.Image:
    """Return every gray and, for RGB, a 6 × 6 × 6 lattice of the color cube, one pixel high."""
    ramp = np.arange(256, dtype=np.uint8)
    if mode == "L":
        return PillowImage.fromarray(ramp[None])
    lattice = np.stack(np.meshgrid(*[ramp[::51]] * 3), axis=-1).reshape(-1, 3)
    grays = np.repeat(ramp[:, None], 3, axis=1)
    return PillowImage.fromarray(np.concatenate([lattice, grays])[None])


def header_of(data: bytes) -> Any | None:
    """Return the undecoded pyvips.Image of a 16-bit PNG or an 8- or 16-bit TIFF, else None.

    Raises: ImageError: it is such a file, but damaged.
    """
    deep_png = data.startswith(PNG_SIGNATURE) and data[24:25] == b"\x10"  # IHDR: bit depth
    if not deep_png and not data.startswith(TIFF_SIGNATURES):
        return None
    import pyvips

    try:
        if deep_png:
            return pyvips.Image.pngload_buffer(data, fail_on="error")
        image = pyvips.Image.tiffload_buffer(data, fail_on="error")
    except pyvips.Error as error:
        raise ImageError(f"is damaged or cut short: {one_line(error)}") from error
    return image if image.format in ("uchar", "ushort") else None


def readable_dpi(dpi: float) -> float:
    """Round dots per inch to as few decimals as a file of whole px per meter permits.

    In PNG, 72 comes back as 72.009.
    """
    rounded = (round(dpi, digits) for digits in (1, 2, 3))
    return next((each for each in rounded if abs(each - dpi) <= _HALF_STEP), dpi)


def read_with_vips(
    image: Any,
) -> tuple[npt.NDArray[np.uint8] | npt.NDArray[np.uint16], float | None]:
    """Decode a picture whose header `header_of` returned: upright, in sRGB.

    Returns: (H, W, 3) or (H, W, 4) at the file's own depth, and its dots per inch if it has any.
    Raises:  ImageError: the file is damaged.
    """
    import pyvips

    # libvips reads and writes 1 px/mm if a file states no resolution.
    dpi = None if image.xres == 1 else readable_dpi(image.xres * MM_PER_INCH)
    depth = 16 if image.format == "ushort" else 8
    try:
        image = image.autorot().copy_memory()
        alpha = image[image.bands - 1].numpy() if image.hasalpha() else None
        colors = _vips_colors(image if alpha is None else image[: image.bands - 1], depth)
    except pyvips.Error as error:
        raise ImageError(f"is damaged or cut short: {one_line(error)}") from error
    if alpha is None:
        return colors, dpi
    return np.concatenate([colors, alpha[..., None].astype(colors.dtype)], axis=-1), dpi


def _vips_colors(image: Any, depth: int) -> npt.NDArray[Any]:
    """Return a pyvips.Image without alpha as (H, W, 3) in sRGB."""
    mode = {"cmyk": "CMYK", "lab": "LAB", "labs": "LAB"}.get(image.interpretation)
    if mode is None:
        mode = "L" if image.bands < 3 else "RGB"
    if mode != "CMYK":
        image = image[0] if mode == "L" else image[:3]
    profile = image.get("icc-profile-data") if "icc-profile-data" in image.get_fields() else None
    follow = transform_to_srgb(bytes(profile), mode) if profile else None
    if follow is not None:
        if mode == "L" and follow[1] == "RGB":
            image = image.bandjoin([image, image])
        image = image.icc_transform(
            "srgb", embedded=True, intent="relative", black_point_compensation=True, depth=depth
        )
    elif mode == "LAB":
        image = image.colorspace("rgb16" if depth == 16 else "srgb")
    values: npt.NDArray[Any] = image.numpy()
    if follow is None and mode == "CMYK":
        full = 2**depth - 1
        ink = values[..., :4].astype(np.float32) / full
        light = (1 - ink[..., :3]) * (1 - ink[..., 3:])
        rounded: npt.NDArray[Any] = np.floor(light * full + 0.5).astype(values.dtype)
        return rounded
    if values.ndim == 2 or values.shape[2] == 1:
        return np.repeat(values.reshape(*values.shape[:2], 1), 3, axis=2)
    return values[..., :3]


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
    import pyvips

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


def description_of(header: Any) -> str | None:
    """Return the ImageDescription of a header that `header_of` returned."""
    name = DESCRIPTION["tiff"]
    return str(header.get(name)) if name in header.get_fields() else None
