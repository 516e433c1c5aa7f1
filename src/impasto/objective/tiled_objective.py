"""The same objective and gradient for pictures larger than memory, exactly.

Tiling each tile alone would paint another picture, because style statistics are global. Here
they stay global, in two passes over tiles that overlap. The first, without gradients, adds up each
layer's `Sums`, from which the losses of the whole follow, and how they pull on the features. The
second runs the network on one tile after the other, seeds the closed-form gradient of the whole
picture's losses at the tile's own positions, and adds what flows back to the picture's gradient.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from impasto.errors import SettingsError
from impasto.network.encoder import Encoder
from impasto.objective.objective import (
    LayerTerm,
    Objective,
    chroma_planes,
    content_factor,
    seen_layers,
    style_factor,
    total_variation,
)
from impasto.objective.targets import Targets
from impasto.objective.tiled_targets import StyleSums, cut_for, look_around
from impasto.objective.tiles import Tile, shrinking
from impasto.settings.layers import minimum_side
from impasto.settings.pictures import Settings
from impasto.style import STATISTICS, Summed, Sums

__all__ = ["TiledObjective", "obstacle"]

# Total variation is added up over bands of so many rows.
_BAND = 256


def obstacle(settings: Settings, encoder: Encoder) -> str | None:
    """Tell why an objective cannot be computed in tiles; None: it can."""
    if encoder.padding == "circular":
        return (
            "padding circular: each border of the picture sees the opposite one, so it cannot be "
            "cut into tiles; choose a size that fits at once"
        )
    statistic = STATISTICS[settings.statistic]
    if seen_layers(settings, "style") and not isinstance(statistic, Summed):
        able = ", ".join(name for name, each in STATISTICS.items() if isinstance(each, Summed))
        return (
            f"statistic {settings.statistic} is no sum over positions, so the picture cannot be "
            f"cut into tiles; choose one of {able}, or a size that fits at once"
        )
    return None


class _StyleTerm:
    """A layer's style loss, and its gradient."""

    def __init__(self, term: LayerTerm, target: Tensor, form: str, parts: StyleSums) -> None:
        self.name, self.weight, self.scale = term.name, term.weight, term.scale
        self.target = target
        self.form = form
        self.parts, self.layers = parts, parts.layers
        self.factor = 0.0
        self.pull: Sums | None = None

    def add(self, tile: Tile, features: Mapping[str, Tensor]) -> None:
        self.parts.add(tile, features)

    def settle(self, size: tuple[int, int], *, pulling: bool) -> float:
        """Return the loss of a whole picture, (H, W), all of whose tiles were added."""
        statistic, sums = self.parts.statistic, self.parts.sums
        if sums is None:  # a guide of zeros
            return 0.0
        self.factor = self.weight * style_factor(self.form, self.parts.shapes(size)) / self.scale
        self.pull = statistic.pull(sums, self.target) if pulling else None
        return self.factor * float(statistic.distance(statistic.finish(sums), self.target))

    def slopes(self, tile: Tile, features: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Yield, layer by layer, the gradient at a tile's own positions, over `factor`."""
        if self.pull is not None:
            yield from self.parts.slopes(self.pull, tile, features)


class _ContentTerm:
    """A layer's content loss, and its gradient; see `_StyleTerm`."""

    def __init__(
        self, term: LayerTerm, target: Tensor, factor: float, counts: Tensor | None
    ) -> None:
        self.name, self.weight = term.name, term.weight
        self.layer, self.layers = term.layer, (term.layer,)
        # Of Σ (F − P)² / 2, whose gradient is F − P.
        self.factor = 2 * term.weight * factor / term.scale / target.numel()
        self.target = target
        self.counts = counts
        self.squares = 0.0

    def add(self, tile: Tile, features: Mapping[str, Tensor]) -> None:
        apart = self._apart(tile, features).square_()
        counts = self._counts(tile)
        self.squares += float((apart if counts is None else apart.mul_(counts)).sum()) / 2

    def settle(self, size: tuple[int, int], *, pulling: bool) -> float:
        return self.factor * self.squares

    def slopes(self, tile: Tile, features: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        apart, counts = self._apart(tile, features), self._counts(tile)
        yield self.layer, apart if counts is None else apart.mul_(counts)

    def _apart(self, tile: Tile, features: Mapping[str, Tensor]) -> Tensor:
        stride = minimum_side(self.layer)
        return tile.own(features[self.layer], stride) - tile.inner.of(self.target, stride)

    def _counts(self, tile: Tile) -> Tensor | None:
        counts = self.counts
        return None if counts is None else tile.inner.of(counts, minimum_side(self.layer))


_Term = _StyleTerm | _ContentTerm


class _Look:
    """What the network makes of a tile.

    Args:
        pulling: whether the gradient will be asked for.
        up_to: the deepest layer that is run.
    """

    def __init__(
        self, encoder: Encoder, image: Tensor, tile: Tile, pulling: bool, up_to: str | None
    ) -> None:
        self.tile = tile
        self._part = tile.outer.of(image).detach().requires_grad_(pulling)
        with torch.set_grad_enabled(pulling):
            self._chain = encoder.chain(self._part, up_to)
        self.features = {name: each.detach().to(image.dtype) for name, each in self._chain.items()}

    def pull(self, terms: Sequence[tuple[_Term, float]], gradient: Tensor) -> None:
        """Add what the tile's own features contribute to the picture's gradient, margin included.

        Each layer's slope is computed when what flows back has come to that layer, and the layer
        is forgotten then: at no time are there slopes of more than a few. It can be done once.
        """
        order, due = list(self._chain), dict[str, list[tuple[_Term, float]]]()
        for term, factor in terms:
            due.setdefault(max(term.layers, key=order.index), []).append((term, factor))
        slopes: dict[str, Tensor] = {}

        def slope_of(layer: str) -> Tensor | None:
            for term, factor in due.get(layer, ()):
                for name, slope in term.slopes(self.tile, self.features):
                    if name in slopes:
                        slopes[name].add_(slope, alpha=factor)
                    else:
                        slopes[name] = slope.mul_(factor)
            del self.features[layer]
            return slopes.pop(layer, None)

        def arrive(layer: str, flow: Tensor) -> None:
            slope = slope_of(layer)
            if slope is not None:
                # In place: what arrives here was made for it, and is nobody else's.
                self.tile.own(flow, minimum_side(layer)).add_(slope)

        while self._chain:
            layer, deepest = self._chain.popitem()
            slope = slope_of(layer)
            if slope is not None:
                break
        else:
            return
        for name, each in self._chain.items():
            each.register_hook(functools.partial(arrive, name))  # type: ignore[no-untyped-call]
        self._chain.clear()
        with torch.enable_grad():
            own = self.tile.own(deepest, minimum_side(layer))
            # Of a number: to start from a map, torch first loads a quarter of a second of sympy.
            along = (own * slope.to(own.dtype)).sum()
        del deepest, own
        (pulled,) = torch.autograd.grad(along, self._part)
        self.tile.outer.of(gradient).add_(pulled)


class TiledObjective(Objective):
    """An objective whose losses and gradient are computed in tiles, where a picture needs it.

    A picture that fits one tile is looked at whole, as by `Objective`. Where memory does not
    suffice, tiles are halved, again and again down to 128 px.

    The losses' sum can be differentiated, and so can their mean, but not one without the others:
    the gradient is computed with the losses.

    Args:
        tile: the longest side, in px, of what counts of a tile; None: the whole at once.

    Attributes:
        tile: what it is by now.
    """

    def __init__(
        self, encoder: Encoder, targets: Targets, settings: Settings, *, tile: int | None = None
    ) -> None:
        super().__init__(encoder, targets, settings)
        self.tile = tile

    def by_layer(self, image: Tensor, up_to: str | None = None) -> dict[str, Tensor]:
        """Return the terms of an image as `Objective` does.

        Raises: SettingsError: it is larger than a tile, but cannot be cut; see `obstacle`.
        """
        longest = max(image.shape[-2:])
        reason = obstacle(self.settings, self.encoder)
        if reason is not None:
            if self.tile is not None and self.tile < longest:
                raise SettingsError(reason)
            return super().by_layer(image, up_to)
        side = longest if self.tile is None else min(self.tile, longest)
        pulling = torch.is_grad_enabled() and image.requires_grad
        (losses, gradient), enough = shrinking(
            lambda side: self._evaluate(image.detach(), side, pulling, up_to), side
        )
        if enough < side:
            self.tile = enough
        if gradient is None:
            return losses
        values = _Losses.apply(image, gradient, *losses.values())  # type: ignore[no-untyped-call]
        return dict(zip(losses, values, strict=True))

    def _evaluate(
        self, image: Tensor, side: int, pulling: bool, up_to: str | None
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Return losses by term and layer, and the gradient of their sum where it is wanted."""
        size = (image.shape[-2], image.shape[-1])
        tiles, terms = self.tiles(size, side), self._terms(up_to)
        # What one tile shows can be kept until all is added up; of several, only one at a time.
        look_at = functools.partial(_Look, self.encoder, image, up_to=up_to)
        whole = [look_at(tiles[0], pulling)] if len(tiles) == 1 else None

        def looks(pulling: bool) -> Iterable[_Look]:
            return whole or (look_at(tile, pulling) for tile in tiles)

        with torch.no_grad():
            for look in looks(False):
                for term in terms:
                    term.add(look.tile, look.features)
                del look  # before there is another
            losses = {term.name: term.settle(size, pulling=pulling) for term in terms}
            factors = [term.factor for term in terms]
            if pulling and self.settings.normalize_gradients:
                factors = _normalizing(looks(False), terms)
            gradient = torch.zeros_like(image) if pulling else None
            if gradient is not None:
                for look in looks(True):
                    look.pull(list(zip(terms, factors, strict=True)), gradient)
            losses |= self._variation(image, gradient)
        return {name: image.new_tensor(loss) for name, loss in losses.items()}, gradient

    def tiles(self, size: tuple[int, int], side: int) -> tuple[Tile, ...]:
        """Cut a picture (H, W) into tiles of which so many px count."""
        return cut_for(self.encoder, size, side, look_around(self.statistic, self._inputs))

    def _terms(self, up_to: str | None) -> list[_Term]:
        settings = self.settings
        terms: list[_Term] = []
        for term in self.layer_terms(up_to):
            if term.part is None:
                target = self.targets.content[term.layer]
                factor = content_factor(settings.content_form, target)
                counts = self.targets.content_counts.get(term.layer)
                terms.append(_ContentTerm(term, target, factor, counts))
                continue
            target = term.part.layers[term.layer]
            guide = None if term.part.guides is None else term.part.guides[term.layer]
            parts = StyleSums(self.statistic, term.seen, guide)  # type: ignore[arg-type]
            terms.append(_StyleTerm(term, target, settings.style_form, parts))
        return terms

    def _variation(self, image: Tensor, gradient: Tensor | None) -> dict[str, float]:
        """Return total variation of the picture and of its chroma, band by band of rows.

        Args: gradient: theirs is added to it; None: not wanted.
        """
        settings, height = self.settings, image.shape[-2]
        kinds: dict[str, tuple[float, Callable[[Tensor], Tensor]]] = {}
        if settings.tv_weight > 0:
            count = 1 if settings.tv_reduction == "sum" else image.numel()
            kinds["tv"] = (settings.tv_weight / count, self._restlessness)
        if settings.chroma_weight > 0:
            count = 2 * image[:, 0].numel()
            kinds["tv chroma"] = (settings.chroma_weight / count, _chroma_restlessness)
        losses = dict.fromkeys(kinds, 0.0)
        for top in range(0, max(height - 1, 1), _BAND):
            # With one more row, for the band's last to be compared with. What that row has within
            # itself is the next band's.
            bottom = min(top + _BAND, height - 1)
            band = image[..., top : bottom + 1, :].detach()
            band.requires_grad_(gradient is not None)
            for name, (factor, measure) in kinds.items():
                with torch.set_grad_enabled(gradient is not None):
                    loss = measure(band)
                    if bottom < height - 1:
                        loss = loss - measure(band[..., -1:, :])
                    loss = loss * factor
                losses[name] += float(loss.detach())
                if gradient is not None:
                    (slope,) = torch.autograd.grad(loss, band)
                    gradient[..., top : bottom + 1, :].add_(slope)
        return losses

    def _restlessness(self, band: Tensor) -> Tensor:
        return total_variation(
            band,
            reduction="sum",
            isotropic=self.settings.tv_isotropic,
            power=self.settings.tv_power,
        )


def _normalizing(looks: Iterable[_Look], terms: Sequence[_Term]) -> list[float]:
    """Return what brings each term's gradient to an L1 norm, its weight, over all tiles.

    See `normalize_gradient`.
    """
    norms = [0.0] * len(terms)
    for look in looks:
        for index, term in enumerate(terms):
            slopes = term.slopes(look.tile, look.features)
            norms[index] += sum(float(slope.abs_().sum()) for _, slope in slopes)
        del look, slopes  # before there is another
    # 0 / 0 at the target is 0.
    return [
        term.weight / norm if norm > 0 else 0.0 for term, norm in zip(terms, norms, strict=True)
    ]


def _chroma_restlessness(band: Tensor) -> Tensor:
    return total_variation(chroma_planes(band), reduction="sum")


class _Losses(torch.autograd.Function):
    """Losses of an image whose gradient is known already: that of their sum."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, gradient: Tensor, *losses: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(gradient)
        return tuple(loss.clone() for loss in losses)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        if any(float(slope) != float(slopes[0]) for slope in slopes):
            raise RuntimeError(
                "of a TiledObjective, only the sum of all terms can be differentiated, or a "
                f"multiple of it, not {[float(slope) for slope in slopes]}"
            )
        return (gradient * slopes[0], None, *(None for _ in slopes))
