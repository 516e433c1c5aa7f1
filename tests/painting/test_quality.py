"""The main job's picture: its border, its colors, and whether it is finished."""

from __future__ import annotations

import pytest
import torch

from impasto.cli.commands.demo import DEMO_PAINTING, DEMO_PHOTO
from impasto.evaluation.artifacts import border_excess, chroma_noise
from impasto.painting.stylizer import Stylizer
from impasto.pictures.examples import EXAMPLES
from impasto.pictures.files import load_image
from impasto.pictures.picture import resize
from impasto.settings.recipes import recipe_settings


def test_border_excess_sees_a_frame():
    photo = torch.linspace(0, 1, 120).expand(1, 3, 100, 120).clone()
    framed = photo.clone()
    framed[..., :2, :] = framed[..., -2:, :] = 1
    assert abs(border_excess(photo, photo)) < 1e-6
    assert border_excess(framed, photo) > 0.15


def test_chroma_noise_sees_speckle_but_not_gray_grain():
    grain = torch.rand((1, 1, 64, 64), generator=torch.Generator().manual_seed(0))
    assert chroma_noise(grain.expand(1, 3, 64, 64)) < 1e-6
    speckle = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    assert chroma_noise(speckle) > 0.5


@pytest.fixture(scope="module")
def demo():
    """The demo's photo, painting and pastiche at 320 px, and the pastiche of twice the steps."""
    photo, painting = DEMO_PHOTO, DEMO_PAINTING
    settings = recipe_settings("default", long_side=320)
    once = Stylizer(settings).stylize(photo, painting)
    twice = Stylizer(settings.replace(steps=2 * settings.steps)).stylize(photo, painting)
    return photo, painting, once, twice


@pytest.mark.slow
def test_demo_has_no_frame(demo):
    photo, _, once, _ = demo
    assert border_excess(once.image, load_image(photo, long_side=320)) < 0.15


@pytest.mark.slow
def test_demo_has_no_color_speckle(demo):
    _, painting, once, _ = demo
    assert chroma_noise(once.image) < 1.3 * chroma_noise(load_image(painting))


@pytest.mark.slow
def test_demo_is_finished(demo):
    """Doubling the steps lowers the objective by less than 5 %."""
    _, _, once, twice = demo
    assert twice.history[-1]["total"] > 0.95 * once.history[-1]["total"]


@pytest.mark.slow
def test_preview_predicts_the_larger_picture():
    """At equal settings a small picture and one four times as large share look and balance.

    Measured: the share of content in the objective, and the pictures themselves after the
    larger one is made small, against how far the photo is from either.
    """
    photo, painting = DEMO_PHOTO, DEMO_PAINTING
    settings = recipe_settings("default", steps=60)
    small = Stylizer(settings.replace(long_side=128)).stylize(photo, painting)
    large = Stylizer(settings.replace(long_side=256)).stylize(photo, painting)

    def share(pastiche):
        last = pastiche.history[-1]
        return last["content"] / last["total"]

    assert share(large) == pytest.approx(share(small), abs=0.12)
    reduced = resize(large.image, tuple(small.image.shape[-2:]))
    original = load_image(photo, long_side=128)
    between = (reduced - small.image).square().mean()
    assert between < (original - small.image).square().mean()


@pytest.mark.slow
def test_a_start_at_the_photo_is_left():
    """A first step that is too small can stay there: the loss fell by 2 % instead of 90 %."""
    settings = recipe_settings("gatys", schedule="default", long_side=112, coarsest=0, steps=60)
    photo, painting = EXAMPLES / "astronaut.jpg", EXAMPLES / "langlois_bridge_van_gogh.jpg"
    totals = [step.total for step in Stylizer(settings).steps(photo, painting)]
    assert totals[-1] < totals[0] / 3
