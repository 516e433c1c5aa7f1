"""How good is a result? Measures of content, style and artifacts, and all of them at once.

>>> from impasto.evaluation import evaluate
>>> scores = evaluate("pastiche.png", "photo.jpg", "painting.jpg")  # doctest: +SKIP
>>> scores["gram"]  # doctest: +SKIP

`METRICS` lists the metrics. Each is a function of pictures or of features; its docstring has the
definition, the range, the direction and the paper. docs/evaluation.md says when to trust them.
"""

from __future__ import annotations

from impasto.evaluation.content import psnr
from impasto.evaluation.metrics import GROUPS, METRICS, Metric
from impasto.evaluation.scores import Scores, evaluate

__all__ = ["GROUPS", "METRICS", "Metric", "Scores", "evaluate", "psnr"]
