"""The interface of terms. A term is a named loss of a picture, with its gradient.

There are two kinds of terms. A `FeatureTerm` compares features of the network. It takes them tile
by tile, and a picture that is computed whole is one tile. A `PictureTerm` is computed from the
pixels themselves. The terms that come with impasto are in `content_term.py`, `laplacian_term.py`,
`style_term.py` and `variation_term.py`.

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
        name: the name of its loss. The kind of the name is "content", "style", "tv" or another
            word.
        weight: the factor of its loss.
    """

    name: LossName
    weight: float


class FeatureTerm(Term):
    """A term that compares features of the network, whole or in tiles.

    A picture is evaluated in two passes over its tiles. In the first pass `add` takes each tile's
    features; then `finish` returns the loss of the whole picture. In the second pass `gradients`
    gives the loss's gradient at each tile's inner positions.

    Attributes:
        layers: the layers whose features it needs.
        factor: the factor by which the results of `gradients` must be multiplied; valid after
            `finish`.
    """

    layers: tuple[str, ...]
    factor: float

    @abstractmethod
    def begin(self) -> None:
        """Begin a new evaluation, and forget the previous picture."""

    @abstractmethod
    def add(self, tile: Tile, features: Mapping[str, Tensor]) -> None:
        """Take a tile's features, layer → (1, C, h, w), computed from its outer box."""

    @abstractmethod
    def finish(self, size: tuple[int, int], *, differentiate: bool) -> float:
        """Return the weighted loss of the whole picture, after all its tiles were added.

        Args:
            size: (H, W) of the picture.
            differentiate: whether `gradients` will be called.
        """

    @abstractmethod
    def gradients(self, tile: Tile, features: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer, and the gradient by its features in the tile's inner box.

        The gradients are divided by `factor`. The tensors are new, so the caller may change them.
        """


class PictureTerm(Term):
    """A term that is computed from the pixels themselves."""

    @abstractmethod
    def loss(self, image: Tensor) -> Tensor:
        """Return the weighted loss of an image, (1, 3, H, W), as a differentiable scalar."""

    def evaluate(self, image: Tensor, gradient: Tensor | None) -> float:
        """Return the weighted loss of an image, and add its gradient to `gradient`.

        Args:
            image: (1, 3, H, W).
            gradient: a tensor of the same shape, which is changed; None: compute no gradient.
        """
        leaf = image.detach().requires_grad_(gradient is not None)
        with torch.set_grad_enabled(gradient is not None):
            loss = self.loss(leaf)
        if gradient is not None:
            (own,) = torch.autograd.grad(loss, leaf)
            gradient.add_(own)
        return float(loss.detach())
