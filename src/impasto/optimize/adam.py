"""Adam over pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.optimize.method import SHRINK

__all__ = ["Adam"]

# The standard deviations of ImageNet's colors, in sRGB order (torchvision.transforms).
_IMAGENET_DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


class Adam:
    """Adam with optional bounds: pixels are clamped to [0, 1] after each step.

    Args:
        learning_rate: step size, in pixel values of [0, 1].
        clamp: whether pixels are clamped.
        second_decay: β₂, the decay of the mean of squared gradients.
        normalized: measure steps in standard deviations of ImageNet's colors, as a program does
            that normalizes the picture first.

    Paper: Kingma & Ba, ICLR 2015.
    """

    first_decay = 0.9  # β₁ and ε are Kingma & Ba's
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
