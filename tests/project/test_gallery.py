"""The gallery's commands are valid, its pictures exist and are small, and its script works."""

from __future__ import annotations

import runpy
import shlex
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from impasto.cli import main as cli, sheets
from impasto.cli.commands import stylize, variations
from impasto.pictures.examples import EXAMPLES

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "gallery"
PAGE = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
TOTAL = 2_500_000  # bytes of all pictures


def script():
    """Return the names that scripts/gallery defines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))
        return runpy.run_path(str(SCRIPT))


GALLERY = script()
COMMANDS = GALLERY["commands"](PAGE)
PICTURES = GALLERY["pictures"](PAGE)


def parse(line):
    """Parse a command as the command line does. Raises for an unknown flag or a wrong value."""
    name, *words = shlex.split(line)[1:]
    command = cli.typer.main.get_command(cli.app).commands[name]
    return command.make_context(name, words)


@pytest.fixture
def unpainted(monkeypatch, tmp_path, command):
    """Stop every command after it has checked its settings, before it paints."""
    monkeypatch.chdir(tmp_path)
    assert command("examples", "pictures").code == 0
    for module, name in (
        (stylize, "paint"),
        (variations, "paint_plan"),
        (sheets, "_paint_sheet"),
    ):
        monkeypatch.setattr(module, name, lambda *_, **__: None)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_can_be_typed(line):
    assert parse(f"{line} --force").params["force"]  # scripts/gallery adds --force


def test_commands_have_settings_that_exist(unpainted, command):
    for line in COMMANDS:
        words = shlex.split(line)[1:]
        if words[0] in ("stylize", "blend", "texture", "reconstruct", "dream"):
            outcome = command(*words)
            assert outcome.code == 0, f"{line}: {outcome.err}"


def test_commands_name_pictures_that_are_there_by_then():
    made = {f"pictures/{path.name}" for path in EXAMPLES.iterdir()}
    for line in COMMANDS:
        words = shlex.split(line)[2:]
        if "-o" not in words:
            continue
        output = words.index("-o") + 1
        for number, word in enumerate(words):
            if word.endswith((".jpg", ".png")) and number != output:
                assert word.removeprefix("not:") in made, f"{line}: {word}"
        assert words[output] not in made, f"{line}: made twice"
        made.add(words[output])


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("impasto stylize a.jpg b.jpg -o c.png --style-wieght 3", "No such option"),
        ("impasto stylize a.jpg b.jpg -o c.png --steps many", "valid integer"),
        ("impasto texture b.jpg --seamless", "output"),
    ],
)
def test_parse_refuses(line, complaint):
    with pytest.raises(
        Exception, match=f"(?i){complaint}"
    ):  # an exception of Click, whose name depends on the version
        parse(line)


def test_commands_are_more_than_a_few():
    assert len(COMMANDS) >= 15
    assert COMMANDS[0] == "impasto examples pictures"


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_there_and_small(name):
    picture = GALLERY["SHOWN"] / name
    assert picture.stat().st_size <= GALLERY["BYTES"] == 150_000
    with PIL.Image.open(picture) as opened:
        assert max(opened.size) <= 1024


def test_pictures_together_are_small_and_all_shown():
    there = list(GALLERY["SHOWN"].iterdir())
    assert {path.name for path in there} == set(PICTURES)
    assert sum(path.stat().st_size for path in there) <= TOTAL


def test_every_picture_is_written_by_a_command():
    outputs = {Path(word).stem for line in COMMANDS for word in shlex.split(line)}
    examples = {path.stem for path in EXAMPLES.iterdir()}
    for name in PICTURES:
        assert Path(name).stem.removesuffix(GALLERY["TILED"]) in outputs | examples, name


# ---- the script ---------------------------------------------------------------------------------

TEXT = """# Page

```sh
impasto examples pictures
```

## First, of two

```sh
impasto stylize a.jpg b.jpg -o one.png \\
    --steps 2
```

![One](images/gallery/one.jpg) ![again](images/gallery/one.jpg)

## Second

    impasto not run

```sh
impasto dream a.jpg -o two.png
```
"""


def test_script_reads_sections_commands_and_pictures():
    sections = GALLERY["sections"](TEXT)
    assert [heading for heading, _ in sections] == ["Page", "First, of two", "Second"]
    assert [len(GALLERY["commands"](text)) for _, text in sections] == [1, 1, 1]
    (line,) = GALLERY["commands"](sections[1][1])
    assert shlex.split(line)[-2:] == ["--steps", "2"]
    assert GALLERY["pictures"](TEXT) == ["one.jpg"]


def test_script_runs_the_asked_sections():
    sections = GALLERY["sections"](TEXT)
    chosen = GALLERY["chosen"]
    assert chosen(sections, []) == sections
    assert chosen(sections, ["second"]) == [sections[0], sections[2]]
    with pytest.raises(SystemExit, match="third: no such section; there are: Page, First"):
        chosen(sections, ["third"])


def test_script_stops_at_a_command_that_fails(tmp_path, capfd):
    run = GALLERY["run"]
    run.__globals__["BUILD"] = tmp_path
    with pytest.raises(SystemExit, match="stopped with 1: impasto dream missing"):
        run("impasto dream missing.jpg -o x.png")
    assert "missing.jpg" in capfd.readouterr().err


def test_script_makes_pictures_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (700, 600, 3), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / "noise.png")
    target = tmp_path / "noise.jpg"
    GALLERY["shrink"](tmp_path / "noise.png", target, 512)
    with PIL.Image.open(target) as small:
        assert small.size == (439, 512)
    assert target.stat().st_size <= GALLERY["BYTES"]


def test_script_lays_four_tiles(tmp_path):
    tile = np.zeros((40, 30, 3), dtype=np.uint8)
    tile[:20] = 255
    PIL.Image.fromarray(tile).save(tmp_path / "tile.png")
    target = tmp_path / "tile-2x2.jpg"
    GALLERY["shrink"](tmp_path / "tile.png", target, 512)
    with PIL.Image.open(target) as four:
        assert four.size == (60, 80)
        column = np.asarray(four.convert("L"))[[10, 30, 50, 70], 45] > 128
    assert column.tolist() == [True, False, True, False]


def test_script_makes_films_small(tmp_path):
    rng = np.random.default_rng(0)
    frames = [
        PIL.Image.fromarray(rng.integers(0, 256, (200, 320, 3), dtype=np.uint8)).resize((640, 400))
        for _ in range(3)
    ]
    frames[0].save(
        tmp_path / "film.webp", save_all=True, append_images=frames[1:], duration=[50, 60, 700]
    )
    GALLERY["shrink_film"](tmp_path / "film.webp", tmp_path / "small.webp")
    with PIL.Image.open(tmp_path / "small.webp") as small:
        assert small.size == (256, 160)
        assert small.n_frames == 3
        durations = []
        for number in range(3):
            small.seek(number)
            small.load()
            durations.append(small.info["duration"])
    assert durations == [50, 60, 700]
