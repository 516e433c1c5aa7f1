"""Guides: how much each position of a layer counts, from masks of the picture."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from impasto.settings.layers import deepest, layer_names

__all__ = ["layer_guides", "layer_masks"]


def layer_guides(
    mask: Tensor, layers: Sequence[str], *, network: str, form: str = "simple"
) -> dict[str, Tensor]:
    """Bring a mask to the grid of each layer, as a guide g with Σ g² = 1.

    Args, forms: as for `layer_masks`.
    Returns: layer → (1, 1, h, w); layers in which nothing is left are missing.
    Paper:   Gatys, Ecker, Bethge, Hertzmann & Shechtman, CVPR 2017 (arXiv 1611.07865), section 4.
             Differs: receptive fields are followed exactly, 3 × 3 by 3 × 3; beyond the border
             counts as the mask's own border.
    """
    masks = layer_masks(mask, layers, network=network, form=form)
    norms = {name: each.square().sum().sqrt() for name, each in masks.items()}
    return {name: each / norms[name] for name, each in masks.items() if float(norms[name]) > 0}


def layer_masks(
    mask: Tensor, layers: Sequence[str], *, network: str, form: str = "simple"
) -> dict[str, Tensor]:
    """Bring a mask, (1, 1, H, W) in [0, 1], to the grid of each layer, (1, 1, h, w).

    Args:
        form: what a position counts whose receptive field lies only partly in the mask:
            simple: by how much of the pixels pooled into it lies there.
            inside: as little as the blackest pixel it sees: no pixel outside is pulled anywhere.
            all: as much as the whitest pixel it sees.
    """
    masks: dict[str, Tensor] = {}
    if not layers:
        return masks
    names = layer_names(network)
    for name in names[: names.index(deepest(tuple(layers), network)) + 1]:
        if name.startswith("conv") and form != "simple":
            mask = _widest(mask, 3, 1) if form == "all" else -_widest(-mask, 3, 1)
        elif name.startswith("pool"):
            mask = _pooled(mask, form)
        if name in layers:
            masks[name] = mask
    return masks


def _widest(mask: Tensor, side: int, stride: int) -> Tensor:
    return functional.max_pool2d(mask, side, stride=stride, padding=side // 2 if stride == 1 else 0)


def _pooled(mask: Tensor, form: str) -> Tensor:
    if form == "simple":
        return functional.avg_pool2d(mask, 2)
    return _widest(mask, 2, 2) if form == "all" else -_widest(-mask, 2, 2)
