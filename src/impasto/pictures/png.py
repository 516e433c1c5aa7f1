"""The chunks of PNG files that say what the colors mean; and 16-bit PNGs.

The order is that of the PNG specification, third edition, section 4.3: cICP, iCCP, sRGB, gAMA with
cHRM. This module reads texts and profiles itself. Pillow and libvips get the file without them,
because both refuse large ones.

Errors begin with a verb, and the caller adds the picture's name.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ExifTags

from impasto.errors import ImageError
from impasto.pictures import profiles
from impasto.pictures.picture import check_pixel_count
from impasto.pictures.profiles import MM_PER_INCH, readable_dpi
from impasto.pictures.samples import Coding, Gamma, Narrow, upright
from impasto.pictures.transfer import PRIMARIES, Chromaticities, Signal

__all__ = [
    "SIGNATURE",
    "coding_in",
    "coding_of",
    "is_deep",
    "read_deep",
    "slim",
    "text_in",
    "without_dpi",
]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
# Only the default image of an APNG is read, so the chunks of its frames are not needed.
NOT_NEEDED = (*TEXTS, b"iCCP", b"acTL", b"fcTL", b"fdAT")
MOST_UNPACKED = 64_000_000  # bytes of a profile or a text
SAME_GAMMA = 0.05  # libpng's PNG_GAMMA_THRESHOLD: the least difference that counts


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each whole chunk, and where it begins and ends in the file."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if end > len(data):
            return
        yield data[at + 4 : at + 8], at, end
        at = end


def slim(data: bytes) -> bytes:
    """Return the file without texts, profiles and the frames of an APNG."""
    return _without(data, NOT_NEEDED)


def without_dpi(data: bytes) -> bytes:
    """Return the file without its resolution."""
    return _without(data, (b"pHYs",))


def _without(data: bytes, kinds: Sequence[bytes]) -> bytes:
    parts, kept = [], 0
    for kind, start, end in _chunks(data):
        if kind in kinds:
            parts.append(data[kept:start])
            kept = end
    return b"".join([*parts, data[kept:]]) if kept else data


def coding_in(data: bytes) -> Coding:
    """Return what a file says about its colors: a profile, a coding, or None for sRGB.

    Raises: ImageError: the profile is too large.
    """
    found: dict[bytes, bytes] = {}
    for kind, start, end in _chunks(data):
        if kind == b"IDAT":
            break
        found.setdefault(kind, data[start + 8 : end - 4])
    cicp = found.get(b"cICP", b"")
    if len(cicp) == 4 and cicp[2] == 0:  # other matrices are not allowed in PNG
        signal = Signal(cicp[0], cicp[1])
        return signal if cicp[3] else Narrow(signal)
    if b"iCCP" in found:
        try:
            return _unpacked(found[b"iCCP"].partition(b"\0")[2][1:], "a color profile")
        except zlib.error as error:
            profiles.warn_of_profile(error)
            return None
    facts: dict[Any, Any] = {}
    if b"sRGB" in found:
        facts["srgb"] = 0
    if len(found.get(b"gAMA", b"")) == 4:
        facts["gamma"] = int.from_bytes(found[b"gAMA"]) / 100_000
    if len(found.get(b"cHRM", b"")) == 32:
        facts["chromaticity"] = [each / 100_000 for each in struct.unpack(">8I", found[b"cHRM"])]
    return coding_of(facts)


def coding_of(info: Mapping[Any, Any]) -> Coding:
    """Return what a Pillow image's info says about its colors, as `coding_in` does."""
    profile = info.get("icc_profile")
    if profile or "srgb" in info:
        return bytes(profile) if profile else None
    gamma, places = info.get("gamma"), info.get("chromaticity")
    primaries = _primaries(places) if places else None
    if not isinstance(gamma, float) or gamma <= 0:
        return Gamma(None, primaries) if primaries else None
    exponent = None if abs(gamma * 2.2 - 1) < SAME_GAMMA else 1 / gamma
    if exponent is None and primaries is None:
        return None
    return Gamma(exponent, primaries or PRIMARIES[1])


def _primaries(places: Any) -> Chromaticities | None:
    """Return primaries from x and y of white, red, green and blue; None: they are not valid.

    Invalid are primaries on one line, and a white whose y is not above 0.
    """
    white, red, green, blue = np.array(places, np.float64).reshape(4, 2).tolist()
    triangle = np.array([[x, y, 1] for x, y in (red, green, blue)])
    if abs(np.linalg.det(triangle)) < 1e-4 or white[1] <= 0:
        return None
    return tuple(map(tuple, (red, green, blue, white)))  # type: ignore[return-value]


def _unpacked(packed: bytes, what: str) -> bytes:
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(packed, MOST_UNPACKED + 1)
    if len(data) > MOST_UNPACKED:
        most = MOST_UNPACKED // 1_000_000
        raise ImageError(f"has {what} of more than {most} MB; at most {most} MB are read")
    return data


def text_in(data: bytes, keyword: str) -> str | None:
    """Return the text with this keyword, from a chunk of any of the three types; None: none.

    Raises: ImageError: the text is too large.
    """
    for kind, start, end in _chunks(data):
        name, _, rest = data[start + 8 : end - 4].partition(b"\0") if kind in TEXTS else (b"",) * 3
        if name != keyword.encode("latin-1"):
            continue
        packed = kind == b"zTXt"
        if kind == b"iTXt":
            packed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
        elif packed:
            rest = rest[1:]
        try:
            content = _unpacked(rest, "a text") if packed else rest
        except zlib.error:
            return None
        return content.decode("utf-8" if kind == b"iTXt" else "latin-1", "replace")
    return None


def is_deep(data: bytes) -> bool:
    """Whether a PNG has 16 bits a channel."""
    return data[24:25] == b"\x10"  # IHDR


def _first(data: bytes, sought: bytes) -> bytes:
    """Return the content of the first chunk of this type; no bytes if there is no such chunk."""
    return next((data[at + 8 : end - 4] for kind, at, end in _chunks(data) if kind == sought), b"")


def _dpi_in(data: bytes) -> float | None:
    """Return the dots per inch that the file states; None: it states none.

    If a file states none, libvips returns a value of its own.
    """
    content = _first(data, b"pHYs")
    if len(content) != 9 or content[8] != 1:  # px per meter
        return None
    per_meter = int.from_bytes(content[:4])
    if per_meter == 1000:  # libvips writes 1 px/mm if a picture has no resolution
        return None
    dpi = per_meter * MM_PER_INCH / 1000
    return readable_dpi(dpi) if dpi > 1 else None


def _turn_in(data: bytes) -> int:
    """Return the orientation in the EXIF. libvips finds an EXIF only if it precedes the pixels."""
    exif = PIL.Image.Exif()
    try:
        exif.load(b"Exif\0\0" + _first(data, b"eXIf"))
        return int(exif.get(ExifTags.Base.Orientation, 1))
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error, UserWarning):
        return 1  # a picture can be read without its EXIF


def read_deep(
    data: bytes, max_pixels: int
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16] | None, float | None]:
    """Decode a 16-bit PNG, upright.

    Returns: the colors as they are stored, (H, W, 1 or 3); alpha, (H, W, 1), or None; and the dots
             per inch, or None.
    Raises:  ImageError: the file is damaged, or has more pixels than allowed.
    """
    pyvips = profiles.vips()
    with profiles.vips_faults():
        # impasto limits the pixels and the bytes, so libvips' own limits are not needed.
        image = pyvips.Image.pngload_buffer(data, fail_on="error", unlimited=True)
        check_pixel_count((image.height, image.width), max_pixels)
        values = image.numpy()
    values = upright(values.reshape(image.height, image.width, -1), _turn_in(data))
    dpi = _dpi_in(data)
    if values.shape[-1] % 2:
        return values, None, dpi
    return values[..., :-1], values[..., -1:], dpi
