"""The command line, mostly in this process, and as a real one where it matters."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from rich.console import Console  # noqa: TID251  (the bar is tried on one)

import impasto
from helpers import assert_clear_error, tree
from impasto.cli.progress import reporting
from impasto.errors import DivergenceError
from impasto.optimize.loop import Step
from impasto.painting.pyramid import Level
from impasto.pictures.files import load_image, load_picture, read_metadata
from impasto.settings.recipes import read_settings_file, recipe_settings

SMALL = ("--long-side", 32, "--steps", 3, "--threads", 1)
SOURCE = Path(impasto.__file__).parent.parent


@pytest.fixture
def stylize(command, photo_file, painting_file, tmp_path):
    """Paint the drawn pictures, small, to out.png in this process."""

    def call(*words, output=tmp_path / "out.png"):
        return command("stylize", photo_file, painting_file, "-o", output, *SMALL, *words)

    return call


def arguments(*words: object) -> list[str]:
    return [sys.executable, "-m", "impasto", *map(str, words)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCE), **more}


# ---- pictures in and out ------------------------------------------------------------------------


def test_a_picture_with_its_settings(stylize, tmp_path):
    outcome = stylize("--style-weight", 30, "--seed", 5, "--no-clamp")
    assert (outcome.code, outcome.out) == (0, "")
    with PillowImage.open(tmp_path / "out.png") as picture:
        assert picture.size == (32, 26)
    noted = read_metadata(tmp_path / "out.png")
    assert noted["impasto"] == impasto.__version__
    assert noted["settings"]["style_weight"] == 30
    assert noted["settings"]["seed"] == 5
    assert noted["settings"]["clamp"] is False
    assert noted["content"]["name"] == "photo.png"
    assert [each["name"] for each in noted["styles"]] == ["painting.png"]
    assert str(tmp_path) not in json.dumps(noted)


def test_plain_lines_where_there_is_no_terminal(stylize, tmp_path):
    first, *_, last_step, end = stylize().err.splitlines()
    number = r"[\d.e+]+"
    line = rf"level 1/1, 32 px  step \d/3  content {number}  style {number}  tv {number}"
    assert re.match(line + r"  \d+:\d\d elapsed  \d+:\d\d left$", first)
    assert "step 3/3" in last_step
    assert re.fullmatch(rf"Wrote {tmp_path}/out.png: 32 x 26 px, \d+ s", end)
    assert "\x1b" not in first


def test_quiet_says_nothing(stylize, tmp_path):
    outcome = stylize("--quiet")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert (tmp_path / "out.png").is_file()


def test_json_is_one_line_and_all_of_stdout(stylize, tmp_path):
    outcome = stylize("--json")
    assert outcome.code == 0
    assert outcome.out.count("\n") == 1
    summary = json.loads(outcome.out)
    assert summary["output"] == str(tmp_path / "out.png")
    assert (summary["width"], summary["height"], summary["steps"]) == (32, 26, 3)
    assert summary["finished"] is True
    assert set(summary["losses"]) == {"content", "style", "tv", "total"}
    assert summary["settings"]["long_side"] == 32
    assert len(summary["content"]["sha256"]) == 64


def test_quiet_and_json(stylize):
    outcome = stylize("--quiet", "--json")
    assert outcome.err == ""
    json.loads(outcome.out)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits(suffix, stylize, tmp_path):
    out = tmp_path / f"out{suffix}"
    assert stylize("--bits", 16, output=out).code == 0
    values = load_picture(out).image.numpy() * 65535
    assert np.abs(values - np.round(values / 257) * 257).max() > 2  # not 8 bits stretched


def test_a_folder_that_does_not_exist_is_made(stylize, tmp_path):
    out = tmp_path / "a" / "b" / "out.webp"
    assert stylize(output=out).code == 0
    assert out.is_file()


def test_an_old_file_is_replaced_with_force_only(stylize, tmp_path):
    out = tmp_path / "out.png"
    out.write_bytes(b"precious")
    assert_clear_error(stylize(), "out.png exists already; --force replaces it")
    assert out.read_bytes() == b"precious"
    assert stylize("--force").code == 0
    assert out.read_bytes().startswith(b"\x89PNG")


def test_several_styles_and_a_start_from_a_file(command, photo_file, painting_file, tmp_path):
    start = tmp_path / "start.png"
    PillowImage.new("RGB", (7, 5), (250, 10, 10)).save(start)
    outcome = command(
        "stylize", photo_file, painting_file, photo_file, "-o", tmp_path / "out.png",
        *SMALL, "--steps", 1, "--init", start,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    noted = read_metadata(tmp_path / "out.png")
    assert [each["name"] for each in noted["styles"]] == ["painting.png", "photo.png"]
    assert noted["settings"]["init"] == "start.png"
    red, green, _ = load_picture(tmp_path / "out.png").image[0].mean(dim=(1, 2)).tolist()
    assert red > 0.9
    assert green < 0.1


def test_more_threads_than_cores(stylize, monkeypatch):
    chosen = []
    monkeypatch.setattr("torch.set_num_threads", chosen.append)
    assert stylize("--threads", 5).code == 0
    assert chosen[0] == 5
    outcome = stylize("--threads", 100_000)  # would crash OpenMP
    assert outcome.code == 2
    assert "256" in outcome.err


def test_same_seed_same_pixels(stylize, tmp_path):
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file in files:
        assert stylize("--init", "noise", "--seed", 3, output=file).code == 0
    assert files[0].read_bytes() == files[1].read_bytes()


# ---- settings -----------------------------------------------------------------------------------


def test_settings_travel_by_file(stylize, tmp_path):
    saved = tmp_path / "my.toml"
    assert stylize("--tv-weight", 77, "--save-settings", saved, "-q").code == 0
    assert tomllib.loads(saved.read_text(encoding="utf-8"))["tv_weight"] == 77
    for option in ("--settings", "--recipe"):
        again = stylize(option, saved, "--force", "--json", "-q")
        known = recipe_settings(str(saved), protect="none").to_dict()  # no face is in the photo
        assert json.loads(again.out)["settings"] == known


def test_settings_are_written_whole_and_last(stylize, tmp_path, monkeypatch):
    saved = tmp_path / "my.toml"
    saved.write_text("# precious", encoding="utf-8")
    words = ("--save-settings", saved, "-q", "--force")
    for wrong, said in (("--every", "--frames FOLDER"), ("--init", "that exists")):
        assert_clear_error(stylize(*words, wrong, 3), said)
    monkeypatch.setattr("os.fsync", fail := Mock(side_effect=OSError(errno.ENOSPC, "full")))
    assert_clear_error(stylize(*words), "my.toml", "cannot be written")
    assert fail.called
    assert tree(tmp_path).keys() == {"my.toml", "painting.png", "photo.png"}
    assert saved.read_text(encoding="utf-8") == "# precious"


def test_settings_need_a_place_before_the_run(stylize, tmp_path):
    assert_clear_error(stylize("--save-settings", tmp_path), "it is a folder")
    before = tree(tmp_path)
    path = tmp_path / "photo.png" / "my.toml"
    assert_clear_error(stylize("--save-settings", path), "a part of its folder is a file")
    assert tree(tmp_path) == before


def test_flags_win_over_files_and_files_over_recipes(stylize, tmp_path):
    (tmp_path / "my.toml").write_text("tv_weight = 5\nstyle_weight = 6\n")
    outcome = stylize(
        "--recipe", "neural-style", "--settings", tmp_path / "my.toml",
        "--style-weight", 7, "--json", "-q",
    )  # fmt: skip
    settings = json.loads(outcome.out)["settings"]
    expected = recipe_settings("neural-style", tv_weight=5, style_weight=7, long_side=32, steps=3)
    assert settings == expected.to_dict()


def test_schedule_of_another_recipe(stylize):
    outcome = stylize("--recipe", "neural-style", "--schedule", "default", "--json", "-q")
    settings = json.loads(outcome.out)["settings"]
    assert settings["tv_reduction"] == "sum"
    assert settings["init"] == "content"


def test_a_time_gives_a_picture_and_notes_its_steps(command, photo_file, painting_file, tmp_path):
    out, again = tmp_path / "out.png", tmp_path / "again.png"
    outcome = command(
        "stylize", photo_file, painting_file, "-o", out, "--long-side", 48, "--coarsest", 24,
        "--time", "0.1s", "--save-settings", tmp_path / "my.toml", "--json",
    )  # fmt: skip
    assert outcome.code == 0
    facts = json.loads(outcome.out)
    counts = facts["settings"]["level_steps"]
    assert (facts["width"], facts["height"]) == (48, 38)
    assert counts
    assert min(counts) >= 3
    assert f"0.1s: {counts[0]} steps at 24 px" in outcome.err
    assert ("the photo's own detail" in outcome.err) == (len(counts) < 3)
    assert list(read_settings_file(tmp_path / "my.toml")["level_steps"]) == counts
    assert command("redo", out, "-o", again, "-q").code == 0
    assert torch.equal(load_image(out), load_image(again))


def test_time_and_steps_contradict_each_other(command, photo_file, painting_file, tmp_path):
    out = tmp_path / "out.png"
    words = ("stylize", photo_file, painting_file, "-qo", out, *SMALL)
    for given in (words, ("demo", "-o", out, "--steps", 3)):
        assert_clear_error(command(*given, "--time", "4s"), "--time and --steps", "give only one")
    assert not out.exists()
    assert command(*words).code == 0
    redo = ("redo", out, "--steps", 3, "--time", "4s")
    assert_clear_error(command(*redo), "--time and --steps", "give only one")


# ---- the other commands -------------------------------------------------------------------------


def test_version(command):
    assert command("--version").out == f"impasto {impasto.__version__}\n"


def test_layers(command):
    lines = command("layers").out.splitlines()
    assert len(lines) == 16 * 2 + 5
    assert lines[0].split() == ["conv1_1", "at", "least", "1", "px"]
    assert lines[-1].split() == ["pool5", "at", "least", "32", "px"]
    assert len(command("layers", "vgg16").out.splitlines()) == 13 * 2 + 5
    assert_clear_error(command("layers", "vgg20"), "vgg20", "did you mean vgg1")


def test_demo(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("demo", *SMALL).code == 0
    assert list(tree(tmp_path)) == ["impasto-demo.png"]
    assert_clear_error(command("demo", *SMALL), "impasto-demo.png exists already")


def test_examples(command, tmp_path):
    folder = tmp_path / "new" / "pictures"
    outcome = command("examples", folder)
    copied = sorted(folder.iterdir())
    assert outcome.out.split() == [str(path) for path in copied]
    assert len(copied) == 8
    before = tree(tmp_path)
    assert_clear_error(command("examples", folder), "exists already; --force replaces it")
    assert tree(tmp_path) == before
    assert command("examples", folder, "--force").code == 0
    assert_clear_error(command("examples", copied[0] / "below"), "cannot be written")


@pytest.mark.parametrize(
    "words",
    [(), ("stylize",), ("stylize", "a.png"), ("stylize", "a.png", "b.png"), ("paint",),
     ("stylize", "a", "b", "-o", "c.png", "--steps", "many"),
     ("stylize", "a", "b", "-o", "c.png", "--stepps", "3"),
     ("stylize", "a", "b", "-o", "c.png", "--threads", "0")],
)  # fmt: skip
def test_wrong_usage(words, command):
    outcome = command(*words)
    assert outcome.code == 2
    assert "Usage: impasto" in outcome.out + outcome.err
    assert "Traceback" not in outcome.err


# ---- help and completion ------------------------------------------------------------------------


def test_help_is_free_of_heavy_imports():
    """What `--help` must not wait for; far under 0.4 s without them."""
    code = (
        "import sys\n"
        "sys.argv = ['impasto', *sys.argv[1:]]\n"
        "from impasto.cli.main import run\n"
        "try:\n    run()\n"
        "finally:\n"
        "    heavy = {'torch', 'numpy', 'PIL', 'pyvips', 'safetensors', 'rich'}\n"
        "    print('HEAVY', sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    for words in (["--help"], ["stylize", "--help"], ["stylize", "--help-all"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True, text=True, check=True, env=environment(),
        )  # fmt: skip
        assert done.stderr == "HEAVY []\n"


def test_help_shows_the_common_options_with_defaults(command):
    text = command("stylize", "--help").out
    flags = re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE)
    assert 12 <= len(flags) <= 19
    assert {"--output", "--recipe", "--long-side", "--steps", "--style-weight"} <= set(flags)
    assert "[default: 512 px]" in text
    assert "CONTENT STYLE... -o OUT" in text
    assert text.index("Options:") < text.index("Schedule:") < text.index("Objective:")


@pytest.mark.parametrize("flag", ["--help", "--help-all"])
def test_help_fits_80_columns(flag, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, command("stylize", flag).out.splitlines())) <= 80


def completions(*words: str) -> list[str]:
    """What bash offers for the last of these words."""
    done = subprocess.run(
        arguments(), capture_output=True, text=True, check=True,
        env=environment(
            _IMPASTO_COMPLETE="complete_bash",
            COMP_WORDS=" ".join(["impasto", *words]),
            COMP_CWORD=str(len(words)),
        ),
    )  # fmt: skip
    return done.stdout.split()


def test_completion():
    commands = completions("")
    assert {"stylize", "demo", "examples", "layers"} <= set(commands)
    assert {"recolor", "recipes", "texture", "reconstruct", "dream", "redo", "video"} <= set(
        commands
    )
    assert completions("stylize", "--network", "") == ["vgg19", "vgg16"]
    assert completions("stylize", "--recipe", "neu") == ["neural-style"]
    assert completions("stylize", "--style-layers", "relu1_1,pool") == [
        f"relu1_1,pool{block}" for block in range(1, 6)
    ]
    assert completions("stylize", "--style-l") == ["--style-layers", "--style-layer-weights"]
    assert completions("layers", "") == ["vgg16", "vgg19"]


def test_completion_script():
    done = subprocess.run(
        arguments(), capture_output=True, text=True, check=True,
        env=environment(_IMPASTO_COMPLETE="source_bash"),
    )  # fmt: skip
    assert "complete -o default -F _impasto_completion impasto" in done.stdout


# ---- pipes and interruptions --------------------------------------------------------------------


def test_pipes(photo_file, painting_file):
    done = subprocess.run(
        arguments("stylize", "-", painting_file, "-o", "-", *SMALL),
        input=photo_file.read_bytes(), capture_output=True, check=True, env=environment(),
    )  # fmt: skip
    with PillowImage.open(io.BytesIO(done.stdout)) as picture:
        assert (picture.format, picture.size) == ("PNG", (32, 26))
    assert b"Wrote stdout: 32 x 26 px" in done.stderr


def test_an_empty_pipe(painting_file, tmp_path):
    done = subprocess.run(
        arguments("stylize", "-", painting_file, "-o", tmp_path / "out.png", *SMALL),
        input="", capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "Error: the stream is empty\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [("-o", "-"), ("-o", "out.png", "--json")])
def test_a_full_disk_behind_stdout(words, photo_file, painting_file, tmp_path):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            arguments("stylize", photo_file, painting_file, "-q", *words, *SMALL), cwd=tmp_path,
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment(),
        )  # fmt: skip
    assert done.stderr == "Error: cannot write to stdout: No space left on device\n"
    assert done.returncode == 1


def test_a_reader_that_leaves():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        arguments("layers"), stdout=writing, stderr=subprocess.PIPE, text=True, check=False,
        env=environment(),
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@contextmanager
def started(*words, **options):
    """A command as a process of its own, which does not outlive its test."""
    pipe = subprocess.PIPE
    how = {"stdout": pipe, "stderr": pipe, "text": True, "env": environment(), **options}
    with subprocess.Popen(arguments(*words), **how) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def interruptible():
    """Let children be interrupted, even if the tests run in the background, deaf to Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_keeps_the_best_image_so_far(photo_file, painting_file, tmp_path):
    out = tmp_path / "out.png"
    with started(
        "stylize", photo_file, painting_file, "-o", out, "--json", *SMALL, "--steps", 100_000
    ) as process:
        assert "step 1/100000" in process.stderr.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=30)
    assert process.returncode == 130
    end = complained.splitlines()[-1]
    found = re.fullmatch(
        r"Interrupted at step (\d+) of 100000; wrote the best picture so far, (.*): 32 x 26 px, .*",
        end,
    )
    assert found, end
    assert found[2] == str(out)
    summary = json.loads(said)
    assert summary["finished"] is False
    assert summary["steps"] == int(found[1]) >= 1
    assert "Traceback" not in complained
    assert load_picture(out).size == (26, 32)
    noted = read_metadata(out)
    assert (noted["finished"], noted["steps"]) == (False, summary["steps"])


def wait_for_torch(pid: int) -> None:
    """Wait until a process has begun to load torch, so that it is past Python's own start."""
    maps = Path(f"/proc/{pid}/maps")
    for _ in range(3000):
        if not maps.exists() or "torch" in maps.read_text(encoding="utf-8"):
            return
        time.sleep(0.01)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_before_the_first_step(photo_file, painting_file, tmp_path):
    before = tree(tmp_path)
    with started(
        "stylize", photo_file, painting_file, "-o", tmp_path / "out.png", *SMALL
    ) as process:
        wait_for_torch(process.pid)
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "")
    assert complained in ("Interrupted: no picture written.\n", "")  # "": still loading the command
    assert tree(tmp_path) == before


def test_losses_are_those_of_the_image_that_is_written(stylize, monkeypatch):
    from impasto.painting.picture_plan import PicturePlan

    def wander(self, *words, **names):
        for index, loss in enumerate((4.0, 1.0, 2.0), 1):
            yield Step(torch.full((1, 3, 26, 32), loss / 8), {"style": loss}, index, 9)
        raise KeyboardInterrupt

    monkeypatch.setattr(PicturePlan, "steps", wander)
    outcome = stylize("--json")
    assert outcome.code == 130
    summary = json.loads(outcome.out)
    assert summary["losses"] == {"style": 1.0, "total": 1.0}
    assert summary["steps"] == 3


def test_the_best_step_so_far_is_of_the_finest_level_and_the_latest_terms():
    from impasto.cli.run_steps import _better

    def step(level, loss, **layers):
        return Step(None, {"style": loss}, 1, 9, level=level, levels=2, layers=layers)

    first, worse, better, finer = step(1, 5.0), step(1, 6.0), step(1, 4.0), step(2, 9.0)
    whole = step(1, 4.1, deep=0.1)
    assert _better(better, whole) is whole
    assert _better(None, first) is first
    assert _better(first, worse) is first
    assert _better(first, better) is better
    assert _better(better, finer) is finer


def test_after_divergence_the_last_good_image_is_kept(stylize, tmp_path, monkeypatch):
    from impasto.painting.picture_plan import PicturePlan

    steps = PicturePlan.steps

    def diverge(self, *words, **names):
        step = next(steps(self, *words, **names))
        yield step
        raise DivergenceError("the loss became nan", step.image)

    monkeypatch.setattr(PicturePlan, "steps", diverge)
    outcome = stylize("--json")
    assert outcome.code == 1
    assert "Error: the loss became nan\n" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("Wrote the last good picture, ")
    assert json.loads(outcome.out)["finished"] is False
    noted = read_metadata(tmp_path / "out.png")
    assert (noted["finished"], noted["steps"]) == (False, 1)


# ---- the bar ------------------------------------------------------------------------------------

LEVELS = (Level((36, 48), 48, 6), Level((72, 96), 96, 4))


def steps_of(levels):
    losses = {"content": 1234567.8, "style": 2.5e-07, "tv": 1999.9}
    index, count = 0, sum(level.steps for level in levels)
    for number, level in enumerate(levels, 1):
        for _ in range(level.steps):
            index += 1
            yield Step(None, losses, index, count, number, len(levels), seconds=index * 70.0)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_shows_all_and_fits_80_columns():
    screen = _Terminal()
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    with reporting(LEVELS, console, quiet=False) as report:
        for step in steps_of(LEVELS):
            report(step)
            time.sleep(0.03)
        time.sleep(0.3)
    text = re.sub(r"\x1b\[[\d?;]*[A-Za-z]", "\n", screen.getvalue())
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    assert max(map(len, lines)) <= 80
    last = next(line for line in reversed(lines) if "step" in line)
    assert last.startswith("level 2/2, 96 px ")
    assert "step 10/10" in last
    assert "11:40 elapsed" in last
    assert "0:00 left" in last
    assert "content 1.235e+06  style 2.5e-07  tv 2000" in text
    assert screen.getvalue().endswith("\x1b[1A\x1b[2K")  # wiped away


def test_a_finer_step_counts_by_its_pixels():
    lines = io.StringIO()
    console = Console(file=lines, width=200)
    with reporting(LEVELS, console, quiet=False) as report:
        for step in steps_of(LEVELS):
            report(step)
    # After 6 cheap steps of 22 units in all (6 · 1 + 4 · 4), 7 · 70 s mean 12/10 as much again.
    line = next(line for line in lines.getvalue().splitlines() if "step 7/10" in line)
    assert line.endswith("8:10 elapsed  9:48 left")


def test_a_real_terminal(photo_file, painting_file, tmp_path):
    """The bar comes, goes, and leaves one line behind."""
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals")
    main, other = pty.openpty()
    with started(
        "stylize", photo_file, painting_file, "-o", tmp_path / "out.png", *SMALL,
        stdout=None, stderr=other, env=environment(TERM="xterm", COLUMNS="80"),
    ) as process:  # fmt: skip
        os.close(other)
        seen = b""
        while select.select([main], [], [], 60)[0]:
            try:
                part = os.read(main, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not part:
                break
            seen += part
        os.close(main)
        process.wait(60)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[\d?;]*[A-Za-z]", "", seen.decode())
    assert "level 1/1, 32 px" in text
    assert "━" in text
    assert re.search(r"Wrote \S*out.png: 32 x 26 px, \d+ s\s*$", text)


def test_every_setting_has_its_flag_read_back(
    command, photo_file, painting_file, tmp_path, monkeypatch
):
    """Each flag sets its own field: given another value than the default, that one changes."""
    monkeypatch.setattr(torch, "compile", lambda run, **how: run)  # tests/test_encoder.py compiles
    others = {
        "precision": "bfloat16",
        "network": "vgg16", "weights_convention": "caffe", "pooling": "average",
        "padding": "zero", "tv_reduction": "sum", "optimizer": "adam", "init": "style",
        "resampling": "box", "protect": "faces", "faces": (0.25, 0.25, 0.5, 0.5),
        "style_layers": ("relu1_2", "relu3_1"), "content_layers": ("relu3_2",),
        "style_layer_weights": (1.0, 2.0), "content_layer_weights": (2.0,),
        "content_form": "mean", "style_form": "mean", "color": "pca",
        "content_weighting": "shares", "style_weighting": "geometric", "guidance": "inside",
    }  # fmt: skip
    words: list[str] = []
    expected: dict[str, object] = {}
    for option in dataclasses.fields(impasto.Settings):
        if option.name in ("weights", "statistic", "long_side", "steps", "level_steps"):
            continue
        flag, value = "--" + option.name.replace("_", "-"), option.default
        if isinstance(value, bool):
            value = not value
            words.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            value = others.get(option.name, value)
            if isinstance(value, int | float):
                value = value + 1 if value < 0.25 or value >= 1 else value / 2
                value = min(value, option.metadata["high"])
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [flag, shown]
        expected[option.name] = list(value) if isinstance(value, tuple) else value
    outcome = command(
        "stylize", photo_file, painting_file, "-qo", tmp_path / "out.png", "--json", *words, *SMALL
    )
    assert outcome.code == 0, outcome.err
    settings = json.loads(outcome.out)["settings"]
    assert {name: settings[name] for name in expected} == expected
    unchanged = impasto.Settings().to_dict()
    assert not [name for name in expected if settings[name] == unchanged[name]]


@pytest.mark.parametrize("flag", ["--plot", "--save-settings"])
def test_two_results_of_one_name_are_refused(flag, command, photo_file, painting_file, tmp_path):
    target = tmp_path / "out.png"
    outcome = command("stylize", photo_file, painting_file, "-o", target, flag, target, *SMALL)
    assert outcome.code == 1
    assert "named for two results" in outcome.err
    assert not target.exists()


def test_no_style_at_all_is_allowed(command, photo_file, painting_file, tmp_path):
    words = ["--style-weight", "0", "--style-layers", ""]
    outcome = command(
        "stylize", photo_file, painting_file, "-qo", tmp_path / "out.png", *words, *SMALL
    )
    assert outcome.code == 0, outcome.err


def test_nothing_is_written_when_not_even_the_start_is_finite(
    command, photo_file, painting_file, tmp_path
):
    target = tmp_path / "out.png"
    words = ["--style-weight", "1e300", "--plot", tmp_path / "plot.png"]
    outcome = command("stylize", photo_file, painting_file, "-o", target, *words, *SMALL)
    assert outcome.code == 1
    assert "the loss became" in outcome.err
    assert not target.exists()
