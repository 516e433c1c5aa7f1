"""Painting in luminance: every pixel keeps the photo's color, also at the border of the gamut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers import assert_close, assert_in_range
from impasto.errors import DivergenceError, ShapeError
from impasto.painting.canvas import Canvas, complete
from impasto.painting.inputs import load_inputs
from impasto.painting.stylizer import Stylizer, stylize
from impasto.pictures.colors import luminance
from impasto.pictures.files import load_image
from impasto.settings.pictures import Settings

QUICK = {"steps": 4, "long_side": 48, "coarsest": 32}

# I and Q of the FCC's YIQ, for gamma-encoded red, green and blue.
IQ = np.array([[0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def chroma(image: Tensor) -> np.ndarray:
    """I and Q of every pixel, (N, 2)."""
    return image.double()[0].flatten(1).T.numpy() @ IQ.T


# ---- the canvas ---------------------------------------------------------------------------------


@pytest.mark.parametrize("plane", [-1.0, 0.0, 0.4, 1.0, 2.0, None])
def test_a_canvas_has_the_photos_color_channels(plane):
    """Also at the border of the gamut, and for pure colors, black and white."""
    generator = torch.Generator().manual_seed(0)
    photo = torch.rand((1, 3, 20, 30), generator=generator)
    corners = torch.tensor([[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)])
    photo[0, :, 0, :8] = corners.T.float()
    canvas = Canvas(photo)
    painted = torch.rand((1, 1, 20, 30), generator=generator) if plane is None else plane
    result = canvas.paint(torch.as_tensor(painted).expand(1, 1, 20, 30))
    assert_in_range(result)
    np.testing.assert_allclose(chroma(result), chroma(photo), atol=1e-6)
    if plane == 0.4:
        assert_close(
            canvas.gray(torch.full((1, 1, 20, 30), plane)),
            luminance(result).expand(1, 3, -1, -1),
            relative=1e-6,
        )


def test_a_canvas_has_all_luminances_that_the_gamut_holds():
    photo = torch.rand((1, 3, 20, 30), generator=torch.Generator().manual_seed(0))
    for bound, extreme in ((0.0, torch.amin), (1.0, torch.amax)):
        result = Canvas(photo).paint(torch.full((1, 1, 20, 30), bound))
        assert (extreme(result, dim=1) - bound).abs().max() < 1e-6


def test_the_photos_own_canvas_is_the_photo(photo):
    canvas = Canvas(photo)
    assert_close(canvas.paint(canvas.blank(photo)), photo, relative=1e-6)


def test_a_blank_is_as_bright_as_its_picture_where_it_can_be(photo):
    canvas = Canvas(photo)
    wanted = luminance((photo + 0.2).clamp(0, 1))
    result = canvas.paint(canvas.blank((photo + 0.2).clamp(0, 1)))
    low, high = (luminance(canvas.paint(torch.full_like(wanted, end))) for end in (0.0, 1.0))
    assert_close(luminance(result), wanted.clamp(low, high), relative=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_blank_is_within_the_canvas(value, photo):
    blank = Canvas(photo).blank(torch.full_like(photo, value))
    assert blank.shape == (1, 1, *photo.shape[2:])
    assert torch.isfinite(blank).all()
    assert 0 <= blank.min() <= blank.max() <= 1


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (2, 3, 8, 8), (1, 3, 0, 8)])
def test_bad_shapes(shape):
    with pytest.raises(ShapeError, match=r"an image is \(1, 3, H, W\)"):
        Canvas(torch.zeros(shape))


# ---- painting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["content", "style", "noise"])
@pytest.mark.parametrize("clamp", [True, False])
def test_every_picture_of_a_luminance_run_has_the_photos_colors(init, clamp, photo, painting):
    # The first step of a level can be a detour upwards, so there are more than two.
    settings = Settings(**QUICK, color="luminance", init=init, clamp=clamp).replace(steps=8)
    stylizer = Stylizer(settings)
    for step in stylizer.steps(photo, painting):
        assert_in_range(step.image)
        at_size = load_image(photo, long_side=max(step.image.shape))
        np.testing.assert_allclose(chroma(step.image), chroma(at_size), atol=1e-5)
    result = stylizer.stylize(photo, painting).image
    full = load_image(photo, long_side=48)
    np.testing.assert_allclose(chroma(result), chroma(full), atol=1e-5)
    assert (luminance(result) - luminance(full)).abs().mean() > 0.005  # and yet it is painted


def test_luminance_is_compared_with_luminance(photo, painting):
    """At the start the picture is the photo: no content is missing."""
    settings = Settings(color="luminance", steps=1, long_side=48, coarsest=0)
    (record,) = stylize(photo, painting, settings).history
    assert record["content"] < 1e-6


def test_luminance_losses_fall(photo, painting):
    settings = Settings(color="luminance", steps=8, long_side=48, coarsest=0)
    totals = [record["total"] for record in stylize(photo, painting, settings).history]
    assert totals[-1] < totals[0]


def test_a_picture_left_at_a_coarse_level_has_the_photos_colors(photo, painting):
    settings = Settings(**QUICK, color="luminance")
    first = next(iter(Stylizer(settings).steps(photo, painting)))
    assert max(first.image.shape) < 48
    image = complete(first.image, load_inputs(photo, painting, settings), settings)
    np.testing.assert_allclose(chroma(image), chroma(load_image(photo, long_side=48)), atol=1e-5)


def test_divergence_in_luminance_carries_a_picture_in_color(photo, painting):
    settings = Settings(**QUICK, color="luminance", style_weight=3e38)
    with pytest.raises(DivergenceError) as caught:
        stylize(photo, painting, settings)
    at_size = load_image(photo, long_side=max(caught.value.image.shape))
    np.testing.assert_allclose(chroma(caught.value.image), chroma(at_size), atol=1e-5)


def test_adams_unit_per_channel_keeps_the_photos_colors(photo, painting):
    settings = Settings(**QUICK, color="luminance", optimizer="adam", normalized_pixels=True)
    for step in Stylizer(settings).steps(photo, painting):
        at_size = load_image(photo, long_side=max(step.image.shape))
        np.testing.assert_allclose(chroma(step.image), chroma(at_size), atol=1e-5)
