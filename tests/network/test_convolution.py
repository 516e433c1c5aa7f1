"""The compiled kernel against torch in float64, and what happens where it cannot be had."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from helpers import assert_close, draw
from impasto.errors import install_hint
from impasto.kernels import kernel as compiling
from impasto.kernels.kernel import compiled_kernel
from impasto.network.convolution import Convolution, max_pool
from impasto.network.encoder import Encoder

# (channels in, channels out, height, width): odd ones, less than a tile, and blocks that end
# in the middle of a row of tiles.
SHAPES = [
    (3, 64, 37, 53), (64, 3, 37, 53), (16, 16, 1, 1), (5, 9, 7, 2), (64, 64, 4, 400),
    (64, 128, 90, 61), (32, 24, 11, 16), (8, 8, 129, 131),
]  # fmt: skip


def layer(inputs: int, outputs: int) -> Convolution:
    weight = draw(outputs, inputs, 3, 3, seed=1) / (9 * inputs) ** 0.5
    return Convolution(weight, draw(outputs, seed=2))


def in_float64(x: Tensor, conv: Convolution, rectify: bool, padding: int) -> Tensor:
    y = functional.conv2d(x, conv.weight.double(), conv.bias.double(), padding=padding)
    return functional.relu(y) if rectify else y


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rectify", [False, True])
def test_convolution_equals_float64(kernel, shape, rectify):
    inputs, outputs, height, width = shape
    conv, x = layer(inputs, outputs), draw(1, inputs, height, width)
    expected = in_float64(x.double(), conv, rectify, 1)
    assert_close(conv(x, rectify=rectify), expected, relative=3e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padding", [0, 1])
def test_its_gradient_equals_float64(kernel, shape, padding):
    inputs, outputs, height, width = shape
    height, width = max(height, 3), max(width, 3)
    conv, x = layer(inputs, outputs), draw(1, inputs, height, width).requires_grad_()
    wide = x.detach().double().requires_grad_()
    y, reference = conv(x, rectify=True, padding=padding), in_float64(wide, conv, True, padding)
    # Where the sum is as good as 0 the ReLU may fall either way: nothing flows back from there.
    slope = draw(*y.shape, seed=3) * (reference.detach().abs() > 1e-4)
    (gradient,) = torch.autograd.grad(y, x, slope)
    (expected,) = torch.autograd.grad(reference, wide, slope.double())
    assert_close(gradient, expected, relative=3e-5)


def test_a_batch_is_its_pictures(kernel):
    conv, x = layer(8, 16), draw(3, 8, 21, 18)
    each = torch.cat([conv(picture[None], rectify=True) for picture in x])
    assert torch.equal(conv(x, rectify=True), each)


def test_layouts_in_memory_do_not_matter(kernel):
    conv, x = layer(8, 16), draw(1, 8, 21, 18)
    strided = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(conv(strided, rectify=True), conv(x, rectify=True))


@pytest.mark.parametrize("size", [(8, 10), (9, 11), (2, 3), (64, 33)])
def test_pooling_is_torchs(kernel, size):
    x = draw(2, 5, *size).round(decimals=1).requires_grad_()  # rounded: with many ties
    ours, theirs = max_pool(x), functional.max_pool2d(x, 2)
    assert torch.equal(ours, theirs)
    slope = draw(*ours.shape, seed=1)
    (gradient,), (expected,) = (torch.autograd.grad(y, x, slope) for y in (ours, theirs))
    assert torch.equal(gradient, expected)


def test_threads_do_not_change_a_bit(kernel):
    conv, x = layer(64, 64), draw(1, 64, 61, 47)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(conv(x, rectify=True))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_several_threads_of_python_can_use_it_at_once(kernel):
    conv, pictures = layer(64, 64), [draw(1, 64, 40, 52, seed=seed) for seed in range(8)]
    alone = [conv(picture, rectify=True) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda picture: conv(picture, rectify=True), pictures))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_with_pythons_threads_it_is_the_same(kernel, fresh_cache, monkeypatch):
    conv, x = layer(64, 64), draw(1, 64, 61, 47)
    expected, pooled = conv(x, rectify=True), max_pool(x)
    plain = tuple((*flags, "-DNO_THREADS") for flags in compiling._FLAGS)
    monkeypatch.setattr(compiling, "_FLAGS", plain)
    compiled_kernel.cache_clear()
    assert compiled_kernel() is not None
    assert torch.equal(conv(x, rectify=True), expected)
    assert torch.equal(max_pool(x), pooled)


def test_the_kernel_is_compiled_once(kernel, fresh_cache, monkeypatch):
    assert compiled_kernel() is not None
    (made,) = fresh_cache.iterdir()
    when = made.stat().st_mtime_ns
    compiled_kernel.cache_clear()
    assert compiled_kernel() is not None
    assert [path.stat().st_mtime_ns for path in fresh_cache.iterdir()] == [when]


def test_without_a_compiler_torch_serves(toy, photo, fresh_cache, monkeypatch):
    encoder = Encoder(("relu1_1", "relu4_2"), weights=toy)
    expected = encoder(photo)
    monkeypatch.setattr(compiling, "_compilers", list)
    compiled_kernel.cache_clear()
    assert compiled_kernel() is None
    for name, found in encoder(photo).items():
        assert_close(found, expected[name], relative=3e-5)


def test_it_can_be_switched_off(fresh_cache, monkeypatch):
    monkeypatch.setenv("IMPASTO_KERNEL", "off")
    assert compiled_kernel() is None
    assert not list(fresh_cache.iterdir())


def test_a_compiler_that_fails_is_passed_over(kernel, fresh_cache, monkeypatch):
    monkeypatch.setattr(compiling, "_compilers", lambda: [(sys.executable, "-c", "exit(1)")])
    assert compiled_kernel() is None


def test_a_kernel_that_computes_something_else_is_not_trusted(kernel, fresh_cache, monkeypatch):
    source = compiling._SOURCE.read_text()
    wrong = fresh_cache / "wrong.c"
    wrong.write_text(source.replace("4 * d[0] - 5 * d[2] + d[4]", "4 * d[0] - 5 * d[2]"))
    assert wrong.read_text() != source
    monkeypatch.setattr(compiling, "_SOURCE", wrong)
    assert compiled_kernel() is None
    assert list(fresh_cache.glob("*.so"))  # it was compiled, and not trusted


def test_without_a_cache_it_is_compiled_for_this_process(
    kernel, fresh_cache, monkeypatch, tmp_path
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "file"))
    assert compiled_kernel() is not None

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(compiling, "cache_folder", homeless)
    compiled_kernel.cache_clear()
    assert compiled_kernel() is not None


def test_a_compiler_that_hangs_is_not_asked_again(kernel, fresh_cache, monkeypatch):
    asked = []

    def hang(*words, **options):
        asked.append(words)
        raise subprocess.TimeoutExpired("cc", 60)

    monkeypatch.setattr(compiling.subprocess, "run", hang)
    assert compiled_kernel() is None
    assert len(asked) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(kernel, value):
    """Or a run that has diverged would not be noticed."""
    conv, x = layer(8, 16), draw(1, 8, 21, 18)
    x[0, 3, 10, 9] = value
    assert not bool(conv(x, rectify=True).isfinite().all())
    assert not bool(max_pool(x).isfinite().all())
    assert bool(max_pool(x).isnan().any()) == bool(x.isnan().any())


def test_other_numbers_than_float32_are_torchs(kernel):
    conv, x = layer(8, 16), draw(1, 8, 21, 18)
    expected = conv(x, rectify=True)
    wide = Convolution(conv.weight.double(), conv.bias.double())
    assert_close(wide(x.double(), rectify=True), expected, relative=3e-5)
    assert_close(wide(x, rectify=True), expected, relative=3e-5)


def test_torchs_own_defaults_do_not_matter(kernel, fresh_cache):
    conv, x = layer(8, 16), draw(1, 8, 21, 18)
    expected = conv(x, rectify=True)
    torch.set_default_dtype(torch.float64)
    try:
        compiled_kernel.cache_clear()
        assert torch.equal(Convolution(conv.weight, conv.bias)(x, rectify=True), expected)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("less", ["-mno-avx512f", "-mno-avx", "-mno-fma"])
def test_narrower_vectors_do_the_same(kernel, fresh_cache, monkeypatch, less):
    """On processors without AVX-512, or without AVX, blocks end in other places."""
    conv, x = layer(24, 40), draw(1, 24, 131, 77)
    expected = in_float64(x.double(), conv, True, 1)
    flags = tuple((*each, less) for each in compiling._FLAGS)
    monkeypatch.setattr(compiling, "_FLAGS", flags)
    compiled_kernel.cache_clear()
    if compiled_kernel() is None:
        pytest.skip("this compiler knows no such option")
    fresh = Convolution(conv.weight, conv.bias)
    threads = torch.get_num_threads()
    try:
        for count in (1, threads):
            torch.set_num_threads(count)
            assert_close(fresh(x, rectify=True), expected, relative=3e-5)
    finally:
        torch.set_num_threads(threads)


def test_exact_features_see_no_further_than_their_filters(kernel, toy):
    photo = torch.zeros(1, 3, 64, 64)
    reached = {}
    for exact in (False, True):
        encoder = Encoder(("relu1_2",), weights=toy, exact=exact)
        dotted = photo.clone()
        dotted[..., 32, 32] = 1
        apart = encoder(dotted)["relu1_2"] - encoder(photo)["relu1_2"]
        reached[exact] = apart.abs().amax((0, 1)) > 0
    seen = torch.zeros(64, 64, dtype=torch.bool)
    seen[30:35, 30:35] = True  # 5 × 5 pixels
    assert not (reached[True] & ~seen).any()
    assert (reached[False] & ~seen).any()


def test_the_command_line_says_what_would_be_faster(
    command, photo_file, painting_file, tmp_path, fresh_cache, monkeypatch
):
    words = ("stylize", photo_file, painting_file, "--long-side", "48", "--steps", "2", "-o")
    monkeypatch.setattr(compiling, "_compilers", list)
    slow = command(*words, tmp_path / "slow.png")
    assert slow.code == 0
    assert f"to install a compiler: {install_hint('fast')}" in slow.err
    monkeypatch.setenv("IMPASTO_KERNEL", "off")
    assert "[fast]" not in command(*words, tmp_path / "off.png").err
