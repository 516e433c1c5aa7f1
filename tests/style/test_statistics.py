"""Every statistic equals a float64 NumPy reference, and has the properties it claims."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import pytest
import torch

from helpers import assert_close
from impasto.errors import ShapeError
from impasto.settings.pictures import Settings, StatisticName
from impasto.style import (
    STATISTICS,
    Summed,
    chosen_statistic,
    gram_distance,
    gram_matrix,
)
from impasto.style.correlations import Chained
from impasto.style.distributions import Nearest, Sliced


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


def maps_for(statistic, *, seed: int = 0, repeats: tuple[int, int] = (1, 1)) -> list[torch.Tensor]:
    """Features for a statistic, deepest first: the deeper of two has half the height and width."""
    deep, shallow = features(1, 4, 6, 5, seed=seed), features(1, 3, 12, 10, seed=seed + 100)
    maps = [deep] if statistic.span == 1 else [deep, shallow]
    return [each.relu().repeat(1, 1, *repeats) for each in maps]


SUMMED = [name for name in STATISTICS if isinstance(STATISTICS[name], Summed)]


@pytest.mark.parametrize("name", STATISTICS)
def test_distance_is_zero_at_its_own_target_and_positive_elsewhere(name):
    statistic = STATISTICS[name]
    target = statistic.measure(*maps_for(statistic))
    other = statistic.measure(*maps_for(statistic, seed=1))
    assert 0 <= statistic.distance(target, target) < 1e-14
    assert statistic.distance(other, target) > 1e-4


@pytest.mark.parametrize("name", STATISTICS)
def test_gradient(name):
    statistic = STATISTICS[name]
    target = statistic.measure(*maps_for(statistic, seed=1))
    # Away from 0, where what is nearest and what is sorted may change places.
    maps = [(each + 0.1 * features(*each.shape, seed=7)) for each in maps_for(statistic)]
    maps = [each.requires_grad_() for each in maps]
    assert torch.autograd.gradcheck(
        lambda *x: statistic.distance(statistic.measure(*x), target), maps
    )


@pytest.mark.parametrize("name", STATISTICS)
def test_gradient_vanishes_at_its_own_target(name):
    statistic = STATISTICS[name]
    maps = [each.requires_grad_() for each in maps_for(statistic)]
    measured = statistic.measure(*maps)
    loss = statistic.distance(measured, measured.detach())
    gradients = torch.autograd.grad(loss, maps, allow_unused=True)
    for gradient in gradients:
        assert gradient is None or gradient.abs().max() < 1e-9
    assert any(gradient is not None for gradient in gradients)


@pytest.mark.parametrize("name", [name for name in STATISTICS if STATISTICS[name].span == 1])
def test_a_statistic_forgets_where(name):
    statistic = STATISTICS[name]
    (maps,) = maps_for(statistic)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(3))
    shuffled = maps.flatten(2)[..., order].reshape(maps.shape)
    target = statistic.measure(maps)
    assert statistic.distance(statistic.measure(shuffled), target) < 1e-14
    if name in SUMMED:
        assert_close(statistic.measure(shuffled), target, relative=1e-12)


@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistic_does_not_depend_on_size(name):
    """A map repeated side by side is the same texture."""
    statistic = STATISTICS[name]
    target = statistic.measure(*maps_for(statistic))
    repeated = statistic.measure(*maps_for(statistic, repeats=(2, 3)))
    assert statistic.distance(repeated, target) < 1e-14
    assert statistic.distance(target, repeated) < 1e-14
    if name in SUMMED:
        assert_close(repeated, target, relative=1e-12)


@pytest.mark.parametrize("name", STATISTICS)
def test_a_blend_of_one_painting_with_itself_is_that_painting(name):
    statistic = STATISTICS[name]
    target = statistic.measure(*maps_for(statistic))
    blended = statistic.blend([target, target], [0.25, 0.75])
    assert statistic.distance(target, blended) < 1e-14
    assert statistic.distance(target, statistic.blend([target], [1.0])) < 1e-14


@pytest.mark.parametrize("name", STATISTICS)
def test_a_painting_of_weight_zero_does_not_count(name):
    statistic = STATISTICS[name]
    one = statistic.measure(*maps_for(statistic))
    other = statistic.measure(*maps_for(statistic, seed=5, repeats=(2, 1)))
    assert statistic.distance(one, statistic.blend([one, other], [1.0, 0.0])) < 1e-14


@pytest.mark.parametrize("name", STATISTICS)
def test_the_empty_distance_is_that_of_features_that_are_all_zero(name):
    statistic = STATISTICS[name]
    target = statistic.measure(*maps_for(statistic))
    empty = statistic.measure(*(each * 0 for each in maps_for(statistic)))
    if getattr(statistic, "activation_shift", 0) == 0:
        expected = float(statistic.distance(empty, target))
        assert statistic.empty_distance(target) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", SUMMED)
def test_parts_add_up_to_the_whole(name):
    statistic = STATISTICS[name]
    maps = maps_for(statistic)
    parts = [statistic.accumulate(*part) for part in quarters(maps)]
    whole = sum(parts[1:], start=parts[0])
    assert whole.count == maps[-1][0, 0].numel()
    assert_close(statistic.finish(whole), statistic.measure(*maps), relative=1e-10)


@pytest.mark.parametrize("name", SUMMED)
def test_closed_form_gradient_of_a_part_equals_autograd_of_the_whole(name):
    statistic = STATISTICS[name]
    target = statistic.measure(*maps_for(statistic, seed=1))
    maps = [each.requires_grad_() for each in maps_for(statistic)]
    loss = statistic.distance(statistic.measure(*maps), target)
    expected = torch.autograd.grad(loss, maps)
    parts = [[each.detach() for each in part] for part in quarters(maps)]
    sums = [statistic.accumulate(*part) for part in parts]
    by_sums = statistic.sums_gradient(sum(sums[1:], start=sums[0]), target)
    for part, aim in zip(parts, quarters(list(expected)), strict=True):
        for ours, slope in zip(statistic.gradient(by_sums, *part), aim, strict=True):
            assert_close(ours, slope, relative=1e-10)


def quarters(maps: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Cut the top 4 of 6 rows and the left 2 of 5 columns, deepest first, and the same below."""
    factors = [round(each.shape[-2] / maps[0].shape[-2]) for each in maps]
    return [
        [
            each[..., slice(*(f * r for r in rows)), slice(*(f * c for c in columns))]
            for each, f in zip(maps, factors, strict=True)
        ]
        for rows in ((0, 4), (4, 6))
        for columns in ((0, 2), (2, 5))
    ]


def test_closed_form_gradient_of_a_blurred_chain_of_odd_maps_equals_autograd():
    statistic = Chained(activation_shift=-0.3, correlation_blur=0.8)
    maps = [features(1, 3, 3, 2).requires_grad_(), features(1, 4, 7, 5).requires_grad_()]
    target = statistic.measure(*(each.roll(1, -1) * 0.5 for each in maps)).detach()
    expected = torch.autograd.grad(statistic.distance(statistic.measure(*maps), target), maps)
    with torch.no_grad():
        by_sums = statistic.sums_gradient(statistic.accumulate(*maps), target)
        for ours, slope in zip(statistic.gradient(by_sums, *maps), expected, strict=True):
            assert_close(ours, slope, relative=1e-10)


def columns(maps: torch.Tensor) -> np.ndarray:
    return maps.numpy()[0].reshape(maps.shape[1], -1)


def test_shifted_equals_numpy():
    (maps,) = maps_for(STATISTICS["shifted"])
    array = maps.numpy() - 1
    assert_close(STATISTICS["shifted"].measure(maps), numpy_gram(array), relative=1e-14)


@pytest.mark.parametrize("size", [(12, 10), (13, 11)])
def test_chained_equals_numpy(size):
    deep, shallow = features(1, 4, 6, 5), features(1, 3, *size)
    up = deep.numpy()[0].repeat(2, axis=1).repeat(2, axis=2)
    missing = ((0, 0), (0, size[0] - 12), (0, size[1] - 10))
    up = np.pad(up, missing, mode="edge") - 0.5
    fine = shallow.numpy()[0] - 0.5
    expected = np.einsum("iyx,jyx->ij", up, fine) / (size[0] * size[1])
    statistic = Chained(activation_shift=-0.5)
    assert_close(statistic.measure(deep, shallow)[0], expected, relative=1e-14)
    other = features(1, 4, 3)
    distance = ((other.numpy()[0] - expected) ** 2).sum() / 12**2
    assert_close(
        statistic.distance(other, statistic.measure(deep, shallow)), distance, relative=1e-14
    )


def test_chained_blurs_the_shallower_map():
    deep, shallow = features(1, 2, 9, 9), features(1, 3, 9, 9)
    offsets = np.arange(-3, 4)
    kernel = np.exp(-0.5 * offsets**2)
    kernel /= kernel.sum()
    padded = np.pad(shallow.numpy()[0], ((0, 0), (3, 3), (3, 3)))
    near = sum(
        kernel[dy] * kernel[dx] * padded[:, dy : dy + 9, dx : dx + 9]
        for dy in range(7)
        for dx in range(7)
    )
    expected = np.einsum("iyx,jyx->ij", deep.numpy()[0], near) / 81
    statistic = Chained(activation_shift=0.0, correlation_blur=1.0)
    assert_close(statistic.measure(deep, shallow)[0], expected, relative=1e-13)


def test_moments_equal_numpy():
    statistic = STATISTICS["moments"]
    a, b = columns(maps_for(statistic)[0]), columns(maps_for(statistic, seed=1)[0])

    def share(mine, aim):
        return ((mine - aim) ** 2).mean() / (aim**2).mean()

    expected = share(a @ a.T, b @ b.T) + share(a.mean(1), b.mean(1)) + share(a.std(1), b.std(1))
    measured, target = (statistic.measure(maps_for(statistic, seed=seed)[0]) for seed in (0, 1))
    assert_close(statistic.distance(measured, target), expected, relative=1e-7)


def matrix_root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


def numpy_wasserstein(a: np.ndarray, b: np.ndarray) -> float:
    """Of features in columns, (C, N): ours, a, and the target's, b."""
    ours, aim = np.cov(a, bias=True), np.cov(b, bias=True)
    ridge = (1e-4 * np.diag(aim).mean() or 1e-12) * np.eye(len(aim))
    ours, aim = ours + ridge, aim + ridge
    root = matrix_root(aim)
    apart = np.trace(ours + aim - 2 * matrix_root(root @ ours @ root))
    return (((a.mean(1) - b.mean(1)) ** 2).sum() + apart) / len(aim)


def test_wasserstein_equals_numpy():
    statistic = STATISTICS["wasserstein"]
    a, b = (maps_for(statistic, seed=seed)[0] for seed in (0, 1))
    found = statistic.distance(statistic.measure(a), statistic.measure(b))
    assert_close(found, numpy_wasserstein(columns(a), columns(b)), relative=1e-10)


@pytest.mark.parametrize("aim", [features(1, 8, 1, 3), features(1, 8, 1, 3) * 0], ids=["3", "0"])
@pytest.mark.parametrize(
    "maps", [features(1, 8, 2, 2, seed=1), features(1, 8, 2, 2) * 0, features(1, 8, 1, 3)]
)
def test_wasserstein_of_fewer_positions_than_channels_and_of_nothing(maps, aim):
    statistic = STATISTICS["wasserstein"]
    expected = numpy_wasserstein(columns(maps), columns(aim))
    maps = maps.clone().requires_grad_()
    loss = statistic.distance(statistic.measure(maps), statistic.measure(aim))
    # The roots of eigenvalues that are 0 have half the digits.
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    (gradient,) = torch.autograd.grad(loss, maps)
    assert torch.isfinite(gradient).all()


def test_blended_moments_are_those_of_all_positions_together():
    statistic = STATISTICS["moments"]
    one, other = features(1, 4, 6, 5), features(1, 4, 6, 10, seed=1)
    blended = statistic.blend([statistic.measure(one), statistic.measure(other)], [1 / 3, 2 / 3])
    assert_close(blended, statistic.measure(torch.cat([one, other], -1)), relative=1e-13)


def test_sliced_equals_numpy():
    statistic = Sliced(directions=5, seed=3)
    a, b = (columns(maps_for(statistic, seed=seed)[0]) for seed in (0, 1))
    lines = statistic.lines(4).numpy()
    assert_close(np.linalg.norm(lines, axis=1), np.ones(5), relative=1e-14)
    expected = ((np.sort(lines @ a, 1) - np.sort(lines @ b, 1)) ** 2).mean()
    measured, target = (statistic.measure(maps_for(statistic, seed=seed)[0]) for seed in (0, 1))
    assert_close(statistic.distance(measured, target), expected, relative=1e-13)
    assert not torch.equal(Sliced(5, 4).lines(4), statistic.lines(4))


def test_sliced_compares_quantiles_where_sizes_differ():
    statistic = Sliced(directions=1)
    measured, target = torch.tensor([[[0.0, 1.0, 2.0]]]), torch.tensor([[[0.0, 10.0]]])
    # At 1/6, 1/2 and 5/6 the two values' quantiles are 0, 10 and 10.
    assert statistic.distance(measured, target) == pytest.approx((0 + 81 + 64) / 3)
    blended = statistic.blend([measured, target], [0.5, 0.5])
    assert_close(blended, [[[0.0, 5.5, 6.0]]], relative=1e-6)


def test_histogram_equals_numpy():
    statistic = STATISTICS["histogram"]
    a, b = (columns(features(1, 4, 6, 5, seed=seed).relu()) for seed in (0, 1))
    gram, aim = a @ a.T / 30, b @ b.T / 30
    expected = ((gram - aim) ** 2).sum() / (aim**2).sum()
    # The paper's way: match each channel's histogram, then measure how far its values moved.
    matched = np.empty_like(a)
    for channel, wanted in zip(range(4), b, strict=True):
        matched[channel, np.argsort(a[channel])] = np.sort(wanted)
    expected += ((a - matched) ** 2).sum() / (b**2).sum()
    measured, target = (
        statistic.measure(features(1, 4, 6, 5, seed=seed).relu()) for seed in (0, 1)
    )
    assert_close(statistic.distance(measured, target), expected, relative=1e-12)
    # A painting of twice the pixels, all of them twice, is the same style.
    twice = statistic.measure(features(1, 4, 6, 5, seed=1).relu().repeat(1, 1, 2, 1))
    assert_close(statistic.distance(measured, twice), expected, relative=1e-12)
    blended = statistic.blend([target, twice], [0.5, 0.5])
    assert_close(statistic.distance(measured, blended), expected, relative=1e-12)


def test_nearest_equals_numpy(monkeypatch):
    monkeypatch.setattr("impasto.style.distributions._CHUNK", 100)  # several chunks
    statistic = STATISTICS["nearest"]
    a, b = columns(features(1, 4, 6, 5)), columns(features(1, 4, 3, 7, seed=1))
    expected = 0.0
    for query in a.T:
        centerd = query - a.mean(1)
        keys = b - b.mean(1, keepdims=True)
        match = b[:, np.argmax(centerd @ keys / np.linalg.norm(keys, axis=0))]
        expected += 1 - query @ match / np.linalg.norm(query) / np.linalg.norm(match)
    measured = statistic.measure(features(1, 4, 6, 5))
    target = statistic.measure(features(1, 4, 3, 7, seed=1))
    assert_close(statistic.distance(measured, target), expected / 30, relative=1e-12)


def test_nearest_keeps_positions_of_every_painting_by_weight():
    statistic = Nearest(neighbors=8)
    one, other = torch.zeros(1, 2, 100), torch.ones(1, 2, 50)
    blended = statistic.blend([one, other], [0.25, 0.75])
    assert blended.shape == (1, 2, 8)
    assert blended[0, 0].sum() == 6
    assert statistic.blend([one], [1.0]).shape == (1, 2, 8)


def test_every_statistic_can_be_chosen():
    assert set(STATISTICS) == set(typing.get_args(StatisticName))


@pytest.mark.parametrize("name", STATISTICS)
def test_fields_are_settings_with_the_same_default(name):
    assert chosen_statistic(Settings(statistic=name)) == STATISTICS[name]
    for field in dataclasses.fields(STATISTICS[name]):
        assert hasattr(Settings(), field.name)


def test_settings_choose_the_statistic_and_its_knobs():
    settings = Settings(statistic="chained", activation_shift=-2.0, correlation_blur=1.5)
    assert chosen_statistic(settings) == Chained(-2.0, 1.5)
    assert chosen_statistic(Settings(statistic="sliced", seed=4, directions=3)) == Sliced(3, 4)


def test_batch_equals_loop():
    maps = features(3, 4, 6, 5)
    one_by_one = torch.cat([gram_matrix(each[None]) for each in maps])
    assert_close(gram_matrix(maps), one_by_one, relative=1e-14)
