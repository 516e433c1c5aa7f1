"""How far off a picture is: content, style and total variation, and their weighted, named sum."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from impasto.network.encoder import Encoder
from impasto.objective.targets import StyleTarget, Targets
from impasto.settings.layers import layer_names
from impasto.settings.pictures import Settings
from impasto.style import chosen_statistic

__all__ = ["Objective", "chroma_variation", "content_loss", "total_variation"]


def content_loss(features: Tensor, target: Tensor, counts: Tensor | None = None) -> Tensor:
    """Compare what is where: mean squared difference of the features of one layer.

    Args:    features, target: (B, C, h, w).
             counts: how many times each position counts, (1, 1, h, w); None: once.
    Returns: a scalar.
    Paper:   Gatys, Ecker & Bethge, CVPR 2016, equation 1. Differs: a mean, not half the sum, so
             that content weighs the same against style at every size.
    """
    squares = (features - target).square()
    return squares.mean() if counts is None else (squares * counts).mean()


def total_variation(
    image: Tensor, *, reduction: str = "mean", isotropic: bool = False, power: float = 1.0
) -> Tensor:
    """Measure how restless a picture is, from the differences ∂x and ∂y of neighbors.

    Args:
        image: (B, 3, H, W).
        reduction: "sum", or "mean": the sum divided by the number of values, 3·H·W.
        isotropic: add up (∂x² + ∂y²)^power, where a pixel has both neighbors, instead of
            |∂x|^power + |∂y|^power.
        power: ≥ 1.

    Returns: a scalar; 0 for a constant picture.
    Paper:   Mahendran & Vedaldi 2015 brought it to inverted features, isotropic; anisotropic and
             of power 1 as in neural-style.
    """
    across = image[..., :, 1:] - image[..., :, :-1]
    down = image[..., 1:, :] - image[..., :-1, :]
    if isotropic:
        total = (across[..., :-1, :].square() + down[..., :-1].square()).pow(power).sum()
    else:
        total = across.abs().pow(power).sum() + down.abs().pow(power).sum()
    return total if reduction == "sum" else total / image.numel()


def chroma_variation(image: Tensor) -> Tensor:
    """Measure how restless a picture's colors are: the total variation of their differences.

    Of the two planes (R − G) / √2 and (R + G − 2B) / √6, which with (R + G + B) / √3 make an
    orthonormal basis: gray grain has none of it. VGG's statistics hardly see color at the scale of
    single pixels, so nothing else keeps it from speckling; in a painting, or its JPEG, it is
    smooth.

    Args:    image: (B, 3, H, W).
    Returns: a scalar: the mean over pixels and planes of |∂x| + |∂y|.
    """
    return total_variation(chroma_planes(image))


def chroma_planes(image: Tensor) -> Tensor:
    """Return the color differences (R − G) / √2 and (R + G − 2B) / √6 of an image, (B, 2, H, W)."""
    red, green, blue = image.unbind(dim=1)
    planes = [(red - green) / math.sqrt(2), (red + green - 2 * blue) / math.sqrt(6)]
    return torch.stack(planes, dim=1)


class LayerTerm(NamedTuple):
    """What one layer adds to an objective, before it is looked at.

    Attributes:
        name: "content relu4_2", "style relu1_1", or "style 2 relu1_1".
        layer: that has it.
        weight: what its loss is multiplied by,
        scale: and divided by.
        part: of the style; None: it is content.
        seen: all layers that it looks at.
    """

    name: str
    layer: str
    weight: float
    scale: float
    part: StyleTarget | None
    seen: tuple[str, ...]


class Objective(nn.Module):
    """What a pastiche minimizes, as named terms, each already multiplied by its weight.

    Args:
        encoder: must return the content and style layers of the settings.
        targets: what to compare with.
        settings: layers, weights and the kind of each term.
    """

    def __init__(self, encoder: Encoder, targets: Targets, settings: Settings) -> None:
        super().__init__()
        self.encoder = encoder
        self.targets = targets
        self.settings = settings
        self.statistic = chosen_statistic(settings)
        self._inputs = self.statistic.inputs(seen_layers(settings, "style"))
        self._content_scales = dict.fromkeys(targets.content, 1.0)
        self._style_scales = [dict.fromkeys(each.layers, 1.0) for each in targets.style]
        # Raw losses of VGG's layers differ by four orders of magnitude, so that one or two of
        # them decide alone; as a share of the loss of an empty picture, they weigh alike on every
        # layer, network and painting.
        if settings.content_form == "relative":
            for name, aim in targets.content.items():
                self._content_scales[name] = _mean_square(aim) or 1.0
        if settings.style_form == "relative":
            for scales, part in zip(self._style_scales, targets.style, strict=True):
                for name, aim in part.layers.items():
                    scales[name] = self.statistic.empty_distance(aim) or 1.0

    def by_layer(self, image: Tensor, up_to: str | None = None) -> dict[str, Tensor]:
        """Return every term of every layer: "content relu4_2", "style relu1_1", …, "tv".

        Where the picture has several parts, with their number: "style 2 relu1_1".

        Args: up_to: terms that look deeper than this layer are left out; None: none are.
        """
        features = self.encoder(image, up_to)
        terms: dict[str, Tensor] = {}
        for name, layer, weight, scale, part, _ in self.layer_terms(up_to):
            if part is None:
                terms[name] = self._content_term(layer, weight, features)
            else:
                terms[name] = self._style_term(layer, weight, part, features) / scale
        if self.settings.tv_weight > 0:
            terms["tv"] = self.settings.tv_weight * total_variation(
                image,
                reduction=self.settings.tv_reduction,
                isotropic=self.settings.tv_isotropic,
                power=self.settings.tv_power,
            )
        if self.settings.chroma_weight > 0:
            terms["tv chroma"] = self.settings.chroma_weight * chroma_variation(image)
        return terms

    def layer_terms(self, up_to: str | None = None) -> Iterator[LayerTerm]:
        """List the terms of content and of every part of the style, in their order.

        Args: up_to: see `by_layer`.
        """
        path = self.encoder.path
        within = path if up_to is None else path[: path.index(up_to) + 1]
        yield from (term for term in self._layer_terms() if set(term.seen) <= set(within))

    def _layer_terms(self) -> Iterator[LayerTerm]:
        for layer, weight in weighted_layers(self.settings, "content"):
            scale = self._content_scales[layer]
            yield LayerTerm(f"content {layer}", layer, weight, scale, None, (layer,))
        for number, part in enumerate(self.targets.style):
            prefix = f"style {number + 1}" if len(self.targets.style) > 1 else "style"
            scales = self._style_scales[number]
            for layer, weight in weighted_layers(self.settings, "style", part.weight):
                if layer in part.layers and (part.guides is None or layer in part.guides):
                    name, seen = f"{prefix} {layer}", self._inputs[layer]
                    yield LayerTerm(name, layer, weight, scales[layer], part, seen)

    def _content_term(self, name: str, weight: float, features: Mapping[str, Tensor]) -> Tensor:
        (seen,) = self._watched(weight, [features[name]])
        factor = content_factor(self.settings.content_form, seen) / self._content_scales[name]
        counts = self.targets.content_counts.get(name)
        return weight * factor * content_loss(seen, self.targets.content[name], counts)

    def _style_term(
        self, name: str, weight: float, part: StyleTarget, features: Mapping[str, Tensor]
    ) -> Tensor:
        maps = self._watched(weight, [features[each] for each in self._inputs[name]])
        guide = None if part.guides is None else part.guides[name]
        factor = style_factor(self.settings.style_form, maps)
        return weight * factor * self.statistic.compare(maps, part.layers[name], guide)

    def _watched(self, weight: float, maps: Sequence[Tensor]) -> Sequence[Tensor]:
        return normalize_gradient(weight, *maps) if self.settings.normalize_gradients else maps

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return the terms {"content": …, "style": …, "tv": …} of an image (1, 3, H, W).

        Each is a scalar ≥ 0, weighted; their sum is what is minimized. A term of weight 0 is 0.
        """
        nothing = torch.zeros((), dtype=image.dtype, device=image.device)
        return dict.fromkeys(TERMS, nothing) | sum_by_term(self.by_layer(image))


def _mean_square(features: Tensor) -> float:
    """Return the mean square, also of features that are kept in bfloat16."""
    wide = features.to(torch.promote_types(features.dtype, torch.float32))
    return float(wide.square().mean())


def content_factor(form: str, features: Tensor) -> float:
    """Turn `content_loss`, Σ(F − P)² / n, into the form of a recipe.

    gatys: ½ Σ (F − P)²; vgg16: ½ Σ ((F − P) / n)², with n = B·C·h·w.
    """
    if form == "gatys":
        return features.numel() / 2
    return 1 / (2 * features.numel()) if form == "vgg16" else 1.0


def style_factor(form: str, maps: Sequence[Tensor]) -> float:
    """Turn `gram_distance`, Σ(G − A)² / (C·C′)², into the form of a recipe.

    With G and A already divided by the number of positions, M of the picture's: gatys,
    Σ(G − A)² / (4 C C′); notebook, mean((M·G − M·A)²) / (C·M) for C = C′; vgg16,
    ½ Σ((G − A) / (C · C²))². The factors apply to other statistics just the same.

    Args: maps: the layer's features and, where the statistic wants them, those of the layer before.
    """
    pairs = maps[0].shape[1] * maps[-1].shape[1]
    if form == "gatys":
        return pairs / 4
    if form == "notebook":
        return math.sqrt(pairs) * max(each.shape[2] * each.shape[3] for each in maps)
    return 1 / (2 * pairs) if form == "vgg16" else 1.0


class _NormalizedGradient(torch.autograd.Function):
    """Features, unchanged; what flows back is scaled to an L1 norm, the weight."""

    @staticmethod
    def forward(ctx: Any, weight: float, *maps: Tensor) -> tuple[Tensor, ...]:
        ctx.weight = weight
        return tuple(each.view_as(each) for each in maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        norm = torch.stack([each.abs().sum() for each in gradients]).sum()
        norm = norm.clamp(min=torch.finfo(norm.dtype).tiny)  # 0 / 0 at the target is 0
        return (None, *(each / norm * ctx.weight for each in gradients))


def normalize_gradient(weight: float, *maps: Tensor) -> tuple[Tensor, ...]:
    """Return features whose gradient, from one layer's loss, will have this L1 norm.

    However large the loss is, only the weight says how strongly the layer pulls. The gradient is
    then not that of the loss that is shown.

    Args:
        weight: the norm, over all maps together.
        maps: (B, C, h, w), one per layer that the loss looks at.

    Paper: neural-style (Johnson 2015) in Lua, -normalize_gradients: each layer's gradient divided
           by its L1 norm (+ 1e-8), times the weight. Programs that wrap the scalar loss instead
           only square the weight. Differs: nothing is added to the norm.
    """
    scaled: tuple[Tensor, ...] = _NormalizedGradient.apply(weight, *maps)  # type: ignore[no-untyped-call]
    return scaled


def weighted_layers(
    settings: Settings, kind: str, total: float | None = None
) -> list[tuple[str, float]]:
    """List the layers that have a content or style term with their weights, none of them 0.

    Args: total: instead of the settings' content or (largest) style weight.
    """
    layers: Sequence[str] = getattr(settings, f"{kind}_layers")
    given: Sequence[float] = getattr(settings, f"{kind}_layer_weights") or [1.0] * len(layers)
    weighting: str = getattr(settings, f"{kind}_weighting")
    if total is None:
        total = settings.largest_style_weight if kind == "style" else settings.content_weight
    weights = dict(zip(layers, given, strict=True))
    if kind == "style":
        weights = {name: weights[name] for name in chosen_statistic(settings).inputs(layers)}
    if weighting == "geometric":
        order = layer_names(settings.network)
        depths = sorted(weights, key=order.index)
        ratio = 0.5 if kind == "style" else 2.0
        weights = {name: weights[name] * ratio ** depths.index(name) for name in weights}
    if weighting != "given":
        total /= sum(weights.values()) or 1.0
    return [(name, total * weight) for name, weight in weights.items() if total * weight > 0]


def seen_layers(settings: Settings, kind: str) -> list[str]:
    """List the layers whose features the content or style term needs, in the settings' order."""
    layers: Sequence[str] = getattr(settings, f"{kind}_layers")
    inputs = chosen_statistic(settings).inputs(layers) if kind == "style" else {}
    needed = {
        each for name, _ in weighted_layers(settings, kind) for each in inputs.get(name, (name,))
    }
    return [name for name in layers if name in needed]


def sum_by_term(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add up the layers of each term; the first word of a name is its term."""
    sums: dict[str, Tensor] = {}
    for name, loss in losses.items():
        term = name.split()[0]
        sums[term] = sums[term] + loss if term in sums else loss
    return sums


TERMS = ("content", "style", "tv")
