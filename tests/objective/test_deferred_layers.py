"""Layers that hardly count are put off, and only those; what is looked at is as it always is."""

from __future__ import annotations

import pytest
import torch

from helpers import assert_close
from impasto import Settings
from impasto.cli.recorder import plot_losses
from impasto.network.encoder import Encoder
from impasto.objective.deferred_layers import Deferral, deferring
from impasto.objective.layer_weights import seen_layers
from impasto.objective.objective import Objective
from impasto.objective.targets import StyleTarget, Targets, measure_content, measure_style
from impasto.optimize.loop import optimize
from impasto.painting.stylizer import Stylizer
from impasto.settings.recipes import RECIPES, recipe_settings
from impasto.style import chosen_statistic

STYLE = ("relu1_1", "relu2_1", "relu3_1")
SETTINGS = Settings(
    content_layers=("relu2_2",), style_layers=STYLE, statistic="gram", deferred_share=0.01,
    style_layer_weights=(1.0, 1.0, 1e-5),
)  # fmt: skip


@pytest.fixture
def aim(toy, photo, painting):
    """aim(settings, parts=1, double=False) → an objective for the toy network."""

    def call(settings, parts=1, double=False, **more):
        encoder = Encoder(seen_layers(settings), weights=toy, exact=double)
        encoder = encoder.double() if double else encoder
        dtype = next(encoder.buffers()).dtype
        style = measure_style(
            encoder, painting.to(dtype), seen_layers(settings, "style"), chosen_statistic(settings)
        )
        content = measure_content(encoder, photo.to(dtype), seen_layers(settings, "content"))
        weight = settings.largest_style_weight
        targets = Targets(content, [StyleTarget(style, weight)] * parts)
        return Objective(encoder, targets, settings, **more)

    return call


def seen_at(objective, steps, photo, name="style relu3_1"):
    """At which evaluations, from 1, a term is looked at."""
    terms = deferring(objective, steps)
    return [index for index in range(1, steps + 1) if name in terms(photo * 0.5)]


def test_a_layer_that_hardly_counts_waits_from_the_first_tenth_to_the_last(aim, photo):
    assert seen_at(aim(SETTINGS), 30, photo) == [1, 2, 3, 28, 29, 30]


def test_all_others_are_looked_at_as_ever(aim, photo):
    objective = aim(SETTINGS)
    whole, terms = objective.by_layer(photo * 0.5), deferring(objective, 30)
    for _ in range(30):
        losses = terms(photo * 0.5)
        assert set(whole) - {"style relu3_1"} <= set(losses)
        assert all(losses[name] == whole[name] for name in losses)


@pytest.mark.parametrize(
    "changed",
    [
        {"deferred_share": 0.0},
        {"style_layer_weights": (1.0, 1.0, 1.0)},  # it counts
        {"patience": 5},  # the last tenth may never come
        {"normalize_gradients": True},  # losses do not tell how a layer pulls
        {"content_layers": ("relu3_1",)},  # the photo is looked at there
        {"content_layers": ("relu3_2",)},
        {"style_layers": STYLE[::-1], "style_layer_weights": (1.0, 1.0, 1e-5)},  # a shallow one
    ],
)
def test_what_counts_is_always_looked_at(changed, aim, photo):
    settings = SETTINGS.replace(**changed)
    assert seen_at(aim(settings), 30, photo) == list(range(1, 31))


def test_short_levels_look_at_everything(aim, photo):
    assert seen_at(aim(SETTINGS), 19, photo) == list(range(1, 20))


def test_the_parts_of_a_picture_count_together(aim, photo):
    """Each of fifty parts is less than the share in its deepest layer; all of them are not."""
    objective = aim(SETTINGS)
    losses = objective.by_layer(photo * 0.5)
    deepest = float(losses["style relu3_1"] / sum(losses.values()))
    assert deepest < 0.01
    alone = SETTINGS.replace(deferred_share=1.5 * deepest)
    assert len(seen_at(aim(alone), 30, photo)) == 6
    shared = Deferral(aim(alone, parts=50), 30, 1.5 * deepest / 50)
    names = [set(shared(photo * 0.5)) for _ in range(10)]
    assert "style 50 relu3_1" in names[-1]


def test_several_layers_wait_while_they_are_little_together(aim, photo):
    settings = SETTINGS.replace(content_layers=("relu1_2",), style_layer_weights=(1.0, 1e-5, 1e-5))
    for name in ("style relu2_1", "style relu3_1"):
        assert seen_at(aim(settings), 20, photo, name) == [1, 2, 19, 20]
    losses = aim(settings).by_layer(photo * 0.5)
    total = float(sum(losses.values()))
    middle, deep = (float(losses[f"style {name}"]) / total for name in STYLE[1:])
    little = settings.replace(deferred_share=deep + middle / 2)
    assert seen_at(aim(little), 20, photo, "style relu2_1") == list(range(1, 21))
    assert seen_at(aim(little), 20, photo, "style relu3_1") == [1, 2, 19, 20]


def test_chained_layers_wait_with_the_deeper_of_two(aim, photo):
    settings = SETTINGS.replace(statistic="chained")
    assert seen_at(aim(settings), 20, photo, "style relu2_1") == list(range(1, 21))
    assert seen_at(aim(settings), 20, photo, "style relu3_1") == [1, 2, 19, 20]


def test_nothing_deeper_is_run(aim, photo, monkeypatch):
    encoder = aim(SETTINGS).encoder
    whole, part = encoder(photo), encoder(photo, "relu2_2")
    assert list(part) == ["relu1_1", "relu2_1", "relu2_2"]
    assert all(torch.equal(part[name], whole[name]) for name in part)
    run = []
    convolve = encoder._convolve

    def noted(name, x, **how):
        run.append(name)
        return convolve(name, x, **how)

    monkeypatch.setattr(encoder, "_convolve", noted)
    encoder(photo, "relu2_2")
    assert run[-1] == "conv2_2"


@pytest.mark.parametrize("statistic", ["gram", "chained", "moments"])
def test_tiles_leave_out_the_same(statistic, aim, photo):
    settings = SETTINGS.replace(statistic=statistic)
    big = torch.cat([photo, photo.flip(3)], dim=3).double().repeat(1, 1, 5, 3)
    found = []
    for tile in (None, 64):
        objective = aim(settings.replace(content_weight=0.0), double=True, tile=tile)
        leaf = big.clone().requires_grad_()
        losses = objective.by_layer(leaf, "relu2_2")
        (gradient,) = torch.autograd.grad(sum(losses.values()), leaf)
        found.append((losses, gradient))
    (whole, slope), (tiled, sums) = found
    assert list(tiled) == list(whole)
    assert "style relu3_1" not in whole
    for name, loss in whole.items():
        assert_close(tiled[name], loss.detach(), relative=1e-9)
    assert_close(sums, slope, relative=1e-9)


def test_a_seamless_picture_leaves_out_the_same(aim, photo):
    objective = aim(SETTINGS)
    objective.encoder.padding = "circular"
    assert seen_at(objective, 20, photo) == [1, 2, 19, 20]
    assert "tv" in objective.by_layer(photo, "relu2_2")


def test_the_result_is_the_best_of_those_that_were_looked_at_whole():
    """A step that scored better while a layer waited is none to compare with."""
    index = 0

    def terms(image):
        nonlocal index
        index += 1
        losses = {"style a": 10 + (image - 0.5).square().sum()}
        return losses if 2 < index <= 18 else {**losses, "style b": 1 + image.sum() * 0}

    start = torch.full((1, 3, 4, 4), 0.9)
    steps = list(optimize(start, terms, steps=20))
    assert [len(step.layers) for step in steps] == [2] * 2 + [1] * 16 + [2] * 2
    assert steps[-1].total >= 11


def test_terms_that_come_back_are_no_explosion():
    """Without the large term the loss falls far; with it, it is far above what it was before."""
    index = 0

    def terms(image):
        nonlocal index
        index += 1
        losses = {"style a": (image - 0.5).square().sum()}
        return losses if 2 < index <= 18 else {**losses, "style b": 9 + image.sum() * 0}

    start = torch.full((1, 3, 4, 4), 0.9)
    steps = list(optimize(start, terms, steps=20))
    assert [len(step.layers) for step in steps] == [2] * 2 + [1] * 16 + [2] * 2
    assert steps[-1].total == pytest.approx(9, abs=1e-3)


def test_an_explosion_is_seen_by_the_terms_that_stay():
    index = 0

    def terms(image):
        nonlocal index
        index += 1
        losses = {"style a": image.square().sum() + (1000 if index == 3 else 1)}
        return losses if index >= 3 else {**losses, "style b": 500 + image.sum() * 0}

    steps = list(optimize(torch.full((1, 3, 4, 4), 0.9), terms, steps=5))
    assert steps[2].layers == steps[1].layers  # the third is undone, though below 5 × 532
    assert [len(step.layers) for step in steps] == [2, 2, 2, 1, 1]


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
@pytest.mark.parametrize("layer", ["relu1_1", "relu3_1"])
def test_losses_that_are_not_finite_put_nothing_off(wrong, layer, aim, photo):
    objective = aim(SETTINGS)
    by_layer = objective.by_layer

    def broken(image, up_to=None):
        losses = by_layer(image, up_to)
        if up_to is None:
            losses[f"style {layer}"] = losses[f"style {layer}"] * wrong
        return losses

    objective.by_layer = broken
    assert seen_at(objective, 20, photo) == list(range(1, 21))


def test_a_picture_is_painted_so_and_its_curves_have_gaps(toy, photo, painting):
    settings = SETTINGS.replace(weights="bundled", long_side=40, coarsest=0, steps=20)
    steps = list(Stylizer(settings).steps(photo, painting))
    seen = [step.index for step in steps if "style relu3_1" in step.layers]
    assert seen == [1, 2, 19, 20]
    assert plot_losses([step.to_dict() for step in steps], ".svg").startswith(b"<?xml")


def test_only_the_schedule_fast_puts_anything_off():
    assert {name for name in RECIPES if recipe_settings(name).deferred_share > 0} == {"fast"}
    assert recipe_settings("neural-style", schedule="fast").deferred_share == 0.01
