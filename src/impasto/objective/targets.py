"""Targets: the photo's features and the paintings' statistics, measured once, whole or in tiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from impasto.kernels.threads import kernels_only
from impasto.network.encoder import Encoder
from impasto.objective.laplacian_term import LaplacianTarget
from impasto.objective.layer_weights import seen_layers
from impasto.objective.style_term import StyleSums
from impasto.objective.tiles import cut_for, look_around, shrinking
from impasto.settings.layers import minimum_side
from impasto.settings.pictures import Settings
from impasto.style import Statistic, Summed, chosen_statistic

__all__ = [
    "StyleTarget",
    "Targets",
    "blend_styles",
    "measure_content",
    "measure_style",
    "threads_for",
]

Result = TypeVar("Result")


@dataclass(frozen=True)
class StyleTarget:
    """The style target of the picture, or of a part of it.

    Attributes:
        layers: layer → the target of the statistic.
        weight: the weight of this part's style loss, in place of the settings' `style_weight`.
        guides: layer → a guide of the picture's positions, (1, 1, h, w) with Σ g² = 1. A layer
            without a guide has no term. None: all positions of all layers have equal weights.
    """

    layers: Mapping[str, Tensor]
    weight: float
    guides: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Targets:
    """All targets of a picture: its content and its styles.

    Attributes:
        content: layer → the photo's features, (1, C, h, w).
        style: one target for the whole picture, or one for each part of it.
        content_counts: layer → the weight of each position, (1, 1, h, w). If a layer is missing,
            its weights are 1.
        laplacians: the photo's Laplacian at each pool size; (): they are not compared.
        faces: the same on the protected faces alone.
    """

    content: Mapping[str, Tensor]
    style: Sequence[StyleTarget] = ()
    content_counts: Mapping[str, Tensor] = field(default_factory=dict)
    laplacians: Sequence[LaplacianTarget] = ()
    faces: Sequence[LaplacianTarget] = ()


def threads_for(encoder: Encoder, settings: Settings) -> AbstractContextManager[None]:
    """Let torch compute on one thread within a block, if the kernels do nearly all the work.

    They do not if the encoder or the statistic is computed by torch itself.
    """
    summed = isinstance(chosen_statistic(settings), Summed)
    if encoder.uses_kernel and (summed or not seen_layers(settings, "style")):
        return kernels_only()
    return nullcontext()


@torch.no_grad()
def measure_content(
    encoder: Encoder,
    image: Tensor,
    layers: Sequence[str],
    *,
    tile: int | None = None,
    half: bool = False,
) -> dict[str, Tensor]:
    """Return the features of a photo, (1, 3, H, W), at the content layers.

    Args:
        tile: the longest side, in px, of a tile's inner box; None: the picture is one tile if it
            fits into memory.
        half: keep the features in bfloat16, which needs half the memory and has two or three
            digits.
    """
    if not layers:
        return {}
    size = (image.shape[-2], image.shape[-1])

    def attempt(side: int) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}
        for part in cut_for(encoder, size, side):
            features = encoder(part.outer.of(image))
            for name in layers:
                stride = minimum_side(name)
                own = part.own(features[name], stride)
                own = own.bfloat16() if half else own
                grid = (size[0] // stride, size[1] // stride)
                if tuple(own.shape[-2:]) == grid:  # the only tile
                    maps[name] = own
                    continue
                if name not in maps:
                    maps[name] = own.new_empty((*own.shape[:2], *grid))
                part.inner.of(maps[name], stride).copy_(own)
            del features, own
        return maps

    return _in_tiles(attempt, encoder, size, tile)


@torch.no_grad()
def measure_style(
    encoder: Encoder,
    image: Tensor,
    layers: Sequence[str],
    statistic: Statistic,
    guides: Mapping[str, Tensor] | None = None,
    *,
    tile: int | None = None,
) -> dict[str, Tensor]:
    """Return the statistic of one painting, (1, 3, H, W), for each layer.

    A statistic of two layers has a target for the deeper layer of each pair. A statistic that is
    not `Summed` measures the whole painting at once.

    Args:
        guides: layer → a guide of its positions, (1, 1, h, w). A layer without a guide has no
            target. None: all positions of all layers have equal weights.
        tile: as for `measure_content`.
    """
    guides_of = guides if guides is not None else dict.fromkeys(layers)
    inputs = {name: seen for name, seen in statistic.inputs(layers).items() if name in guides_of}
    if not isinstance(statistic, Summed):
        features = encoder(image)
        return {
            name: statistic.measure(*(features[layer] for layer in seen), guide=guides_of[name])
            for name, seen in inputs.items()
        }
    size = (image.shape[-2], image.shape[-1])

    def attempt(side: int) -> dict[str, Tensor]:
        sums = {name: StyleSums(statistic, seen, guides_of[name]) for name, seen in inputs.items()}
        for part in cut_for(encoder, size, side, look_around(statistic, inputs)):
            features = encoder(part.outer.of(image))
            for layer_sums in sums.values():
                layer_sums.add(part, features)
            del features
        return {
            name: statistic.finish(layer_sums.sums)
            for name, layer_sums in sums.items()
            if layer_sums.sums is not None
        }

    return _in_tiles(attempt, encoder, size, tile)


def _in_tiles(
    attempt: Callable[[int], Result], encoder: Encoder, size: tuple[int, int], tile: int | None
) -> Result:
    """Measure a picture (H, W) in tiles of this side, or in smaller ones if memory is short."""
    longest = max(size)
    if encoder.padding == "circular":  # cannot be cut
        return attempt(longest)
    return shrinking(attempt, longest if tile is None else min(tile, longest))[0]


@torch.no_grad()
def blend_styles(
    statistic: Statistic, described: Sequence[Mapping[str, Tensor]], weights: Sequence[float]
) -> dict[str, Tensor]:
    """Blend the statistics of several paintings, for each layer.

    Args:
        described: for each painting, layer → its statistic.
        weights: one for each painting, ≥ 0. In each layer, they are divided by the sum of the
            weights of the paintings that have this layer.
    """
    by_layer: dict[str, list[tuple[Tensor, float]]] = {}
    for layers, weight in zip(described, weights, strict=True):
        for name, target in layers.items():
            by_layer.setdefault(name, []).append((target, weight))
    return {name: _blended(statistic, pairs) for name, pairs in by_layer.items()}


def _blended(statistic: Statistic, pairs: Sequence[tuple[Tensor, float]]) -> Tensor:
    total = sum(weight for _, weight in pairs)
    shares = [weight / total for _, weight in pairs]
    return statistic.blend([target for target, _ in pairs], shares)
