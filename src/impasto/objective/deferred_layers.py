"""Layers that hardly count are looked at in the first and last steps of a level only.

In neural-style's objective relu5_1 soon is less than a hundredth of the loss, and a sixth of the
time. It is needed to begin with, when it says where large shapes go, and to end with, when the
rest is nearly done; in between its gradient is lost in that of the layers above.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from impasto.objective.objective import LayerTerm, Objective
from impasto.optimize.loop import Terms
from impasto.settings.layers import deepest

__all__ = ["Deferral", "deferring"]

# Shorter levels have no first and last tenth of two steps each, of which the second tells that
# the first was no detour.
_LEAST = 20


def deferring(objective: Objective, steps: int) -> Terms:
    """Return the terms of an objective for the steps of one level: in between, without some.

    None is ever left out where losses are shown only (their gradients normalized), where a level
    may end before its last steps (`patience`), or where it has fewer than 20.

    Args:
        objective: whose settings say below which share of the loss a layer is put off.
        steps: how many evaluations there will be.
    """
    settings = objective.settings
    apart = settings.normalize_gradients or settings.patience > 0
    if settings.deferred_share == 0 or apart or steps < _LEAST:
        return objective.by_layer
    return Deferral(objective, steps, settings.deferred_share)


class Deferral:
    """The terms of an objective, one evaluation after another; called once for each.

    Args:
        objective: what is aimed at.
        steps: how many evaluations there will be, at least 20.
        share: of the loss, that the deepest layers together must stay below to be put off.
    """

    def __init__(self, objective: Objective, steps: int, share: float) -> None:
        self.objective = objective
        self.share = share
        self._first = steps // 10
        self._last = steps - steps // 10
        self._count = 0
        self._up_to: str | None = None

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Return the losses of an image by term and layer, of those that are due."""
        self._count += 1
        between = self._first < self._count <= self._last
        losses = self.objective.by_layer(image, self._up_to if between else None)
        if self._count == self._first:
            self._up_to = self._deepest_that_counts(losses)
        return losses

    def _deepest_that_counts(self, losses: Mapping[str, Tensor]) -> str | None:
        """Return the deepest layer that is not put off; None: none is.

        Content says what is where, at every step.
        """
        encoder = self.objective.encoder
        terms: dict[str, list[LayerTerm]] = {}
        for term in self.objective.layer_terms():
            terms.setdefault(deepest(term.seen, encoder.network), []).append(term)
        numbers = {name: float(loss.detach()) for name, loss in losses.items()}
        left = self.share * sum(numbers.values())
        for layer in sorted(terms, key=encoder.path.index, reverse=True):
            left -= sum(numbers[term.name] for term in terms[layer])
            # The other way round than left > 0 for losses that are not finite.
            if not 0 < left < math.inf or any(term.part is None for term in terms[layer]):
                return layer
        return None
