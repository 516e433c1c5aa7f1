"""How features are distributed: by mean and covariance, along lines, or as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from impasto.style.statistic import Statistic, Summed, Sums, gram_distance, positions, sum_up

__all__ = ["Histogram", "Moments", "Nearest", "Sliced", "Wasserstein"]

# Keeps a root's slope finite for a channel without variance, far below any activation's square.
_LEAST_VARIANCE = 1e-8
# Added to both covariances, as a share of the painting's mean variance: a photo's features often
# leave directions empty, in which the distance's slope would be infinite.
_FLOOR = 1e-4
# How many products of positions are looked at in one go: 64 MB of float32.
_CHUNK = 1 << 24


@dataclass(frozen=True)
class Moments(Summed):
    """Gram matrix, mean and standard deviation of each channel, (B, C, C + 1): [G | μ].

    The target holds only G and μ, because σ² = diag(G) − μ², and because those of several
    paintings average to those of all their positions together.

    Paper: Gatys et al. 2016 with the mean and standard deviation of Galerne et al. 2023
           (SPST, arXiv 2212.13459). Differs: each of the three is a share of the painting's own
           mean square, since a Gram matrix grows by the square of what a mean grows by.
    """

    def accumulate(self, *maps: Tensor, guide: Tensor | None = None) -> Sums:
        """Sum up F Fᵀ and F."""
        flat = positions(*maps)
        return sum_up(flat, flat, guide)

    def finish(self, sums: Sums) -> Tensor:
        """Divide by the number of positions."""
        return torch.cat([sums.products, sums.totals[..., None]], -1) / sums.count

    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Sum the relative squared differences of Gram matrix, mean and standard deviation."""
        gram, mean = measured[..., :-1], measured[..., -1]
        gram_aim, mean_aim = target[..., :-1], target[..., -1]
        spread, spread_aim = standard_deviation(measured), standard_deviation(target)
        return (
            _share(gram_distance(gram, gram_aim), gram_distance(gram * 0, gram_aim))
            + _share((mean - mean_aim).square().mean(), mean_aim.square().mean())
            + _share((spread - spread_aim).square().mean(), spread_aim.square().mean())
        )


def standard_deviation(moments: Tensor) -> Tensor:
    """Return σ of each channel, (B, C), from [G | μ]."""
    variance = moments[..., :-1].diagonal(dim1=-2, dim2=-1) - moments[..., -1].square()
    return (variance.clamp(min=0) + _LEAST_VARIANCE).sqrt()


def covariance(moments: Tensor) -> Tensor:
    """Return the covariance of the channels, (B, C, C), from [G | μ]: G − μ μᵀ."""
    mean = moments[..., -1:]
    return moments[..., :-1] - mean @ mean.transpose(-2, -1)


def _share(loss: Tensor, whole: Tensor) -> Tensor:
    whole = whole.detach()
    return loss / torch.where(whole > 0, whole, torch.ones_like(whole))


@dataclass(frozen=True)
class Wasserstein(Moments):
    """Mean and covariance, compared as normal distributions by optimal transport.

    W² = |μ − m|² + tr(Σ + S − 2 (S^½ Σ S^½)^½), divided by the number of channels.

    Computed in float64 on the CPU, whatever the features are: the root of the smallest
    eigenvalues needs the digits, and a matrix of 512 channels is soon moved.

    Paper: Olkin & Pukelsheim 1982 for the distance; for style, VinceMarron's program and
           crowsonkb/style-transfer-pytorch. Differs: both covariances get 1e-4 of the painting's
           mean variance, which leaves 0 at the target.
    """

    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Return W² / C, the mean over a batch."""
        measured_wide, wide = (each.to("cpu", torch.float64) for each in (measured, target))
        means = (measured_wide[..., -1] - wide[..., -1]).square().sum(-1)
        aim = covariance(wide)
        variance = aim.diagonal(dim1=-2, dim2=-1).mean(-1)
        floor = torch.where(variance > 0, variance * _FLOOR, torch.full_like(variance, 1e-12))
        ridge = floor[:, None, None] * torch.eye(aim.shape[-1], dtype=aim.dtype)
        apart = bures(covariance(measured_wide) + ridge, aim + ridge)
        distance: Tensor = (means + apart).mean() / aim.shape[-1]
        return distance.to(measured)


def bures(left: Tensor, right: Tensor) -> Tensor:
    """Return tr(Σ + S − 2 (S^½ Σ S^½)^½), (B,), of regular covariances Σ and S, (B, C, C).

    The gradient goes to Σ only.
    """
    values, vectors = torch.linalg.eigh(right.detach())
    root = vectors * values.clamp(min=0).sqrt()[:, None, :] @ vectors.transpose(-2, -1)
    middle = root @ left @ root
    inner = torch.linalg.eigvalsh((middle + middle.transpose(-2, -1)) / 2)
    # Rounding may leave the smallest at 0, where the root's slope is infinite.
    least = torch.finfo(inner.dtype).eps * inner.detach().amax(-1, keepdim=True)
    cross = inner.clamp(min=least).sqrt().sum(-1)
    trace = (left + right).diagonal(dim1=-2, dim2=-1).sum(-1)
    apart: Tensor = (trace - 2 * cross).clamp(min=0)
    return apart


@dataclass(frozen=True)
class Sliced(Statistic):
    """The whole distribution, compared along random lines, (B, K, n): sorted projections.

    Attributes:
        directions: how many lines, K; 0: as many as channels.
        seed: of the lines.

    Paper: Heitz et al., A Sliced Wasserstein Loss for Neural Texture Synthesis, CVPR 2021.
           Differs: the lines stay the same in every step, so that L-BFGS sees one function.
    """

    directions: int = 0
    seed: int = 0

    def measure(self, *maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """Project the features onto the lines and sort them.

        Under a guide: as many quantiles as there are positions that count.
        """
        flat, counts = counted(positions(*maps), guide)
        return in_order(self.lines(flat.shape[1]).to(flat) @ flat, counts)

    def lines(self, channels: int) -> Tensor:
        """Return the unit vectors, (K, C), drawn uniformly by the seed."""
        generator = torch.Generator().manual_seed(self.seed)
        count = self.directions or channels
        drawn = torch.randn((count, channels), generator=generator, dtype=torch.float64)
        lines: Tensor = functional.normalize(drawn, dim=1)
        return lines

    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Mean squared difference of the quantiles, over lines and the picture's positions."""
        return (measured - quantiles(target, measured.shape[-1])).square().mean()

    def blend(self, targets: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Return the weighted mean of the quantiles: the barycenter on every line."""
        count = max(target.shape[-1] for target in targets)
        return super().blend([quantiles(target, count) for target in targets], weights)


@dataclass(frozen=True)
class Histogram(Statistic):
    """Gram matrix and the histogram of each channel, (B, C, C + n): [G | sorted values].

    To match a histogram is to move the n-th smallest value to the painting's n-th smallest, so how
    far a matched map is away is how far the sorted values are apart: transport along the axes.

    Paper: Risser, Wilmot & Barnes 2017, arXiv 1701.08893. Differs: ranks instead of 256 bins; each
           of the two is a share of the painting's own mean square; on every style layer.
    """

    def measure(self, *maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """Multiply all channels with each other, and sort each."""
        flat = positions(*maps)
        sums = sum_up(flat, flat, guide)
        values = in_order(*counted(flat, guide))
        return torch.cat([sums.products / sums.count, values], -1)

    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Sum the relative squared differences of Gram matrices and of values."""
        channels = target.shape[1]
        gram, aim = measured[..., :channels], target[..., :channels]
        values, wanted = measured[..., channels:], target[..., channels:]
        wanted = quantiles(wanted, values.shape[-1])
        return _share(gram_distance(gram, aim), gram_distance(aim * 0, aim)) + _share(
            (values - wanted).square().mean(), wanted.square().mean()
        )

    def blend(self, targets: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Return the weighted means of Gram matrices and of quantiles."""
        channels = targets[0].shape[1]
        count = max(target.shape[-1] for target in targets) - channels
        alike = [
            torch.cat([each[..., :channels], quantiles(each[..., channels:], count)], -1)
            for each in targets
        ]
        return super().blend(alike, weights)


def in_order(values: Tensor, counts: Tensor | None) -> Tensor:
    """Sort (B, K, n) along its last axis; where they count unequally, return n quantiles instead.

    Args: counts: how much each of the n counts, (n,); None: all alike.
    """
    ordered, order = values.sort(-1)
    if counts is None:
        return ordered
    number = values.shape[-1]
    reached = counts[order].cumsum(-1)  # (B, K, n)
    middles = (torch.arange(number, device=values.device) + 0.5) / number
    asked = middles.to(values) * reached[..., -1:]
    index = torch.searchsorted(reached, asked.contiguous(), right=True)
    return ordered.gather(-1, index.clamp(max=number - 1))


def quantiles(values: Tensor, count: int) -> Tensor:
    """Return `count` quantiles of sorted values, (…, n): those at (i + ½) / count."""
    number = values.shape[-1]
    if number == count:
        return values
    index = (2 * torch.arange(count, device=values.device) + 1) * number // (2 * count)
    return values[..., index]


def counted(flat: Tensor, guide: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Leave out the positions of (B, C, n) that do not count, and tell how much the others do.

    Returns: features (B, C, n′), and the guide's squares, (n′,); None without a guide.
    """
    if guide is None:
        return flat, None
    counts = guide.flatten().square()
    (kept,) = counts.nonzero(as_tuple=True)
    return flat[..., kept], counts[kept]


@dataclass(frozen=True)
class Nearest(Statistic):
    """The features themselves: each of the picture's aims at its nearest neighbor.

    They are described by (B, C + 1, n): the last row is how much a position counts.

    A match has the largest cosine between features minus the mean of their own picture; what
    is minimized is 1 − cosine to the match, the mean over positions. (Computed as ½ |f̂ − m̂|², which
    is 0 also where both are 0.) Patches are copied and not averaged, which gives the sharpest
    strokes.

    Attributes:
        neighbors: at most so many positions of the paintings are kept, spread evenly.

    Paper: Kolkin et al., Neural Neighbor Style Transfer, arXiv 2203.13215. Differs: layer by layer
           and at every step, on all positions of the picture, instead of on layers stacked.
    """

    neighbors: int = 4096

    def measure(self, *maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """Return the features of every position that counts, and how much it does."""
        flat, counts = counted(positions(*maps), guide)
        row = flat.new_ones(flat.shape[-1]) if counts is None else counts
        return torch.cat([flat, row.expand(flat.shape[0], 1, -1)], 1)

    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Return the mean of 1 − cosine to the nearest neighbor."""
        features, candidates = measured[:, :-1], target[:, :-1]
        with torch.no_grad():
            index = nearest_neighbors(measured, target)[:, None, :]  # (B, 1, n)
        matches = candidates.expand(features.shape[0], -1, -1).gather(
            2, index.expand(-1, candidates.shape[1], -1)
        )
        apart = (_unit(features) - _unit(matches)).square().sum(1) / 2  # (B, n)
        return _mean(apart, measured[:, -1]).mean()

    def blend(self, targets: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Return positions of all paintings, as many of each as its weight asks for."""
        kept = []
        for target, weight in zip(targets, weights, strict=True):
            count = min(target.shape[-1], round(self.neighbors * weight))
            if weight > 0:
                kept.append(_some_positions(target, max(count, 1)))
        return torch.cat(kept, -1)

    def empty_distance(self, target: Tensor) -> float:
        """Return ½, as `distance` does where all is 0."""
        return 0.5


def _some_positions(features: Tensor, count: int) -> Tensor:
    """Return count of the positions of (1, C, n), drawn at random by a fixed seed, in order.

    A regular stride would keep few columns of a map whose width it divides.
    """
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(features.shape[-1], generator=generator)[:count].sort().values
    return features[..., order.to(features.device)]


def nearest_neighbors(queries: Tensor, keys: Tensor) -> Tensor:
    """Find, by the cosine of what differs from the mean, the nearest key of each query.

    Args:    queries: (B, C + 1, n); keys: (B or 1, C + 1, m); the last row is how much each counts.
    Returns: indices of keys, (B, n).
    """
    left, right = (
        _unit(each[:, :-1] - _mean(each[:, :-1], each[:, -1:])[..., None])
        for each in (queries, keys)
    )
    step = max(1, _CHUNK // keys.shape[-1])
    found = [
        (left[..., start : start + step].transpose(1, 2) @ right).argmax(-1)
        for start in range(0, left.shape[-1], step)
    ]
    return torch.cat(found, -1)


def _unit(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors, dim=1, eps=1e-6)


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean over the last axis, each value counting so much."""
    return (values * counts).sum(-1) / counts.sum(-1)
