"""Correlations of features: the Gram matrix, with shifted features, and between two layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from impasto.kernels.products import mix
from impasto.style.statistic import Summed, Sums, gram_distance, positions, sum_up

__all__ = ["Chained", "Gram", "Shifted", "gram_matrix"]


def gram_matrix(features: Tensor) -> Tensor:
    """Correlate every pair of channels over all positions. This is the style of Gatys et al.

    G[b, i, j] = Σ_p F[b, i, p] · F[b, j, p] / (h·w)

    Args:    features: activations of one layer, (B, C, h, w), any float dtype.
    Returns: (B, C, C), symmetric, positive semi-definite.
    Raises:  ShapeError: features is not 4-D.
    Paper:   Gatys, Ecker & Bethge, CVPR 2016. Differs: divided by h·w, so that a style has the
             same weight at every size.
    """
    flat = positions(features)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


@dataclass(frozen=True)
class Gram(Summed):
    """The Gram matrix, (B, C, C): see `gram_matrix` and `gram_distance`."""

    def accumulate(self, *maps: Tensor, guide: Tensor | None = None) -> Sums:
        """Sum F Fᵀ over positions."""
        flat = positions(*maps)
        return sum_up(flat, flat, guide)

    def finish(self, sums: Sums) -> Tensor:
        """Divide by the number of positions."""
        return sums.products / sums.count

    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared difference; see `gram_distance`."""
        return gram_distance(measured, target)


@dataclass(frozen=True)
class Shifted(Gram):
    """The Gram matrix of shifted activations, G = (F + s)(F + s)ᵀ / (h·w), (B, C, C).

    After a ReLU most features are 0, so most entries of F Fᵀ carry no information. With a shift,
    two features that are both absent count as correlated.

    Attributes:
        activation_shift: s; −1 in the paper, for a network whose mean activations are 1.

    Paper: Novak & Nikulin, arXiv 1605.04603. Differs: divided by h·w, as our `gram_matrix`.
    """

    activation_shift: float = -1.0

    def accumulate(self, *maps: Tensor, guide: Tensor | None = None) -> Sums:
        """Sum (F + s)(F + s)ᵀ over positions."""
        return super().accumulate(maps[0] + self.activation_shift, guide=guide)

    def gradient(
        self, sums_gradient: Sums, *maps: Tensor, guide: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return the gradient of `Gram` with F + s instead of F."""
        return super().gradient(sums_gradient, maps[0] + self.activation_shift, guide=guide)


@dataclass(frozen=True)
class Chained(Summed):
    """Correlations between a layer and the layer before it, (B, C, C′), not within a layer.

    G = (F^l + s)(F^(l−1) + s)ᵀ / n over the n positions of the finer grid. The coarser map is
    enlarged to this grid: each of its values is repeated over the positions that were pooled into
    it.

    Attributes:
        activation_shift: s, as for `Shifted`.
        correlation_blur: standard deviation of a Gaussian blur of the shallower map, in positions
            of the finer grid; 0: no blur. It compensates for the smaller receptive fields of the
            shallower map. With a blur, parts of a picture need a margin.

    Paper: Novak & Nikulin, arXiv 1605.04603. Differs: they blur l − k times between layers l and
           k; this class blurs once.
    """

    span: ClassVar[int] = 2
    activation_shift: float = -1.0
    correlation_blur: float = 0.0

    @property
    def reach(self) -> int:
        """The radius of the blur."""
        return blur_radius(self.correlation_blur)

    def accumulate(self, *maps: Tensor, guide: Tensor | None = None) -> Sums:
        """Sum (F^l + s)(F^(l−1) + s)ᵀ over the finer grid."""
        deep, shallow = self._on_one_grid(*maps)
        guide = None if guide is None else enlarged(guide, deep.shape[-2:])
        shallow = blurred(shallow, self.correlation_blur)
        return sum_up(positions(deep), positions(shallow), guide)

    def finish(self, sums: Sums) -> Tensor:
        """Divide by the number of positions."""
        return sums.products / sums.count

    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared difference; see `gram_distance`."""
        return gram_distance(measured, target)

    def gradient(
        self, sums_gradient: Sums, *maps: Tensor, guide: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return the gradients by both layers, each on its layer's grid.

        On the finer grid they are D (F^(l−1) + s) and Dᵀ (F^l + s), with D the derivative by the
        products.
        """
        deep, shallow = self._on_one_grid(*maps)
        blurred_shallow = blurred(shallow, self.correlation_blur).flatten(2)
        products = sums_gradient.products
        none = products.new_zeros(())
        by_deep = mix(products, blurred_shallow, none.expand(products.shape[:2])).view_as(deep)
        by_shallow = mix(
            products.transpose(1, 2),
            deep.flatten(2),
            none.expand(products.shape[0], shallow.shape[1]),
        ).view_as(shallow)
        if guide is not None:
            weights = enlarged(guide, deep.shape[-2:]).square()
            by_deep, by_shallow = by_deep * weights, by_shallow * weights
        # With zeros beyond the border, a symmetric blur is its own transpose.
        by_shallow = blurred(by_shallow, self.correlation_blur)
        return _summed_to_grid(by_deep, maps[0]), _summed_to_grid(by_shallow, maps[1])

    def _on_one_grid(self, deep: Tensor, shallow: Tensor) -> tuple[Tensor, Tensor]:
        size = max(deep.shape[-2:], shallow.shape[-2:])
        shift = self.activation_shift
        return enlarged(deep, size) + shift, enlarged(shallow, size) + shift


def enlarged(features: Tensor, size: Sequence[int]) -> Tensor:
    """Enlarge a map to a finer grid, (h, w), by repeating its values.

    Each value is repeated over the positions of the finer grid that were pooled into it.
    """
    if tuple(features.shape[-2:]) == tuple(size):
        return features
    rows, columns = _sources(features, size)
    return features[..., rows, :][..., columns]


def _summed_to_grid(gradient: Tensor, features: Tensor) -> Tensor:
    """Sum a gradient on a finer grid to the grid of the features: the transpose of `enlarged`."""
    if gradient.shape[-2:] == features.shape[-2:]:
        return gradient
    rows, columns = _sources(features, gradient.shape[-2:])
    height, width = features.shape[-2:]
    across = gradient.new_zeros((*gradient.shape[:-1], width)).index_add(-1, columns, gradient)
    return gradient.new_zeros((*gradient.shape[:-2], height, width)).index_add(-2, rows, across)


def _sources(features: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return, for each row and each column of a finer grid, its index in the coarse map.

    Pooling halves a map and rounds down, so the factor is a power of 2. The last odd row or column
    of the finer grid was not pooled; it takes its neighbor's index.
    """
    indices = []
    for coarse, fine in zip(features.shape[-2:], size, strict=True):
        factor = 1 << ((fine // coarse).bit_length() - 1)
        index = torch.arange(fine, device=features.device) // factor
        indices.append(index.clamp(max=coarse - 1))
    return indices[0], indices[1]


def blur_radius(sigma: float) -> int:
    """Return the radius of the kernel of `blurred`, in positions."""
    return 0 if sigma == 0 else max(1, math.ceil(3 * sigma))


def blurred(features: Tensor, sigma: float) -> Tensor:
    """Blur each channel by a Gaussian with standard deviation sigma, with zeros as padding."""
    if sigma == 0:
        return features
    radius = blur_radius(sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=features.dtype, device=features.device)
    kernel = torch.exp(-0.5 * (offsets / sigma).square())
    channels = features.shape[1]
    # One group per channel. With channels as a batch of one-channel maps, torch would unfold
    # (im2col) all of them.
    kernel = (kernel / kernel.sum()).expand(channels, 1, 1, -1)
    across = functional.conv2d(features, kernel, padding=(0, radius), groups=channels)
    return functional.conv2d(across, kernel.transpose(2, 3), padding=(radius, 0), groups=channels)
