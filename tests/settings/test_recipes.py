"""Every recipe's objective equals its source's formulas, in NumPy, from exported features.

The formulas are written out here once more, with sums over raw features as their papers have
them, and share nothing with the package but the features.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers import assert_clear_error, assert_close, toy_weights
from impasto.network.encoder import TORCHVISION_STD, Encoder
from impasto.objective.layer_weights import seen_layers, weighted_layers
from impasto.objective.objective import Objective
from impasto.objective.targets import StyleTarget, Targets, measure_content, measure_style
from impasto.optimize.loop import optimize
from impasto.settings.pictures import Settings
from impasto.settings.recipes import RECIPES, recipe_settings
from impasto.style import chosen_statistic

NETWORKS = {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3)}
FIVE = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
Maps = dict[str, np.ndarray]


def every_layer(network: str) -> list[str]:
    return [
        f"relu{block}_{index}"
        for block, count in enumerate(NETWORKS[network], 1)
        for index in range(1, count + 1)
    ]


def flat(maps: np.ndarray) -> np.ndarray:
    return maps.reshape(maps.shape[0], -1)


def gatys(F: Maps, P: Maps, A: Maps, image: np.ndarray, network: str) -> dict[str, float]:
    """CVPR 2016, equations 1, 3, 4 and 7, with each Gram matrix over its own positions."""
    content = 0.5 * ((F["relu4_2"] - P["relu4_2"]) ** 2).sum()
    style = 0.0
    for layer in FIVE:
        x, a = flat(F[layer]), flat(A[layer])
        N, M_x, M_s = x.shape[0], x.shape[1], a.shape[1]
        style += 1 / 5 / (4 * N**2) * ((x @ x.T / M_x - a @ a.T / M_s) ** 2).sum()
    return {"content": content, "style": 1e3 * style, "tv": 0.0}


def upsampled(coarse: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """Each value for the 2 × 2 that were pooled into it; an odd last row or column repeats."""
    if coarse.shape[1:] == fine.shape[1:]:
        return coarse
    twice = coarse.repeat(2, 1).repeat(2, 2)
    missing = [(0, 0)] + [(0, fine.shape[i] - twice.shape[i]) for i in (1, 2)]
    return np.pad(twice, missing, mode="edge")


def novak_nikulin(
    F: Maps,
    P: Maps,
    A: Maps,
    image: np.ndarray,
    network: str,
    *,
    style_layers: list[str] | None = None,
    content_layers: list[str] | None = None,
    geometric: tuple[bool, bool] = (True, True),
    shift: float = -1.0,
    chain: bool = True,
) -> dict[str, float]:
    """arXiv 1605.04603; what is switched off is as in Gatys et al., each layer of weight 1."""

    def weights(layers: list[str], sign: int, on: bool) -> list[float]:
        raw = [2.0 ** (sign * d) for d in range(len(layers))] if on else [1.0] * len(layers)
        return [w / sum(raw) if on else w for w in raw]

    layers = content_layers or every_layer(network)
    content = sum(
        w * 0.5 * ((F[name] - P[name]) ** 2).sum()
        for name, w in zip(layers, weights(layers, 1, geometric[0]), strict=True)
    )
    layers = style_layers or every_layer(network)
    pairs = (
        list(zip(layers[1:], layers[:-1], strict=True))
        if chain
        else list(zip(layers, layers, strict=True))
    )
    style = 0.0
    names = [pair[0] for pair in pairs]
    for (l, k), w in zip(pairs, weights(names, -1, geometric[1]), strict=True):  # noqa: E741
        grams = []
        for maps in (F, A):
            deep, shallow = upsampled(maps[l], maps[k]) + shift, maps[k] + shift
            M = shallow[0].size
            grams.append(flat(deep) @ flat(shallow).T / M)
        N_l, N_k = grams[0].shape
        style += w / (4 * N_l * N_k) * ((grams[0] - grams[1]) ** 2).sum()
    return {"content": content, "style": 1e3 * style, "tv": 0.0}


def notebook(F: Maps, P: Maps, A: Maps, image: np.ndarray, network: str) -> dict[str, float]:
    """Raw Gram matrices of pictures of equal size; w · mean((G − A)²) / (C·H·W)."""
    content = ((F["relu4_2"] - P["relu4_2"]) ** 2).mean()
    style = 0.0
    for layer, w in zip(FIVE, (1, 0.75, 0.2, 0.2, 0.2), strict=True):
        C, H, W = F[layer].shape
        x, a = flat(F[layer]), flat(A[layer])
        style += w * ((x @ x.T - a @ a.T) ** 2).mean() / (C * H * W)
    return {"content": content, "style": 3.0 * style, "tv": 0.0}


def vgg16(F: Maps, P: Maps, A: Maps, image: np.ndarray, network: str) -> dict[str, float]:
    n = P["relu4_2"].size
    content = 0.5 * (((F["relu4_2"] - P["relu4_2"]) / n) ** 2).sum()
    style = 0.0
    for layer in every_layer(network):
        C = F[layer].shape[0]
        G = flat(F[layer]) @ flat(F[layer]).T / F[layer].size
        S = flat(A[layer]) @ flat(A[layer]).T / A[layer].size
        style += 0.5 * (((G - S) / C**2) ** 2).sum()
    dx = image[:, :-1, 1:] - image[:, :-1, :-1]
    dy = image[:, 1:, :-1] - image[:, :-1, :-1]
    variation = ((dx**2 + dy**2) ** 1.25).sum()
    return {"content": 0.1 * content, "style": 5.0 * style, "tv": 0.01 * variation}


def mean_squared_errors(
    F: Maps, P: Maps, A: Maps, layer: str, content_weight: float, style_weight: float
) -> dict[str, float]:
    content = ((F[layer] - P[layer]) ** 2).mean()
    style = 0.0
    for name in FIVE:
        G = flat(F[name]) @ flat(F[name]).T / F[name].size
        S = flat(A[name]) @ flat(A[name]).T / A[name].size
        style += ((G - S) ** 2).mean()
    return {"content": content_weight * content, "style": style_weight * style, "tv": 0.0}


def average_pooling(F: Maps, P: Maps, A: Maps, image: np.ndarray, network: str) -> dict[str, float]:
    return mean_squared_errors(F, P, A, "relu5_2", 1.0, 0.1)


def neural_style(F: Maps, P: Maps, A: Maps, image: np.ndarray, network: str) -> dict[str, float]:
    losses = mean_squared_errors(F, P, A, "relu4_2", 5.0, 100.0)
    pixels = image * 256
    across = np.abs(pixels[:, :, 1:] - pixels[:, :, :-1]).sum()
    down = np.abs(pixels[:, 1:] - pixels[:, :-1]).sum()
    return losses | {"tv": 1e-3 * (across + down)}


def our_own(
    F: Maps, P: Maps, A: Maps, image: np.ndarray, network: str, layers: tuple[str, ...] = FIVE[:4]
) -> dict[str, float]:
    """Gram matrix, mean and deviation, each as a share of what the painting has of it."""

    def share(x: np.ndarray, a: np.ndarray) -> float:
        return ((x - a) ** 2).sum() / (a**2).sum()

    content = share(F["relu4_2"], P["relu4_2"])
    style = 0.0
    for layer in layers:
        maps = [flat(each[layer]) for each in (F, A)]
        described = [(x @ x.T / x.shape[1], x.mean(1), np.sqrt(x.var(1) + 1e-8)) for x in maps]
        # At an empty picture mean and Gram matrix cost 1 each, and so do the deviations.
        empty = 2 + share(np.full(len(maps[1]), 1e-4), described[1][2])
        style += sum(share(x, a) for x, a in zip(*described, strict=True)) / empty
    calm = np.abs(np.diff(image, axis=1)).sum() + np.abs(np.diff(image, axis=2)).sum()
    red, green, blue = image
    planes = np.stack([(red - green) / 2**0.5, (red + green - 2 * blue) / 6**0.5])
    chroma = np.abs(np.diff(planes, axis=1)).sum() + np.abs(np.diff(planes, axis=2)).sum()
    tv = 0.07 * calm / image.size + 4.0 * chroma / planes.size
    return {"content": content, "style": 20.0 * style, "tv": tv}


SOURCES = {
    "default": our_own,
    "fast": our_own,
    "print": our_own,
    "strokes": partial(our_own, layers=FIVE[:2]),
    "neural-style": neural_style,
    "gatys": gatys,
    "novak-nikulin": novak_nikulin,
    "notebook": notebook,
    "vgg16": vgg16,
    "average-pooling": average_pooling,
}
ONLY_EQUAL_SIZES = ("notebook",)


@pytest.fixture(autouse=True)
def toy_means(monkeypatch):
    """Mean activations for the toy's channels: the normalized network divides by them."""

    def means(network: str) -> dict[str, Tensor]:
        layers = toy_weights(network).layers
        return {name: torch.linspace(0.5, 2.0, len(bias)) for name, (_, bias) in layers.items()}

    monkeypatch.setattr("impasto.network.encoder.load_mean_activations", means)


class Comparison:
    """The objective of some settings with toy filters, and what NumPy needs to compute it."""

    def __init__(self, settings: Settings, photo: Tensor, painting: Tensor) -> None:
        self.settings, self.photo, self.painting = settings, photo, painting
        self.encoder = Encoder(
            seen_layers(settings),
            network=settings.network,
            weights=toy_weights(settings.network),
            normalized=settings.normalized,
            pooling=settings.pooling,
            padding=settings.padding,
            pixel_range=settings.pixel_range,
        ).to(photo.dtype)
        style = measure_style(
            self.encoder, painting, seen_layers(settings, "style"), chosen_statistic(settings)
        )
        content = measure_content(self.encoder, photo, seen_layers(settings, "content"))
        aims = Targets(content, [StyleTarget(style, settings.largest_style_weight)])
        self.objective = Objective(self.encoder, aims, settings)

    def exported(self, image: Tensor) -> Maps:
        return {
            name: maps[0].detach().numpy().astype(np.float64)
            for name, maps in self.encoder(image).items()
        }

    def assert_equal(self, image: Tensor, source, relative: float, **switches: object) -> None:
        expected = source(
            self.exported(image),
            self.exported(self.photo),
            self.exported(self.painting),
            image.detach()[0].numpy().astype(np.float64),
            self.settings.network,
            **switches,
        )
        terms = self.objective(image)
        assert set(terms) == set(expected)
        for name, value in expected.items():
            assert_close(terms[name], value, relative=relative)


def pictures(name: str, photo: Tensor, painting: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Photo, painting and a start, of 48 x 37 and 40 x 52 px: odd sizes at several layers."""

    def grown(image: Tensor, size: tuple[int, int]) -> Tensor:
        return torch.nn.functional.interpolate(image, size, mode="bilinear")

    photo = grown(photo, (37, 48))
    painting = grown(painting, (37, 48) if name in ONLY_EQUAL_SIZES else (52, 40))
    noise = torch.rand(photo.shape, generator=torch.Generator().manual_seed(5))
    return photo, painting, photo * 0.7 + 0.3 * noise


@pytest.mark.parametrize(
    ("dtype", "relative"), [(torch.float64, 1e-9), (torch.float32, 1e-4)], ids=["f64", "f32"]
)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", SOURCES)
def test_a_recipe_equals_its_source(name, network, dtype, relative, photo, painting):
    settings = recipe_settings(name, network=network)
    photo, painting, start = (x.to(dtype) for x in pictures(name, photo, painting))
    comparison = Comparison(settings, photo, painting)
    comparison.assert_equal(start, SOURCES[name], relative)
    *_, last = optimize(
        start,
        comparison.objective,
        steps=4,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        history=settings.history,
        clamp=settings.clamp,
        second_decay=settings.second_decay,
        unit=torch.tensor(TORCHVISION_STD).view(3, 1, 1) if settings.normalized_pixels else None,
    )
    assert not torch.equal(last.image, start)
    comparison.assert_equal(last.image, SOURCES[name], relative)


SWITCHES = {
    "five style layers": ({"style_layers": FIVE}, {"style_layers": FIVE}),
    "one content layer": ({"content_layers": ["relu4_2"]}, {"content_layers": ["relu4_2"]}),
    "plain weights": (
        {"content_weighting": "given", "style_weighting": "given"},
        {"geometric": (False, False)},
    ),
    "plain style weights": ({"style_weighting": "given"}, {"geometric": (True, False)}),
    "no shift": ({"activation_shift": 0.0}, {"shift": 0.0}),
    "another shift": ({"activation_shift": -0.3}, {"shift": -0.3}),
    "no chain": ({"statistic": "shifted"}, {"chain": False}),
    "neither chain nor shift": ({"statistic": "gram"}, {"chain": False, "shift": 0.0}),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("switch", SWITCHES)
def test_each_improvement_of_novak_and_nikulin_is_a_switch(switch, network, photo, painting):
    ours, theirs = SWITCHES[switch]
    photo, painting, start = (x.double() for x in pictures("", photo, painting))
    comparison = Comparison(
        recipe_settings("novak-nikulin", network=network, **ours), photo, painting
    )
    comparison.assert_equal(start, novak_nikulin, 1e-9, **theirs)
    plain = Comparison(recipe_settings("novak-nikulin", network=network), photo, painting)
    term = "content" if "content_layers" in ours else "style"
    switched, whole = (float(each.objective(start)[term]) for each in (comparison, plain))
    assert abs(switched - whole) > 1e-3 * whole


@pytest.mark.parametrize("network", NETWORKS)
def test_blurred_correlations_change_the_objective(network, photo, painting):
    photo, painting, start = (x.double() for x in pictures("", photo, painting))
    losses = []
    for blur in (0.0, 1.0):
        settings = recipe_settings("novak-nikulin", network=network, correlation_blur=blur)
        losses.append(float(Comparison(settings, photo, painting).objective(start)["style"]))
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize(("network", "count"), [("vgg19", 16), ("vgg16", 13)])
def test_all_layers_of_a_network(network, count):
    settings = recipe_settings("novak-nikulin", network=network)
    assert list(settings.content_layers) == every_layer(network)
    content, style = (weighted_layers(settings, kind) for kind in ("content", "style"))
    assert (len(content), len(style)) == (count, count - 1)
    assert sum(weight for _, weight in content) == pytest.approx(1.0)
    assert sum(weight for _, weight in style) == pytest.approx(1e3)
    for (_, before), (_, after) in itertools.pairwise(content):
        assert after == pytest.approx(2 * before)
    for (_, before), (_, after) in itertools.pairwise(style):
        assert after == pytest.approx(before / 2)


OURS = {"default", "fast", "print", "strokes"}  # recipes that reproduce nobody


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in OURS])
def test_a_reproduction_inherits_no_default(name):
    """A default of ours may change; what reproduces another system may not."""
    free = {"long_side", "seed"}
    named = {*RECIPES[name].objective, *RECIPES[name].schedule}
    assert {option.name for option in dataclasses.fields(Settings)} - named == free


# What the formulas do not see: network, pooling, normalized; start, optimizer, steps, step size.
NETWORK_AND_SCHEDULE = {
    "neural-style": ("vgg19", "max", False, "noise", "lbfgs", 1000, None),
    "gatys": ("vgg19", "average", True, "noise", "lbfgs", 500, None),
    "novak-nikulin": ("vgg19", "average", True, "noise", "lbfgs", 500, None),
    "notebook": ("vgg19", "max", False, "content", "adam", 5000, 0.003),
    "vgg16": ("vgg16", "max", False, "content", "adam", 500, 0.01),
    "average-pooling": ("vgg19", "average", False, "content", "lbfgs", 500, None),
}


@pytest.mark.parametrize("name", NETWORK_AND_SCHEDULE)
def test_network_and_schedule_of_a_recipe(name):
    s = recipe_settings(name)
    rate = s.learning_rate if s.optimizer == "adam" else None
    facts = (s.network, s.pooling, s.normalized, s.init, s.optimizer, s.steps, rate)
    assert facts == NETWORK_AND_SCHEDULE[name]
    assert s.normalized_pixels is (name == "notebook")
    assert (s.padding, s.coarsest, s.clamp) == ("zero", 0, False)


def test_every_recipe_has_its_formulas_here():
    assert set(SOURCES) == set(NETWORK_AND_SCHEDULE) | OURS == set(RECIPES)


def test_recipes_lists_every_recipe_with_purpose_and_source(command):
    outcome = command("recipes")
    assert outcome.code == 0
    for name, recipe in RECIPES.items():
        assert f"{name}\n  {recipe.purpose}\n  Source: {recipe.source}\n" in outcome.out
    listed = json.loads(command("recipes", "--json").out)
    assert list(listed) == list(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_shows_one(command, name):
    facts = json.loads(command("recipes", name, "--json").out)
    assert (facts["name"], facts["source"]) == (name, RECIPES[name].source)
    assert facts["objective"] | facts["schedule"] == recipe_settings(name).to_dict()
    shown = command("recipes", name).out
    for option in dataclasses.fields(Settings):
        assert f"  {option.name} " in shown


def test_recipes_names_the_nearest_of_an_unknown_one(command):
    assert_clear_error(command("recipes", "gaty"), "gaty: no such recipe", "did you mean gatys?")
