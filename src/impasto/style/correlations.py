"""Which features occur together: the Gram matrix, shifted, and chained from layer to layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from impasto.style.statistic import Summed, Sums, gram_distance, positions, sum_up

__all__ = ["Chained", "Gram", "Shifted", "gram_matrix"]


def gram_matrix(features: Tensor) -> Tensor:
    """Correlate every pair of channels, forgetting where: what Gatys et al. call style.

    G[b, i, j] = Σ_p F[b, i, p] · F[b, j, p] / (h·w)

    Args:    features: activations of one layer, (B, C, h, w), any float dtype.
    Returns: (B, C, C), symmetric, positive semi-definite.
    Raises:  ShapeError: features is not 4-D.
    Paper:   Gatys, Ecker & Bethge, CVPR 2016. Differs: divided by h·w, so that a style weighs the
             same at every size.
    """
    flat = positions(features)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


@dataclass(frozen=True)
class Gram(Summed):
    """The Gram matrix, (B, C, C): see `gram_matrix` and `gram_distance`."""

    def accumulate(self, *maps: Tensor, guide: Tensor | None = None) -> Sums:
        """Sum up F Fᵀ."""
        flat = positions(*maps)
        return sum_up(flat, flat, guide)

    def finish(self, sums: Sums) -> Tensor:
        """Divide by the number of positions."""
        return sums.products / sums.count

    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared difference, see `gram_distance`."""
        return gram_distance(measured, target)


@dataclass(frozen=True)
class Shifted(Gram):
    """The Gram matrix of shifted activations, G = (F + s)(F + s)ᵀ / (h·w), (B, C, C).

    After a ReLU most features are 0, so that most entries of F Fᵀ say nothing. A shift lets two
    features that are both absent count as occurring together.

    Attributes:
        activation_shift: s; −1 in the paper, for a network whose mean activations are 1.

    Paper: Novak & Nikulin, arXiv 1605.04603. Differs: divided by h·w, as our `gram_matrix`.
    """

    activation_shift: float = -1.0

    def accumulate(self, *maps: Tensor, guide: Tensor | None = None) -> Sums:
        """Sum up (F + s)(F + s)ᵀ."""
        return super().accumulate(maps[0] + self.activation_shift, guide=guide)

    def gradient(
        self, pull: Sums, *maps: Tensor, guide: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """As without a shift, with F + s for F."""
        return super().gradient(pull, maps[0] + self.activation_shift, guide=guide)


@dataclass(frozen=True)
class Chained(Summed):
    """Correlations between a layer and the one before, instead of within a layer, (B, C, C′).

    G = (F^l + s)(F^(l−1) + s)ᵀ / n over the n positions of the finer grid, to which the coarser
    map is brought up.

    Attributes:
        activation_shift: s, as for `Shifted`.
        correlation_blur: standard deviation, in positions of the finer grid, of a Gaussian over
            the shallower map, which sees less of the picture than the deeper one; 0: none. With a
            blur, parts of a picture need a margin.

    Paper: Novak & Nikulin, arXiv 1605.04603, who blur l − k times between layers l and k: once
           here. The coarser map's value is repeated over the positions that were pooled into it.
    """

    span: ClassVar[int] = 2
    activation_shift: float = -1.0
    correlation_blur: float = 0.0

    @property
    def reach(self) -> int:
        """As far as the blur goes."""
        return blur_reach(self.correlation_blur)

    def accumulate(self, *maps: Tensor, guide: Tensor | None = None) -> Sums:
        """Sum up (F^l + s)(F^(l−1) + s)ᵀ on the finer grid."""
        deep, shallow = self._on_one_grid(*maps)
        guide = None if guide is None else enlarged(guide, deep.shape[-2:])
        near = blurred(shallow, self.correlation_blur)
        return sum_up(positions(deep), positions(near), guide)

    def finish(self, sums: Sums) -> Tensor:
        """Divide by the number of positions."""
        return sums.products / sums.count

    def distance(self, measured: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared difference, see `gram_distance`."""
        return gram_distance(measured, target)

    def gradient(
        self, pull: Sums, *maps: Tensor, guide: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Differentiate by both layers: D (F^(l−1) + s) and Dᵀ (F^l + s), on their own grids."""
        deep, shallow = self._on_one_grid(*maps)
        near = blurred(shallow, self.correlation_blur).flatten(2)
        on_deep = (pull.products @ near).view_as(deep)
        on_shallow = (pull.products.transpose(1, 2) @ deep.flatten(2)).view_as(shallow)
        if guide is not None:
            counts = enlarged(guide, deep.shape[-2:]).square()
            on_deep, on_shallow = on_deep * counts, on_shallow * counts
        # With zeros beyond the border, a symmetric blur is its own transpose.
        on_shallow = blurred(on_shallow, self.correlation_blur)
        return _gathered(on_deep, maps[0]), _gathered(on_shallow, maps[1])

    def _on_one_grid(self, deep: Tensor, shallow: Tensor) -> tuple[Tensor, Tensor]:
        size = max(deep.shape[-2:], shallow.shape[-2:])
        shift = self.activation_shift
        return enlarged(deep, size) + shift, enlarged(shallow, size) + shift


def enlarged(features: Tensor, size: Sequence[int]) -> Tensor:
    """Repeat each value over the positions of a finer grid, (h, w), that were pooled into it."""
    if tuple(features.shape[-2:]) == tuple(size):
        return features
    rows, columns = _sources(features, size)
    return features[..., rows, :][..., columns]


def _gathered(slope: Tensor, features: Tensor) -> Tensor:
    """Sum over the positions of a finer grid what belongs to each of a coarser one's."""
    if slope.shape[-2:] == features.shape[-2:]:
        return slope
    rows, columns = _sources(features, slope.shape[-2:])
    height, width = features.shape[-2:]
    across = slope.new_zeros((*slope.shape[:-1], width)).index_add(-1, columns, slope)
    return slope.new_zeros((*slope.shape[:-2], height, width)).index_add(-2, rows, across)


def _sources(features: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Tell which row and column of a coarse map each of a finer grid's comes from.

    Pooling halves and rounds down, so the factor is a power of 2 and the last odd row or column
    of the fine grid, which no pooling saw, takes its neighbor's.
    """
    indices = []
    for coarse, fine in zip(features.shape[-2:], size, strict=True):
        factor = 1 << ((fine // coarse).bit_length() - 1)
        index = torch.arange(fine, device=features.device) // factor
        indices.append(index.clamp(max=coarse - 1))
    return indices[0], indices[1]


def blur_reach(sigma: float) -> int:
    """Return how many positions `blurred` looks at on either side."""
    return 0 if sigma == 0 else max(1, math.ceil(3 * sigma))


def blurred(features: Tensor, sigma: float) -> Tensor:
    """Blur each channel by a Gaussian of this standard deviation; beyond the border is 0."""
    if sigma == 0:
        return features
    reach = blur_reach(sigma)
    offsets = torch.arange(-reach, reach + 1, dtype=features.dtype, device=features.device)
    kernel = torch.exp(-0.5 * (offsets / sigma).square())
    channels = features.shape[1]
    # Filters of their own for each channel: as a batch of one channel, torch unfolds them all.
    kernel = (kernel / kernel.sum()).expand(channels, 1, 1, -1)
    across = functional.conv2d(features, kernel, padding=(0, reach), groups=channels)
    return functional.conv2d(across, kernel.transpose(2, 3), padding=(reach, 0), groups=channels)
