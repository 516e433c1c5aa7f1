"""Adam over pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.optimize.method import SHRINK

__all__ = ["Adam"]


class Adam:
    """Adam with optional bounds: pixels are clamped to [0, 1] after each step.

    Args:
        learning_rate: step size, in pixel values of [0, 1].
        clamp: whether pixels are clamped.
        second_decay: β₂, the decay of the mean of squared gradients.
        unit: for each channel, the change of a pixel that counts as 1, (1, 3, 1, 1); None: 1. If a
            program divides the picture by standard deviations first, these are the units of its
            steps.

    Paper: Kingma & Ba, ICLR 2015.
    """

    first_decay = 0.9  # β₁ and ε are Kingma & Ba's
    epsilon = 1e-8

    def __init__(
        self, learning_rate: float, clamp: bool, second_decay: float, unit: Tensor | None = None
    ) -> None:
        self.learning_rate = learning_rate
        self.clamp = clamp
        self.second_decay = second_decay
        self.unit = torch.ones(1, 1, 1, 1) if unit is None else unit
        self._forget()

    def _forget(self) -> None:
        self.count = 0
        self.first: Tensor | None = None
        self.second: Tensor | None = None

    def shrink(self) -> None:
        """Divide the learning rate by 4, and forget both moments."""
        self.learning_rate *= SHRINK
        self._forget()

    def step(self, point: Tensor, gradient: Tensor, loss: float) -> Tensor:
        """Return the next point by Kingma & Ba's algorithm 1."""
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
        next_point = point - self.learning_rate * unit * mean / deviation
        return next_point.clamp(0, 1) if self.clamp else next_point
