"""For a PNG with an unusable color profile, impasto printed a path of Python's, also with -q."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from impasto.errors import ImageWarning
from impasto.pictures import profiles
from impasto.pictures.files import load_picture


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    path = tmp_path / "badicc.png"
    PIL.Image.fromarray(values).save(path, icc_profile=b"\0" * 200)
    return path


@pytest.mark.parametrize("verb", ["stylize", "texture", "recolor", "plan"])
def test_one_line_of_ours_and_nothing_with_q(verb: str, bad: Path, tmp_path: Path, command) -> None:
    words: list[object] = [verb, bad, bad]
    if verb == "texture":
        words = [verb, bad]
    if verb != "plan":
        words += ["-o", tmp_path / "out.png", "--force"]
    words += ["--size" if verb == "texture" else "--long-side", "32"]
    if verb in ("stylize", "texture"):
        words += ["--steps", "1"]
    loud, quiet = command(*words), command(*words, "-q")
    assert loud.code == quiet.code == 0, loud.err
    lines = [line for line in loud.err.splitlines() if "profile" in line]
    assert len(lines) == 1, loud.err
    assert lines[0].startswith(f"Warning: {bad}: its color profile cannot be used")
    assert ".py" not in loud.err
    assert quiet.err == ""


def test_a_log_that_is_not_utf8_prints_no_traceback(capfd, monkeypatch) -> None:
    ignored: list[object] = []  # exceptions of which Python would print a traceback
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    pyvips = profiles.vips()
    domain, message = (pyvips.ffi.new("char[]", text) for text in (b"VIPS", b"tag \xff\xfe\x80"))
    pyvips._log_handler_cb(domain, pyvips.GLogLevelFlags.LEVEL_WARNING, message, pyvips.ffi.NULL)
    assert ignored == []
    assert capfd.readouterr().err == ""


def test_a_damaged_profile_in_every_format_warns_once(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for suffix in ("png", "tiff", "jpeg", "webp"):
        file = io.BytesIO()
        PIL.Image.fromarray(values).save(file, suffix, icc_profile=b"\0" * 200)
        with pytest.warns(ImageWarning, match="color profile cannot be used") as caught:
            load_picture(io.BytesIO(file.getvalue()))
        assert len(caught) == 1
