"""The features of a spectrogram: one convolution with random filters.

Frequencies are channels and the convolution runs over time only. So a filter sees a short piece
of sound, a few frames long, at all frequencies. The Gram matrix of the filters does not depend
on the order of the pieces.

F[n, t] = max(0, Σ_{k, f} W[n, k, f] · S[f, t + k]),   W normal, variance 1 / filters

Paper: Ulyanov & Lebedev, "Audio texture synthesis and style transfer", 2016.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = ["ClosedForm", "Filters", "RandomFilters", "choose_filters"]

_TINY = 1e-12  # avoids 0/0 for silent pieces


class Filters(Protocol):
    """Features of sounds that are compared without computing their Gram matrices.

    A Gram matrix G = F Fᵀ / T has filters² entries, but the losses need only inner products, and
    those follow from the pieces: ⟨G, G'⟩ = mean over t, t' of (F_t · F'_t')².
    """

    def measure(self, frames: Tensor) -> Any:
        """Measure a log-magnitude spectrogram, (C, bins, T); every channel adds its pieces."""

    def overlap(self, one: Any, other: Any) -> Tensor:
        """Return ⟨G, G'⟩ of two measured sounds."""

    def products(self, one: Any, other: Any) -> Tensor:
        """Return F_t · F'_t for each piece t of two measured sounds of the same length."""


class RandomFilters:
    """Random filters, drawn from a seed.

    Args:
        bins: frequencies of the spectrogram.
        filters: the number of filters.
        taps: the number of frames that each filter sees.
    """

    def __init__(self, bins: int, *, filters: int, taps: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.taps = taps
        self.weights = torch.randn((filters, taps * bins), generator=generator)
        self.weights /= math.sqrt(filters)

    def measure(self, frames: Tensor) -> Tensor:
        """Return the features F, (filters, pieces of all channels)."""
        pieces = frames.unfold(2, self.taps, 1)  # (C, bins, pieces, taps)
        columns = pieces.permute(3, 1, 0, 2).flatten(2).flatten(0, 1)  # (taps·bins, C·pieces)
        return (self.weights @ columns).relu()

    def overlap(self, one: Tensor, other: Tensor) -> Tensor:
        """Return ⟨G, G'⟩, by the smaller of the Gram matrices and the T x T' inner products."""
        filters = len(self.weights)
        if min(one.shape[1], other.shape[1]) <= filters:
            return (one.T @ other).square().mean()
        grams = [features @ features.T / features.shape[1] for features in (one, other)]
        return (grams[0] * grams[1]).sum()

    def products(self, one: Tensor, other: Tensor) -> Tensor:
        """Return F_t · F'_t, (pieces of all channels)."""
        return (one * other).sum(dim=0)


@dataclass(frozen=True, eq=False)
class Pieces:
    """A spectrogram, (C, bins, T), and the norms of its pieces as vectors, (C·pieces)."""

    frames: Tensor
    norms: Tensor


class ClosedForm:
    """Infinitely many filters: the limit of F_t · F'_t for a growing number of filters.

    k(u, v) = ½ |u| |v| J(cos θ),  J(c) = (sin θ + (π − θ) cos θ) / π,  θ the angle of two pieces.

    It costs T² bins instead of T bins · taps · filters, and nothing in the result is random.
    Paper: Cho & Saul, "Kernel methods for deep learning", NIPS 2009 (the kernel of order 1).
    """

    def __init__(self, taps: int) -> None:
        self.taps = taps

    def measure(self, frames: Tensor) -> Pieces:
        """Return the pieces with their norms."""
        squares = self._along(frames.square().sum(dim=1)).flatten()
        return Pieces(frames, (squares + _TINY).sqrt())

    def overlap(self, one: Pieces, other: Pieces) -> Tensor:
        """Return the mean of k² over all pairs of pieces."""
        rows = [
            torch.cat([self._diagonals(a.T @ b) for b in other.frames], dim=1) for a in one.frames
        ]
        inner = torch.cat(rows)  # (C·pieces, C'·pieces')
        return _kernel(inner, one.norms[:, None] * other.norms).square().mean()

    def products(self, one: Pieces, other: Pieces) -> Tensor:
        """Return k(u_t, v_t)."""
        inner = self._along((one.frames * other.frames).sum(dim=1)).flatten()
        return _kernel(inner, one.norms * other.norms)

    def _along(self, values: Tensor) -> Tensor:
        """Add up values of frames, (C, T), over the frames of each piece."""
        return values.unfold(1, self.taps, 1).sum(dim=2)

    def _diagonals(self, products: Tensor) -> Tensor:
        """Add up products of frames, (T, T'), to products of pieces, along the diagonals."""
        rows, columns = (side - self.taps + 1 for side in products.shape)
        total = products[:rows, :columns]
        for tap in range(1, self.taps):
            total = total + products[tap : tap + rows, tap : tap + columns]
        return total


def _kernel(inner: Tensor, norms: Tensor) -> Tensor:
    kernel: Tensor = _AngleKernel.apply(inner / norms)  # type: ignore[no-untyped-call]
    return 0.5 * norms * kernel


class _AngleKernel(torch.autograd.Function):
    """J(c) of Cho & Saul; its slope 1 − θ/π stays finite, unlike that of θ = arccos c."""

    @staticmethod
    def forward(context: Any, cosine: Tensor) -> Tensor:
        cosine = cosine.clamp(-1, 1)
        angle = cosine.acos()
        context.save_for_backward(angle)
        return (angle.sin() + (math.pi - angle) * cosine) / math.pi

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        slope: Tensor = 1 - context.saved_tensors[0] / math.pi
        return gradients[0] * slope


def choose_filters(bins: int, *, filters: int, taps: int, seed: int) -> Filters:
    """Return this number of random filters, or the closed form for 0 filters."""
    if filters == 0:
        return ClosedForm(taps)
    return RandomFilters(bins, filters=filters, taps=taps, seed=seed)
