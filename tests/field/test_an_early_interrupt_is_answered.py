"""Ctrl-C while `recolor` or `redo` read its pictures ended the program without a message."""

from __future__ import annotations

import pytest

from helpers import tree
from impasto.cli.commands import recolor, redo


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_recolor(command, photo_file, painting_file, tmp_path, monkeypatch):
    monkeypatch.setattr(recolor, "recolored", interrupt)
    before = tree(tmp_path)
    words = ("recolor", photo_file, painting_file, "-o", tmp_path / "out.png")
    outcome = command(*words)
    assert (outcome.code, outcome.err) == (130, "Interrupted: no picture written.\n")
    assert command(*words, "-q").err == ""
    assert tree(tmp_path) == before


@pytest.mark.parametrize("where", ["read_origin", "find_files"])
def test_redo(where, command, photo_file, painting_file, tmp_path, monkeypatch):
    out = tmp_path / "out.png"
    words = ("--long-side", 32, "--steps", 1, "--threads", 1, "-q")
    assert command("stylize", photo_file, painting_file, "-o", out, *words).code == 0
    monkeypatch.setattr(redo, where, interrupt)
    outcome = command("redo", out)
    assert (outcome.code, outcome.err) == (130, "Interrupted: no picture written.\n")
    assert not (tmp_path / "out-redo.png").exists()
