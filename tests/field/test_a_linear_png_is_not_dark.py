"""PNG: a picture with gAMA 1.0 became far too dark. The chunks have an order of precedence.

The right values are computed in float64 from the PNG specification, third edition.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from impasto.errors import ImageError
from impasto.pictures.files import load_picture, read_metadata, save_image
from impasto.pictures.picture import Picture

SIZE = 24
SRGB = ((0.3127, 0.3290), (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))  # white first
P3 = ((0.3127, 0.3290), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
WIDE = ((0.3457, 0.3585), (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001))  # ProPhoto


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(values: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of (H, W, 1 to 4) values of 8 or 16 bits, made by hand."""
    height, width, channels = values.shape
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = values.astype(values.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, values.itemsize * 8, color, 0, 0, 0)
    body = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in body)


def noise(channels: int, kind: str = "u1") -> np.ndarray:
    full = np.iinfo(kind).max
    values = np.random.default_rng(0).uniform(0, 1, (SIZE, SIZE, channels))
    return (values * full).round().astype(kind)


def gama(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def chrm(places: tuple) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(each * 100_000) for pair in places for each in pair))


def profile_of(picture_mode: str = "sRGB") -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(picture_mode)).tobytes()


def to_xyz(places: tuple) -> np.ndarray:
    white, *colors = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in places)
    columns = np.stack(colors, axis=1)
    return columns * np.linalg.solve(columns, white)


def encoded(light: np.ndarray) -> np.ndarray:
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def decoded(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def converted(light: np.ndarray, places: tuple) -> np.ndarray:
    """sRGB of light with other primaries; white becomes white by Bradford's adaptation."""
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    source, target = to_xyz(places), to_xyz(SRGB)
    before, after = bradford @ source.sum(1), bradford @ target.sum(1)
    adapt = np.linalg.inv(bradford) @ np.diag(after / before) @ bradford
    return encoded(light @ (np.linalg.inv(target) @ adapt @ source).T)


def loaded(data: bytes) -> Picture:
    return load_picture(io.BytesIO(data))


def assert_near(picture: Picture, expected: np.ndarray, steps: float) -> None:
    actual = picture.image[0].permute(1, 2, 0).numpy().astype(float)
    worst = np.abs(actual - np.broadcast_to(expected, actual.shape)).max() * 255
    assert worst <= steps, f"{worst} steps apart"


DEPTHS = pytest.mark.parametrize(("kind", "steps"), [("u1", 0.52), ("u2", 0.05)])


@DEPTHS
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("gamma", [1.0, 1 / 1.8, 0.7])
def test_gamma(gamma: float, channels: int, kind: str, steps: float) -> None:
    values = noise(channels, kind)
    values[..., -1] |= 1  # so that no pixel is transparent
    picture = loaded(png_of(values, gama(gamma)))
    colors = values[..., : channels - 1 + channels % 2] / np.iinfo(kind).max
    assert_near(picture, encoded(colors ** (1 / gamma)), steps)
    assert (picture.alpha is not None) == (channels % 2 == 0)


@DEPTHS
@pytest.mark.parametrize("places", [P3, WIDE])
def test_primaries(places: tuple, kind: str, steps: float) -> None:
    values = noise(3, kind)
    given = values / np.iinfo(kind).max
    linear = loaded(png_of(values, gama(1.0), chrm(places)))
    assert_near(linear, converted(given, places), steps)
    alone = loaded(png_of(values, chrm(places)))
    assert_near(alone, converted(decoded(given), places), steps)


def test_a_palette_has_a_gamma_too() -> None:
    picture = PIL.Image.fromarray(noise(1)[..., 0] % 8, "P")
    palette = noise(3)[:1, :8].reshape(-1)
    picture.putpalette(palette.tolist())
    file = io.BytesIO()
    picture.save(file, "png")
    data = file.getvalue()
    data = data[:33] + chunk(*gama(1.0)) + data[33:]  # after IHDR
    expected = palette.reshape(8, 3)[noise(1)[..., 0] % 8] / 255
    assert_near(loaded(data), encoded(expected), 0.52)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_usual_chunks_change_nothing(kind: str) -> None:
    values = noise(3, kind)
    given = values / np.iinfo(kind).max
    for chunks in (
        [gama(0.45455)],  # what programs write for sRGB
        [gama(0.45455), chrm(SRGB)],
        [(b"sRGB", b"\0"), gama(1.0), chrm(P3)],  # sRGB comes first
        [(b"iCCP", b"x\0\0" + zlib.compress(profile_of())), gama(1.0)],
        [(b"cICP", bytes([1, 13, 0, 1])), (b"sRGB", b"\0"), gama(1.0)],
        [(b"cHRM", struct.pack(">8I", *[31270, 32900] * 4))],  # primaries on one point
        [gama(0.0)],
    ):
        assert_near(loaded(png_of(values, *chunks)), given, 1e-3)


def test_cicp_comes_before_all_others() -> None:
    values = noise(3, "u2")
    chunks = (b"cICP", bytes([12, 8, 0, 1])), (b"sRGB", b"\0"), gama(0.45455)
    inside = values // 2 + 16384  # colors that sRGB can hold
    expected = converted(inside / 65535, P3)
    assert ((expected > 0) & (expected < 1)).all(axis=2).mean() > 0.9
    picture = loaded(png_of(inside, *chunks))
    fits = ((expected > 0.01) & (expected < 0.99)).all(axis=2)
    actual = picture.image[0].permute(1, 2, 0).numpy()
    assert np.abs(actual - expected)[fits].max() * 255 < 0.1


def test_wide_primaries_look_the_same_however_they_are_stated() -> None:
    """Colors outside sRGB as well."""
    values = noise(3, "u2")
    numbered = loaded(png_of(values, (b"cICP", bytes([12, 13, 0, 1])))).image
    placed = loaded(png_of(values, chrm(P3))).image
    assert float((numbered - placed).abs().max()) < 0.5 / 255


@pytest.mark.parametrize(("transfer", "exponent"), [(4, 2.2), (5, 2.8), (8, 1)])
def test_cicp_with_another_gamma(transfer: int, exponent: float) -> None:
    values = noise(3)
    given = loaded(png_of(values, (b"cICP", bytes([1, transfer, 0, 1]))))
    assert_near(given, encoded((values / 255) ** exponent), 0.52)


def test_cicp_in_video_range() -> None:
    values = (16 + noise(3).astype(float) / 255 * 219).round().astype(np.uint8)
    picture = loaded(png_of(values, (b"cICP", bytes([1, 13, 0, 0]))))
    assert_near(picture, (values - 16.0) / 219, 0.52)


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.58069), (18, 0.75)])
def test_white_of_high_dynamic_range_is_no_longer_gray(transfer: int, white: float) -> None:
    """BT.2408: 203 cd/m² is 58 % of PQ and 75 % of HLG; it is above the curve's knee."""
    levels = np.array([0, white / 2, white, 1.0])
    values = (levels[None, :, None] * 65535).round().astype(np.uint16).repeat(3, axis=2)
    picture = loaded(png_of(values, (b"cICP", bytes([9, transfer, 0, 1]))))
    black, dark, bright, peak = picture.image[0, :, 0].T.tolist()
    assert max(black) < 0.01
    assert min(peak) > 0.99
    assert min(bright) > 0.8
    assert max(bright) < 0.97
    assert min(dark) > 0.1
    assert max(dark) < min(bright)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_transparent_color(kind: str) -> None:
    values = noise(3, kind)
    key = values[3, 5].astype(int)
    picture = loaded(png_of(values, gama(1.0), (b"tRNS", struct.pack(">3H", *key))))
    assert picture.alpha is not None
    hidden = (values == values[3, 5]).all(axis=2)
    assert np.array_equal(picture.alpha[0, 0].numpy() == 0, hidden)
    assert hidden.sum() == 1


def test_an_animation_gives_its_default_image() -> None:
    values = noise(3)
    frame = struct.pack(">IIIIIHHBB", 1, 4, 4, 2, 2, 1, 10, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + b"\xff" * 12 for _ in range(4)))
    data = png_of(values, (b"acTL", struct.pack(">II", 1, 0)))
    end = chunk(b"IEND", b"")
    later = chunk(b"fcTL", frame) + chunk(b"fdAT", struct.pack(">I", 2) + pixels)
    assert_near(loaded(data.removesuffix(end) + later + end), values / 255, 1e-3)


# ---- limits -------------------------------------------------------------------------------------


def big_profile(size: int) -> bytes:
    """sRGB, with a tag that no program reads."""
    profile = bytearray(profile_of())
    profile += b"\0" * (size - len(profile))
    profile[:4] = struct.pack(">I", len(profile))
    return bytes(profile)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_large_profiles_and_texts_are_no_fault(kind: str) -> None:
    values = noise(3, kind)
    text = b"x" * 9_000_000
    for chunks in (
        [(b"iCCP", b"big\0\0" + zlib.compress(big_profile(3_000_000)))],
        [(b"zTXt", b"notes\0\0" + zlib.compress(text))],
        [(b"iTXt", b"notes\0\1\0\0\0" + zlib.compress(text))],
        [(b"tEXt", b"notes\0" + text)],
        [(b"tEXt", b"notes\0" + b"x")] * 300,
    ):
        assert_near(loaded(png_of(values, *chunks)), values / np.iinfo(kind).max, 1e-3)


def test_a_profile_beyond_the_limit_is_refused_by_its_own_sentence() -> None:
    from impasto.pictures import png

    bomb = zlib.compress(b"\0" * (png.MOST_UNPACKED + 1))
    with pytest.raises(ImageError, match="has a color profile of more than 64 MB; at most 64 MB"):
        loaded(png_of(noise(3), (b"iCCP", b"big\0\0" + bomb)))


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_metadata_is_found_beside_large_texts_and_packed_by_others(kind: str) -> None:
    file = io.BytesIO()
    image = loaded(png_of(noise(3, kind))).image
    save_image(image, file, bits=8 if kind == "u1" else 16, metadata={"steps": 7})
    data = file.getvalue()
    large = chunk(b"zTXt", b"notes\0\0" + zlib.compress(b"x" * 3_000_000))
    assert read_metadata(io.BytesIO(data[:33] + large + data[33:])) == {"steps": 7}
    for other in (
        (b"zTXt", b"impasto\0\0" + zlib.compress(b'{"steps": 8}')),
        (b"iTXt", b"impasto\0\0\0\0\0" + b'{"steps": 8}'),
        (b"iTXt", b"impasto\0\1\0en\0\0" + zlib.compress(b'{"steps": 8}')),
    ):
        assert read_metadata(io.BytesIO(png_of(noise(3, kind), other))) == {"steps": 8}
