"""The interface between the pixel loop and its optimizers."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

__all__ = ["SHRINK", "Method"]

# After an explosion of the loss, the step size is multiplied by this.
SHRINK = 0.25


class Method(Protocol):
    """An optimizer as the pixel loop calls it."""

    def step(self, point: Tensor, gradient: Tensor, loss: float) -> Tensor:
        """Return the next point to evaluate.

        Args:
            point: the last point whose loss was finite and did not explode.
            gradient, loss: the objective's gradient and value at this point.
        """

    def shrink(self) -> None:
        """Take smaller steps from now on, and discard the information from earlier steps."""
