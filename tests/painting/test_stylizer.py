"""The method end to end: what goes in, what comes out, and what is promised about it."""

from __future__ import annotations

import hashlib
import io
import itertools
import time

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

import impasto
from conftest import EXAMPLES
from helpers import psnr
from impasto.errors import DivergenceError, ImageError, SettingsError
from impasto.optimize.loop import Step
from impasto.painting.inputs import load_inputs, scaled_style
from impasto.painting.pyramid import pyramid
from impasto.painting.stylizer import Stylizer, stylize
from impasto.painting.timing import measure_pace
from impasto.pictures.files import load_image, read_metadata
from impasto.settings.pictures import Settings

QUICK = {"steps": 6, "long_side": 48, "coarsest": 32}


@pytest.fixture(scope="module")
def stylizer():
    return Stylizer(Settings(**QUICK))


def test_the_loss_falls_and_the_picture_is_in_range(photo, painting, stylizer):
    steps = list(stylizer.steps(photo, painting))
    last_level = [step for step in steps if step.level == step.levels]
    assert last_level[-1].total < last_level[0].total
    assert steps[-1].image.min() >= 0
    assert steps[-1].image.max() <= 1


def test_steps_are_numbered_through_all_levels(photo, painting, stylizer):
    steps = list(stylizer.steps(photo, painting))
    assert [step.index for step in steps] == [1, 2, 3, 4, 5, 6]
    assert {step.count for step in steps} == {6}
    assert [step.level for step in steps] == sorted(step.level for step in steps)
    assert steps[-1].level == steps[-1].levels == 2
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(steps))
    assert max(steps[0].image.shape) < max(steps[-1].image.shape) == 48


def test_a_run_can_be_left_in_the_middle(photo, painting, stylizer):
    for step in stylizer.steps(photo, painting):
        if step.index == 2:
            break
    assert step.index == 2


def test_same_seed_same_pixels(photo, painting):
    settings = Settings(**QUICK, init="noise", seed=3)
    first, second = (stylize(photo, painting, settings).image for _ in range(2))
    assert torch.equal(first, second)
    other = stylize(photo, painting, settings.replace(seed=4)).image
    assert not torch.equal(first, other)


def test_every_kind_of_source_gives_the_same_picture(photo_file, painting_file):
    settings = Settings(**QUICK)
    expected = stylize(str(photo_file), str(painting_file), settings).image
    array = np.asarray(PillowImage.open(photo_file))
    sources = [
        photo_file,
        io.BytesIO(photo_file.read_bytes()),
        PillowImage.open(photo_file),
        array,
        array.astype(np.float32) / 255,
        load_image(photo_file),
        load_image(photo_file)[0],
    ]
    for source in sources:
        result = stylize(source, painting_file, settings).image
        assert torch.allclose(result, expected, atol=1e-3), type(source)


def test_several_styles_are_blended(photo, painting):
    settings = Settings(**QUICK)
    blended = stylize(photo, [painting, painting.flip(1)], settings).image
    assert not torch.allclose(blended, stylize(photo, painting, settings).image, atol=1e-2)
    twice = stylize(photo, [painting, painting], settings).image
    assert torch.allclose(twice, stylize(photo, [painting], settings).image, atol=1e-2)


def test_a_pastiche_saves_with_what_made_it(photo_file, painting_file, tmp_path):
    settings = Settings(**QUICK, style_weight=7)
    pastiche = stylize(photo_file, painting_file, settings)
    pastiche.save(tmp_path / "out.png")
    metadata = read_metadata(tmp_path / "out.png")
    found_none = settings.replace(protect="none")  # the photo has no face
    assert Settings.from_dict(metadata["settings"]) == found_none
    assert metadata["impasto"] == impasto.__version__
    assert metadata["content"]["name"] == "photo.png"
    assert len(metadata["content"]["sha256"]) == 64
    assert metadata["styles"][0]["name"] == "painting.png"
    assert str(tmp_path) not in str(metadata)
    read = load_image(tmp_path / "out.png")
    assert (read - pastiche.image).abs().max() <= 0.5 / 255 + 1e-6


def test_files_are_recorded_without_their_folders(photo, painting, photo_file):
    weights = EXAMPLES.parent / "vgg19.safetensors"
    settings = Settings(**QUICK, init=str(photo_file), weights=str(weights))
    recorded = stylize(photo, painting, settings).metadata["settings"]
    assert recorded["init"] == "photo.png"
    assert recorded["weights"] == "vgg19.safetensors"


def test_weights_of_ones_own_are_recorded(photo, painting):
    weights = EXAMPLES.parent / "vgg19.safetensors"
    known = stylize(photo, painting, Settings(**QUICK, weights=str(weights))).metadata["weights"]
    assert known["name"] == weights.name
    assert known["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert "weights" not in stylize(photo, painting, Settings(**QUICK)).metadata


def test_a_pastiche_shows_itself_in_a_notebook(photo, painting):
    pastiche = stylize(photo, painting, Settings(**QUICK))
    shown = PillowImage.open(io.BytesIO(pastiche._repr_png_()))
    assert shown.size == pastiche.to_pillow().size == (48, 38)


def test_history_has_a_record_per_step(photo, painting):
    seen = []
    pastiche = Stylizer(Settings(**QUICK)).stylize(photo, painting, on_step=seen.append)
    assert [record["step"] for record in pastiche.history] == [1, 2, 3, 4, 5, 6]
    assert [step.total for step in seen] == [record["total"] for record in pastiche.history]


@pytest.mark.parametrize(("side", "measured"), [(300, 300), (2000, 512)])
def test_a_step_is_timed_at_the_size_it_will_have(side, measured, photo, monkeypatch):
    seen = []

    def paint_level(image, *words):  # each step takes 2 s, whatever its size
        seen.append(max(image.shape[-2:]))
        return [Step(image, {}, index, 3, seconds=2.0 * index) for index in (1, 2, 3)]

    monkeypatch.setattr("impasto.painting.timing.paint_level", paint_level)
    # The clock stands still, so measuring costs nothing, also on a busy machine.
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    monkeypatch.setattr("impasto.painting.timing.seconds_per_pair", lambda image: 0.0)
    stylizer = Stylizer(Settings(long_side=side, coarsest=0))
    pace = measure_pace(stylizer, load_inputs(photo, photo, stylizer.settings))
    assert seen == [measured]
    pixels = side * round(side * 32 / 40)
    assert pace.fixed + pace.step * pixels == pytest.approx(2 * (side / measured) ** 2, rel=0.01)


@pytest.mark.parametrize("color", ["style", "luminance"])
def test_layers_add_up_to_their_terms(color, photo, painting):
    settings = Settings(long_side=48, steps=3, coarsest=0, content_weight=0.0, color=color)
    for row in stylize(photo, painting, settings).history:
        sums = {"content": 0.0, "style": 0.0, "tv": 0.0}
        for name, loss in row["layers"].items():
            sums[name.kind] += loss
        styles = {f"style {layer}" for layer in settings.style_layers}
        assert row["layers"].keys() == styles | {"tv", "tv chroma"}
        assert {name: row[name] for name in sums} == pytest.approx(sums, rel=1e-5)
        assert row["total"] == pytest.approx(sum(sums.values()), rel=1e-5)


def test_alpha_is_kept_and_hidden_color_does_not_leak(photo, painting):
    array = (photo[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    alpha = np.full((*array.shape[:2], 1), 255, np.uint8)
    alpha[:, :20] = 0
    plain, garish = array.copy(), array.copy()
    garish[:, :20] = (255, 0, 255)
    results = [
        stylize(np.concatenate([colors, alpha], axis=2), painting, Settings(**QUICK))
        for colors in (plain, garish)
    ]
    assert torch.equal(results[0].image, results[1].image)
    assert results[0].alpha.shape == (1, 1, *results[0].image.shape[-2:])
    assert results[0].to_pillow().mode == "RGBA"


@pytest.mark.parametrize("init", ["content", "style", "noise"])
def test_inits_start_where_they_say(photo, painting, init, stylizer):
    stylizer = Stylizer(Settings(**{**QUICK, "coarsest": 0}, init=init))
    start = next(iter(stylizer.steps(photo, painting))).image
    resized = load_image(photo, long_side=48)
    if init == "content":
        assert torch.allclose(start, resized, atol=1e-6)
    elif init == "style":
        assert start.shape == resized.shape
        assert abs(float(start.mean() - painting.mean())) < 0.05
    else:
        assert 0.1 < float(start.std()) < 0.3


def test_style_is_scaled_but_never_enlarged(photo, painting):
    for scale, expected in [(0.5, 24), (1.0, 36), (3.0, 36)]:
        settings = Settings(**QUICK, style_scale=scale)
        inputs = load_inputs(photo, painting, settings)
        level = pyramid(inputs.photo.size, settings)[-1]
        scaled = scaled_style(inputs.paintings[0], level, settings, *inputs.scales(settings))
        assert max(scaled.shape) == expected


def test_from_noise_the_content_comes_back_when_it_is_its_own_style(examples):
    """With content = style and no total variation the photo is the only thing to aim at.

    It is also the identity test of the literature. 200 steps reach 20.4 dB.
    """
    photo = load_image(examples / "neuschwanstein.jpg", long_side=64)
    settings = Settings(
        init="noise", long_side=64, coarsest=0, steps=200, tv_weight=0, chroma_weight=0,
        content_layers=("relu1_1",),
    )  # fmt: skip
    result = stylize(photo, photo, settings).image
    assert psnr(result, photo) > 19


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (7, 40)])
def test_too_small_pictures_name_the_smallest_size(size, photo, painting, stylizer):
    small = torch.rand(1, 3, *size)
    with pytest.raises(
        ImageError, match=r"content: .* too small: the layer relu4_2 needs at least 8 px"
    ):
        stylizer.steps(small, painting)
    with pytest.raises(
        ImageError, match=r"style: .* too small: the layer relu4_2 needs at least 8 px"
    ):
        stylizer.steps(photo, small)


def test_no_style_is_an_error(photo, stylizer):
    with pytest.raises(SettingsError, match="no style given"):
        stylizer.steps(photo, [])


def test_divergence_carries_the_last_good_image(photo, painting):
    settings = Settings(**QUICK, style_weight=3e38)  # times a loss above 1 it is not finite
    with pytest.raises(DivergenceError) as caught:
        stylize(photo, painting * 0.05, settings)
    assert torch.isfinite(caught.value.image).all()


def test_a_painting_that_style_scale_makes_too_small(photo, painting):
    settings = Settings(**QUICK, style_scale=0.1)
    with pytest.raises(ImageError, match=r"becomes 4 x 5 at style_scale 0\.1, is .* style_scale"):
        stylize(photo, painting, settings)
    with pytest.raises(ImageError) as caught:
        stylize(photo, painting, settings.replace(style_scale=2.0, long_side=2))
    assert "style_scale" not in str(caught.value)
