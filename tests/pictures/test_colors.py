"""Whose colors: against NumPy, at the border of the gamut, and where there is no spread at all."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch import Tensor

import impasto
from helpers import assert_clear_error, assert_close, assert_in_range, tree
from impasto.errors import SettingsError, ShapeError
from impasto.painting.stylizer import stylize
from impasto.pictures.colors import (
    LINEAR_MAPS,
    _triangular,
    content_in_color,
    luminance,
    match_colors,
    match_luminance,
    recolor,
    style_in_color,
)
from impasto.pictures.files import load_image, read_metadata
from impasto.settings.pictures import ColorName, MatchingName, Settings

LINEAR = tuple(LINEAR_MAPS)
METHODS = (*LINEAR, "histogram")
QUICK = {"steps": 4, "long_side": 48, "coarsest": 32}

# The FCC's YIQ, for gamma-encoded red, green and blue.
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def pixels(image: Tensor) -> np.ndarray:
    """A picture's colors, (N, 3), float64."""
    return image.double()[0].flatten(1).T.numpy()


def moments(image: Tensor) -> tuple[np.ndarray, np.ndarray]:
    colors = pixels(image)
    return colors.mean(axis=0), np.cov(colors.T, bias=True)


def noise(height: int, width: int, seed: int) -> Tensor:
    """A picture of correlated colors around its own mean, well inside the gamut."""
    random = np.random.default_rng(seed)
    mix = random.normal(0, 0.06, (3, 3))
    colors = random.uniform(0.35, 0.65, 3)[:, None] + mix @ random.normal(size=(3, height * width))
    return torch.from_numpy(colors.reshape(1, 3, height, width)).clamp(0, 1)


def two_colors() -> Tensor:
    image = torch.tensor([0.9, 0.2, 0.1]).view(1, 3, 1, 1).repeat(1, 1, 20, 30)
    image[..., :7] = torch.tensor([0.1, 0.3, 0.8]).view(1, 3, 1, 1)
    return image


def three_colors() -> Tensor:
    image = two_colors()
    image[..., 12:] = torch.tensor([0.8, 0.9, 0.1]).view(1, 3, 1, 1)
    return image


def gray() -> Tensor:
    return torch.linspace(0, 1, 600).view(1, 1, 20, 30).repeat(1, 3, 1, 1)


def constant(value: float = 0.3) -> Tensor:
    return torch.full((1, 3, 20, 30), value)


def one_pixel() -> Tensor:
    return torch.tensor([0.2, 0.5, 0.7]).view(1, 3, 1, 1)


def one_channel() -> Tensor:
    image = torch.zeros(1, 3, 20, 30)
    image[0, 1] = torch.linspace(0, 1, 600).view(20, 30)
    return image


SINGULAR = {
    make.__name__: make
    for make in (two_colors, three_colors, gray, constant, one_pixel, one_channel)
}

# ---- linear matching ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", LINEAR)
@pytest.mark.parametrize("seed", range(4))
def test_mean_and_covariance_are_reached(method, seed):
    source, target = noise(24, 31, seed), noise(17, 40, seed + 10)
    mean, covariance = moments(match_colors(source, target, method))
    wanted_mean, wanted = moments(target)
    np.testing.assert_allclose(mean, wanted_mean, atol=1e-12)
    np.testing.assert_allclose(covariance, wanted, atol=1e-12)


@pytest.mark.parametrize("method", LINEAR)
def test_they_are_reached_with_real_pictures(method, examples):
    photo = load_image(examples / "kingfisher.jpg", long_side=96)
    painting = load_image(examples / "cafe_terrace_van_gogh.jpg", long_side=96)
    for source, target in [(photo, painting), (painting, photo)]:
        mean, covariance = moments(match_colors(source, target, method))
        np.testing.assert_allclose(mean, moments(target)[0], atol=1e-3)
        np.testing.assert_allclose(covariance, moments(target)[1], atol=1e-3)


def _cholesky(S: np.ndarray, C: np.ndarray) -> np.ndarray:
    return np.linalg.cholesky(C) @ np.linalg.inv(np.linalg.cholesky(S))


def _svd_root(matrix: np.ndarray) -> np.ndarray:
    left, values, right = np.linalg.svd(matrix)
    return left @ np.diag(np.sqrt(values)) @ right


def _pca(S: np.ndarray, C: np.ndarray) -> np.ndarray:
    return _svd_root(C) @ np.linalg.inv(_svd_root(S))


def _symmetric(S: np.ndarray, C: np.ndarray) -> np.ndarray:
    """The geometric mean of S⁻¹ and C, by another formula than ours: A = S⁻¹ (S C)^½."""
    values, vectors = np.linalg.eig(S @ C)
    return np.linalg.inv(S) @ (vectors @ np.diag(np.sqrt(values)) @ np.linalg.inv(vectors))


@pytest.mark.parametrize(
    ("method", "reference"),
    [("cholesky", _cholesky), ("pca", _pca), ("symmetric", _symmetric)],
)
def test_maps_equal_numpy(method, reference):
    source, target = noise(24, 31, 3), noise(17, 40, 4)
    (mean, S), (wanted_mean, C) = moments(source), moments(target)
    expected = (pixels(source) - mean) @ reference(S, C).T + wanted_mean
    np.testing.assert_allclose(pixels(match_colors(source, target, method)), expected, atol=1e-10)


def test_symmetric_moves_colors_least():
    source, target = noise(24, 31, 3), noise(17, 40, 4)
    moved = {
        method: float((match_colors(source, target, method) - source).square().mean())
        for method in LINEAR
    }
    assert moved["symmetric"] < min(moved["pca"], moved["cholesky"])


@pytest.mark.parametrize("method", LINEAR)
@pytest.mark.parametrize("name", SINGULAR)
def test_singular_sources(method, name):
    """The mean, the covariance on the source's range, nothing outside it, everything finite."""
    source, target = SINGULAR[name](), noise(17, 40, 4)
    result = match_colors(source, target, method)
    assert torch.isfinite(result).all()
    (_, S), (mean, covariance) = moments(source), moments(result)
    wanted_mean, wanted = moments(target)
    np.testing.assert_allclose(mean, wanted_mean, atol=1e-9)
    projection = S @ np.linalg.pinv(S, rcond=1e-6, hermitian=True)
    if name in ("constant", "one_pixel"):
        projection = np.zeros((3, 3))
    np.testing.assert_allclose(covariance, projection @ wanted @ projection, atol=1e-9)
    assert_in_range(recolor(source, target, method=method))


@pytest.mark.parametrize("method", LINEAR)
@pytest.mark.parametrize("name", SINGULAR)
def test_singular_targets(method, name):
    source, target = noise(17, 40, 4), SINGULAR[name]()
    mean, covariance = moments(match_colors(source, target, method))
    np.testing.assert_allclose(mean, moments(target)[0], atol=1e-9)
    np.testing.assert_allclose(covariance, np.cov(pixels(target).T, bias=True), atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SINGULAR)
@pytest.mark.parametrize("other", SINGULAR)
def test_singular_to_singular_is_finite(method, name, other):
    assert_in_range(recolor(SINGULAR[name](), SINGULAR[other](), method=method))


def test_less_than_rounding_is_no_color():
    """A gray picture whose channels differ in their last bit is not blown up to full color."""
    almost = gray() + torch.rand((1, 3, 20, 30), generator=torch.Generator().manual_seed(0)) / 512
    result = match_colors(almost, three_colors(), "symmetric")
    plain = match_colors(gray(), three_colors(), "symmetric")
    assert (result - plain).abs().max() < 0.02


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [*SINGULAR, "regular"])
def test_a_picture_matched_to_itself_is_itself(method, name):
    image = {**SINGULAR, "regular": lambda: noise(24, 31, 0)}[name]()
    assert_close(match_colors(image, image, method), image.double(), relative=1e-6)


def test_what_has_no_spread_is_left_as_it_is():
    """Noise below the rounding of 8 bits is not color, but it is not taken away either."""
    fine = torch.randn((1, 3, 20, 30), generator=torch.Generator().manual_seed(0)) * 1e-4
    image = gray() * 0.8 + 0.1 + fine
    for method in LINEAR:
        assert_close(match_colors(image, image, method), image.double(), relative=1e-9)


@pytest.mark.parametrize("make", [lambda: noise(24, 31, 0), three_colors, gray, constant])
def test_triangular_factors(make):
    covariance = moments(make())[1]
    factor = _triangular(torch.from_numpy(covariance)).numpy()
    np.testing.assert_allclose(factor @ factor.T, covariance, atol=1e-12)
    assert not np.triu(factor, 1).any()
    assert (factor.diagonal() >= 0).all()


# ---- histograms ---------------------------------------------------------------------------------


def assert_same_distribution(a: np.ndarray, b: np.ndarray) -> None:
    """The largest difference between two distribution functions is at most 1/255."""
    at = np.concatenate([a, b])
    shares = [np.searchsorted(np.sort(x), at, side="right") / len(x) for x in (a, b)]
    worst = np.abs(shares[0] - shares[1]).max()
    assert worst <= 1 / 255, f"distribution functions differ by {worst:.4f}"


def assert_same_values(a: np.ndarray, b: np.ndarray) -> None:
    """The largest difference between two quantile functions is at most 1/255, but for 0.5 %."""
    at = np.linspace(0.0025, 0.9975, 400)
    worst = np.abs(np.quantile(a, at) - np.quantile(b, at)).max()
    assert worst <= 1 / 255, f"quantile functions differ by {worst:.4f}"


@pytest.mark.parametrize("sizes", [(64, 64), (80, 64), (64, 80)])
def test_histograms_of_regular_pictures(sizes):
    source, target = noise(sizes[0], 51, 1), noise(sizes[1], 51, 2)
    result = pixels(match_colors(source, target, "histogram"))
    for channel in range(3):
        assert_same_distribution(result[:, channel], pixels(target)[:, channel])


def test_histograms_of_real_pictures_of_8_bits(examples):
    """Palettes of 256 values make steps in the target's function, so its inverse is compared."""
    photo = load_image(examples / "neuschwanstein.jpg")
    painting = load_image(examples / "cafe_terrace_van_gogh.jpg")
    result = pixels(match_colors(photo, painting, "histogram"))
    for channel in range(3):
        assert_same_values(result[:, channel], pixels(painting)[:, channel])


def test_the_order_of_values_is_kept_and_equals_stay_equal():
    source, target = noise(30, 31, 1), noise(17, 40, 2)
    source = (source * 20).round() / 20
    result = match_colors(source, target, "histogram")
    for before, after in zip(pixels(source).T, pixels(result).T, strict=True):
        order = np.argsort(before, kind="stable")
        runs = np.split(after[order], np.flatnonzero(np.diff(before[order])) + 1)
        for lower, upper in itertools.pairwise(runs):
            assert lower.max() <= upper.min() + 1e-12
    flat = match_colors(two_colors(), target, "histogram")
    assert len(np.unique(pixels(flat)[:, 0].round(9))) <= 4  # two areas and their seams


def test_mirrored_neighborhoods_are_alike():
    """They have the same mean but for the order in which it is summed up."""
    columns = torch.tensor([0.3, 0.1, 0.7, 0.1] * 8, dtype=torch.float64)
    stripes = columns.expand(1, 3, 12, 32)
    result = match_colors(stripes, noise(17, 40, 2), "histogram")[0, 0, :, 1:-1:2]
    assert len(result.unique()) == 1


def test_histogram_equals_sorting():
    """At equal sizes and without ties the n-th smallest value becomes the target's n-th."""
    source, target = noise(24, 31, 1), noise(24, 31, 2)
    result = match_colors(source, target, "histogram")
    for before, after, wanted in zip(
        pixels(source).T, pixels(result).T, pixels(target).T, strict=True
    ):
        expected = np.empty_like(before)
        expected[np.argsort(before)] = np.sort(wanted)
        np.testing.assert_allclose(after, expected, atol=1e-9)


def test_a_constant_picture_gets_the_mean():
    result = match_colors(constant(), noise(17, 40, 2), "histogram")
    mean = moments(noise(17, 40, 2))[0]
    np.testing.assert_allclose(pixels(result), np.tile(mean, (600, 1)), atol=1e-9)


@pytest.mark.parametrize(
    ("compare", "a", "b"),
    [
        (assert_same_distribution, np.linspace(0, 1, 1000), np.linspace(0.01, 1, 1000)),
        (assert_same_values, np.linspace(0, 1, 1000), np.linspace(0.01, 1, 1000)),
    ],
)
def test_differing_distributions_are_noticed(compare, a, b):
    compare(a, a)
    with pytest.raises(AssertionError, match="functions differ"):
        compare(a, b)


# ---- recolor ------------------------------------------------------------------------------------


def test_methods_agree_with_the_settings():
    assert typing.get_args(MatchingName) == METHODS
    assert typing.get_args(ColorName) == ("style", "luminance", *METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_strength_goes_from_the_photo_to_the_palette(method, photo, painting):
    assert torch.equal(recolor(photo, painting, method=method, strength=0), photo)
    whole = match_colors(photo, painting, method)
    half = recolor(photo, painting, method=method, strength=0.5)
    expected = ((photo.double() + whole) / 2).clamp(0, 1)
    assert_close(half, expected, relative=1e-6)
    assert half.dtype == photo.dtype


def test_halfway_is_between_the_distributions():
    """With the symmetric map the standard deviations, too, are halfway on one axis."""
    source, target = gray().double() * 0.2 + 0.4, gray().double() * 0.6 + 0.1
    half = recolor(source, target, strength=0.5)
    spread = [float(image.std()) for image in (source, half, target)]
    assert spread[1] == pytest.approx((spread[0] + spread[2]) / 2, rel=1e-6)


def test_pictures_are_not_changed(photo, painting):
    before = photo.clone(), painting.clone()
    for method in METHODS:
        recolor(photo, painting, method=method)
    for color in typing.get_args(ColorName):
        style_in_color(painting, photo, color)
    assert torch.equal(photo, before[0])
    assert torch.equal(painting, before[1])


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_bad_strengths(strength, photo):
    with pytest.raises(SettingsError, match=r"strength: .* between 0 and 1"):
        recolor(photo, photo, strength=strength)


def test_an_unknown_method(photo):
    with pytest.raises(SettingsError, match=r"'simmetric' is not one of .*did you mean symmetric"):
        recolor(photo, photo, method="simmetric")


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (2, 3, 8, 8), (1, 3, 0, 8)])
def test_bad_shapes(shape, photo):
    bad = torch.zeros(shape)
    calls = [
        lambda: recolor(bad, photo),
        lambda: recolor(photo, bad),
        lambda: match_luminance(bad, photo),
    ]
    for call in calls:
        with pytest.raises(ShapeError, match=r"an image is \(1, 3, H, W\)"):
            call()


# ---- luminance ----------------------------------------------------------------------------------


def test_luminance_is_y(photo):
    expected = pixels(photo) @ YIQ[0]
    np.testing.assert_allclose(luminance(photo).flatten().numpy(), expected, atol=1e-6)


def test_matched_luminance_equals_numpy(photo, painting):
    style, content = pixels(painting) @ YIQ[0], pixels(photo) @ YIQ[0]
    expected = content.std() / style.std() * (style - style.mean()) + content.mean()
    result = match_luminance(painting, photo)
    np.testing.assert_allclose(result.flatten().numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("name", SINGULAR)
def test_matched_luminance_without_spread(name, photo):
    result = match_luminance(SINGULAR[name](), photo)
    assert torch.isfinite(result).all()
    assert float(result.mean()) == pytest.approx(float(luminance(photo.double()).mean()), abs=1e-9)
    back = match_luminance(photo, SINGULAR[name]())
    assert float(back.std(correction=0)) == pytest.approx(
        float(luminance(SINGULAR[name]().double()).std(correction=0)), abs=1e-7
    )


def test_what_is_measured_is_gray_where_only_luminance_is_painted(photo, painting):
    for image in (
        content_in_color(photo, "luminance"),
        style_in_color(painting, photo, "luminance"),
    ):
        assert image.shape[1] == 3
        assert torch.equal(image[:, :1].expand(-1, 3, -1, -1), image)
        assert_in_range(image)
    assert content_in_color(photo, "pca") is photo
    assert style_in_color(painting, photo, "style") is painting


# ---- painting -----------------------------------------------------------------------------------


def test_a_start_from_the_style_has_the_photos_colors(photo, painting):
    settings = Settings(color="histogram", steps=1, long_side=48, coarsest=0, init="style")
    start = stylize(photo, painting, settings).image
    full = load_image(photo, long_side=48)
    np.testing.assert_allclose(moments(start)[0], moments(full)[0], atol=1e-6)


def test_matched_styles_leave_the_photos_palette(photo, painting):
    """With matched colors the mean stays nearer to the photo's than with the painting's colors."""
    settings = Settings(steps=12, long_side=48, coarsest=0, init="style")
    mean = photo.mean(dim=(2, 3))

    def distance(chosen: Settings) -> float:
        return float((stylize(photo, painting, chosen).image.mean(dim=(2, 3)) - mean).norm())

    plain = distance(settings)
    for color in METHODS:
        assert distance(settings.replace(color=color)) < 0.7 * plain, color


def test_several_styles_are_matched_each_for_itself(photo, painting):
    settings = Settings(**QUICK, color="symmetric")
    blend = stylize(photo, [painting, painting.flip(1)], settings).image
    once = stylize(photo, [painting], settings).image
    assert_in_range(blend)
    assert not torch.allclose(blend, once, atol=1e-4)


@pytest.mark.parametrize("color", typing.get_args(ColorName))
@pytest.mark.parametrize("pair", ["gray photo", "constant photo", "gray style", "constant style"])
def test_pictures_without_color_can_be_painted(color, pair, photo, painting):
    plain = gray() if pair.startswith("gray") else constant()
    inputs = (plain, painting) if pair.endswith("photo") else (photo, plain)
    settings = Settings(steps=2, long_side=32, coarsest=0, color=color)
    assert_in_range(stylize(*inputs, settings).image)


# ---- the command --------------------------------------------------------------------------------


@pytest.fixture
def recolored(command, photo_file, painting_file, tmp_path):
    def call(*words, output=tmp_path / "out.png"):
        return command("recolor", photo_file, painting_file, "-o", output, *words)

    return call


@pytest.mark.parametrize("method", METHODS)
def test_the_command_is_the_function(method, recolored, photo_file, painting_file, tmp_path):
    outcome = recolored("--method", method, "--strength", 0.5)
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.endswith("out.png: 40 x 32 px, 0 s\n")
    expected = recolor(
        load_image(photo_file), load_image(painting_file), method=method, strength=0.5
    )
    assert (load_image(tmp_path / "out.png") - expected).abs().max() < 0.51 / 255
    noted = read_metadata(tmp_path / "out.png")
    assert noted["impasto"] == impasto.__version__
    assert noted["made"] == {
        "command": "recolor", "method": method, "strength": 0.5, "long_side": None,
    }  # fmt: skip
    assert noted["content"]["name"] == "photo.png"
    assert [each["name"] for each in noted["styles"]] == ["painting.png"]
    assert len(noted["styles"][0]["sha256"]) == 64
    assert str(tmp_path) not in json.dumps(noted)


def test_the_command_says_what_it_did(recolored):
    outcome = recolored("--quiet", "--json", "--long-side", 20)
    assert outcome.err == ""
    summary = json.loads(outcome.out)
    assert (summary["width"], summary["height"]) == (20, 16)
    assert summary["made"]["method"] == "symmetric"


def test_alpha_and_16_bits(command, painting_file, tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (9, 12, 4), np.uint8)
    PillowImage.fromarray(array).save(tmp_path / "in.png")
    out = tmp_path / "new" / "out.png"
    outcome = command("recolor", tmp_path / "in.png", painting_file, "-qo", out, "--bits", 16)
    assert outcome.code == 0
    picture = impasto.load_picture(out)
    np.testing.assert_allclose(picture.alpha[0, 0].numpy() * 255, array[..., 3], atol=1e-3)
    assert (picture.image * 255 - (picture.image * 255).round()).abs().max() > 0.1


def test_pipes(photo_file, painting_file):
    source = Path(impasto.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "impasto", "recolor", "-", painting_file, "-o", "-"],
        input=photo_file.read_bytes(), capture_output=True, check=True,
        env={**os.environ, "PYTHONPATH": str(source)},
    )  # fmt: skip
    assert done.stdout.startswith(b"\x89PNG")
    assert b"Wrote stdout" in done.stderr


def test_help_is_free_of_heavy_imports():
    code = (
        "import sys\n"
        "sys.argv = ['impasto', 'recolor', '--help']\n"
        "from impasto.cli.main import run\n"
        "try:\n    run()\n"
        "finally:\n    print('HEAVY', {'torch', 'numpy', 'PIL'} & set(sys.modules))\n"
    )
    source = Path(impasto.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(source)},
    )  # fmt: skip
    assert done.stdout.endswith("HEAVY set()\n")


def test_an_old_file_is_replaced_with_force_only(recolored, tmp_path):
    assert recolored().code == 0
    before = tree(tmp_path)
    assert_clear_error(recolored("--strength", 0), "out.png exists already; --force replaces it")
    assert tree(tmp_path) == before
    assert recolored("--strength", 0, "--force").code == 0
    assert tree(tmp_path) != before


BAD = {
    "an unknown method": (("--method", "simmetric"), ("simmetric", "did you mean symmetric?")),
    "luminance": (("--method", "luminance"), ("luminance", "is not one of")),
    "too strong": (("--strength", 1.5), ("strength: 1.5", "between 0 and 1")),
    "not a number": (("--strength", "nan"), ("strength: nan",)),
    "other bits": (("--bits", 12), ("12", "8 or 16")),
    "two things on stdout": (("--json", "-o", "-"), ("both write to stdout",)),
    "an unknown suffix": (("-o", "new/out.pgn"), ("did you mean .png?",)),
    "a file that exists": (("-o", "photo.png"), ("would overwrite", "which is the content")),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_options(what, recolored, tmp_path, monkeypatch):
    words, said = BAD[what]
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    assert_clear_error(recolored(*words), *said)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("role", ["photo", "style"])
@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), (b"", "empty"), (b"Dear diary,", "not a picture")]
)
def test_bad_pictures(role, content, said, command, photo_file, painting_file, tmp_path):
    bad = tmp_path / "bad.png"
    if content is not None:
        bad.write_bytes(content)
    before = tree(tmp_path)
    pictures = (bad, painting_file) if role == "photo" else (photo_file, bad)
    outcome = command("recolor", *pictures, "-o", tmp_path / "new" / "out.png")
    assert_clear_error(outcome, "bad.png", said)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("words", [(), ("a.png",), ("a.png", "b.png"), ("a", "b", "c", "-o", "d")])
def test_wrong_usage(words, command):
    outcome = command("recolor", *words)
    assert outcome.code == 2
    assert "Usage: impasto recolor PHOTO STYLE -o OUT" in outcome.out + outcome.err


def test_help(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = command("recolor", "--help").out
    assert "symmetric|cholesky|pca|histogram" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_color_flag_is_refused_when_unknown(command, photo_file, painting_file, tmp_path):
    outcome = command(
        "stylize", photo_file, painting_file, "-o", tmp_path / "o.png", "--color", "luminence"
    )
    assert_clear_error(outcome, "color: 'luminence'", "did you mean luminance?")
