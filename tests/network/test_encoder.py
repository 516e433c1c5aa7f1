"""The encoder equals an independent NumPy VGG and runs no deeper than asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import impasto
from helpers import assert_close, toy_weights
from impasto.errors import SettingsError, ShapeError, WeightsError
from impasto.network.encoder import Encoder
from impasto.network.weights import VGGWeights, load_weights
from impasto.settings.layers import conv_names, layer_names, minimum_side

MEAN_BGR = np.array([103.939, 116.779, 123.68]).reshape(3, 1, 1)


def numpy_vgg(image: np.ndarray, weights: VGGWeights, *, pool, border="zero") -> dict:
    """Layer by layer in float64: BGR, 0…255, minus the mean; then 3 × 3 correlations."""
    x = image[::-1] * 255 - MEAN_BGR
    features = {}
    for name in layer_names(weights.network):
        if name.startswith("conv"):
            weight, bias = (each.double().numpy() for each in weights.layers[name])
            mode = "edge" if border == "replicate" and name == "conv1_1" else "constant"
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode=mode)
            height, width = x.shape[1:]
            total = np.zeros((len(bias), height, width))
            for row in range(3):
                for column in range(3):
                    part = padded[:, row : row + height, column : column + width]
                    total += np.einsum("oi,ihw->ohw", weight[:, :, row, column], part)
            x = total + bias[:, None, None]
        elif name.startswith("relu"):
            x = np.maximum(x, 0)
        else:
            height, width = x.shape[1] // 2, x.shape[2] // 2
            blocks = x[:, : 2 * height, : 2 * width].reshape(-1, height, 2, width, 2)
            x = pool(blocks)
        features[name] = x
        if name == "relu4_2":
            return features
    return features


def as_image(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array)[None]


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
@pytest.mark.parametrize("border", ["zero", "replicate"])
def test_features_equal_numpy(network, border):
    weights = toy_weights(network)
    image = np.random.default_rng(0).random((3, 21, 18))
    names = [name for name in layer_names(network) if minimum_side(name) <= 8][:-2]
    names = [name for name in names if names.index(name) <= names.index("relu4_2")]
    encoder = Encoder(names, network=network, weights=weights, padding=border).double()
    expected = numpy_vgg(image, weights, pool=lambda b: b.max(axis=(2, 4)), border=border)
    for name, features in encoder(as_image(image)).items():
        assert_close(features[0], expected[name], relative=1e-9)


@pytest.mark.parametrize(
    ("pooling", "gain", "pool"),
    [
        ("average", 2.0, lambda b: b.mean(axis=(2, 4))),
        ("l2", 0.78, lambda b: np.sqrt((b**2).sum(axis=(2, 4)))),
    ],
)
@pytest.mark.parametrize("rescaled", [False, True])
def test_pooling_equals_numpy(toy, pooling, gain, pool, rescaled):
    image = np.random.default_rng(0).random((3, 16, 20))
    factor = gain if rescaled else 1.0
    encoder = Encoder(
        ("relu3_1",), weights=toy, pooling=pooling, pooling_rescaled=rescaled, padding="zero"
    ).double()
    expected = numpy_vgg(image, toy, pool=lambda b: factor * pool(b))
    assert_close(encoder(as_image(image))["relu3_1"][0], expected["relu3_1"], relative=1e-6)


def test_l2_pooling_has_a_gradient_of_zero_where_nothing_is_active(toy):
    silent = {name: (weight, bias - 1e9) for name, (weight, bias) in toy.layers.items()}
    for layers, active in ((silent, False), (toy.layers, True)):
        weights = VGGWeights("vgg19", "caffe", layers)
        encoder = Encoder(("relu3_1",), weights=weights, pooling="l2")
        image = torch.zeros(1, 3, 16, 16, requires_grad=True)
        encoder(image)["relu3_1"].sum().backward()
        assert torch.isfinite(image.grad).all()
        assert bool(image.grad.any()) == active


def test_features_come_shallow_to_deep_and_nothing_deeper_is_built(toy):
    encoder = Encoder(("relu3_1", "conv1_2"), weights=toy)
    assert list(encoder(torch.rand(1, 3, 16, 16))) == ["conv1_2", "relu3_1"]
    assert not any(name.startswith("conv3_2") for name, _ in encoder.named_buffers())


def test_no_weight_learns(toy_encoder):
    assert not list(toy_encoder.parameters())
    assert not any(buffer.requires_grad for buffer in toy_encoder.buffers())


def test_unknown_layer_has_a_nearest_match(toy):
    with pytest.raises(
        SettingsError, match=r"relu4_9: no such layer in vgg19.*did you mean relu4_"
    ):
        Encoder(("relu4_9",), weights=toy)


def test_unknown_network_has_a_nearest_match():
    with pytest.raises(SettingsError, match=r"vgg18: no such network.*did you mean vgg1"):
        layer_names("vgg18")


def test_too_small_a_picture_names_the_smallest(toy_encoder):
    with pytest.raises(ShapeError, match=r"9 x 7 px is too small: relu4_2 needs at least 8 px"):
        toy_encoder(torch.rand(1, 3, 7, 9))
    toy_encoder(torch.rand(1, 3, 8, 8))


def test_not_an_image(toy_encoder):
    with pytest.raises(ShapeError, match=r"\(B, 3, H, W\), not \(3, 8, 8\)"):
        toy_encoder(torch.rand(3, 8, 8))


@pytest.mark.parametrize(("network", "count"), [("vgg16", 13), ("vgg19", 16)])
def test_names(network, count):
    assert len(conv_names(network)) == count
    assert layer_names(network)[:3] == ("conv1_1", "relu1_1", "conv1_2")
    assert layer_names(network)[-1] == "pool5"


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_bundled_network_tells_red_from_blue(network, examples):
    """Each of sRGB's channels reaches the filters that were trained on it.

    A photo is more alike to ImageNet's than its channels swapped: swapping them back to front
    must lower the response of conv5_1's strongest units, which only fires on likely pictures.
    """
    from impasto.pictures.files import load_image

    encoder = Encoder(("relu5_1",), network=network)
    swapped = right = 0.0
    for path in sorted(examples.glob("*.jpg")):
        image = load_image(path, long_side=256)
        right += float(encoder(image)["relu5_1"].square().mean())
        swapped += float(encoder(image.flip(1))["relu5_1"].square().mean())
    assert right > swapped


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_normalized_network_computes_the_same_up_to_a_factor_per_channel(network, pooling, photo):
    names = [f"relu{b}_1" for b in range(1, 6)]
    raw = Encoder(names, network=network, pooling=pooling)
    normalized = Encoder(names, network=network, pooling=pooling, normalized=True)
    image = photo.repeat(1, 1, 2, 2)
    for name in names:
        a, b = raw(image)[name][0].double(), normalized(image)[name][0].double()
        active = a.flatten(1).amax(1) > 1e-3 * a.max()
        factor = (a * b).sum((1, 2))[active] / a.square().sum((1, 2))[active]
        assert_close(b[active], (a[active] * factor[:, None, None]), relative=1e-4)


def test_torchvision_weights_see_imagenet_normalized_rgb(toy):
    weights = VGGWeights("vgg19", "torchvision", toy.layers)
    image = torch.rand(1, 3, 8, 8)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    weight, bias = toy.layers["conv1_1"]
    expected = torch.conv2d((image - mean) / std, weight, bias, padding=1)
    encoder = Encoder(("conv1_1",), weights=weights, padding="zero")
    assert_close(encoder(image)["conv1_1"], expected, relative=1e-5)


def test_weights_of_another_network_are_refused():
    with pytest.raises(WeightsError, match="weights of vgg16, but the network is vgg19"):
        Encoder(("relu1_1",), network="vgg19", weights=load_weights("vgg16", last="conv1_1"))


def test_mean_activations_belong_to_the_bundled_weights():
    with pytest.raises(SettingsError, match="belong to the bundled weights"):
        Encoder(("relu1_1",), weights="torchvision", normalized=True)


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
def test_bfloat16_is_float32_to_some_digits(toy, photo, pooling):
    layers = ("relu1_1", "relu2_1", "relu3_1")
    full = Encoder(layers, weights=toy, pooling=pooling)(photo)
    leaf = photo.clone().requires_grad_()
    half = Encoder(layers, weights=toy, pooling=pooling, precision="bfloat16")(leaf)
    for name in layers:
        assert half[name].dtype == torch.float32
        assert not torch.equal(half[name], full[name])
        assert_close(half[name], full[name], relative=0.03)
    (gradient,) = torch.autograd.grad(half["relu3_1"].sum(), leaf)
    assert gradient.dtype == torch.float32
    assert bool(gradient.any())


@pytest.fixture
def eagerly(monkeypatch):
    """torch.compile without its code generator, which takes half a minute."""
    compile_, made = torch.compile, []

    def quickly(run, **how):
        made.append(how)
        return compile_(run, backend="aot_eager", isolate_recompiles=how["isolate_recompiles"])

    monkeypatch.setattr(torch, "compile", quickly)
    yield made
    torch.compiler.reset()


def slope_by(encoder, image):
    leaf = image.clone().requires_grad_()
    features = encoder(leaf)
    (slope,) = torch.autograd.grad(sum(each.square().mean() for each in features.values()), leaf)
    return features, slope


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
def test_a_compiled_network_describes_the_same(pooling, toy, photo, eagerly):
    layers = ("relu1_1", "conv2_2", "pool2", "relu3_1")
    plain = Encoder(layers, weights=toy, pooling=pooling)
    compiled = Encoder(layers, weights=toy, pooling=pooling, compiled=True)
    for image in (photo, photo[..., :24], photo):
        (theirs, expected), (ours, slope) = slope_by(plain, image), slope_by(compiled, image)
        assert list(ours) == list(theirs)
        for name, each in ours.items():
            assert_close(each, theirs[name].detach(), relative=1e-5)
        assert_close(slope, expected, relative=1e-5)
    assert len(eagerly) == len(layers)  # each segment once, for all sizes
    assert not compiled.uses_kernel


@pytest.mark.parametrize("compiled", [False, True])
def test_another_padding_of_the_same_filters(compiled, toy, photo, eagerly):
    encoder = Encoder(("relu1_2", "relu3_1"), weights=toy, compiled=compiled)
    before = encoder(photo)
    around = encoder.with_padding("circular")
    expected = Encoder(("relu1_2", "relu3_1"), weights=toy, padding="circular")(photo)
    for name, each in around(photo).items():
        assert_close(each, expected[name], relative=1e-5)
        assert not torch.equal(each, before[name])
        assert torch.equal(encoder(photo)[name], before[name])
    assert around.conv1_1_weight is encoder.conv1_1_weight


def test_a_network_that_cannot_be_compiled_says_why(toy, photo, monkeypatch):
    from torch._dynamo.exc import BackendCompilerFailed

    def fail(run, **how):
        def call(x):
            raise BackendCompilerFailed(run, RuntimeError("no C++ compiler"), None)

        return call

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(SettingsError, match=r"torch cannot compile the network here \(.*leave it"):
        Encoder(("relu1_1",), weights=toy, compiled=True)(photo)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch's code generator wants g++")
def test_a_network_compiled_by_torchs_own_generator(toy, photo, tmp_path):
    """In a process of its own: what torch starts and keeps for it ends with it."""
    code = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from helpers import toy_weights
from impasto.network.encoder import Encoder
toy, layers = toy_weights("vgg19"), ("relu1_1", "relu3_1")
encoders = [Encoder(layers, weights=toy, compiled=compiled) for compiled in (False, True)]
for size in ((40, 48), (64, 72), (80, 48)):
    image, slopes = torch.rand(1, 3, *size), []
    for encoder in encoders:
        leaf = image.clone().requires_grad_()
        loss = sum(each.square().mean() for each in encoder(leaf).values())
        slopes.append(torch.autograd.grad(loss, leaf)[0])
    print(float((slopes[1] - slopes[0]).abs().max() / slopes[0].abs().max()))
"""
    source = Path(impasto.__file__).parent.parent
    run = subprocess.run(
        [sys.executable, "-c", code, Path(__file__).parents[1]], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(source), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
        check=False, timeout=500,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    errors = [float(line) for line in run.stdout.split()]
    assert len(errors) == 3
    assert max(errors) < 1e-5
    assert "limit" not in run.stderr
