"""Losses equal NumPy, are zero where they should be, and add up to the objective."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers import assert_close, toy_weights
from impasto.network.encoder import Encoder
from impasto.network.weights import VGGWeights
from impasto.objective.layer_weights import seen_layers, weighted_layers
from impasto.objective.objective import Objective
from impasto.objective.targets import StyleTarget, Targets, measure_content
from impasto.objective.variation_term import chroma_planes, total_variation
from impasto.optimize.loop import optimize
from impasto.settings.pictures import Settings
from impasto.style import STATISTICS
from reference_objective import ReferenceObjective, blended_style


def random_image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def objective_for(photo, painting, settings, encoder=None):
    layers = (*settings.content_layers, *settings.style_layers)
    encoder = encoder or Encoder(layers, weights=toy_weights(settings.network))
    encoder = encoder.to(photo.dtype)
    style = blended_style(
        encoder,
        [painting],
        layers=settings.style_layers,
        statistic=STATISTICS[settings.statistic],
    )
    content = measure_content(encoder, photo, settings.content_layers)
    targets = Targets(content, [StyleTarget(style, settings.largest_style_weight)])
    return Objective(encoder, targets, settings)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_total_variation_equals_numpy(reduction):
    image = random_image(1, 3, 7, 5)
    array = image.numpy()
    expected = np.abs(np.diff(array, axis=2)).sum() + np.abs(np.diff(array, axis=3)).sum()
    if reduction == "mean":
        expected /= array.size
    assert_close(total_variation(image, reduction=reduction), expected, relative=1e-14)


def test_chroma_variation_equals_numpy_and_is_blind_to_gray():
    image = random_image(1, 3, 7, 5)
    red, green, blue = image.numpy()[0]
    planes = np.stack([(red - green) / np.sqrt(2), (red + green - 2 * blue) / np.sqrt(6)])
    expected = np.abs(np.diff(planes, axis=1)).sum() + np.abs(np.diff(planes, axis=2)).sum()
    assert_close(total_variation(chroma_planes(image)), expected / planes.size, relative=1e-14)
    assert total_variation(chroma_planes(image[:, :1].expand(1, 3, 7, 5))) == 0


@pytest.mark.parametrize("power", [1.0, 1.25, 2.0])
def test_total_variation_of_a_power_equals_numpy(power):
    image = random_image(1, 3, 7, 5)
    array = image.numpy()
    dx, dy = np.diff(array, axis=3), np.diff(array, axis=2)
    expected = (dx[..., :-1, :] ** 2 + dy[..., :-1] ** 2) ** power
    ours = total_variation(image, reduction="sum", isotropic=True, power=power)
    assert_close(ours, expected.sum(), relative=1e-14)
    expected = (np.abs(dx) ** power).sum() + (np.abs(dy) ** power).sum()
    assert_close(total_variation(image, power=power), expected / array.size, relative=1e-14)


def test_total_variation_has_a_finite_gradient_where_nothing_varies():
    for isotropic in (False, True):
        image = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
        loss = total_variation(image, isotropic=isotropic, power=1.25)
        (gradient,) = torch.autograd.grad(loss, image)
        assert (gradient == 0).all()


def test_total_variation_by_hand():
    image = torch.tensor([[[[0.0, 1.0], [0.0, 0.5]]]])
    # across: 1 + 0.5; down: 0 + 0.5
    assert total_variation(image, reduction="sum") == 2.0
    assert total_variation(image) == 0.5


def test_total_variation_of_a_constant_is_zero():
    assert total_variation(torch.full((1, 3, 8, 8), 0.3)) == 0


@pytest.mark.parametrize("form", ["mean", "relative"])
def test_objective_equals_numpy_from_exported_features(form, photo, painting):
    """The whole weighted sum, recomputed from the encoder's features alone."""
    settings = Settings(
        statistic="gram",
        content_weight=2.0,
        style_weight=30.0,
        tv_weight=0.7,
        chroma_weight=0.4,
        content_layers=("relu2_1", "relu4_2"),
        content_layer_weights=(1.0, 3.0),
        style_layers=("relu1_1", "relu3_1"),
        style_layer_weights=(0.5, 2.0),
        content_form=form,
        style_form=form,
    )
    photo, painting = photo.double(), painting.double()
    image = random_image(*photo.shape)
    objective = objective_for(photo, painting, settings)
    terms = objective(image)

    def maps(picture):
        return {name: each.numpy()[0] for name, each in objective.encoder(picture).items()}

    def gram(each):
        flat = each.reshape(each.shape[0], -1)
        return np.einsum("ip,jp->ij", flat, flat) / flat.size

    def squared(difference, target):
        return (difference**2).mean() / ((target**2).mean() if form == "relative" else 1)

    ours, aim, style = maps(image), maps(photo), maps(painting)
    content = 2.0 * sum(
        weight * squared(ours[name] - aim[name], aim[name])
        for name, weight in (("relu2_1", 1.0), ("relu4_2", 3.0))
    )
    painted = 30.0 * sum(
        weight * squared(gram(ours[name]) - gram(style[name]), gram(style[name]))
        for name, weight in (("relu1_1", 0.5), ("relu3_1", 2.0))
    )
    array = image.numpy()
    variation = np.abs(np.diff(array, axis=2)).sum() + np.abs(np.diff(array, axis=3)).sum()
    assert_close(terms["content"], content, relative=1e-12)
    assert_close(terms["style"], painted, relative=1e-12)
    chroma = float(total_variation(chroma_planes(image)))  # has its own reference
    expected = 0.7 * variation / array.size + 0.4 * chroma
    assert_close(terms["tv"], expected, relative=1e-12)


def test_gradient_vanishes_where_content_is_style_is_image(photo):
    settings = Settings(tv_weight=0.0, chroma_weight=0.0)
    image = photo.double().requires_grad_()
    terms = objective_for(photo.double(), photo.double(), settings)(image)
    assert terms["content"] == terms["style"] == terms["tv"] == 0
    (gradient,) = torch.autograd.grad(sum(terms.values()), image)
    assert gradient.abs().max() < 1e-12


def test_objective_gradient(photo, painting):
    photo, painting = photo.double()[..., :16, :16], painting.double()[..., :16, :16]
    settings = Settings(content_layers=("relu2_2",), style_layers=("relu1_1", "relu2_1"))
    objective = objective_for(photo, painting, settings)
    image = random_image(*photo.shape).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: sum(objective(x).values()), image, atol=1e-4, fast_mode=True
    )


def test_a_weight_of_zero_switches_a_term_off(photo, painting):
    for name in ("content", "style", "tv"):
        settings = Settings(**{f"{name}_weight": 0.0, "chroma_weight": 0.0})
        assert objective_for(photo, painting, settings)(photo * 0.5)[name] == 0


def test_layers_of_weight_zero_are_not_computed(photo, painting):
    settings = Settings(style_layer_weights=(1, 0, 1, 0))
    assert set(objective_for(photo, painting, settings).by_layer(photo * 0.5)) == {
        "content relu4_2", "style relu1_1", "style relu3_1", "tv", "tv chroma",
    }  # fmt: skip


def test_objective_does_not_depend_on_size(photo, painting):
    """Repeated side by side, a picture's statistics and means stay: a preview predicts a print.

    Only the borders differ, where the first layer repeats pixels and deeper ones see zeros.
    """
    settings = Settings(content_layers=("relu1_2",), style_layers=("relu1_1", "relu2_1"))

    def terms(times):
        tiled = [each.repeat(1, 1, times, times) for each in (photo, painting, photo.roll(3, 3))]
        return objective_for(tiled[0], tiled[1], settings)(tiled[2])

    small, large = terms(4), terms(16)
    for name in small:
        assert_close(large[name], float(small[name]), relative=0.06)


def test_a_relative_loss_is_a_share_of_what_an_empty_picture_has(photo, painting):
    """Brighter by a factor, both the painting and the picture, changes no share."""
    settings = Settings(tv_weight=0.0, chroma_weight=0.0)
    objective = objective_for(photo, painting, settings)
    statistic = STATISTICS["gram"]
    for name, target in objective.targets.style[0].layers.items():
        empty = statistic.distance(torch.zeros_like(target), target)
        shares = statistic.distance(target * 1.5, target) / empty
        assert shares == pytest.approx(0.25, rel=1e-4), name


def test_a_black_target_divides_nothing_by_zero(photo):
    settings = Settings(
        tv_weight=0.0, chroma_weight=0.0, content_layers=("relu1_1",), style_layers=("relu1_1",)
    )
    weights = toy_weights("vgg19")
    silent = {name: (weight, bias - 1e9) for name, (weight, bias) in weights.layers.items()}
    encoder = Encoder(("relu1_1",), weights=VGGWeights("vgg19", "caffe", silent))
    terms = objective_for(photo, photo, settings, encoder)(photo * 0.5)
    assert {name: float(loss) for name, loss in terms.items()} == {
        "content": 0,
        "style": 0,
        "tv": 0,
    }


NORMALIZED = {"normalize_gradients": True, "tv_weight": 0.0, "chroma_weight": 0.0}


def reference(objective):
    """The same objective by autograd alone."""
    return ReferenceObjective(objective.encoder, objective.targets, objective.settings)


def gradient_of(objective, image, name=None):
    """The gradient of one loss, or of the sum of all, with respect to the image."""
    leaf = image.clone().requires_grad_()
    losses = objective.by_layer(leaf)
    loss = sum(losses.values()) if name is None else losses[name]
    return torch.autograd.grad(loss, leaf)[0]


def alone(objective, name):
    """The objective with one term only."""
    objective.terms = tuple(term for term in objective.terms if term.name == name)
    return objective


def test_normalized_gradients_have_the_weights_as_their_l1_norms(photo, painting):
    settings = Settings(
        content_weight=3.0,
        style_weight=10.0,
        style_layers=("relu1_1", "relu2_1", "relu3_1"),
        style_layer_weights=(1.0, 0.5, 2.0),
        **NORMALIZED,
    )
    photo, painting = photo.double(), painting.double()
    image = random_image(*photo.shape)
    losses = objective_for(photo, painting, settings).by_layer(image)
    plain = objective_for(photo, painting, settings.replace(normalize_gradients=False))
    assert len(losses) == 4
    for name, loss in plain.by_layer(image).items():
        assert_close(losses[name], float(loss), relative=1e-14)
        ours = gradient_of(alone(objective_for(photo, painting, settings), name), image)
        expected = gradient_of(reference(objective_for(photo, painting, settings)), image, name)
        assert_close(ours, expected, relative=1e-12)


def test_normalized_gradients_do_not_depend_on_the_form_of_a_loss(photo, painting):
    photo, painting = photo.double(), painting.double()
    slopes = []
    for form in ("mean", "relative", "gatys"):
        settings = Settings(style_form=form, content_form=form, **NORMALIZED)
        image = random_image(*photo.shape).requires_grad_()
        terms = objective_for(photo, painting, settings)(image)
        slopes.append(torch.autograd.grad(sum(terms.values()), image)[0])
    assert_close(slopes[1], slopes[0], relative=1e-9)
    assert_close(slopes[2], slopes[0], relative=1e-9)


def test_normalized_gradients_of_a_chain_are_normalized_over_both_layers(photo, painting):
    settings = Settings(
        statistic="chained",
        style_layers=("relu1_1", "relu1_2"),
        style_weight=7.0,
        content_weight=0.0,
        **NORMALIZED,
    )
    objective = objective_for(photo.double(), painting.double(), settings)
    image = random_image(*photo.shape)
    assert_close(
        gradient_of(objective, image), gradient_of(reference(objective), image), relative=1e-12
    )


def test_normalized_gradients_are_zero_at_the_target(photo):
    image = photo.double().requires_grad_()
    terms = objective_for(photo.double(), photo.double(), Settings(**NORMALIZED))(image)
    (gradient,) = torch.autograd.grad(sum(terms.values()), image)
    assert gradient.abs().max() == 0


def test_layer_weights_as_shares():
    layers = ("relu1_1", "relu2_1", "relu4_2")
    settings = Settings(
        style_layers=layers, style_weighting="shares", style_layer_weights=(1, 0, 3), style_weight=8
    )
    assert weighted_layers(settings, "style") == [("relu1_1", 2.0), ("relu4_2", 6.0)]
    settings = settings.replace(style_layer_weights=(), style_weighting="geometric")
    assert [weight for _, weight in weighted_layers(settings, "style")] == pytest.approx(
        [32 / 7, 16 / 7, 8 / 7]
    )
    assert weighted_layers(settings.replace(style_weight=0.0), "style") == []


def test_a_chain_needs_the_layer_before_each_of_its_terms():
    layers = ("relu1_1", "relu1_2", "relu2_1", "relu2_2")
    settings = Settings(statistic="chained", style_layers=layers, style_layer_weights=(9, 1, 0, 1))
    assert [name for name, _ in weighted_layers(settings, "style")] == ["relu1_2", "relu2_2"]
    assert seen_layers(settings, "style") == list(layers)
    settings = settings.replace(style_layer_weights=(1, 0, 0, 1))
    assert seen_layers(settings, "style") == ["relu2_1", "relu2_2"]


@pytest.mark.parametrize("name", STATISTICS)
def test_every_statistic_paints(name, photo, painting):
    """In float32, relative: the style loss falls, and only finite numbers occur."""
    settings = Settings(statistic=name, tv_weight=0.0, content_weight=0.0)
    objective = objective_for(photo, painting, settings)
    *_, last = optimize(photo, objective, steps=12)
    assert last.losses["style"] < 0.9 * float(objective(photo)["style"])
    assert torch.isfinite(last.image).all()


@pytest.mark.parametrize("name", STATISTICS)
def test_paintings_of_different_sizes_blend(name, photo, painting):
    """All weight on one painting is that painting; between them, neither is."""
    layers = ("relu1_1", "relu1_2", "relu2_1")
    encoder = Encoder(layers, weights=toy_weights("vgg19")).double()
    photo, painting = photo.double(), painting.double()
    statistic = STATISTICS[name]

    def targets(styles, blend=None):
        return blended_style(encoder, styles, layers=layers, statistic=statistic, blend=blend)

    one, two = targets([photo]), targets([painting])
    first, middle = targets([photo, painting], [1, 0]), targets([photo, painting], [1, 1])
    for layer, target in one.items():
        assert statistic.distance(target, first[layer]) < 1e-9 * statistic.distance(
            target, two[layer]
        )
        whole = statistic.distance(target, two[layer])
        assert statistic.distance(target, middle[layer]) < 0.9 * whole
        if name != "nearest":  # whose union holds every position of both
            assert statistic.distance(target, middle[layer]) > 1e-6 * whole
