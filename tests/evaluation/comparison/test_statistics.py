"""Intervals against SciPy and by their coverage, tables by hand, the Pareto front by definition."""

from __future__ import annotations

import numpy as np
import pytest

from impasto.errors import SettingsError, ShapeError
from impasto.evaluation.comparison import Interval, bootstrap, pareto, summarize


@pytest.mark.parametrize("shape", ["normal", "skewed", "few"])
def test_intervals_equal_those_of_scipy(shape):
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(3)
    values = {
        "normal": random.normal(5, 2, 24),
        "skewed": random.lognormal(0, 1, 40),
        "few": random.normal(0, 1, 5),
    }[shape]
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method="BCa"
    ).confidence_interval
    own = bootstrap(values, resamples=40_000)
    width = reference.high - reference.low
    assert abs(own.low - reference.low) < 0.03 * width
    assert abs(own.high - reference.high) < 0.03 * width


def test_an_interval_covers_the_true_mean_as_often_as_it_says():
    random = np.random.default_rng(0)
    for level, allowed in ((0.95, (0.91, 0.97)), (0.5, (0.45, 0.55))):
        hits = 0
        for number in range(500):
            found = bootstrap(random.normal(1.0, 3.0, 30), level=level, resamples=500, seed=number)
            hits += not found.excludes(1.0)
        assert allowed[0] <= hits / 500 <= allowed[1], hits


def test_the_seed_decides():
    values = [1.0, 4.0, 2.0, 9.0]
    assert bootstrap(values) == bootstrap(np.array(values))
    assert bootstrap(values, resamples=100) != bootstrap(values, resamples=100, seed=1)


def test_equal_values_have_an_interval_without_width():
    assert bootstrap([2.5, 2.5, 2.5]) == Interval(2.5, 2.5)


def test_two_values_have_an_interval_between_them():
    found = bootstrap([1.0, 3.0])
    assert 1.0 <= found.low < 2.0 < found.high <= 3.0


@pytest.mark.parametrize("values", [[], [1.0], [1.0, float("nan")], [[1.0, 2.0]]])
def test_too_few_values_are_refused(values):
    with pytest.raises(ShapeError, match="at least two finite numbers"):
        bootstrap(values)


def test_impossible_levels_are_refused():
    for wrong in ({"level": 1.0}, {"level": 0.0}, {"resamples": 0}):
        with pytest.raises(SettingsError, match="level"):
            bootstrap([1.0, 2.0], **wrong)


def test_a_table_by_hand():
    found = summarize({"a": {"x": 1.0, "y": 2.0, "z": 6.0}, "b": {"x": 2.0, "y": 3.0, "z": 7.0}})
    assert (found["a"].mean, found["b"].mean) == (3.0, 4.0)
    assert found["a"].pairs == 3
    assert found["a"].difference is None
    assert found["a"].difference_interval is None
    # Each difference is 1, so the difference is certain, and the means are not.
    assert found["b"].difference == 1.0
    assert found["b"].difference_interval == Interval(1.0, 1.0)
    assert found["b"].interval.low < 3.0 < found["b"].interval.high
    assert found["b"].interval == bootstrap([2.0, 3.0, 7.0])


def test_only_pairs_of_all_methods_count():
    found = summarize({"a": {"x": 1.0, "y": 3.0, "hard": 90.0}, "b": {"y": 4.0, "x": 0.0}, "c": {}})
    assert {name: (each.mean, each.pairs) for name, each in found.items()} == {
        "a": (2.0, 2), "b": (2.0, 2)
    }  # fmt: skip
    assert found["b"].difference == 0.0
    assert summarize({"a": {"x": 1.0}, "b": {"y": 1.0}}) == {}
    assert summarize({"a": {}, "b": {}}) == summarize({}) == {}


def test_one_pair_has_no_interval():
    found = summarize({"a": {"x": 1.0}, "b": {"x": 0.5}})
    assert (found["b"].mean, found["b"].interval) == (0.5, None)
    assert (found["b"].difference, found["b"].difference_interval) == (-0.5, None)


def dominated(point, others):
    return any(
        all(a <= b for a, b in zip(other, point, strict=True)) and tuple(other) != tuple(point)
        for other in others
    )


@pytest.mark.parametrize("count", [2, 3])
def test_the_front_is_what_nothing_dominates(count):
    points = np.random.default_rng(1).integers(0, 8, (40, count)).tolist()
    expected = [n for n, point in enumerate(points) if not dominated(point, points)]
    assert pareto(points) == expected
    assert 0 < len(expected) < 40


def test_small_fronts():
    assert pareto([]) == []
    assert pareto([(1, 1), (1, 1), (1, 2)]) == [0, 1]
    with pytest.raises(ShapeError, match="same number"):
        pareto([(1, 2), (1,)])
    with pytest.raises(ShapeError, match="NaN"):
        pareto([(1, float("nan"))])
