"""The Laplacian term keeps the outlines of a picture where the photo has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from impasto.objective.terms import PictureTerm
from impasto.optimize.loop import LossName

__all__ = ["POOLS", "LaplacianTarget", "LaplacianTerm", "laplacian", "measure_laplacians"]

# The sides, in px, of the squares over which a picture is averaged.
POOLS = (4, 16)


@dataclass(frozen=True, eq=False)
class LaplacianTarget:
    """The photo's Laplacian at one pool size.

    Attributes:
        pool: the side of the averaged squares, in px.
        laplacian: see `laplacian`.
        counts: the weight of each position, (1, 1, h, w); None: 1 everywhere.
    """

    pool: int
    laplacian: Tensor
    counts: Tensor | None = None


def laplacian(gray: Tensor) -> Tensor:
    """Return four times each value minus its four neighbors, (…, h, w) → (…, h−2, w−2).

    Values at the border have no Laplacian, because a neighbor is missing.
    """
    middle = gray[..., 1:-1, 1:-1]
    around = gray[..., :-2, 1:-1] + gray[..., 2:, 1:-1] + gray[..., 1:-1, :-2] + gray[..., 1:-1, 2:]
    return 4 * middle - around


def measure_laplacians(
    photo: Tensor, counts: Tensor | None = None, pools: Sequence[int] = POOLS
) -> list[LaplacianTarget]:
    """Measure a photo, (1, 3, H, W), at each pool size that leaves a Laplacian.

    Args: counts: the weight of each pixel, (1, 1, H, W); None: 1 everywhere.
    """
    return [
        LaplacianTarget(
            pool,
            laplacian(_gray(_pooled(photo, pool))),
            None if counts is None else _pooled(counts, pool)[..., 1:-1, 1:-1].to(photo),
        )
        for pool in pools
        if min(photo.shape[-2:]) >= 3 * pool
    ]


class LaplacianTerm(PictureTerm):
    """The mean squared difference of the Laplacians of the pooled photo and picture.

    It is the mean over positions, and then over pool sizes.

    Args:
        weight: the factor of the loss.
        targets: the photo's Laplacians, at least one.
        detail: the second word of the name of the loss.

    Paper: Li, Xu, Nie & Chua, Laplacian-Steered Neural Style Transfer, 2017 (arXiv 1707.01253).
        Differs: a mean, not a sum, so that a weight means the same at every size; and the mean of
        the three channels, not their sum. Rows and columns beyond the last whole square have no
        part in the loss.
    """

    def __init__(
        self, weight: float, targets: Sequence[LaplacianTarget], detail: str = "laplacian"
    ) -> None:
        self.name = LossName("content", detail)
        self.weight = weight
        self.targets = tuple(targets)

    def loss(self, image: Tensor) -> Tensor:
        """See `PictureTerm`."""
        losses = [self._distance(_pooled(image, each.pool), each) for each in self.targets]
        return torch.stack(losses).sum()

    def evaluate(self, image: Tensor, gradient: Tensor | None) -> float:
        """Differentiate by the pooled picture only, to save memory; see `PictureTerm`."""
        total = 0.0
        for target in self.targets:
            pool = target.pool
            pooled = _pooled(image.detach(), pool).requires_grad_(gradient is not None)
            with torch.set_grad_enabled(gradient is not None):
                loss = self._distance(pooled, target)
            total += float(loss.detach())
            if gradient is not None:
                (own,) = torch.autograd.grad(loss, pooled)
                rows, columns = own.shape[-2:]
                squares = gradient[..., : rows * pool, : columns * pool]
                squares = torch.unflatten(squares, -1, (columns, pool))
                squares = torch.unflatten(squares, -3, (rows, pool))
                squares.add_(own[..., :, None, :, None], alpha=1 / pool**2)
        return total

    def _distance(self, pooled: Tensor, target: LaplacianTarget) -> Tensor:
        squares = (laplacian(_gray(pooled)) - target.laplacian.to(pooled)).square()
        if target.counts is not None:
            squares = squares * target.counts.to(pooled)
        return squares.mean() * (self.weight / len(self.targets))


def _pooled(picture: Tensor, pool: int) -> Tensor:
    return functional.avg_pool2d(picture, pool)


def _gray(picture: Tensor) -> Tensor:
    return picture.mean(1, keepdim=True)
