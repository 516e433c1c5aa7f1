"""The loop from coarse to fine, and going on after any of its steps."""

from __future__ import annotations

import pytest
import torch

from impasto.optimize.loop import Step
from impasto.painting.inputs import load_inputs
from impasto.painting.memory_plan import Workload
from impasto.painting.picture_plan import PicturePlan
from impasto.painting.pyramid import Level
from impasto.painting.stylizer import Stylizer
from impasto.settings.pictures import Settings

LEVELS = (Level((6, 8), 8, 10), Level((12, 16), 16, 20), Level((24, 32), 32, 30))
QUICK = Settings(long_side=64, steps=9, coarsest=32, style_layers=("relu1_1", "relu2_1"))


def counting_plan(seen: list[tuple[int, int]]) -> PicturePlan:
    """A plan whose levels note their size and steps, and add 1 to the picture at each step."""

    def descend(image, losses, work):
        seen.append((work.level.long_side, work.level.steps))
        for index in range(1, work.level.steps + 1):
            yield Step(image + index, {"style": 1.0}, index, work.level.steps, seconds=1.0 * index)

    return PicturePlan(
        settings=Settings(),
        works=tuple(Workload(level, None, 20, False, 0.0) for level in LEVELS),
        inputs={},
        begin=lambda size: torch.zeros(1, 3, *size),
        enlarge=lambda image, size: torch.full((1, 3, *size), float(image.mean())),
        aim=lambda work: lambda image: {},
        descend=descend,
        complete=lambda image: image,
        kinds=("content", "style"),
    )


def test_a_whole_run_goes_through_all_levels():
    seen = []
    steps = list(counting_plan(seen).steps())
    assert seen == [(8, 10), (16, 20), (32, 30)]
    assert [step.index for step in steps] == list(range(1, 61))
    assert {step.count for step in steps} == {60}
    assert [step.level for step in steps] == [1] * 10 + [2] * 20 + [3] * 30
    assert steps[-1].seconds == 60.0
    assert steps[0].losses == {"content": 0.0, "style": 1.0}


@pytest.mark.parametrize(
    ("index", "level", "left"),
    [
        (1, 1, [(8, 9), (16, 20), (32, 30)]),
        (10, 1, [(16, 20), (32, 30)]),
        (15, 2, [(16, 15), (32, 30)]),
        (59, 3, [(32, 1)]),
        (60, 3, [(32, 1)]),  # one more, to look at the picture
    ],
)
def test_a_run_goes_on_after_a_step(index, level, left):
    seen = []
    start = Step(torch.ones(1, 3, 12, 16), {}, index, 60, level=level, levels=3, seconds=7.0)
    steps = list(counting_plan(seen).steps(start))
    assert seen == left
    assert steps[-1].index == 60
    assert steps[0].index == min(index + 1, 60)
    assert steps[0].seconds == 8.0
    assert [step.index for step in steps] == list(range(steps[0].index, 61))


def test_a_stylizer_goes_on_after_any_of_its_steps(photo, painting):
    stylizer = Stylizer(QUICK)
    whole = list(stylizer.steps(photo, painting))
    middle = whole[4]
    rest = list(stylizer.steps(photo, painting, start=middle))
    assert [step.index for step in rest] == [6, 7, 8, 9]
    assert [step.level for step in rest] == [step.level for step in whole[5:]]
    assert rest[-1].total < middle.total or rest[-1].level > middle.level
    assert rest[-1].image.shape == whole[-1].image.shape


def test_other_settings_share_the_network_where_they_can(photo, painting):
    stylizer = Stylizer(QUICK)
    heavier = stylizer.with_settings(QUICK.replace(style_weight=500.0))
    assert heavier.encoder is stylizer.encoder
    assert heavier.settings.style_weight == 500.0
    assert stylizer.settings.style_weight == QUICK.style_weight
    deeper = stylizer.with_settings(QUICK.replace(style_layers=("relu3_1",)))
    assert deeper.encoder is not stylizer.encoder
    assert "relu3_1" in deeper.encoder.layers


def test_a_plan_is_what_the_stylizer_paints(photo, painting):
    stylizer = Stylizer(QUICK)
    plan = stylizer.plan(load_inputs(photo, painting, QUICK))
    planned, direct = plan.paint(), stylizer.stylize(photo, painting)
    assert torch.equal(planned.image, direct.image)
    assert planned.metadata == direct.metadata
    assert len(planned.history) == 9
