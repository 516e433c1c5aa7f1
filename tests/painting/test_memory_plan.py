"""How levels are computed within a budget, and what the command plan tells of it."""

from __future__ import annotations

import itertools
import json
import re
import sys

import pytest
import torch

from helpers import assert_close
from impasto import machine
from impasto.errors import MemoryLimitError, SettingsError
from impasto.machine import free_memory
from impasto.network.encoder import Encoder
from impasto.optimize.lbfgs import LBFGS, seconds_per_pair
from impasto.painting.inputs import load_inputs
from impasto.painting.memory_plan import show_bytes, workloads
from impasto.painting.pyramid import Level, pyramid
from impasto.painting.stylizer import Stylizer
from impasto.painting.timing import Pace, measure_pace
from impasto.pictures.files import load_image, read_metadata
from impasto.settings.pictures import Settings
from impasto.settings.units import parse_memory

GB = 1e9
SHAPE = (300, 400)


@pytest.fixture(scope="module")
def encoder():
    return Stylizer(Settings()).encoder


def plan(encoder, budget, long_side=4096, **changes):
    settings = Settings(long_side=long_side, **changes)
    return workloads(pyramid(SHAPE, settings), encoder, settings, budget=budget)


def test_with_memory_enough_every_level_is_whole(encoder):
    for budget in (None, 1000 * GB):
        for work in plan(encoder, budget):
            assert (work.tile, work.tiles, work.history, work.half) == (None, (), 20, False)


@pytest.mark.parametrize("budget", [4 * GB, 6 * GB, 12 * GB, 24 * GB])
def test_plans_keep_within_their_budget(encoder, budget):
    works = plan(encoder, budget, steps=2000)
    assert [work.level for work in works] == list(
        pyramid(SHAPE, Settings(long_side=4096, steps=2000))
    )
    assert all(work.memory <= budget for work in works)
    assert works[0].tile is None
    assert works[-1].tiles


def test_less_memory_means_smaller_tiles_and_less_history(encoder):
    finest = [plan(encoder, gb * GB, steps=2000)[-1] for gb in (3.5, 4, 6, 8, 12, 16, 24, 48)]
    areas = [max((each.outer.area for each in work.tiles), default=10**9) for work in finest]
    assert areas == sorted(areas)
    assert len(set(areas)) > 3
    assert finest[0].half
    assert finest[0].history < finest[-1].history == 20


def test_tiles_of_a_plan_have_every_pixel_once(encoder):
    work = plan(encoder, 4 * GB)[-1]
    counted = torch.zeros(work.level.size)
    for tile in work.tiles:
        tile.inner.of(counted).add_(1)
    assert bool((counted == 1).all())


def test_what_does_not_fit_names_the_largest_size_that_does(encoder):
    budget = 1.2 * GB
    with pytest.raises(
        MemoryLimitError, match=r"^4096 px need at least [\d.]+ GB of memory"
    ) as error:
        plan(encoder, budget)
    side = int(str(error.value).split("the largest size that fits is ")[1].split()[0])
    assert 256 < side < 4096
    assert plan(encoder, budget, long_side=side)[-1].memory <= budget
    with pytest.raises(MemoryLimitError):
        plan(encoder, budget, long_side=round(side * 1.05))


def test_where_nothing_fits_no_size_is_named(encoder):
    with pytest.raises(MemoryLimitError) as error:
        plan(encoder, 60e6)
    assert "the largest size that fits" not in str(error.value)
    assert str(error.value).endswith("; allow more memory, or free some")


def test_statistics_that_cannot_be_cut_say_so(encoder):
    assert plan(encoder, 100 * GB, statistic="sliced")[-1].tiles == ()
    with pytest.raises(
        MemoryLimitError, match=r"largest size that fits is .*statistic sliced is not a sum"
    ):
        plan(encoder, 6 * GB, statistic="sliced")


def test_tiles_that_were_asked_for_are_taken_also_where_memory_allows_more(encoder):
    settings = Settings(long_side=1024)
    works = workloads(pyramid(SHAPE, settings), encoder, settings, budget=None, tile=300)
    assert [work.tile for work in works] == [None, None, None, 300, 300, 300, 300]
    for work in works:
        for tile in work.tiles:
            assert max(tile.inner.height, tile.inner.width) <= 300


def test_a_budget_changes_how_a_picture_is_computed_and_not_the_picture(examples):
    photo = load_image(examples / "kingfisher.jpg", long_side=320)
    painting = load_image(examples / "langlois_bridge_van_gogh.jpg", long_side=320)
    settings = Settings(long_side=320, coarsest=0, steps=3)
    whole = Stylizer(settings)
    inputs = load_inputs(photo, painting, settings)
    (work,) = whole.plan(inputs).works
    thrifty = Stylizer(settings, memory=0.95 * work.memory)
    (less,) = thrifty.plan(inputs).works
    assert len(less.tiles) > 1
    images = [list(each.steps(photo, painting))[-1] for each in (whole, thrifty)]
    assert images[1].total == pytest.approx(images[0].total, rel=1e-3)
    assert_close(images[1].image, images[0].image, relative=5e-3)


def test_pace_counts_margins_and_a_second_look_for_tiles(encoder):
    pace = Pace(fixed=0.5, step=3e-6, forward=1e-6)
    whole, cut = (plan(encoder, budget, steps=8)[-1] for budget in (None, 6 * GB))
    pixels = 4096 * 3072
    assert pace.seconds_per_step(whole) == pytest.approx(0.5 + 3e-6 * pixels)
    seen = sum(tile.outer.area for tile in cut.tiles)
    assert seen > pixels
    assert pace.seconds_per_step(cut) == pytest.approx(len(cut.tiles) * 0.5 + 4e-6 * seen)
    steps = cut.level.steps
    expected = steps * pace.seconds_per_step(cut) + 1e-6 * (seen + 1000)
    assert pace.seconds(cut, 1000) == pytest.approx(expected)


@pytest.mark.parametrize("steps", [3, 20, 50])
def test_pace_counts_what_is_remembered_at_each_step(encoder, steps):
    pace = Pace(fixed=0.0, step=0.0, forward=0.0, pair=1e-7)
    settings = Settings(long_side=64, coarsest=0, steps=steps)
    (work,) = workloads(pyramid(SHAPE, settings), encoder, settings, budget=None)
    remembered = sum(min(before, 20) for before in range(steps))
    pixels = work.level.size[0] * work.level.size[1]
    assert steps * pace.seconds_per_step(work) == pytest.approx(1e-7 * pixels * remembered)


def test_what_a_pair_costs_is_the_least_that_was_measured(photo, monkeypatch):
    """Other work on the machine makes a measurement longer, now and then, and never shorter."""
    now, delays = 0.0, itertools.cycle((0.0, 7.0, 0.3))
    precondition = LBFGS._precondition

    def slowly(self, gradient):
        nonlocal now
        now += 2.0 + 0.25 * len(self.pairs) + next(delays)
        return precondition(self, gradient)

    monkeypatch.setattr(LBFGS, "_precondition", slowly)
    assert seconds_per_pair(photo, clock=lambda: now) == pytest.approx(0.25)


def test_a_clock_that_stands_still_makes_pairs_cost_nothing(photo):
    assert seconds_per_pair(photo, clock=lambda: 1.0) == 0


def test_what_is_not_remembered_costs_nothing(examples):
    photo = load_image(examples / "kingfisher.jpg", long_side=64)
    adam = Stylizer(Settings(optimizer="adam", long_side=64))
    inputs = load_inputs(photo, photo, adam.settings)
    assert measure_pace(adam, inputs).pair == 0


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_free_memory_is_what_linux_says():
    free = free_memory(torch.device("cpu"))
    (total,) = (
        value for name, value in machine._lines("/proc/meminfo").items() if name == "MemTotal"
    )
    assert free is not None
    assert 0 < free < total


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"memory.max": "3000\n", "memory.current": "1000\n", "memory.stat": "anon 5\n"}, [2000]),
        ({"memory.max": "max\n", "memory.current": "1000\n", "memory.stat": ""}, []),
        (
            {
                "memory.max": "3000\n",
                "memory.current": "2900\n",
                "memory.stat": "anon 5\ninactive_file 700\n",
            },
            [800],
        ),
        (
            {
                "memory/memory.limit_in_bytes": "50\n",
                "memory/memory.usage_in_bytes": "20\n",
                "memory/memory.stat": "total_inactive_file 5\n",
            },
            [35],
        ),
        ({"memory.max": "lots\n", "memory.current": "1000\n", "memory.stat": ""}, []),
        ({}, []),
    ],
)
def test_containers_may_have_less(tmp_path, files, expected):
    (tmp_path / "memory").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert machine._group_limits(tmp_path, tmp_path / "none") == expected


def test_limits_of_groups_around_the_own_one_count(tmp_path):
    """As a cluster's scheduler sets them: on a group in a group."""
    for name, most in (("", "max"), ("jobs", "5000"), ("jobs/7", "max"), ("jobs/7/step", "4000")):
        folder = tmp_path / "root" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(most)
        (folder / "memory.current").write_text("1000")
        (folder / "memory.stat").write_text("inactive_file 0")
    own = tmp_path / "cgroup"
    own.write_text("0::/jobs/7/step\n")
    assert sorted(set(machine._group_limits(tmp_path / "root", own))) == [3000, 4000]


def test_the_kernel_is_known_not_to_serve_exact_encoders(toy):
    fast, exact = (Encoder(("relu2_1",), weights=toy, exact=each) for each in (False, True))
    assert not exact.uses_kernel
    assert Encoder(("relu2_1",), weights=toy, precision="bfloat16").uses_kernel is False
    assert fast.channels("relu2_1") == toy.layers["conv2_1"][1].shape[0]
    assert fast.channels("pool1") == toy.layers["conv1_2"][1].shape[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4GB", 4e9), ("4 GiB", 4 * 2**30), ("1.5g", 1.5e9), ("800mb", 800e6), ("0.5T", 5e11),
        ("3000000000", 3e9),
    ],
)  # fmt: skip
def test_memory_is_read_as_people_write_it(text, expected):
    assert parse_memory(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "GB", "4 gigs", "-4GB", "4", "40MB", "4GBit", "nan"])
def test_what_is_no_memory_says_what_would_be(text):
    with pytest.raises(SettingsError, match="is not a size of at least 50 MB; write it like 4GB"):
        parse_memory(text)


def test_sizes_are_shown_in_gigabytes():
    assert (show_bytes(3.14e9), show_bytes(812e6)) == ("3.14 GB", "812 MB")


# ---- the command line ---------------------------------------------------------------------------


def test_plan_tells_levels_memory_and_time(command, photo_file, painting_file):
    outcome = command("plan", photo_file, painting_file, "--long-side", "256", "--steps", "30",
                      "--memory", "8GB")  # fmt: skip
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert " ".join(lines[0].split()) == "size steps memory per step total tiles history"
    assert [line.split()[0] for line in lines[1:4]] == ["128", "181", "256"]
    assert all(line.split()[-2:] == ["whole", "20"] for line in lines[1:4])
    assert re.fullmatch(
        r"About [\d:]+ on this machine, in up to [\d.]+ [GM]B of memory\.", lines[-1]
    )


def test_the_largest_plan_fits_a_terminal(encoder):
    from impasto.cli.commands.plan import _table

    works = plan(encoder, 48 * GB, long_side=16384, steps=4000)
    assert works[-1].half
    pace = Pace(fixed=0.1, step=4e-6, forward=1e-6)
    assert all(len(line) <= 80 for line in _table(works, pace, [10**6], beginning=2.0))


def test_plan_needs_no_painting_and_speaks_json(command, photo_file):
    outcome = command("plan", photo_file, "--long-side", "181", "--steps", "20", "--json")
    facts = json.loads(outcome.out)
    assert [level["width"] for level in facts["levels"]] == [128, 181]
    assert sum(level["steps"] for level in facts["levels"]) == 20
    assert facts["memory"] == max(level["memory"] for level in facts["levels"]) > 100e6
    assert facts["seconds"] == pytest.approx(sum(e["seconds"] for e in facts["levels"]), abs=0.3)


def test_plan_shows_tiles_where_memory_is_short(command, photo_file):
    outcome = command(
        "plan", photo_file, "--long-side", "2048", "--coarsest", "0", "--steps", "20",
        "--memory", "3GB", "--device", "cpu", "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    (level,) = json.loads(outcome.out)["levels"]
    assert level["tiles"] > 1
    assert level["memory"] <= 3e9


def test_too_little_memory_ends_before_anything_is_painted(
    command, photo_file, painting_file, tmp_path
):
    outcome = command(
        "stylize", photo_file, painting_file, "-o", tmp_path / "out.png", "--memory", "300MB",
        "--device", "cpu",
    )  # fmt: skip
    assert outcome.code == 1
    assert outcome.err.startswith("Error: 512 px need at least")
    assert not (tmp_path / "out.png").exists()


def test_stylize_says_what_it_chose(command, photo_file, painting_file, tmp_path):
    outcome = command(
        "stylize", photo_file, painting_file, "-o", tmp_path / "out.png", "--long-side", "420",
        "--coarsest", "0", "--steps", "2", "--memory", "950MB", "--device", "cpu",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "420 px: " in outcome.err
    assert " tiles of " in outcome.err
    assert ", up to " in outcome.err
    (noted,) = read_metadata(tmp_path / "out.png")["computed"]
    assert noted["long_side"] == 420
    assert noted["tile"] < 420


def test_budgets_grow_with_what_is_asked(encoder):
    """More pixels, more history or wider numbers never need less."""
    needs = [
        plan(encoder, None, long_side=side, coarsest=0)[-1].memory for side in (256, 512, 1024)
    ]
    assert needs == sorted(needs)
    for shorter, longer in itertools.pairwise((5, 10, 20)):
        one, other = (plan(encoder, None, history=each)[-1].memory for each in (shorter, longer))
        assert one < other
    assert isinstance(plan(encoder, None)[0].level, Level)
