"""Which style goes where: masks and maps of regions → how much each position of a layer counts.

A person gives a `Guidance` of pictures. `lay_out` reads it into parts (which painting, where on
the photo, from where of the painting), and `layer_guides` brings a part's mask to the grid of
every layer: the guides of Gatys et al. 2017 (arXiv 1611.07865), by which features are multiplied.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from impasto.errors import ImageError, SettingsError
from impasto.pictures.files import Source, load_picture
from impasto.pictures.masks import check_shape, feathered, fitted, load_mask
from impasto.pictures.picture import Picture, identity
from impasto.pictures.regions import masks_by_color
from impasto.settings.options import check_pairs

__all__ = ["Guidance", "Layout", "Part", "as_list", "lay_out", "shares"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Guidance:
    """Which painting goes where, in pictures. White is yes, black is no, gray in between.

    Every list has one entry per painting, in their order, or none at all; None in it means
    everywhere. With one painting it can be the picture itself. A path that begins with "not:" means
    its picture with black and white exchanged.

    Attributes:
        masks: where on the photo each painting's style goes. Pixels that no mask names are not
            painted: they stay the photo's.
        style_masks: what of each painting the style is taken from.
        regions: a map of the photo in flat colors, instead of masks; a region gets the style of
            the region of the same color. Black, and what is transparent, is not painted.
        style_regions: such a map of each painting.
        content_mask: where the photo is to be kept more closely, see `content_mask_weight`.
    """

    masks: Source | Sequence[Source | None] = ()
    style_masks: Source | Sequence[Source | None] = ()
    regions: Source | None = None
    style_regions: Source | Sequence[Source] = ()
    content_mask: Source | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """One painting's part of the picture.

    Attributes:
        style: which painting, from 0.
        mask: where it goes, (1, 1, H, W) in [0, 1]; None: everywhere.
        style_mask: what of the painting it is taken from; None: all.
    """

    style: int
    mask: Tensor | None = None
    style_mask: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """A guidance that was read and checked.

    Attributes:
        parts: at least one per painting.
        content_mask: (1, 1, H, W) in [0, 1], or None.
        inputs: name and SHA-256 of every mask, for the picture's metadata.
    """

    parts: tuple[Part, ...]
    content_mask: Tensor | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def masks(self, size: tuple[int, int], feather: float) -> list[Tensor | None]:
        """Return each part's mask on a grid (H, W), its edge softened over ± feather px."""
        return [
            None if part.mask is None else feathered(fitted(part.mask, size), feather)
            for part in self.parts
        ]

    def painted(self, size: tuple[int, int], feather: float) -> Tensor | None:
        """Return how much each pixel is painted at all, (1, 1, H, W); None: all are."""
        known = [mask for mask in self.masks(size, feather) if mask is not None]
        if len(known) < len(self.parts):
            return None
        union = torch.stack(known).amax(0)
        return None if bool((union == 1).all()) else union


def shares(masks: Sequence[Tensor | None], present: Sequence[float] | None = None) -> list[float]:
    """Tell how much of the picture each part paints: 1 in all, if every pixel is painted.

    A term is a mean over its part, so it weighs by the part's share, or else the style would be
    the stronger the smaller the part is. Parts that overlap share what they have in common.

    Args: present: how much of each part there is, ≥ 0, as if its mask were so much darker; None:
        all.
    """
    known = next((mask for mask in masks if mask is not None), None)
    there = [1.0] * len(masks) if present is None else list(present)
    if known is None:
        return [each / max(sum(there), 1.0) for each in there]
    full = [
        (torch.ones_like(known) if mask is None else mask) * each
        for mask, each in zip(masks, there, strict=True)
    ]
    total = torch.stack(full).sum(0).clamp(min=1)
    return [float((mask / total).mean()) for mask in full]


# ---- from pictures to masks ---------------------------------------------------------------------


def lay_out(
    guidance: Guidance | None,
    photo: Picture,
    paintings: Sequence[Picture],
    *,
    may_be_empty: bool = False,
) -> Layout:
    """Read and check masks and maps.

    Args: may_be_empty: whether a mask of the photo may be black all over, as that of a frame may.

    Raises:
        SettingsError: not as many as there are paintings, or maps and masks together.
        ImageError: one cannot be read, has not the shape of its picture, or is no mask.
    """
    everywhere = tuple(Part(number) for number in range(len(paintings)))
    if guidance is None:
        return Layout(everywhere)
    inputs: dict[str, Any] = {}
    content_mask = None
    if guidance.content_mask is not None:
        content_mask, noted = load_mask(
            guidance.content_mask, photo, "content mask", may_be_empty=may_be_empty
        )
        inputs["content_mask"] = noted
    if guidance.regions is not None or as_list(guidance.style_regions):
        parts = _parts_by_color(guidance, photo, paintings, inputs)
        return Layout(parts, content_mask, inputs)
    masks = _per_style(
        "mask", guidance.masks, [photo] * len(paintings), paintings, inputs, may_be_empty
    )
    style_masks = _per_style("style mask", guidance.style_masks, paintings, paintings, inputs)
    parts = tuple(
        Part(number, *both) for number, both in enumerate(zip(masks, style_masks, strict=True))
    )
    return Layout(parts, content_mask, inputs)


def _per_style(
    kind: str,
    given: Source | Sequence[Source | None],
    of: Sequence[Picture],
    paintings: Sequence[Picture],
    inputs: dict[str, Any],
    may_be_empty: bool = False,
) -> list[Tensor | None]:
    """Read one mask per painting; none given: everywhere."""
    sources = as_list(given)
    if not sources:
        return [None] * len(paintings)
    check_pairs(kind, [_label(each) for each in sources], [_name(each) for each in paintings])
    masks, identities = [], []
    for source, picture in zip(sources, of, strict=True):
        mask, noted = (None, None)
        if source is not None:
            mask, noted = load_mask(source, picture, kind, may_be_empty=may_be_empty)
        masks.append(mask)
        identities.append(noted)
    inputs[kind.replace(" ", "_") + "s"] = identities
    return masks


def as_list(value: Any) -> list[Any]:
    """Return a list of pictures, also where one stands for itself."""
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
        raise SettingsError("masks and regions are two ways to say the same; give one of them")
    if guidance.regions is None:
        raise SettingsError("style_regions need regions: a map of the photo in the same colors")
    style_regions = as_list(guidance.style_regions)
    labels = [_label(each) for each in style_regions]
    check_pairs("map of regions", labels, [_name(each) for each in paintings])
    maps = [load_picture(each) for each in (guidance.regions, *style_regions)]
    for each, of in zip(maps, (photo, *paintings), strict=True):
        check_shape(each, of, each.name or "the map of regions")
    own, *others = (masks_by_color(each) for each in maps)
    inputs["regions"], *inputs["style_regions"] = map(identity, maps)
    parts = [
        Part(number, mask, there[match])
        for color, mask in own.items()
        if not color.is_black
        for number, there in enumerate(others)
        if (match := color.nearest(there)) is not None
    ]
    lost = [
        str(color)
        for color in own
        if not color.is_black and all(color.nearest(there) is None for there in others)
    ]
    name = maps[0].name or "the map of regions"
    if lost:
        known = ", ".join(dict.fromkeys(str(color) for there in others for color in there))
        raise ImageError(
            f"has the color {', '.join(lost)}, which no painting's map has (they have {known}); "
            "paint it there too, or make it black to leave the photo as it is",
            path=name,
        )
    if not parts:
        raise ImageError("is black, so that nothing of the photo would be painted", path=name)
    unused = [i for i in range(len(paintings)) if all(part.style != i for part in parts)]
    if unused:
        raise ImageError(
            f"has no color of the photo's map, so {_name(paintings[unused[0]])} would be painted "
            "nowhere",
            path=maps[unused[0] + 1].name or "a map of regions",
        )
    return tuple(parts)
