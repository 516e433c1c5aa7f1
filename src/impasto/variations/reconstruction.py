"""Reconstruction: a picture is painted from its features at one layer, or from its style."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch

from impasto.painting.inputs import load_inputs
from impasto.painting.pastiche import Pastiche
from impasto.painting.picture_plan import PicturePlan
from impasto.painting.stylizer import Stylizer
from impasto.pictures.files import Source, load_picture
from impasto.pictures.picture import identity, resize
from impasto.settings.layers import check_layer, layer_names
from impasto.settings.pictures import Settings
from impasto.settings.recipes import RECONSTRUCTION

__all__ = ["plan_reconstruction", "reconstruct", "style_layers_up_to"]

Target = Literal["content", "style"]


def reconstruct(
    image: Source,
    layer: str = "relu4_2",
    settings: Settings | None = None,
    *,
    of: Target = "content",
    device: str | torch.device | None = None,
    memory: float | None = None,
) -> Pastiche:
    """Reconstruct a picture from noise, so that its content or its style matches at a layer.

    Args:
        image: the picture.
        layer: for content, the layer whose features are matched. For style, the deepest layer
            whose statistic is matched; see `style_layers_up_to`.
        settings: as for `stylize`. The layers, and the content and style weights, are ignored.
            None: Adam, Gram matrices, one level, and no total variation.
        of: "content" or "style".
        device, memory: as for `Stylizer`.

    Raises: as for `stylize`.
    Paper:  Gatys, Ecker & Bethge, arXiv 1508.06576, figure 1; Mahendran & Vedaldi, CVPR 2015.
    """
    return plan_reconstruction(image, layer, settings, of=of, device=device, memory=memory).paint()


def plan_reconstruction(
    image: Source,
    layer: str = "relu4_2",
    settings: Settings | None = None,
    *,
    of: Target = "content",
    device: str | torch.device | None = None,
    memory: float | None = None,
) -> PicturePlan:
    """Plan a reconstruction. Args, Raises: as for `reconstruct`."""
    settings = settings or Settings().replace(**RECONSTRUCTION)
    check_layer(layer, settings.network)
    changes: dict[str, Any] = {"content_layer_weights": (), "style_layer_weights": ()}
    if of == "content":
        changes |= {"content_layers": (layer,), "content_weight": 1.0,
                    "style_layers": (layer,), "style_weight": 0.0}  # fmt: skip
    else:
        changes |= {"style_layers": style_layers_up_to(layer, settings.network),
                    "style_weight": 1.0, "content_weight": 0.0}  # fmt: skip
    settings = settings.replace(**changes, laplacian_weight=0.0, protect="none", init="noise")
    picture = load_picture(image)
    stylizer = Stylizer(settings, device=device, memory=memory)
    plan = stylizer.plan(load_inputs(picture, picture, settings))
    return replace(
        plan,
        inputs={
            "made": {"command": "reconstruct", "layer": layer, "of": of},
            "content": identity(picture),
        },
        enlarge=resize,
        complete=lambda image: resize(image, plan.levels[-1].size).clamp(0, 1),
        kinds=(),
    )


def style_layers_up_to(layer: str, network: str = "vgg19") -> tuple[str, ...]:
    """Return every block's first activation that is shallower than the layer, and the layer itself.

    relu3_1 → relu1_1, relu2_1, relu3_1: the subsets of Gatys et al. 2015, figure 1.
    """
    order = layer_names(network)
    before = [name for name in order[: order.index(layer)] if name.endswith("_1")]
    return (*(name for name in before if name.startswith("relu")), layer)
