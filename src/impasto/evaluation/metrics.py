"""The table of all metrics, `METRICS`: the command, its JSON and the documentation use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from impasto.evaluation import artifacts, content, perceptual, styles

__all__ = ["GROUPS", "METRICS", "VERSION", "Metric"]

# Part of every stored score. Raise it with every change of a metric that changes its numbers.
VERSION = 1

# Group → what it tells.
GROUPS = {
    "content": "how much of the photo is left",
    "style": "how close the result is to the painting",
    "motif": "how close its large forms are",
    "artifacts": "faults that no input has",
}


@dataclass(frozen=True)
class Metric:
    """One measure of a result.

    Attributes:
        function: (what is seen of the result, the same of the reference) → a number. Its docstring
            has the definition, the range and the paper.
        group: a key of `GROUPS`.
        better: "lower" or "higher" values.
        reference: what the result is compared with: the photo, the paintings, or all inputs.
        meaning: the meaning in a few words.
        layers: the layers whose features the function takes; (): it takes pixels.
        size: the size of the pictures: "own": that of the result; "compared": the same, or less if
            the result is larger than the limit; "quarter": a quarter of it.
    """

    function: Callable[[Any, Any], float]
    group: str
    better: Literal["lower", "higher"]
    reference: Literal["photo", "paintings", "inputs"]
    meaning: str
    layers: tuple[str, ...] = ()
    size: Literal["own", "compared", "quarter"] = "compared"


_STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
_PATCHES = ("relu3_1", "relu4_1")  # a position of them sees 24 px, and 60 px or more
_MOTIF = ("relu4_1", "relu5_1")


def _style(
    function: Callable[[Any, Any], float],
    meaning: str,
    layers: tuple[str, ...] = _STYLE,
    better: Literal["lower", "higher"] = "lower",
) -> Metric:
    return Metric(function, "style", better, "paintings", meaning, layers)


def _motif(function: Callable[[Any, Any], float], meaning: str) -> Metric:
    return Metric(function, "motif", "lower", "paintings", meaning, _MOTIF, "quarter")


def _artifact(function: Callable[[Any, Any], float], meaning: str) -> Metric:
    return Metric(function, "artifacts", "lower", "inputs", meaning, size="own")


METRICS: dict[str, Metric] = {
    "features": Metric(
        content.feature_distance, "content", "lower", "photo", "distance of features", ("relu4_2",)
    ),
    "edges": Metric(
        content.edge_structure, "content", "higher", "photo", "correlation of edges"
    ),
    "lpips": Metric(
        perceptual.lpips_distance, "content", "lower", "photo", "learned distance, LPIPS"
    ),
    "gram": _style(styles.relative_gram_distance, "distance of Gram matrices"),
    "gaussian": _style(styles.gaussian_distance, "distance of means, covariances"),
    "sliced": _style(styles.sliced_distance, "distance of distributions"),
    "nearest": _style(styles.nearest_distance, "distance to nearest patches", _PATCHES),
    "frechet": _style(styles.frechet_distance, "Fréchet distance, one layer", ("relu3_2",)),
    "diversity": _style(
        styles.patch_diversity, "share of patches in use", ("relu4_1",), "higher"
    ),
    "colors": _style(styles.color_distance, "distance of color histograms", ()),
    "motif_gram": _motif(styles.relative_gram_distance, "distance of Gram matrices"),
    "motif_gaussian": _motif(styles.gaussian_distance, "distance of means, covariances"),
    "motif_sliced": _motif(styles.sliced_distance, "distance of distributions"),
    "motif_nearest": _motif(styles.nearest_distance, "distance to nearest patches"),
    "border": Metric(
        artifacts.border_excess, "artifacts", "lower", "photo", "frame at the border", size="own"
    ),
    "speckle": _artifact(artifacts.chroma_speckle, "color noise"),
    "checkerboard": _artifact(artifacts.checkerboard, "pattern of period 2 px"),
    "blown_out": _artifact(artifacts.blown_out, "share of clipped pixels"),
}  # fmt: skip
