"""Other ends of the same loop: texture and reconstruction.

A pastiche aims at a photo's content and a painting's style. With one of the two left out the same
encoder, targets, levels and optimizer give a texture without a picture (`texture`), or show what
a layer knows of a picture (`reconstruct`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from impasto.errors import SettingsError
from impasto.network.encoder import Encoder
from impasto.objective.deferred_layers import deferring
from impasto.objective.objective import Objective, chroma_planes
from impasto.objective.targets import Targets
from impasto.optimize.loop import Step, Terms
from impasto.painting.inputs import initial_image, load_inputs
from impasto.painting.memory_plan import Workload
from impasto.painting.pastiche import Pastiche, record
from impasto.painting.pyramid import Level, pyramid
from impasto.painting.stylizer import Stylizer
from impasto.pictures.files import Source, load_picture
from impasto.pictures.picture import identity, resize
from impasto.settings.layers import check_layer, layer_names
from impasto.settings.pictures import Settings
from impasto.settings.recipes import RECONSTRUCTION, TEXTURE

__all__ = [
    "Variation",
    "plan_reconstruction",
    "plan_texture",
    "reconstruct",
    "style_layers_up_to",
    "texture",
]

Target = Literal["content", "style"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Variation:
    """A picture that is planned: what the loop starts from, climbs through and aims at.

    Attributes:
        settings: layers, sizes, steps and the rest, as for a pastiche.
        levels: the sizes, coarse to fine, and their steps.
        inputs: what beside the settings determines the picture, for its metadata.
        begin: → the picture to start from, at the first level's size.
        enlarge: (result of a level, next size) → the picture to start that level from.
        aim: level → image → named terms, whose sum is minimized.
        descend: (image, terms, level) → steps.
        works: how each level is computed with the memory there is; none: whole.
        alpha: of the picture it is made from, (1, 1, H, W), or None.
        size: (H, W) of the result; None: the last level's.
    """

    settings: Settings
    levels: tuple[Level, ...]
    inputs: Mapping[str, Any]
    begin: Callable[[], Tensor]
    enlarge: Callable[[Tensor, tuple[int, int]], Tensor]
    aim: Callable[[Level], Terms]
    descend: Callable[[Tensor, Terms, Level], Iterator[Step]]
    works: tuple[Workload, ...] = ()
    alpha: Tensor | None = None
    size: tuple[int, int] | None = None

    def steps(self) -> Iterator[Step]:
        """Paint, and yield after every evaluation of the objective.

        Raises: DivergenceError: the optimization failed; carries the last good image.
        """
        image, done, seconds = self.begin(), 0, 0.0
        for number, level in enumerate(self.levels, 1):
            start = self.enlarge(image.cpu(), level.size)
            for step in self.descend(start, self.aim(level), level):
                yield replace(
                    step,
                    index=done + step.index,
                    count=self.settings.steps,
                    level=number,
                    levels=len(self.levels),
                    seconds=seconds + step.seconds,
                )
            image, done, seconds = step.image, done + level.steps, seconds + step.seconds

    def finish(self, image: Tensor, history: Sequence[Mapping[str, Any]]) -> Pastiche:
        """Make the result of the last image: at full size, with alpha, settings and history."""
        size = self.size or self.levels[-1].size
        whole = self.enlarge(image.detach().cpu(), size).clamp(0, 1)
        alpha = None if self.alpha is None else resize(self.alpha, size)
        return Pastiche(whole, alpha, self.settings, tuple(history), self.inputs)

    def paint(self) -> Pastiche:
        """Paint to the end and return the result."""
        history = []
        for step in self.steps():
            history.append(record(step))
        return self.finish(step.image, history)


# ---- texture ------------------------------------------------------------------------------------


def texture(
    styles: Source | Sequence[Source],
    size: tuple[int, int] | None = None,
    settings: Settings | None = None,
    *,
    seamless: bool = False,
    device: str | torch.device | None = None,
    memory: float | None = None,
) -> Pastiche:
    """Paint only the style of one or more paintings, on a canvas of any size.

    Args:
        styles: a painting, or a list of them, blended equally.
        size: (H, W) in px; None: a square of `settings.long_side`.
        settings: as for `stylize`; content and start are not looked at. None: Adam from noise.
        seamless: whether copies of the texture are to join without a seam.
        device, memory: as for `Stylizer`.

    Raises: as `stylize`.
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
) -> Variation:
    """Plan what `texture` paints."""
    settings = settings or Settings().replace(**TEXTURE)
    size = size or (settings.long_side, settings.long_side)
    if settings.style_weight == 0:
        raise SettingsError("style_weight is 0, but a texture is nothing but style")
    settings = settings.replace(long_side=max(size), content_weight=0.0, init="noise")
    many: list[Any] = list(styles) if isinstance(styles, list | tuple) else [styles]
    paintings = [load_picture(each) for each in many]
    if not paintings:
        raise SettingsError("no style given: name at least one painting")
    inputs = load_inputs(paintings[0], paintings, settings)
    stylizer = Stylizer(settings, device=device, memory=memory)
    if seamless:
        # What is measured near a painting's border, where deep layers see zeros, a picture without
        # a border could only have inside: it came out as specks of pure color.
        stylizer.encoder.padding = "extended"
    _check_canvas(size, stylizer.encoder.minimum_side)
    least = stylizer.encoder.minimum_side
    levels = pyramid(size, settings, smallest=least)
    levels = tileable(levels, least) if seamless else levels
    works = stylizer.allot(levels, whole=seamless)

    def aim(level: Level) -> Terms:
        if seamless:
            targets = stylizer.measure(inputs, level)
            return deferring(SeamlessObjective(stylizer.encoder, targets, settings), level.steps)
        return deferring(stylizer.objective(inputs, works[levels.index(level)]), level.steps)

    return Variation(
        settings=settings,
        levels=levels,
        inputs={
            "made": {"command": "texture", "size": list(size), "seamless": seamless},
            "styles": [identity(each) for each in paintings],
        },
        begin=lambda: initial_image(inputs, settings, levels[0].size),
        enlarge=resize_wrapped if seamless else resize,
        aim=aim,
        descend=lambda image, aim, level: stylizer.descend(
            image, aim, level, works[levels.index(level)]
        ),
        works=works,
        size=size,
    )


def _check_canvas(size: tuple[int, int], least: int) -> None:
    if min(size) < least:
        raise SettingsError(
            f"size {size[1]}x{size[0]}: the layers need at least {least} px on each side"
        )


def tileable(levels: Sequence[Level], unit: int) -> tuple[Level, ...]:
    """Round the sides of levels to whole units, below which a pooling would drop a row."""

    def rounded(side: int) -> int:
        return max(unit, round(side / unit) * unit)

    return tuple(
        replace(level, size=(rounded(level.size[0]), rounded(level.size[1]))) for level in levels
    )


class SeamlessObjective(Objective):
    """An objective to which a picture's opposite borders touch, in every convolution and in TV.

    For sides that are multiples of what a feature of the deepest layer covers, it does not change
    when the picture is shifted around itself by so much: it knows of no seam.
    """

    def __init__(self, encoder: Encoder, targets: Targets, settings: Settings) -> None:
        super().__init__(encoder.with_padding("circular"), targets, settings)

    def by_layer(self, image: Tensor, up_to: str | None = None) -> dict[str, Tensor]:
        """Return the terms of an image as `Objective` does."""
        terms = super().by_layer(image, up_to)
        if "tv" in terms:
            count = 1 if self.settings.tv_reduction == "sum" else image.numel()
            terms["tv"] = self.settings.tv_weight * _wrapped_variation(image) / count
        if "tv chroma" in terms:
            planes = chroma_planes(image)
            variation = _wrapped_variation(planes) / planes.numel()
            terms["tv chroma"] = self.settings.chroma_weight * variation
        return terms


def _wrapped_variation(image: Tensor) -> Tensor:
    down, across = ((image - image.roll(1, axis)).abs().sum() for axis in (2, 3))
    return down + across


def resize_wrapped(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a picture whose opposite borders touch: neighbors beyond a border are its own."""
    if tuple(image.shape[-2:]) == size:
        return image
    height, width = size
    tiled = resize(image.repeat(1, 1, 3, 3), (3 * height, 3 * width))
    return tiled[..., height : 2 * height, width : 2 * width].contiguous()


# ---- reconstruction -----------------------------------------------------------------------------


def reconstruct(
    image: Source,
    layer: str = "relu4_2",
    settings: Settings | None = None,
    *,
    of: Target = "content",
    device: str | torch.device | None = None,
    memory: float | None = None,
) -> Pastiche:
    """Paint, from noise, what a layer knows of a picture: what is where, or how it is painted.

    Args:
        image: the picture.
        layer: for content, the layer whose features are matched; for style, the deepest of the
            layers whose statistics are: see `style_layers_up_to`.
        settings: as for `stylize`; its layers and content and style weights are not looked at.
            None: one level, no total variation.
        of: "content" or "style".
        device, memory: as for `Stylizer`.

    Raises: as `stylize`.
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
) -> Variation:
    """Plan what `reconstruct` paints."""
    settings = settings or Settings().replace(**RECONSTRUCTION)
    check_layer(layer, settings.network)
    aimed: dict[str, Any] = {"content_layer_weights": (), "style_layer_weights": ()}
    if of == "content":
        aimed |= {"content_layers": (layer,), "content_weight": 1.0,
                  "style_layers": (layer,), "style_weight": 0.0}  # fmt: skip
    else:
        aimed |= {"style_layers": style_layers_up_to(layer, settings.network),
                  "style_weight": 1.0, "content_weight": 0.0}  # fmt: skip
    settings = settings.replace(**aimed, init="noise")
    inputs = load_inputs(picture := load_picture(image), picture, settings)
    photo = inputs.photo
    stylizer = Stylizer(settings, device=device, memory=memory)
    levels, works = stylizer.levels(photo), stylizer.plan(photo)
    return Variation(
        settings=settings,
        levels=levels,
        inputs={
            "made": {"command": "reconstruct", "layer": layer, "of": of},
            "content": identity(photo),
        },
        begin=lambda: initial_image(inputs, settings, levels[0].size),
        enlarge=resize,
        aim=lambda level: deferring(
            stylizer.objective(inputs, works[levels.index(level)]), level.steps
        ),
        descend=lambda image, aim, level: stylizer.descend(
            image, aim, level, works[levels.index(level)]
        ),
        works=works,
        alpha=photo.alpha,
    )


def style_layers_up_to(layer: str, network: str = "vgg19") -> tuple[str, ...]:
    """Return the first activation of every block before the layer's, and the layer itself.

    relu3_1 → relu1_1, relu2_1, relu3_1: the subsets of Gatys et al. 2015, figure 1.
    """
    order = layer_names(network)
    before = [name for name in order[: order.index(layer)] if name.endswith("_1")]
    return (*(name for name in before if name.startswith("relu")), layer)
