"""Style as numbers: statistics of feature maps that do not depend on positions.

A `Statistic` describes a layer's features by a tensor, and compares two such descriptions. To add
one, write its class in `correlations.py`, `distributions.py` or a new module, add a row to
`STATISTICS` here, and add its name to `StatisticName` in `impasto.settings.pictures`. Options,
documentation and property tests are made from these.
"""

from __future__ import annotations

import dataclasses

from impasto.errors import SettingsError
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
    """Return the statistic that the settings name, with its fields set from the settings.

    Instead of a name, the settings can hold a `Statistic` itself.
    """
    if isinstance(settings.statistic, Statistic):
        return settings.statistic
    if settings.statistic not in STATISTICS:
        raise SettingsError(
            f"statistic: {settings.to_dict()['statistic']} is not an impasto.Statistic; derive its "
            "class from impasto.Statistic"
        )
    statistic = STATISTICS[settings.statistic]
    names = [field.name for field in dataclasses.fields(statistic)]  # type: ignore[arg-type]
    values = {name: getattr(settings, name) for name in names}
    return dataclasses.replace(statistic, **values)  # type: ignore[type-var]
