"""The pixel loop: move the picture so that its objective falls, one evaluation at a time."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import DivergenceError
from impasto.losses import sum_by_term

__all__ = ["Step", "optimize", "seconds_per_pair"]

# Image → losses whose sum is minimised, by the name of their term, or of term and layer:
# "style relu1_1".
Terms = Callable[[Tensor], Mapping[str, Tensor]]

# A loss this many times the last good one is not a detour any more but an explosion, unless
# both are next to nothing against the loss at the start.
_EXPLOSION = 5.0
_NEXT_TO_NOTHING = 1e-3
# A loss that falls by less than this share a step has settled: from the photo, at 256 px, L-BFGS is
# there after 120 steps on neural-style's objective, with strokes that change no more to the eye.
_SETTLED = 1e-3
# After an explosion the picture goes back and the step shrinks by this much, so many times.
_SHRINK = 0.25
_RETRIES = 6
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

# The standard deviations of ImageNet's colors, in sRGB order (torchvision.transforms).
_IMAGENET_DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


@dataclass(frozen=True, eq=False, repr=False)
class Step:
    """One evaluation of the objective: the picture and what it scores.

    Attributes:
        image: (1, 3, H, W), sRGB in [0, 1] where the picture is clamped. Where iterates are
            averaged, their average; the losses are the last iterate's.
        losses: {"content": …, "style": …, "tv": …}, weighted.
        layers: the same, apart by layer: {"content relu4_2": …, "style relu1_1": …, "tv": …}.
        index, count: number of this step, from 1, and how many there will be.
        level, levels: number of this level, from 1, and how many there are.
        seconds: since the start.
    """

    image: Tensor
    losses: Mapping[str, float]
    index: int
    count: int
    level: int = 1
    levels: int = 1
    seconds: float = 0.0
    layers: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """The sum of all terms: what is minimised."""
        return sum(self.losses.values())

    def __repr__(self) -> str:
        height, width = self.image.shape[-2:]
        return f"<Step {self.index}/{self.count}, {width} x {height} px, total {self.total:.4g}>"


def optimize(
    image: Tensor,
    objective: Terms,
    *,
    steps: int,
    optimizer: str = "lbfgs",
    learning_rate: float = 0.02,
    history: int = 20,
    averaging: float = 0.0,
    clamp: bool = True,
    second_decay: float = 0.99,
    normalised_pixels: bool = False,
    patience: int = 0,
    half: bool = False,
) -> Iterator[Step]:
    """Minimise the objective over the pixels, and yield after every evaluation.

    An evaluation that is not finite, or whose loss explodes, is undone: the picture goes back to
    the last good one and leaves it by a smaller step.

    The last step is the best of all, unless iterates are averaged.

    Args:
        image: the picture to start from, (1, 3, H, W); it is not changed.
        objective: image → losses by term or layer; their sum is minimised.
        steps: how many evaluations.
        optimizer: "lbfgs" or "adam".
        learning_rate: Adam's step size, in pixel values.
        history: how many past steps L-BFGS remembers.
        averaging: decay of the running average that is yielded instead of the iterate; 0: none.
        clamp: keep pixels in [0, 1], as a constraint that the optimiser knows of.
        second_decay: Adam's decay of squared gradients, β₂.
        normalised_pixels: measure Adam's steps in standard deviations of ImageNet's colors.
        half: keep what L-BFGS remembers in bfloat16.
        patience: end when the least loss has fallen by less than 0.1 % a step, on average over so
            many steps; the last step is then numbered as the last that there would have been. 0:
            never.

    Raises: DivergenceError: smaller steps did not help; carries the last good image.
    """
    method: _Method = (
        _LBFGS(history, clamp, half)
        if optimizer == "lbfgs"
        else _Adam(learning_rate, clamp, second_decay, normalised_pixels)
    )
    average = _Average(averaging)
    start = time.perf_counter()
    point = image.detach().clamp(0, 1) if clamp else image.detach().clone()
    good: _Evaluation | None = None
    best: _Evaluation | None = None
    failures, floor, limit = 0, 0.0, math.inf
    totals: deque[float] = deque(maxlen=patience + 1)  # the least so far, after each step
    for index in range(1, steps + 1):
        evaluation = _evaluate(point, objective)
        if evaluation.is_finite and evaluation.total <= limit:
            floor = _NEXT_TO_NOTHING * evaluation.total if good is None else floor
            good, failures = evaluation, 0
            if best is None or good.total <= best.total:
                best = replace(good, gradient=good.gradient.new_empty(0))  # large, and not needed
            limit = _EXPLOSION * max(evaluation.total, floor)
            average.add(evaluation.point)
        else:
            failures += 1
            if good is None or failures > _RETRIES:
                raise DivergenceError(
                    f"the loss became {evaluation.total:.3g} at step {index} of this size, and "
                    "smaller steps did not help; try smaller weights, or a smaller learning rate "
                    "with Adam",
                    average.value if good else image.detach(),
                )
            method.shrink()
        seconds = time.perf_counter() - start
        if best is not None:
            totals.append(best.total)
        settled = patience > 0 and len(totals) > patience and _has_settled(totals)
        if (index == steps or settled) and best is not None and averaging == 0:
            # Without a line search the last step can be a detour upwards.
            yield best.step(best.point, steps, steps, seconds)
            return
        yield good.step(average.value, steps if settled else index, steps, seconds)
        if settled:
            return
        point = method.step(good)


def _has_settled(totals: Sequence[float]) -> bool:
    """Tell whether losses fell by less than 0.1 % a step, from the first to the last of them."""
    return totals[0] - totals[-1] <= _SETTLED * (len(totals) - 1) * totals[0]


@dataclass(frozen=True)
class _Evaluation:
    point: Tensor
    losses: dict[str, float]
    layers: dict[str, float]
    gradient: Tensor

    @property
    def total(self) -> float:
        return sum(self.losses.values())

    @property
    def is_finite(self) -> bool:
        return bool(torch.isfinite(self.gradient.sum())) and math.isfinite(self.total)

    def step(self, image: Tensor, index: int, count: int, seconds: float) -> Step:
        return Step(image, self.losses, index, count, seconds=seconds, layers=self.layers)


def _evaluate(point: Tensor, objective: Terms) -> _Evaluation:
    leaf = point.detach().requires_grad_(True)
    layers = objective(leaf)
    terms = sum_by_term(layers)
    total = torch.stack(list(terms.values())).sum()
    (gradient,) = torch.autograd.grad(total, leaf)
    return _Evaluation(point, _numbers(terms), _numbers(layers), gradient)


def _numbers(losses: Mapping[str, Tensor]) -> dict[str, float]:
    values: list[float] = torch.stack([loss.detach() for loss in losses.values()]).tolist()
    return dict(zip(losses, values, strict=True))


class _Average:
    """A running mean of the iterates, Σ dᵏ x₋ₖ / Σ dᵏ, without bias towards the start."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.weight = 0.0

    def add(self, point: Tensor) -> None:
        if self.decay == 0:
            self.value = point
            return
        self.weight = self.decay * self.weight + 1
        self.value = point if self.weight == 1 else self.value.lerp(point, 1 / self.weight)


class _Method(Protocol):
    def step(self, last: _Evaluation) -> Tensor:
        """Return the next point to evaluate."""

    def shrink(self) -> None:
        """Take smaller steps from now on, and forget what led astray."""


class _Adam:
    """Adam (Kingma & Ba 2015) with the pixels clamped after each step."""

    first_decay = 0.9  # β₁ and ε as Kingma & Ba have them
    epsilon = 1e-8

    def __init__(
        self, learning_rate: float, clamp: bool, second_decay: float, normalised: bool
    ) -> None:
        self.learning_rate = learning_rate
        self.clamp = clamp
        self.second_decay = second_decay
        self.unit = _IMAGENET_DEVIATION if normalised else torch.ones(1, 1, 1, 1)
        self._forget()

    def _forget(self) -> None:
        self.count = 0
        self.first: Tensor | None = None
        self.second: Tensor | None = None

    def shrink(self) -> None:
        self.learning_rate *= _SHRINK
        self._forget()

    def step(self, last: _Evaluation) -> Tensor:
        unit = self.unit.to(last.point)
        point, gradient = last.point, last.gradient * unit
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


class _LBFGS:
    """Limited-memory BFGS (Nocedal 1980) without a line search, projected onto the box [0, 1].

    A pixel that is at a bound and pushed beyond it is held: it takes no part in the direction or
    in what is learnt about curvature. Without that, much of what the optimiser gains lies outside
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
        self.scale *= _SHRINK
        self.pairs.clear()
        self.last = None

    def step(self, last: _Evaluation) -> Tensor:
        point, gradient = last.point, last.gradient
        held = self._held(point, gradient)
        self._learn(point, gradient, held)
        reduced = gradient.masked_fill(held, 0)
        direction = self._precondition(reduced).masked_fill_(held, 0).neg_()
        if not self.pairs or _dot(direction, reduced) >= 0:
            self.pairs.clear()
            direction = reduced.mul_(-_first_step(last.total, reduced))
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
        scale = _STRETCH * curvature / _dot(turned, favour_coarse(turned))
        result = favour_coarse(result).mul_(scale)
        for (moved, turned, curvature), weight in zip(self.pairs, reversed(weights), strict=True):
            result.add_(moved, alpha=weight - _dot(turned, result) / curvature)
        return result


def seconds_per_pair(image: Tensor, pairs: int = 8) -> float:
    """Measure by how much L-BFGS's step takes longer for each pair that is remembered."""
    method, times = _LBFGS(pairs, clamp=True), []
    for count in (1, pairs):
        while len(method.pairs) < count:
            moved, turned = torch.rand_like(image), torch.rand_like(image)
            method.pairs.append((moved, turned, _dot(moved, turned)))
        method._precondition(image)
        start = time.perf_counter()
        method._precondition(image)
        times.append(time.perf_counter() - start)
    return max(times[1] - times[0], 0.0) / (pairs - 1)


def _first_step(loss: float, gradient: Tensor) -> float:
    """Return how far to go along −gradient where nothing is known of the curvature.

    Not so far that a straight line would pass below a loss of 0 (Polyak 1969).
    """
    mean = float(gradient.abs().mean())
    return min(_FIRST_STEP / mean, loss / _dot(gradient, gradient)) if mean > 0 else 0.0


def favour_coarse(gradient: Tensor, gain: float = _COARSE_GAIN, bands: int = _BANDS) -> Tensor:
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
        favour_coarse(half, gain, bands - 1),
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
