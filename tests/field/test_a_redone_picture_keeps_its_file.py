"""`redo` of a 16-bit TIFF for print gave an 8-bit file without its dots per inch."""

from __future__ import annotations

import pytest
import pyvips
import torch
from PIL import Image as PillowImage

from impasto.pictures.files import load_image, load_picture, read_metadata, save_image

SMALL = ("--long-side", 32, "--steps", 2, "--threads", 1, "--quiet")
CALM = ("--threads", 1, "--quiet")


@pytest.fixture
def painted(command, photo_file, painting_file, tmp_path):
    def call(name, *words):
        out = tmp_path / name
        outcome = command("stylize", photo_file, painting_file, "-o", out, *SMALL, *words)
        assert outcome.code == 0, outcome.err
        return out

    return call


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_stay(suffix, command, painted, tmp_path):
    out = painted(f"out{suffix}", "--bits", 16)
    assert command("redo", out, *CALM).code == 0
    again = tmp_path / f"out-redo{suffix}"
    assert bits(out) == bits(again) == 16
    assert torch.equal(load_image(again), load_image(out))  # all 16 bits of them


@pytest.mark.parametrize("dpi", [150, 123.45, 72])
@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp", "out.tiff"])
def test_dots_per_inch_stay(dpi, name, command, painted, tmp_path):
    out = painted(name, "--dpi", dpi)
    assert command("redo", out, *CALM).code == 0
    again = tmp_path / name.replace("out", "out-redo")
    for read in (lambda path: load_picture(path).dpi, _stated):
        assert read(again) == read(out)
    assert load_picture(again).dpi == pytest.approx(dpi, abs=0.013)


def bits(path):
    """Bits per channel as libvips states them."""
    return {"uchar": 8, "ushort": 16}[pyvips.Image.new_from_file(str(path)).format]


def _stated(path):
    """What another program reads: Pillow's own dpi."""
    with PillowImage.open(path) as picture:
        return picture.info.get("dpi"), picture.getexif().get(0x011A)


def test_deep_bits_and_dots_per_inch_together(command, painted, tmp_path):
    out = painted("out.png", "--bits", 16, "--dpi", 240)
    assert command("redo", out, *CALM).code == 0
    assert bits(tmp_path / "out-redo.png") == 16
    assert load_picture(tmp_path / "out-redo.png").dpi == 240


def test_a_picture_without_them_gets_none(command, painted, tmp_path):
    out = painted("out.png")
    assert command("redo", out, *CALM).code == 0
    assert bits(tmp_path / "out-redo.png") == 8
    assert load_picture(tmp_path / "out-redo.png").dpi is None


def test_flags_override_them(command, painted, tmp_path):
    out = painted("out.png", "--bits", 16, "--dpi", 240)
    assert command("redo", out, "--bits", 8, "--dpi", 100, *CALM).code == 0
    assert bits(tmp_path / "out-redo.png") == 8
    assert load_picture(tmp_path / "out-redo.png").dpi == 100
    words = ("--print", "1x1cm", "--steps", 1, "-f")
    assert command("redo", out, *words, *CALM).code == 0
    assert load_picture(tmp_path / "out-redo.png").dpi == 300


def test_another_size_keeps_them(command, painted, tmp_path):
    out = painted("out.png", "--bits", 16, "--dpi", 240)
    assert command("redo", out, "--long-side", 40, "--steps", 1, *CALM).code == 0
    assert load_picture(tmp_path / "out-redo.png").size == (32, 40)
    assert bits(tmp_path / "out-redo.png") == 16
    assert load_picture(tmp_path / "out-redo.png").dpi == 240


def test_a_format_that_cannot_hold_them_says_so(command, painted, tmp_path):
    out, other = painted("out.png", "--bits", 16), tmp_path / "new.jpg"
    outcome = command("redo", out, "-o", other, "--threads", 1)
    assert outcome.code == 0
    assert f"{out} has 16 bits per channel, and {other} cannot hold more than 8" in outcome.err
    assert bits(other) == 8


def test_the_help_says_when_pixels_are_equal(command):
    text = " ".join(command("redo", "--help").out.split())
    assert "an equal size gives equal pixels" not in text
    for condition in ("version", "device", "number of threads", "same machine"):
        assert condition in text


def test_a_picture_of_before_the_choice_of_a_filter(command, painted, tmp_path):
    """Its metadata names no filter, because at that time every picture was scaled by Lanczos'."""
    out = painted("out.png", "--resampling", "lanczos")
    noted = read_metadata(out)
    del noted["settings"]["resampling"]
    save_image(load_image(out), out, metadata=noted)
    assert command("redo", out, *CALM).code == 0
    again = tmp_path / "out-redo.png"
    assert torch.equal(load_image(again), load_image(out))
    assert read_metadata(again)["settings"]["resampling"] == "lanczos"
