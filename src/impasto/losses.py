"""How far off a picture is: content, style and total variation, and their weighted, named sum."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from impasto.encoder import Encoder
from impasto.settings import Settings
from impasto.statistics import STATISTICS
from impasto.targets import Targets

__all__ = ["Objective", "chroma_variation", "content_loss", "total_variation"]


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Compare what is where: mean squared difference of the features of one layer.

    Args:    features, target: (B, C, h, w).
    Returns: a scalar.
    Paper:   Gatys, Ecker & Bethge, CVPR 2016, equation 1. Differs: a mean, not half the sum, so
             that content weighs the same against style at every size.
    """
    return (features - target).square().mean()


def total_variation(image: Tensor, *, reduction: str = "mean") -> Tensor:
    """Measure how restless a picture is: Σ |∂x| + |∂y| over neighbours, pixels and channels.

    Args:
        image: (B, 3, H, W).
        reduction: "sum", or "mean": the sum divided by the number of values, 3·H·W.

    Returns: a scalar; 0 for a constant picture.
    Paper:   Mahendran & Vedaldi 2015 brought it to inverted features; anisotropic and of power 1
             as in neural-style.
    """
    across = (image[..., :, 1:] - image[..., :, :-1]).abs().sum()
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().sum()
    return across + down if reduction == "sum" else (across + down) / image.numel()


def chroma_variation(image: Tensor) -> Tensor:
    """Measure how restless a picture's colors are: the total variation of their differences.

    Of the two planes (R − G) / √2 and (R + G − 2B) / √6, which with (R + G + B) / √3 make an
    orthonormal basis: grey grain has none of it. VGG's statistics hardly see color at the scale of
    single pixels, so nothing else keeps it from speckling; in a painting, or its JPEG, it is
    smooth.

    Args:    image: (B, 3, H, W).
    Returns: a scalar: the mean over pixels and planes of |∂x| + |∂y|.
    """
    red, green, blue = image.unbind(dim=1)
    planes = [(red - green) / math.sqrt(2), (red + green - 2 * blue) / math.sqrt(6)]
    return total_variation(torch.stack(planes, dim=1))


class Objective(nn.Module):
    """What a pastiche minimises, as named terms, each already multiplied by its weight.

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
        self.statistic = STATISTICS[settings.statistic]
        self._content_scales = _scales(content_loss, targets.content, settings.content_form)
        self._style_scales = _scales(self.statistic.distance, targets.style, settings.style_form)

    def by_layer(self, image: Tensor) -> dict[str, Tensor]:
        """Return every term of every layer: "content relu4_2", "style relu1_1", …, "tv"."""
        settings = self.settings
        features = self.encoder(image)
        terms: dict[str, Tensor] = {}
        for name, weight in weighted_layers(settings, "content"):
            loss = content_loss(features[name], self.targets.content[name])
            terms[f"content {name}"] = weight / self._content_scales[name] * loss
        for name, weight in weighted_layers(settings, "style"):
            measured = self.statistic.measure(features[name])
            loss = self.statistic.distance(measured, self.targets.style[name])
            terms[f"style {name}"] = weight / self._style_scales[name] * loss
        if settings.tv_weight > 0:
            variation = total_variation(image, reduction=settings.tv_reduction)
            terms["tv"] = settings.tv_weight * variation
        if settings.chroma_weight > 0:
            terms["tv chroma"] = settings.chroma_weight * chroma_variation(image)
        return terms

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return the terms {"content": …, "style": …, "tv": …} of an image (1, 3, H, W).

        Each is a scalar ≥ 0, weighted; their sum is what is minimised. A term of weight 0 is 0.
        """
        return sum_by_term(self.by_layer(image), image)


def _scales(
    distance: Callable[[Tensor, Tensor], Tensor], targets: Mapping[str, Tensor], form: str
) -> dict[str, float]:
    """Return what each layer's loss is divided by: 1, or the loss of an empty picture there.

    Raw losses of VGG's layers differ by four orders of magnitude, so that one or two of them
    decide alone; as a share of what there is to reach, they weigh alike on every layer, network
    and painting.
    """
    if form == "mean":
        return dict.fromkeys(targets, 1.0)
    empty = {name: float(distance(torch.zeros_like(each), each)) for name, each in targets.items()}
    return {name: scale if scale > 0 else 1.0 for name, scale in empty.items()}


def weighted_layers(settings: Settings, kind: str) -> list[tuple[str, float]]:
    """List the layers of the content or style term with their weights, none of them 0."""
    layers: Sequence[str] = getattr(settings, f"{kind}_layers")
    weights: Sequence[float] = getattr(settings, f"{kind}_layer_weights") or [1.0] * len(layers)
    total: float = getattr(settings, f"{kind}_weight")
    pairs = [(name, total * weight) for name, weight in zip(layers, weights, strict=True)]
    return [(name, weight) for name, weight in pairs if weight > 0]


def sum_by_term(terms: Mapping[str, Tensor], like: Tensor) -> dict[str, Tensor]:
    """Add up the layers of each term."""
    sums = {name: torch.zeros((), dtype=like.dtype, device=like.device) for name in _TERMS}
    for name, loss in terms.items():
        term = name.split()[0]
        sums[term] = sums[term] + loss
    return sums


_TERMS = ("content", "style", "tv")
