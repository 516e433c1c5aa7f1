"""The pixel loop: change the picture step by step, so that its objective decreases."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from impasto.errors import DivergenceError
from impasto.optimize.adam import Adam
from impasto.optimize.lbfgs import LBFGS
from impasto.optimize.method import Method

__all__ = ["LossName", "Step", "Terms", "optimize", "run_to_end", "sum_by_kind"]

# Image → losses by name. Their sum is minimized.
Terms = Callable[[Tensor], Mapping[str, Tensor]]

# A loss explodes if it is more than _EXPLOSION times the larger of two numbers: the last good loss,
# and _NEGLIGIBLE times the first loss.
_EXPLOSION = 5.0
_NEGLIGIBLE = 1e-3
# A loss has settled if it falls by less than this share per step. On neural-style's objective, from
# the photo at 256 px, L-BFGS reaches this point after 120 steps. Then the strokes no longer change
# visibly.
_SETTLED = 1e-3
# With fewer steps, a level would hardly change the picture: the first one evaluates the start.
_FEWEST_STEPS = 3
# The number of smaller steps that are tried after an explosion.
_RETRIES = 6


class LossName(str):
    """The name of one loss among several, such as "style 2 relu1_1".

    Attributes:
        kind: the kind of the loss, here "style". `Step.losses` has the sum of each kind. If a name
            is an ordinary string, it is also the kind.
        detail: the layer, here "relu1_1", or another word; "": there is none.
        part: the number of the picture's part, from 1, here 2; None: the whole picture.
    """

    __slots__ = ("detail", "kind", "part")
    kind: str
    detail: str
    part: int | None

    def __new__(cls, kind: str, detail: str = "", part: int | None = None) -> LossName:
        """Join the words into a name."""
        words = (kind, "" if part is None else str(part), detail)
        name = super().__new__(cls, " ".join(word for word in words if word))
        name.kind, name.detail, name.part = kind, detail, part
        return name


def sum_by_kind(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add up the losses of each kind; see `LossName`."""
    sums: dict[str, Tensor] = {}
    for name, loss in losses.items():
        kind = name.kind if isinstance(name, LossName) else name
        sums[kind] = sums[kind] + loss if kind in sums else loss
    return sums


@dataclass(frozen=True, eq=False, repr=False)
class Step:
    """One evaluation of the objective: the picture and its losses.

    Attributes:
        image: (1, 3, H, W), sRGB, in [0, 1] if the picture is clamped. If iterates are averaged,
            this is their average, but the losses belong to the last iterate.
        losses: the weighted losses: {"content": …, "style": …, "tv": …}.
        layers: the weighted losses of each layer: {"content relu4_2": …, "style relu1_1": …,
            "tv": …}.
        index: the number of this step, from 1, counted over all levels.
        count: the number of steps of all levels.
        level: the number of this level, from 1.
        levels: the number of all levels.
        seconds: the time since the start of the run.
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
        """The sum of all losses, which is minimized."""
        return sum(self.losses.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the step's numbers without its picture, for a history."""
        return {
            "step": self.index,
            "level": self.level,
            "seconds": self.seconds,
            **self.losses,
            "total": self.total,
            "layers": self.layers,
        }

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
    unit: Tensor | None = None,
    patience: int = 0,
    half: bool = False,
    until: float = math.inf,
) -> Iterator[Step]:
    """Minimize the objective over the pixels, and yield after every evaluation.

    If an evaluation is not finite, or its loss explodes, the picture returns to the last good one
    and takes a smaller step from there. Unless iterates are averaged, the last step yields the best
    evaluation.

    Args:
        image: the picture to start from, (1, 3, H, W); it is not changed.
        objective: image → losses by name; their sum is minimized.
        steps: the number of evaluations.
        optimizer: "lbfgs" or "adam".
        learning_rate: Adam's step size, in pixel values of [0, 1].
        history: the number of past steps that L-BFGS keeps.
        averaging: the decay of a running average, which is yielded instead of the iterate; 0: none.
        clamp: keep pixels in [0, 1], as a constraint of the optimizer.
        second_decay: Adam's decay of squared gradients, β₂.
        unit: for each channel, the change that Adam counts as 1, (1, 3, 1, 1); None: 1.
        half: keep L-BFGS's history in bfloat16.
        patience: end when the least loss has fallen by less than 0.1 % per step, on average over
            this many steps. The last step then has the number `steps`, as if all steps had been
            made. 0: never.

        until: a time of `time.perf_counter`. The step after which another one would not end before
            this time is the last, as if `steps` were its number; but at least 3 steps are made.

    Raises: DivergenceError: smaller steps did not help; the error holds the last good image.
    """
    method: Method = (
        LBFGS(history, clamp, half)
        if optimizer == "lbfgs"
        else Adam(learning_rate, clamp, second_decay, unit)
    )
    average = _Average(averaging)
    start = now = time.perf_counter()
    shortest = math.inf
    point = image.detach().clamp(0, 1) if clamp else image.detach().clone()
    record, failures = _Record(), 0
    totals: deque[float] = deque(maxlen=patience + 1)  # the least loss so far, after each step
    for index in range(1, steps + 1):
        evaluation = _evaluate(point, objective)
        accepted = record.accept(evaluation)
        failures = 0 if accepted else failures + 1
        good, best = record.good, record.best
        if good is None or best is None or failures > _RETRIES:
            raise DivergenceError(
                f"the loss became {evaluation.total:.3g} at step {index} of this size, and "
                "smaller steps did not help; try smaller weights, or a smaller learning rate "
                "with Adam",
                average.value if good else image.detach(),
            )
        if accepted:
            average.add(good.point)
        else:
            method.shrink()
        before, now = now, time.perf_counter()
        seconds = now - start
        totals.append(best.total)
        settled = patience > 0 and len(totals) > patience and _has_settled(totals)
        shortest = min(shortest, now - before)  # the first step also packs filters, for example
        late = index >= _FEWEST_STEPS and now + shortest > until
        is_last = index == steps or settled or late
        shown = steps if settled else index
        if is_last and averaging == 0:
            # Without a line search, the last step can have a larger loss than an earlier one.
            yield best.step(best.point, shown, steps, seconds)
            return
        yield good.step(average.value, shown, steps, seconds)
        if is_last:
            return
        point = method.step(good.point, good.gradient, good.total)


def run_to_end(
    steps: Iterable[Step], on_step: Callable[[Step], None] | None = None
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Take all steps, and return the last image and the numbers of every step.

    Args: on_step: called after each evaluation.
    """
    history = []
    for step in steps:
        history.append(step.to_dict())
        if on_step is not None:
            on_step(step)
    return step.image, history


def _has_settled(totals: Sequence[float]) -> bool:
    """Return whether losses fell by less than 0.1 % per step, from the first to the last."""
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
    terms = sum_by_kind(layers)
    total = torch.stack(list(terms.values())).sum()
    (gradient,) = torch.autograd.grad(total, leaf)
    return _Evaluation(point, _numbers(terms), _numbers(layers), gradient)


def _numbers(losses: Mapping[str, Tensor]) -> dict[str, float]:
    values: list[float] = torch.stack([loss.detach() for loss in losses.values()]).tolist()
    return dict(zip(losses, values, strict=True))


class _Record:
    """The last and the best evaluation of a run so far.

    Attributes:
        good: the last evaluation that was finite and did not explode.
        best: the evaluation with the least loss since the set of terms changed.
    """

    good: _Evaluation | None = None
    best: _Evaluation | None = None
    _floor = 0.0

    def accept(self, evaluation: _Evaluation) -> bool:
        """Record an evaluation, and return True, unless it is not finite or its loss explodes."""
        if not evaluation.is_finite or self._explodes(evaluation):
            return False
        if self.good is None:
            self._floor = _NEGLIGIBLE * evaluation.total
        best = self.best
        if best is None or best.layers.keys() != evaluation.layers.keys():
            best = evaluation  # the sums of different terms cannot be compared
        if evaluation.total <= best.total:
            # Without its gradient, which is as large as the picture.
            best = replace(evaluation, gradient=evaluation.gradient.new_empty(0))
        self.good, self.best = evaluation, best
        return True

    def _explodes(self, evaluation: _Evaluation) -> bool:
        """Return whether the loss explodes, over the terms that both evaluations have."""
        if self.good is None:
            return False
        known = self.good.layers.keys() & evaluation.layers.keys()
        before, after = (
            sum(other.layers[name] for name in known) for other in (self.good, evaluation)
        )
        return after > _EXPLOSION * max(before, self._floor)


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
