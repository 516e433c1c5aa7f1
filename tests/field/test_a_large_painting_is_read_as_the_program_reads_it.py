"""The recipe neural-style scaled a large painting by another filter than neural-style does.

So the picture aimed at other statistics: its style loss, as neural-style computes it, was several
times as high as that of neural-style's own picture.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch.nn import functional

from helpers import toy_weights
from impasto.network.encoder import Encoder
from impasto.objective.layer_weights import seen_layers
from impasto.objective.objective import Objective
from impasto.painting import timing
from impasto.painting.inputs import enlarge, initial_image, load_inputs, scaled_style
from impasto.painting.level_targets import measure_targets
from impasto.painting.memory_plan import Workload
from impasto.painting.pyramid import pyramid
from impasto.painting.stylizer import Stylizer
from impasto.pictures.files import load_image, load_picture
from impasto.pictures.picture import Picture, from_array, resize, resized
from impasto.settings.pictures import Settings
from impasto.settings.recipes import RECIPES, recipe_settings
from impasto.studio.jobs.limits import Limits
from impasto.studio.jobs.requests import Request, check_request

# Where each recipe's program, or its authors' own, scales pictures by Pillow's bilinear filter.
BILINEAR = ("neural-style", "gatys", "notebook")
FILTERS = {
    "lanczos": PillowImage.Resampling.LANCZOS,
    "bicubic": PillowImage.Resampling.BICUBIC,
    "bilinear": PillowImage.Resampling.BILINEAR,
    "box": PillowImage.Resampling.BOX,
}


@pytest.fixture(scope="module")
def large():
    """A painting of fine strokes, 1200 x 900 px, 8 bits."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:900, :1200]
    planes = [0.5 + 0.3 * np.sin(a * x + b * y) for a, b in random.uniform(0.8, 2.2, (3, 2))]
    values = np.stack(planes, axis=-1) + random.normal(0, 0.15, (900, 1200, 1))
    return (values.clip(0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("name", FILTERS)
def test_filters_are_those_of_pillow(name, large):
    """Pillow itself, on 8 bits, is the reference; it rounds after each direction."""
    expected = np.asarray(PillowImage.fromarray(large).resize((256, 192), FILTERS[name]))
    ours = resize(from_array(large, 10**9).image, (192, 256), name)
    assert np.abs(ours[0].permute(1, 2, 0).numpy() * 255 - expected).max() < 1.01


def test_bilinear_is_torch_s_antialiased_filter(large):
    image = from_array(large, 10**9).image
    expected = functional.interpolate(image, (192, 256), mode="bilinear", antialias=True)
    assert torch.allclose(resize(image, (192, 256), "bilinear"), expected, atol=1e-5)


def test_the_default_is_lanczos_as_before(large):
    image = from_array(large, 10**9).image
    assert Settings().resampling == "lanczos"
    assert torch.equal(resize(image, (192, 256)), resize(image, (192, 256), "lanczos"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_the_filter_of_its_source(name):
    assert recipe_settings(name).resampling == ("bilinear" if name in BILINEAR else "lanczos")
    assert recipe_settings(name, schedule="fast").resampling == recipe_settings(name).resampling


@pytest.mark.parametrize("name", FILTERS)
def test_photo_start_and_painting_are_scaled_by_it(name, large, photo):
    settings = Settings(long_side=64, resampling=name, coarsest=0)
    inputs = load_inputs(large, large, settings)
    (level,) = pyramid(inputs.photo.size, settings)
    expected = resize(from_array(large, 10**9).image, (48, 64), name)
    assert torch.equal(scaled_style(inputs.paintings[0], level, settings, 1.0), expected)
    assert torch.equal(initial_image(inputs, settings, level.size), expected)


def test_the_style_of_neural_style(large):
    """If Pillow scales the target, the filter matters, and rounding to 8 bits does not."""
    toy = toy_weights("vgg19", width=1 / 8)
    small = PillowImage.fromarray(large).resize((128, 96), PillowImage.Resampling.BILINEAR)

    def style_loss(**changes):
        settings = recipe_settings("neural-style", long_side=128, **changes)
        layers = seen_layers(settings)
        encoder = Encoder(layers, weights=toy, padding="zero", pixel_range=256)
        inputs = load_inputs(np.asarray(small), large, settings)
        (level,) = pyramid(inputs.photo.size, settings)
        work = Workload(level, None, 1, False, 0.0)
        objective = Objective(encoder, measure_targets(encoder, inputs, settings, work), settings)
        with torch.no_grad():
            return float(objective(inputs.photo.image)["style"])

    assert style_loss() < 0.01 * style_loss(resampling="lanczos")


def test_unpainted_parts_are_the_photo_at_its_filter(large, painting_file, command, tmp_path):
    PillowImage.fromarray(large).save(tmp_path / "photo.png")
    mask = np.zeros((900, 1200), np.uint8)
    mask[:, :600] = 255
    PillowImage.fromarray(mask).save(tmp_path / "mask.png")
    out = tmp_path / "out.png"
    outcome = command(
        "stylize", tmp_path / "photo.png", painting_file, "-o", out, "--mask",
        tmp_path / "mask.png", "--resampling", "bilinear", "--long-side", 64, "--steps", 2,
        "--threads", 1, "--quiet",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    whole, right = load_picture(tmp_path / "photo.png").image, load_image(out)[..., 40:] * 255
    for name in ("bilinear", "lanczos"):
        expected = (resize(whole, (48, 64), name)[..., 40:] * 255 + 0.5).floor()
        assert torch.equal(right.round(), expected) == (name == "bilinear")


def test_a_job_of_before_is_repeated_with_the_filter_of_before():
    """A stored job names no filter, and its recipe has another one now."""
    request = check_request(
        Request(pictures={"content": "a", "styles": ["b"]}, recipe="neural-style"), Limits()
    )
    stored = dict(request.settings)
    assert stored.pop("resampling") == "bilinear"
    assert Settings.recorded(stored)["resampling"] == "lanczos"
    assert Settings.from_dict(Settings.recorded(stored)).resampling == "lanczos"


@pytest.mark.parametrize("name", FILTERS)
def test_a_start_picture_is_scaled_by_it(name, large):
    """neural-style scales -init_image by the filter that it scales every picture by."""
    settings = Settings(long_side=64, resampling=name, coarsest=0)
    photo = np.zeros((600, 800, 3), np.uint8)
    expected = resize(from_array(large, 10**9).image, (48, 64), name)
    same = load_inputs(photo, large, settings, init=large)
    assert torch.equal(initial_image(same, settings, (48, 64)), expected)
    style = load_inputs(photo, large, settings.replace(init="style"))
    assert torch.equal(initial_image(style, settings.replace(init="style"), (48, 64)), expected)
    square = load_inputs(photo[:, :600], large, settings, init=large)
    whole = resize(from_array(large[:, 150:1050], 10**9).image, (64, 64), name)
    inner = np.s_[..., 4:-4]  # at the edges, the cropped start sees what is beyond them
    assert torch.allclose(initial_image(square, settings, (64, 64))[inner], whole[inner], atol=1e-4)


@pytest.mark.parametrize("name", ["bilinear", "lanczos"])
def test_an_enlarged_level_gets_the_detail_of_the_photo_as_the_objective_sees_it(name, large):
    """A level that is the photo itself becomes the photo of the next level."""
    photo = Picture(from_array(large, 10**9).image)
    sharp, small = (resize(photo.image, size, name) for size in ((96, 128), (48, 64)))
    soft = resize(sharp, (48, 64))
    assert (soft - small).abs().max() > 1e-3
    found = enlarge(soft, photo, (96, 128), name)
    assert torch.allclose(found, sharp, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"init": "content"}, {"coarsest": 16}])
def test_the_pace_is_measured_with_the_pictures_that_a_run_starts_from(changes, large, monkeypatch):
    """The losses of the layers there decide which of them may be deferred."""
    seen = []
    paint = timing.paint_level

    def paint_level(image, *rest):
        seen.append(image)
        return paint(image, *rest)

    monkeypatch.setattr(timing, "paint_level", paint_level)
    monkeypatch.setattr(
        "impasto.painting.stylizer.Encoder",
        lambda layers, **rest: Encoder(layers, **{**rest, "weights": toy_weights("vgg19")}),
    )
    settings = recipe_settings("neural-style", long_side=64, **changes)
    alpha = np.full((900, 1200, 1), 255, np.uint8)
    alpha[300:600, 400:800] = 40
    photo = np.concatenate([large, alpha], axis=-1)
    inputs = load_inputs(photo, large, settings)
    timing.measure_pace(Stylizer(settings), inputs)
    assert torch.equal(seen[0], initial_image(inputs, settings, tuple(seen[0].shape[-2:])))
    small = resized(inputs.photo, (48, 64), "bilinear").image
    assert len(seen) == (2 if "coarsest" in changes else 1)
    assert torch.equal(seen[-1], small) == bool(changes)
