"""A photo was replaced by its own pastiche: `-o photo.jpg --force`, or through a link to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import impasto
from helpers import assert_clear_error, left_half, saved, tree
from impasto.errors import SettingsError
from impasto.pictures.files import save_image
from impasto.settings.pictures import Settings
from impasto.settings.recipes import settings_file

SMALL = ("--long-side", 32, "--steps", 2, "--threads", 1, "--force")


@pytest.fixture
def files(tmp_path, photo, painting) -> Path:
    """A folder with one input of every kind."""
    rng = np.random.default_rng(0)
    save_image(photo, tmp_path / "photo.png")
    save_image(photo.flip(-1), tmp_path / "init.png")
    save_image(painting, tmp_path / "style.png")
    save_image(left_half().expand(-1, 3, -1, -1), tmp_path / "mask.png")
    (tmp_path / "my.toml").write_text(settings_file(Settings(steps=2)), encoding="utf-8")
    for folder in ("clip", "masks"):
        (tmp_path / folder).mkdir()
        for number in (1, 2):
            pixels = rng.integers(0, 256, (32, 40, 3), np.uint8)
            saved(pixels, tmp_path / folder / f"frame-{number:06d}.png")
    return tmp_path


def refused(outcome, folder: Path, before: dict, *words: str) -> None:
    assert_clear_error(outcome, "inputs are never overwritten", *words)
    assert tree(folder) == before


STYLIZE = ("stylize", "photo.png", "style.png", "-o", "out.png", *SMALL)


@pytest.mark.parametrize(
    ("words", "flag", "name"),
    [
        (("stylize", "photo.png", "style.png", "-o", "photo.png", *SMALL), "--output", "photo.png"),
        (("stylize", "photo.png", "style.png", "-o", "style.png", *SMALL), "--output", "style.png"),
        ((*STYLIZE, "--mask", "not:mask.png", "--plot", "mask.png"), "--plot", "mask.png"),
        ((*STYLIZE, "--content-mask", "mask.png", "--plot", "mask.png"), "--plot", "mask.png"),
        ((*STYLIZE, "--style-mask", "mask.png", "--plot", "mask.png"), "--plot", "mask.png"),
        ((*STYLIZE, "--regions", "mask.png", "--plot", "mask.png"), "--plot", "mask.png"),
        (
            (*STYLIZE, "--regions", "a.png", "--style-regions", "mask.png", "--plot", "mask.png"),
            "--plot",
            "mask.png",
        ),
        ((*STYLIZE, "--init", "init.png", "--plot", "init.png"), "--plot", "init.png"),
        ((*STYLIZE, "--recipe", "my.toml", "--save-settings", "my.toml"), "--save-", "my.toml"),
        ((*STYLIZE, "--settings", "my.toml", "--save-settings", "my.toml"), "--save-", "my.toml"),
        ((*STYLIZE, "--schedule", "my.toml", "--save-settings", "my.toml"), "--save-", "my.toml"),
        ((*STYLIZE, "--timelapse", "link.gif"), "--timelapse", "photo.png"),
        (("texture", "style.png", "-o", "style.png", "-f"), "--output", "style.png"),
        (("reconstruct", "photo.png", "-o", "photo.png", "-f"), "--output", "photo.png"),
        (("reconstruct", "photo.png", "--sheet", "-o", "photo.png", "-f"), "--output", "photo.png"),
        (("dream", "photo.png", "-o", "photo.png", "-f"), "--output", "photo.png"),
        (("recolor", "photo.png", "style.png", "-o", "style.png", "-f"), "--output", "style.png"),
        (("blend", "photo.png", "style.png", "init.png", "-o", "init.png", "-f"),
         "--output", "init.png"),
        (("video", "clip", "style.png", "-o", "clip", *SMALL), "--output", "clip"),
        (("video", "clip", "style.png", "-o", "o.mp4", "--frames", "clip", *SMALL), "--frames",
         "clip"),
        (("video", "clip", "clip/frame-000001.png", "-o", "clip/../clip", *SMALL), "--output",
         "clip"),
        (("video", "clip", "style.png", "--preview", "clip/frame-000002.png", *SMALL),
         "--preview", "frame-000002.png"),
        (("video", "clip", "style.png", "--mask", "masks", "-o", "masks", *SMALL), "--output",
         "masks"),
        (("video", "clip", "masks/frame-000001.png", "-o", "o.mp4", "--frames", "masks", *SMALL),
         "--frames", "frame-000001.png"),
    ],
)  # fmt: skip
def test_no_command_replaces_what_it_reads(words, flag, name, command, files, monkeypatch):
    monkeypatch.chdir(files)
    (files / "link.gif").symlink_to("photo.png")
    before = tree(files)
    refused(command(*words), files, before, flag, name)


def links(folder: Path) -> dict[str, Path]:
    """Other names of photo.png."""
    (folder / "symbolic.png").symlink_to("photo.png")
    (folder / "twice.png").symlink_to(folder / "symbolic.png")
    (folder / "hard.png").hardlink_to(folder / "photo.png")
    (folder / "elsewhere").symlink_to(folder, target_is_directory=True)
    return {
        "symbolic": folder / "symbolic.png",
        "link to a link": folder / "twice.png",
        "hard": folder / "hard.png",
        "folder": folder / "elsewhere" / "photo.png",
        "dots": folder / "clip" / ".." / "photo.png",
        "relative": Path("photo.png"),
        "relative dots": Path("clip/../photo.png"),
    }


@pytest.mark.parametrize(
    "kind", ["symbolic", "link to a link", "hard", "folder", "dots", "relative", "relative dots"]
)
@pytest.mark.parametrize("turned", [False, True])
def test_links_and_other_spellings_are_seen_through(kind, turned, command, files, monkeypatch):
    """Also the reverse: the run reads the link, and would write the file that it points to."""
    monkeypatch.chdir(files)
    read, write = files / "photo.png", links(files)[kind]
    if turned:
        read, write = write, read
    before = tree(files / "masks")
    data = (files / "photo.png").read_bytes()
    outcome = command("stylize", read, files / "style.png", "-o", write, *SMALL)
    refused(outcome, files / "masks", before, "--output", str(write))
    assert (files / "photo.png").read_bytes() == data


def test_a_folder_of_step_pictures_that_holds_the_photo(command, files):
    """--frames deletes the step pictures of an older run; one of them is the photo."""
    (files / "steps").mkdir()
    shutil.copy(files / "photo.png", files / "steps" / "step-02.png")
    words = ("stylize", files / "steps" / "step-02.png", files / "style.png")
    before = tree(files)
    outcome = command(*words, "-o", files / "out.png", "--frames", files / "steps", *SMALL)
    refused(outcome, files, before, "--frames", "step-02.png")


def test_the_folder_of_frames_beside_a_clip_that_holds_the_style(command, files):
    store = files / "out.mp4.frames"
    (store / "stage-1").mkdir(parents=True)
    for place in (store, store / "stage-1"):
        style = place / "frame-000001.png"
        shutil.copy(files / "style.png", style)
        before = tree(files)
        outcome = command("video", files / "clip", style, "-o", files / "out.mp4", *SMALL)
        refused(outcome, files, before, "--output", "frame-000001.png")
        style.unlink()


def test_redo_replaces_neither_the_picture_nor_what_it_was_made_from(command, files):
    words = ("stylize", files / "photo.png", files / "style.png", "--init", files / "init.png")
    assert command(*words, "-qo", files / "out.png", *SMALL).code == 0
    before = tree(files)
    for name in ("out.png", "photo.png", "style.png", "init.png"):
        refused(command("redo", files / "out.png", "-fo", files / name), files, before, name)


def test_a_sound_stays(command, files):
    pytest.importorskip("soundfile")
    from impasto.audio.files import save_sound
    from sound_samples import melody, rattle

    save_sound(melody(), files / "melody.wav")
    save_sound(rattle(), files / "rattle.wav")
    before = tree(files)
    for name in ("melody.wav", "rattle.wav"):
        words = ("audio", files / "melody.wav", files / "rattle.wav", "-fo", files / name)
        refused(command(*words), files, before, "--output", name)


def test_weights_stay(command, files):
    """A weights file is no picture, but a link can have any name."""
    (files / "net.safetensors").write_bytes(b"weights")
    (files / "out.png").symlink_to("net.safetensors")
    before = tree(files)
    words = ("stylize", files / "photo.png", files / "style.png", "-o", files / "out.png", *SMALL)
    outcome = command(*words, "--weights", files / "net.safetensors")
    refused(outcome, files, before, "--output", "net.safetensors")


def test_streams_are_files_too(files):
    """`stylize - style.png -o photo.png < photo.png`, and `-o - >> photo.png`."""
    environment = {**os.environ, "PYTHONPATH": str(Path(impasto.__file__).parent.parent)}
    program = [sys.executable, "-m", "impasto", "recolor"]
    before = tree(files)
    with (files / "photo.png").open("rb") as photo:
        read = subprocess.run(
            [*program, "-", "style.png", "-fo", "photo.png"], stdin=photo, cwd=files,
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    with (files / "photo.png").open("ab") as photo:
        appended = subprocess.run(
            [*program, "photo.png", "style.png", "-o", "-"], stdout=photo, cwd=files,
            env=environment, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    for outcome in (read, appended):
        assert outcome.returncode == 1
        assert "inputs are never overwritten" in outcome.stderr
    assert tree(files) == before


def test_the_bundled_pictures_stay(command, examples, tmp_path):
    before = tree(examples)
    outcome = command("demo", "-fo", examples / "neuschwanstein.jpg")
    refused(outcome, examples, before, "--output", "neuschwanstein.jpg")
    (tmp_path / "neuschwanstein.jpg").symlink_to(examples / "neuschwanstein.jpg")
    refused(command("examples", tmp_path, "--force"), examples, before, "neuschwanstein.jpg")


def test_from_python_a_clip_stays(files):
    pytest.importorskip("av")
    from impasto.video.io.frames import open_clip, write_clip
    from impasto.video.stylize_video import plan_video

    before = tree(files)
    for output, frames in ((files / "clip", None), (files / "out.mp4", files / "clip")):
        with pytest.raises(SettingsError, match="inputs are never overwritten"):
            plan_video(files / "clip", files / "style.png", output, frames=frames, overwrite=True)
    clip = open_clip(files / "clip")
    with pytest.raises(SettingsError, match="overwrit"), write_clip(files / "clip", clip):
        pass
    assert tree(files) == before


def test_other_files_may_be_replaced(command, files):
    """A folder can have the name of a recipe or of a start, and devices do not count as inputs."""
    (files / "out.png").write_bytes(b"old")
    (files / "link.png").symlink_to("out.png")
    outcome = command(
        "recolor", files / "photo.png", files / "style.png", "-fo", files / "link.png"
    )
    assert outcome.code == 0, outcome.err
    assert (files / "out.png").read_bytes() != b"old"
    assert (files / "link.png").is_symlink()
    words = ("stylize", files / "photo.png", files / "style.png", "-o", files / "new.png", *SMALL)
    for folder in ("content", "default"):
        outcome = command(*words, "--frames", files / folder)
        assert outcome.code == 0, outcome.err
    from impasto.storage import check_results

    check_results([("the content", os.devnull)], [("--output", os.devnull)])


def test_two_names_of_one_file_are_two_results_too(command, files):
    (files / "a.png").write_bytes(b"old")
    (files / "b.png").symlink_to("a.png")
    words = ("stylize", files / "photo.png", files / "style.png", "-o", files / "a.png", *SMALL)
    before = tree(files)
    outcome = command(*words, "--plot", files / "b.png")
    assert_clear_error(outcome, "named for two results", "--output", "--plot")
    assert tree(files) == before


def test_from_python_no_clip_is_written_over_itself(tmp_path):
    """Neither under its own name nor through a link; nor over one of its frames."""
    pytest.importorskip("av")
    from clip_samples import make_clip
    from impasto.video.io.frames import open_clip, write_clip

    path = make_clip(tmp_path / "clip.mp4")
    (tmp_path / "link.mp4").symlink_to(path)
    (tmp_path / "hard.mp4").hardlink_to(path)
    before = tree(tmp_path)
    for name in ("clip.mp4", "link.mp4", "hard.mp4"):
        with (
            pytest.raises(SettingsError, match="inputs are never overwritten"),
            write_clip(tmp_path / name, open_clip(path)),
        ):
            pass
    assert tree(tmp_path) == before


def test_a_folder_for_frames_keeps_what_is_not_of_a_run(command, files):
    """The folders of an earlier run's passes are called stage-1, …; this one is of a theater."""
    pytest.importorskip("cv2")
    kept = files / "theater" / "stage-design" / "plan.txt"
    notes = files / "theater" / "stage-1" / "notes.txt"
    for path in (kept, notes):
        path.parent.mkdir(parents=True)
        path.write_text("mine", encoding="utf-8")
    old = files / "theater" / "stage-1" / "frame-000001.png"
    shutil.copy(files / "style.png", old)
    outcome = command(
        "video", files / "clip", files / "style.png", "-qo", files / "theater", "--frame-steps", 1,
        "--passes", 2, *SMALL,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert kept.read_text(encoding="utf-8") == notes.read_text(encoding="utf-8") == "mine"
    assert not old.exists()
    assert len([*(files / "theater").glob("frame-*.png")]) == 2
    assert not [*(files / "theater").glob("stage-2"), *(files / "theater").glob("stage-photos")]
