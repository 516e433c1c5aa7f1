"""The masks of a run, as options: masks of the photo and masks of the paintings.

This module does not import torch, so that `--help` is fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from impasto.errors import SettingsError
from impasto.settings.options import Options, option

__all__ = ["BlendMaskOptions", "ClipMaskOptions", "MaskOptions", "RegionOptions"]


@dataclass(frozen=True, kw_only=True)
class MaskOptions(Options):
    """Masks of the photo and of the paintings, one per style."""

    mask: tuple[str, ...] = option(
        (),
        "Mask of the photo: white pixels get the style, and black pixels stay as in the photo. The "
        "n-th mask is for the n-th STYLE. none means everywhere; not:FILE inverts the mask.",
        metavar="FILE",
        common=True,
        repeated=True,
    )
    style_mask: tuple[str, ...] = option(
        (),
        "Mask of a painting: the style is taken from white pixels only. The n-th mask is for the "
        "n-th STYLE. none means the whole painting; not:FILE inverts the mask.",
        metavar="FILE",
        common=True,
        repeated=True,
    )
    content_mask: str | None = option(
        None,
        "Mask of the photo: white pixels stay closer to the photo, for example those of a face; "
        "see --content-mask-weight.",
        metavar="FILE",
    )

    @property
    def guides(self) -> dict[str, Any]:
        """The masks, as arguments of `impasto.Guidance`."""
        return {
            "masks": _files(self.mask),
            "style_masks": _files(self.style_mask),
            "content_mask": self.content_mask,
        }


@dataclass(frozen=True, kw_only=True)
class RegionOptions(MaskOptions):
    """Masks, or maps of regions."""

    regions: str | None = option(
        None,
        "Map of the photo in flat colors, one color for each region. A region gets the style of "
        "the regions with the same color in --style-regions; black regions stay as in the photo.",
        metavar="FILE",
    )
    style_regions: tuple[str, ...] = option(
        (),
        "Map of a painting in flat colors, for --regions; one for each STYLE.",
        metavar="FILE",
        repeated=True,
    )

    @property
    def guides(self) -> dict[str, Any]:
        """The masks and maps, as arguments of `impasto.Guidance`."""
        maps = {"regions": self.regions, "style_regions": self.style_regions}
        return {**super().guides, **maps}


@dataclass(frozen=True, kw_only=True)
class ClipMaskOptions(MaskOptions):
    """Masks of a clip."""

    mask: tuple[str, ...] = option(
        (),
        "Mask of the clip: white pixels get the style, as for stylize. A folder holds one mask per "
        "frame.",
        metavar="FILE|FOLDER",
        common=True,
        repeated=True,
    )


@dataclass(frozen=True, kw_only=True)
class BlendMaskOptions(MaskOptions):
    """Masks of a blend. All styles share one mask of the photo.

    Raises: SettingsError: several masks of the photo are given.
    """

    mask: tuple[str, ...] = option(
        (),
        "Mask of the photo: white pixels get the styles, and black pixels stay as in the photo. "
        "not:FILE inverts the mask.",
        metavar="FILE",
        common=True,
        repeated=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.mask) > 1:
            raise SettingsError("give --mask only once; all styles of a blend share it")

    def guides_for(self, styles: int) -> dict[str, Any]:
        """Return the masks of this number of styles, as arguments of `impasto.Guidance`."""
        return {**self.guides, "masks": _files(self.mask) * styles}


def _files(names: Sequence[str]) -> list[str | None]:
    """Return the files of a flag that is given once per style, with None for "none"."""
    return [None if name == "none" else name for name in names]
