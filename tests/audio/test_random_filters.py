"""What listens: by the definition in float64, and the closed form against many filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers import assert_close
from impasto.audio.random_filters import ClosedForm, RandomFilters, choose_filters

BINS, TAPS = 5, 3


def drawn(channels: int, frames: int, seed: int) -> torch.Tensor:
    return torch.rand((channels, BINS, frames), generator=torch.Generator().manual_seed(seed))


def pieces(frames: torch.Tensor) -> np.ndarray:
    """Every piece of TAPS frames as one vector, (pieces, taps·bins)."""
    array = frames.double().numpy()
    return np.stack(
        [one[:, t : t + TAPS].T.ravel() for one in array for t in range(one.shape[1] - TAPS + 1)]
    )


def reference_features(filters: RandomFilters, frames: torch.Tensor) -> np.ndarray:
    return np.maximum(filters.weights.double().numpy() @ pieces(frames).T, 0)


def reference_kernel(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    norms = np.outer(np.linalg.norm(u, axis=1), np.linalg.norm(v, axis=1))
    angle = np.arccos(np.clip(u @ v.T / norms, -1, 1))
    return norms * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)


@pytest.mark.parametrize("count", [4, 64])  # fewer filters than pieces, and more
def test_random_filters_are_the_definition(count):
    filters = RandomFilters(BINS, filters=count, taps=TAPS, seed=7)
    one, other = drawn(2, 9, 1), drawn(1, 12, 2)
    features = [reference_features(filters, each) for each in (one, other)]
    measured = [filters.measure(each) for each in (one, other)]
    assert_close(measured[0], features[0], relative=1e-5)
    grams = [each @ each.T / each.shape[1] for each in features]
    assert_close(filters.overlap(*measured), (grams[0] * grams[1]).sum(), relative=1e-5)
    assert_close(
        filters.products(measured[0], measured[0]), (features[0] ** 2).sum(0), relative=1e-5
    )


def test_the_closed_form_is_the_kernel():
    filters = ClosedForm(TAPS)
    one, other = drawn(2, 9, 1), drawn(2, 12, 2)
    kernel = reference_kernel(pieces(one), pieces(other))
    overlap = filters.overlap(filters.measure(one), filters.measure(other))
    assert_close(overlap, (kernel**2).mean(), relative=1e-5)
    shifted = drawn(2, 9, 3)
    products = filters.products(filters.measure(one), filters.measure(shifted))
    assert_close(products, np.diag(reference_kernel(pieces(one), pieces(shifted))), relative=1e-5)


def test_many_filters_come_near_the_closed_form():
    one, other = drawn(1, 9, 1), drawn(1, 12, 2)
    many, limit = RandomFilters(BINS, filters=40_000, taps=TAPS, seed=0), ClosedForm(TAPS)
    found = many.overlap(many.measure(one), many.measure(other))
    expected = limit.overlap(limit.measure(one), limit.measure(other))
    assert_close(found, float(expected), relative=0.05)


@pytest.mark.parametrize("count", [0, 6])
def test_gradients(count):
    filters = choose_filters(BINS, filters=count, taps=TAPS, seed=0)
    if count:
        filters.weights = filters.weights.double()
    other = filters.measure(drawn(1, 8, 2).double())

    def overlap(frames):
        heard = filters.measure(frames)
        return filters.overlap(heard, other) + filters.products(heard, heard).sum()

    assert torch.autograd.gradcheck(overlap, drawn(1, 7, 1).double().requires_grad_())


@pytest.mark.parametrize("count", [0, 16])
def test_silence_has_a_gradient_of_zero(count):
    filters = choose_filters(BINS, filters=count, taps=TAPS, seed=0)
    frames = torch.zeros((1, BINS, 8), requires_grad=True)
    heard = filters.measure(frames)
    loss = filters.overlap(heard, heard) + filters.products(heard, heard).sum()
    (gradient,) = torch.autograd.grad(loss, frames)
    assert torch.equal(gradient, torch.zeros_like(frames))


@pytest.mark.parametrize("count", [0, 16])
def test_the_order_of_whole_sounds_is_forgotten(count):
    """Channels are pieces like any others: exchanged, they change nothing."""
    filters = choose_filters(BINS, filters=count, taps=TAPS, seed=0)
    one = drawn(2, 9, 1)
    swapped, other = filters.measure(one.flip(0)), filters.measure(drawn(1, 8, 2))
    assert_close(
        filters.overlap(swapped, other),
        float(filters.overlap(filters.measure(one), other)),
        relative=1e-5,
    )


def test_the_seed_draws_the_filters():
    weights = [RandomFilters(BINS, filters=4, taps=2, seed=seed).weights for seed in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
