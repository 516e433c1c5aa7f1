"""L-BFGS over pixels, with bounds and a preconditioner that favors coarse structure."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from impasto.kernels.products import dot, total
from impasto.kernels.threads import kernels_only
from impasto.optimize.method import SHRINK

__all__ = ["LBFGS", "favor_coarse", "seconds_per_pair"]

# L-BFGS does not know the scale of the Hessian before its second evaluation. The first step
# therefore changes the average pixel by at most this much of the range [0, 1].
_FIRST_STEP = 0.1

# The gain of each coarser band in `favor_coarse`, and the number of bands. docs/performance.md
# has the measurements.
_COARSE_GAIN = 1.6
_BANDS = 5
# The last pair determines the scale of the first guess. Directions of high curvature, in which
# steps are short, dominate it. This factor lengthens the step in all other directions
# (docs/performance.md).
_STRETCH = 1.75

# `seconds_per_pair` repeats each measurement this often.
_REPEATS = 5


class LBFGS:
    """Limited-memory BFGS without a line search, projected onto the box [0, 1].

    A pixel is fixed for one step if it is at a bound and the descent direction points out of the
    box. Fixed pixels take no part in the direction or in the estimate of curvature. Otherwise much
    of the decrease would come from outside the gamut and be lost when the picture is saved.

    Copies of a large picture need much memory, so sums are made in place.

    Args:
        history: the number of pairs (change of the point, change of the gradient) that are kept.
        clamp: whether the pixels stay in the box; otherwise, no pixel is fixed or clamped.
        half: keep the pairs in bfloat16, which has the range of float32 and three digits.

    Paper: Nocedal 1980.
    """

    def __init__(self, history: int, clamp: bool, half: bool = False) -> None:
        self.clamp = clamp
        self.half = half
        self.scale = 1.0
        self.pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=history)
        self.last: tuple[Tensor, Tensor] | None = None

    def shrink(self) -> None:
        """Divide the next step by 4, and forget all pairs."""
        self.scale *= SHRINK
        self.pairs.clear()
        self.last = None

    def step(self, point: Tensor, gradient: Tensor, loss: float) -> Tensor:
        """Return the next point: a quasi-Newton step, clamped to the box."""
        with kernels_only():
            return self._step(point, gradient, loss)

    def _step(self, point: Tensor, gradient: Tensor, loss: float) -> Tensor:
        fixed = self._fixed(point, gradient)
        self._add_pair(point, gradient, fixed)
        reduced = gradient.masked_fill(fixed, 0)
        direction = self._precondition(reduced).masked_fill_(fixed, 0).neg_()
        if not self.pairs or dot(direction, reduced) >= 0:
            self.pairs.clear()
            direction = reduced.mul_(-_first_step(loss, reduced))
        self.scale = min(1.0, self.scale * 1.5)  # after an explosion, steps grow back to full size
        next_point = direction.mul_(self.scale).add_(point)
        return next_point.clamp_(0, 1) if self.clamp else next_point

    def _fixed(self, point: Tensor, gradient: Tensor) -> Tensor:
        if not self.clamp:
            return torch.zeros((), dtype=torch.bool, device=point.device)
        return ((point <= 0) & (gradient > 0)) | ((point >= 1) & (gradient < 0))

    def _add_pair(self, point: Tensor, gradient: Tensor, fixed: Tensor) -> None:
        """Keep the changes since the last step, unless their curvature is not positive."""
        if self.last is not None:
            move = self._stored(point - self.last[0])
            change = self._stored((gradient - self.last[1]).masked_fill_(fixed, 0))
            curvature = dot(move, change)
            # A pair whose curvature is not positive would make the estimate indefinite.
            if curvature > 1e-10 * dot(change, change):
                self.pairs.append((move, change, curvature))
        self.last = (point, gradient)

    def _stored(self, values: Tensor) -> Tensor:
        return values.to(torch.bfloat16) if self.half else values

    def _precondition(self, gradient: Tensor) -> Tensor:
        """Multiply by the estimate of the inverse Hessian: the two-loop recursion."""
        result = gradient.clone()
        if not self.pairs:
            return result
        weights = []
        for move, change, curvature in reversed(self.pairs):
            weight = dot(move, result) / curvature
            result.add_(change, alpha=-weight)
            weights.append(weight)
        _, change, curvature = self.pairs[-1]
        change = change.to(result.dtype)
        scale = _STRETCH * curvature / dot(change, favor_coarse(change))
        result = favor_coarse(result).mul_(scale)
        for (move, change, curvature), weight in zip(self.pairs, reversed(weights), strict=True):
            result.add_(move, alpha=weight - dot(change, result) / curvature)
        return result


def seconds_per_pair(
    image: Tensor, pairs: int = 8, *, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Measure the seconds that each stored pair adds to a step of L-BFGS.

    The shortest of several measurements counts, because other work on the machine can only make
    a measurement longer.
    """
    method, shortest = LBFGS(pairs, clamp=True), []
    for count in (1, pairs):
        while len(method.pairs) < count:
            move, change = torch.rand_like(image), torch.rand_like(image)
            method.pairs.append((move, change, dot(move, change)))
        times = []
        for _ in range(_REPEATS):
            start = clock()
            method._precondition(image)
            times.append(clock() - start)
        shortest.append(min(times))
    return max(shortest[1] - shortest[0], 0.0) / (pairs - 1)


def _first_step(loss: float, gradient: Tensor) -> float:
    """Return the step size along −gradient while the curvature is unknown.

    It is at most the step at which a straight line would reach a loss of 0 (Polyak 1969).
    """
    mean = total(gradient.abs()) / gradient.numel()
    square = dot(
        gradient, gradient
    )  # 0 also for a gradient whose squares are too small for float32
    return min(_FIRST_STEP / mean, loss / square) if square > 0 else 0.0


def favor_coarse(gradient: Tensor, gain: float = _COARSE_GAIN, bands: int = _BANDS) -> Tensor:
    """Add a gradient's coarser bands to it: L-BFGS's first guess of the inverse Hessian.

    Through VGG's shallow layers, the objective has its highest curvature along fine detail, so
    coarse bands can take larger steps. M_k = 1 + gain · 4 · Dᵀ M_{k+1} D, where D blurs by
    (1, 3, 3, 1) / 8 and takes every second pixel. M is symmetric and positive definite, as L-BFGS
    needs. It is also smooth, so that no blocks appear in a picture that starts from noise.

    Args:    gradient: (B, C, H, W).
    Returns: a tensor of the same shape.
    """
    height, width = gradient.shape[-2:]
    if bands == 0 or min(height, width) < 4:
        return gradient
    channels = gradient.shape[1]
    line = gradient.new_tensor([1.0, 3.0, 3.0, 1.0]) / 8
    blur = torch.outer(line, line).expand(channels, 1, 4, 4)
    half = functional.conv2d(gradient, blur, stride=2, padding=1, groups=channels)
    coarse = functional.conv_transpose2d(
        favor_coarse(half, gain, bands - 1),
        blur,
        stride=2,
        padding=1,
        output_padding=(height % 2, width % 2),
        groups=channels,
    )
    return coarse.mul_(4 * gain).add_(gradient)
