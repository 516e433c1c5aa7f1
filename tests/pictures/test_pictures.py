"""Picture files to tensors and back, on drawn pictures of some 32 px."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
import struct
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import pyvips
import torch
from PIL import ImageCms, ImageOps

from impasto import storage
from impasto.errors import ImageError, ImpastoError, SettingsError, ShapeError, install_hint
from impasto.pictures import codecs, files, picture as images, profiles
from impasto.pictures.files import (
    check_writable,
    load_image,
    load_picture,
    read_metadata,
    save_image,
)
from impasto.pictures.picture import Picture, fit, resize, to_pillow

HEIGHT, WIDTH = 24, 32
SUFFIXES = [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"]
METADATA = {"settings": {"steps": 500, "name": "Grüße, 画家 🎨"}, "list": [1, 2.5, None, True]}


def drawn(bits: int = 8, channels: int = 3, seed: int = 0) -> np.ndarray:
    """(H, W, C): smooth, with every channel different and every corner different."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [x / (WIDTH - 1), y / (HEIGHT - 1), (x + y) / (HEIGHT + WIDTH - 2), 1 - x / WIDTH / 2]
    noise = np.random.default_rng(seed).uniform(-0.02, 0.02, (HEIGHT, WIDTH, 4))
    values = np.clip(np.stack(planes, axis=-1) + noise, 0, 1)[..., :channels]
    return np.round(values * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def planes_of(array: np.ndarray) -> torch.Tensor:
    full = np.iinfo(array.dtype).max
    return torch.from_numpy(array.astype(np.float32) / np.float32(full)).permute(2, 0, 1)[None]


def image_of(bits: int = 8) -> torch.Tensor:
    return planes_of(drawn(bits))


def assert_close(actual: torch.Tensor, expected: torch.Tensor, steps: float = 0) -> None:
    """Equal to within some steps of 8 bits."""
    assert actual.shape == expected.shape
    assert actual.dtype == torch.float32
    worst = (actual - expected).abs().max().item()
    assert worst <= steps / 255 + 1e-9, f"{worst * 255} steps apart"


def test_assert_close_notices_one_step() -> None:
    with pytest.raises(AssertionError):
        assert_close(image_of(), (image_of() + 1 / 255))


def saved(array: np.ndarray | PIL.Image.Image, path: Path, **options: object) -> Path:
    picture = PIL.Image.fromarray(array) if isinstance(array, np.ndarray) else array
    picture.save(path, **options)
    return path


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(
    rows: np.ndarray, width: int, depth: int, color_type: int, *chunks: tuple[bytes, bytes]
) -> bytes:
    """A PNG made by hand, from rows of bytes; independent of Pillow and libvips."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, color_type, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    body = b"".join(png_chunk(*chunk) for chunk in chunks)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + body
        + png_chunk(b"IDAT", zlib.compress(lines))
        + png_chunk(b"IEND", b"")
    )


def swapped_profile() -> bytes:
    """sRGB with its red and blue primaries exchanged: a matrix profile that swaps R and B."""
    profile = bytearray(profiles.srgb_profile())
    for index in range(struct.unpack(">I", profile[128:132])[0]):
        at = 132 + 12 * index
        name = bytes(profile[at : at + 4])
        profile[at : at + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(name, name)
    return bytes(profile)


def gray_profile(gamma: float) -> bytes:
    """A gray profile with a power curve, by hand (ICC.1:2001, 6.3.1.1)."""

    def tag(kind: bytes, data: bytes) -> bytes:
        padded = kind + b"\0\0\0\0" + data
        return padded + b"\0" * (-len(padded) % 4)

    white = struct.pack(">iii", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))
    tags = {
        b"desc": tag(b"desc", struct.pack(">I", 5) + b"gray\0" + b"\0" * 78),
        b"cprt": tag(b"text", b"none\0"),
        b"wtpt": tag(b"XYZ ", white),
        b"kTRC": tag(b"curv", struct.pack(">IH", 1, round(gamma * 256))),
    }
    offset, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    head = struct.pack(
        ">I4sI4s4s4s", offset + len(body), b"none", 0x02200000, b"mntr", b"GRAY", b"XYZ "
    )
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + white
    return head.ljust(128, b"\0") + table + body


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


# ---- what is read --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm"])
def test_lossless_formats_are_read_exactly(tmp_path: Path, suffix: str) -> None:
    path = saved(drawn(), tmp_path / f"a{suffix}")
    picture = load_picture(path)
    assert torch.equal(picture.image, image_of())
    assert picture.alpha is None
    assert picture.size == (HEIGHT, WIDTH)
    assert picture.name == f"a{suffix}"
    assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".jpg", {"quality": 100, "subsampling": 0}),
        (".jpg", {"quality": 100, "subsampling": 0, "progressive": True}),
        (".webp", {"lossless": True}),
        (".webp", {"quality": 100}),
        (".avif", {"quality": 100, "subsampling": "4:4:4"}),
    ],
)
def test_lossy_formats_are_read_closely(tmp_path: Path, suffix: str, options: dict) -> None:
    path = saved(drawn(), tmp_path / f"a{suffix}", **options)
    assert_close(load_image(path), image_of(), 0 if "lossless" in options else 12)


def test_gif_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [PIL.Image.new("RGB", (8, 6), color) for color in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    image = load_image(tmp_path / "a.gif")
    assert torch.equal(image, torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 6, 8))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_gray_is_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    gray = drawn()[..., 0]
    image = load_image(saved(gray, tmp_path / f"a{suffix}", quality=95))
    assert torch.equal(image[:, 0], image[:, 1])
    assert torch.equal(image[:, 0], image[:, 2])
    assert_close(image, planes_of(np.repeat(gray[..., None], 3, 2)), 6 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_one_bit(tmp_path: Path, suffix: str) -> None:
    bits = drawn()[..., 0] > 127
    path = saved(PIL.Image.fromarray(bits), tmp_path / f"a{suffix}")
    assert torch.equal(load_image(path)[0, 1], torch.from_numpy(bits.astype(np.float32)))


def test_palette_with_transparency(tmp_path: Path) -> None:
    picture = PIL.Image.new("P", (4, 2))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.putdata([0, 1, 2, 0, 0, 1, 2, 0])
    picture.save(tmp_path / "a.png", transparency=bytes([255, 128, 255]))
    loaded = load_picture(tmp_path / "a.png")
    assert loaded.alpha is not None
    assert torch.equal(loaded.alpha[0, 0, 0] * 255, torch.tensor([255.0, 128, 255, 255]))
    assert loaded.image[0, :, 0, 1].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("depth", "row", "transparent", "alpha"),
    [
        (1, [0x50], 1, [1, 0, 1, 0]),
        (2, [0x1B], 3, [1, 1, 1, 0]),
        (2, [0x1B], 0, [0, 1, 1, 1]),
        (4, [0x05, 0xAF], 5, [1, 0, 1, 1]),
        (8, [0, 7, 200, 255], 7, [1, 0, 1, 1]),
        (16, [0, 0, 0, 7, 1, 7, 255, 255], 7, [1, 0, 1, 1]),
    ],
)
def test_transparent_gray_of_png(depth: int, row: list, transparent: int, alpha: list) -> None:
    rows = np.array([row], np.uint8)
    file = io.BytesIO(raw_png(rows, 4, depth, 0, (b"tRNS", struct.pack(">H", transparent))))
    loaded = load_picture(file)
    assert loaded.alpha is not None
    assert loaded.alpha.flatten().tolist() == alpha


def test_cmyk_jpeg_of_adobe_is_not_a_negative(tmp_path: Path) -> None:
    picture = PIL.Image.new("CMYK", (16, 16), (255, 0, 0, 0))  # pure cyan, saved Adobe-inverted
    picture.save(tmp_path / "a.jpg", quality=100)
    assert b"Adobe" in (tmp_path / "a.jpg").read_bytes()
    cyan = torch.tensor([0.0, 1, 1]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    assert_close(load_image(tmp_path / "a.jpg"), cyan, 2)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_cmyk_tiff(tmp_path: Path, kind: type) -> None:
    full = np.iinfo(kind).max
    ink = np.tile(np.array([full, 0, 0, full // 2], kind), (8, 8, 1))
    vips = pyvips.Image.new_from_array(ink, interpretation="cmyk")
    vips.tiffsave(str(tmp_path / "a.tif"))
    expected = torch.tensor([0.0, 0.5, 0.5]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    assert_close(load_image(tmp_path / "a.tif"), expected, 1)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_profile_is_followed(tmp_path: Path, suffix: str) -> None:
    data = bytes(pyvips.Operation.call("profile_load", "cmyk"))
    picture = PIL.Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    path = saved(picture, tmp_path / f"a{suffix}", icc_profile=data)
    red, green, blue = load_image(path).mean(dim=(0, 2, 3)).tolist()
    assert red < 0.35
    assert 0.5 < green < 0.8  # printed cyan is no pure cyan
    assert blue > 0.8


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turn(tmp_path: Path, suffix: str, orientation: int) -> None:
    picture = PIL.Image.fromarray(drawn())
    exif = PIL.Image.Exif()
    exif[274] = orientation
    path = saved(picture, tmp_path / f"a{suffix}", exif=exif)
    with PIL.Image.open(path) as opened:
        reference = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    image = load_image(path)
    assert image.shape[2:] == ((WIDTH, HEIGHT) if orientation > 4 else (HEIGHT, WIDTH))
    assert torch.equal(image, planes_of(reference))


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turn_at_16_bits(tmp_path: Path, suffix: str, orientation: int) -> None:
    by_hand = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }
    array = drawn(16)
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        exif = PIL.Image.Exif()
        exif[274] = orientation
        chunk = (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        rows = array.astype(">u2").reshape(HEIGHT, -1).view(np.uint8)
        path.write_bytes(raw_png(rows, WIDTH, 16, 2, chunk))
    else:
        vips = pyvips.Image.new_from_array(array, interpretation="rgb16").copy()
        vips.set_type(pyvips.GValue.gint_type, "orientation", orientation)
        vips.tiffsave(str(path))
    expected = np.ascontiguousarray(by_hand[orientation](array))
    assert torch.equal(load_image(path), planes_of(expected))


# ---- color profiles ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_profile_is_followed(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == ".webp" else {}
    path = saved(drawn(), tmp_path / f"a{suffix}", icc_profile=swapped_profile(), **options)
    assert_close(load_image(path), image_of().flip(1), 1)


def test_profile_of_a_jpeg_with_a_turn(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[274] = 6
    path = saved(drawn(), tmp_path / "a.jpg", icc_profile=swapped_profile(), exif=exif, quality=100)
    assert_close(load_image(path), image_of().flip(1).rot90(-1, (2, 3)), 12)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_profile_is_followed_at_16_bits(tmp_path: Path, suffix: str) -> None:
    vips = pyvips.Image.new_from_array(drawn(16, 4), interpretation="rgb16").copy()
    vips.set_type(pyvips.GValue.blob_type, "icc-profile-data", swapped_profile())
    vips.write_to_file(str(tmp_path / f"a{suffix}"))
    picture = load_picture(tmp_path / f"a{suffix}")
    assert (picture.image - image_of(16).flip(1)).abs().max() < 16 / 65535
    assert picture.alpha is not None
    assert torch.equal(picture.alpha, planes_of(drawn(16, 4))[:, 3:])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_gray_profile_is_followed(tmp_path: Path, suffix: str) -> None:
    gray = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (8, 1))
    path = saved(gray, tmp_path / f"a{suffix}", icc_profile=gray_profile(1.0), quality=100)
    expected = torch.from_numpy(encode_srgb(gray / 255.0).astype(np.float32))
    assert_close(load_image(path), expected.expand(1, 3, -1, -1), 12 if suffix == ".jpg" else 1.5)


def test_gray_profile_is_followed_at_16_bits(tmp_path: Path) -> None:
    gray = np.tile(np.arange(0, 65536, 2048, dtype=np.uint16), (8, 1))
    rows = gray.astype(">u2").view(np.uint8)
    chunk = (b"iCCP", b"gray\0\0" + zlib.compress(gray_profile(1.0)))
    (tmp_path / "a.png").write_bytes(raw_png(rows, 32, 16, 0, chunk))
    expected = torch.from_numpy(encode_srgb(gray / 65535.0).astype(np.float32))
    assert (load_image(tmp_path / "a.png") - expected).abs().max() < 1e-3


def test_gray_with_the_profile_of_a_colored_picture(tmp_path: Path) -> None:
    gray = drawn()[..., 0]
    path = saved(gray, tmp_path / "a.jpg", icc_profile=swapped_profile(), quality=100)
    assert_close(load_image(path), planes_of(np.repeat(gray[..., None], 3, 2)), 6)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("profile", [b"no profile at all", gray_profile(1.8)])
def test_broken_or_foreign_profile_is_left_out(tmp_path: Path, suffix: str, profile: bytes) -> None:
    path = saved(drawn(), tmp_path / f"a{suffix}", icc_profile=profile, quality=100)
    with pytest.warns(UserWarning, match=rf"a\{suffix}: its color profile cannot be used"):
        image = load_image(path)
    assert_close(image, image_of(), 12 if suffix == ".jpg" else 0)


def test_broken_profile_at_16_bits(tmp_path: Path) -> None:
    gray = drawn(16)[..., 0]
    path = saved(gray, tmp_path / "a.tif", icc_profile=b"no profile at all")
    with pytest.warns(UserWarning, match="color profile"):
        image = load_image(path)
    assert torch.equal(image, planes_of(np.repeat(gray[..., None], 3, 2)))


def test_srgb_by_any_other_name_changes_nothing(tmp_path: Path) -> None:
    every = np.stack(np.meshgrid(*[np.arange(0, 256, 15, dtype=np.uint8)] * 3), -1).reshape(
        54, -1, 3
    )
    other = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for suffix in (".png", ".tif"):
        path = saved(every, tmp_path / f"a{suffix}", icc_profile=other)
        assert torch.equal(load_image(path), planes_of(every))
    assert profiles.transform_to_srgb(other, "RGB") is None
    assert profiles.transform_to_srgb(swapped_profile(), "RGB") is not None


# ---- 16 bits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("color_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bit_png_is_read_exactly(tmp_path: Path, color_type: int, channels: int) -> None:
    array = drawn(16, 4)[..., :channels]
    rows = np.ascontiguousarray(array).astype(">u2").reshape(HEIGHT, -1).view(np.uint8)
    (tmp_path / "a.png").write_bytes(raw_png(rows, WIDTH, 16, color_type))
    picture = load_picture(tmp_path / "a.png")
    colors = array[..., :3] if channels > 2 else np.repeat(array[..., :1], 3, 2)
    expected = planes_of(colors)
    if channels % 2:
        assert picture.alpha is None
    else:
        assert picture.alpha is not None
        alpha = planes_of(array[..., -1:])
        assert torch.equal(picture.alpha, alpha)
        expected = torch.where(alpha == 0, picture.image, expected)
    assert torch.equal(picture.image, expected)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_16_bits_survive_exactly(tmp_path: Path, suffix: str, with_alpha: bool) -> None:
    image = planes_of(
        np.arange(65536, dtype=np.uint16)[::27].repeat(3)[: 800 * 3].reshape(25, 32, 3)
    )
    alpha = image[:, :1].flip(2).clamp(min=1 / 65535) if with_alpha else None
    path = tmp_path / f"a{suffix}"
    save_image(image, path, bits=16, alpha=alpha)
    loaded = load_picture(path)
    assert torch.equal(loaded.image, image)
    if alpha is not None:
        assert loaded.alpha is not None
        assert torch.equal(loaded.alpha, alpha)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_other_programs_see_16_bits_and_srgb(tmp_path: Path, suffix: str) -> None:
    save_image(image_of(16), tmp_path / f"a{suffix}", bits=16, metadata=METADATA, dpi=300)
    vips = pyvips.Image.new_from_file(str(tmp_path / f"a{suffix}"))
    assert vips.format == "ushort"
    assert np.array_equal(vips.numpy(), drawn(16))
    with PIL.Image.open(tmp_path / f"a{suffix}") as opened:
        assert opened.info["icc_profile"] == profiles.srgb_profile()
        assert opened.info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_16_bit_gray_of_pillow_is_not_clipped(tmp_path: Path) -> None:
    gray = drawn(16)[..., 0]
    expected = planes_of(np.repeat(gray[..., None], 3, 2))
    for array in (gray, gray.astype(">u2"), gray.astype(np.int32)):
        assert torch.equal(load_image(PIL.Image.fromarray(array)), expected)
    path = saved(gray, tmp_path / "a.pgm")
    assert torch.equal(load_image(path), expected)
    with pytest.raises(ImageError, match="65535"):
        load_image(PIL.Image.fromarray(gray.astype(np.int32) * 2))


def test_float_tiff_and_mode_f(tmp_path: Path) -> None:
    values = (drawn()[..., 0] / 255).astype(np.float32)
    path = saved(values, tmp_path / "a.tif")
    assert torch.equal(load_image(path)[0, 2], torch.from_numpy(values))
    with pytest.raises(ImageError, match=r"0 to 255; floats must be in \[0, 1\]"):
        load_image(PIL.Image.fromarray(np.float32([[0, 255]])))


# ---- alpha ---------------------------------------------------------------------------------------


def hidden_magenta() -> np.ndarray:
    """A green to olive disc, opaque; elsewhere alpha 0 and magenta below it."""
    y, x = np.mgrid[0:33, 0:40]
    inside = (x - 20) ** 2 + (y - 16) ** 2 < 100
    array = np.zeros((33, 40, 4), np.uint8)
    array[...] = (255, 0, 255, 0)
    array[inside] = (0, 200, 0, 255)
    array[inside & (x > 20)] = (100, 200, 0, 255)
    return array


@pytest.mark.parametrize("long_side", [None, 40, 17, 5, 1, 77])
@pytest.mark.parametrize("deep", [False, True])
def test_hidden_color_does_not_leak(tmp_path: Path, long_side: int | None, deep: bool) -> None:
    array = hidden_magenta()
    path = tmp_path / "a.png"
    if deep:
        rows = (array.astype(np.uint16) * 257).astype(">u2").reshape(33, -1).view(np.uint8)
        path.write_bytes(raw_png(rows, 40, 16, 6))
    else:
        saved(array, path)
    picture = load_picture(path, long_side=long_side)
    assert picture.image[:, 2].max() < 1e-5  # nothing blue
    assert picture.image[:, 0].max() < 120 / 255  # 100, and what Lanczos overshoots at its edge
    assert picture.image[:, 1].min() > 190 / 255
    assert picture.alpha is not None
    assert picture.alpha.shape == (1, 1, *picture.size)
    assert 0 <= picture.alpha.min() <= picture.alpha.max() <= 1


def test_visible_colors_are_kept_and_the_fill_is_smooth(tmp_path: Path) -> None:
    picture = load_picture(saved(hidden_magenta(), tmp_path / "a.png"))
    visible = torch.from_numpy(hidden_magenta()[..., 3] == 255)
    expected = planes_of(hidden_magenta()[..., :3])
    assert torch.equal(picture.image[..., visible], expected[..., visible])
    left, right = picture.image[0, 0, 16, 10], picture.image[0, 0, 16, 30]
    assert left < 20 / 255 < 80 / 255 < right  # each side takes up the color next to it
    steps = picture.image[0, 0, :, :8].diff(dim=-1).abs().max()
    assert steps < 20 / 255


def test_half_transparent_colors_are_kept(tmp_path: Path) -> None:
    array = drawn(8, 4)
    array[..., 3] = np.maximum(array[..., 3], 1)
    for suffix in (".png", ".tif"):
        picture = load_picture(saved(array, tmp_path / f"a{suffix}"))
        assert torch.equal(picture.image, planes_of(array)[:, :3])
        assert picture.alpha is not None
        assert torch.equal(picture.alpha, planes_of(array)[:, 3:])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (5, 8)])
def test_one_visible_pixel_colors_everything(size: tuple[int, int]) -> None:
    array = np.zeros((*size, 4), np.uint8)
    array[..., 0] = 99
    array[-1, -1] = (10, 20, 30, 255)
    image = load_image(array)
    assert_close(
        image, torch.tensor([10.0, 20, 30]).div(255).view(1, 3, 1, 1).expand_as(image), 0.01
    )


def test_nothing_visible_is_gray(tmp_path: Path) -> None:
    picture = load_picture(
        saved(np.full((4, 5, 4), [255, 0, 255, 0], np.uint8), tmp_path / "a.png")
    )
    assert picture.image.unique().tolist() == [0.5]
    assert picture.alpha is not None
    assert not picture.alpha.any()


def test_opaque_alpha_is_none(tmp_path: Path) -> None:
    array = drawn(8, 4)
    array[..., 3] = 255
    assert load_picture(saved(array, tmp_path / "a.png")).alpha is None
    assert load_picture(array).alpha is None


def test_premultiplied_pillow_image() -> None:
    picture = PIL.Image.new("RGBA", (4, 4), (200, 100, 50, 128)).convert("RGBa")
    loaded = load_picture(picture)
    expected = torch.tensor([200.0, 100, 50]).div(255).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert_close(loaded.image, expected, 2)
    assert loaded.alpha is not None


# ---- arrays, tensors, Pillow images, streams -----------------------------------------------------


@pytest.mark.parametrize("kind", ["uint8", "uint16", ">u2", "float32", "float64", "float16"])
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_arrays(kind: str, channels: int) -> None:
    array = drawn(16 if "2" in kind or kind == "uint16" else 8, 4)
    if kind.startswith("float"):
        array = drawn(8, 4) / 255
    elif kind in ("uint16", ">u2"):
        array = drawn(16, 4)
    array = array.astype(kind)
    full = {"uint8": 255, "uint16": 65535, ">u2": 65535}.get(kind, 1)
    array = array[..., 0] if channels == 0 else array[..., :channels]
    picture = load_picture(array)
    planes = np.atleast_3d(array).astype(np.float32) / np.float32(full)
    expected = torch.from_numpy(planes).permute(2, 0, 1)[None, :3].expand(1, 3, -1, -1)
    assert torch.equal(picture.image, expected)
    assert (picture.alpha is None) == (channels != 4)
    assert picture.name is picture.sha256 is picture.dpi is None


def test_bool_array_and_reversed_array() -> None:
    mask = drawn()[..., 0] > 100
    assert torch.equal(load_image(mask)[0, 0], torch.from_numpy(mask.astype(np.float32)))
    assert torch.equal(load_image(drawn()[::-1, ::-1]), image_of().flip((2, 3)))


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("batched", [False, True])
def test_tensors(kind: torch.dtype, channels: int, batched: bool) -> None:
    planes = torch.from_numpy(drawn(8, 4)).permute(2, 0, 1)[:channels]
    given = planes if kind == torch.uint8 else (planes / 255).to(kind).requires_grad_()
    picture = load_picture(given[None] if batched else given)
    expected = (planes / 255).to(kind).float() if kind != torch.uint8 else planes / 255
    assert torch.equal(picture.image, expected[None, :3].expand(1, 3, -1, -1))
    assert picture.image.is_contiguous()
    assert not picture.image.requires_grad
    assert (picture.alpha is None) == (channels != 4)


def test_what_is_loaded_shares_no_memory() -> None:
    array, tensor = (drawn() / 255).astype(np.float32), image_of()
    for source in (array, tensor):
        image = load_image(source)
        image.zero_()
    assert array.max() > 0.9
    assert tensor.max() > 0.9


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(bad: float) -> None:
    array = np.zeros((4, 4, 3))
    array[1, 2, 0] = bad
    with pytest.raises(ImageError, match="not finite"):
        load_picture(array)
    with pytest.raises(ImageError, match="not finite"):
        load_picture(torch.from_numpy(array).permute(2, 0, 1))


@pytest.mark.parametrize(("low", "high"), [(0, 255), (-1, 1), (0, 1.001)])
def test_floats_out_of_range(low: float, high: float) -> None:
    with pytest.raises(ImageError, match=rf"{low:g} to {high:g}; floats must be in \[0, 1\]"):
        load_picture(np.linspace(low, high, 48).reshape(4, 4, 3))


def test_floats_out_of_range_by_rounding_are_clamped() -> None:
    array = np.full((2, 2, 3), np.nextafter(np.float32(1), np.float32(2)))
    assert load_image(array).max() == 1


@pytest.mark.parametrize("kind", [np.int64, np.uint32, np.int8, np.complex64, object])
def test_arrays_of_other_kinds(kind: type) -> None:
    with pytest.raises(ImageError, match="allowed types are uint8, uint16"):
        load_picture(np.zeros((4, 4, 3), kind))


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (4, 4, 5), (1, 4, 4, 3), (0, 4, 3), ()])
def test_arrays_of_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"the array has the shape"):
        load_picture(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 4, 4), (5, 4, 3), (1, 3, 0, 4), ()])
def test_tensors_of_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"the tensor has the shape"):
        load_picture(torch.zeros(shape))


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "LA", "PA", "F"]
)
def test_pillow_images_of_every_mode(mode: str) -> None:
    gray = PIL.Image.new("RGB", (5, 4), (255, 255, 255))
    if mode == "LAB":
        picture = PIL.Image.merge("LAB", [PIL.Image.new("L", (5, 4), v) for v in (255, 128, 128)])
    elif mode == "F":
        picture = PIL.Image.new("F", (5, 4), 1.0)
    else:
        picture = gray.convert("P").convert("PA") if mode == "PA" else gray.convert(mode)
    assert_close(load_image(picture), torch.ones(1, 3, 4, 5), 1)


def test_pillow_image_is_read_like_its_file_and_left_alone(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[274] = 6
    path = saved(
        drawn(8, 4), tmp_path / "a.png", exif=exif, icc_profile=swapped_profile(), dpi=(72, 72)
    )
    from_file = load_picture(path)
    with PIL.Image.open(path) as opened:
        picture = load_picture(opened)
        assert (opened.mode, opened.size) == ("RGBA", (WIDTH, HEIGHT))
        assert opened.getpixel((0, 0)) == tuple(drawn(8, 4)[0, 0])
    assert torch.equal(picture.image, from_file.image)
    assert (picture.name, picture.sha256, picture.dpi) == ("a.png", None, 72)


def test_empty_pillow_image() -> None:
    with pytest.raises(ImageError, match="no pixels"):
        load_picture(PIL.Image.new("RGB", (0, 5)))


def test_file_objects_are_read_and_left_open(tmp_path: Path) -> None:
    path = saved(drawn(), tmp_path / "a.png")
    with path.open("rb") as file:
        picture = load_picture(file)
        assert not file.closed
    assert (picture.name, picture.sha256) == ("a.png", load_picture(path).sha256)
    assert torch.equal(picture.image, image_of())
    stream = io.BytesIO(path.read_bytes())
    assert load_picture(stream).name is None
    assert not stream.closed


def test_stream_that_cannot_seek(tmp_path: Path) -> None:
    data = saved(drawn(), tmp_path / "a.png").read_bytes()
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reading, "rb") as stream:
        picture = load_picture(stream)
        assert not stream.seekable()
    thread.join()
    assert torch.equal(picture.image, image_of())
    assert picture.name is None
    assert picture.sha256 == hashlib.sha256(data).hexdigest()


def test_streams_that_give_no_bytes() -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(ImageError, match="the stream is empty"):
        load_picture(io.BytesIO())
    with pytest.raises(ImageError, match="instead of bytes"):
        load_picture(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="closed"):
        load_picture(closed)


def test_other_sources() -> None:
    with pytest.raises(ImageError, match="cannot read a picture from dict"):
        load_picture({})  # type: ignore[arg-type]


def test_picture_is_a_source_too() -> None:
    picture = load_picture(Picture(image_of(), image_of()[:, :1], "a.png", "00", 72))
    assert load_picture(picture) is picture
    assert load_picture(picture, long_side=WIDTH) is picture
    small = load_picture(picture, long_side=16)
    assert small.size == (12, 16)
    assert small.alpha is not None
    assert small.alpha.shape == (1, 1, 12, 16)
    assert (small.name, small.sha256, small.dpi) == ("a.png", "00", 72)


# ---- what cannot be read -------------------------------------------------------------------------


def assert_one_sentence(error: ImpastoError, *words: str) -> None:
    text = str(error)
    assert "\n" not in text
    for word in words:
        assert word in text, text


def test_missing_file_folder_and_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    for path, words in {
        tmp_path / "none.png": "there is no such file",
        tmp_path: "is a folder",
        tmp_path / "empty.png": "is empty",
        tmp_path / "empty.png" / "a.png": "cannot be read",
    }.items():
        with pytest.raises(ImageError) as caught:
            load_picture(path)
        assert_one_sentence(caught.value, str(path), words)


def test_paths_are_named_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError, match=r"^none\.png cannot be read: there is no such file$"):
        load_picture("none.png")


@pytest.mark.parametrize("data", [b"not a picture", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\0" * 64, b"P"])
def test_text_and_unknown_formats(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for read in (load_picture, read_metadata):
        with pytest.raises(ImageError) as caught:
            read(path)
        assert_one_sentence(caught.value, str(path), "is not a picture", "JPEG")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    ("suffix", "bits", "options"),
    [
        (".jpg", 8, {}),
        (".jpg", 8, {"progressive": True}),
        (".png", 8, {}),
        (".png", 16, {}),
        (".webp", 8, {"lossless": True}),
        (".tif", 8, {}),
        (".tif", 8, {"compression": "tiff_lzw"}),
        (".tif", 16, {}),
        (".bmp", 8, {}),
        (".gif", 8, {}),
        (".avif", 8, {}),
        (".ppm", 8, {}),
    ],
)
def test_files_cut_short(
    tmp_path: Path, suffix: str, bits: int, options: dict, share: float
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"a{suffix}"
    if bits == 16:
        save_image(planes_of(noise), path, bits=16)
    else:
        saved(noise, path, **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError) as caught:
        load_picture(path)
    assert_one_sentence(caught.value, str(path))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".gif", ".bmp", ".avif"])
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_give_a_picture_or_an_image_error(tmp_path: Path, suffix: str) -> None:
    data = bytearray(
        saved(drawn(), tmp_path / f"a{suffix}", icc_profile=swapped_profile()).read_bytes()
    )
    random = np.random.default_rng(1)
    for _ in range(40):
        broken = bytearray(data)
        for place in random.integers(8, len(data), 6):
            broken[place] = random.integers(256)
        try:
            load_picture(io.BytesIO(bytes(broken)), max_pixels=10_000)
        except ImageError as error:
            assert_one_sentence(error)


def test_damaged_exif_does_not_keep_a_picture_from_being_read(tmp_path: Path) -> None:
    path = saved(drawn(), tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert torch.equal(load_image(path), image_of())


@pytest.mark.parametrize("bits", [8, 16])
def test_pixels_are_limited_by_the_header(bits: int) -> None:
    file = raw_png(np.zeros((1, 1), np.uint8), 1, bits, 2)
    huge = struct.pack(">II", 30000, 30000)
    header = png_chunk(b"IHDR", huge + file[24:29])
    bomb = file[:8] + header + file[8 + len(header) :]
    with pytest.raises(
        ImageError, match=r"30000 × 30000 = 900,000,000 pixels; at most 200,000,000"
    ):
        load_picture(io.BytesIO(bomb))


def test_pillows_own_limit_plays_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [saved(drawn(), tmp_path / f"a{suffix}") for suffix in (".png", ".jpg", ".tif", ".gif")]
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)
    for path in paths:
        assert load_picture(path).size == (HEIGHT, WIDTH)
        with pytest.raises(ImageError, match="at most 700 are allowed"):
            load_picture(path, max_pixels=700)
    assert PIL.Image.MAX_IMAGE_PIXELS == 10


def test_limit_holds_for_every_source() -> None:
    for source in (drawn(), image_of(), PIL.Image.fromarray(drawn()), Picture(image_of())):
        assert load_picture(source, max_pixels=HEIGHT * WIDTH).size == (HEIGHT, WIDTH)
        with pytest.raises(ImageError, match="at most 767 are allowed"):
            load_picture(source, max_pixels=767)


def test_heic_without_its_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for brand in (b"heic", b"mif1"):
        with pytest.raises(ImageError, match="HEIC.*" + re.escape(install_hint("heic"))):
            load_picture(io.BytesIO(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + b"\0" * 64))


def test_heic_with_its_plug_in(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(PIL.Image.fromarray(drawn())).save(tmp_path / "a.heic", quality=95)
    assert_close(load_image(tmp_path / "a.heic"), image_of(), 16)


# ---- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "long_side", "expected"),
    [
        ((100, 200), 100, (50, 100)),
        ((200, 100), 100, (100, 50)),
        ((3, 1000), 100, (1, 100)),
        ((1, 1000), 100, (1, 100)),
        ((5, 10), 5, (3, 5)),  # 2.5 px: halves up
        ((480, 640), 1280, (960, 1280)),
        ((7, 7), 1, (1, 1)),
        ((333, 1000), 1000, (333, 1000)),
    ],
)
def test_fit(size: tuple[int, int], long_side: int, expected: tuple[int, int]) -> None:
    assert fit(size, long_side) == expected


def test_fit_and_resize_refuse_less_than_a_pixel() -> None:
    with pytest.raises(SettingsError, match="long_side is 0"):
        fit((4, 4), 0)
    with pytest.raises(ShapeError, match="0 × 4"):
        resize(image_of(), (0, 4))
    with pytest.raises(ShapeError, match=r"\(B, C, H, W\)"):
        resize(image_of()[0], (4, 4))


def lanczos(before: int, after: int) -> np.ndarray:
    """(after, before) weights: sinc(x)·sinc(x/3), widened when reducing, of sum 1 a row."""
    scale = before / after
    width = max(scale, 1.0)
    centers = (np.arange(after) + 0.5) * scale
    x = (np.arange(before) + 0.5 - centers[:, None]) / width
    weights = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize("size", [(12, 16), (7, 40), (48, 64), (1, 1), (24, 5), (23, 33)])
@pytest.mark.parametrize("channels", [1, 3, 7])
def test_resize_is_lanczos(size: tuple[int, int], channels: int) -> None:
    values = np.random.default_rng(0).uniform(0, 1, (2, channels, HEIGHT, WIDTH))
    result = resize(torch.from_numpy(values).float(), size)
    down, across = lanczos(HEIGHT, size[0]), lanczos(WIDTH, size[1])
    expected = np.clip(down @ values @ across.T, 0, 1)
    assert result.shape == (2, channels, *size)
    assert result.dtype == torch.float32
    assert np.abs(result.numpy() - expected).max() < 1e-5


def test_resize_keeps_constants_and_range_and_identity() -> None:
    constant = torch.full((1, 3, 24, 32), 0.3)
    assert (resize(constant, (11, 53)) - 0.3).abs().max() < 1e-6
    edge = torch.zeros(1, 3, 24, 32)
    edge[..., 16:] = 1
    assert 0 <= resize(edge, (50, 70)).min() <= resize(edge, (50, 70)).max() <= 1
    assert resize(constant, (24, 32)) is constant
    assert resize(constant.double(), (4, 4)).dtype == torch.float64


def test_long_side(tmp_path: Path) -> None:
    path = saved(drawn(), tmp_path / "a.png")
    for long_side, size in ((16, (12, 16)), (64, (48, 64)), (WIDTH, (HEIGHT, WIDTH))):
        assert torch.equal(load_image(path, long_side=long_side), resize(image_of(), size))


# ---- writing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    save_image(image_of(), path, metadata=METADATA, dpi=300)
    picture = load_picture(path)
    assert_close(picture.image, image_of(), 0 if suffix in (".png", ".tif", ".tiff") else 14)
    assert picture.alpha is None
    assert picture.dpi == 300
    assert read_metadata(path) == METADATA
    with PIL.Image.open(path) as opened:
        assert opened.info["icc_profile"] == profiles.srgb_profile()
    assert load_picture(path).sha256 == picture.sha256


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_metadata_at_16_bits(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    save_image(image_of(16), path, metadata=METADATA, dpi=300, bits=16, alpha=image_of(16)[:, :1])
    assert read_metadata(path) == METADATA
    assert load_picture(path).dpi == 300
    save_image(image_of(16), path, bits=16)
    assert read_metadata(path) == {}
    assert load_picture(path).dpi is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_metadata(tmp_path: Path, suffix: str) -> None:
    save_image(image_of(), tmp_path / f"a{suffix}")
    assert read_metadata(tmp_path / f"a{suffix}") == {}
    assert load_picture(tmp_path / f"a{suffix}").dpi is None


@pytest.mark.parametrize("text", ["A painting", "[1]", '{"impasto": 3}', "3", '{"other": {}}'])
def test_descriptions_of_others_are_no_metadata(tmp_path: Path, text: str) -> None:
    exif = PIL.Image.Exif()
    exif[270] = text
    for suffix in (".jpg", ".png", ".tif"):
        assert read_metadata(saved(drawn(), tmp_path / f"a{suffix}", exif=exif)) == {}


def test_metadata_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="the metadata cannot be stored as JSON"):
        save_image(image_of(), tmp_path / "a.png", metadata={"a": object()})
    with pytest.raises(ImageError, match=r"a\.jpg cannot be written: .*long"):
        save_image(image_of(), tmp_path / "a.jpg", metadata={"a": "x" * 70_000})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_alpha_is_kept(tmp_path: Path, suffix: str) -> None:
    alpha = image_of()[:, :1].clamp(min=0.1)
    save_image(image_of(), tmp_path / f"a{suffix}", alpha=alpha)
    picture = load_picture(tmp_path / f"a{suffix}")
    assert picture.alpha is not None
    assert_close(picture.alpha, alpha, 0.5)
    assert_close(picture.image, image_of(), 14 if suffix == ".webp" else 0)


def test_jpeg_is_laid_on_white(tmp_path: Path) -> None:
    alpha = torch.full((1, 1, 16, 16), 0.25)
    save_image(torch.zeros(1, 3, 16, 16), tmp_path / "a.jpg", alpha=alpha)
    assert_close(load_image(tmp_path / "a.jpg"), torch.full((1, 3, 16, 16), 0.75), 1)


def test_jpeg_keeps_the_full_color_resolution(tmp_path: Path) -> None:
    image = torch.zeros(1, 3, 16, 16)
    image[:, 0, :, ::2] = 1  # red and black stripes, one px each
    save_image(image, tmp_path / "a.jpg")
    assert_close(load_image(tmp_path / "a.jpg"), image, 25)


def test_values_are_rounded_not_cut() -> None:
    values = torch.tensor([0.0, 0.49, 0.51, 1.49, 127.6, 254.6, 255, -9, 300]).div(255)
    pixels = np.asarray(to_pillow(values.view(1, 1, 1, -1).expand(1, 3, 1, -1)))
    assert pixels[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255, 255, 0, 255]


def test_values_are_rounded_at_16_bits() -> None:
    values = torch.tensor([0.0, 0.4, 0.6, 32767.4, 32767.6, 65534.6, 65535]).div(65535)
    file = io.BytesIO()
    save_image(values.view(1, 1, 1, -1).expand(1, 3, 1, -1), file, bits=16)
    written = pyvips.Image.new_from_buffer(file.getvalue(), "").numpy()
    assert written[0, :, 0].tolist() == [0, 0, 1, 32767, 32768, 65535, 65535]


def test_to_pillow() -> None:
    picture = to_pillow(image_of())
    assert (picture.mode, picture.size) == ("RGB", (WIDTH, HEIGHT))
    assert np.array_equal(np.asarray(picture), drawn())
    with_alpha = to_pillow(image_of().requires_grad_(), planes_of(drawn(8, 4))[:, 3:])
    assert with_alpha.mode == "RGBA"
    assert np.array_equal(np.asarray(with_alpha), drawn(8, 4))


def test_images_that_cannot_be_written(tmp_path: Path) -> None:
    broken = image_of()
    broken[0, 0, 0, 0] = float("nan")
    for image, alpha, error, words in (
        (broken, None, ImageError, "not finite"),
        (image_of()[0], None, ShapeError, r"an image is \(1, 3, H, W\)"),
        (image_of()[:, :1], None, ShapeError, r"an image is \(1, 3, H, W\)"),
        (image_of(), image_of(), ShapeError, r"alpha is \(1, 3, 24, 32\)"),
        (image_of(), image_of()[:, :1, 1:], ShapeError, r"alpha is \(1, 1, 23, 32\)"),
    ):
        for suffix in (".png", ".jpg"):
            with pytest.raises(error, match=words):
                save_image(image, tmp_path / f"a{suffix}", alpha=alpha)
    with pytest.raises(ImageError, match=r"webp holds at most 16383 px per side, not 1 × 16384"):
        save_image(torch.zeros(1, 3, 1, 16384), tmp_path / "a.webp")
    for dpi in (0, -1, float("nan"), float("inf")):
        with pytest.raises(SettingsError, match="dpi is"):
            save_image(image_of(), tmp_path / "a.png", dpi=dpi)
    assert list(tmp_path.iterdir()) == []


def test_equal_pictures_are_equal_files(tmp_path: Path) -> None:
    for suffix, bits in ((".png", 8), (".png", 16), (".jpg", 8), (".tif", 8), (".tif", 16)):
        for name in "ab":
            save_image(image_of(), tmp_path / f"{name}{suffix}", bits=bits, metadata=METADATA)
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("kind", ["png", "jpeg", "jpg", "webp", "TIFF", ".tif"])
def test_streams_are_written_and_left_open(kind: str) -> None:
    file = io.BytesIO()
    save_image(image_of(), file, format=kind, metadata=METADATA)
    file.seek(0)
    assert read_metadata(file) == METADATA
    file.seek(0)
    assert_close(load_image(file), image_of(), 14)


def test_stream_that_takes_a_part_at_a_time() -> None:
    class Dribble(io.RawIOBase):
        data = b""

        def writable(self) -> bool:
            return True

        def write(self, part: memoryview) -> int:
            self.data += bytes(part[:100])
            return min(100, len(part))

    file = Dribble()
    save_image(image_of(), file)  # type: ignore[arg-type]
    assert torch.equal(load_image(io.BytesIO(file.data)), image_of())


def test_streams_that_cannot_be_written() -> None:
    closed = io.BytesIO()
    closed.close()
    with pytest.raises(ImageError, match=r"the stream cannot be written: .*closed"):
        save_image(image_of(), closed)
    with pytest.raises(ImageError, match=r"the stream has the suffix \.jpgg; .* did you mean"):
        save_image(image_of(), io.BytesIO(), format="jpgg")


# ---- where to write ------------------------------------------------------------------------------


def refused(path: Path | str, **options: object) -> ImpastoError:
    """The error of check_writable, having seen that save_image says the same and writes nothing."""
    with pytest.raises(ImpastoError) as checked:
        check_writable(path, **options)
    with pytest.raises(ImpastoError) as tried:
        save_image(image_of(), path, **options)
    assert type(checked.value) is type(tried.value)
    return checked.value


def test_check_writable_makes_folders_and_nothing_else(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep" / "a.png", bits=16)
    assert (tmp_path / "new" / "deep").is_dir()
    assert list((tmp_path / "new" / "deep").iterdir()) == []
    check_writable(tmp_path / "A.TIF", bits=16)


def test_save_image_makes_folders(tmp_path: Path) -> None:
    image = image_of()
    save_image(image, tmp_path / "new" / "deep" / "a.png")
    assert_close(load_image(tmp_path / "new" / "deep" / "a.png"), image)


def test_targets_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.png").mkdir()
    save_image(image_of(), tmp_path / "old.png")
    for name, options, words in (
        ("a.pgn", {}, ["suffix .pgn", ".tiff", "did you mean .png?"]),
        ("a", {}, ["no suffix", ".png"]),
        ("a.gif", {}, ["suffix .gif"]),
        ("a.jpg", {"bits": 16}, ["jpeg holds 8 bits", ".png or .tiff"]),
        ("a.webp", {"bits": 16}, ["webp holds 8 bits"]),
        ("file/a.png", {}, ["is a file"]),
        ("file/deeper/a.png", {}, ["is a file"]),
        ("folder.png", {}, ["is a folder"]),
        ("old.png", {"overwrite": False}, ["exists", "--force", "overwrite=True"]),
    ):
        error = refused(tmp_path / name, **options)
        assert isinstance(error, ImageError)
        assert_one_sentence(error, str(tmp_path / name), *words)
    assert isinstance(refused(tmp_path / "a.png", bits=12), SettingsError)
    check_writable(tmp_path / "old.png")


def test_read_only_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_image(image_of(), tmp_path / "a.png")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    assert_one_sentence(refused(tmp_path / "a.png"), "read-only")


def test_folder_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    assert_one_sentence(refused(tmp_path / "a.png"), "cannot be written: Permission denied")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do anything")
def test_real_folder_without_permission(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    assert_one_sentence(refused(folder / "a.png"), "Permission denied")


@pytest.mark.parametrize("place", ["fsync", "replace", "write"])
@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_old_file_stays_whole_if_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, fault: BaseException
) -> None:
    path = tmp_path / "a.png"
    save_image(image_of(), path)
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise fault

    if place == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    elif place == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(storage.shutil, "copymode", fail)
    with pytest.raises(ImageError if isinstance(fault, OSError) else KeyboardInterrupt):
        save_image(torch.zeros_like(image_of()), path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]
    save_image(torch.zeros_like(image_of()), path)
    assert load_image(path).max() == 0


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")
def test_permission_bits(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save_image(image_of(), tmp_path / "a.png")
        assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640
        (tmp_path / "a.png").chmod(0o604)
        save_image(image_of(), tmp_path / "a.png")
        assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o604
    finally:
        os.umask(before)


@pytest.mark.skipif(os.name != "posix", reason="links need no rights on POSIX only")
def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    save_image(torch.zeros_like(image_of()), tmp_path / "real" / "a.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "real" / "a.png")
    save_image(image_of(), tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert torch.equal(load_image(tmp_path / "real" / "a.png"), image_of())


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_full_device_is_reported() -> None:
    # As a stream only. Given as a path, a fault in save_image could, for root, replace the
    # machine's device by a file; the named pipes below stand in for devices there.
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(ImageError, match="the stream cannot be written: No space left"),
    ):
        save_image(image_of(), full)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_file_is_written_into_and_not_replaced(tmp_path: Path, linked: bool) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    path = tmp_path / "link.png" if linked else pipe
    if linked:
        path.symlink_to(pipe)
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    thread.start()
    check_writable(path, overwrite=False)  # nothing is lost by writing into a pipe
    save_image(image_of(), path, overwrite=False)
    assert pipe.is_fifo()
    assert path.is_symlink() == linked
    thread.join(10)
    assert torch.equal(load_image(io.BytesIO(got[0])), image_of())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_failing_device_is_reported_and_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)

    def fill_up(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage, "write_all", fill_up)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that opening to write does not wait
    try:
        with pytest.raises(ImageError, match=r"pipe\.png cannot be written: No space left"):
            save_image(image_of(), pipe)
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["pipe.png"]


def test_public_names() -> None:
    for module in (files, images):
        assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), name))
    assert files.MAX_PIXELS == 200_000_000
    assert set(codecs.WRITERS) == set(SUFFIXES)
