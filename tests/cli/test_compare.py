"""The command `impasto compare`: paint, measure, summarize; resume; pass over broken pictures."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from helpers import assert_clear_error
from impasto.evaluation import METRICS, evaluate
from impasto.evaluation.comparison import bootstrap

FILES = ("scores.csv", "summary.json", "sheet.png", "report.html", "blind.html")
SMALL = ("--long-side", 40, "--coarsest", 32, "--steps", 2)


def drawn(seed, size=(40, 32)):
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def pairs(tmp_path):
    """Three pairs with results of two methods, `a` (the photo) and `b` (a mixture)."""
    lines = ["pair,content,style"]
    for folder in ("in", "a", "b"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        photo, painting = drawn(number), drawn(10 + number, (36, 36))
        photo.save(tmp_path / "in" / f"photo{number}.png")
        painting.save(tmp_path / "in" / f"painting{number}.png")
        Image.blend(photo, drawn(20 + number), 0.2).save(tmp_path / "a" / f"p{number}.png")
        Image.blend(photo, drawn(30 + number), 0.7).save(tmp_path / "b" / f"p{number}.png")
        lines.append(f"p{number},in/photo{number}.png,in/painting{number}.png")
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join(lines), encoding="utf-8")
    return table


@pytest.fixture
def methods(tmp_path):
    return ("-m", f"a={tmp_path / 'a'}", "-m", f"b={tmp_path / 'b'}")


def rows(folder):
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def summary(folder):
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def test_every_result_has_a_row_with_the_numbers_of_evaluate(command, pairs, methods, tmp_path):
    outcome = command("compare", pairs, *methods, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "3 pairs, 2 methods, 0 painted, 6 measured" in outcome.err
    found = rows(tmp_path / "out")
    assert [(row["pair"], row["method"]) for row in found] == [
        (f"p{number}", method) for number in range(3) for method in "ab"
    ]
    assert list(found[0])[-len(METRICS) :] == list(METRICS)
    inputs = tmp_path / "in"
    alone = evaluate(tmp_path / "b" / "p1.png", inputs / "photo1.png", inputs / "painting1.png")
    for metric in METRICS:
        cell = found[3][metric]
        assert (float(cell) if cell else None) == alone.values.get(metric)
    assert (tmp_path / "out" / found[3]["result"]).samefile(tmp_path / "b" / "p1.png")


def test_the_summary_is_that_of_the_rows(command, pairs, methods, tmp_path):
    outcome = command("compare", pairs, *methods, "-o", tmp_path / "out", "--json", "-q")
    facts = summary(tmp_path / "out")
    assert json.loads(outcome.out)["metrics"] == facts["metrics"]
    found = rows(tmp_path / "out")
    a, b = (
        np.array([float(row["features"]) for row in found if row["method"] == name])
        for name in "ab"
    )
    own = facts["metrics"]["features"]["methods"]
    assert own["a"]["mean"] == pytest.approx(a.mean())
    assert own["b"]["difference"] == pytest.approx((b - a).mean())
    expected = bootstrap(b - a)
    assert own["b"]["difference_interval"] == pytest.approx([expected.low, expected.high])
    assert own["a"]["difference"] is None
    assert facts["pareto"][0]["front"][0] == "a"  # it has more of the photo
    assert facts["network"] == "vgg16"


def test_a_second_run_measures_nothing_and_writes_the_same(
    command, pairs, methods, tmp_path, monkeypatch
):
    given = ("compare", pairs, *methods, "-m", "fast=recipe:fast", *SMALL, "-o", tmp_path / "out")
    first = command(*given)
    assert "3 painted, 9 measured" in first.err, first.err
    before = {name: (tmp_path / "out" / name).read_bytes() for name in FILES}

    def never(*words, **options):
        raise AssertionError("measured again")

    with monkeypatch.context() as patch:
        patch.setattr("impasto.evaluation.comparison.measurements.evaluate", never)
        patch.setattr("impasto.painting.stylizer.Stylizer.plan", never)
        second = command(*given)
    assert second.code == 0
    assert "0 painted, 0 measured" in second.err
    for name, data in before.items():
        assert (tmp_path / "out" / name).read_bytes() == data
    # Only what changes is measured again: another result, and other settings.
    shutil.copy(tmp_path / "a" / "p2.png", tmp_path / "b" / "p2.png")
    assert "0 painted, 1 measured" not in second.err
    assert "0 painted, 0 measured" in command(*given).err  # a has measured these pixels already
    drawn(77).save(tmp_path / "b" / "p2.png")
    assert "0 painted, 1 measured" in command(*given).err
    assert "3 painted, 3 measured" in command(*given, "--seed", 5, "--init", "noise").err


def test_a_stopped_run_goes_on(command, pairs, methods, tmp_path, monkeypatch):
    given = ("compare", pairs, *methods, "-m", "fast=recipe:fast", *SMALL, "-o")
    assert command(*given, tmp_path / "whole").code == 0
    from impasto.evaluation.comparison import measurements

    usual, calls = measurements.evaluate, []

    def stopped(*words, **options):
        calls.append(words)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return usual(*words, **options)

    with monkeypatch.context() as patch:
        patch.setattr(measurements, "evaluate", stopped)
        outcome = command(*given, tmp_path / "out")
    assert outcome.code == 130
    assert "Interrupted" in outcome.err
    outcome = command(*given, tmp_path / "out")
    assert "0 painted, 6 measured" in outcome.err
    a, b = rows(tmp_path / "whole"), rows(tmp_path / "out")
    assert a == b
    assert summary(tmp_path / "whole") == summary(tmp_path / "out")


def test_a_broken_picture_is_one_line_and_the_rest_goes_on(command, pairs, methods, tmp_path):
    (tmp_path / "b" / "p1.png").write_bytes(b"no picture")
    (tmp_path / "a" / "p2.png").unlink()
    outcome = command("compare", pairs, *methods, "-o", tmp_path / "out", "-q")
    assert outcome.code == 1
    lines = outcome.err.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == ["p2, a", "p1, b"]
    assert "p1.png" in lines[1]
    assert "has no picture p2.png" in lines[0]
    assert len(rows(tmp_path / "out")) == 4
    facts = summary(tmp_path / "out")
    assert facts["metrics"]["features"]["methods"]["a"]["pairs"] == 1
    assert [f"Left out: {line}" for line in facts["problems"]] == lines


def test_a_broken_photo_takes_its_pair_only(command, pairs, methods, tmp_path):
    (tmp_path / "in" / "photo0.png").write_bytes(b"")
    outcome = command("compare", pairs, *methods, "-o", tmp_path / "out")
    assert outcome.code == 1
    assert outcome.err.count("Left out: ") == 1
    assert "1 picture could not be used" in outcome.err
    assert {row["pair"] for row in rows(tmp_path / "out")} == {"p1", "p2"}


def test_no_result_at_all_leaves_no_old_sheet(command, pairs, methods, tmp_path):
    given = ("compare", pairs, *methods, "-o", tmp_path / "out")
    assert command(*given).code == 0
    assert (tmp_path / "out" / "sheet.png").exists()
    for path in (tmp_path / "in").glob("photo*"):
        path.write_bytes(b"")
    outcome = command(*given)
    assert outcome.code == 1
    assert rows(tmp_path / "out") == []
    assert not (tmp_path / "out" / "sheet.png").exists()


def test_all_results_of_a_pair_are_compared_at_the_smallest_size(command, pairs, methods, tmp_path):
    drawn(50, (80, 64)).save(tmp_path / "b" / "p0.png")
    outcome = command("compare", pairs, *methods, "-o", tmp_path / "out")
    assert "1 of 3 pairs have different sizes" in outcome.err
    assert {(row["width"], row["height"]) for row in rows(tmp_path / "out")} == {("40", "32")}


def test_one_network_measures_all(command, pairs, methods, tmp_path):
    given = ("compare", pairs, *methods, *SMALL, "--network", "vgg16", "-m", "own=recipe:fast")
    assert command(*given, "-o", tmp_path / "out").code == 0
    found = rows(tmp_path / "out")
    assert {row["measured_by"] for row in found} == {"vgg19"}
    assert {row["painted_by"] for row in found} == {"", "vgg16"}


def test_other_separators_and_spaces(command, pairs, methods, tmp_path):
    text = pairs.read_text(encoding="utf-8").replace(",", "; ")
    pairs.write_text("\ufeff" + text.replace("pair;", "Pair;"), encoding="utf-8")
    outcome = command("compare", pairs, *methods, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert len(rows(tmp_path / "out")) == 6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pair,photo\na,b\n", ["columns pair, photo", "pair, content, style"]),
        ("pair,content,style\n", ["has no pair"]),
        ("pair,content,style\na,b\n", ["line 2", "style is empty"]),
        ("pair,content,style\na,b,c\na,b,c\n", ["line 3", "two pairs"]),
        ("pair,content,style\n../a,b,c\n", ["line 2", "slash"]),
    ],
)
def test_a_wrong_table_is_one_line(command, pairs, methods, tmp_path, text, words):
    pairs.write_text(text, encoding="utf-8")
    assert_clear_error(command("compare", pairs, *methods, "-o", tmp_path / "out"), *words)


def test_a_name_that_is_no_utf_8_is_written_with_an_escape(command, pairs, tmp_path):
    name = "\udcff"  # how Python reads such a byte of a command line
    given = ("-m", f"{name}={tmp_path / 'a'}", "-m", f"{name}2=recipe:fast", *SMALL)
    outcome = command("compare", pairs, *given, "-o", tmp_path / "out", "-q")
    assert outcome.code == 0, outcome.err
    assert {row["method"] for row in rows(tmp_path / "out")} == {r"\udcff", r"\udcff2"}
    assert r"Comparison of \udcff, " in (tmp_path / "out" / "report.html").read_text("utf-8")
    assert summary(tmp_path / "out")["methods"] == [name, f"{name}2"]


def test_wrong_words_are_one_line(command, pairs, methods, tmp_path):
    def refused(*words):
        return command("compare", pairs, *words, "-o", tmp_path / "out")

    assert_clear_error(refused("-m", "town"), "--method town", "NAME=FOLDER")
    assert_clear_error(refused("-m", "x=recipe:"), "NAME=recipe:RECIPE")
    assert_clear_error(refused("-m", "x=recipe:fats"), "fats", "did you mean fast")
    assert_clear_error(refused("-m", f"x={tmp_path / 'no'}"), "no such folder")
    assert_clear_error(refused(*methods, *methods), "the same name")
    assert_clear_error(refused(*methods, "--steps", 3), "--steps would change nothing")
    assert_clear_error(command("compare", "-", *methods, "-o", tmp_path / "out"), "-: comparisons")


def test_files_of_others_are_not_replaced(command, pairs, methods, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scores.csv").write_text("mine", encoding="utf-8")
    given = ("compare", pairs, *methods, "-o", tmp_path / "out")
    assert_clear_error(command(*given), "scores.csv exists already")
    assert command(*given, "--force").code == 0
    (tmp_path / "out" / "measurements.json").write_text("[1]", encoding="utf-8")
    assert_clear_error(command(*given), "measurements.json is not a file of scores")


def test_an_input_is_never_replaced(command, pairs, methods, tmp_path):
    drawn(1).save(tmp_path / "summary.json", "png")
    pairs.write_text("pair,content,style\np1,summary.json,in/painting1.png\n", encoding="utf-8")
    outcome = command("compare", pairs, *methods, "-o", tmp_path, "--force")
    assert_clear_error(outcome, "summary.json", "inputs are never overwritten")
