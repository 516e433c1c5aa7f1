"""What a researcher adds from outside: a statistic and a term, without editing the package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import impasto
from helpers import assert_close
from impasto.errors import SettingsError
from impasto.settings.pictures import Settings

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = Settings(
    steps=4, long_side=131, coarsest=0, style_layers=("relu1_1", "relu2_1"),
    content_layers=("relu2_2",),
)  # fmt: skip


def example(name: str) -> ModuleType:
    """An example as a module, without running it."""
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def pictures(photo, painting):
    """A photo of several tiles, and a painting."""
    return photo.repeat(1, 1, 3, 4)[..., :97, :131], painting.repeat(1, 1, 3, 3)


def assert_whole_equals_tiles(pictures, settings=SMALL, **options):
    whole, tiled = (
        list(impasto.Stylizer(settings, tile=tile, **options).steps(*pictures))
        for tile in (None, 48)
    )
    assert len(whole) == len(tiled) == 4
    assert whole[-1].total < whole[0].total
    for one, other in zip(whole, tiled, strict=True):
        assert other.layers.keys() == one.layers.keys()
        assert other.total == pytest.approx(one.total, rel=4e-3)
        assert_close(other.image, one.image, relative=4e-3)
    return whole


def test_a_statistic_of_ones_own_equals_numpy():
    features = torch.rand(1, 5, 7, 6, dtype=torch.float64)
    measured = example("own_statistic").Correlation().measure(features)
    expected = np.corrcoef(features[0].flatten(1).numpy())
    assert_close(measured[0], expected, relative=1e-2)  # small deviations are clamped


def test_a_statistic_of_ones_own_works_whole_and_in_tiles(pictures):
    settings = SMALL.replace(statistic=example("own_statistic").Correlation())
    whole = assert_whole_equals_tiles(pictures, settings)
    plain = impasto.stylize(*pictures, SMALL)
    assert not torch.equal(whole[-1].image, plain.image)


def test_metadata_names_a_statistic_of_ones_own_and_files_refuse_it(pictures):
    settings = SMALL.replace(steps=1, statistic=example("own_statistic").Correlation())
    noted = impasto.stylize(*pictures, settings).metadata["settings"]
    assert noted["statistic"] == "own_statistic.Correlation"
    with pytest.raises(
        SettingsError, match=r"statistic: 'own_statistic\.Correlation' is not one of"
    ):
        Settings.from_dict(noted)
    with pytest.raises(SettingsError, match="statistic: 3 is not one of gram"):
        Settings(statistic=3)


def test_a_term_of_ones_own_works_whole_and_in_tiles(pictures):
    whole = assert_whole_equals_tiles(pictures, terms=[example("own_term").Outlines])
    assert whole[-1].losses["outlines"] > 0
    assert whole[-1].layers["outlines"] == whole[-1].losses["outlines"]
    plain = list(impasto.Stylizer(SMALL).steps(*pictures))
    assert "outlines" not in plain[-1].losses


def test_a_term_of_ones_own_holds_what_it_is_about(pictures):
    term = example("own_term").Outlines(pictures[0])
    with_term = impasto.Stylizer(SMALL.replace(steps=20), terms=[lambda photo: term])
    plain = impasto.Stylizer(SMALL.replace(steps=20))
    held, free = (each.stylize(*pictures).image for each in (with_term, plain))
    assert float(term.loss(held)) < 0.5 * float(term.loss(free))
