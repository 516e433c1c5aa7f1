"""Compare several methods on many pairs of a photo and a painting.

>>> from impasto.evaluation.comparison import pareto
>>> pareto([(1.0, 3.0), (2.0, 2.0), (2.0, 4.0)])
[0, 1]

The command `impasto compare` uses all of it; docs/compare.md explains its files.
"""

from __future__ import annotations

from impasto.evaluation.comparison.statistics import Interval, Summary, bootstrap, pareto, summarize

__all__ = ["Interval", "Summary", "bootstrap", "pareto", "summarize"]
