"""What one level of a pastiche is compared with: the photo's content and the paintings' style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from impasto.errors import SettingsError
from impasto.network.encoder import Encoder
from impasto.objective.guides import layer_guides, layer_masks
from impasto.objective.layer_weights import seen_layers
from impasto.objective.targets import (
    StyleTarget,
    Targets,
    blend_styles,
    measure_content,
    measure_style,
)
from impasto.painting.guidance import Layout, shares
from impasto.painting.inputs import Inputs, scaled_style, style_side
from impasto.painting.memory_plan import Workload
from impasto.painting.pyramid import Level
from impasto.pictures.colors import content_in_color, style_in_color
from impasto.pictures.masks import fitted
from impasto.pictures.picture import fit, resize
from impasto.settings.pictures import Settings
from impasto.style import chosen_statistic

__all__ = ["StyleTargets", "check_masks", "measure_targets"]


class StyleTargets:
    """The paintings of a run at one size, each measured once, when it is first needed.

    A picture needs them once. A clip needs them for every frame, with masks that move and styles
    that give way to each other, and nothing is measured again.

    Of the photo only its colors are used, and only where `settings.color` gives them to the
    paintings: otherwise the same targets serve for many photos.

    Args:
        encoder: describes the paintings.
        inputs: photo, paintings, and the parts of the paintings that are measured.
        work: the size, and whether the paintings are measured in tiles.
    """

    def __init__(
        self, encoder: Encoder, inputs: Inputs, settings: Settings, work: Workload
    ) -> None:
        self.encoder = encoder
        self.inputs = inputs
        self.settings = settings
        self.work = work
        self._content = resize(inputs.photo.image, work.level.size)
        self._measured: dict[int, Mapping[str, Tensor]] = {}

    def for_layout(
        self, layout: Layout, level: Level, blend: Sequence[float] | None = None
    ) -> tuple[StyleTarget, ...]:
        """Return one target for all styles that go everywhere, and one for each that does not.

        Args:
            layout: where the styles go; of the same parts as those of the inputs.
            blend: how much of each painting there is, ≥ 0 and of sum 1; None: all are there.
        """
        settings = self.settings
        masks = layout.masks(level.size, level.scaled(settings.feather, settings.long_side))
        count = 1 + max(part.style for part in layout.parts)
        weights = settings.per_style("style_weight", count)
        present = None if blend is None else [blend[part.style] for part in layout.parts]
        weighed = [
            (number, mask, share * weights[part.style])
            for number, (part, mask, share) in enumerate(
                zip(layout.parts, masks, shares(masks, present), strict=True)
            )
            if share * weights[part.style] > 0
        ]
        everywhere = [part for part in weighed if part[1] is None]
        groups = [everywhere] if everywhere else []
        groups += [[part] for part in weighed if part[1] is not None]
        return tuple(self._target(group, level.size) for group in groups)

    def _target(
        self, group: Sequence[tuple[int, Tensor | None, float]], size: tuple[int, int]
    ) -> StyleTarget:
        numbers, (mask, *_), weights = zip(*group, strict=True)
        blended = blend_styles(
            chosen_statistic(self.settings), [self._measure(number) for number in numbers], weights
        )
        guides = _style_guides(mask, size, self.settings, self.encoder.device)
        return StyleTarget(blended, sum(weights), guides)

    def _measure(self, number: int) -> Mapping[str, Tensor]:
        """Measure the painting of one part of the layout, or what its mask picks of it."""
        if number in self._measured:
            return self._measured[number]
        settings, part, device = (
            self.settings,
            self.inputs.layout.parts[number],
            self.encoder.device,
        )
        painting = self.inputs.paintings[part.style]
        scale = self.inputs.scales(settings)[part.style]
        image = scaled_style(painting, self.work.level, settings, scale)
        image = style_in_color(image, self._content, settings.color)
        size = (image.shape[-2], image.shape[-1])
        self._measured[number] = measure_style(
            self.encoder,
            image.to(device),
            seen_layers(settings, "style"),
            chosen_statistic(settings),
            _style_guides(part.style_mask, size, settings, device),
            tile=self.work.tile,
        )
        return self._measured[number]


def measure_targets(
    encoder: Encoder,
    inputs: Inputs,
    settings: Settings,
    work: Workload,
    *,
    styles: StyleTargets | None = None,
    blend: Sequence[float] | None = None,
) -> Targets:
    """Measure what a level is compared with.

    Args:
        styles: the paintings, measured already; None: not yet.
        blend: see `StyleTargets.for_layout`.
    """
    level = work.level
    content = resize(inputs.photo.image, level.size)
    styles = styles or StyleTargets(encoder, inputs, settings, work)
    return Targets(
        content=measure_content(
            encoder,
            content_in_color(content, settings.color).to(encoder.device),
            seen_layers(settings, "content"),
            tile=work.tile,
            half=work.half,
        ),
        style=styles.for_layout(inputs.layout, level, blend),
        content_counts=_content_counts(inputs, settings, level, encoder.device),
    )


def check_masks(inputs: Inputs, settings: Settings, level: Level) -> None:
    """Raise a SettingsError for a mask in which no style layer has a position left."""
    if not seen_layers(settings, "style"):
        return
    for part in inputs.layout.parts:
        painting, scale = inputs.paintings[part.style], inputs.scales(settings)[part.style]
        side = style_side(painting, level.long_side, scale)
        for mask, size in ((part.mask, level.size), (part.style_mask, fit(painting.size, side))):
            if mask is None or not bool(mask.any()):
                continue
            if not _style_guides(mask, size, settings, torch.device("cpu")):
                raise SettingsError(
                    f"guidance {settings.guidance}: the area that a mask of style "
                    f"{part.style + 1} picks is too small for the style layers to see; try "
                    "guidance simple, or all, or a larger picture"
                )


def _style_guides(
    mask: Tensor | None, size: tuple[int, int], settings: Settings, device: torch.device
) -> dict[str, Tensor] | None:
    """Bring a mask to the size (H, W) of its image, and to the grids of the style layers."""
    if mask is None:
        return None
    guides = layer_guides(
        fitted(mask, size),
        seen_layers(settings, "style"),
        network=settings.network,
        form=settings.guidance,
    )
    return {name: guide.to(device) for name, guide in guides.items()}


def _content_counts(
    inputs: Inputs, settings: Settings, level: Level, device: torch.device
) -> dict[str, Tensor]:
    """Return how much each position of the content layers counts: 1, and more in the mask."""
    mask = inputs.layout.content_mask
    if mask is None:
        return {}
    layers = seen_layers(settings, "content")
    masks = layer_masks(fitted(mask, level.size), layers, network=settings.network)
    more = settings.content_mask_weight - 1
    return {name: (1 + more * inside).to(device) for name, inside in masks.items()}
