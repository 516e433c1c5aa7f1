"""AVIF and HEIC state their colors in an nclx box, and some cameras state Adobe RGB only in EXIF.

Both were read as sRGB. So colors were too pale, and high dynamic range was far too dark.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from PIL import features

from helpers import assert_clear_error
from impasto.errors import ImageError
from impasto.pictures import boxes
from impasto.pictures.files import load_picture
from impasto.pictures.transfer import Signal

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")


def flat(color: tuple[int, int, int]) -> np.ndarray:
    return np.full((32, 32, 3), color, np.uint8)


def avif(values: np.ndarray, primaries: int, transfer: int) -> bytes:
    """An AVIF whose nclx box has other numbers; Pillow writes 1 and 13."""
    file = io.BytesIO()
    PIL.Image.fromarray(values).save(file, "avif", quality=100, subsampling="4:4:4")
    data = file.getvalue()
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


def mean(data: bytes) -> torch.Tensor:
    return load_picture(io.BytesIO(data)).image.mean(dim=(0, 2, 3)) * 255


@needs_avif
def test_avif_in_display_p3() -> None:
    """(200, 100, 50) in Display P3; the value is from the matrices of both spaces, in float64."""
    red, green, blue = mean(avif(flat((200, 100, 50)), 12, 13)).tolist()
    assert red == pytest.approx(214.9, abs=2.5)
    assert green == pytest.approx(92.6, abs=2.5)
    assert blue == pytest.approx(31.0, abs=3.5)


@needs_avif
def test_linear_avif() -> None:
    assert mean(avif(flat((55, 55, 55)), 1, 8)).tolist() == pytest.approx([128] * 3, abs=2)


@needs_avif
@pytest.mark.parametrize(("primaries", "transfer"), [(1, 13), (1, 1), (2, 2), (6, 6), (1, 14)])
def test_avif_of_standard_range_is_srgb(primaries: int, transfer: int) -> None:
    plain, tagged = (avif(flat((200, 100, 50)), *each) for each in ((1, 13), (primaries, transfer)))
    assert torch.equal(mean(plain), mean(tagged))


@needs_avif
def test_avif_of_high_dynamic_range_is_bright() -> None:
    """58 % of PQ is 203 cd/m², white of standard range; it stays below the brightest lights."""
    white = mean(avif(flat((148, 148, 148)), 9, 16))
    assert (white > 205).all()
    assert (white < 250).all()


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def heif(*properties: bytes, used: list[int], wide: bool = False) -> bytes:
    """The boxes of a file whose main picture, number 3, uses these properties, from 1."""
    form = ">H" if wide else ">B"
    own = b"".join(struct.pack(form, each) for each in used)
    ipma = struct.pack(">BBHI", 0, 0, int(wide), 2)
    ipma += struct.pack(">HB", 2, 1) + struct.pack(form, 1)
    ipma += struct.pack(">HB", 3, len(used)) + own
    pitm = box(b"pitm", bytes(4), struct.pack(">H", 3))
    iprp = box(b"iprp", box(b"ipco", *properties), box(b"ipma", ipma))
    meta = box(b"meta", bytes(4), pitm, iprp)
    return box(b"ftyp", b"heic", bytes(4), b"mif1") + meta + box(b"mdat", bytes(64))


def nclx(primaries: int, transfer: int) -> bytes:
    return box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, 1, 128))


@pytest.mark.parametrize("wide", [False, True])
def test_the_box_of_the_main_picture_counts(wide: bool) -> None:
    size = box(b"ispe", bytes(12))
    data = heif(nclx(1, 13), size, nclx(9, 18), used=[2, 3], wide=wide)
    assert boxes.signal_in(data) == Signal(9, 18)
    tiles = heif(size, nclx(12, 13), used=[1], wide=wide)  # a grid, whose tiles have the box
    assert boxes.signal_in(tiles) == Signal(12, 13)
    assert boxes.signal_in(heif(size, used=[1], wide=wide)) is None


def test_damaged_boxes_are_no_fault() -> None:
    data = heif(nclx(9, 18), used=[1, 77])
    for length in range(len(data)):
        boxes.signal_in(data[:length])
    random = np.random.default_rng(0)
    for _ in range(500):
        changed = bytearray(data)
        for at in random.integers(0, len(data), 3):
            changed[at] = random.integers(0, 256)
        boxes.signal_in(bytes(changed))


@pytest.mark.parametrize("suffix", ["jpeg", "webp"])
def test_adobe_rgb_of_a_camera_without_a_profile(suffix: str) -> None:
    """DCF 2.0: the interoperability index R03 means Adobe RGB (1998)."""

    def photo(index: str) -> bytes:
        exif = PIL.Image.Exif()
        exif.get_ifd(0x8769)[0xA005] = {1: index}
        file = io.BytesIO()
        PIL.Image.fromarray(flat((100, 180, 60))).save(file, suffix, quality=100, exif=exif)
        return file.getvalue()

    value = np.array([100, 180, 60]) / 255
    light = value ** (563 / 256)
    to_xyz = np.array([  # Adobe RGB (1998) Color Image Encoding, section 4.3.5.3
        [0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134],
    ])  # fmt: skip
    to_srgb = np.array([  # IEC 61966-2-1
        [3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570],
    ])  # fmt: skip
    linear = (to_srgb @ to_xyz @ light).clip(0, 1)
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    adobe, standard = (mean(photo(index)).tolist() for index in ("R03", "R98"))
    assert adobe == pytest.approx((expected * 255).tolist(), abs=2.5)
    assert standard == pytest.approx([100, 180, 60], abs=2.5)


@needs_avif
@pytest.mark.parametrize("planes", ["4:2:0", "4:2:2"])
def test_a_matrix_that_contradicts_the_planes_is_no_damage(planes, tmp_path, command):
    """Matrix 0 says that the planes are G, B and R; then none of them is reduced."""
    path = avif_of(tmp_path, planes, 0)
    with pytest.raises(ImageError, match=r"a\.avif contradicts itself: by its nclx box \(matrix 0"):
        load_picture(path)
    outcome = command("recolor", path, path, "-o", tmp_path / "out.png")
    assert_clear_error(outcome, "two of its planes are")


@needs_avif
@pytest.mark.parametrize(
    ("matrix", "name"), [(14, "ICtCp"), (16, "YCgCo-Re"), (17, "YCgCo-Ro"), (13, "constant")]
)
def test_a_matrix_that_is_not_read_is_called_by_its_name(matrix, name, tmp_path):
    with pytest.raises(ImageError, match=f"has the color matrix .*{name}.* which is not read"):
        load_picture(avif_of(tmp_path, "4:4:4", matrix))


@needs_avif
@pytest.mark.parametrize(("planes", "matrix"), [("4:4:4", 0), ("4:0:0", 0), ("4:2:0", 6)])
def test_other_matrices_are_read(planes, matrix, tmp_path):
    assert load_picture(avif_of(tmp_path, planes, matrix)).size == (16, 24)


@needs_avif
def test_a_damaged_file_is_called_damaged_whatever_its_matrix(tmp_path):
    path = avif_of(tmp_path, "4:2:0", 6)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 40])
    with pytest.raises(ImageError, match="is damaged"):
        load_picture(path)


def avif_of(folder: Path, planes: str, matrix: int) -> Path:
    """An AVIF whose nclx box has another matrix than its pixels have."""
    values = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(values).save(buffer, "avif", subsampling=planes)
    data = bytearray(buffer.getvalue())
    at = data.index(b"colrnclx") + 12
    data[at : at + 2] = struct.pack(">H", matrix)
    path = folder / "a.avif"
    path.write_bytes(data)
    return path
