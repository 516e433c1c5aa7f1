"""How pixels are moved towards a smaller loss: L-BFGS within the gamut, and Adam."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["LBFGS", "Adam", "Method", "favor_coarse", "seconds_per_pair"]

# After an explosion the picture goes back and the step shrinks by this much.
_SHRINK = 0.25
# L-BFGS knows no scale before its second evaluation: the first step changes the average pixel
# by at most this much of the range.
_FIRST_STEP = 0.1

# How much of each coarser band is added, and how many bands there are: docs/performance.md has
# the figures.
_COARSE_GAIN = 1.6
_BANDS = 5
# The last pair tells the scale of the first guess, but steep directions, where steps are short,
# tell most of it: so much further is better along all others (docs/performance.md).
_STRETCH = 1.75

# Of what is kept in bfloat16, so many values at a time are brought to float32.
_PIECE = 1 << 22

# How often a time is taken.
_TRIES = 5

# The standard deviations of ImageNet's colors, in sRGB order (torchvision.transforms).
_IMAGENET_DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


class Method(Protocol):
    """What the loop asks of an optimizer."""

    def step(self, point: Tensor, gradient: Tensor, loss: float) -> Tensor:
        """Return the next point to evaluate, after the last one that was good."""

    def shrink(self) -> None:
        """Take smaller steps from now on, and forget what led astray."""


class Adam:
    """Adam (Kingma & Ba 2015) with the pixels clamped after each step."""

    first_decay = 0.9  # β₁ and ε as Kingma & Ba have them
    epsilon = 1e-8

    def __init__(
        self, learning_rate: float, clamp: bool, second_decay: float, normalized: bool
    ) -> None:
        self.learning_rate = learning_rate
        self.clamp = clamp
        self.second_decay = second_decay
        self.unit = _IMAGENET_DEVIATION if normalized else torch.ones(1, 1, 1, 1)
        self._forget()

    def _forget(self) -> None:
        self.count = 0
        self.first: Tensor | None = None
        self.second: Tensor | None = None

    def shrink(self) -> None:
        """Divide the learning rate by 4, and forget all moments."""
        self.learning_rate *= _SHRINK
        self._forget()

    def step(self, point: Tensor, gradient: Tensor, loss: float) -> Tensor:
        """Return the next point: Kingma & Ba's algorithm 1."""
        unit = self.unit.to(point)
        gradient = gradient * unit
        first, second = self.first_decay, self.second_decay
        if self.first is None or self.second is None:
            self.first, self.second = torch.zeros_like(point), torch.zeros_like(point)
        self.count += 1
        self.first = self.first.lerp(gradient, 1 - first)
        self.second = self.second.lerp(gradient.square(), 1 - second)
        mean = self.first / (1 - first**self.count)
        deviation = (self.second / (1 - second**self.count)).sqrt() + self.epsilon
        following = point - self.learning_rate * unit * mean / deviation
        return following.clamp(0, 1) if self.clamp else following


class LBFGS:
    """Limited-memory BFGS (Nocedal 1980) without a line search, projected onto the box [0, 1].

    A pixel that is at a bound and pushed beyond it is held: it takes no part in the direction or
    in what is learnt about curvature. Without that, much of what the optimizer gains lies outside
    the gamut and is lost when the picture is saved.

    Of a large picture every copy counts, so sums are made in place.

    Args:
        history: how many pairs of a move and the turn of the gradient are remembered.
        half: in bfloat16, which has the range of float32 and three digits.
    """

    def __init__(self, history: int, clamp: bool, half: bool = False) -> None:
        self.clamp = clamp
        self.half = half
        self.scale = 1.0
        self.pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=history)
        self.last: tuple[Tensor, Tensor] | None = None

    def shrink(self) -> None:
        """Divide the next step by 4, and forget all pairs."""
        self.scale *= _SHRINK
        self.pairs.clear()
        self.last = None

    def step(self, point: Tensor, gradient: Tensor, loss: float) -> Tensor:
        """Return the next point: what the pairs make of the gradient, held within the box."""
        held = self._held(point, gradient)
        self._learn(point, gradient, held)
        reduced = gradient.masked_fill(held, 0)
        direction = self._precondition(reduced).masked_fill_(held, 0).neg_()
        if not self.pairs or _dot(direction, reduced) >= 0:
            self.pairs.clear()
            direction = reduced.mul_(-_first_step(loss, reduced))
        self.scale = min(1.0, self.scale * 1.5)  # a step shrunk after an explosion grows again
        following = direction.mul_(self.scale).add_(point)
        return following.clamp_(0, 1) if self.clamp else following

    def _held(self, point: Tensor, gradient: Tensor) -> Tensor:
        if not self.clamp:
            return torch.zeros((), dtype=torch.bool, device=point.device)
        return ((point <= 0) & (gradient > 0)) | ((point >= 1) & (gradient < 0))

    def _learn(self, point: Tensor, gradient: Tensor, held: Tensor) -> None:
        if self.last is not None:
            moved = self._kept(point - self.last[0])
            turned = self._kept((gradient - self.last[1]).masked_fill_(held, 0))
            curvature = _dot(moved, turned)
            # A pair of no or negative curvature would make the estimate indefinite.
            if curvature > 1e-10 * _dot(turned, turned):
                self.pairs.append((moved, turned, curvature))
        self.last = (point, gradient)

    def _kept(self, change: Tensor) -> Tensor:
        return change.to(torch.bfloat16) if self.half else change

    def _precondition(self, gradient: Tensor) -> Tensor:
        """Multiply by the estimate of the inverse Hessian: the two-loop recursion."""
        result = gradient.clone()
        if not self.pairs:
            return result
        weights = []
        for moved, turned, curvature in reversed(self.pairs):
            weight = _dot(moved, result) / curvature
            result.add_(turned, alpha=-weight)
            weights.append(weight)
        _, turned, curvature = self.pairs[-1]
        turned = turned.to(result.dtype)
        scale = _STRETCH * curvature / _dot(turned, favor_coarse(turned))
        result = favor_coarse(result).mul_(scale)
        for (moved, turned, curvature), weight in zip(self.pairs, reversed(weights), strict=True):
            result.add_(moved, alpha=weight - _dot(turned, result) / curvature)
        return result


def seconds_per_pair(
    image: Tensor, pairs: int = 8, *, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Measure by how much L-BFGS's step takes longer for each pair that is remembered.

    Of some tries the shortest counts: whatever else the machine does makes them longer only.
    """
    method, least = LBFGS(pairs, clamp=True), []
    for count in (1, pairs):
        while len(method.pairs) < count:
            moved, turned = torch.rand_like(image), torch.rand_like(image)
            method.pairs.append((moved, turned, _dot(moved, turned)))
        times = []
        for _ in range(_TRIES):
            start = clock()
            method._precondition(image)
            times.append(clock() - start)
        least.append(min(times))
    return max(least[1] - least[0], 0.0) / (pairs - 1)


def _first_step(loss: float, gradient: Tensor) -> float:
    """Return how far to go along −gradient where nothing is known of the curvature.

    Not so far that a straight line would pass below a loss of 0 (Polyak 1969).
    """
    mean = float(gradient.abs().mean())
    return min(_FIRST_STEP / mean, loss / _dot(gradient, gradient)) if mean > 0 else 0.0


def favor_coarse(gradient: Tensor, gain: float = _COARSE_GAIN, bands: int = _BANDS) -> Tensor:
    """Add the coarser bands of a gradient to it: the first guess of the inverse Hessian.

    VGG's shallow layers bend the objective most along fine detail, so coarse bands can take
    larger steps. M_k = 1 + gain · 4 · Dᵀ M_{k+1} D, where D blurs by (1, 3, 3, 1) / 8 and takes
    every second pixel: symmetric and positive definite, as L-BFGS needs, and smooth, so that no
    blocks show in a picture that starts from noise.

    Args:    gradient: (B, C, H, W).
    Returns: of the same shape.
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


def _dot(a: Tensor, b: Tensor) -> float:
    """Return the inner product of two tensors, also of different precision."""
    a, b = a.flatten(), b.flatten()
    if a.dtype == b.dtype == torch.bfloat16 or a.dtype != b.dtype:
        pieces = zip(torch.split(a, _PIECE), torch.split(b, _PIECE), strict=True)
        return sum(float(torch.dot(one.float(), other.float())) for one, other in pieces)
    return float(torch.dot(a, b))
