"""What to aim at: the photo's features and the paintings' statistics, measured once and reused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from impasto.errors import ShapeError
from impasto.network.encoder import Encoder
from impasto.style import Statistic

__all__ = [
    "StyleTarget",
    "Targets",
    "blend_styles",
    "describe",
    "measure_content",
    "measure_style",
]


@dataclass(frozen=True)
class StyleTarget:
    """What the style of the picture, or of a part of it, is compared with.

    Attributes:
        layers: layer → the statistic's target there.
        weight: of this part's style loss, over all layers.
        guides: layer → which positions of the picture it is about, (1, 1, h, w) with Σ g² = 1;
            layers without one have no term. None: all positions, in every layer.
    """

    layers: Mapping[str, Tensor]
    weight: float
    guides: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Targets:
    """What the objective compares a picture with.

    Attributes:
        content: layer → the photo's features there, (1, C, h, w).
        style: one target for the whole picture, or one for each part of it.
        content_counts: layer → how many times each position counts, (1, 1, h, w); where a layer
            is missing, once.
    """

    content: Mapping[str, Tensor]
    style: Sequence[StyleTarget] = ()
    content_counts: Mapping[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def measure_content(encoder: Encoder, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return the features of a photo, (1, 3, H, W), at the content layers."""
    if not layers:
        return {}
    features = encoder(image)
    return {name: features[name] for name in layers}


# Encoder, painting, layers, statistic, guide by layer → the statistic of every layer that has one.
Describe = Callable[
    [Encoder, Tensor, Sequence[str], Statistic, Mapping[str, Tensor] | None], dict[str, Tensor]
]


def described_layers(
    layers: Sequence[str], statistic: Statistic, guides: Mapping[str, Tensor] | None
) -> dict[str, tuple[str, ...]]:
    """Tell, for each layer that a painting has a part in, which layers to measure."""
    inputs = statistic.inputs(layers)
    return {name: inputs[name] for name in inputs if guides is None or name in guides}


@torch.no_grad()
def describe(
    encoder: Encoder,
    image: Tensor,
    layers: Sequence[str],
    statistic: Statistic,
    guides: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Return the statistic of one painting, (1, 3, H, W), layer by layer; see `measure_style`."""
    features = encoder(image)
    return {
        name: statistic.measure(
            *(features[each] for each in inputs), guide=None if guides is None else guides[name]
        )
        for name, inputs in described_layers(layers, statistic, guides).items()
    }


@torch.no_grad()
def measure_style(
    encoder: Encoder,
    styles: Sequence[Tensor],
    *,
    layers: Sequence[str],
    statistic: Statistic,
    blend: Sequence[float] | None = None,
    guides: Sequence[Mapping[str, Tensor] | None] | None = None,
    describe: Describe = describe,
) -> dict[str, Tensor]:
    """Return the statistic of one painting, or what several's blend to, layer by layer.

    A statistic that looks at two layers has a target for the deeper of each pair of neighbors.

    Args:
        styles: images (1, 3, H, W), each of its own size.
        blend: a weight per style, ≥ 0, of any sum; None weighs them equally.
        guides: per style, layer → which of its positions are measured, (1, 1, h, w); a style
            whose guides lack a layer has no part in that layer. None: all positions.
        describe: how one painting is described: `describe`, or in tiles.

    Raises: ShapeError: no style, or not a weight per style.
    """
    weights = [1.0] * len(styles) if blend is None else list(blend)
    if not styles or len(weights) != len(styles) or sum(weights) <= 0:
        raise ShapeError(f"{len(styles)} styles with {len(weights)} blend weights: {weights}")
    described = [
        describe(encoder, image, layers, statistic, guide)
        for image, guide in zip(styles, guides or [None] * len(styles), strict=True)
    ]
    return blend_styles(statistic, described, weights)


@torch.no_grad()
def blend_styles(
    statistic: Statistic, described: Sequence[Mapping[str, Tensor]], weights: Sequence[float]
) -> dict[str, Tensor]:
    """Return what the descriptions of several paintings blend to, layer by layer.

    Args: weights: one for each, ≥ 0; in a layer, of any sum among those that have it.
    """
    measured: dict[str, list[tuple[Tensor, float]]] = {}
    for layers, weight in zip(described, weights, strict=True):
        for name, target in layers.items():
            measured.setdefault(name, []).append((target, weight))
    return {name: _blended(statistic, pairs) for name, pairs in measured.items()}


def _blended(statistic: Statistic, pairs: Sequence[tuple[Tensor, float]]) -> Tensor:
    total = sum(weight for _, weight in pairs)
    shares = [weight / total for _, weight in pairs]
    return statistic.blend([target for target, _ in pairs], shares)
