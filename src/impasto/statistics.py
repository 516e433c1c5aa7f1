"""How something is painted, as numbers: pure functions of feature maps that forget *where*.

A `Statistic` knows how to measure a layer's features and how far two measurements are apart.
To add one, write the function, add a row to `STATISTICS` and its name to `StatisticName` in
`impasto.settings`; options, documentation and property tests follow from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from impasto.errors import ShapeError

__all__ = ["STATISTICS", "Statistic", "gram_distance", "gram_matrix"]


@dataclass(frozen=True)
class Statistic:
    """A way to describe the style of one layer.

    Attributes:
        measure: features (B, C, h, w) → target, any shape.
        distance: (measured, target) → scalar ≥ 0, and 0 when they are equal.
    """

    measure: Callable[[Tensor], Tensor]
    distance: Callable[[Tensor, Tensor], Tensor]


def gram_matrix(features: Tensor) -> Tensor:
    """Correlate every pair of channels, forgetting where: what Gatys et al. call style.

    G[b, i, j] = Σ_p F[b, i, p] · F[b, j, p] / (h·w)

    Args:    features: activations of one layer, (B, C, h, w), any float dtype.
    Returns: (B, C, C), symmetric, positive semi-definite.
    Raises:  ShapeError: features is not 4-D.
    Paper:   Gatys, Ecker & Bethge, CVPR 2016. Differs: divided by h·w, so that a style weighs the
             same at every size.
    """
    if features.ndim != 4:
        raise ShapeError(f"features are (B, C, h, w), not {tuple(features.shape)}")
    flat = features.flatten(2)  # (B, C, h·w)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def gram_distance(measured: Tensor, target: Tensor) -> Tensor:
    """Compare two Gram matrices: mean over all C² pairs of ((G − A) / C)².

    Args:    measured, target: (B, C, C).
    Returns: a scalar.
    Paper:   neural-style (Johnson 2015) divides the Gram matrix by C·h·w and takes the mean squared
             error. Gatys et al. sum over the pairs and divide by 4·C²·(h·w)², which at equal sizes
             is C²/4 times as much: deep layers, with many channels, weigh more there.
    """
    channels = target.shape[-1]
    return ((measured - target) / channels).square().mean()


STATISTICS: dict[str, Statistic] = {
    "gram": Statistic(gram_matrix, gram_distance),
}
