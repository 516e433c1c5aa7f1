"""TIFF: saved selections hid three quarters of a photo, and YCbCr became green and pink.

The files are made by hand, and the right values are computed in float64 from TIFF 6.0.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
import tifffile

from impasto.errors import ImageError
from impasto.pictures.files import load_picture
from impasto.pictures.picture import Picture
from tiff_samples import tiff_bytes

HEIGHT, WIDTH = 20, 36
WHITE, GRAY, RGB, PALETTE, CMYK, YCBCR, LAB, ICC_LAB = 0, 1, 2, 3, 5, 6, 8, 9
COLORS = {WHITE: 1, GRAY: 1, RGB: 3, CMYK: 4}
LAYOUTS = {
    "strips": {"rows": 7},
    "big-endian": {"order": ">"},
    "BigTIFF": {"big": True, "order": ">"},
    "tiles": {"tile": 16, "deflate": True},
    "planes": {"planar": True, "rows": 8},
    "planes in tiles": {"planar": True, "tile": 16},
}


def noise(channels: int, kind: str = "u1", seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(0, 1, (HEIGHT, WIDTH, channels))
    dtype = np.dtype(kind)
    full = 1 if dtype.kind == "f" else np.iinfo(dtype).max
    return (values * full).round(0 if full > 1 else 6).astype(dtype)


def unit(values: np.ndarray) -> np.ndarray:
    return values.astype(float) / (1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max)


def loaded(data: bytes) -> Picture:
    return load_picture(io.BytesIO(data))


def pixels(picture: Picture) -> np.ndarray:
    return picture.image[0].permute(1, 2, 0).numpy().astype(float)


def assert_near(actual: np.ndarray, expected: np.ndarray, steps: float = 0.51) -> None:
    """Equal to within some steps of 8 bits."""
    worst = np.abs(actual - np.broadcast_to(expected, actual.shape)).max() * 255
    assert worst <= steps, f"{worst} steps apart"


def colors_of(values: np.ndarray, kind: int, divisor: np.ndarray | float = 1.0) -> np.ndarray:
    """sRGB of samples in [0, 1], divided by premultiplied alpha."""
    straight = np.clip(values[..., : COLORS[kind]] / divisor, 0, 1)
    if kind == WHITE:
        straight = 1 - straight
    if kind == CMYK:
        straight = (1 - straight[..., :3]) * (1 - straight[..., 3:])
    return np.repeat(straight, 3, axis=2) if straight.shape[2] == 1 else straight


def assert_channels(kind: int, extra: Sequence[int], depth: str, **layout: object) -> None:
    """Read a file with these extra channels; the first of type 1 or 2 is its alpha."""
    values = noise(COLORS[kind] + len(extra), depth)
    alpha_at = next((COLORS[kind] + at for at, each in enumerate(extra) if each in (1, 2)), None)
    premultiplied = alpha_at is not None and extra[alpha_at - COLORS[kind]] == 1
    if alpha_at is not None:  # so that 8 bits have colors that can be divided
        floor = values.dtype.type(0.5 if depth[0] == "f" else np.iinfo(values.dtype).max // 2)
        values[..., alpha_at] = np.maximum(values[..., alpha_at], floor)
    tags = {338: list(extra)} if extra else {}
    picture = loaded(tiff_bytes(values, kind, tags=tags, **layout))
    given = unit(values)
    alpha = None if alpha_at is None else given[..., alpha_at : alpha_at + 1]
    expected = colors_of(given, kind, alpha if premultiplied else 1.0)
    assert_near(pixels(picture), expected, 1.6 if depth == "u1" else 0.01)
    if alpha is None:
        assert picture.alpha is None
    else:
        assert picture.alpha is not None
        assert_near(picture.alpha[0, 0].numpy(), alpha[..., 0], 0.001)


@pytest.mark.parametrize("depth", ["u1", "u2", "f4"])
@pytest.mark.parametrize("extra", [(), (0,), (1,), (2,), (0, 0), (2, 0), (0, 2), (1, 0), (0, 1)])
@pytest.mark.parametrize("kind", [WHITE, GRAY, RGB, CMYK])
def test_extra_samples_decide_which_channel_is_alpha(kind: int, extra: tuple, depth: str) -> None:
    assert_channels(kind, extra, depth)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("depth", ["u1", "u2", "f2", "f4", "f8"])
@pytest.mark.parametrize("extra", [(), (1, 0)])
def test_layouts_of_samples(layout: dict, depth: str, extra: tuple) -> None:
    assert_channels(RGB, extra, depth, **layout)


def test_a_fourth_channel_without_a_word_is_alpha_as_elsewhere() -> None:
    values = noise(4)
    picture = loaded(tiff_bytes(values, RGB))
    assert picture.alpha is not None
    assert_near(picture.alpha[0, 0].numpy(), unit(values)[..., 3])
    assert loaded(tiff_bytes(noise(5), RGB)).alpha is None
    assert loaded(tiff_bytes(noise(5), CMYK)).alpha is None  # a spot color


@pytest.mark.parametrize("depth", ["u1", "u2"])
def test_files_of_tifffile(depth: str) -> None:
    values = noise(5, depth)
    values[..., 3] |= 1
    for extra in (["unassalpha", "unspecified"], ["unspecified"] * 2):
        file = io.BytesIO()
        tifffile.imwrite(file, values, photometric="rgb", extrasamples=extra, predictor=False)
        picture = loaded(file.getvalue())
        assert_near(pixels(picture), unit(values)[..., :3], 1e-3)
        assert (picture.alpha is None) == (extra[0] == "unspecified")


# ---- color spaces -------------------------------------------------------------------------------


def rgb_of_ycbcr(
    values: np.ndarray, shares: tuple = (0.299, 0.587, 0.114), limits: tuple | None = None
) -> np.ndarray:
    """TIFF 6.0, section 21."""
    full = np.iinfo(values.dtype).max
    limits = limits or (0, full, (full + 1) // 2, full, (full + 1) // 2, full)
    ranges = (full, full // 2, full // 2)
    y, cb, cr = (
        (values[..., at].astype(float) - limits[2 * at])
        * ranges[at]
        / (limits[2 * at + 1] - limits[2 * at])
        for at in range(3)
    )
    red, green, blue = shares
    r, b = cr * (2 - 2 * red) + y, cb * (2 - 2 * blue) + y
    return np.stack([r, (y - blue * b - red * r) / green, b], axis=-1).clip(0, full) / full


@pytest.mark.parametrize("depth", ["u1", "u2"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_ycbcr_without_jpeg(depth: str, layout: dict) -> None:
    values = noise(3, depth)
    picture = loaded(tiff_bytes(values, YCBCR, tags={530: [1, 1]}, **layout))
    assert_near(pixels(picture), rgb_of_ycbcr(values))


def test_ycbcr_of_bt709_in_video_range() -> None:
    values = (noise(3).astype(float) / 255 * 200 + 20).astype(np.uint8)
    shares, limits = (0.2125, 0.7154, 0.0721), (16, 235, 128, 240, 128, 240)
    data = tiff_bytes(values, YCBCR, tags={530: [1, 1], 529: shares, 532: limits})
    assert_near(pixels(loaded(data)), rgb_of_ycbcr(values, shares, limits))


@pytest.mark.parametrize(("across", "down"), [(2, 1), (2, 2), (4, 2)])
def test_ycbcr_with_fewer_colors_than_brightness(across: int, down: int) -> None:
    y, chroma = noise(1)[..., 0], noise(2, seed=1)[::down, ::across]
    units = [
        y.reshape(HEIGHT // down, down, WIDTH // across, across)
        .transpose(0, 2, 1, 3)
        .reshape(HEIGHT // down, WIDTH // across, -1),
        chroma,
    ]
    packed = np.concatenate(units, axis=2).reshape(1, -1, 1)
    tags = {
        256: WIDTH, 257: HEIGHT, 258: [8] * 3, 277: 3, 278: HEIGHT, 339: [1] * 3,
        530: [across, down],
    }  # fmt: skip
    picture = loaded(tiff_bytes(packed, YCBCR, tags=tags))
    whole = np.dstack([y, chroma.repeat(down, axis=0).repeat(across, axis=1)])
    assert_near(pixels(picture), rgb_of_ycbcr(whole), 1.1)  # libtiff rounds its tables


def rgb_of_lab(lab: np.ndarray) -> np.ndarray:
    """CIELAB relative to D50, adapted to D65 by Bradford (matrix of B. Lindbloom)."""
    fy = (lab[..., :1] + 16) / 116
    f = np.concatenate([fy + lab[..., 1:2] / 500, fy, fy - lab[..., 2:] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * (0.96422, 1, 0.82521)
    matrix = np.array([
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ])  # fmt: skip
    light = (xyz @ matrix.T).clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [LAB, ICC_LAB])
def test_lab(kind: int, bits: int) -> None:
    random = np.random.default_rng(0).uniform(0, 1, (HEIGHT, WIDTH, 3))
    lab = np.stack([20 + 70 * random[..., 0], *(40 * random[..., 1:] - 20).transpose(2, 0, 1)], -1)
    scale = 2 ** (bits - 8)
    whole = np.uint8 if bits == 8 else np.uint16
    if kind == LAB:  # a* and b* are signed
        light, others = lab[..., :1] * (2**bits - 1) / 100, (lab[..., 1:] * scale) % 2**bits
    else:
        light, others = lab[..., :1] * (255 * scale) / 100, (lab[..., 1:] + 128) * scale
    stored = np.concatenate([light, others], -1).round().astype(np.int64) % 2**bits
    picture = loaded(tiff_bytes(stored.astype(whole), kind))
    assert_near(pixels(picture), rgb_of_lab(lab), 3.5 if bits == 8 else 0.1)


def test_cmyk_with_spot_colors_is_read_and_says_what_is_left_out() -> None:
    values = noise(6)
    names = b"Cyan\0Magenta\0Yellow\0Black\0Gold\0Varnish\0"
    data = tiff_bytes(values, CMYK, tags={332: 1, 333: names, 334: 6, 338: [0, 0]})
    with pytest.warns(UserWarning, match=r"its spot colors \(Gold, Varnish\) are left out"):
        picture = loaded(data)
    assert_near(pixels(picture), colors_of(unit(values), CMYK))
    assert picture.alpha is None


def test_inks_that_are_not_cmyk_are_refused_by_name() -> None:
    data = tiff_bytes(noise(4), CMYK, tags={332: 2, 333: b"Red\0Gold\0Blue\0Black\0", 334: 4})
    with pytest.raises(ImageError, match=r"inks that are not CMYK: Red, Gold, Blue, Black"):
        loaded(data)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", [WHITE, GRAY, PALETTE])
def test_few_bits(kind: int, bits: int) -> None:
    indices = np.random.default_rng(0).integers(0, 2**bits, (HEIGHT, WIDTH))
    shifts = np.arange(bits - 1, -1, -1)
    rows = np.packbits((indices[..., None] >> shifts & 1).reshape(HEIGHT, -1).astype(np.uint8), 1)
    tags = {256: WIDTH, 258: bits}
    palette = np.random.default_rng(1).integers(0, 256, (3, 2**bits))
    if kind == PALETTE:
        tags[320] = (palette.ravel() * 257).tolist()
    picture = loaded(tiff_bytes(rows[..., None], kind, tags=tags))
    gray = indices[..., None] / (2**bits - 1)
    expected = {WHITE: 1 - gray, GRAY: gray, PALETTE: palette.T[indices] / 255}[kind]
    assert_near(pixels(picture), expected, 0.01)


@pytest.mark.parametrize("bits", [4, 6, 10, 12, 14, 24])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_depths(bits: int, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 2**bits, (HEIGHT, WIDTH, channels))
    shifts = np.arange(bits - 1, -1, -1)
    rows = np.packbits((values[..., None] >> shifts & 1).reshape(HEIGHT, -1).astype(np.uint8), 1)
    tags = {256: WIDTH, 258: [bits] * channels, 277: channels, 339: [1] * channels}
    data = tiff_bytes(rows[..., None], RGB if channels == 3 else GRAY, order=">", tags=tags)
    assert_near(pixels(loaded(data)), values / (2**bits - 1), 0.51 if bits < 8 else 0.01)


# ---- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", ["f2", "f4", "f8"])
def test_floats_from_0_to_1(depth: str) -> None:
    values = noise(3, depth)
    assert_near(pixels(loaded(tiff_bytes(values, RGB))), values.astype(float), 1e-4)


def test_floats_in_the_range_that_the_tags_give() -> None:
    values = noise(3, "f4") * 1020 - 20
    data = tiff_bytes(values, RGB, tags={340: [-20.0] * 3, 341: [1000.0] * 3})
    assert_near(pixels(loaded(data)), (values + 20) / 1020, 1e-3)
    # Within [0, 1], the tags only tell which values occur.
    values = noise(3, "f4") * 0.5 + 0.2
    data = tiff_bytes(values, RGB, tags={340: [0.2] * 3, 341: [0.7] * 3})
    assert_near(pixels(loaded(data)), values, 1e-3)


def test_floats_without_a_range_are_refused_by_their_right_name() -> None:
    with pytest.raises(ImageError, match=r"holds floats from 0 to 255; they must be in \[0, 1\]"):
        loaded(tiff_bytes(np.float32([[[0], [255]]]), GRAY))
    with pytest.raises(ImageError, match="not finite"):
        loaded(tiff_bytes(np.float32([[[0], [np.nan]]]), GRAY))


def test_numbers_of_32_bits_and_signed_ones() -> None:
    values = noise(1, "u4")
    assert_near(pixels(loaded(tiff_bytes(values, GRAY))), unit(values), 0.01)
    signed = np.int16([[[-100], [0], [300]]])
    with pytest.raises(ImageError, match="signed whole numbers, here from -100 to 300"):
        loaded(tiff_bytes(signed, GRAY))
    data = tiff_bytes(signed, GRAY, tags={340: -100.0, 341: 300.0})
    assert_near(pixels(loaded(data))[0, :, 0], np.array([0, 0.25, 1]), 0.01)


# ---- pages --------------------------------------------------------------------------------------


def test_the_first_page_that_is_no_preview() -> None:
    first, second = noise(3), noise(3, seed=1)
    for depth in ("little", "BigTIFF"):
        big = depth == "BigTIFF"
        both = tiff_bytes(first, RGB, big=big, more_pages=[(second, RGB)])
        assert_near(pixels(loaded(both)), unit(first), 1e-3)
        preview = tiff_bytes(first, RGB, big=big, tags={254: 1}, more_pages=[(second, RGB)])
        assert_near(pixels(loaded(preview)), unit(second), 1e-3)


@pytest.mark.parametrize(
    ("kind", "tags", "words"),
    [
        (RGB, {50706: [1, 4]}, "a camera's raw file"),
        (RGB, {254: 1, 330: 8}, "a camera's raw file"),
        (32803, {}, "raw data of a camera's sensor"),
        (4, {}, "only a mask"),
        (32845, {}, "LogLuv"),
        (10, {}, "ITU Lab"),
        (77, {}, "an unknown color space, number 77"),
        (RGB, {258: [8, 8, 16]}, "channels of different depths"),
        (RGB, {339: [6, 6, 6]}, "complex numbers"),
        (RGB, {259: 34887}, "of a kind that is not read"),  # LERC
    ],
)
def test_what_is_not_read_is_named_and_not_called_damaged(
    kind: int, tags: dict, words: str
) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        loaded(tiff_bytes(noise(3), kind, tags=tags))
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("predictor", [2, 3])
def test_differences_of_64_bit_floats(predictor: int) -> None:
    values = noise(3, "f8")
    if predictor == 2:
        whole = values.view(np.uint64)
        stored = np.diff(whole, axis=1, prepend=np.uint64(0)).view(np.float64)
    else:  # Adobe's technical note 3: bytes of one place together, most significant first
        rows = values.astype(">f8").view(np.uint8).reshape(HEIGHT, -1, 8).swapaxes(1, 2)
        steps = np.diff(rows.reshape(HEIGHT, -1, 3), axis=1, prepend=np.uint8(0))
        stored = steps.reshape(HEIGHT, -1).view("<f8").reshape(values.shape)
    data = tiff_bytes(stored, RGB, deflate=True, rows=6, tags={317: predictor})
    assert_near(pixels(loaded(data)), values, 1e-3)


def test_a_file_without_places_of_its_samples_is_damaged() -> None:
    with pytest.raises(ImageError, match="damaged or cut short"):
        loaded(tiff_bytes(noise(3), RGB, planar=True, tags={273: None}))
