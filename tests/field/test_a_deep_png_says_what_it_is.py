"""16-bit PNG: a file without dots per inch had 71.98, and EXIF after the pixels was ignored."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import torch

from impasto.pictures.files import load_picture, save_image

TURNED = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6
DEPTHS = {8: "u1", 16: ">u2"}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(depth: int, before: bytes = b"", after: bytes = b"") -> io.BytesIO:
    """A ramp of 6 × 9 px with chunks before and after its pixels."""
    values = (np.arange(6 * 9 * 3) * 1.5).astype(DEPTHS[depth]).reshape(6, -1)
    lines = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", 9, 6, depth, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), before, chunk(b"IDAT", zlib.compress(lines)), after
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b""))


@pytest.mark.parametrize("depth", DEPTHS)
def test_no_dots_per_inch_are_invented(depth):
    assert load_picture(png_of(depth)).dpi is None
    shape_only = chunk(b"pHYs", struct.pack(">IIB", 3, 2, 0))
    assert load_picture(png_of(depth, shape_only)).dpi is None


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_none_are_written(tmp_path, kind):
    """Another program must find none: libvips writes 25.4."""
    path = tmp_path / f"deep.{kind}"
    save_image(torch.zeros(1, 3, 8, 9), path, bits=16)
    with PIL.Image.open(path) as other:
        assert other.size == (9, 8)
        assert other.info.get("dpi") is None
    assert load_picture(path).dpi is None


@pytest.mark.parametrize("dpi", [72, 96, 300, 123.45])
@pytest.mark.parametrize("depth", DEPTHS)
def test_stated_dots_per_inch_are_read(depth, dpi):
    stated = chunk(b"pHYs", struct.pack(">IIB", *[round(dpi / 0.0254)] * 2, 1))
    assert load_picture(png_of(depth, stated)).dpi == pytest.approx(dpi, abs=0.013)


@pytest.mark.parametrize("depth", DEPTHS)
def test_exif_turns_before_and_after_the_pixels(depth):
    plain = load_picture(png_of(depth)).image
    exif = chunk(b"eXIf", TURNED)
    for picture in (png_of(depth, exif), png_of(depth, after=exif)):
        assert torch.equal(load_picture(picture).image, plain.rot90(-1, (2, 3)))


def test_damaged_exif_turns_nothing():
    plain = load_picture(png_of(16)).image
    far, unknown = b"II*\0\xff\xff\xff\xff", TURNED.replace(b"\x06", b"\x63")
    for exif in (b"", b"II", far, TURNED[:15], unknown):
        assert torch.equal(load_picture(png_of(16, chunk(b"eXIf", exif))).image, plain)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
def test_a_text_whose_key_is_latin_1_harms_no_pixel(kind, depth):
    """A German camera program wrote Verfügbar; keys are Latin-1 by the standard of PNG."""
    rest = {b"tEXt": b"ja", b"zTXt": b"\0" + zlib.compress(b"ja"), b"iTXt": b"\0\0\0\0ja"}
    text = chunk(kind, b"Verf\xfcgbar\0" + rest[kind])
    values = np.arange(6 * 9 * 3).reshape(6, 9, 3) * 1.5
    expected = values.astype(DEPTHS[depth]).astype(np.float32) / (2**depth - 1)
    for file in (png_of(depth, text), png_of(depth, after=text)):
        found = load_picture(file).image[0].permute(1, 2, 0).numpy()
        assert np.abs(found - expected).max() < 1e-6
