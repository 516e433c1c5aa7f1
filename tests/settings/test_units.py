"""Times, memory, prints and sizes as people type them."""

from __future__ import annotations

import pytest

from impasto.errors import SettingsError
from impasto.settings.command_flags import PrintOptions
from impasto.settings.units import (
    long_side_for_print,
    parse_duration,
    parse_print,
    parse_size,
    parse_time,
    show_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("2m", 120), ("1m30s", 90), ("1m30", 90), ("1h", 3600),
     ("1.5h", 5400), ("0.5m", 30), ("1h 2m 3.5s", 3723.5), ("2min", 120), ("20 sec", 20)],
)  # fmt: skip
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-3s", "soon", "2d", "1s2m", "nan", "inf", "1e3"])
def test_nonsense_durations(text):
    with pytest.raises(SettingsError, match=r"is not a time( above 0)?; write it like 90s, 2m"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["4s", "1m30s", "2m", "1h", "1h30m", "2.5s", "1h0.5s"])
def test_durations_are_shown_as_typed(text):
    assert show_duration(parse_duration(text)) == text


def test_a_time_in_a_clip_may_be_0():
    assert [parse_time(text) for text in ("0", "0s", "1m2s")] == [0, 0, 62]
    for text in ("", " ", "soon", "-1s"):
        with pytest.raises(SettingsError, match="is not a time"):
            parse_time(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("800x600", (600, 800)), ("512", (512, 512)), (" 3 × 4 ", (4, 3)), ("32768", (32768, 32768))],
)
def test_sizes_are_width_by_height(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "0x5", "5x0", "32769", "800x", "8cm", "-3x4", "1e3"])
def test_nonsense_sizes(text):
    with pytest.raises(SettingsError, match="is not a size in px from 1 to 32768; write it"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "paper", "dpi", "side"),
    [
        ((3000, 4000), "40x30cm", 300, 4724),
        ((4000, 3000), "40x30cm", 300, 4724),
        ((3000, 4000), "30x40cm", None, 4724),
        ((1000, 1000), "400x300mm", 300, 3543),
        ((1000, 4000), "10x10in", 100, 1000),
    ],
)
def test_a_print_fits_its_paper(size, paper, dpi, side):
    assert long_side_for_print(size, parse_print(paper), dpi) == side


def test_bad_prints():
    for text in ("", "40", "40x30", "40x30 yards", "0x30cm", "-4x3cm"):
        with pytest.raises(SettingsError, match="is not a size; write it like 40x30cm"):
            parse_print(text)
    for dpi in (0, -3, 1e9, float("nan")):
        with pytest.raises(SettingsError, match="dpi"):
            PrintOptions(dpi=dpi)
    paper = PrintOptions(paper=parse_print("1x1in"))
    with pytest.raises(SettingsError, match="both determine the size"):
        paper.check({"long_side": 3})
    paper.check({"steps": 3})
    assert (paper.paper, paper.resolution) == ((1.0, 1.0), 300.0)
    assert PrintOptions().resolution is None
