"""Messages gave wrong advice, such as flags of other programs, or had bad grammar."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

import impasto
from helpers import assert_clear_error, tree
from impasto import errors
from impasto.cli.commands.stylize import stylize_command
from impasto.cli.typer_flags import option_sets
from impasto.errors import ImageError, SettingsError, WeightsError, counted, install_hint
from impasto.network.weights import load_weights
from impasto.painting.inputs import load_inputs
from impasto.settings.options import check_pairs, flag_name, show_default
from impasto.settings.pictures import Settings

SMALL = ("--long-side", 32, "--steps", 2, "--threads", 1)


# ---- weights ------------------------------------------------------------------------------------


class Anything:
    """An object that a file of weights may hold."""


@pytest.mark.parametrize("kind", ["object", "module", "cut", "text", "zip", "pickle"])
def test_weights_that_torch_refuses(kind, tmp_path):
    path = tmp_path / "weights.pth"
    if kind == "object":
        torch.save({"features.0.weight": torch.zeros(1), "other": Anything()}, path)
    elif kind == "module":
        torch.save(torch.nn.Conv2d(3, 4, 3), path)
    elif kind == "cut":
        torch.save({"features.0.weight": torch.zeros(1000)}, path)
        path.write_bytes(path.read_bytes()[:-300])
    elif kind == "text":
        path.write_text("Dear diary,\n")
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a.txt", "b")
    else:
        path.write_bytes(pickle.dumps({"a": Anything()}))
    with pytest.raises(WeightsError) as caught:
        load_weights("vgg19", path)
    said = str(caught.value)
    assert "weights_only" not in said
    assert "torch.load" not in said
    assert "trust" not in said
    if kind in ("object", "module"):
        assert "holds a Python object" in said
        assert "torch.save(model.state_dict()" in said
    else:
        assert said == f"{path} is damaged, or not a file of weights (.pth, .h5 or .safetensors)"


def test_the_advice_for_weights_works(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(torch.nn.Conv2d(3, 4, 3).state_dict(), path)
    with pytest.raises(WeightsError, match="does not hold the convolutions"):  # it was read
        load_weights("vgg19", path)


# ---- strips -------------------------------------------------------------------------------------


def drawn(width: int, height: int, path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    PillowImage.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("size", [(600, 40), (40, 600), (1000, 9), (301, 20), (5000, 8)])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_strip_as_a_painting(size, scale, photo, tmp_path):
    strip = drawn(*size, tmp_path / "strip.png")
    settings = Settings(long_side=64, style_scale=scale)
    with pytest.raises(ImageError, match=r"strip.png: .*, is too small") as caught:
        load_inputs(photo, strip, settings)
    said = str(caught.value)
    assert "larger picture" not in said
    wanted = float(re.search(r"a style_scale of at least ([\d.]+)", said)[1])
    load_inputs(photo, strip, settings.replace(style_scale=wanted))  # the remedy works
    with pytest.raises(ImageError):  # and is the smallest, to 3 %
        load_inputs(photo, strip, settings.replace(style_scale=0.97 * wanted - 0.01))
    assert "crop it" in said
    with PillowImage.open(strip) as picture:
        picture.crop((0, 0, min(size), min(size))).save(strip)
    load_inputs(photo, strip, settings)


@pytest.mark.parametrize("size", [(600, 40), (40, 600), (1000, 9)])
def test_a_strip_as_a_photo(size, painting, tmp_path):
    strip = drawn(*size, tmp_path / "strip.png")
    settings = Settings(long_side=64)
    with pytest.raises(ImageError, match=r"strip.png: .*, is too small") as caught:
        load_inputs(strip, painting, settings)
    wanted = int(re.search(r"a long_side of at least (\d+)", str(caught.value))[1])
    load_inputs(strip, painting, settings.replace(long_side=wanted))
    with pytest.raises(ImageError):
        load_inputs(strip, painting, settings.replace(long_side=wanted - 1))


def test_a_strip_whose_file_is_too_small(photo, tmp_path):
    strip = drawn(600, 7, tmp_path / "strip.png")
    with pytest.raises(ImageError, match="; use a larger picture or shallower layers") as caught:
        load_inputs(photo, strip, Settings(long_side=64))
    assert "style_scale" not in str(caught.value)
    load_inputs(photo, strip, Settings(long_side=600, content_layers=("relu1_2",),
                                       style_layers=("relu1_1",)))  # fmt: skip


# ---- extras -------------------------------------------------------------------------------------


def test_an_install_hint_is_one_word_for_every_shell():
    for extra in ("video", "heic", "plot", "audio", "studio", "fast", "raft"):
        hint = install_hint(extra)
        words = shlex.split(hint)
        assert words[:2] == ["pip", "install"]
        assert words[-1].endswith(f"[{extra}]")
        assert '"' in hint  # cmd.exe has no other quotes


def test_from_a_clone_the_hint_names_its_folder():
    """The name alone could be that of another project in the index."""
    words = shlex.split(install_hint("video"))
    folder = Path(impasto.__file__).resolve().parents[2]
    if not (folder / "pyproject.toml").is_file():
        pytest.skip("installed, not a clone")
    assert words == ["pip", "install", "-e", f"{folder}[video]"]


def test_elsewhere_the_hint_names_the_project(monkeypatch, tmp_path):
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "site-packages/impasto/errors.py"))
    assert install_hint("video") == 'pip install "impasto[video]"'


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_zsh_takes_the_hint_as_it_is():
    shown = subprocess.run(
        ["zsh", "-c", install_hint("video").replace("pip", "echo", 1)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.strip().endswith("[video]")


def test_every_hint_in_the_code_comes_from_one_place():
    package = Path(impasto.__file__).parent
    for path in package.rglob("*.py"):
        if path.name == "errors.py":
            continue
        assert not re.search(r"pip install '?\"?impasto", path.read_text(encoding="utf-8")), path


# ---- one and many -------------------------------------------------------------------------------


def test_counted():
    assert [counted(n, "frame") for n in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]


def test_one_style_and_one_number(command, photo_file, painting_file, tmp_path):
    stylize = ("stylize", photo_file, painting_file, "-o", tmp_path / "out.png")
    outcome = command("blend", photo_file, painting_file, "-o", tmp_path / "sheet.png")
    assert_clear_error(outcome, "Error: 1 style given; a blend needs two styles")
    outcome = command(*stylize, "--style-layers", "relu1_1", "--style-layer-weights", "1,2")
    assert_clear_error(outcome, "has 2 numbers for 1 layer (relu1_1)")
    outcome = command(*stylize, "--style-layer-weights", "1")
    assert_clear_error(outcome, "has 1 number for 4 layers")
    with pytest.raises(SettingsError, match="for 1 style: give"):
        Settings(style_weight=(1.0, 2.0)).per_style("style_weight", 1)
    with pytest.raises(SettingsError, match="for 0 styles"):
        check_pairs("mask", ["m.png"], [])


def test_one_step(command, photo_file, painting_file, tmp_path):
    out = tmp_path / "out.png"
    assert command("stylize", photo_file, painting_file, "-o", out, *SMALL, "--steps", 1).code == 0
    from impasto.pictures.files import load_image, read_metadata, save_image

    noted = read_metadata(out)
    save_image(load_image(out), out, metadata={**noted, "finished": False, "steps": 0})
    outcome = command("redo", out, "--threads", 1)
    assert "was stopped after 0 of its 1 step;" in outcome.err


# ---- what "none" and "-" mean --------------------------------------------------------------------


def test_none_is_accepted_where_the_help_shows_it(command, photo_file, painting_file, tmp_path):
    out = tmp_path / "out.png"
    words = ("stylize", photo_file, painting_file, "-o", out, *SMALL, "--quiet")
    fields = [each for kind in option_sets(stylize_command) for each in dataclasses.fields(kind)]
    flags = {flag_name(each) for each in fields if show_default(each) == "none"}
    assert flags >= {"--style-layer-weights", "--content-layer-weights", "--print"}
    for flag in flags:
        outcome = command(*words, "--force", flag, "none")
        assert outcome.code == 0, outcome.err
    outcome = command(*words, "--style-layer-weights", "1,none")
    assert_clear_error(outcome, "'1,none' is not a list of numbers")


def test_only_the_result_goes_to_stdout(command, photo_file, painting_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    for flag in ("--save-settings", "--timelapse", "--plot", "--frames"):
        outcome = command("stylize", photo_file, painting_file, "-o", "out.png", *SMALL, flag, "-")
        assert_clear_error(outcome, f"{flag} -: only the result can go to stdout; name a file")
    for words in (("-o", "-"), ("-o", "out.mp4", "--frames", "-"), ("--preview", "-")):
        outcome = command("video", "clip.mp4", painting_file, *words)
        assert_clear_error(outcome, "-: clips and their frames cannot be piped")
    outcome = command("video", "-", painting_file, "-o", "out.mp4")
    assert_clear_error(outcome, "-: clips and their frames cannot be piped")
    for words in (("-", "b.wav", "-o", "c.wav"), ("a.wav", "-", "-o", "c.wav"),
                  ("a.wav", "b.wav", "-o", "-")):  # fmt: skip
        assert_clear_error(command("audio", *words), "-: sounds cannot be piped")
    assert tree(tmp_path) == before


def test_two_pictures_from_stdin(command, photo_file, painting_file, tmp_path):
    for words in (("stylize", "-", "-"), ("texture", "-", "-"), ("recolor", "-", "-")):
        with Path(os.devnull).open() as nothing, pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", nothing)
            outcome = command(*words, "-o", tmp_path / "out.png")
        assert_clear_error(outcome, "-: stdin is named for 2 pictures, but holds one")


@pytest.mark.parametrize(
    ("words", "place"),
    [(("stylize", "PHOTO"), 2), (("texture", "PHOTO"), 2), (("recolor", "PHOTO"), 2)],
)
def test_a_painting_from_stdin(words, place, command, photo_file, painting_file, tmp_path):
    out = tmp_path / "out.png"
    given = [photo_file if word == "PHOTO" else word for word in words]
    more = SMALL if words[0] == "stylize" else ("--size", "32x32", "--steps", 2)
    more = () if words[0] == "recolor" else more
    with painting_file.open("rb") as piped, pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sys.stdin", type("Piped", (), {"buffer": piped, "isatty": lambda _: False})()
        )
        outcome = command(*given, "-", "-o", out, *more, "--quiet")
    assert outcome.code == 0, outcome.err
    direct = tmp_path / "direct.png"
    assert command(*given, painting_file, "-o", direct, *more, "--quiet").code == 0
    with PillowImage.open(out) as a, PillowImage.open(direct) as b:
        assert np.array_equal(np.asarray(a), np.asarray(b))


def test_examples_into_a_file(command, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"mine")
    outcome = command("examples", tmp_path / "a.jpg")
    assert_clear_error(outcome, "a.jpg is a file; name a folder")
    assert (tmp_path / "a.jpg").read_bytes() == b"mine"


def test_a_time_of_a_millisecond(command, photo_file, painting_file, tmp_path):
    words = ("stylize", photo_file, painting_file, "-o", tmp_path / "out.png", *SMALL[:2])
    outcome = command(*words, "--time", "0.001")
    assert outcome.code == 0
    assert "0.001s: " in outcome.err
