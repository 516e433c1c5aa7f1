"""`evaluate`: the network and the sizes that it chooses, and what it cannot measure."""

from __future__ import annotations

import json

import pytest
import torch

from impasto.errors import ImageError, SettingsError
from impasto.evaluation import METRICS, evaluate
from impasto.evaluation.scores import held_out
from impasto.evaluation.styles import color_distance
from impasto.pictures.examples import EXAMPLES
from impasto.pictures.files import load_image, load_picture, save_image
from impasto.pictures.picture import Picture, resize
from impasto.settings.pictures import Settings

PHOTO = EXAMPLES / "astronaut.jpg"
PAINTING = EXAMPLES / "church_at_auvers_van_gogh.jpg"


@pytest.fixture(scope="module")
def photo():
    return load_image(PHOTO, long_side=96)


@pytest.fixture(scope="module")
def painting():
    return load_image(PAINTING, long_side=96)


def test_all_metrics_have_a_number_or_a_reason(photo, painting):
    scores = evaluate(photo, photo, painting)
    assert {*scores.values, *scores.missing} == METRICS.keys()
    assert [name for name in METRICS if name in scores.values] == list(scores.values)
    assert set(scores.missing) <= {"lpips"}
    assert scores["features"] == 0.0
    assert scores["gram"] > 0.1
    assert scores.size == tuple(photo.shape[-2:])
    facts = json.loads(json.dumps(scores.to_dict()))
    assert list(facts["metrics"]) == list(METRICS)
    assert facts["missing"] == scores.missing


def test_a_small_picture_has_no_motif(photo, painting):
    scores = evaluate(resize(photo, (40, 40)), photo, painting)
    motif = {name for name, metric in METRICS.items() if metric.group == "motif"}
    assert set(scores.missing) - {"lpips"} == motif
    assert "10 x 10 px is too small: relu5_1 needs at least 16 px" in scores.missing["motif_gram"]


@pytest.mark.parametrize("painter", ["vgg19", "vgg16"])
def test_the_network_that_painted_does_not_measure(painter, tmp_path, photo, painting):
    settings = Settings(network=painter).to_dict()
    save_image(photo, tmp_path / "a.png", metadata={"settings": settings})
    scores = evaluate(tmp_path / "a.png", photo, painting, long_side=64)
    assert scores.painted_by == painter
    assert scores.network == {"vgg19": "vgg16", "vgg16": "vgg19"}[painter]


@pytest.mark.parametrize("settings", [None, "vgg19", {"network": "vgg99"}, {"network": 3}])
def test_without_usable_metadata_vgg16_measures(settings, tmp_path, photo, painting):
    save_image(photo, tmp_path / "a.png", metadata={"settings": settings})
    scores = evaluate(tmp_path / "a.png", photo, painting, long_side=64)
    assert (scores.painted_by, scores.network) == (None, "vgg16")
    assert held_out(None) == "vgg16"


def test_the_painting_has_the_size_of_the_run(tmp_path, painting):
    """Twice as large a painting, painted with half the style scale, is the same painting."""
    large = resize(painting, (192, 2 * painting.shape[-1]))
    result = tmp_path / "a.png"
    save_image(painting, result, metadata={"settings": Settings(style_scale=0.5).to_dict()})
    half = evaluate(result, painting, large)
    save_image(painting, result, metadata={"settings": Settings(style_scale=1).to_dict()})
    whole = evaluate(result, painting, large)
    assert half["gram"] > 3 * whole["gram"]
    assert whole["gram"] < 0.01


def test_a_painting_that_was_not_enlarged_stays_small_beside_a_reduced_result(photo, painting):
    large = resize(photo, (192, 192))
    expected = evaluate(photo, photo, resize(painting, (48, painting.shape[-1] // 2)))
    reduced = evaluate(large, large, painting, long_side=96)
    assert reduced["gram"] == pytest.approx(expected["gram"], rel=0.1)


def test_artifacts_are_measured_at_the_results_own_size(photo, painting):
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    grid = (0.5 * photo + 0.25) + 0.05 * (-1.0) ** (rows + columns)
    scores = evaluate(grid, photo, painting, long_side=64)
    assert scores.size == (64, 64)
    assert scores["checkerboard"] > 0.03


def test_several_paintings_are_one_set_of_positions(photo, painting):
    other = photo.flip(1)
    once = evaluate(painting, painting, [painting])
    both = evaluate(painting, painting, [painting, painting])
    mixed = evaluate(painting, painting, [painting, other])
    for name in ("gram", "gaussian", "nearest", "colors", "motif_gram"):
        assert both[name] == pytest.approx(once[name], abs=1e-4), name
    assert mixed["gram"] > 0.01
    assert mixed["nearest"] == pytest.approx(0, abs=1e-3)  # every patch is in one of them
    assert evaluate(painting, painting, (other, painting))["gram"] == pytest.approx(mixed["gram"])


def test_transparent_parts_of_a_painting_do_not_count(photo, painting):
    alpha = torch.ones_like(painting[:, :1])
    alpha[..., 64:, :] = 0
    spoiled = painting.clone()
    spoiled[..., 64:, :] = torch.rand(1, 3, 32, painting.shape[-1])
    cut = evaluate(photo, photo, Picture(spoiled, alpha))
    part = evaluate(photo, photo, painting[..., :64, :])
    assert cut["colors"] == pytest.approx(part["colors"], abs=0.01)
    alpha[..., 20:, 20:] = 0  # a corner is hidden; what is visible still spans the same box
    corner = evaluate(painting, painting, Picture(spoiled, alpha))
    seen = spoiled.flatten(2)[..., alpha.flatten() > 0][:, :, None]
    assert corner["colors"] == pytest.approx(color_distance(painting, seen), abs=1e-3)
    assert corner["colors"] > 0.01


def test_another_shape_is_an_error(photo, painting):
    with pytest.raises(ImageError, match=r"the result has 96 x 60 px, but the photo has 96 x 96"):
        evaluate(photo[..., :60, :], photo, painting)
    evaluate(photo[..., :92, :], photo, painting, long_side=32)  # cropped a little


def test_wrong_arguments_are_errors(photo, painting, tmp_path):
    with pytest.raises(SettingsError, match="no style given"):
        evaluate(photo, photo, [])
    with pytest.raises(SettingsError, match="long_side is 0"):
        evaluate(photo, photo, painting, long_side=0)
    with pytest.raises(SettingsError, match="cupboard"):
        evaluate(photo, photo, painting, device="cupboard")
    with pytest.raises(ImageError, match=r"missing\.png"):
        evaluate(tmp_path / "missing.png", photo, painting)
    hidden = Picture(painting, torch.zeros_like(painting[:, :1]))
    with pytest.raises(ImageError, match="transparent everywhere"):
        evaluate(photo, photo, hidden)


def test_a_picture_is_taken_as_well_as_its_file(photo, painting):
    assert evaluate(load_picture(photo), PHOTO, painting, long_side=64)["gram"] > 0
