"""The layers that the content and style terms compare, and their weights."""

from __future__ import annotations

from collections.abc import Sequence

from impasto.settings.layers import layer_names
from impasto.settings.pictures import Settings
from impasto.style import chosen_statistic

__all__ = ["seen_layers", "weighted_layers"]


def weighted_layers(
    settings: Settings, kind: str, total: float | None = None
) -> list[tuple[str, float]]:
    """List the layers that have a content or style term, with their weights, all above 0.

    Args:
        kind: "content" or "style".
        total: the weight of the content or style loss; None: the settings' content weight, or
            their largest style weight.
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


def seen_layers(settings: Settings, *kinds: str) -> list[str]:
    """List the layers whose features the content or style terms need, in the settings' order.

    Args: kinds: "content" or "style"; without kinds: both.
    """
    layers: list[str] = []
    for kind in kinds or ("content", "style"):
        chosen: Sequence[str] = getattr(settings, f"{kind}_layers")
        inputs = chosen_statistic(settings).inputs(chosen) if kind == "style" else {}
        needed = {
            layer
            for name, _ in weighted_layers(settings, kind)
            for layer in inputs.get(name, (name,))
        }
        layers += [name for name in chosen if name in needed]
    return layers
