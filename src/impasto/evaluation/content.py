"""Measures of content: how much of the photo is left in a result.

Each measure is a function of the result and the photo at the same size, as pixels or as features.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from impasto.network.encoder import Features
from impasto.pictures.colors import luminance
from impasto.pictures.picture import Image
from impasto.style.correlations import blurred

__all__ = ["edge_structure", "feature_distance", "psnr"]

_EDGE_BLUR = 0.01  # of the long side: strokes may move an edge by about so much
# Sobel's filter for the horizontal derivative, with the scale of scikit-image.
_SOBEL = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]], dtype=torch.float64)


def feature_distance(features: Features, target: Features) -> float:
    """Return the squared distance of features, relative to the photo's own: Σ (F − P)² / Σ P².

    Range:     [0, ∞): 0 for equal features, 1 for features that are all zero.
    Direction: smaller is better.
    Paper:     the content loss of Gatys, Ecker & Bethge, CVPR 2016. Differs: it is relative; and
               `evaluate` takes it from a network that did not paint the picture.

    Args: features, target: of the result and of the photo; the mean over all layers is returned.
    """
    shares = [
        (features[name] - aim).square().sum() / aim.square().sum() for name, aim in target.items()
    ]
    return float(torch.stack(shares).mean())


def edge_structure(image: Image, photo: Image) -> float:
    """Return how well the edges of a result coincide with those of the photo.

    It is the correlation between the strengths of the edges, which are gradients of the luminance
    by Sobel's filters, blurred by 1 % of the long side.

    Range:     [−1, 1]: 1 if all edges are where the photo has them; about 0 for unrelated pictures.
               Brightness and contrast of the luminance do not matter. A picture without any edge
               has 1 with another such picture, and 0 with every other picture.
    Direction: larger is better.
    Paper:     Sobel & Feldman 1968 for the filters. The correlation takes the place of a comparison
               of binary edges, because it needs no threshold.
    """
    own, other = (_edges(each).flatten() for each in (image, photo))
    own, other = own - own.mean(), other - other.mean()
    scale = float(own.norm() * other.norm())
    if scale > 0:
        return float(own @ other) / scale
    return float(own.norm() == other.norm())


def _edges(image: Image) -> Tensor:
    """Return the blurred strengths of the edges, (1, 1, H, W), float64."""
    luma = functional.pad(luminance(image.double()), (1, 1, 1, 1), mode="replicate")
    kernels = torch.stack([_SOBEL, _SOBEL.T])[:, None].to(luma.device) / 4
    strength = (functional.conv2d(luma, kernels).square().sum(1, keepdim=True) / 2).sqrt()
    strength = torch.where(strength < 1e-9, 0.0, strength)  # rounding errors of a flat area
    return blurred(strength, _EDGE_BLUR * max(image.shape[-2:]))


def psnr(image: Tensor, photo: Tensor) -> float:
    """Return the peak signal-to-noise ratio, −10 log₁₀ of the mean squared difference, in dB.

    In the identity test, a photo is painted in its own style. A good program returns the photo.

    Range:     (−∞, ∞]: ∞ for equal pictures; 20 dB for an error of a tenth of the range.
    Direction: larger is better.
    Paper:     the identity test is that of Galerne et al. 2023 (SPST, arXiv 2212.13459).

    Args: image, photo: of the same shape, in [0, 1].
    """
    return float(-10 * torch.log10((image - photo).square().mean()))
