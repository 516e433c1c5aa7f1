"""Anamorphic clips: the painted clip keeps its shape, and pictures of its frames are not bent."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch

from clip_samples import make_clip
from impasto.pictures.files import load_image
from impasto.video.io.frames import open_clip, read_frames
from impasto.video.preview import contact_sheet

pytest.importorskip("cv2")

SMALL = ("--long-side", 64, "--steps", 1, "--frame-steps", 1, "--threads", 1)


@pytest.fixture
def clip(tmp_path) -> Path:
    """64 x 48 px, each 4/3 as wide as high."""
    return make_clip(tmp_path / "clip.mp4", aspect=Fraction(4, 3), ticks=[0, 25])


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
def test_a_painted_clip_keeps_its_shape(clip, painting_file, command, name, tmp_path):
    outcome = command("video", clip, painting_file, "-o", tmp_path / name, *SMALL)
    assert outcome.code == 0, outcome.err
    painted = open_clip(tmp_path / name)
    assert (painted.size, painted.aspect) == ((48, 64), Fraction(4, 3))
    assert "not square" not in outcome.err


@pytest.mark.parametrize("words", [("out",), ("out.mp4", "--frames", "out")])
def test_a_folder_of_frames_says_that_they_look_narrow(
    clip, painting_file, command, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    outcome = command("video", clip, painting_file, "-o", *words, *SMALL)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count(
        "the pixels of clip.mp4 are not square, which PNG files cannot say: the frames look too "
        "narrow; their right width is 4/3 of it"
    ) == 1  # fmt: skip


@pytest.mark.parametrize(
    ("aspect", "size"), [((4, 3), (48, 85)), ((3, 4), (64, 64)), ((1, 1), (48, 64))]
)
def test_a_sheet_of_frames_shows_the_right_shape(aspect, size, tmp_path):
    clip = open_clip(make_clip(tmp_path / "a.mp4", aspect=Fraction(*aspect), ticks=[0, 25]))
    frames = [(frame, torch.ones_like(frame.image)) for frame in read_frames(clip)]
    plain = contact_sheet([(frame, torch.ones(1, 3, *size)) for frame in _square(frames)])
    assert contact_sheet(frames).shape == plain.shape


def _square(frames: list) -> list:
    from dataclasses import replace

    return [replace(frame, aspect=Fraction(1)) for frame, _ in frames]


def test_the_sheet_of_the_command_line(clip, painting_file, command, tmp_path):
    out = tmp_path / "sheet.png"
    outcome = command("video", clip, painting_file, "--preview", out, *SMALL)
    assert outcome.code == 0, outcome.err
    assert load_image(out).shape[-1] > 85
