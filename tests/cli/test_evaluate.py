"""The command `impasto evaluate`."""

from __future__ import annotations

import inspect
import json
import re
import shutil

import pytest

from helpers import assert_clear_error
from impasto.cli.commands.evaluate import evaluate_command
from impasto.evaluation import GROUPS, METRICS
from impasto.evaluation.scores import LONG_SIDE
from impasto.pictures.files import load_image, save_image


@pytest.fixture
def painted(command, photo_file, painting_file, tmp_path):
    """A picture that impasto has painted, in a folder with its photo and its painting."""
    out = tmp_path / "pastiche.png"
    words = ("--long-side", 40, "--coarsest", 32, "--steps", 2, "-q")
    assert command("stylize", photo_file, painting_file, "-o", out, *words).code == 0
    return out


def test_the_table_has_all_metrics_by_group(command, painted, photo_file, painting_file):
    outcome = command("evaluate", painted, "--content", photo_file, "--style", painting_file)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "Compared at 40 x 32 px by vgg16, which did not paint this picture."
    titles = [line.partition(":")[0] for line in lines if re.match(r"[A-Z]\w+: ", line)]
    assert titles == [group.capitalize() for group in GROUPS]
    names = [line.split()[0] for line in lines if line.startswith("  ")]
    assert names == list(METRICS)
    measured = [line for line in lines if line.startswith("  ") and "not measured" not in line]
    assert len(measured) >= len(METRICS) - 5  # LPIPS, and the motif of so small a picture
    for line in measured:
        assert re.match(r"  \w+ +\d+\.\d{4}  (lower is better |higher is better)  \w", line), line
        assert len(line) <= 80
    (motif,) = [line for line in lines if line.startswith("  motif_gram")]
    assert "not measured: 10 x 8 px is too small" in motif


def test_json_has_the_same_numbers(command, painted, photo_file, painting_file):
    given = ("evaluate", painted, "-c", photo_file, "-s", painting_file)
    text = command(*given).out
    facts = json.loads(command(*given, "--json").out)
    assert list(facts["metrics"]) == list(METRICS)
    assert (facts["network"], facts["painted_by"]) == ("vgg16", "vgg19")
    assert (facts["width"], facts["height"]) == (40, 32)
    for name, value in facts["metrics"].items():
        assert (value is None) == (name in facts["missing"])
        if value is not None:
            assert re.search(rf"^  {name} +{value:.4f} ", text, re.MULTILINE), name


def test_photo_and_painting_are_found_by_the_metadata(command, painted, photo_file, tmp_path):
    photo_file.rename(tmp_path / "renamed.png")
    facts = json.loads(command("evaluate", painted, "--json").out)
    assert facts["metrics"]["gram"] > 0
    assert facts["metrics"]["features"] > 0
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.move(tmp_path / "painting.png", folder / "a.png")
    assert_clear_error(command("evaluate", painted), "painting.png", "--look-in")
    found = json.loads(command("evaluate", painted, "--look-in", folder, "--json").out)
    assert found["metrics"] == facts["metrics"]
    # What is named is not looked for.
    named = json.loads(command("evaluate", painted, "-s", folder / "a.png", "--json").out)
    assert named["metrics"] == facts["metrics"]


def test_a_picture_of_another_program_needs_names(command, photo_file, painting_file, tmp_path):
    save_image(load_image(photo_file), tmp_path / "other.png")
    assert_clear_error(
        command("evaluate", tmp_path / "other.png", "--content", photo_file),
        "other.png does not say which", "--content and --style",
    )  # fmt: skip
    outcome = command("evaluate", tmp_path / "other.png", "-c", photo_file, "-s", painting_file)
    assert "by vgg16, which may have painted this picture" in outcome.out


def test_several_styles(command, painted, photo_file, painting_file):
    one = command("evaluate", painted, "-c", photo_file, "-s", painting_file, "--json")
    two = command("evaluate", painted, "-c", photo_file, "-s", painting_file, "-s", photo_file,
                  "--json")  # fmt: skip
    assert json.loads(one.out)["metrics"]["gram"] != json.loads(two.out)["metrics"]["gram"]


def test_long_side_reduces_the_picture(command, painted, photo_file, painting_file):
    words = ("evaluate", painted, "-c", photo_file, "-s", painting_file, "--long-side", 30)
    assert "Compared at 30 x 24 px" in command(*words).out
    assert inspect.signature(evaluate_command).parameters["long_side"].default == LONG_SIDE


def test_wrong_input_is_one_line(command, painted, photo_file, painting_file, tmp_path):
    rest = ("-c", photo_file, "-s", painting_file)
    assert_clear_error(command("evaluate", tmp_path / "no.png", *rest), "no.png")
    assert_clear_error(command("evaluate", painted, "-c", tmp_path / "no.png", "-s", painting_file),
                       "no.png")  # fmt: skip
    assert_clear_error(command("evaluate", "-", *rest), "-: pictures that are measured")
    save_image(load_image(photo_file)[..., :10, :], tmp_path / "wide.png")
    assert_clear_error(command("evaluate", tmp_path / "wide.png", *rest), "same proportions")
