"""Texture: the style of paintings without a photo, at any size; it can be seamless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from impasto.errors import SettingsError
from impasto.objective.deferred_layers import deferring
from impasto.objective.objective import Objective
from impasto.painting.canvas import minimize
from impasto.painting.inputs import Inputs, initial_image, load_inputs
from impasto.painting.level_targets import measure_targets
from impasto.painting.memory_plan import Workload
from impasto.painting.pastiche import Pastiche
from impasto.painting.picture_plan import PicturePlan
from impasto.painting.pyramid import Level, pyramid
from impasto.painting.stylizer import Stylizer
from impasto.pictures.files import Source, load_picture
from impasto.pictures.picture import identity, resize
from impasto.settings.pictures import Settings
from impasto.settings.recipes import TEXTURE

__all__ = ["plan_texture", "texture"]


def texture(
    styles: Source | Sequence[Source],
    size: tuple[int, int] | None = None,
    settings: Settings | None = None,
    *,
    seamless: bool = False,
    device: str | torch.device | None = None,
    memory: float | None = None,
) -> Pastiche:
    """Paint only the style of one or more paintings, at any size.

    Args:
        styles: a painting, or a list of paintings. They are blended in proportion to
            `settings.style_weight`.
        size: (H, W) in px; None: a square of `settings.long_side`.
        settings: as for `stylize`. The settings of the content, and `init`, are ignored: a texture
            starts from noise. None: Adam and Gram matrices.
        seamless: whether copies of the texture, side by side, have no visible seam.
        device, memory: as for `Stylizer`.

    Raises: as for `stylize`; SettingsError: a side is too short, or the style has no weight.
    Paper:  Gatys, Ecker & Bethge, Texture Synthesis Using CNNs, NIPS 2015.
    """
    return plan_texture(
        styles, size, settings, seamless=seamless, device=device, memory=memory
    ).paint()


def plan_texture(
    styles: Source | Sequence[Source],
    size: tuple[int, int] | None = None,
    settings: Settings | None = None,
    *,
    seamless: bool = False,
    device: str | torch.device | None = None,
    memory: float | None = None,
) -> PicturePlan:
    """Plan a texture. Args, Raises: as for `texture`."""
    settings = settings or Settings().replace(**TEXTURE)
    size = size or (settings.long_side, settings.long_side)
    if settings.style_weight == 0:
        raise SettingsError("style_weight is 0, but a texture has only a style; set it above 0")
    settings = settings.replace(long_side=max(size), content_weight=0.0, init="noise")
    settings = settings.replace(laplacian_weight=0.0)  # there is no photo

    many: list[Any] = list(styles) if isinstance(styles, list | tuple) else [styles]
    paintings = [load_picture(style) for style in many]
    if not paintings:
        raise SettingsError("no style given: name at least one painting")
    inputs = load_inputs(paintings[0], paintings, settings)
    stylizer = Stylizer(settings, device=device, memory=memory)
    least = stylizer.encoder.minimum_side
    if min(size) < least:
        raise SettingsError(
            f"size {size[1]}x{size[0]}: the layers need at least {least} px on each side"
        )
    levels = pyramid(size, settings, smallest=least)
    levels = whole_units(levels, least) if seamless else levels
    make = _seamless_objective if seamless else Stylizer.objective
    resized = resize_wrapped if seamless else resize
    return PicturePlan(
        settings=settings,
        works=stylizer.allot(
            levels,
            files=paintings,
            whole="a seamless texture is not computed in tiles" if seamless else "",
        ),
        inputs={
            "made": {"command": "texture", "size": list(size), "seamless": seamless},
            "styles": [identity(painting) for painting in paintings],
        },
        begin=lambda size: initial_image(inputs, settings, size),
        enlarge=resized,
        aim=lambda work: deferring(make(stylizer, inputs, work), work.level.steps),
        descend=lambda image, losses, work: minimize(
            image, losses, work, settings, stylizer.device, gray=inputs.gray
        ),
        complete=lambda image: resized(image, size).clamp(0, 1),
    )


def _seamless_objective(stylizer: Stylizer, inputs: Inputs, work: Workload) -> Objective:
    """Return the objective of a picture whose opposite borders touch.

    If the sides of the picture are multiples of the deepest layer's grid spacing, cyclic shifts by
    this spacing do not change the objective. So the objective has no seam.
    """
    # With zero padding, features near a painting's border depend on the zeros beyond it. A picture
    # without a border would imitate such features in its interior, by specks of pure color.
    extended = stylizer.encoder.with_padding("extended")
    targets = measure_targets(extended, inputs, stylizer.settings, work)
    return Objective(stylizer.encoder.with_padding("circular"), targets, stylizer.settings)


def whole_units(levels: Sequence[Level], unit: int) -> tuple[Level, ...]:
    """Round the sides of levels to multiples of a unit, so that no pooling drops a row."""

    def rounded(side: int) -> int:
        return max(unit, round(side / unit) * unit)

    return tuple(
        replace(level, size=(rounded(level.size[0]), rounded(level.size[1]))) for level in levels
    )


def resize_wrapped(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a picture whose opposite borders touch, so that they still fit together."""
    if tuple(image.shape[-2:]) == size:
        return image
    height, width = size
    tiled = resize(image.repeat(1, 1, 3, 3), (3 * height, 3 * width))
    return tiled[..., height : 2 * height, width : 2 * width].contiguous()
