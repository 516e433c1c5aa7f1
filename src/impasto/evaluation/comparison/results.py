"""The results of a comparison, and their tables: scores.csv and summary.json."""

from __future__ import annotations

import csv
import functools
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from impasto.evaluation.comparison.cases import Pair
from impasto.evaluation.comparison.measurements import Subject
from impasto.evaluation.comparison.statistics import LEVEL, RESAMPLES, Summary, pareto, summarize
from impasto.evaluation.metrics import METRICS, VERSION
from impasto.evaluation.scores import Scores

__all__ = ["FRONTS", "Comparison", "Result", "relative", "scores_csv", "summary"]

# The metrics of a Pareto plot: of content and of style. Smaller is better for all of them.
FRONTS = (("features", "gram"), ("features", "motif_gram"))


@dataclass(frozen=True)
class Result:
    """A measured result.

    Attributes: thumbnail: a small JPEG of it.
    """

    subject: Subject
    scores: Scores
    thumbnail: Path


@dataclass(frozen=True)
class Comparison:
    """Methods on pairs, measured.

    Attributes:
        methods: their names; differences are taken from the first.
        results: (pair, method) → result, for those that could be measured.
        inputs: pair → the thumbnails of photo and painting.
        network: the network that measured.
        problems: a sentence for each picture that could not be used.
        notes: sentences that a reader of the table must know.
    """

    pairs: Sequence[Pair]
    methods: Sequence[str]
    results: Mapping[tuple[str, str], Result]
    inputs: Mapping[str, tuple[Path, Path]]
    network: str
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()

    @functools.cached_property
    def table(self) -> Mapping[str, Mapping[str, Summary]]:
        """Metric → method → summary; a metric without values has {}."""
        return {metric: summarize(self._values(metric)) for metric in METRICS}

    def _values(self, metric: str) -> dict[str, dict[str, float]]:
        """Return method → pair → value."""
        return {
            method: {
                pair.name: result.scores[metric]
                for pair in self.pairs
                if (result := self.results.get((pair.name, method)))
                and metric in result.scores.values
            }
            for method in self.methods
        }

    def points(self, front: tuple[str, str]) -> dict[str, tuple[Summary, Summary]]:
        """Return method → the summaries of the two metrics of a Pareto plot."""
        across, up = (self.table[metric] for metric in front)
        return {
            name: (across[name], up[name]) for name in self.methods if name in across and name in up
        }

    def front(self, front: tuple[str, str]) -> list[str]:
        """Return the methods that no other method dominates in two metrics."""
        points = self.points(front)
        best = pareto([(across.mean, up.mean) for across, up in points.values()])
        return [name for number, name in enumerate(points) if number in best]


def relative(path: Path, folder: Path) -> str:
    """Return the path of a file as seen from a folder, with forward slashes."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return path.resolve().as_posix()


def scores_csv(comparison: Comparison, folder: Path) -> str:
    """Return the text of a table with a row for each pair and method, and all metrics.

    A metric that could not be measured has an empty cell.

    Args: folder: where the table will be; the paths of results begin there.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    facts = ("pair", "method", "result", "sha256", "painted_by", "measured_by", "width", "height")
    table.writerow([*facts, *METRICS])
    for pair in comparison.pairs:
        for method in comparison.methods:
            result = comparison.results.get((pair.name, method))
            if result is None:
                continue
            subject, scores = result.subject, result.scores
            height, width = scores.size
            place = relative(subject.path, folder)
            own = (place, subject.sums[0], scores.painted_by or "", scores.network, width, height)
            numbers = (scores.values.get(metric, "") for metric in METRICS)
            table.writerow([pair.name, method, *own, *numbers])
    return text.getvalue()


def summary(comparison: Comparison) -> dict[str, Any]:
    """Return the table of means, intervals and differences as plain values.

    An interval is [low, high]; None: there are fewer than two pairs.
    """
    return {
        "pairs": [pair.name for pair in comparison.pairs],
        "methods": list(comparison.methods),
        "reference": comparison.methods[0],
        "network": comparison.network,
        "metrics_version": VERSION,
        "level": LEVEL,
        "resamples": RESAMPLES,
        "metrics": {
            metric: {
                "better": METRICS[metric].better,
                "group": METRICS[metric].group,
                "methods": {name: _plain(each) for name, each in found.items()},
            }
            for metric, found in comparison.table.items()
        },
        "pareto": [
            {"content": content, "style": style, "front": comparison.front((content, style))}
            for content, style in FRONTS
        ],
        "problems": list(comparison.problems),
        "notes": list(comparison.notes),
    }


def _plain(found: Summary) -> dict[str, Any]:
    facts = asdict(found)
    for name in ("interval", "difference_interval"):
        facts[name] = facts[name] and [facts[name]["low"], facts[name]["high"]]
    return facts
