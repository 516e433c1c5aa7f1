"""The option --protect: what the command says about faces, and what it records."""

from __future__ import annotations

import tomllib

import pytest
import torch

from helpers import assert_clear_error
from impasto.painting import faces as faces_module
from impasto.pictures.files import load_image, read_metadata

SMALL = ("--long-side", 40, "--coarsest", 0, "--steps", 3, "--threads", 1)
BOX = (0.25, 0.25, 0.25, 0.5)
LINE = "Found 1 face: it is protected; --protect none turns this off."


@pytest.fixture
def found(monkeypatch):
    def install(*faces: float, present: bool = True) -> None:
        monkeypatch.setattr(faces_module, "has_detector", lambda: present)
        monkeypatch.setattr(faces_module, "find_faces", lambda photo: faces)

    return install


def test_one_line_says_that_a_face_is_protected(
    found, command, photo_file, painting_file, tmp_path
):
    found(*BOX)
    out, file = tmp_path / "out.png", tmp_path / "settings.toml"
    words = ("stylize", photo_file, painting_file, "-o", out, *SMALL)
    outcome = command(*words, "--save-settings", file)
    assert outcome.code == 0, outcome.err
    assert outcome.err.splitlines().count(LINE) == 1
    assert read_metadata(out)["settings"]["faces"] == list(BOX)
    # Another photo has its faces elsewhere.
    assert tomllib.loads(file.read_text(encoding="utf-8"))["faces"] == []
    quiet = command(*words, "--force", "--quiet")
    assert LINE not in quiet.err
    off = command(*words, "--force", "--protect", "none")
    assert LINE not in off.err
    assert read_metadata(out)["settings"]["protect"] == "none"


def test_redo_needs_no_detector(found, command, photo_file, painting_file, tmp_path):
    found(*BOX)
    out = tmp_path / "out.png"
    assert command("stylize", photo_file, painting_file, "-o", out, *SMALL).code == 0
    found(present=False)
    outcome = command("redo", out, "--threads", 1)
    assert outcome.code == 0, outcome.err
    assert LINE not in outcome.err
    assert torch.equal(load_image(tmp_path / "out-redo.png"), load_image(out))
    assert read_metadata(tmp_path / "out-redo.png") == read_metadata(out)


def test_redo_of_an_older_picture_searches_no_faces(
    found, command, photo_file, painting_file, tmp_path
):
    from impasto.pictures.files import save_image

    found()
    out = tmp_path / "out.png"
    assert command("stylize", photo_file, painting_file, "-o", out, *SMALL).code == 0
    noted = read_metadata(out)
    del noted["settings"]["protect"], noted["settings"]["faces"]
    save_image(load_image(out), out, metadata=noted)
    found(*BOX)
    assert command("redo", out, "--threads", 1).code == 0
    assert torch.equal(load_image(tmp_path / "out-redo.png"), load_image(out))


def test_without_a_detector_only_an_explicit_wish_is_an_error(
    found, command, photo_file, painting_file, tmp_path
):
    found(present=False)
    words = ("stylize", photo_file, painting_file, "-o", tmp_path / "out.png", *SMALL)
    outcome = command(*words)
    assert outcome.code == 0
    assert LINE not in outcome.err
    refused = command(*words, "--force", "--protect", "faces")
    assert_clear_error(refused, "protect: faces needs a detector", "pip install", "[faces]")


def test_it_is_said_if_no_face_is_found(found, command, photo_file, painting_file, tmp_path):
    found()
    words = ("stylize", photo_file, painting_file, "-o", tmp_path / "out.png", *SMALL)
    assert "No face was found, so none is protected." in command(*words, "--protect", "faces").err
    assert "No face" not in command(*words, "--force").err


def test_a_sheet_of_blends_says_it_once(found, command, photo_file, painting_file, tmp_path):
    found(*BOX)
    words = ("blend", photo_file, painting_file, painting_file, "-o", tmp_path / "out.png", *SMALL)
    outcome = command(*words, "--count", 2)
    assert outcome.code == 0, outcome.err
    assert outcome.err.splitlines().count(LINE) == 1
