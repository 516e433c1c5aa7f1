"""The targets of one level of a pastiche: the photo's content and the paintings' style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from impasto.errors import SettingsError
from impasto.network.encoder import Encoder
from impasto.objective.guides import layer_guides, layer_masks
from impasto.objective.laplacian_term import LaplacianTarget, measure_laplacians
from impasto.objective.layer_weights import seen_layers
from impasto.objective.targets import (
    StyleTarget,
    Targets,
    blend_styles,
    measure_content,
    measure_style,
    threads_for,
)
from impasto.painting.guidance import Layout, shares
from impasto.painting.inputs import Inputs, scaled_style, style_side
from impasto.painting.memory_plan import Workload
from impasto.painting.pyramid import Level
from impasto.pictures.colors import content_in_color, gray_image, style_in_color
from impasto.pictures.masks import face_mask, fitted
from impasto.pictures.picture import Picture, fit, resized
from impasto.settings.pictures import Settings
from impasto.style import chosen_statistic

__all__ = ["StyleTargets", "check_masks", "measure_targets"]


class StyleTargets:
    """The style targets of a run's paintings at one size.

    A painting is measured once, when its target is first needed. A picture needs the targets once.
    A clip needs them for every frame: its masks move and its styles change into each other, but no
    painting is measured again.

    The photo has an effect only if `settings.color` transfers its colors to the paintings.
    Otherwise the same targets are valid for many photos.

    Args:
        encoder: computes the paintings' features.
        inputs: the photo, the paintings, and a layout with the masks of the paintings.
        work: the level, and the size of the tiles in which the paintings are measured.
    """

    def __init__(
        self, encoder: Encoder, inputs: Inputs, settings: Settings, work: Workload
    ) -> None:
        self.encoder = encoder
        self.inputs = inputs
        self.settings = settings
        self.work = work
        self._content = resized(inputs.photo, work.level.size, settings.resampling)
        self._measured: dict[int, Mapping[str, Tensor]] = {}

    def for_layout(
        self, layout: Layout, level: Level, blend: Sequence[float] | None = None
    ) -> tuple[StyleTarget, ...]:
        """Return one target for all parts without a mask, and one for each part with a mask.

        Args:
            layout: says where the styles go. It has the parts of the inputs' layout, but their
                masks of the photo may differ.
            blend: a factor ≥ 0 for each painting's share, of sum 1; None: all factors are 1.
        """
        settings = self.settings
        masks = layout.masks(level.size, level.scaled(settings.feather, settings.long_side))
        count = 1 + max(part.style for part in layout.parts)
        weights = settings.per_style("style_weight", count)
        present = None if blend is None else [blend[part.style] for part in layout.parts]
        weighted = [
            (number, mask, share * weights[part.style])
            for number, (part, mask, share) in enumerate(
                zip(layout.parts, masks, shares(masks, present), strict=True)
            )
            if share * weights[part.style] > 0
        ]
        everywhere = [part for part in weighted if part[1] is None]
        groups = [everywhere] if everywhere else []
        groups += [[part] for part in weighted if part[1] is not None]
        with threads_for(self.encoder, settings):
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
        """Measure the painting of one part of the layout, inside the part's style mask."""
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
        size = (image.shape[-2], image.shape[-1])
        mask = None if part.style_mask is None else fitted(part.style_mask, size)
        image = style_in_color(Picture(image, mask), self._content, settings.color)
        image = gray_image(image) if self.inputs.gray else image
        self._measured[number] = measure_style(
            self.encoder,
            image.to(device),
            seen_layers(settings, "style"),
            chosen_statistic(settings),
            _style_guides(mask, size, settings, device),
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
    """Measure the targets of a level.

    Args:
        styles: style targets that are used again; None: the paintings are measured now.
        blend: see `StyleTargets.for_layout`.
    """
    level = work.level
    content = resized(inputs.photo, level.size, settings.resampling).image
    content = content_in_color(content, settings.color).to(encoder.device)
    styles = styles or StyleTargets(encoder, inputs, settings, work)
    with threads_for(encoder, settings):
        features = measure_content(
            encoder,
            content,
            seen_layers(settings, "content"),
            tile=work.tile,
            half=work.half,
        )
    return Targets(
        content=features,
        style=styles.for_layout(inputs.layout, level, blend),
        content_counts=_content_counts(inputs, settings, level, encoder.device),
        laplacians=_laplacians(content, inputs, settings),
        faces=_faces(content, settings),
    )


def check_masks(inputs: Inputs, settings: Settings, level: Level) -> None:
    """Raise a SettingsError if a mask selects no position of any style layer."""
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
                    f"guidance {settings.guidance}: the area that transparency or a mask of "
                    f"style {part.style + 1} selects is too small for the style layers; try "
                    "guidance simple or all, or a larger picture"
                )


def _style_guides(
    mask: Tensor | None, size: tuple[int, int], settings: Settings, device: torch.device
) -> dict[str, Tensor] | None:
    """Resize a mask to the size (H, W) of its image, and then to the grids of the style layers."""
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
    """Return the content layers' weights per position: 1, or `content_mask_weight` in the mask."""
    mask = inputs.layout.content_mask
    if mask is None:
        return {}
    layers = seen_layers(settings, "content")
    masks = layer_masks(fitted(mask, level.size), layers, network=settings.network)
    return {name: _counted(inside, settings).to(device) for name, inside in masks.items()}


def _laplacians(content: Tensor, inputs: Inputs, settings: Settings) -> list[LaplacianTarget]:
    """Measure the Laplacians of a photo, (1, 3, H, W), if they have a weight."""
    if settings.laplacian_weight == 0:
        return []
    mask, size = inputs.layout.content_mask, (content.shape[-2], content.shape[-1])
    counts = None if mask is None else _counted(fitted(mask, size), settings)
    return measure_laplacians(content, counts)


def _faces(content: Tensor, settings: Settings) -> list[LaplacianTarget]:
    """Measure the Laplacians of the protected faces of a photo, (1, 3, H, W)."""
    if settings.protect == "none" or not settings.faces or settings.face_weight == 0:
        return []
    return measure_laplacians(
        content, face_mask(settings.faces, (content.shape[-2], content.shape[-1]))
    )


def _counted(inside: Tensor, settings: Settings) -> Tensor:
    """Return the weight of each position of a content mask: 1, or `content_mask_weight` inside."""
    return 1 + (settings.content_mask_weight - 1) * inside
