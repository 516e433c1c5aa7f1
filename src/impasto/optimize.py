"""The pixel loop: move the picture so that its objective falls, one evaluation at a time."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import DivergenceError
from impasto.losses import sum_by_term

__all__ = ["Step", "optimize"]

# Image → losses whose sum is minimised, by the name of their term, or of term and layer:
# "style relu1_1".
Terms = Callable[[Tensor], Mapping[str, Tensor]]

# A loss this many times the last good one is not a detour any more but an explosion, unless
# both are next to nothing against the loss at the start.
_EXPLOSION = 5.0
_NEXT_TO_NOTHING = 1e-3
# After an explosion the picture goes back and the step shrinks by this much, so many times.
_SHRINK = 0.25
_RETRIES = 6
# L-BFGS knows no scale before its second evaluation: the first step changes the average pixel
# by at most this much of the range.
_FIRST_STEP = 0.1

# How much of each coarser band is added, and how many bands there are: docs/performance.md has
# the figures.
_COARSE_GAIN = 1.2
_BANDS = 5

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

    Raises: DivergenceError: smaller steps did not help; carries the last good image.
    """
    method: _Method = (
        _LBFGS(history, clamp)
        if optimizer == "lbfgs"
        else _Adam(learning_rate, clamp, second_decay, normalised_pixels)
    )
    average = _Average(averaging)
    start = time.perf_counter()
    point = image.detach().clamp(0, 1) if clamp else image.detach().clone()
    good: _Evaluation | None = None
    best: _Evaluation | None = None
    failures, floor, limit = 0, 0.0, math.inf
    for index in range(1, steps + 1):
        evaluation = _evaluate(point, objective)
        if evaluation.is_finite and evaluation.total <= limit:
            floor = _NEXT_TO_NOTHING * evaluation.total if good is None else floor
            good, failures = evaluation, 0
            best = good if best is None or good.total <= best.total else best
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
        if index == steps and best is not None and averaging == 0:
            # Without a line search the last step can be a detour upwards.
            yield best.step(best.point, index, steps, seconds)
            return
        yield good.step(average.value, index, steps, seconds)
        point = method.step(good)


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
    """

    def __init__(self, history: int, clamp: bool) -> None:
        self.clamp = clamp
        self.scale = 1.0
        self.pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=history)
        self.last: tuple[Tensor, Tensor] | None = None

    def shrink(self) -> None:
        self.scale *= _SHRINK
        self.pairs.clear()
        self.last = None

    def step(self, last: _Evaluation) -> Tensor:
        point, gradient = last.point, last.gradient
        free = self._free(point, gradient)
        self._learn(point, gradient, free)
        reduced = gradient * free
        direction = -self._precondition(reduced) * free
        if not self.pairs or _dot(direction, reduced) >= 0:
            self.pairs.clear()
            direction = -reduced * _first_step(last.total, reduced)
        self.scale = min(1.0, self.scale * 1.5)  # a step shrunk after an explosion grows again
        following = point + self.scale * direction
        return following.clamp(0, 1) if self.clamp else following

    def _free(self, point: Tensor, gradient: Tensor) -> Tensor:
        if not self.clamp:
            return torch.ones_like(point)
        held = ((point <= 0) & (gradient > 0)) | ((point >= 1) & (gradient < 0))
        return (~held).to(point.dtype)

    def _learn(self, point: Tensor, gradient: Tensor, free: Tensor) -> None:
        if self.last is not None:
            moved = point - self.last[0]
            turned = (gradient - self.last[1]) * free
            curvature = _dot(moved, turned)
            # A pair of no or negative curvature would make the estimate indefinite.
            if curvature > 1e-10 * _dot(turned, turned):
                self.pairs.append((moved, turned, curvature))
        self.last = (point, gradient)

    def _precondition(self, gradient: Tensor) -> Tensor:
        """Multiply by the estimate of the inverse Hessian: the two-loop recursion."""
        if not self.pairs:
            return gradient
        result = gradient.clone()
        weights = []
        for moved, turned, curvature in reversed(self.pairs):
            weight = _dot(moved, result) / curvature
            result.add_(turned, alpha=-weight)
            weights.append(weight)
        _, turned, curvature = self.pairs[-1]
        scale = curvature / _dot(turned, favour_coarse(turned))
        result = favour_coarse(result).mul_(scale)
        for (moved, turned, curvature), weight in zip(self.pairs, reversed(weights), strict=True):
            result.add_(moved, alpha=weight - _dot(turned, result) / curvature)
        return result


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
    return gradient + 4 * gain * coarse


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()))
