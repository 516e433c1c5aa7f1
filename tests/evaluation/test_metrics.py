"""Each metric: best on identity, monotone, unchanged where it says so, equal to references."""

from __future__ import annotations

import inspect
import itertools
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn import functional

from helpers import assert_close, draw
from impasto.errors import SettingsError, WeightsError
from impasto.evaluation import GROUPS, METRICS, artifacts, content, psnr, styles
from impasto.evaluation.perceptual import lpips_distance
from impasto.evaluation.views import Subject, View
from impasto.network.encoder import Encoder
from impasto.pictures.examples import EXAMPLES
from impasto.pictures.files import load_image
from impasto.pictures.picture import Picture
from impasto.style.correlations import blurred

SIDE = 192
OWN = [name for name in METRICS if name != "lpips"]  # which needs another network
BEST = {"edges": 1.0, "diversity": 1.0}


@pytest.fixture(scope="module")
def encoder():
    return Encoder(tuple({layer for each in METRICS.values() for layer in each.layers}),
                   network="vgg16")  # fmt: skip


@pytest.fixture(scope="module")
def photo():
    return load_image(EXAMPLES / "astronaut.jpg", long_side=SIDE)[..., :176, :176]


@pytest.fixture(scope="module")
def painting():
    return load_image(EXAMPLES / "church_at_auvers_van_gogh.jpg", long_side=240)[..., :176, :176]


@pytest.fixture(scope="module")
def other():
    return load_image(EXAMPLES / "cafe_terrace_van_gogh.jpg", long_side=240)[..., :176, :176]


@pytest.fixture(scope="module")
def measure(encoder):
    """Measure pictures by one metric: measure("gram", result, photo, painting)."""

    def call(name, result, photo, painting):
        metric = METRICS[name]
        side = max(result.shape[-2:]) // (4 if metric.size == "quarter" else 1)
        subject = Subject(Picture(result), Picture(photo), [Picture(painting)], [1.0])
        with torch.no_grad():
            return metric.function(*View(subject, side, encoder).seen_by(metric))

    return call


def worse(name, values):
    """Return whether each value is worse than the one before it."""
    signed = [-value if METRICS[name].better == "higher" else value for value in values]
    return all(a < b for a, b in itertools.pairwise(signed))


# ---- the table ----------------------------------------------------------------------------------


def test_every_metric_is_declared_and_documented():
    assert {each.group for each in METRICS.values()} == set(GROUPS)
    for name, metric in METRICS.items():
        text = inspect.getdoc(metric.function)
        for word in ("Range:", "Direction:", "Paper:"):
            assert word in text, (name, word)
        direction = {"lower": "smaller is better", "higher": "larger is better"}[metric.better]
        assert direction in text, name


def test_the_page_lists_every_metric_with_its_direction():
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for name, metric in METRICS.items():
        assert re.search(rf"^\| `{name}` \| {metric.better} \|", page, re.MULTILINE), name


# ---- identity and order -------------------------------------------------------------------------


@pytest.mark.parametrize("name", OWN)
def test_identity_is_best(name, measure, photo):
    assert measure(name, photo, photo, photo) == pytest.approx(BEST.get(name, 0.0), abs=2e-5)


@pytest.mark.parametrize("name", [name for name in OWN if METRICS[name].group != "artifacts"])
def test_another_picture_is_worse(name, measure, photo, painting):
    identity = measure(name, photo, photo, photo)
    assert worse(name, [identity, measure(name, photo, painting, painting)])
    assert abs(measure(name, photo, painting, painting) - identity) > 0.02


def blur(image, amount):
    radius = 3 * 12
    padded = functional.pad(image, (radius,) * 4, mode="replicate")
    return blurred(padded, amount)[..., radius:-radius, radius:-radius] if amount else image


def noise(image, amount):
    return (image + amount * draw(*image.shape)).clamp(0, 1)


def shift(image, amount):
    """Move the colors towards orange."""
    return image.lerp(torch.tensor([1.0, 0.6, 0.1]).view(1, 3, 1, 1), amount)


CONTENT = ["features", "edges"]
STYLE = ["gram", "gaussian", "sliced", "nearest", "frechet"]
MOTIF = ["motif_gram", "motif_gaussian", "motif_sliced", "motif_nearest"]
WORSE = [
    *((name, blur, (0, 0.7, 1.5, 3)) for name in [*CONTENT, *STYLE]),
    *((name, blur, (0, 3, 6, 12)) for name in MOTIF),
    *((name, noise, (0, 0.05, 0.1, 0.2)) for name in [*CONTENT, *STYLE, "speckle", "colors"]),
    *((name, noise, (0, 0.2, 0.4, 0.8)) for name in MOTIF),
    *((name, shift, (0, 0.2, 0.4, 0.6)) for name in ["features", *STYLE, *MOTIF, "colors"]),
]


@pytest.mark.parametrize(
    ("name", "damage", "amounts"), WORSE, ids=[f"{each[0]}-{each[1].__name__}" for each in WORSE]
)
def test_more_damage_is_worse(name, damage, amounts, measure, painting):
    values = [measure(name, damage(painting, each), painting, painting) for each in amounts]
    assert worse(name, values), values


@pytest.mark.parametrize("name", [*STYLE, *MOTIF, "colors"])
def test_more_of_another_style_is_worse(name, measure, painting, other):
    values = []
    for columns in (0, 48, 96, 144):
        mixed = torch.cat([other[..., :columns], painting[..., columns:]], -1)
        values.append(measure(name, mixed, painting, painting))
    assert worse(name, values), values


def test_copies_of_one_patch_lower_the_diversity(measure, painting):
    values = []
    for side in (176, 88, 44, 22):
        count = 176 // side
        values.append(measure("diversity", painting[..., :side, :side].repeat(1, 1, count, count),
                              painting, painting))  # fmt: skip
    assert worse("diversity", values), values
    assert values[-1] < 0.2


# ---- unchanged ----------------------------------------------------------------------------------

FEATURE_MEASURES = [
    styles.relative_gram_distance, styles.gaussian_distance, styles.sliced_distance,
    styles.nearest_distance, styles.frechet_distance,
]  # fmt: skip


@pytest.mark.parametrize("function", FEATURE_MEASURES, ids=lambda each: each.__name__)
def test_the_order_of_positions_does_not_matter(function):
    own, aim = draw(1, 8, 12, 10).relu(), draw(1, 8, 9, 11, seed=1).relu()
    order = torch.randperm(120, generator=torch.Generator().manual_seed(0))
    shuffled = own.flatten(2)[..., order].view(1, 8, 10, 12)
    mirrored = aim.flip(-1)
    expected = function({"a": own}, {"a": aim})
    assert function({"a": shuffled}, {"a": mirrored}) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("function", FEATURE_MEASURES, ids=lambda each: each.__name__)
def test_several_layers_give_their_mean(function):
    maps = [draw(1, 4, 6, 5, seed=seed).relu() for seed in range(4)]
    alone = [function({"x": maps[at]}, {"x": maps[at + 2]}) for at in (0, 1)]
    both = function({"a": maps[0], "b": maps[1], "more": maps[1]}, {"a": maps[2], "b": maps[3]})
    assert both == pytest.approx(sum(alone) / 2)


def test_edges_ignore_brightness_and_contrast_and_colors_ignore_places(photo):
    assert content.edge_structure(0.5 * photo + 0.2, photo) == pytest.approx(1.0)
    assert styles.color_distance(photo.flip(-1), photo) == 0.0
    assert styles.color_distance(0.5 * photo, photo) > 0.05


def test_the_phase_of_a_grid_does_not_matter():
    grid = 0.5 + 0.1 * (-1.0) ** torch.arange(65).expand(1, 3, 65, 65)
    assert artifacts.grid_amplitude(grid[..., 1:]) == pytest.approx(
        artifacts.grid_amplitude(grid[..., :-1]), rel=1e-5
    )


def test_flat_pictures_have_finite_values():
    flat, dark = torch.full((1, 3, 40, 40), 0.5), torch.full((1, 3, 40, 40), 0.1)
    assert content.edge_structure(flat, dark) == 1.0
    assert artifacts.border_excess(flat, dark) == 0.0
    assert content.edge_structure(flat, torch.rand(1, 3, 40, 40)) == 0.0


# ---- artifacts ----------------------------------------------------------------------------------


def test_a_grid_has_its_amplitude():
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(80), indexing="ij")
    ramp = torch.linspace(0.3, 0.7, 80).expand(64, 80)
    for sign in (rows + columns, rows, columns):
        image = (ramp + 0.02 * (-1.0) ** sign).expand(1, 3, 64, 80)
        assert artifacts.grid_amplitude(image) == pytest.approx(0.02, rel=1e-3)
    coarse = (ramp + 0.02 * (-1.0) ** (columns // 2)).expand(1, 3, 64, 80)
    assert artifacts.grid_amplitude(coarse) < 1e-3
    assert artifacts.grid_amplitude(ramp.expand(1, 3, 64, 80)) < 1e-4


@pytest.mark.parametrize("strength", [0.01, 0.03])
def test_a_checkerboard_is_seen_over_a_photo(photo, strength):
    rows, columns = torch.meshgrid(torch.arange(176), torch.arange(176), indexing="ij")
    image = (photo + strength * (-1.0) ** (rows + columns)).clamp(0, 1)
    assert artifacts.checkerboard(image, [photo]) > 0.5 * strength
    assert artifacts.checkerboard(image, [photo, image]) == 0.0  # an input has it, too


def test_clipped_pixels_are_counted(photo):
    image = torch.full((1, 3, 10, 10), 0.5)
    image[:, 1, :2] = 1.0
    image[:, 2, :4, :5] = 0.001
    assert artifacts.clipped_share(image) == pytest.approx(0.3)
    values = [artifacts.blown_out((0.5 + gain * (photo - 0.5)).clamp(0, 1), [photo])
              for gain in (1.0, 1.5, 2.0, 4.0)]  # fmt: skip
    assert worse("blown_out", values), values


def test_a_frame_is_seen_and_grows(photo):
    values = []
    for strength in (0.0, 0.3, 0.6, 1.0):
        framed = photo.clone()
        framed[..., :2, :] += strength * (1 - framed[..., :2, :])
        framed[..., -2:, :] += strength * (1 - framed[..., -2:, :])
        values.append(artifacts.border_excess(framed, photo))
    assert worse("border", values), values


# ---- references ---------------------------------------------------------------------------------


@pytest.fixture
def maps():
    """Features of a result and a painting: correlated channels, more positions than channels."""
    mixing = draw(6, 6, seed=3)
    own = (mixing @ draw(6, 80)).relu().view(1, 6, 8, 10)
    aim = (0.3 + mixing.T @ draw(6, 90, seed=1)).relu().view(1, 6, 9, 10)
    return own, aim


def arrays(maps):
    return [each[0].flatten(1).double().numpy() for each in maps]


def test_gram_against_numpy(maps):
    own, aim = ((each @ each.T) / each.shape[1] for each in arrays(maps))
    expected = ((own - aim) ** 2).sum() / (aim**2).sum()
    actual = styles.relative_gram_distance({"a": maps[0]}, {"a": maps[1]})
    assert actual == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("function", "floor"), [(styles.gaussian_distance, 1e-4), (styles.frechet_distance, 0.0)]
)
def test_frechet_and_gaussian_against_scipy(function, floor, maps):
    linalg = pytest.importorskip("scipy.linalg")
    (mean, covariance), (aim, target) = (
        (each.mean(1), np.cov(each, bias=True)) for each in arrays(maps)
    )
    ridge = floor * target.trace() / 6 * np.eye(6)

    def distance(mean, covariance):
        root = linalg.sqrtm((covariance + ridge) @ (target + ridge)).real
        traces = (covariance + target + 2 * ridge).trace() - 2 * root.trace()
        return ((mean - aim) ** 2).sum() + traces

    whole = distance(0 * mean, 0 * covariance) if floor else (aim**2).sum() + target.trace()
    actual = function({"a": maps[0]}, {"a": maps[1]})
    assert actual == pytest.approx(distance(mean, covariance) / whole, rel=1e-4)


def test_sliced_against_scipy():
    """On one line, the distance of quantiles is the Wasserstein distance of order 2."""
    optimize = pytest.importorskip("scipy.optimize")
    own, aim = draw(1, 1, 5, 8), draw(1, 1, 8, 5, seed=1)
    costs = (own.flatten()[:, None] - aim.flatten()[None]).square().double().numpy()
    rows, columns = optimize.linear_sum_assignment(costs)  # the optimal transport
    expected = costs[rows, columns].mean() / float(aim.square().mean())
    assert styles.sliced_distance({"a": own}, {"a": aim}) == pytest.approx(expected, rel=1e-4)


def test_nearest_against_scipy(maps):
    spatial = pytest.importorskip("scipy.spatial.distance")
    own, aim = (each.T for each in arrays(maps))
    centered = spatial.cdist(own - own.mean(0), aim - aim.mean(0), "cosine")
    matches = aim[centered.argmin(1)]
    expected = np.mean([spatial.cosine(a, b) for a, b in zip(own, matches, strict=True)])
    actual = styles.nearest_distance({"a": maps[0]}, {"a": maps[1]})
    assert actual == pytest.approx(expected, rel=1e-4)


def test_diversity_against_scipy(maps):
    stats = pytest.importorskip("scipy.stats")
    spatial = pytest.importorskip("scipy.spatial.distance")
    own = arrays(maps)[0].T
    aim = arrays(maps)[1].T[:80]
    numbers = []
    for queries in (own, aim):
        costs = spatial.cdist(queries - queries.mean(0), aim - aim.mean(0), "cosine")
        numbers.append(np.exp(stats.entropy(np.bincount(costs.argmin(1)))))
    target = torch.from_numpy(aim.T.copy()).float().view(1, 6, 8, 10)
    actual = styles.patch_diversity({"a": maps[0]}, {"a": target})
    assert actual == pytest.approx(numbers[0] / numbers[1], rel=1e-4)


def test_colors_against_scipy(photo, painting):
    stats = pytest.importorskip("scipy.stats")
    own, aim = (each[0].flatten(1).numpy() for each in (photo, painting[..., :150]))
    expected = np.mean([stats.wasserstein_distance(a, b) for a, b in zip(own, aim, strict=True)])
    assert styles.color_distance(photo, painting[..., :150]) == pytest.approx(expected, abs=2e-4)


def test_edges_against_scikit_image(photo, painting):
    filters = pytest.importorskip("skimage.filters")
    strengths = []
    for image in (painting, photo):
        luma = np.tensordot([0.299, 0.587, 0.114], image[0].double().numpy(), 1)
        strengths.append(
            filters.gaussian(filters.sobel(luma), 1.76, mode="constant", truncate=6 / 1.76)
        )
    expected = np.corrcoef(strengths[0].ravel(), strengths[1].ravel())[0, 1]
    assert content.edge_structure(painting, photo) == pytest.approx(expected, abs=1e-3)


def test_psnr_against_scikit_image(photo, painting):
    metrics = pytest.importorskip("skimage.metrics")
    expected = metrics.peak_signal_noise_ratio(photo.numpy(), painting.numpy(), data_range=1)
    assert psnr(painting, photo) == pytest.approx(expected, rel=1e-5)
    assert psnr(photo, photo) == float("inf")


def test_color_noise_against_scipy(photo):
    ndimage = pytest.importorskip("scipy.ndimage")
    red, green, blue = photo[0].double().numpy()
    planes = [red - green, (red + green) / 2 - blue]
    expected = np.mean([np.abs(ndimage.laplace(each)[1:-1, 1:-1]) for each in planes])
    assert_close(artifacts.chroma_noise(photo), expected, relative=1e-5)


# ---- LPIPS --------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_lpips_that_is_not_installed_says_how(monkeypatch, photo):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(SettingsError, match=r"lpips and torchvision.*pip install.*\[evaluation\]"):
        lpips_distance(photo, photo)


def test_lpips_downloads_nothing(monkeypatch, hub, photo):
    monkeypatch.setitem(sys.modules, "lpips", ModuleType("lpips"))
    with pytest.raises(WeightsError, match="AlexNet's weights; to download them: python"):
        lpips_distance(photo, photo)


def test_lpips_takes_pictures_between_minus_one_and_one(monkeypatch, hub, photo):
    class Model(torch.nn.Module):
        def __init__(self, net, verbose):
            super().__init__()
            assert (net, verbose) == ("alex", False)

        def forward(self, image, target):
            assert image.min() < -0.5
            return (image - target).abs().mean().view(1, 1, 1, 1)

    (hub / "alexnet-owt-7be5be79.pth").touch()
    fake = ModuleType("lpips")
    fake.LPIPS = Model
    monkeypatch.setitem(sys.modules, "lpips", fake)
    assert lpips_distance(1 - photo, photo) == pytest.approx(
        float((2 - 4 * photo).abs().mean()), rel=1e-4
    )
