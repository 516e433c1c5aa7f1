"""Means with intervals, paired differences, and the Pareto front: pure functions of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from impasto.errors import SettingsError, ShapeError

__all__ = ["Interval", "Summary", "bootstrap", "pareto", "summarize"]

LEVEL = 0.95
RESAMPLES = 10_000

_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """The limits between which a mean lies with the chosen confidence."""

    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Tell whether a value lies outside."""
        return not self.low <= value <= self.high


@dataclass(frozen=True)
class Summary:
    """One metric of one method.

    Attributes:
        mean: over the pairs that all methods have.
        interval: of the mean; None: there are fewer than two pairs.
        difference: the mean of (this method − the first method), pair by pair; None: this is the
            first method.
        difference_interval: of the difference; None: as for the two before.
        pairs: the number of pairs.
    """

    mean: float
    interval: Interval | None
    difference: float | None
    difference_interval: Interval | None
    pairs: int


def bootstrap(
    values: Sequence[float] | _Numbers,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the bootstrap interval of a mean, bias-corrected and accelerated (BCa).

    The values are drawn again with replacement; the quantiles of the means of these samples are the
    limits. BCa shifts the quantiles if the distribution of the means is skewed.

    Args:
        values: independent values, such as one per pair.
        level: the confidence, in (0, 1).
        resamples: the number of samples that are drawn.
        seed: of the samples; the same seed gives the same interval.

    Raises:
        ShapeError: there are fewer than two values, or they are not a list of finite numbers.
        SettingsError: the level is not in (0, 1), or resamples is below 1.

    Paper: Efron, Better Bootstrap Confidence Intervals, JASA 1987.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) < 2 or not np.isfinite(numbers).all():
        raise ShapeError("an interval needs a list of at least two finite numbers")
    if not 0 < level < 1 or resamples < 1:
        raise SettingsError(
            f"level {level} and resamples {resamples}: the level must be in (0, 1), and resamples "
            "at least 1"
        )
    mean = float(numbers.mean())
    if np.ptp(numbers) == 0:
        return Interval(mean, mean)
    random = np.random.default_rng(seed)
    means = numbers[random.integers(0, len(numbers), (resamples, len(numbers)))].mean(axis=1)
    low, high = np.quantile(means, _quantiles(numbers, means, level))
    return Interval(float(low), float(high))


def _quantiles(numbers: _Numbers, means: _Numbers, level: float) -> tuple[float, float]:
    """Return the two quantiles of the resampled means that BCa takes."""
    normal, mean = NormalDist(), numbers.mean()
    below = ((means < mean).mean() + (means <= mean).mean()) / 2
    # All means on one side of the sample's own mean: a few resamples of very uneven values.
    bias = normal.inv_cdf(float(np.clip(below, 0.5 / len(means), 1 - 0.5 / len(means))))
    jackknife = (numbers.sum() - numbers) / (len(numbers) - 1)
    deviations = jackknife.mean() - jackknife
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)

    def quantile(probability: float) -> float:
        shifted = bias + normal.inv_cdf(probability)
        return normal.cdf(bias + shifted / (1 - float(acceleration) * shifted))

    return quantile((1 - level) / 2), quantile((1 + level) / 2)


def summarize(
    scores: Mapping[str, Mapping[str, float]],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Summary]:
    """Return the mean of one metric for each method, and its difference from the first method.

    Only the pairs that all methods have are used, so that no method gets the easier pairs. The
    differences are paired: that one pair is harder than another does not widen their interval.

    Args:
        scores: method → pair → value. A method without any value is left out.
        level, resamples, seed: as for `bootstrap`.

    Returns: method → summary; {}: no pair has values of all methods.
    """
    known = {method: values for method, values in scores.items() if values}
    if not known:
        return {}
    first = next(iter(known))
    pairs = [pair for pair in known[first] if all(pair in values for values in known.values())]
    if not pairs:
        return {}
    table = {method: np.array([values[pair] for pair in pairs]) for method, values in known.items()}

    def interval(values: _Numbers) -> Interval | None:
        if len(values) < 2:
            return None
        return bootstrap(values, level=level, resamples=resamples, seed=seed)

    found: dict[str, Summary] = {}
    for method, values in table.items():
        mean = float(values.mean())
        if method == first:
            found[method] = Summary(mean, interval(values), None, None, len(pairs))
        else:
            paired = values - table[first]
            found[method] = Summary(
                mean, interval(values), float(paired.mean()), interval(paired), len(pairs)
            )
    return found


def pareto(points: Sequence[Sequence[float]]) -> list[int]:
    """Return the indices of the points that no other point dominates.

    A point dominates another one if it is nowhere larger and somewhere smaller. So smaller
    coordinates are better. Equal points do not dominate each other.

    Raises: ShapeError: the points have different numbers of coordinates, or one is not a number.
    """
    if not len(points):
        return []
    if len({len(point) for point in points}) > 1:
        raise ShapeError("all points must have the same number of coordinates")
    array = np.asarray(points, dtype=np.float64)
    if np.isnan(array).any():
        raise ShapeError("a point has a coordinate that is not a number (NaN)")
    return [
        index
        for index, point in enumerate(array)
        if not ((array <= point).all(axis=1) & (array < point).any(axis=1)).any()
    ]
