"""TIFF files to sRGB: the tags say what each channel means, and libvips unpacks the samples.

libvips guesses which channel is alpha, and confuses some color spaces. So it gets a copy of the
file in which the tags that it guesses from are neutral, and returns the samples as they are stored.
Sources: TIFF 6.0, Adobe's technical notes, and libtiff's additions.

Arrays are (H, W, C). Errors begin with a verb, and the caller adds the picture's name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from impasto.errors import ImageError
from impasto.pictures import profiles, samples
from impasto.pictures.picture import check_pixel_count
from impasto.pictures.profiles import MM_PER_INCH, readable_dpi
from impasto.pictures.tiff_pages import SIGNATURES, Page, Tag, picture_page

__all__ = ["SIGNATURES", "bits_of", "description_in", "read", "without_dpi"]

Values = npt.NDArray[Any]

MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, CMYK, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
# The number of color channels. Further channels are alpha, or do not belong to the picture.
COLORS = {
    MIN_IS_WHITE: 1, MIN_IS_BLACK: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3, CIELAB: 3, ICCLAB: 3
}  # fmt: skip
NOT_READ = {
    4: "only a mask", 10: "a picture in ITU Lab", 32803: "the raw data of a camera's sensor",
    34892: "the raw data of a camera's sensor", 32844: "a picture in LogL",
    32845: "a picture in LogLuv",
}  # fmt: skip
OLD_JPEG, JPEG = 6, 7
UNPACKED = (1, 5, 8, 32773, 32946, 34925, 50000)  # compressions of bytes, not of samples
UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4
ASSOCIATED, UNASSOCIATED, COREL_ALPHA = 1, 2, 999
SEPARATE = 2  # PLANAR: each channel is stored by itself
MULTI_INK = 2  # INK_SET: other inks than cyan, magenta, yellow and black
PROCESS_INKS = ["cyan", "magenta", "yellow", "black"]
MOST_CHANNELS = 64
# Tags whose number of values depends on the channels or on the depth. They are hidden from libvips.
OF_CHANNELS = (Tag.EXTRA, Tag.LOWEST, Tag.HIGHEST, Tag.COLOR_MAP, Tag.MOST, Tag.LEAST, Tag.CURVES)


def read(data: bytes, max_pixels: int) -> tuple[Values, float | None]:
    """Decode the page that `picture_page` finds, upright and in sRGB.

    Returns: (H, W, 1, 3 or 4), uint8, uint16 or float32, depending on the file. The fourth channel
             is alpha, and the colors are not premultiplied. The second value is the dots per inch;
             None: the file states none.
    Raises:  ImageError: the file is damaged, has too many pixels, or is of a kind that is not read.
    """
    page = picture_page(data)
    if min(page.size) < 1:
        raise ImageError("is damaged or cut short: it states no size")
    check_pixel_count(page.size, max_pixels)
    _check_kind(page)
    colors, alpha, premultiplied = _separated(_in_range(_samples(page), page), page)
    rgb = _to_srgb(colors, alpha if premultiplied else None, page)
    rgb = samples.with_alpha(rgb, alpha)
    return samples.upright(rgb, page.first(Tag.ORIENTATION, 1)), _dpi(page)


def description_in(data: bytes) -> str | None:
    """Return the ImageDescription of a file's picture."""
    text = picture_page(data).content(Tag.DESCRIPTION)
    return text.rstrip(b"\0").decode("utf-8", "replace") or None


def bits_of(data: bytes) -> int:
    """Return the bits per channel of a file's picture: 8, or 16 if it has more than 8."""
    return 16 if picture_page(data).first(Tag.BITS, 1) > 8 else 8


def without_dpi(data: bytes) -> bytes:
    """Return the file without a unit of resolution, so that programs ignore the resolution."""
    return bytes(picture_page(data).changed({Tag.RESOLUTION_UNIT: [1]}))


def _dpi(page: Page) -> float | None:
    scale = {2: 1.0, 3: MM_PER_INCH / 10}.get(page.first(Tag.RESOLUTION_UNIT, 2), 0.0)
    dpi = page.numbers(Tag.X_RESOLUTION, (0,))[0] * scale
    # libvips writes 1 px/mm if a picture has no resolution.
    return readable_dpi(dpi) if 1 < dpi < float("inf") and abs(dpi - MM_PER_INCH) > 1e-3 else None


# ---- what the tags say --------------------------------------------------------------------------


def _check_kind(page: Page) -> None:
    """Raise an ImageError if the page is of a kind that is not read."""
    kind, channels = page.first(Tag.PHOTOMETRIC, -1), page.first(Tag.CHANNELS, 1)
    bits, form = set(page.numbers(Tag.BITS, (1,))[:channels]), _form(page)
    if kind == -1:
        raise ImageError("is damaged or cut short: it states no color space")
    if kind not in COLORS:
        what = NOT_READ.get(kind, f"a picture in an unknown color space, number {kind}")
        raise ImageError(f"holds {what}, which is not read; save it in RGB")
    if not 1 <= channels <= MOST_CHANNELS:
        raise ImageError(f"has {channels} channels; 1 to {MOST_CHANNELS} are read")
    if channels < COLORS[kind] and page.first(Tag.COMPRESSION, 1) != OLD_JPEG:
        raise ImageError(f"has {channels} channels; its color space has {COLORS[kind]}")
    if len(bits) > 1:
        raise ImageError("has channels of different depths; only equal depths are read")
    if form > UNDEFINED or len(set(page.numbers(Tag.FORMAT, (1,))[:channels])) > 1:
        raise ImageError("holds complex numbers or mixed types; whole numbers and floats are read")
    depth = bits.pop()
    if not 1 <= depth <= 64 or (form == FLOAT and depth not in (16, 32, 64)):
        raise ImageError(
            f"has floats of {depth:g} bits; those of 16, 32 and 64 bits are read"
            if form == FLOAT
            else f"has {depth:g} bits a channel; 1 to 32 are read"
        )
    if form != FLOAT and depth > 32:
        raise ImageError(f"has {depth:g} bits a channel; 1 to 32 are read")
    if kind in (YCBCR, CIELAB, ICCLAB) and depth not in (8, 16) and form != FLOAT:
        raise ImageError(f"has {depth:g} bits a channel; in this color space, 8 and 16 are read")
    if kind == CMYK:
        _check_inks(page, channels)


def _form(page: Page) -> int:
    """Return the SampleFormat: unsigned, signed or float; undefined ones count as unsigned."""
    form = page.first(Tag.FORMAT, UNSIGNED)
    return UNSIGNED if form == UNDEFINED else form


def _check_inks(page: Page, channels: int) -> None:
    """Check that the first four inks are those of CMYK, and warn if there are further inks."""
    names = [name.decode("utf-8", "replace") for name in page.content(Tag.INK_NAMES).split(b"\0")]
    names = [name for name in names if name]
    known = [name.strip().lower() for name in names[:4]] == PROCESS_INKS
    if page.first(Tag.INK_SET, 1) == MULTI_INK and not known:
        inks = f": {', '.join(names)}" if names else ""
        raise ImageError(f"is printed in {channels} inks that are not CMYK{inks}; save it in RGB")
    spots = names[4:] or [""] * (page.first(Tag.INKS, 4) - 4)
    if spots:
        listed = f" ({', '.join(spots)})" if all(spots) else ""
        profiles.warn(f"its spot colors{listed} are left out: only its CMYK inks are read")


def _alpha_index(page: Page) -> tuple[int, bool] | None:
    """Return the index of the alpha channel, and whether colors are premultiplied; None: no alpha.

    A file should say what its extra channels are (ExtraSamples). If it does not, a single extra
    channel counts as alpha, as in other programs, except in CMYK.
    """
    colors, channels = COLORS[page.first(Tag.PHOTOMETRIC, -1)], page.first(Tag.CHANNELS, 1)
    kinds = page.numbers(Tag.EXTRA)
    for place, kind in enumerate(kinds[: channels - colors], colors):
        if kind in (ASSOCIATED, UNASSOCIATED, COREL_ALPHA):
            return place, kind == ASSOCIATED
    if Tag.EXTRA not in page.entries and channels == colors + 1 and colors < 4:
        return colors, False
    return None


# ---- samples ------------------------------------------------------------------------------------


def _samples(page: Page) -> Values:
    """Return all samples, (H, W, C), as they are stored; or RGB, if libvips converts them."""
    depth, channels = page.first(Tag.BITS, 1), page.first(Tag.CHANNELS, 1)
    packed = depth not in (8, 16, 32) and not (depth in (1, 2, 4) and channels == 1)
    tiled, separate = Tag.TILE_WIDTH in page.entries, page.first(Tag.PLANAR, 1) == SEPARATE
    if _libvips_converts(page):
        return _unpacked(page.changed({Tag.ORIENTATION: [1]}), page)[..., :3]
    if not separate or channels == 1:
        return _plane(page, channels, packed, None)
    offsets = Tag.TILE_OFFSETS if tiled else Tag.STRIP_OFFSETS
    if offsets not in page.entries:
        raise ImageError("is damaged or cut short: it does not say where its samples are")
    pieces = page.entries[offsets].count // channels
    planes = [
        _plane(page, 1, packed, slice(each * pieces, (each + 1) * pieces))
        for each in range(channels)
    ]
    return np.concatenate(planes, axis=-1)


def _libvips_converts(page: Page) -> bool:
    """Whether libvips returns RGB: for old JPEG, and for YCbCr in JPEG or with reduced chroma."""
    if page.first(Tag.COMPRESSION, 1) == OLD_JPEG:
        return True
    if page.first(Tag.PHOTOMETRIC, -1) != YCBCR:
        return False
    subsampled = page.numbers(Tag.SUBSAMPLING, (2, 2))[:2] != (1, 1)
    return page.first(Tag.COMPRESSION, 1) == JPEG or subsampled


def _plane(page: Page, channels: int, packed: bool, part: slice | None) -> Values:
    """Return (H, W, channels) of all channels, or of the one whose strips or tiles are given."""
    depth = page.first(Tag.BITS, 1)
    changes: dict[int, list[int] | None] = dict.fromkeys(OF_CHANNELS)
    changes |= {Tag.ORIENTATION: [1], Tag.PLANAR: [1], Tag.INK_SET: None}
    # If the file has extra samples and does not describe them, libtiff converts no channel.
    if page.first(Tag.COMPRESSION, 1) != JPEG or page.first(Tag.PHOTOMETRIC, 1) not in (1, 2):
        changes[Tag.PHOTOMETRIC] = [MIN_IS_BLACK if depth < 8 else RGB]
    if part is not None:  # libvips cannot join planes in tiles, and confuses planes of floats
        changes[Tag.CHANNELS] = [1]
    slices = {} if part is None else {
        tag: part
        for tag in (Tag.TILE_OFFSETS, Tag.TILE_COUNTS, Tag.STRIP_OFFSETS, Tag.STRIP_COUNTS)
        if tag in page.entries
    }  # fmt: skip
    if packed:
        return _unpacked_bits(page, channels, changes, slices)
    values = _unpacked(page.changed(changes, slices), page)
    if depth < 8:  # libvips has scaled them to 8 bits
        values //= 255 // (2**depth - 1)
    return values


def _unpacked(data: bytearray, page: Page) -> Values:
    """Let libvips decode a changed file, and return the samples, (H, W, C)."""
    pyvips = profiles.vips()
    # `check_pixel_count` limits the pixels, so libvips' own limit is not needed.
    options = {"unlimited": True} if pyvips.at_least_libvips(8, 17) else {}
    with profiles.vips_faults():
        image = pyvips.Image.tiffload_buffer(
            data, page=page.index, access="sequential", fail_on="error", **options
        )
        before = profiles.vips_messages()  # also about tags that do not matter here
        values: Values = image.numpy()
        # A tile that cannot be decoded is black and raises no error, but leaves a message.
        faults = [line for line in before if profiles.NOT_SUPPORTED.search(line)]
        faults += [line for line in profiles.vips_messages() if line not in before]
        if faults:
            raise pyvips.Error("a tile cannot be decoded", "\n".join(faults))
    values = values.reshape(image.height, image.width, image.bands)
    return values


def _unpacked_bits(
    page: Page, channels: int, changes: dict[int, list[int] | None], slices: dict[int, slice]
) -> Values:
    """Return samples of a depth that libvips does not know.

    libvips unpacks the bytes, and this function unpacks the bits.
    """
    depth, width = page.first(Tag.BITS, 1), page.size[1]
    row = -(-width * channels * depth // 8)
    tile = page.first(Tag.TILE_WIDTH, 0) * channels * depth
    predictor = page.first(Tag.PREDICTOR, 1)
    known = page.first(Tag.COMPRESSION, 1) in UNPACKED and (
        predictor == 1 or (depth == 64 and not tile)
    )
    if not known or tile % 128:
        raise ImageError(
            f"has {depth} bits a channel, which in this compression or tiling are not read; "
            "save it with 8 or 16 bits"
        )
    changes |= {
        Tag.WIDTH: [row], Tag.BITS: [8], Tag.CHANNELS: [1], Tag.FORMAT: [UNSIGNED],
        Tag.PHOTOMETRIC: [MIN_IS_BLACK], Tag.TILE_WIDTH: [tile // 8], Tag.PREDICTOR: [1],
    }  # fmt: skip
    rows = _unpacked(page.changed(changes, slices), page)[..., 0]
    if depth == 64:
        doubles = _doubles(rows, channels, page.order, predictor)
        return doubles.reshape(len(rows), width, channels).astype(np.float32)
    parts = [
        _from_bits(rows[at : at + 64], width * channels, depth, page.order)
        for at in range(0, len(rows), 64)
    ]
    return np.concatenate(parts).reshape(len(rows), width, channels)


def _doubles(rows: Values, channels: int, order: str, predictor: int) -> Values:
    """Return floats of 64 bits from rows of bytes; undo a predictor, which stores differences."""
    height = len(rows)
    if predictor == 3:  # a row begins with the first bytes of all floats (Adobe, 2005)
        summed = np.cumsum(rows.reshape(height, -1, channels), axis=1, dtype=np.uint8)
        rows = summed.reshape(height, 8, -1).swapaxes(1, 2).reshape(height, -1)
        order = ">"
    whole = np.ascontiguousarray(rows).view(order + "u8").astype(np.uint64)
    if predictor == 2:
        whole = np.cumsum(whole.reshape(height, -1, channels), axis=1, dtype=np.uint64)
    return whole.view(np.float64)


def _from_bits(rows: Values, count: int, depth: int, order: str) -> Values:
    """Return rows of whole numbers of any depth up to 32 bits, from rows of bytes."""
    if depth == 24 and order == "<":  # whole bytes follow the order of the file
        rows = rows.reshape(len(rows), -1, 3)[..., ::-1].reshape(len(rows), -1)
    bits = np.unpackbits(rows, axis=1)[:, : count * depth].reshape(len(rows), count, depth)
    places = 2 ** np.arange(depth - 1, -1, -1, dtype=np.uint32)
    numbers: Values = (bits * places).sum(-1, dtype=np.uint32)
    return numbers


# ---- numbers to full scale ----------------------------------------------------------------------


def _in_range(values: Values, page: Page) -> Values:
    """Scale samples to the full range of uint8 or uint16, or to [0, 1] in float32.

    Palette indices and CIELAB values stay unchanged.
    """
    kind, form, depth = page.first(Tag.PHOTOMETRIC, -1), _form(page), page.first(Tag.BITS, 1)
    if _libvips_converts(page) or kind in (CIELAB, ICCLAB):
        return values
    if kind == PALETTE:
        if values.shape[-1] > 1 and depth not in (8, 16):
            raise ImageError(f"has a palette of {depth} bits and extra channels; save it in RGB")
        return values
    if form == FLOAT:
        return _floats_in_range(values.astype(np.float32, copy=False), page)
    if form == SIGNED or depth > 16:
        return _numbers_in_range(values, page)
    if depth in (8, 16):
        return values
    full, kind_of = (255, np.uint8) if depth < 8 else (65535, np.uint16)
    table = np.floor(np.arange(2**depth) * (full / (2**depth - 1)) + 0.5).astype(kind_of)
    scaled: Values = table[values]
    return scaled


def _stated_range(page: Page) -> tuple[Values, Values] | None:
    """Return SMinSampleValue and SMaxSampleValue; None: the file states no valid range.

    Each of the two has one value per channel, or a single value for all channels.
    """
    low, high = (np.array(page.numbers(tag)) for tag in (Tag.LOWEST, Tag.HIGHEST))
    channels = page.first(Tag.CHANNELS, 1)
    if len(low) != len(high) or len(low) not in (1, channels) or not (low < high).all():
        return None
    return low, high


def _floats_in_range(values: Values, page: Page) -> Values:
    """Return floats in [0, 1]: unchanged, or scaled by the range that the file states.

    A stated range within [0, 1] only says which values occur (TIFF 6.0, section 19), so it does
    not scale them.
    """
    if not np.isfinite(values).all():
        raise ImageError("holds values that are not finite (NaN or infinity)")
    stated = _stated_range(page)
    if stated is not None and (stated[0].min() < 0 or stated[1].max() > 1):
        return _scaled(values, *stated)
    low, high = float(values.min()), float(values.max())
    if low < -1e-6 or high > 1 + 1e-6:
        raise ImageError(
            f"holds floats from {low:g} to {high:g}; they must be in [0, 1], or in a range that "
            "the tags SMinSampleValue and SMaxSampleValue state"
        )
    return values


def _numbers_in_range(values: Values, page: Page) -> Values:
    """Return signed numbers, or numbers of more than 16 bits, as float32 or uint16."""
    stated, depth = _stated_range(page), page.first(Tag.BITS, 1)
    if stated is not None:
        return _scaled(values, *stated)
    low, high = int(values.min()), int(values.max())
    if depth > 16 and low >= 0 and high <= 65535:  # 16-bit numbers in a larger type
        return values.astype(np.uint16)
    if _form(page) == UNSIGNED:
        scaled: Values = np.floor(values * (65535 / (2**depth - 1)) + 0.5).astype(np.uint16)
        return scaled
    raise ImageError(
        f"holds signed whole numbers, here from {low} to {high}, and the tags SMinSampleValue "
        "and SMaxSampleValue do not state their range; save it with unsigned numbers"
    )


def _scaled(values: Values, low: Values, high: Values) -> Values:
    scaled: Values = ((values - low) / (high - low)).astype(np.float32)
    if scaled.min() < -1e-4 or scaled.max() > 1 + 1e-4:
        raise ImageError("holds values outside the range that its tags state")
    return scaled.clip(0, 1)


# ---- channels to sRGB ---------------------------------------------------------------------------


def _separated(values: Values, page: Page) -> tuple[Values, Values | None, bool]:
    """Return the color channels, alpha, and whether the colors are premultiplied by alpha."""
    if _libvips_converts(page):
        return values, None, False
    colors, found = COLORS[page.first(Tag.PHOTOMETRIC, -1)], _alpha_index(page)
    if found is None:
        return values[..., :colors], None, False
    place, premultiplied = found
    return values[..., :colors], values[..., place : place + 1], premultiplied


def _to_srgb(colors: Values, premultiplied_by: Values | None, page: Page) -> Values:
    """Return the colors as (H, W, 1 or 3) in sRGB."""
    kind, profile = page.first(Tag.PHOTOMETRIC, -1), page.content(Tag.PROFILE)
    if kind in (CIELAB, ICCLAB):
        return _lab(colors, premultiplied_by, page)
    if kind == PALETTE:
        colors = _from_palette(colors[..., 0], page)
    elif kind == YCBCR and not _libvips_converts(page):
        colors = _ycbcr(colors, page)
    if premultiplied_by is not None:
        colors = samples.divided(colors, premultiplied_by)
    if kind == MIN_IS_WHITE:
        colors = (1 if colors.dtype.kind == "f" else np.iinfo(colors.dtype).max) - colors
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[colors.shape[-1]]
    converted = profiles.to_srgb(colors, mode, profile) if profile else None
    if converted is not None:
        return converted
    return samples.cmyk(colors) if mode == "CMYK" else colors


def _from_palette(indices: Values, page: Page) -> Values:
    palette = np.array(page.numbers(Tag.COLOR_MAP), np.uint16)
    if len(palette) != 3 * 2 ** page.first(Tag.BITS, 1):
        raise ImageError("is damaged or cut short: its palette has a wrong number of colors")
    # Some programs write 8 bits where the specification demands 16.
    colors = (palette if palette.max() < 256 else palette >> 8).astype(np.uint8)
    found: Values = colors.reshape(3, -1).T[indices]
    return found


def _ycbcr(colors: Values, page: Page) -> Values:
    if colors.dtype.kind == "f":
        raise ImageError("holds YCbCr in floats, which is not read; save it in RGB")
    full = np.iinfo(colors.dtype).max
    half = (full + 1) // 2
    limits = page.numbers(Tag.BLACK_WHITE, (0, full, half, full, half, full))
    shares = page.numbers(Tag.SHARES, (0.299, 0.587, 0.114))
    if len(limits) != 6 or len(shares) != 3 or not all(shares):
        raise ImageError("is damaged or cut short: its YCbCr tags have a wrong number of values")
    return samples.ycbcr(colors, shares, [limit / full for limit in limits])


def _lab(colors: Values, premultiplied_by: Values | None, page: Page) -> Values:
    """Return sRGB of CIELAB as TIFF 6.0 (section 23) or as ICC profiles store it."""
    white = page.numbers(Tag.WHITE_POINT, samples.D50)
    of_icc, floats = page.first(Tag.PHOTOMETRIC, -1) == ICCLAB, colors.dtype.kind == "f"
    full = 1 if floats else np.iinfo(colors.dtype).max
    step = (full + 1) // 256  # of a* and b*

    def decode(strip: Values) -> Values:
        values: Values = strip[..., :3] * np.float32(full)
        light, others = values[..., :1], values[..., 1:]
        if of_icc and not floats:
            lightest = 255 if full == 255 else 0xFF00
            values = np.concatenate([light * (100 / lightest), others / step - 128], -1)
        elif not floats:
            others = np.rint(others)
            others -= (others > full // 2) * np.float32(full + 1)  # they are signed
            values = np.concatenate([light * (100 / full), others / step], -1)
        if strip.shape[-1] > 3:
            values = values / strip[..., 3:].clip(min=1e-9)
        return samples.lab(values.astype(np.float32), (white[0], white[1]))

    if premultiplied_by is not None:
        colors = np.concatenate([colors, premultiplied_by], axis=-1)
    return samples.in_strips(colors, decode)
