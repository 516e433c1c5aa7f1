"""Deferred layers: deep style layers with a small loss are left out in the middle of a level.

In neural-style's objective, relu5_1 soon has less than a hundredth of the loss, but takes a sixth
of the time. The first steps need it to place large shapes, and the last steps need it to finish
them. In between, its gradient is negligible beside that of the shallower layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from impasto.objective.objective import Objective
from impasto.objective.terms import FeatureTerm
from impasto.optimize.loop import Terms
from impasto.settings.layers import deepest
from impasto.settings.pictures import Settings

__all__ = ["FEWEST_STEPS", "Deferral", "deepest_that_counts", "deferring", "may_defer"]

# With fewer steps, the first tenth would be a single step. Its losses say too little, because the
# first step can be a detour.
FEWEST_STEPS = 20


def deferring(objective: Objective, steps: int) -> Terms:
    """Return the losses of an objective for the steps of one level, with deferred layers.

    No layer is deferred in three cases: with normalized gradients, because the losses do not show
    the influence of a layer; with `patience`, because a level may end before its last steps; and
    with fewer than 20 steps.

    Args:
        objective: the objective; `deferred_share` of its settings is the largest share of the loss
            that is deferred.
        steps: the number of evaluations in this level.
    """
    if not may_defer(objective.settings, steps):
        return objective.by_layer
    return Deferral(objective, steps, objective.settings.deferred_share)


def may_defer(settings: Settings, steps: int) -> bool:
    """Return whether layers can be deferred in a level of this many steps; see `deferring`."""
    excluded = settings.normalize_gradients or settings.patience > 0 or steps < FEWEST_STEPS
    return settings.deferred_share > 0 and not excluded


class Deferral:
    """The losses of an objective, as a function that is called once per evaluation of a level.

    Args:
        objective: the objective that is minimized.
        steps: the number of evaluations in this level, at least 20.
        share: the deepest layers are deferred if together they have less than this share of the
            loss at the end of the first tenth.
    """

    def __init__(self, objective: Objective, steps: int, share: float) -> None:
        self.objective = objective
        self.share = share
        self._first = steps // 10
        self._last = steps - steps // 10
        self._count = 0
        self._up_to: str | None = None

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Return the losses of an image, except those that are deferred now."""
        self._count += 1
        between = self._first < self._count <= self._last
        losses = self.objective.by_layer(image, self._up_to if between else None)
        if self._count == self._first:
            numbers = {name: float(loss.detach()) for name, loss in losses.items()}
            self._up_to = deepest_that_counts(self.objective, numbers, self.share)
        return losses


def deepest_that_counts(
    objective: Objective, losses: Mapping[str, float], share: float
) -> str | None:
    """Return the deepest layer that is not deferred; None: no layer is deferred.

    A layer with a content term is never deferred, because it keeps the layout at every step.

    Args:
        losses: the losses of all terms, by name.
        share: see `Deferral`.
    """
    encoder = objective.encoder
    terms: dict[str, list[FeatureTerm]] = {}
    for term in objective.feature_terms():
        terms.setdefault(deepest(term.layers, encoder.network), []).append(term)
    left = share * sum(losses.values())
    for layer in sorted(terms, key=encoder.path.index, reverse=True):
        left -= sum(losses[term.name] for term in terms[layer])
        # With this form of the comparison, no layer is deferred if a loss is not finite.
        if not 0 < left < math.inf or any(term.name.kind == "content" for term in terms[layer]):
            return layer
    return None
