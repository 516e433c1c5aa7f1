"""Every statistic equals a float64 NumPy reference, and has the properties it claims."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers import assert_close
from impasto.errors import ShapeError
from impasto.statistics import STATISTICS, gram_distance, gram_matrix


def features(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def numpy_gram(features: np.ndarray) -> np.ndarray:
    batch, channels, height, width = features.shape
    gram = np.zeros((batch, channels, channels))
    for b in range(batch):
        for i in range(channels):
            for j in range(channels):
                gram[b, i, j] = (features[b, i] * features[b, j]).sum() / (height * width)
    return gram


def test_gram_matrix_by_hand():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, -1.0]]]])
    # (1 + 4 + 9 + 16) / 4, (2 − 4) / 4, (1 + 1) / 4
    expected = torch.tensor([[[7.5, -0.5], [-0.5, 0.5]]])
    assert torch.equal(gram_matrix(maps), expected)


def test_gram_matrix_equals_numpy():
    maps = features(2, 5, 7, 3)
    assert_close(gram_matrix(maps), numpy_gram(maps.numpy()), relative=1e-14)


def test_gram_distance_equals_numpy():
    a, b = features(1, 6, 6), features(1, 6, 6, seed=1)
    expected = (((a.numpy() - b.numpy()) / 6) ** 2).mean()
    assert_close(gram_distance(a, b), expected, relative=1e-14)


def test_gram_matrix_rejects_what_is_not_a_map():
    with pytest.raises(ShapeError, match=r"\(B, C, h, w\), not \(3, 4\)"):
        gram_matrix(torch.zeros(3, 4))


@pytest.mark.parametrize("name", STATISTICS)
def test_distance_is_zero_at_its_own_target_and_positive_elsewhere(name):
    statistic = STATISTICS[name]
    target = statistic.measure(features(1, 4, 6, 5))
    other = statistic.measure(features(1, 4, 6, 5, seed=1))
    assert statistic.distance(target, target) == 0
    assert statistic.distance(other, target) > 0


@pytest.mark.parametrize("name", STATISTICS)
def test_gradient(name):
    statistic = STATISTICS[name]
    target = statistic.measure(features(1, 3, 5, 4, seed=1))
    maps = features(1, 3, 5, 4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: statistic.distance(statistic.measure(x), target), maps
    )


@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistic_forgets_where(name):
    maps = features(1, 4, 6, 5)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(3))
    shuffled = maps.flatten(2)[..., order].reshape(maps.shape)
    measure = STATISTICS[name].measure
    assert_close(measure(shuffled), measure(maps), relative=1e-12)


@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistic_does_not_depend_on_size(name):
    """A map repeated side by side is the same texture."""
    maps = features(1, 4, 6, 5)
    measure = STATISTICS[name].measure
    assert_close(measure(maps.repeat(1, 1, 2, 3)), measure(maps), relative=1e-12)


def test_batch_equals_loop():
    maps = features(3, 4, 6, 5)
    one_by_one = torch.cat([gram_matrix(each[None]) for each in maps])
    assert_close(gram_matrix(maps), one_by_one, relative=1e-14)
