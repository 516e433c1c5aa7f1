"""A time budget, with a clock that only the steps move."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
import torch

from impasto.painting.canvas import minimize
from impasto.painting.inputs import load_inputs
from impasto.painting.memory_plan import Workload
from impasto.painting.picture_plan import PicturePlan
from impasto.painting.pyramid import pyramid
from impasto.painting.stylizer import Stylizer
from impasto.painting.time_budget import TimeBudget
from impasto.pictures.picture import resize
from impasto.settings.pictures import Settings


class Clock:
    """A clock that stands still until a step moves it."""

    def __init__(self, monkeypatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def painted(clock, seconds, *, side=128, cost=3.2e-5, coarsest=32, **settings) -> tuple:
    """Paint within a time. A step takes `cost` seconds for each pixel.

    Returns: the steps at each side, and the seconds that it took.
    """
    budget, start = TimeBudget(clock.now + seconds), clock.now
    chosen = budget.schedule(Settings(long_side=side, coarsest=coarsest, **settings))
    works = tuple(
        Workload(level, None, 5, half=False, memory=0.0) for level in pyramid((side, side), chosen)
    )

    def aim(work):
        def losses(image):
            clock.now += cost * work.pixels
            return {"content": image.square().sum()}

        return losses

    plan = PicturePlan(
        settings=chosen, works=works, inputs={}, budget=budget, aim=aim,
        begin=lambda size: torch.full((1, 3, *size), 0.5), enlarge=resize,
        descend=lambda image, losses, work: minimize(
            image, losses, work, chosen, torch.device("cpu")
        ),
        complete=lambda image: resize(image, (side, side)),
    )  # fmt: skip
    pastiche = plan.paint()
    counts = pastiche.settings.level_steps
    assert pastiche.image.shape[-2:] == (side, side)
    return dict(
        zip((work.level.long_side for work in works), counts, strict=False)
    ), clock.now - start


@pytest.mark.parametrize("cost", [3.2e-6, 3.2e-5, 1.3e-4])
@pytest.mark.parametrize("seconds", [10, 30, 60])
def test_the_time_is_used_and_not_exceeded(clock, seconds, cost):
    counts, taken = painted(clock, seconds, cost=cost)
    assert 0.85 * seconds < taken <= 1.02 * seconds or sum(counts.values()) >= 1900
    assert max(counts) == 128 or (seconds, cost) == (10, 1.3e-4)
    assert min(counts.values()) >= 3


def test_levels_share_the_steps_as_settings_do(clock):
    even, _ = painted(clock, 60)
    assert max(even.values()) < 2.5 * min(even.values())
    falling, _ = painted(clock, 60, step_decay=1.0)
    assert all(a > b for a, b in pairwise(falling.values()))


def test_finer_levels_are_left_out_if_the_time_is_short(clock):
    counts, taken = painted(clock, 3, cost=1.3e-4)
    assert taken > 2.0
    assert 128 not in counts
    assert counts[32] >= 3
    assert taken < 3.3


def test_there_is_always_a_picture(clock):
    counts, _ = painted(clock, -5.0)  # the time was over before painting began
    assert counts[32] >= 3


def test_a_slower_machine_has_fewer_steps_at_the_same_levels(clock):
    quick, slow = (painted(clock, 60, cost=cost)[0] for cost in (1.6e-5, 6.4e-5))
    assert quick.keys() == slow.keys()
    assert sum(quick.values()) > 2 * sum(slow.values())


def test_one_size_only_is_still_painted_from_coarse_to_fine(clock):
    assert min(painted(clock, 10, side=256, coarsest=0)[0]) == 128
    assert min(painted(clock, 10, side=64, coarsest=0)[0]) == 64


def test_the_same_picture_again_without_a_clock(photo, painting):
    settings = Settings(long_side=64, coarsest=32)
    stylizer = Stylizer(settings)
    inputs = load_inputs(photo, painting, settings)
    pastiche = stylizer.plan(inputs, budget=TimeBudget(time.perf_counter() + 0.6)).paint()
    again = stylizer.with_settings(pastiche.settings).plan(inputs).paint()
    assert torch.equal(again.image, pastiche.image)
    assert len(again.history) == len(pastiche.history) == sum(pastiche.settings.level_steps)
