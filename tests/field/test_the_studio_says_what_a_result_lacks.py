"""The studio named flags of the command line, and put a transparent picture on white silently."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from clip_samples import make_clip
from impasto.pictures.files import load_image, load_picture
from impasto.studio.jobs.requests import Request, describe_settings, without_flags
from impasto.studio.jobs.results import result_file
from impasto.video.io.pixels import Colors
from studio_harness import (
    SMALL,
    make_jobs,
    picture_bytes,
    upload_clip,
    upload_picture,
    wait_for_state,
    working,
)

pytest.importorskip("av")
pytest.importorskip("cv2")


@pytest.fixture
def jobs(tmp_path):
    return make_jobs(tmp_path / "studio")


def painted(jobs, kind: str, pictures: dict, **settings) -> object:
    """Paint a job to its end."""
    options = {"frame_steps": 1} if kind == "video" else {}
    settings = {} if kind == "recolor" else {**SMALL, "steps": 1, **settings}
    request = Request(kind=kind, pictures=pictures, settings=settings, options=options)
    with working(jobs):
        done = wait_for_state(jobs, jobs.create(request, "me").id, "done", "failed")
    assert done.error == ""
    return done


def test_a_note_about_a_bright_clip_names_the_option_of_the_studio(jobs, tmp_path):
    path = make_clip(
        tmp_path / "clip.mp4", codec="libx265", format="yuv420p10le", colors=Colors(9, False, 9, 18)
    )
    pictures = {
        "clip": upload_clip(jobs, path.read_bytes()).id,
        "styles": [upload_picture(jobs, picture_bytes(2, (36, 34))).id],
    }
    (note,) = painted(jobs, "video", pictures, long_side=64).notes
    assert note.startswith("clip.mp4 is of high dynamic range (HLG); the result is BT.709")
    assert note.endswith("(keep_hdr keeps the range)")
    assert "keep_hdr" in {row["name"] for row in describe_settings("video")}


def test_options_are_named_as_requests_name_them():
    for text, expected in {
        "leave out keep_hdr (--keep-hdr)": "leave out keep_hdr",
        "leave it out: --no-sound (sound=False)": "leave it out: sound=False",
        "x.mp4: --keep-hdr changes nothing": "x.mp4: keep_hdr changes nothing",
        "a--sound.mp4 and --recipes are no options": "a--sound.mp4 and --recipes are no options",
        "lower --frame-steps": "lower frame_steps",
    }.items():
        assert without_flags(text, "video") == expected


@pytest.mark.parametrize("kind", ["stylize", "recolor"])
def test_a_transparent_result_says_that_its_jpeg_is_on_white(jobs, kind):
    values = np.random.default_rng(3).integers(0, 200, (32, 40, 4), dtype=np.uint8)
    values[..., 3] = 255
    values[8:24, 10:30, 3] = 0
    buffer = io.BytesIO()
    PillowImage.fromarray(values).save(buffer, "png")
    style = upload_picture(jobs, picture_bytes(2, (36, 34))).id
    plain = {"content": upload_picture(jobs, picture_bytes(1)).id, "styles": [style]}
    clear = {"content": upload_picture(jobs, buffer.getvalue()).id, "styles": [style]}
    assert painted(jobs, kind, plain).notes == []
    done = painted(jobs, kind, clear)
    assert done.notes == ["JPG holds no transparency: transparent pixels become white"]
    for suffix in (".png", ".tiff"):
        alpha = load_picture(result_file(jobs.store, done.id, suffix)).alpha
        assert alpha is not None
        assert bool((alpha == 0).any())
    white = load_image(result_file(jobs.store, done.id, ".jpg"))
    height, width = white.shape[-2:]
    middle = white[..., height // 2 - 2 : height // 2 + 2, width // 2 - 2 : width // 2 + 2]
    assert torch.all(middle > 0.98)
