"""The Laplacian term equals NumPy, has the gradient of its loss, and notices outlines alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers import assert_close, left_half
from impasto.objective.laplacian_term import LaplacianTerm, measure_laplacians
from impasto.painting.guidance import Guidance
from impasto.painting.stylizer import Stylizer, stylize
from impasto.settings.pictures import Settings

SIZE = (67, 53)  # with rows and columns beyond the last square of 4 or 16


def noise(*size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((1, 3, *size), generator=generator, dtype=torch.float64)


def numpy_loss(
    image: Tensor, photo: Tensor, pools: tuple[int, ...], counts: Tensor | None
) -> float:
    """The mean over pools of the mean squared difference, from single values."""

    def pooled(picture: Tensor, pool: int) -> np.ndarray:
        plane = picture.numpy()[0].mean(0)
        rows, columns = (side // pool for side in plane.shape)
        squares = np.zeros((rows, columns))
        for y in range(rows):
            for x in range(columns):
                square = plane[y * pool : (y + 1) * pool, x * pool : (x + 1) * pool]
                squares[y, x] = square.mean()
        return squares

    losses = []
    for pool in pools:
        difference = pooled(image, pool) - pooled(photo, pool)
        weights = np.ones_like(difference) if counts is None else pooled(counts, pool)
        squares = []
        for y in range(1, difference.shape[0] - 1):
            for x in range(1, difference.shape[1] - 1):
                neighbors = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
                found = 4 * difference[y, x] - sum(difference[place] for place in neighbors)
                squares.append(weights[y, x] * found**2)
        losses.append(np.mean(squares))
    return float(np.mean(losses))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [SIZE, (48, 48), (47, 80), (12, 30)])
def test_the_laplacian_term_equals_numpy(size, masked):
    image, photo = noise(*size), noise(*size, seed=1)
    counts = noise(*size, seed=2)[:, :1] + 0.5 if masked else None
    pools = tuple(pool for pool in (4, 16) if min(size) >= 3 * pool)
    term = LaplacianTerm(3.0, measure_laplacians(photo, counts))
    expected = 3 * numpy_loss(image, photo, pools, counts)
    assert_close(term.loss(image), expected, relative=1e-12)
    assert_close(term.evaluate(image, None), expected, relative=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_its_gradient_is_added_and_is_that_of_its_loss(masked):
    image, photo = noise(*SIZE), noise(*SIZE, seed=1)
    counts = noise(*SIZE, seed=2)[:, :1] if masked else None
    term = LaplacianTerm(3.0, measure_laplacians(photo, counts))
    leaf = image.clone().requires_grad_()
    (expected,) = torch.autograd.grad(term.loss(leaf), leaf)
    assert expected.abs().max() > 0
    gradient = torch.full_like(image, 0.5)
    term.evaluate(image, gradient)
    assert_close(gradient - 0.5, expected, relative=1e-12)
    small, aim = noise(14, 13).requires_grad_(), measure_laplacians(noise(14, 13, seed=1))
    assert torch.autograd.gradcheck(LaplacianTerm(2.0, aim).loss, small)


def test_even_light_and_colors_of_equal_brightness_cost_nothing():
    photo = noise(*SIZE) / 2
    term = LaplacianTerm(1.0, measure_laplacians(photo))
    assert term.loss(photo) == 0
    assert term.loss(photo + 0.2) < 1e-25
    slope = torch.linspace(0, 0.3, SIZE[1], dtype=torch.float64)
    assert term.loss(photo + slope) < 1e-25
    tinted = (
        photo + torch.tensor([0.1, -0.2, 0.1], dtype=torch.float64).view(1, 3, 1, 1) * photo[:, :1]
    )
    assert term.loss(tinted) < 1e-25
    assert term.loss(photo.flip(3)) > 1e-3


def test_its_weight_means_the_same_at_every_size():
    photo, image = noise(48, 48), noise(48, 48, seed=1)
    small, large = (
        float(LaplacianTerm(1.0, measure_laplacians(wide[0])).loss(wide[1]))
        for wide in (
            [each.repeat(1, 1, times, times) for each in (photo, image)] for times in (4, 16)
        )
    )
    assert_close(large, small, relative=0.05)


def test_a_picture_smaller_than_three_squares_has_no_term():
    assert measure_laplacians(noise(11, 90)) == []
    assert [each.pool for each in measure_laplacians(noise(47, 90))] == [4]


# ---- in a run -----------------------------------------------------------------------------------

SHALLOW = {"content_layers": ("relu1_1",), "style_layers": ("relu1_1", "relu2_1"), "coarsest": 0}
SMALL = Settings(long_side=64, steps=15, **SHALLOW)


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    """A disc on a ground, and stripes."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = ((y - 32).square() + (x - 32).square() < 300).float() * 0.5 + 0.2
    stripes = (torch.sin((x + y) / 3) / 2 + 0.5).clamp(0, 1)
    return disc.expand(1, 3, -1, -1).clone(), stripes.expand(1, 3, -1, -1).clone()


def test_outlines_stay_with_the_weight(pair):
    measured = measure_laplacians(pair[0])
    free, held = (
        stylize(*pair, SMALL.replace(laplacian_weight=weight)).image for weight in (0.0, 100.0)
    )
    term = LaplacianTerm(1.0, measured)
    assert float(term.loss(held)) < 0.3 * float(term.loss(free))


def test_a_run_in_tiles_has_the_same_losses(pair):
    settings = SMALL.replace(laplacian_weight=20.0, steps=1, init="style")
    whole, tiled = (list(Stylizer(settings, tile=tile).steps(*pair))[-1] for tile in (None, 32))
    assert whole.layers["content laplacian"] > 0
    assert whole.losses["content"] == pytest.approx(
        whole.layers["content laplacian"] + whole.layers["content relu1_1"], rel=1e-6
    )
    for name, loss in whole.layers.items():
        assert tiled.layers[name] == pytest.approx(loss, rel=1e-4), name


def test_a_content_mask_multiplies_the_term(pair):
    mask = left_half(64, 64)
    settings = SMALL.replace(laplacian_weight=1.0, content_mask_weight=5.0, steps=1, init="style")
    step = next(iter(Stylizer(settings).steps(*pair, guidance=Guidance(content_mask=mask))))
    expected = numpy_loss(step.image.double(), pair[0].double(), (4, 16), 1 + 4 * mask.double())
    assert step.layers["content laplacian"] == pytest.approx(expected, rel=1e-4)


def test_unpainted_pixels_stay_the_photo(pair):
    settings = SMALL.replace(laplacian_weight=20.0, steps=5)
    mask = left_half(64, 64)
    result = stylize(*pair, settings, guidance=Guidance(masks=mask)).image
    assert torch.equal(result[..., 32:], pair[0][..., 32:])
    assert float((result - pair[0])[..., :32].abs().max()) > 0.05


def test_with_the_photos_colors_it_compares_lightness(pair):
    """The target is gray as what the network sees, so the photo itself has no loss."""
    photo = pair[0] * torch.tensor([1.0, 0.4, 0.7]).view(1, 3, 1, 1)
    settings = SMALL.replace(laplacian_weight=20.0, steps=1, color="luminance")
    step = next(iter(Stylizer(settings).steps(photo, pair[1])))
    assert step.layers["content laplacian"] < 1e-8
