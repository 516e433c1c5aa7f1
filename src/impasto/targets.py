"""What to aim at: the photo's features and the paintings' statistics, measured once and reused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.encoder import Encoder
from impasto.errors import ShapeError
from impasto.statistics import Statistic

__all__ = ["Targets", "measure_content", "measure_style"]


@dataclass(frozen=True)
class Targets:
    """What the objective compares a picture with.

    Attributes:
        content: layer → the photo's features there, (1, C, h, w).
        style: layer → the statistic's target there.
    """

    content: dict[str, Tensor]
    style: dict[str, Tensor]


@torch.no_grad()
def measure_content(encoder: Encoder, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return the features of a photo, (1, 3, H, W), at the content layers."""
    if not layers:
        return {}
    features = encoder(image)
    return {name: features[name] for name in layers}


@torch.no_grad()
def measure_style(
    encoder: Encoder,
    styles: Sequence[Tensor],
    *,
    layers: Sequence[str],
    statistic: Statistic,
    blend: Sequence[float] | None = None,
) -> dict[str, Tensor]:
    """Return the statistic of one painting, or what several's blend to, layer by layer.

    A statistic that looks at two layers has a target for the deeper of each pair of neighbours.

    Args:
        styles: images (1, 3, H, W), each of its own size.
        blend: a weight per style, ≥ 0, of any sum; None weighs them equally.

    Raises: ShapeError: no style, or not a weight per style.
    """
    weights = [1.0] * len(styles) if blend is None else list(blend)
    if not styles or len(weights) != len(styles) or sum(weights) <= 0:
        raise ShapeError(f"{len(styles)} styles with {len(weights)} blend weights: {weights}")
    shares = [weight / sum(weights) for weight in weights]
    measured: dict[str, list[Tensor]] = {}
    for image in styles:
        features = encoder(image)
        for name, inputs in statistic.inputs(layers).items():
            target = statistic.measure(*(features[each] for each in inputs))
            measured.setdefault(name, []).append(target)
    return {name: statistic.blend(targets, shares) for name, targets in measured.items()}
