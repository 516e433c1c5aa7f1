"""How something is painted, as numbers: descriptions of feature maps that forget *where*.

A `Statistic` knows how to measure a layer's features and how far two measurements are apart.
To add one, write its class in `correlations.py`, `distributions.py` or beside them, add a row to
`STATISTICS` here, and add its name to `StatisticName` in `impasto.settings.pictures`. Options,
documentation and property tests follow.
"""

from __future__ import annotations

import dataclasses

from impasto.settings.pictures import Settings
from impasto.style.correlations import Chained, Gram, Shifted, gram_matrix
from impasto.style.distributions import Histogram, Moments, Nearest, Sliced, Wasserstein
from impasto.style.statistic import Statistic, Summed, Sums, gram_distance

__all__ = [
    "STATISTICS",
    "Statistic",
    "Summed",
    "Sums",
    "chosen_statistic",
    "gram_distance",
    "gram_matrix",
]

STATISTICS: dict[str, Statistic] = {
    "gram": Gram(),
    "shifted": Shifted(),
    "chained": Chained(),
    "moments": Moments(),
    "wasserstein": Wasserstein(),
    "sliced": Sliced(),
    "histogram": Histogram(),
    "nearest": Nearest(),
}


def chosen_statistic(settings: Settings) -> Statistic:
    """Return the statistic of these settings: its fields are settings of the same name."""
    statistic = STATISTICS[settings.statistic]
    names = [each.name for each in dataclasses.fields(statistic)]  # type: ignore[arg-type]
    chosen = {name: getattr(settings, name) for name in names}
    return dataclasses.replace(statistic, **chosen)  # type: ignore[type-var]
