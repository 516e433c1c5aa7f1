"""The interface of style statistics, and the parts that they share.

`Statistic` is the interface. `Summed` is the base of all statistics that can be computed from
`Sums` over positions: they can measure a picture part by part, and their gradient has a closed
form. A position is one place of a layer's grid.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from impasto.errors import ShapeError
from impasto.kernels.products import correlate, mix, total

__all__ = ["Statistic", "Summed", "Sums", "gram_distance", "positions", "sum_up"]


class Statistic(ABC):
    """A way to describe the style of one layer, or of two successive style layers, by a tensor.

    Statistics are frozen dataclasses. Their fields are settings of the same name.

    Attributes:
        span: the number of layers that are measured together: 1, or 2 for a style layer and the
            style layer before it in the settings.
    """

    span: ClassVar[int] = 1

    @abstractmethod
    def measure(self, *maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """Describe the features of `span` layers.

        Args:
            maps: the features of each layer, (B, C, h, w), deepest first.
            guide: (1, 1, h, w), on the grid of the deepest layer. The weight of a position is the
                square of the guide. Only the ratios of the weights matter. None: all positions have
                the same weight.
        """

    @abstractmethod
    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Return the distance between two descriptions: a scalar ≥ 0, and 0 if they are equal."""

    def blend(self, targets: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Return the weighted mean of the targets of several paintings; the weights have the sum 1.

        For a squared distance, the distance to this mean has the same gradient as the weighted
        mean of the distances to each target.
        """
        return torch.stack([t * w for t, w in zip(targets, weights, strict=True)]).sum(0)

    def empty_distance(self, target: Tensor) -> float:
        """Return the distance of an all-zero description from a target.

        A relative loss is divided by this number, so it is 1 for such a description.
        """
        return float(self.distance(torch.zeros_like(target), target))

    def inputs(self, layers: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return, for each layer that has a term, the layers that the term measures.

        Args: layers: the style layers, in the order of the settings, normally shallow to deep. The
            measured layers are in the reverse order.
        """
        return {
            layers[last]: tuple(layers[last - back] for back in range(self.span))
            for last in range(self.span - 1, len(layers))
        }


@dataclass(frozen=True)
class Sums:
    """Sums over the positions p of maps X and Y. The sums of parts add up to those of the whole.

    Attributes:
        products: Σ_p X[:, p] Y[:, p]ᵀ, (B, C, C′); Y is X if one layer is measured.
        totals: Σ_p X[:, p], (B, C).
        count: number of positions.

    With a guide g, position p has the weight g(p)²: Σ_p g² X Yᵀ, Σ_p g² X, and Σ_p g².
    """

    products: Tensor
    totals: Tensor
    count: float

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.products + other.products, self.totals + other.totals, self.count + other.count
        )


class Summed(Statistic):
    """A statistic computed from `Sums`, so that pictures of any size are measured part by part.

    The gradient with respect to one part's features is `gradient(sums_gradient(sums, target),
    *maps)`, with the sums of the whole picture. It needs no features of other parts.
    """

    @property
    def reach(self) -> int:
        """The margin around a part that its sums depend on, in positions of the finest grid."""
        return 0

    @abstractmethod
    def accumulate(self, *maps: Tensor, guide: Tensor | None = None) -> Sums:
        """Sum over the positions of a part, (B, C, h, w) per layer; guide: as for `measure`."""

    @abstractmethod
    def finish(self, sums: Sums) -> Tensor:
        """Compute the description of a picture from its sums."""

    def measure(self, *maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """Describe a whole picture at once."""
        return self.finish(self.accumulate(*maps, guide=guide))

    def sums_gradient(self, sums: Sums, target: Tensor) -> Sums:
        """Return the derivative of a picture's distance by its sums."""
        products = sums.products.detach().requires_grad_()
        totals = sums.totals.detach().requires_grad_()
        with torch.enable_grad():
            loss = self.distance(self.finish(Sums(products, totals, sums.count)), target)
        by_products, by_totals = torch.autograd.grad(
            loss, (products, totals), materialize_grads=True
        )
        return Sums(by_products, by_totals, sums.count)

    def gradient(
        self, sums_gradient: Sums, *maps: Tensor, guide: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return the gradient of the whole picture's distance by the features of a part.

        Let D and d be the derivatives by Σ g² X Xᵀ and Σ g² X. Then the gradient is
        g² ((D + Dᵀ) X + d) at every position.

        Args: sums_gradient: the derivative by the sums of the whole picture.
        """
        (features,) = maps
        products = sums_gradient.products
        symmetric = products + products.transpose(1, 2)
        gradient = mix(symmetric, features.flatten(2), sums_gradient.totals).view_as(features)
        return (gradient if guide is None else gradient * guide.square(),)


def gram_distance(measured: Tensor, target: Tensor) -> Tensor:
    """Compare two Gram matrices: mean over all C·C′ pairs of (G − A)² / (C·C′).

    Args:    measured, target: (B, C, C′); C′ is C if one layer is measured.
    Returns: a scalar.
    Paper:   neural-style (Johnson 2015) divides the Gram matrix by C·h·w and takes the mean squared
             error. Gatys et al. sum over the pairs and divide by 4·C²·(h·w)². At equal sizes, this
             is C²/4 times as much, so deep layers, which have many channels, have more weight.
    """
    channels = math.sqrt(target.shape[-2] * target.shape[-1])
    return ((measured - target) / channels).square().mean()


def positions(features: Tensor) -> Tensor:
    """Return the features with one column per position, (B, C, h·w).

    Raises: ShapeError: features is not 4-D.
    """
    if features.ndim != 4:
        raise ShapeError(f"features are (B, C, h, w), not {tuple(features.shape)}")
    return features.flatten(2)


def sum_up(left: Tensor, right: Tensor, guide: Tensor | None = None) -> Sums:
    """Return the sums of two maps with a column per position.

    Args:
        left, right: (B, C, n) and (B, C′, n).
        guide: (1, 1, h, w) with h·w = n, as for `Statistic.measure`; None: all weights are 1.
    """
    if guide is None:
        return Sums(correlate(left, right), left.sum(2), left.shape[2])
    guide = guide.flatten(2)
    guided = left * guide
    products = correlate(guided, guided if right is left else right * guide)
    return Sums(products, (guided * guide).sum(2), total(guide.square()))
