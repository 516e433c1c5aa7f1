"""`impasto stylize --help-all | more` crashed on Windows, whose pipes have the encoding cp1252."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import impasto
from impasto.cli.main import app, command_name

COMMANDS = [command_name(each.callback) for each in app.registered_commands]
# Runs every command of the list that follows, as a person would, one after the other.
ALL = """
import sys
from impasto.cli.main import run
for name in sys.argv[1:]:
    sys.argv[1:] = name.split()
    try:
        run()
    except SystemExit as end:
        assert end.code == 0, (name, end.code)
"""


def run(*words: str, encoding: str) -> subprocess.CompletedProcess[bytes]:
    source = str(Path(impasto.__file__).parent.parent)
    surroundings = {**os.environ, "PYTHONPATH": source, "PYTHONIOENCODING": encoding}
    return subprocess.run(
        [sys.executable, *words], env=surroundings, capture_output=True, check=False
    )


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "cp850", "cp1251", "ascii"])
def test_all_help_of_every_command(encoding):
    lines = [f"{name} --help-all" for name in COMMANDS] + ["recipes", "recipes gatys --json"]
    shown = run("-c", ALL, *lines, encoding=encoding)
    assert (shown.returncode, shown.stderr.decode()) == (0, "")
    # Typer takes ASCII for a missing setting, and writes UTF-8.
    text = shown.stdout.decode("utf-8" if encoding == "ascii" else encoding)
    assert text.count("Show all options and exit.") == len(COMMANDS)
    assert "?" not in text  # every character has other words


def test_what_other_words_look_like():
    shown = run("-m", "impasto", "stylize", "--help-all", encoding="cp1252").stdout.decode("cp1252")
    assert "average of squared gradients, beta2; larger" in " ".join(shown.split())


def test_an_error_names_a_file_that_the_encoding_lacks(tmp_path):
    shown = run("-m", "impasto", "recipes", str(tmp_path / "kept Ω.toml"), encoding="cp1252")
    assert shown.returncode == 1
    assert shown.stderr.startswith(b"Error: ")
    assert b"kept ?.toml: this settings file cannot be read" in shown.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="names of files are text there")
def test_a_file_name_that_is_no_text_keeps_its_bytes(tmp_path):
    folder = os.fsencode(tmp_path) + b"/\xff"
    shown = run("-m", "impasto", "examples", os.fsdecode(folder), encoding="utf-8")
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert folder + b"/astronaut.jpg" in shown.stdout
