"""Guidance: masks, or maps of regions, that say which style goes where.

A `Guidance` holds pictures. `lay_out` reads them into the parts of a `Layout`. A part has the
number of a painting, a mask of the photo and a mask of the painting. `impasto.objective.guides`
resizes these masks to the grids of the layers. The features are then multiplied by them, as in
Gatys et al. 2017 (arXiv 1611.07865).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from impasto.errors import ImageError, SettingsError
from impasto.pictures.files import Source, load_picture
from impasto.pictures.masks import check_shape, feathered, fitted, load_mask, visible_mask
from impasto.pictures.picture import Picture, identity
from impasto.pictures.regions import masks_by_color
from impasto.settings.options import check_pairs

__all__ = ["Guidance", "Layout", "Part", "as_list", "lay_out", "shares"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Guidance:
    """Pictures that say which style goes where.

    A mask selects pixels: white ones fully, gray ones partly, and black ones not at all.

    A list is empty, or has one entry per painting, in the order of the paintings. If there is only
    one painting, a single picture can replace the list. In a list of masks, None selects
    everything. If the path of a mask begins with "not:", the mask is inverted.

    Attributes:
        masks: for each painting, a mask of the photo. It selects the pixels that get the painting's
            style. Pixels that no mask selects are not painted: they stay as in the photo.
        style_masks: for each painting, a mask of this painting. It selects the pixels that give
            the style.
        regions: a map of the photo in flat colors, instead of masks. A region gets the style of
            the regions of the same color in `style_regions`. Black and transparent regions are not
            painted.
        style_regions: a map of each painting in flat colors.
        content_mask: a mask of the photo. It selects the pixels that stay closer to the photo; see
            the setting `content_mask_weight`.
    """

    masks: Source | Sequence[Source | None] = ()
    style_masks: Source | Sequence[Source | None] = ()
    regions: Source | None = None
    style_regions: Source | Sequence[Source] = ()
    content_mask: Source | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the picture that gets the style of one painting.

    Attributes:
        style: the number of the painting, from 0.
        mask: the part's mask of the photo, (1, 1, H, W) in [0, 1]; None: everywhere.
        style_mask: the part's mask of the painting's visible part (see `visible_part`), times the
            painting's alpha, (1, 1, h, w) in [0, 1]; None: everywhere.
    """

    style: int
    mask: Tensor | None = None
    style_mask: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """A guidance that was read and checked.

    Attributes:
        parts: at least one part per painting.
        content_mask: (1, 1, H, W) in [0, 1], or None.
        inputs: the name and SHA-256 of every mask and map, for the picture's metadata.
    """

    parts: tuple[Part, ...]
    content_mask: Tensor | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def masks(self, size: tuple[int, int], feather: float) -> list[Tensor | None]:
        """Return each part's mask at a size (H, W), with its edge softened over ± feather px."""
        return [
            None if part.mask is None else feathered(fitted(part.mask, size), feather)
            for part in self.parts
        ]

    def painted(self, size: tuple[int, int], feather: float) -> Tensor | None:
        """Return the painted share of each pixel, (1, 1, H, W) in [0, 1]; None: 1 everywhere."""
        known = [mask for mask in self.masks(size, feather) if mask is not None]
        if len(known) < len(self.parts):
            return None
        union = torch.stack(known).amax(0)
        return None if bool((union == 1).all()) else union


def shares(masks: Sequence[Tensor | None], present: Sequence[float] | None = None) -> list[float]:
    """Return the share of the picture that each part paints. If all is painted, their sum is 1.

    A style loss is a mean over its part, so its weight is multiplied by the part's share. Without
    this factor, a smaller part would get a stronger style. Parts that overlap divide the common
    pixels among them.

    Args:
        masks: the mask of each part, (1, 1, H, W); None: everywhere.
        present: for each part, a factor ≥ 0 of its mask; None: all factors are 1.
    """
    known = next((mask for mask in masks if mask is not None), None)
    factors = [1.0] * len(masks) if present is None else list(present)
    if known is None:
        return [factor / max(sum(factors), 1.0) for factor in factors]
    scaled = [
        (torch.ones_like(known) if mask is None else mask) * factor
        for mask, factor in zip(masks, factors, strict=True)
    ]
    total = torch.stack(scaled).sum(0).clamp(min=1)
    return [float((mask / total).mean()) for mask in scaled]


# ---- from pictures to masks ---------------------------------------------------------------------


def lay_out(
    guidance: Guidance | None,
    photo: Picture,
    paintings: Sequence[Picture],
    *,
    may_be_empty: bool = False,
) -> Layout:
    """Read and check the masks and maps of a guidance.

    A painting's transparent pixels give no style: its alpha multiplies its style masks.

    Args:
        guidance: the masks or maps; None: every style goes everywhere.
        paintings: as they were read, with their transparent margins.
        may_be_empty: whether a mask of the photo may be black everywhere, as in a frame of a clip.

    Raises:
        SettingsError: the numbers of masks or maps and of paintings differ, or both masks and maps
            are given.
        ImageError: a mask or map cannot be read, has other proportions than its picture, or cannot
            be used; or no pixel of a painting is visible and selected.
    """
    layout = _given_layout(guidance, photo, paintings, may_be_empty)
    parts = tuple(
        replace(part, style_mask=visible_mask(paintings[part.style], part.style_mask))
        for part in layout.parts
    )
    return replace(layout, parts=parts)


def _given_layout(
    guidance: Guidance | None, photo: Picture, paintings: Sequence[Picture], may_be_empty: bool
) -> Layout:
    """Read a layout whose style masks are masks of whole paintings; see `lay_out`."""
    everywhere = tuple(Part(number) for number in range(len(paintings)))
    if guidance is None:
        return Layout(everywhere)
    inputs: dict[str, Any] = {}
    content_mask = None
    if guidance.content_mask is not None:
        content_mask, identified = load_mask(
            guidance.content_mask, photo, "content mask", may_be_empty=may_be_empty
        )
        inputs["content_mask"] = identified
    if guidance.regions is not None or as_list(guidance.style_regions):
        parts = _parts_by_color(guidance, photo, paintings, inputs)
        return Layout(parts, content_mask, inputs)
    masks = _per_style(
        "mask", guidance.masks, [photo] * len(paintings), paintings, inputs, may_be_empty
    )
    style_masks = _per_style("style mask", guidance.style_masks, paintings, paintings, inputs)
    parts = tuple(
        Part(number, *pair) for number, pair in enumerate(zip(masks, style_masks, strict=True))
    )
    return Layout(parts, content_mask, inputs)


def _per_style(
    kind: str,
    given: Source | Sequence[Source | None],
    pictures: Sequence[Picture],
    paintings: Sequence[Picture],
    inputs: dict[str, Any],
    may_be_empty: bool = False,
) -> list[Tensor | None]:
    """Read one mask per painting; if none are given, return None (everywhere) for each.

    Args:
        given: the masks.
        pictures: the picture that each mask belongs to: the photo or a painting.
        inputs: gets the identities of the masks.
    """
    sources = as_list(given)
    if not sources:
        return [None] * len(paintings)
    labels = [_label(source) for source in sources]
    check_pairs(kind, labels, [_name(painting) for painting in paintings])
    masks, identities = [], []
    for source, picture in zip(sources, pictures, strict=True):
        mask, identified = (None, None)
        if source is not None:
            mask, identified = load_mask(source, picture, kind, may_be_empty=may_be_empty)
        masks.append(mask)
        identities.append(identified)
    inputs[kind.replace(" ", "_") + "s"] = identities
    return masks


def as_list(value: Any) -> list[Any]:
    """Return a list or tuple as a list, and a single picture as a list of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _label(source: Source | None) -> str:
    if source is None:
        return "none"
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "a picture"))


def _name(picture: Picture) -> str:
    return picture.name or "a picture"


def _parts_by_color(
    guidance: Guidance, photo: Picture, paintings: Sequence[Picture], inputs: dict[str, Any]
) -> tuple[Part, ...]:
    """Pair the regions of the photo's map with those of the same color in the paintings' maps."""
    if as_list(guidance.masks) or as_list(guidance.style_masks):
        raise SettingsError("masks and regions cannot be combined; give only one of them")
    if guidance.regions is None:
        raise SettingsError("style_regions need regions: a map of the photo in the same colors")
    style_regions = as_list(guidance.style_regions)
    labels = [_label(source) for source in style_regions]
    check_pairs("map of regions", labels, [_name(painting) for painting in paintings])
    maps = [load_picture(source) for source in (guidance.regions, *style_regions)]
    for region_map, picture in zip(maps, (photo, *paintings), strict=True):
        check_shape(region_map, picture, region_map.name or "the map of regions")
    photo_masks, *painting_masks = (masks_by_color(region_map) for region_map in maps)
    inputs["regions"], *inputs["style_regions"] = map(identity, maps)
    parts = [
        Part(number, mask, style_masks[match])
        for color, mask in photo_masks.items()
        if not color.is_black
        for number, style_masks in enumerate(painting_masks)
        if (match := color.nearest(style_masks)) is not None
    ]
    unmatched = [
        str(color)
        for color in photo_masks
        if not color.is_black and all(color.nearest(masks) is None for masks in painting_masks)
    ]
    name = maps[0].name or "the map of regions"
    if unmatched:
        known = ", ".join(dict.fromkeys(str(color) for masks in painting_masks for color in masks))
        raise ImageError(
            f"has the color {', '.join(unmatched)}, which no painting's map has (they have "
            f"{known}); add the color to one of these maps, or make the region black to keep the "
            "photo there",
            path=name,
        )
    if not parts:
        raise ImageError(
            "is black, so that nothing of the photo would be painted; draw at least one region in "
            "another color",
            path=name,
        )
    unused = [i for i in range(len(paintings)) if all(part.style != i for part in parts)]
    if unused:
        raise ImageError(
            "has no color of the photo's map, so the style of "
            f"{_name(paintings[unused[0]])} would not be used; give a region one of these colors",
            path=maps[unused[0] + 1].name or "a map of regions",
        )
    return tuple(parts)
