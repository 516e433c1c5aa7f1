"""Measures of style: how close a result is to the paintings.

The measures are functions of the features of the result and of the paintings, layer → (1, C, h, w),
and return the mean over all layers. Positions of several paintings are side by side in one map. No
measure depends on the order of the positions, so a map may have any shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.network.encoder import Features
from impasto.pictures.picture import Image
from impasto.style.correlations import Gram
from impasto.style.distributions import Nearest, Sliced, Wasserstein, bures, nearest_neighbors
from impasto.style.statistic import Statistic, positions

__all__ = [
    "color_distance",
    "frechet_distance",
    "gaussian_distance",
    "nearest_distance",
    "patch_diversity",
    "relative_gram_distance",
    "sliced_distance",
]


def relative_gram_distance(features: Features, target: Features) -> float:
    """Return the squared distance of Gram matrices, relative to the painting's: |G − A|² / |A|².

    Range:     [0, ∞): 0 for equal Gram matrices, 1 for a picture without features.
    Direction: smaller is better.
    Paper:     the style loss of Gatys, Ecker & Bethge, CVPR 2016. Differs: it is relative.
    """
    return _relative(Gram(), features, target)


def gaussian_distance(features: Features, target: Features) -> float:
    """Return the Wasserstein distance of normal distributions, relative to the painting's size.

    W² = |μ − m|² + tr(Σ + S − 2 (S^½ Σ S^½)^½), divided by |m|² + tr S. The trace is the Bures
    distance of the covariances.

    Range:     [0, ∞): 0 for equal means and covariances, 1 for a picture without features.
    Direction: smaller is better.
    Paper:     Olkin & Pukelsheim 1982. As in `impasto.style.distributions.Wasserstein`, 1e-4 of the
               painting's mean variance is added to all variances.
    """
    return _relative(Wasserstein(), features, target)


def sliced_distance(features: Features, target: Features) -> float:
    """Return the sliced Wasserstein distance: the squared distance of sorted projections.

    The features are projected onto as many fixed random lines as there are channels. The distance
    is divided by the mean square of the painting's projections.

    Range:     [0, ∞): 0 for equal distributions, 1 for a picture without features.
    Direction: smaller is better.
    Paper:     Heitz et al., CVPR 2021 (arXiv 2006.07229). Differs: it is relative.
    """
    return _relative(Sliced(), features, target)


def _relative(statistic: Statistic, features: Features, target: Features) -> float:
    """Return a statistic's distance, divided by that of features which are all zero."""
    shares = []
    for name, aim in target.items():
        measured = statistic.measure(aim)
        distance = statistic.distance(statistic.measure(features[name]), measured)
        shares.append(float(distance) / statistic.empty_distance(measured))
    return sum(shares) / len(shares)


def nearest_distance(features: Features, target: Features) -> float:
    """Return how far each patch is from the most similar patch of the paintings: mean 1 − cosine.

    A patch is the receptive field of a position.

    Range:     [0, 2], for features after a ReLU [0, 1]: 0 if every patch occurs in a painting.
    Direction: smaller is better. A copy of one patch, again and again, has 0, too: see
               `patch_diversity`.
    Paper:     Kolkin et al., Neural Neighbor Style Transfer, arXiv 2203.13215; as a measure, Wang
               et al. 2021 (doi 10.1016/j.cviu.2021.103203), local patterns.
    """
    statistic = Nearest()
    distances = [
        float(statistic.distance(statistic.measure(features[name]), statistic.measure(aim)))
        for name, aim in target.items()
    ]
    return sum(distances) / len(distances)


def frechet_distance(features: Features, target: Features) -> float:
    """Return the Fréchet distance of a single result and its painting, from their positions.

    FD = |μ − m|² + tr(Σ + S − 2 (Σ S)^½), divided by |m|² + tr S. It is computed as FID is, in
    float64 and with nothing added to the covariances, but the samples are the positions of a
    middle layer.

    Range:     [0, ∞): 0 for equal means and covariances, 1 for a picture without features.
    Direction: smaller is better.
    Paper:     Shaham, Dekel & Michaeli, SinGAN, ICCV 2019 (SIFID). Differs: VGG instead of
               Inception, and relative; so the values are no SIFID.
    """
    shares = []
    for name, aim in target.items():
        (mean, covariance), (own_mean, own_covariance) = map(_moments, (aim, features[name]))
        distance = (own_mean - mean).square().sum() + bures(own_covariance, covariance)[0]
        shares.append(float(distance / (mean.square().sum() + covariance[0].trace())))
    return sum(shares) / len(shares)


def _moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean, (C,), and covariance, (1, C, C), over positions, float64 on the CPU."""
    flat = positions(maps)[0].to("cpu", torch.float64)
    return flat.mean(1), torch.cov(flat, correction=0)[None]


def patch_diversity(features: Features, target: Features) -> float:
    """Return how many different patches of the paintings a result uses, as a share.

    Each position of the result is matched with its nearest neighbor in the paintings. The effective
    number of matches is exp(entropy of their frequencies). It is divided by the effective number
    that the paintings' own positions have, as many as the result's.

    Range:     (0, ∞), normally (0, 1]: 1 for the painting itself; near 0 if one patch is repeated
               everywhere.
    Direction: larger is better. It says nothing about likeness: see `nearest_distance`.
    Paper:     the idea is from Wang et al. 2021 (doi 10.1016/j.cviu.2021.103203), pattern
               diversity. Differs: an effective number instead of a count, and relative to the
               painting.
    """
    shares = []
    for name, aim in target.items():
        own, keys = (Nearest().measure(each) for each in (features[name], aim))
        some = Nearest(neighbors=min(own.shape[-1], keys.shape[-1]))
        used, most = (
            _effective_number(nearest_neighbors(some.blend([each], [1.0]), keys))
            for each in (own, keys)
        )
        shares.append(used / most)
    return sum(shares) / len(shares)


def _effective_number(indices: Tensor) -> float:
    """Return exp(entropy) of the frequencies of indices: n if n indices are equally frequent."""
    counts = torch.bincount(indices.flatten()).double()
    shares = counts[counts > 0] / counts.sum()
    return float((-(shares * shares.log()).sum()).exp())


def color_distance(image: Image, painting: Image) -> float:
    """Return the distance of the color histograms: of each channel's n-th darkest values.

    It is the mean over n and the three channels of the absolute difference. So it is the
    Wasserstein distance of the channels' histograms.

    Range:     [0, 1]: 0 for equal histograms of red, green and blue, 1 between black and white.
    Direction: smaller is better.
    Paper:     Rubner, Tomasi & Guibas, The Earth Mover's Distance, IJCV 2000, for one channel.

    Args: image, painting: (1, 3, H, W) of any sizes, in [0, 1].
    """
    ranks = torch.linspace(0, 1, 1001, device=image.device)
    own, other = (torch.quantile(each[0].flatten(1), ranks, dim=1) for each in (image, painting))
    return float((own - other).abs().mean())
