"""A tiled TIFF in ZSTD was read as a black picture, and a damaged tile as a black square."""

from __future__ import annotations

import io

import numpy as np
import pytest

from helpers import assert_clear_error
from impasto.errors import ImageError
from impasto.pictures.files import load_picture
from tiff_samples import tiff_bytes

RGB = 2
COMPRESSION = 259
# Numbers of compressions that libtiff in libvips' wheels does not know, or nobody does.
UNKNOWN = {"JPEG 2000": 34712, "JPEG XL": 50002, "PNG": 34933, "none at all": 12345}


def values() -> np.ndarray:
    y, x = np.mgrid[:80, :96]
    return np.stack([x * 2, y * 3, x + y], -1).astype(np.uint8)


def read(data: bytes) -> np.ndarray:
    image = load_picture(io.BytesIO(data)).image
    return (image[0].permute(1, 2, 0).numpy() * 255).round()


@pytest.mark.parametrize("number", UNKNOWN.values(), ids=UNKNOWN)
@pytest.mark.parametrize("tile", [None, 32])
def test_a_compression_that_is_not_read_is_named(number, tile, tmp_path, command):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_bytes(values(), RGB, tile=tile, tags={COMPRESSION: number}))
    outcome = command("recolor", path, path, "-o", tmp_path / "out.png")
    assert_clear_error(outcome, "a.tif is of a kind that is not read", str(number))
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("number", [34887, 34925, 50000])
def test_a_compression_that_only_some_builds_read_is_never_black(number):
    """Here the data are none of LERC, LZMA or ZSTD, so every build has to refuse them."""
    with pytest.raises(ImageError, match=r"is of a kind that is not read|is damaged"):
        read(tiff_bytes(values(), RGB, tile=32, tags={COMPRESSION: number}))


@pytest.mark.parametrize("at", [400, 2000])
@pytest.mark.parametrize("tile", [None, 32])
def test_a_damaged_tile_is_an_error(at, tile):
    rng = np.random.default_rng(0).integers(0, 256, (80, 96, 3), np.uint8)
    data = bytearray(tiff_bytes(rng, RGB, deflate=True, tile=tile, rows=None if tile else 16))
    assert np.array_equal(read(bytes(data)), rng)
    data[at : at + 40] = bytes(40)
    with pytest.raises(ImageError, match="is damaged or cut short"):
        read(bytes(data))


def test_the_message_of_one_file_is_not_told_of_the_next():
    for number in (34712, 50002):
        data = tiff_bytes(values(), RGB, tags={COMPRESSION: number})
        with pytest.raises(ImageError) as error:
            read(data)
        assert str(error.value).count("Compression scheme") == 1
    assert np.array_equal(read(tiff_bytes(values(), RGB, tile=32)), values())


@pytest.mark.parametrize("tile", [None, 32])
@pytest.mark.parametrize("tag", [24, 2048, 65000])
def test_a_tag_that_nobody_knows_is_no_damage(tag, tile):
    """libtiff has a message about it, too."""
    data = tiff_bytes(values(), RGB, tile=tile, tags={tag: b"private"})
    assert np.array_equal(read(data), values())
