"""Products and sums by the kernel: against float64, and the same bits for any number of threads."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from helpers import assert_close, draw
from impasto.kernels import kernel as compiling
from impasto.kernels.kernel import compiled_kernel
from impasto.kernels.products import correlate, dot, mix, total
from impasto.kernels.threads import kernels_only, threads

# (channels, channels of the other map, positions): fewer positions than a vector, more than one
# chunk of them, and numbers of channels that fill no block.
SHAPES = [(1, 1, 1), (3, 5, 7), (6, 4, 1024), (64, 64, 1025), (13, 70, 5000), (130, 67, 300)]


def for_threads(compute: Callable[[], Tensor], counts: tuple[int, ...] = (1, 2, 3, 5)) -> list:
    """Compute with several numbers of threads."""
    before, results = torch.get_num_threads(), []
    try:
        for count in counts:
            torch.set_num_threads(count)
            results.append(compute())
    finally:
        torch.set_num_threads(before)
    return results


@pytest.mark.parametrize("shape", SHAPES)
def test_correlations_equal_float64(kernel, shape):
    channels, others, positions = shape
    left, right = draw(2, channels, positions), draw(2, others, positions, seed=1)
    expected = left.double() @ right.double().transpose(1, 2)
    assert_close(correlate(left, right), expected, relative=1e-5)
    own = left.double() @ left.double().transpose(1, 2)
    assert_close(correlate(left, left), own, relative=1e-5)
    assert torch.equal(correlate(left, left), correlate(left, left).transpose(1, 2))


@pytest.mark.parametrize("shape", SHAPES)
def test_mixtures_equal_float64(kernel, shape):
    channels, others, positions = shape
    x, matrix, bias = draw(2, channels, positions), draw(2, others, channels), draw(2, others)
    expected = matrix.double() @ x.double() + bias.double()[..., None]
    assert_close(mix(matrix, x, bias), expected, relative=1e-5)


def test_a_long_sum_is_exact_to_single_precision(kernel):
    a, b = draw(3_000_001), draw(3_000_001, seed=1)
    scale = float(a.double().norm() * b.double().norm())
    assert abs(dot(a, b) - float(a.double() @ b.double())) < 1e-7 * scale
    assert total(a.square()) == pytest.approx(float(a.double().square().sum()), rel=1e-6)
    half = a.bfloat16()
    assert dot(half, b) == pytest.approx(float(half.double() @ b.double()), rel=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_threads_do_not_change_a_bit(kernel, shape):
    channels, others, positions = shape
    x, y, matrix = (
        draw(1, channels, positions),
        draw(1, others, positions),
        draw(1, others, channels),
    )
    bias, long = draw(1, others), draw(1, 700_001)
    computations = (
        lambda: correlate(x, y),
        lambda: correlate(x, x),
        lambda: mix(matrix, x, bias),
        lambda: torch.tensor([dot(long, long), total(long)], dtype=torch.float64),
    )
    for compute in computations:
        first, *others_ = for_threads(compute)
        assert all(torch.equal(first, other) for other in others_)


def test_strides_do_not_matter(kernel):
    x, matrix = draw(1, 40, 30), draw(1, 9, 30)
    turned, bias = x.transpose(1, 2), draw(1, 9)
    assert torch.equal(correlate(turned, turned), correlate(turned.clone(), turned.contiguous()))
    assert torch.equal(mix(matrix, turned, bias), mix(matrix, turned.contiguous(), bias))


def test_what_is_not_finite_stays_so(kernel):
    x = draw(1, 20, 3000)
    x[0, 3, 2999] = float("nan")
    assert bool(correlate(x, x)[0, 3].isnan().all())
    assert bool(correlate(x, x)[0, :3, :3].isfinite().all())
    assert dot(x, x) != dot(x, x)
    assert bool(mix(draw(1, 4, 20), x, draw(1, 4))[..., -1].isnan().all())


def test_gradients_flow_where_they_are_wanted():
    x = draw(1, 4, 50).requires_grad_()
    (gradient,) = torch.autograd.grad(correlate(x, x).sum(), x)
    assert_close(gradient, 2 * x.detach().sum(1, keepdim=True).expand_as(x), relative=1e-5)


def test_without_a_kernel_torch_multiplies(fresh_cache, monkeypatch):
    x, matrix, bias = draw(2, 20, 3000), draw(2, 7, 20), draw(2, 7)
    expected = correlate(x, x), mix(matrix, x, bias), dot(x, x)
    monkeypatch.setenv("IMPASTO_KERNEL", "off")
    compiled_kernel.cache_clear()
    assert compiled_kernel() is None
    assert_close(correlate(x, x), expected[0], relative=1e-5)
    assert_close(mix(matrix, x, bias), expected[1], relative=1e-5)
    assert dot(x, x) == pytest.approx(expected[2], rel=1e-5)


def test_with_pythons_threads_it_is_the_same(kernel, fresh_cache, monkeypatch):
    x, matrix, bias = draw(2, 70, 3000), draw(2, 9, 70), draw(2, 9)
    expected = correlate(x, x), mix(matrix, x, bias)
    plain = tuple((*flags, "-DNO_THREADS") for flags in compiling._FLAGS)
    monkeypatch.setattr(compiling, "_FLAGS", plain)
    compiled_kernel.cache_clear()
    found = for_threads(
        lambda: torch.cat([correlate(x, x).flatten(), mix(matrix, x, bias).flatten()])
    )
    together = torch.cat([each.flatten() for each in expected])
    assert all(torch.equal(each, together) for each in found)


def test_several_threads_of_python_can_use_it_at_once(kernel):
    maps = [draw(1, 64, 20_000, seed=seed) for seed in range(8)]
    alone = [correlate(x, x) for x in maps]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda x: correlate(x, x), maps))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_computes_the_same(kernel):
    """Or a child would wait for threads that only its parent has, as torch's own threads do."""
    x = draw(1, 64, 20_000)

    def compute() -> Tensor:
        with kernels_only():
            return correlate(x, x)

    (expected,) = for_threads(compute, (2,))
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        (found,) = for_threads(compute, (2,))
        os._exit(0 if torch.equal(found, expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_torch_leaves_the_threads_to_the_kernels():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with kernels_only():
            assert (torch.get_num_threads(), threads()) == (1, 3)
            with kernels_only():
                assert (torch.get_num_threads(), threads()) == (1, 3)
        assert (torch.get_num_threads(), threads()) == (3, 3)
    finally:
        torch.set_num_threads(before)
