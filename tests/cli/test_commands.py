"""What all commands have in common: the options of a run, groups in the help, one declaration."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer  # noqa: TID251  (a program of one command is tried)
from PIL import Image as PillowImage
from typer.main import get_command  # noqa: TID251

import impasto
from helpers import assert_clear_error
from impasto.audio.files import save_sound
from impasto.cli.help import GroupedCommand, GroupedCommands
from impasto.cli.main import app, command_name
from impasto.cli.typer_flags import option_sets, with_flags
from impasto.settings.command_flags import MachineOptions, RunOptions
from impasto.settings.options import Options, option
from sound_samples import SMALL as SMALL_SOUND, melody, rattle

COMMANDS = {command_name(each.callback): each.callback for each in app.registered_commands}
# Commands that paint nothing and measure nothing.
OTHERS = {"recipes", "layers", "examples", "studio"}
RUNNING = sorted(COMMANDS.keys() - OTHERS)
WRITING_NOTHING = {"plan", "evaluate"}
RUN_FLAGS = ("--threads", "--device", "--memory", "--quiet", "--json")


@pytest.fixture
def words(command, photo_file, painting_file, tmp_path):
    """The words of a small run of each command: words("blend") → ["blend", …]."""
    out = tmp_path / "result.png"
    loop = ("--long-side", 40, "--coarsest", 32, "--steps", 2)

    def frames():
        folder = tmp_path / "frames"
        folder.mkdir()
        for number in range(2):
            PillowImage.new("RGB", (48, 36), (90 * number, 80, 120)).save(folder / f"{number}.png")
        return folder

    def painted():
        done = command("stylize", photo_file, painting_file, "-qo", tmp_path / "old.png", *loop)
        assert done.code == 0, done.err
        return tmp_path / "old.png"

    def sounds():
        save_sound(melody(6.0), tmp_path / "content.wav")
        save_sound(rattle(), tmp_path / "style.wav")
        values = {**SMALL_SOUND, "filters": 0, "steps": 2}
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
        return [tmp_path / "content.wav", tmp_path / "style.wav", "-o", tmp_path / "o.wav", *flags]

    def compared():
        (tmp_path / "own").mkdir()
        shutil.copy(photo_file, tmp_path / "own" / "a.png")
        (tmp_path / "pairs.csv").write_text(f"pair,content,style\na,{photo_file},{painting_file}\n")
        return tmp_path / "pairs.csv"

    makers = {
        "stylize": lambda: [photo_file, painting_file, "-o", out, *loop],
        "blend": lambda: [photo_file, painting_file, photo_file, "-o", out, "--count", 2, *loop],
        "recolor": lambda: [photo_file, painting_file, "-o", out],
        "demo": lambda: ["-o", out, *loop],
        "redo": lambda: [painted(), "-o", out],
        "texture": lambda: [painting_file, "-o", out, "--size", "40x40", "--steps", 2],
        "reconstruct": lambda: [photo_file, "-o", out, "--long-side", 40, "--steps", 2],
        "dream": lambda: [photo_file, "-o", out, *loop],
        "video": lambda: [frames(), painting_file, "-o", tmp_path / "new", *loop,
                          "--frame-steps", 1, "--recipe", "fast"],
        "audio": sounds,
        "plan": lambda: [photo_file, painting_file, *loop],
        "compare": lambda: [compared(), "-m", f"own={tmp_path / 'own'}", "-o", tmp_path / "report"],
        "evaluate": lambda: [photo_file, "-c", photo_file, "-s", painting_file],
    }  # fmt: skip
    return lambda name: [name, *makers[name]()]


# ---- the options of a run -----------------------------------------------------------------------


def test_every_command_that_paints_takes_the_options_of_a_run():
    for name in RUNNING:
        expected = MachineOptions if name in WRITING_NOTHING else RunOptions
        assert any(issubclass(each, expected) for each in option_sets(COMMANDS[name])), name


@pytest.mark.parametrize("name", RUNNING)
def test_help_all_shows_the_options_of_a_run(name, command):
    text = command(name, "--help-all").out
    for flag in (*RUN_FLAGS, *(() if name in WRITING_NOTHING else ("--force",))):
        assert re.search(rf"^  (?:-\w, )?{flag}\b", text, re.MULTILINE), flag


@pytest.mark.parametrize("name", RUNNING)
def test_quiet_json_and_threads_are_honored(name, command, words, monkeypatch):
    given = words(name)
    threads = []
    monkeypatch.setattr("torch.set_num_threads", threads.append)
    outcome = command(*given, "-q", "--json", "--threads", 1)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.count("\n") == 1
    summary = json.loads(outcome.out)
    assert "seconds" in summary
    assert threads[0] == 1


@pytest.mark.parametrize("name", RUNNING)
def test_memory_is_honored(name, command, words):
    given = words(name)
    outcome = command(*given, "--memory", "60MB", "--quiet")
    assert outcome.code == 1
    assert outcome.err.startswith("Error: ")
    assert re.search(r"60 MB|0\.06 GB", outcome.err)
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("name", RUNNING)
def test_a_device_that_does_not_exist_is_refused(name, command, words):
    given = words(name)
    assert_clear_error(command(*given, "--device", "cupboard", "-q"), "cupboard", "auto, cpu")


@pytest.mark.parametrize("name", ["texture", "reconstruct", "dream", "demo", "redo"])
def test_every_single_run_can_be_recorded(name, command, words, tmp_path):
    given = words(name)
    record = ("--timelapse", tmp_path / "film.gif", "--save-settings", tmp_path / "my.toml")
    outcome = command(*given, *record, "-q")
    assert outcome.code == 0, outcome.err
    with PillowImage.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 2
    assert "steps = 2\n" in (tmp_path / "my.toml").read_text(encoding="utf-8")


def test_a_sheet_of_layers_keeps_no_record(command, photo_file, tmp_path):
    outcome = command("reconstruct", photo_file, "-o", tmp_path / "out.png", "--sheet",
                      "--frames", tmp_path / "frames")  # fmt: skip
    assert_clear_error(outcome, "--sheet cannot be combined with --frames")


def test_16_bits_on_a_sheet_of_blends(command, words, tmp_path):
    outcome = command(*words("blend"), "--bits", 16, "-q")
    assert outcome.code == 0, outcome.err
    values = impasto.load_picture(tmp_path / "result.png").image.numpy() * 65535
    assert abs(values - (values / 257).round() * 257).max() > 2  # not 8 bits stretched


# ---- masks of a blend ---------------------------------------------------------------------------


def test_a_blend_goes_where_its_mask_is_white(command, words, photo_file, tmp_path):
    mask = PillowImage.new("L", (40, 32))
    mask.paste(255, (0, 0, 20, 32))
    mask.save(tmp_path / "mask.png")
    given = [*words("blend"), "--bits", 16, "-q"]
    shared = ("--mask", tmp_path / "mask.png", "--style-mask", "none", "--style-mask", "none")
    assert command(*given, *shared).code == 0
    masked = impasto.load_image(tmp_path / "result.png")
    assert command(*given, "-f").code == 0
    whole = impasto.load_image(tmp_path / "result.png")
    # The cells begin at (8, 8); see `films.sheet`.
    assert float((masked - whole)[..., 12:36, 36:46].abs().max()) > 0.01
    names = impasto.read_metadata(tmp_path / "result.png").keys()
    assert "masks" not in names


def test_a_blend_has_one_mask(command, words, photo_file):
    given = words("blend")
    outcome = command(*given, "--mask", photo_file, "--mask", photo_file)
    assert_clear_error(outcome, "give --mask only once")


# ---- the list of commands -----------------------------------------------------------------------

GROUPS = {
    "Paint": ["stylize", "blend", "recolor", "demo", "redo"],
    "Variations": ["texture", "reconstruct", "dream"],
    "Moving pictures and sound": ["video", "audio"],
    "Look and learn": ["plan", "evaluate", "compare", "recipes", "layers", "examples"],
    "Serve": ["studio"],
}


def test_help_groups_the_commands_within_80_columns(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = command("--help").out.splitlines()
    assert max(map(len, lines)) <= 80
    groups: dict[str, list[str]] = {}
    for line in lines:
        if title := re.fullmatch(r"(\S.*):", line):
            groups[title[1]] = []
        elif (row := re.match(r"  ([a-z]+)  +\S", line)) and groups:
            groups[list(groups)[-1]].append(row[1])
    groups.pop("Options")
    assert groups == GROUPS
    assert "..." not in "".join(lines[8:])  # no help is cut off


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "--help-all"])
def test_help_of_every_command_fits_80_columns(name, flag, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    outcome = command(name, flag)
    if outcome.code == 2:  # a command without hidden options
        assert (flag, "No such option" in outcome.err) == ("--help-all", True)
        return
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert outcome.out.startswith(f"Usage: impasto {name} ")


# ---- declared once ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FrameOptions(Options):
    """How a picture is framed."""

    wood: str = option(
        "oak", "Wood of the frame.", short="-w", metavar="NAME", common=True,
        suggest=lambda: ("oak", "walnut"),
    )  # fmt: skip
    width: int | None = option(None, "Width of the frame.", low=1, high=9, shown_default="none")
    gilded: bool = option(False, "Cover it with gold.", switch=True)
    nails: tuple[str, ...] = option((), "A nail.", repeated=True)
    glass: bool = option(True, "Put glass in front.")


@pytest.fixture
def framing(monkeypatch, capfd):
    """A program with a command that takes the set, and what the command receives."""
    received = []

    @with_flags
    def frame_command(picture: str, *, frame: FrameOptions, machine: MachineOptions) -> None:
        """Frame PICTURE."""
        received.append((picture, frame, machine))

    def call(*given):
        program = typer.Typer(cls=GroupedCommands, rich_markup_mode=None)
        program.command("frame", cls=GroupedCommand, rich_help_panel="Shop")(frame_command)
        program.callback()(lambda: None)
        monkeypatch.setenv("COLUMNS", "80")
        capfd.readouterr()
        code = get_command(program)(list(map(str, given)), standalone_mode=False)
        return code, capfd.readouterr().out, received

    return call


def test_an_option_of_a_set_has_flag_and_help(framing):
    _, text, received = framing("frame", "--help")
    assert re.search(r"-w, --wood NAME +Wood of the frame\. \[default: oak\]", text)
    assert "--width" not in text
    text = framing("frame", "--help-all")[1]
    assert re.search(r"--width N +Width of the frame\. \[default: none\] \[1<=x<=9\]", text)
    assert re.search(r"--gilded +Cover it with gold\.\n", text)
    assert re.search(r"--glass / --no-glass +Put glass in front\. \[default: on\]", text)
    assert received == []


def test_a_command_receives_its_sets_as_objects(framing):
    given = ("a.png", "-w", "walnut", "--width", 3, "--gilded", "--no-glass", "--nails", "a",
             "--nails", "b", "--memory", "1GB")  # fmt: skip
    picture, frame, machine = framing("frame", *given)[2][0]
    assert picture == "a.png"
    assert frame == FrameOptions(
        wood="walnut", width=3, gilded=True, nails=("a", "b"), glass=False
    )  # fmt: skip
    assert machine == MachineOptions(memory=1e9)
    assert framing("frame", "b.png")[2][1] == ("b.png", FrameOptions(), MachineOptions())


def test_a_wrong_count_is_wrong_usage(framing):
    with pytest.raises(Exception, match=r"\b9\b"):
        framing("frame", "a.png", "--width", 10)


def test_two_options_of_one_name_are_refused():
    def command(*, frame: FrameOptions, wood: str = "") -> None: ...

    with pytest.raises(TypeError, match="several options are named wood"):
        with_flags(command)


SCRIPT = """
import sys
from impasto.settings.recipes import RECIPES, Recipe

RECIPES["mine"] = Recipe(purpose="My own.", source="me", schedule={"steps": 7})
from impasto.cli import main

def hang_command(picture: str) -> None:
    \"\"\"Hang PICTURE on the wall.\"\"\"
    print("hangs", picture)

main.add_command("Wall", hang_command, "PICTURE")
sys.argv = ["impasto", *sys.argv[1:]]
main.run()
"""


def with_additions(*words: object) -> str:
    """What the command line prints that has a recipe and a command more, each in one line."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, words)],
        capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(impasto.__file__).parents[1]), "COLUMNS": "80"},
    )  # fmt: skip
    return done.stdout


def test_a_recipe_is_added_in_one_place(photo_file, painting_file, tmp_path):
    assert "average-pooling, mine, or a .toml" in " ".join(with_additions("demo", "-h").split())
    assert "mine\n  My own.\n" in with_additions("recipes")
    words = ("stylize", photo_file, painting_file, "-o", tmp_path / "o.png", "--long-side", 32)
    assert json.loads(with_additions(*words, "--recipe", "mine", "-q", "--json"))["steps"] == 7


def test_a_command_is_added_by_its_function_and_one_line():
    assert "\nWall:\n  hang         Hang PICTURE on the wall\n" in with_additions("--help")
    assert with_additions("hang", "a.png") == "hangs a.png\n"
    assert with_additions("hang", "-h").startswith("Usage: impasto hang PICTURE [OPTIONS]\n")
