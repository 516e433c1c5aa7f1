"""What a term of the objective is: a named loss of a picture, and its gradient.

There are two kinds of terms. A `FeatureTerm` compares features of the network. It takes them tile
by tile, and a picture that is computed whole is one tile. A `PictureTerm` looks at the pixels
themselves. The terms that come with impasto are in `content_term.py`, `style_term.py` and
`variation_term.py`.

To add a term, derive a class from one of the two kinds and pass it to `Stylizer` or `Objective`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from impasto.objective.tiles import Tile
from impasto.optimize.loop import LossName

__all__ = ["FeatureTerm", "PictureTerm", "Term"]


class Term(ABC):
    """One loss of the objective.

    Attributes:
        name: what it is listed as; of the kind "content", "style", "tv" or another word.
        weight: what its loss is multiplied by.
    """

    name: LossName
    weight: float


class FeatureTerm(Term):
    """A term that compares features of the network, whole or in tiles.

    A picture is evaluated in two passes over its tiles. In the first pass `add` takes each tile's
    features; then `finish` returns the loss of the whole picture. In the second pass `gradients`
    gives the loss's gradient at each tile's inner positions.

    Attributes:
        layers: the layers that it looks at.
        factor: what `gradients` must be multiplied by; valid after `finish`.
    """

    layers: tuple[str, ...]
    factor: float

    @abstractmethod
    def begin(self) -> None:
        """Forget the picture before: a new evaluation begins."""

    @abstractmethod
    def add(self, tile: Tile, features: Mapping[str, Tensor]) -> None:
        """Take a tile's features, layer → (1, C, h, w), computed from its outer box."""

    @abstractmethod
    def finish(self, size: tuple[int, int], *, differentiate: bool) -> float:
        """Return the weighted loss of the whole picture, all of whose tiles were added.

        Args:
            size: (H, W) of the picture.
            differentiate: whether `gradients` will be asked for.
        """

    @abstractmethod
    def gradients(self, tile: Tile, features: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Yield layer and gradient, divided by `factor`, at a tile's inner positions.

        The tensors are new: the caller may change them.
        """


class PictureTerm(Term):
    """A term of the pixels themselves."""

    @abstractmethod
    def loss(self, image: Tensor) -> Tensor:
        """Return the weighted loss of an image, (1, 3, H, W), as a scalar, differentiable."""

    def evaluate(self, image: Tensor, gradient: Tensor | None) -> float:
        """Return the weighted loss of an image, and add its gradient to one that is given.

        Args:
            image: (1, 3, H, W).
            gradient: of the same shape; None: it is not wanted.
        """
        leaf = image.detach().requires_grad_(gradient is not None)
        with torch.set_grad_enabled(gradient is not None):
            loss = self.loss(leaf)
        if gradient is not None:
            (own,) = torch.autograd.grad(loss, leaf)
            gradient.add_(own)
        return float(loss.detach())
