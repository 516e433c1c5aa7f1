"""What a statistic of style is, and the parts that all statistics share.

`Statistic` is the interface. `Summed` is a statistic that follows from sums over positions, so that
a picture can be measured part by part; it has a gradient in closed form.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from impasto.errors import ShapeError

__all__ = ["Statistic", "Summed", "Sums", "gram_distance", "positions", "sum_up"]


class Statistic(ABC):
    """A way to describe the style of one layer, or of neighboring layers.

    Statistics are frozen dataclasses; their fields are settings of the same name.

    Attributes:
        span: how many layers it looks at: 1, or 2 for a layer and the one before it.
    """

    span: ClassVar[int] = 1

    @abstractmethod
    def measure(self, *maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """Describe the features of `span` layers, (B, C, h, w) each, deepest first.

        Args: guide: (1, 1, h, w), on the grid of the deepest: what the features of a position are
            multiplied by, so that it counts by its square. Of any scale; None: all count alike.
        """

    @abstractmethod
    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Compare two descriptions: a scalar ≥ 0, and 0 where they are equal."""

    def compare(
        self, maps: Sequence[Tensor], target: Tensor, guide: Tensor | None = None
    ) -> Tensor:
        """Measure features and compare them with a target: a scalar, differentiable by them."""
        return self.distance(self.measure(*maps, guide=guide), target)

    def blend(self, targets: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Return what several paintings have in common: the weighted mean, weights of sum 1.

        For a squared distance, aiming at the mean of the targets has the same gradient as the mean
        of the distances to each.
        """
        return torch.stack([t * w for t, w in zip(targets, weights, strict=True)]).sum(0)

    def empty_distance(self, target: Tensor) -> float:
        """Return the distance of a measurement that is all 0: what a relative loss is 1 at."""
        return float(self.distance(torch.zeros_like(target), target))

    def inputs(self, layers: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Tell, for each layer that has a term, which layers to measure, deepest first."""
        return {
            layers[last]: tuple(layers[last - back] for back in range(self.span))
            for last in range(self.span - 1, len(layers))
        }


@dataclass(frozen=True)
class Sums:
    """Sums over positions p of maps X and Y; those of a picture's parts add up to the whole's.

    Attributes:
        products: Σ_p X[:, p] Y[:, p]ᵀ, (B, C, C′); Y is X where one layer is looked at.
        totals: Σ_p X[:, p], (B, C).
        count: how many positions.

    With a guide g, position p counts g(p)² times: Σ_p g² X Yᵀ, Σ_p g² X, and Σ_p g².
    """

    products: Tensor
    totals: Tensor
    count: float

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.products + other.products, self.totals + other.totals, self.count + other.count
        )


class Summed(Statistic):
    """A statistic that follows from `Sums`: a picture of any size can be measured part by part.

    The gradient with respect to a part's features needs nothing of the other parts but the sums:
    `gradient(pull(sums, target), *maps)`.
    """

    @property
    def reach(self) -> int:
        """How many positions around a part, of the finest of its grids, its sums depend on."""
        return 0

    @abstractmethod
    def accumulate(self, *maps: Tensor, guide: Tensor | None = None) -> Sums:
        """Sum up the positions of a part, (B, C, h, w) per layer; guide as for `measure`."""

    @abstractmethod
    def finish(self, sums: Sums) -> Tensor:
        """Return the description of the whole."""

    def measure(self, *maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """Describe a whole at once."""
        return self.finish(self.accumulate(*maps, guide=guide))

    def compare(
        self, maps: Sequence[Tensor], target: Tensor, guide: Tensor | None = None
    ) -> Tensor:
        """Compare as any statistic does, but go back by the closed form, in half the time."""
        if not torch.is_grad_enabled() or not any(each.requires_grad for each in maps):
            return super().compare(maps, target, guide)
        loss: Tensor = _Compared.apply(self, target, guide, *maps)  # type: ignore[no-untyped-call]
        return loss

    def pull(self, sums: Sums, target: Tensor) -> Sums:
        """Differentiate the distance of a whole by its sums."""
        return self.distance_and_pull(sums, target)[1]

    def distance_and_pull(self, sums: Sums, target: Tensor) -> tuple[Tensor, Sums]:
        """Return the distance of a whole, a scalar, and what it is differentiated by its sums."""
        products = sums.products.detach().requires_grad_()
        totals = sums.totals.detach().requires_grad_()
        with torch.enable_grad():
            loss = self.distance(self.finish(Sums(products, totals, sums.count)), target)
        on_products, on_totals = torch.autograd.grad(
            loss, (products, totals), materialize_grads=True
        )
        return loss.detach(), Sums(on_products, on_totals, sums.count)

    def gradient(
        self, pull: Sums, *maps: Tensor, guide: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Differentiate the distance of the whole by the features of a part.

        With D and d the pulls on Σ g² X Xᵀ and Σ g² X, it is g² ((D + Dᵀ) X + d) at every position.
        """
        (features,) = maps
        both = pull.products + pull.products.transpose(1, 2)
        slope = torch.baddbmm(pull.totals[..., None], both, features.flatten(2))
        slope = slope.view_as(features)
        return (slope if guide is None else slope * guide.square(),)


class _Compared(torch.autograd.Function):
    """The distance of features' sums from a target, with the closed-form gradient."""

    @staticmethod
    def forward(
        ctx: Any, statistic: Summed, target: Tensor, guide: Tensor | None, *maps: Tensor
    ) -> Tensor:
        sums = statistic.accumulate(*maps, guide=guide)
        loss, pull = statistic.distance_and_pull(sums, target)
        ctx.statistic, ctx.guided, ctx.count = statistic, guide is not None, pull.count
        ctx.save_for_backward(
            pull.products, pull.totals, *(() if guide is None else (guide,)), *maps
        )
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        products, totals, *rest = ctx.saved_tensors
        guide = rest.pop(0) if ctx.guided else None
        pull = Sums(products * slope, totals * slope, ctx.count)
        return (None, None, None, *ctx.statistic.gradient(pull, *rest, guide=guide))


def gram_distance(measured: Tensor, target: Tensor) -> Tensor:
    """Compare two Gram matrices: mean over all C·C′ pairs of (G − A)² / (C·C′).

    Args:    measured, target: (B, C, C′); C′ is C where one layer is looked at.
    Returns: a scalar.
    Paper:   neural-style (Johnson 2015) divides the Gram matrix by C·h·w and takes the mean squared
             error. Gatys et al. sum over the pairs and divide by 4·C²·(h·w)², which at equal sizes
             is C²/4 times as much: deep layers, with many channels, weigh more there.
    """
    channels = math.sqrt(target.shape[-2] * target.shape[-1])
    return ((measured - target) / channels).square().mean()


def positions(features: Tensor) -> Tensor:
    """Return the features as columns, (B, C, h·w).

    Raises: ShapeError: features is not 4-D.
    """
    if features.ndim != 4:
        raise ShapeError(f"features are (B, C, h, w), not {tuple(features.shape)}")
    return features.flatten(2)


def sum_up(left: Tensor, right: Tensor, guide: Tensor | None = None) -> Sums:
    """Sum the products of two maps' columns, (B, C, n) and (B, C′, n), under a guide, (1, 1, n)."""
    if guide is None:
        return Sums(left @ right.transpose(1, 2), left.sum(2), left.shape[2])
    guide = guide.flatten(2)
    guided = left * guide
    products = guided @ (right * guide).transpose(1, 2)
    return Sums(products, (guided * guide).sum(2), float(guide.square().sum()))
