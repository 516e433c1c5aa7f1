"""Guides: the weight of each position of a layer, computed from a mask of the picture."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from impasto.settings.layers import deepest, layer_names

__all__ = ["layer_guides", "layer_masks"]


def layer_guides(
    mask: Tensor, layers: Sequence[str], *, network: str, form: str = "simple"
) -> dict[str, Tensor]:
    """Resize a mask to the grid of each layer, and scale it to a guide g with Σ g² = 1.

    Args:    as for `layer_masks`.
    Returns: layer → (1, 1, h, w); a layer in which the mask is 0 everywhere is missing.
    Paper:   Gatys, Ecker, Bethge, Hertzmann & Shechtman, CVPR 2017 (arXiv 1611.07865), section 4.
             Differs: receptive fields are followed exactly, one 3 × 3 convolution after the other;
             beyond the border, the mask keeps the values that it has at the border.
    """
    masks = layer_masks(mask, layers, network=network, form=form)
    norms = {layer: grid.square().sum().sqrt() for layer, grid in masks.items()}
    return {layer: grid / norms[layer] for layer, grid in masks.items() if float(norms[layer]) > 0}


def layer_masks(
    mask: Tensor, layers: Sequence[str], *, network: str, form: str = "simple"
) -> dict[str, Tensor]:
    """Resize a mask, (1, 1, H, W) in [0, 1], to the grid of each layer, (1, 1, h, w).

    Args:
        form: the value at a position whose receptive field lies only partly inside the mask.
            "simple": the mean of the mask over the pixels that are pooled into the position.
            "inside": the minimum of the mask over the receptive field. Then a style loss has no
            gradient at any pixel outside the mask.
            "all": the maximum of the mask over the receptive field.
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
