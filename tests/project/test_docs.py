"""The README's commands, Python code and links work, and so do the examples."""

from __future__ import annotations

import itertools
import re
import runpy
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as PillowImage
from typer.main import get_command  # noqa: TID251

import impasto
from impasto.audio.files import Sound, save_sound
from impasto.cli.main import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = {"long_side": 32, "steps": 2}
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def readme_commands() -> list[str]:
    """Return the README's indented lines that run impasto, without their comments."""
    lines = re.findall(r"^    (impasto .*?)(?:\s+#.*)?$", README, flags=re.MULTILINE)
    return [line.strip() for line in lines]


@pytest.fixture
def pictures(tmp_path, monkeypatch, photo_file, painting_file):
    """Make a folder with all files that the README names, and work in it."""
    monkeypatch.chdir(tmp_path)
    for name, source in [
        ("PHOTO", photo_file), ("PAINTING", painting_file), ("PAINTING2", painting_file)
    ]:  # fmt: skip
        (tmp_path / name).write_bytes(source.read_bytes())
    PillowImage.linear_gradient("L").resize((40, 32)).save(tmp_path / "MASK", "png")
    (tmp_path / "CLIP").mkdir()
    for number in range(2):
        shutil.copy(photo_file, tmp_path / "CLIP" / f"{number}.png")
    (tmp_path / "PAIRS.csv").write_text("pair,content,style\ntown,PHOTO,PAINTING\n", "utf-8")
    (tmp_path / "RESULTS").mkdir()
    shutil.copy(photo_file, tmp_path / "RESULTS" / "town.png")
    for name, pitch in [("SOUND", 220), ("SOUND2", 450)]:
        waves = torch.sin(pitch * 2 * torch.pi * torch.arange(11025) / 11025)
        save_sound(Sound(waves[None] / 2, 11025), tmp_path / "drawn.wav")
        (tmp_path / "drawn.wav").rename(tmp_path / name)
    return tmp_path


def test_there_are_commands_to_run():
    assert len(readme_commands()) >= 5


# Options that make a command small enough for a test. `redo` and `evaluate` get a small picture.
QUICK = {
    "stylize": ["--threads", "1", "--long-side", "32"],
    "recolor": ["--long-side", "32"],
    "blend": ["--threads", "1", "--long-side", "32", "--steps", "2"],
    "texture": ["--threads", "1", "--size", "32x32", "--steps", "2"],
    "reconstruct": ["--threads", "1", "--long-side", "32", "--steps", "2"],
    "dream": ["--threads", "1", "--long-side", "32", "--steps", "2"],
    "redo": ["--threads", "1"],
    "evaluate": ["--threads", "1"],
    "compare": ["--threads", "1", "--long-side", "32", "--steps", "2"],
    "audio": ["--threads", "1", "--steps", "2"],
    "video": ["--threads", "1", "--long-side", "32", "--steps", "2", "--frame-steps", "1"],
}


# The studio does not end by itself: tests/studio/test_studio_server.py runs it.
_ENDING = [c for c in readme_commands() if not re.search(r"\b(examples|studio)\b", c)]


@pytest.mark.parametrize("line", _ENDING)
def test_readme_commands_run(line, command, pictures):
    assert command("examples", "pictures").code == 0
    words = shlex.split(line)[1:]
    if words[0] in ("redo", "evaluate"):
        made = ["PHOTO", "PAINTING", "-qo", "OUT.png", "--steps", "2", *QUICK["stylize"]]
        assert command("stylize", *made).code == 0
    words += QUICK[words[0]]
    if words[0] == "stylize":
        words += [] if "--time" in words else ["--steps", "2"]
    outcome = command(*("8s" if word == "1m" else word for word in words))
    assert outcome.code == 0, outcome.err
    for option, output in itertools.pairwise(words):
        assert option not in ("-o", "--timelapse") or (pictures / output).exists(), output


def test_readme_python_runs(command, pictures, monkeypatch):
    assert command("examples", "pictures").code == 0
    small = partial(impasto.stylize, settings=impasto.Settings(**SMALL))
    monkeypatch.setattr(impasto, "stylize", small)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        exec(compile(block.replace("steps=40", "steps=2"), "README.md", "exec"), {})
    assert (pictures / "pastiche.png").is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text):
        assert (document.parent / target).exists(), f"{document.name}: {target}"


EXAMPLES = [
    path
    for path in sorted((ROOT / "examples").glob("*.py"))
    if path.name != "studio_client.py"  # tests/studio/test_studio_server.py runs it
]


@pytest.fixture
def few_steps(monkeypatch):
    """Give 4 steps to all settings that a script makes."""
    for name in ("Settings", "recipe_settings"):
        made = getattr(impasto, name)

        def quick(*words, made=made, **given):
            return made(*words, **{**given, "steps": 4})

        monkeypatch.setattr(impasto, name, quick)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_run(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(example), "48"])
    runpy.run_path(str(example), run_name="__main__")
    saved = re.findall(r'save(?:_image)?\((?:[^()]*, )?"([^"{]+)"\)', example.read_text("utf-8"))
    assert saved or "watch_it_grow" in example.name  # whose names hold the level
    assert [name for name in saved if not (tmp_path / name).is_file()] == []
    assert list(tmp_path.glob("*.png"))


def test_documents_name_no_folder_of_a_particular_machine():
    for document in DOCUMENTS:
        assert not re.search(r"/(home|root|work|tmp)/", document.read_text(encoding="utf-8"))


def flags_by_command() -> dict[str, set[str]]:
    """The flags of every command, also those that only --help-all shows."""
    main: Any = get_command(app)
    return {
        name: {flag for each in one.params for flag in (*each.opts, *each.secondary_opts)}
        | {"--help", "--help-all"}
        for name, one in main.commands.items()
    }


def test_every_flag_that_the_answers_name_exists():
    """Also: a flag in a command is one of this command's."""
    text = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    known = flags_by_command()
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    assert len(named) > 25
    assert named <= set().union(*known.values())
    commands = re.findall(r"^    impasto (.*?)(?:\s+#.*)?$|`impasto ([^`]*)`", text, re.MULTILINE)
    for line in map("".join, commands):
        words = line.split()
        assert words[0] in known, line
        flags = {word for word in words if re.fullmatch(r"--[a-z-]+|-[a-z]", word)}
        assert flags <= known[words[0]], line


def test_every_name_in_python_that_the_answers_name_exists():
    text = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    names = set(re.findall(r"\bimpasto\.([A-Za-z_]+)\b(?!\()", text)) - {"md"}
    names |= set(re.findall(r"\bimpasto\.([A-Za-z_]+)\(", text))
    assert names
    assert [name for name in names if not hasattr(impasto, name)] == []
