"""The objective: the weighted sum of terms that is minimized, computed whole or in tiles.

If each tile had its own losses, another picture would result, because style statistics are
global. Here they stay global: there are two passes over overlapping tiles. The first pass, without
gradients, adds up each term over all tiles, which gives the losses of the whole picture. The second
pass runs the network on one tile after the other. It takes the gradient of the whole picture's
losses by the features of the tile's inner box, propagates it back to the pixels, and adds the
result to the picture's gradient. A picture that is computed whole is one tile, and the network runs
on it once.

Paper: Galerne, Raad, Lezama & Morel, Scaling Painting Style Transfer, 2023 (arXiv 2212.13459).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from impasto.errors import SettingsError
from impasto.network.encoder import Encoder
from impasto.objective.content_term import ContentTerm
from impasto.objective.laplacian_term import LaplacianTerm
from impasto.objective.layer_weights import seen_layers, weighted_layers
from impasto.objective.style_term import StyleTerm, WholeStyleTerm
from impasto.objective.targets import Targets, threads_for
from impasto.objective.terms import FeatureTerm, PictureTerm, Term
from impasto.objective.tiles import Tile, cut_for, look_around, shrinking
from impasto.objective.variation_term import variation_terms
from impasto.optimize.loop import LossName, sum_by_kind
from impasto.settings.layers import minimum_side
from impasto.settings.pictures import Settings
from impasto.style import STATISTICS, Summed, chosen_statistic

__all__ = ["KINDS", "Objective", "obstacle"]

# The kinds of losses that every pastiche lists, even those with the weight 0.
KINDS = ("content", "style", "tv")


class Objective(nn.Module):
    """The weighted sum of terms that a pastiche minimizes, whole or in tiles.

    A picture that is larger than a tile is computed in tiles. They give the same losses and
    gradient, up to rounding. If memory does not suffice during the computation, the sides of the
    tiles are halved, repeatedly if necessary, but not below 128 px. A picture that cannot be cut
    into tiles is an exception: it is always computed whole.

    Losses and gradient are computed together, so only the sum of all losses, or a multiple of it,
    can be differentiated.

    Args:
        encoder: an encoder that returns the content and style layers of the settings. If its
            padding is circular, opposite borders touch, in the total variation as well.
        targets: the targets of the content and style terms.
        settings: layers, weights and the form of each term.
        tile: the longest side, in px, of a tile's inner box; None: the picture is one tile.
        terms: further terms, besides those of the settings.

    Attributes:
        terms: all terms, in the order in which their losses are listed.
        tile: the longest side, in px, of a tile's inner box; None: the picture is one tile. It is
            smaller than the argument if memory did not suffice.
    """

    def __init__(
        self,
        encoder: Encoder,
        targets: Targets,
        settings: Settings,
        *,
        tile: int | None = None,
        terms: Sequence[Term] = (),
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.targets = targets
        self.settings = settings
        self.tile = tile
        with threads_for(encoder, settings):  # the sums of a term's scale
            measured = (*_content_terms(targets, settings), *_style_terms(targets, settings))
        self.terms: tuple[Term, ...] = (
            *measured,
            *_laplacian_terms(targets, settings),
            *variation_terms(settings, wrapped=encoder.padding == "circular"),
            *terms,
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return the losses {"content": …, "style": …, "tv": …} of an image (1, 3, H, W).

        Each loss is a scalar and includes its weight. The sum of the losses is minimized. These
        three losses are ≥ 0, and a loss with the weight 0 is 0. Further terms add losses of their
        own kinds.
        """
        zero = torch.zeros((), dtype=image.dtype, device=image.device)
        return dict.fromkeys(KINDS, zero) | sum_by_kind(self.by_layer(image))

    def by_layer(self, image: Tensor, up_to: str | None = None) -> dict[str, Tensor]:
        """Return the loss of every term: "content relu4_2", "style relu1_1", …, "tv".

        If the picture has several parts, the names of style losses contain the number of the part:
        "style 2 relu1_1".

        Args: up_to: leave out the terms that need deeper layers than this one; None: keep all.

        Raises: SettingsError: the picture is larger than a tile, but cannot be cut into tiles.
        """
        longest = max(image.shape[-2:])
        side = longest if self.tile is None else min(self.tile, longest)
        reason = obstacle(self.settings, self.encoder)
        if reason is not None and side < longest:
            raise SettingsError(reason)
        differentiate = torch.is_grad_enabled() and image.requires_grad
        with threads_for(self.encoder, self.settings):
            (losses, gradient), used = shrinking(
                lambda side: self._evaluate(image.detach(), side, differentiate, up_to),
                side,
                least=None if reason is None else side,
            )
        if used < side:
            self.tile = used
        if gradient is None:
            return losses
        values = _Losses.apply(image, gradient, *losses.values())  # type: ignore[no-untyped-call]
        return dict(zip(losses, values, strict=True))

    def feature_terms(self, up_to: str | None = None) -> list[FeatureTerm]:
        """List the terms that need features.

        Args: up_to: see `by_layer`.
        """
        path = self.encoder.path
        within = set(path if up_to is None else path[: path.index(up_to) + 1])
        feature_terms = [term for term in self.terms if isinstance(term, FeatureTerm)]
        return [term for term in feature_terms if set(term.layers) <= within]

    def tiles(self, size: tuple[int, int], side: int) -> tuple[Tile, ...]:
        """Cut a picture (H, W) into tiles.

        Args: side: the longest side of an inner box, in px.
        """
        statistic = chosen_statistic(self.settings)
        around = look_around(statistic, statistic.inputs(seen_layers(self.settings, "style")))
        return cut_for(self.encoder, size, side, around)

    def _evaluate(
        self, image: Tensor, side: int, differentiate: bool, up_to: str | None
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Return the loss of every term and, if it is needed, the gradient of their sum."""
        size = (image.shape[-2], image.shape[-1])
        tiles, terms = self.tiles(size, side), self.feature_terms(up_to)
        run = functools.partial(_TileFeatures, self.encoder, image, up_to=up_to)
        # The features of a single tile are kept for all passes. The features of several tiles are
        # computed again in each pass.
        whole = [run(tiles[0], differentiate)] if len(tiles) == 1 else None

        def over_tiles(differentiate: bool) -> Iterable[_TileFeatures]:
            return whole or (run(tile, differentiate) for tile in tiles)

        with torch.no_grad():
            for term in terms:
                term.begin()
            for part in over_tiles(False):
                for term in terms:
                    term.add(part.tile, part.features)
                del part  # free the features before the next ones are computed
            losses = {term.name: term.finish(size, differentiate=differentiate) for term in terms}
            gradient = torch.zeros_like(image) if differentiate else None
            if gradient is not None:
                factors = [term.factor for term in terms]
                if self.settings.normalize_gradients:
                    factors = _normalizing_factors(over_tiles(False), terms)
                for part in over_tiles(True):
                    part.add_gradient(list(zip(terms, factors, strict=True)), gradient)
            picture_terms = [term for term in self.terms if isinstance(term, PictureTerm)]
            losses |= {term.name: term.evaluate(image, gradient) for term in picture_terms}
        return {name: image.new_tensor(loss) for name, loss in losses.items()}, gradient


def _content_terms(targets: Targets, settings: Settings) -> list[ContentTerm]:
    return [
        ContentTerm(
            layer, weight, settings.content_form, targets.content[layer],
            targets.content_counts.get(layer),
        )
        for layer, weight in weighted_layers(settings, "content")
    ]  # fmt: skip


def _laplacian_terms(targets: Targets, settings: Settings) -> list[LaplacianTerm]:
    kinds = (
        ("laplacian", settings.laplacian_weight, targets.laplacians),
        ("faces", settings.face_weight, targets.faces),
    )
    return [
        LaplacianTerm(weight, measured, detail)
        for detail, weight, measured in kinds
        if weight > 0 and measured
    ]


def _style_terms(targets: Targets, settings: Settings) -> list[StyleTerm | WholeStyleTerm]:
    statistic = chosen_statistic(settings)
    inputs = statistic.inputs(seen_layers(settings, "style"))
    terms: list[StyleTerm | WholeStyleTerm] = []
    for number, part in enumerate(targets.style, 1):
        for layer, weight in weighted_layers(settings, "style", part.weight):
            if layer not in part.layers or not (part.guides is None or layer in part.guides):
                continue
            name = LossName("style", layer, number if len(targets.style) > 1 else None)
            guide = None if part.guides is None else part.guides[layer]
            form, target = settings.style_form, part.layers[layer]
            if isinstance(statistic, Summed):
                term = StyleTerm(name, inputs[layer], weight, form, statistic, target, guide)
                terms.append(term)
            else:
                terms.append(
                    WholeStyleTerm(name, inputs[layer], weight, form, statistic, target, guide)
                )
    return terms


def obstacle(settings: Settings, encoder: Encoder) -> str | None:
    """Return the reason why an objective cannot be computed in tiles; None: it can be."""
    if encoder.padding == "circular":
        return (
            "padding circular: each border of the picture touches the opposite one, so the picture "
            "cannot be cut into tiles; choose a size that fits without tiles"
        )
    statistic = chosen_statistic(settings)
    if seen_layers(settings, "style") and not isinstance(statistic, Summed):
        summed = ", ".join(name for name, other in STATISTICS.items() if isinstance(other, Summed))
        return (
            f"statistic {settings.to_dict()['statistic']} is not a sum over positions, so the "
            f"picture cannot be cut into tiles; choose one of {summed}, or a size that fits "
            "without tiles"
        )
    return None


class _TileFeatures:
    """The features of one tile, and the backward pass from them to the pixels.

    Args:
        differentiate: whether `add_gradient` will be called.
        up_to: the deepest layer that is computed; None: the deepest one of the encoder.
    """

    def __init__(
        self, encoder: Encoder, image: Tensor, tile: Tile, differentiate: bool, up_to: str | None
    ) -> None:
        self.tile = tile
        self._pixels = tile.outer.of(image).detach().requires_grad_(differentiate)
        with torch.set_grad_enabled(differentiate):
            self._chain = encoder.chain(self._pixels, up_to)
        self.features = {name: maps.detach().to(image.dtype) for name, maps in self._chain.items()}

    def add_gradient(self, terms: Sequence[tuple[FeatureTerm, float]], gradient: Tensor) -> None:
        """Add the gradient of the losses by the tile's pixels to the picture's gradient.

        The losses use the features of the inner box, but have gradients at all pixels of the outer
        box. The method can be called only once. Features and their gradients are as large as
        everything else together, so neither of them ever exists for all layers at once:

        1. The backward pass starts at the deepest layer that has a gradient of its own.
        2. When it arrives at a shallower layer, a hook computes that layer's own gradient, adds it
           to the arriving one in place, and deletes the layer's features.
        3. The gradients of a term that needs two layers are computed at the deeper layer. The
           gradient of the shallower layer is kept in `waiting`.

        Args:
            terms: the terms, each with the factor of its gradient.
            gradient: the gradient of the picture, (1, 3, H, W), which is changed.
        """
        order = list(self._chain)
        by_layer: dict[str, list[tuple[FeatureTerm, float]]] = {}
        for term, factor in terms:
            by_layer.setdefault(max(term.layers, key=order.index), []).append((term, factor))
        waiting: dict[str, Tensor] = {}

        def own_gradient(layer: str) -> Tensor | None:
            for term, factor in by_layer.get(layer, ()):
                for name, part in term.gradients(self.tile, self.features):
                    if name in waiting:
                        waiting[name].add_(part, alpha=factor)
                    else:
                        waiting[name] = part.mul_(factor)
            del self.features[layer]
            return waiting.pop(layer, None)

        def add_own_gradient(layer: str, arriving: Tensor) -> None:
            own = own_gradient(layer)
            if own is not None:
                # In place, because autograd made this tensor for this hook alone.
                self.tile.own(arriving, minimum_side(layer)).add_(own)

        while self._chain:
            layer, deepest = self._chain.popitem()
            own = own_gradient(layer)
            if own is not None:
                break
        else:
            return
        for name, maps in self._chain.items():
            hook = functools.partial(add_own_gradient, name)
            maps.register_hook(hook)  # type: ignore[no-untyped-call]
        self._chain.clear()
        with torch.enable_grad():
            inner = self.tile.own(deepest, minimum_side(layer))
            # The backward pass starts from a scalar, because to start from a map, torch would first
            # import sympy, which takes 0.25 s.
            start = (inner * own.to(inner.dtype)).sum()
        del deepest, inner
        (pixel_gradient,) = torch.autograd.grad(start, self._pixels)
        self.tile.outer.of(gradient).add_(pixel_gradient)


def _normalizing_factors(
    parts: Iterable[_TileFeatures], terms: Sequence[FeatureTerm]
) -> list[float]:
    """Return factors that make the L1 norm of each term's gradient, over all tiles, its weight.

    Then only its weight determines the influence of a term, and not the size of its loss. The
    gradient is no longer that of the losses that are shown.

    Paper: neural-style (Johnson 2015) in Lua, -normalize_gradients: each layer's gradient is
           divided by its L1 norm (+ 1e-8) and multiplied by the weight. Programs that do this to
           the scalar loss only square the weight. Differs: nothing is added to the norm.
    """
    norms = [0.0] * len(terms)
    for part in parts:
        for index, term in enumerate(terms):
            gradients = term.gradients(part.tile, part.features)
            norms[index] += sum(float(gradient.abs_().sum()) for _, gradient in gradients)
        del part, gradients  # free them before the next ones are computed
    # At the target, the gradient and its norm are 0.
    return [
        term.weight / norm if norm > 0 else 0.0 for term, norm in zip(terms, norms, strict=True)
    ]


class _Losses(torch.autograd.Function):
    """The losses of an image, when the gradient of their sum is known already."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, gradient: Tensor, *losses: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(gradient)
        return tuple(loss.clone() for loss in losses)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *factors: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        if any(float(factor) != float(factors[0]) for factor in factors):
            raise RuntimeError(
                "only the sum of all losses of an Objective, or a multiple of it, can be "
                f"differentiated; the factors {[float(factor) for factor in factors]} differ"
            )
        return (gradient * factors[0], None, *(None for _ in factors))
