"""Distributions of features: moments, quantiles along lines, histograms, nearest neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from impasto.style.statistic import Statistic, Summed, Sums, gram_distance, positions, sum_up

__all__ = ["Histogram", "Moments", "Nearest", "Sliced", "Wasserstein"]

# Added to a variance, so that its root has a finite derivative even for a constant channel. It is
# far below the square of any activation.
_LEAST_VARIANCE = 1e-8
# Added to both covariances, as a share of the painting's mean variance. A photo's features often
# have no variance in some directions, and the derivative of the distance would be infinite there.
_FLOOR = 1e-4
# `nearest_neighbors` compares at most this many pairs of positions at once: 64 MB of float32.
_CHUNK = 1 << 24


@dataclass(frozen=True)
class Moments(Summed):
    """Gram matrix, mean and standard deviation of each channel, (B, C, C + 1): [G | μ].

    The description holds only G and μ, because σ² = diag(G) − μ². G and μ of several paintings
    average to G and μ of all their positions together; σ does not.

    Paper: Gatys et al. 2016 with the mean and standard deviation of Galerne et al. 2023
           (SPST, arXiv 2212.13459). Differs: each of the three differences is divided by the
           painting's own mean square, because a Gram matrix grows with the square of the features
           and a mean only linearly.
    """

    def accumulate(self, *maps: Tensor, guide: Tensor | None = None) -> Sums:
        """Sum F Fᵀ and F over positions."""
        flat = positions(*maps)
        return sum_up(flat, flat, guide)

    def finish(self, sums: Sums) -> Tensor:
        """Divide by the number of positions."""
        return torch.cat([sums.products, sums.totals[..., None]], -1) / sums.count

    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Sum the relative squared differences of Gram matrix, mean and standard deviation."""
        gram, mean = measured[..., :-1], measured[..., -1]
        target_gram, target_mean = target[..., :-1], target[..., -1]
        deviation, target_deviation = standard_deviation(measured), standard_deviation(target)
        return (
            _relative(gram_distance(gram, target_gram), gram_distance(gram * 0, target_gram))
            + _relative((mean - target_mean).square().mean(), target_mean.square().mean())
            + _relative(
                (deviation - target_deviation).square().mean(), target_deviation.square().mean()
            )
        )


def standard_deviation(moments: Tensor) -> Tensor:
    """Return σ of each channel, (B, C), from [G | μ]."""
    variance = moments[..., :-1].diagonal(dim1=-2, dim2=-1) - moments[..., -1].square()
    return (variance.clamp(min=0) + _LEAST_VARIANCE).sqrt()


def covariance(moments: Tensor) -> Tensor:
    """Return the covariance of the channels, (B, C, C), from [G | μ]: G − μ μᵀ."""
    mean = moments[..., -1:]
    return moments[..., :-1] - mean @ mean.transpose(-2, -1)


def _relative(loss: Tensor, scale: Tensor) -> Tensor:
    """Divide a loss by a scale ≥ 0, unless the scale is 0."""
    scale = scale.detach()
    return loss / torch.where(scale > 0, scale, torch.ones_like(scale))


@dataclass(frozen=True)
class Wasserstein(Moments):
    """Mean and covariance, compared by the optimal transport distance of normal distributions.

    W² = |μ − m|² + tr(Σ + S − 2 (S^½ Σ S^½)^½), divided by the number of channels.

    It is always computed in float64 on the CPU. The roots of the smallest eigenvalues need the
    digits, and copying a matrix of 512 channels takes little time.

    Paper: Olkin & Pukelsheim 1982 for the distance; for style, VinceMarron's program and
           crowsonkb/style-transfer-pytorch. Differs: 1e-4 of the painting's mean variance is
           added to the diagonal of both covariances. The distance at the target is still 0.
    """

    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Return W² / C, the mean over a batch."""
        moments, target_moments = (values.to("cpu", torch.float64) for values in (measured, target))
        means = (moments[..., -1] - target_moments[..., -1]).square().sum(-1)
        target_covariance = covariance(target_moments)
        variance = target_covariance.diagonal(dim1=-2, dim2=-1).mean(-1)
        floor = torch.where(variance > 0, variance * _FLOOR, torch.full_like(variance, 1e-12))
        channels = target_covariance.shape[-1]
        ridge = floor[:, None, None] * torch.eye(channels, dtype=torch.float64)
        covariances = bures(covariance(moments) + ridge, target_covariance + ridge)
        distance: Tensor = (means + covariances).mean() / channels
        return distance.to(measured)


def bures(left: Tensor, right: Tensor) -> Tensor:
    """Return tr(Σ + S − 2 (S^½ Σ S^½)^½), (B,), for regular covariances Σ and S, (B, C, C).

    It is differentiable by Σ = left only.
    """
    values, vectors = torch.linalg.eigh(right.detach())
    root = vectors * values.clamp(min=0).sqrt()[:, None, :] @ vectors.transpose(-2, -1)
    middle = root @ left @ root
    inner = torch.linalg.eigvalsh((middle + middle.transpose(-2, -1)) / 2)
    # Rounding may set the smallest eigenvalue to 0, where the root's derivative is infinite.
    least = torch.finfo(inner.dtype).eps * inner.detach().amax(-1, keepdim=True)
    cross = inner.clamp(min=least).sqrt().sum(-1)
    trace = (left + right).diagonal(dim1=-2, dim2=-1).sum(-1)
    distance: Tensor = (trace - 2 * cross).clamp(min=0)
    return distance


@dataclass(frozen=True)
class Sliced(Statistic):
    """The whole distribution, compared along random lines: sorted projections, (B, K, n).

    Attributes:
        directions: number of lines, K; 0: as many as channels.
        seed: seed of the lines.

    Paper: Heitz et al., A Sliced Wasserstein Loss for Neural Texture Synthesis, CVPR 2021.
           Differs: the lines are the same in every step, because L-BFGS needs a fixed objective.
    """

    directions: int = 0
    seed: int = 0

    def measure(self, *maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """Project the features onto the lines and sort them.

        With a guide: as many quantiles as there are positions with a weight above 0.
        """
        flat, weights = weighted(positions(*maps), guide)
        return sorted_values(self.lines(flat.shape[1]).to(flat) @ flat, weights)

    def lines(self, channels: int) -> Tensor:
        """Return unit vectors, (K, C), with uniformly random directions."""
        generator = torch.Generator().manual_seed(self.seed)
        count = self.directions or channels
        drawn = torch.randn((count, channels), generator=generator, dtype=torch.float64)
        lines: Tensor = functional.normalize(drawn, dim=1)
        return lines

    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared difference of quantiles, over lines and measured positions."""
        return (measured - quantiles(target, measured.shape[-1])).square().mean()

    def blend(self, targets: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Return the weighted mean of the quantiles: the barycenter on every line."""
        count = max(target.shape[-1] for target in targets)
        return super().blend([quantiles(target, count) for target in targets], weights)


@dataclass(frozen=True)
class Histogram(Statistic):
    """Gram matrix and the histogram of each channel, (B, C, C + n): [G | sorted values].

    Histogram matching moves the n-th smallest value to the painting's n-th smallest value. The
    distance from a map to its matched map is therefore the distance between the sorted values:
    optimal transport along the axes.

    Paper: Risser, Wilmot & Barnes 2017, arXiv 1701.08893. Differs: ranks instead of 256 bins; each
           of the two differences is divided by the painting's own mean square; it is computed on
           every style layer.
    """

    def measure(self, *maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """Return the Gram matrix and the sorted values of every channel."""
        flat = positions(*maps)
        sums = sum_up(flat, flat, guide)
        values = sorted_values(*weighted(flat, guide))
        return torch.cat([sums.products / sums.count, values], -1)

    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Sum the relative squared differences of Gram matrices and of sorted values."""
        channels = target.shape[1]
        gram, target_gram = measured[..., :channels], target[..., :channels]
        values, target_values = measured[..., channels:], target[..., channels:]
        target_values = quantiles(target_values, values.shape[-1])
        return _relative(
            gram_distance(gram, target_gram), gram_distance(target_gram * 0, target_gram)
        ) + _relative((values - target_values).square().mean(), target_values.square().mean())

    def blend(self, targets: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Return the weighted means of Gram matrices and of quantiles."""
        channels = targets[0].shape[1]
        count = max(target.shape[-1] for target in targets) - channels
        resized = [
            torch.cat([target[..., :channels], quantiles(target[..., channels:], count)], -1)
            for target in targets
        ]
        return super().blend(resized, weights)


def sorted_values(values: Tensor, weights: Tensor | None) -> Tensor:
    """Sort (B, K, n) along its last axis; with weights, return n weighted quantiles instead.

    Args: weights: one for each of the n positions, (n,); None: all are equal.
    """
    ordered, order = values.sort(-1)
    if weights is None:
        return ordered
    number = values.shape[-1]
    cumulative = weights[order].cumsum(-1)  # (B, K, n)
    middles = (torch.arange(number, device=values.device) + 0.5) / number
    wanted = middles.to(values) * cumulative[..., -1:]
    index = torch.searchsorted(cumulative, wanted.contiguous(), right=True)
    return ordered.gather(-1, index.clamp(max=number - 1))


def quantiles(values: Tensor, count: int) -> Tensor:
    """Return `count` quantiles of sorted values, (…, n): those at (i + ½) / count."""
    number = values.shape[-1]
    if number == count:
        return values
    index = (2 * torch.arange(count, device=values.device) + 1) * number // (2 * count)
    return values[..., index]


def weighted(flat: Tensor, guide: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return the positions of (B, C, n) whose weight is above 0, and these weights.

    Returns: features, (B, C, n′), and the guide's squares, (n′,), or None without a guide.
    """
    if guide is None:
        return flat, None
    weights = guide.flatten().square()
    (kept,) = weights.nonzero(as_tuple=True)
    return flat[..., kept], weights[kept]


@dataclass(frozen=True)
class Nearest(Statistic):
    """The features themselves, (B, C + 1, n): the last row holds the weights of the positions.

    Each feature of the picture is compared with its match, which is its nearest neighbor among the
    features of the paintings. The match has the largest cosine after each side's mean is
    subtracted. The distance is the mean over positions of 1 − cosine between feature and match.
    It is computed as ½ |f̂ − m̂|², which is also 0 if both are 0. Patches are copied and not
    averaged, which gives the sharpest strokes.

    Attributes:
        neighbors: the largest number of positions of the paintings that are kept. They are drawn
            at random.

    Paper: Kolkin et al., Neural Neighbor Style Transfer, arXiv 2203.13215. Differs: matches are
           found for each layer separately, at every step and for all positions of the picture,
           instead of on stacked layers.
    """

    neighbors: int = 4096

    def measure(self, *maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """Return the features of all positions with a weight above 0, and the weights."""
        flat, weights = weighted(positions(*maps), guide)
        row = flat.new_ones(flat.shape[-1]) if weights is None else weights
        return torch.cat([flat, row.expand(flat.shape[0], 1, -1)], 1)

    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Return the mean of 1 − cosine to the nearest neighbor."""
        features, candidates = measured[:, :-1], target[:, :-1]
        with torch.no_grad():
            index = nearest_neighbors(measured, target)[:, None, :]  # (B, 1, n)
        matches = candidates.expand(features.shape[0], -1, -1).gather(
            2, index.expand(-1, candidates.shape[1], -1)
        )
        distances = (_unit(features) - _unit(matches)).square().sum(1) / 2  # (B, n)
        return _weighted_mean(distances, measured[:, -1]).mean()

    def blend(self, targets: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Return positions of all paintings, from each a number in proportion to its weight."""
        kept = []
        for target, weight in zip(targets, weights, strict=True):
            count = min(target.shape[-1], round(self.neighbors * weight))
            if weight > 0:
                kept.append(_some_positions(target, max(count, 1)))
        return torch.cat(kept, -1)

    def empty_distance(self, target: Tensor) -> float:
        """Return ½, the distance of all-zero features."""
        return 0.5


def _some_positions(features: Tensor, count: int) -> Tensor:
    """Return `count` positions of (1, C, n), drawn at random with a fixed seed, in their order.

    A regular stride that divides the map's width would keep only a few columns of the map.
    """
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(features.shape[-1], generator=generator)[:count].sort().values
    return features[..., order.to(features.device)]


def nearest_neighbors(queries: Tensor, keys: Tensor) -> Tensor:
    """Find the key with the largest cosine to each query, after subtraction of the means.

    Args:    queries: (B, C + 1, n); keys: (B or 1, C + 1, m); the last row holds the weights.
    Returns: indices of keys, (B, n).
    """
    left, right = (
        _unit(points[:, :-1] - _weighted_mean(points[:, :-1], points[:, -1:])[..., None])
        for points in (queries, keys)
    )
    step = max(1, _CHUNK // keys.shape[-1])
    found = [
        (left[..., start : start + step].transpose(1, 2) @ right).argmax(-1)
        for start in range(0, left.shape[-1], step)
    ]
    return torch.cat(found, -1)


def _unit(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors, dim=1, eps=1e-6)


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean over the last axis."""
    return (values * weights).sum(-1) / weights.sum(-1)
