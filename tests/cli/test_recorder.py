"""What is kept of a run: pictures, a film, curves; checked before the run, written whole."""

from __future__ import annotations

import io
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from helpers import assert_clear_error, tree
from impasto.cli.recorder import Recorder, plot_losses
from impasto.errors import DivergenceError, ImageError, SettingsError, ShapeError, install_hint
from impasto.pictures.files import load_picture
from impasto.pictures.films import as_frame, check_film, film, sheet
from impasto.settings.command_flags import RecordOptions

SMALL = ("--long-side", 48, "--coarsest", 32, "--steps", 5, "--threads", 1, "--quiet")
FRAMES = [np.full((25, 31, 3), value, np.uint8) for value in (0, 90, 255)]
HISTORY = [
    {"step": 1, "level": 1, "seconds": 0.1, "content": 0.0, "style": 9.0, "tv": 0.0, "total": 9.0,
     "layers": {"content relu4_2": 0.0, "style relu1_1": 6.0, "style relu2_1": 3.0, "tv": 0.0}},
    {"step": 2, "level": 2, "seconds": 0.2, "content": 1.0, "style": 4.0, "tv": 0.0, "total": 5.0,
     "layers": {"content relu4_2": 1.0, "style relu1_1": 2.0, "style relu2_1": 2.0, "tv": 0.0}},
]  # fmt: skip


@pytest.fixture
def stylize(command, photo_file, painting_file, tmp_path):
    def call(*words):
        return command(
            "stylize", photo_file, painting_file, "-o", tmp_path / "out.png", *SMALL, *words
        )

    return call


def played(data):
    with PillowImage.open(io.BytesIO(data)) as picture:
        sizes = []
        for index in range(getattr(picture, "n_frames", 1)):
            picture.seek(index)
            picture.load()  # WebP tells only then
            sizes.append((picture.size, picture.info["duration"]))
    return sizes


def test_frames_are_of_one_size_and_numbered(stylize, tmp_path):
    folder = tmp_path / "a" / "frames"
    outcome = stylize("--every", 2, "--frames", folder)
    assert outcome.code == 0, outcome.err
    names = [path.name for path in sorted(folder.iterdir())]
    assert names == ["step-1.png", "step-2.png", "step-4.png", "step-5.png"]
    assert {load_picture(path).size for path in folder.iterdir()} == {(38, 48)}
    last = load_picture(folder / "step-5.png").image
    assert torch.equal(last, load_picture(tmp_path / "out.png").image)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_film_of_the_run(suffix, stylize, tmp_path):
    path = tmp_path / f"film{suffix}"
    outcome = stylize("--every", 2, "--timelapse", path)
    assert outcome.code == 0, outcome.err
    frames = played(path.read_bytes())
    assert [size for size, _ in frames] == [(48, 38)] * 4
    assert frames[-1][1] > 10 * frames[0][1]  # the result stays


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_frames_come_back_from_a_film(suffix):
    with PillowImage.open(io.BytesIO(film(FRAMES, suffix))) as picture:
        for index, frame in enumerate(FRAMES):
            picture.seek(index)
            shown = np.asarray(picture.convert("RGB"), dtype=int)
            assert np.abs(shown - frame).max() <= 3


def test_an_mp4_has_even_sides_and_all_frames():
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(film(FRAMES, ".mp4"))) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert shown[0].shape == (26, 32, 3)
    assert len(shown) == 2 + 24
    assert abs(int(shown[1][5, 5, 0]) - 90) < 8


def test_bad_films():
    with pytest.raises(
        ImageError, match=r"the film cannot be written: films are written as \.gif, \.webp, \.mp4"
    ):
        film(FRAMES, ".avi")
    with pytest.raises(ShapeError, match="one size"):
        film([], ".gif")
    with pytest.raises(ShapeError, match="one size"):
        film([FRAMES[0], FRAMES[0][1:]], ".gif")


def test_large_pictures_are_filmed_smaller(monkeypatch, tmp_path):
    monkeypatch.setattr("impasto.cli.recorder._FILM_SIDE", 20)
    recorder = Recorder(RecordOptions(timelapse=tmp_path / "film.gif"), (24, 40))

    class Step:
        index, count, image = 1, 9, torch.rand(1, 3, 12, 20)

    recorder.watch(Step())
    assert recorder.frames[0].shape == (12, 20, 3)


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_curves(suffix, start, stylize, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"losses{suffix}"
    outcome = stylize("--plot", path)
    assert outcome.code == 0, outcome.err
    assert path.read_bytes().startswith(start)


def test_every_term_and_every_layer_has_its_curve():
    pytest.importorskip("matplotlib")
    text = plot_losses(HISTORY, ".svg").decode()
    for name in ("content", "style", "total", "content relu4_2", "style relu1_1", "style relu2_1"):
        assert f"<!-- {name} -->" in text
    assert "<!-- tv -->" not in text  # a term that is 0 has no place on a logarithmic scale


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--every", 2), ("--every", "--frames FOLDER or --timelapse FILE")),
        (("--timelapse", "TMP/film.avi"), ("film.avi", ".gif, .webp, .mp4")),
        (("--timelapse", "TMP/film"), ("film", ".gif, .webp, .mp4")),
        (("--plot", "TMP/losses.jpg"), ("losses.jpg", ".png, .svg, .pdf")),
        (("--timelapse", "TMP/photo.png/film.gif"), ("film.gif", "a part of its folder is a file")),
        (("--frames", "TMP/photo.png"), ("photo.png",)),
    ],
)
def test_what_is_wrong_is_found_before_the_run(words, said, stylize, tmp_path):
    before = tree(tmp_path)
    outcome = stylize(*(str(word).replace("TMP", str(tmp_path)) for word in words))
    assert_clear_error(outcome, *said)
    assert tree(tmp_path) == before


def test_frames_of_an_older_run_do_not_stay(stylize, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    others = ["step-by-step.png", "step-1.jpg", "my-step-1.png", "step-1.png.txt"]
    for name in ("step-0003.png", "step-777.png", *others):
        (folder / name).write_bytes(b"older")
    before = tree(folder)
    assert_clear_error(stylize("--frames", folder), "has frames already", "--force replaces them")
    words = ("--frames", folder, "--force")
    assert_clear_error(stylize(*words, "--style-weight", "1e300"), "the loss became")
    assert tree(folder) == before  # nothing new, so nothing old is lost
    assert stylize(*words, "--every", 5).code == 0
    assert sorted(tree(folder)) == sorted(["step-1.png", "step-5.png", *others])
    for name in ("step-1.png", "step-5.png"):
        (folder / name).unlink()
    (tmp_path / "out.png").unlink()
    assert stylize(*words[:2]).code == 0  # files of others are no frames


@pytest.mark.parametrize("option", ["--timelapse", "--plot", "--frames"])
def test_old_files_are_replaced_with_force_only(option, stylize, tmp_path):
    name = {"--timelapse": "film.gif", "--plot": "losses.png", "--frames": "step-1.png"}[option]
    (tmp_path / name).write_bytes(b"precious")
    target = tmp_path if option == "--frames" else tmp_path / name
    outcome = stylize(option, target)
    assert_clear_error(outcome, "--force replaces")
    assert (tmp_path / name).read_bytes() == b"precious"
    assert stylize(option, target, "--force").code == 0
    assert (tmp_path / name).read_bytes() != b"precious"


@pytest.mark.parametrize(
    ("module", "words", "extra"),
    [
        ("av", ("--timelapse", "film.mp4"), "video"),
        ("matplotlib", ("--plot", "losses.png"), "plot"),
    ],
)
def test_a_missing_extra_is_named(module, words, extra, stylize, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    before = tree(tmp_path)
    assert_clear_error(stylize(words[0], tmp_path / words[1]), install_hint(extra))
    assert tree(tmp_path) == before


def test_without_the_extra_other_films_are_made(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    check_film(".gif", "film.gif")
    with pytest.raises(SettingsError, match=re.escape(install_hint("video"))):
        check_film(".MP4", "film.MP4")


def test_a_run_that_diverges_leaves_its_film(stylize, tmp_path, monkeypatch):
    from impasto.painting.picture_plan import PicturePlan

    whole = PicturePlan.steps

    def breaking(self, *inputs, **options):
        for step in whole(self, *inputs, **options):
            yield step
            if step.index == 3:
                raise DivergenceError("the loss became inf", step.image)

    monkeypatch.setattr(PicturePlan, "steps", breaking)
    assert stylize("--every", 1, "--timelapse", tmp_path / "film.gif").code == 1
    assert len(played((tmp_path / "film.gif").read_bytes())) == 3


def test_a_sheet_has_every_picture_in_its_place():
    cells = [("a", torch.zeros(1, 3, 10, 20)), ("b", torch.full((1, 3, 10, 20), 0.4))]
    paper = sheet([cells, cells[::-1]])
    assert paper.shape == (1, 3, 8 + 2 * (10 + 18 + 8), 8 + 2 * (20 + 8))
    assert paper[0, 0, 12, 12] == 0
    assert abs(float(paper[0, 0, 12, 40]) - 0.4) < 0.01
    assert paper[0, 0, 2, 2] == 1


def test_a_frame_is_8_bit():
    frame = as_frame(torch.full((1, 3, 4, 5), 0.5))
    assert (frame.shape, frame.dtype, int(frame[0, 0, 0])) == ((4, 5, 3), np.uint8, 128)
