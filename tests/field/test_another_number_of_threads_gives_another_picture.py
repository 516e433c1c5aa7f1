"""The same settings gave other pixels with another number of threads, so `redo` was not exact."""

from __future__ import annotations

import pytest
import torch

from conftest import EXAMPLES
from impasto import Guidance, recipe_settings
from impasto.painting.stylizer import Stylizer
from impasto.pictures.files import load_image
from impasto.pictures.picture import resize
from impasto.settings.recipes import RECIPES

PHOTO, PAINTING = EXAMPLES / "neuschwanstein.jpg", EXAMPLES / "church_at_auvers_van_gogh.jpg"
# Larger than the shortest sum that torch splits among threads.
SMALL = {"long_side": 288, "steps": 4}
CHANGES = [
    {"color": "luminance"},
    {"color": "symmetric"},
    {"optimizer": "adam"},
    {"statistic": "wasserstein"},
    {"statistic": "chained", "correlation_blur": 1.0},
    {"normalize_gradients": True},
    {"init": "noise", "coarsest": 0},
    {"tv_isotropic": True, "tv_reduction": "sum"},
]


def with_threads(count, settings, guidance=None):
    """Paint with this many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        photo, painting = (load_image(path) for path in (PHOTO, PAINTING))
        stylizer = Stylizer(settings)
        return stylizer.stylize(resize(photo, (216, 288)), painting, guidance=guidance).image
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_recipes(recipe, kernel):
    settings = recipe_settings(recipe, **SMALL)
    assert torch.equal(with_threads(1, settings), with_threads(3, settings))


@pytest.mark.parametrize(
    "changes", CHANGES, ids=lambda changes: "-".join(map(str, changes.values()))
)
def test_settings(changes, kernel):
    settings = recipe_settings(**SMALL, **changes)
    assert torch.equal(with_threads(1, settings), with_threads(3, settings))


def test_masks(kernel):
    mask = torch.zeros(1, 1, 216, 288)
    mask[..., :150] = 1
    settings = recipe_settings(**SMALL, feather=4.0)
    one, three = (with_threads(count, settings, Guidance(masks=[mask])) for count in (1, 3))
    assert torch.equal(one, three)
