"""The masks of a run, as options: where a style goes, and which part of a painting is taken.

Imports no torch, so that `--help` is instant.
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
    """Masks of the photo and of the paintings, for each style in turn."""

    mask: tuple[str, ...] = option(
        (),
        "Mask of the photo: the style goes where it is white; where it is black, the photo stays. "
        "The n-th mask is for the n-th STYLE. none: everywhere; not:FILE: black and white swapped.",
        metavar="FILE",
        common=True,
        repeated=True,
    )
    style_mask: tuple[str, ...] = option(
        (),
        "Mask of a painting: only its white part is taken. The n-th mask is for the n-th STYLE. "
        "none: all of it.",
        metavar="FILE",
        common=True,
        repeated=True,
    )
    content_mask: str | None = option(
        None,
        "Mask of the photo: where it is white, the photo counts more, as to protect a face; see "
        "--content-mask-weight.",
        metavar="FILE",
    )

    @property
    def guides(self) -> dict[str, Any]:
        """The masks as the arguments of `impasto.Guidance`."""
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
        "Map of the photo in flat colors: a region gets the style of the regions of the same color "
        "in --style-regions; where it is black, the photo stays.",
        metavar="FILE",
    )
    style_regions: tuple[str, ...] = option(
        (), "Map of a STYLE in flat colors, for --regions.", metavar="FILE", repeated=True
    )

    @property
    def guides(self) -> dict[str, Any]:
        """The masks and maps as the arguments of `impasto.Guidance`."""
        maps = {"regions": self.regions, "style_regions": self.style_regions}
        return {**super().guides, **maps}


@dataclass(frozen=True, kw_only=True)
class ClipMaskOptions(MaskOptions):
    """Masks of a clip."""

    mask: tuple[str, ...] = option(
        (),
        "Mask of the clip: the style goes where it is white, as for stylize. A folder has a mask "
        "for each frame.",
        metavar="FILE|FOLDER",
        common=True,
        repeated=True,
    )


@dataclass(frozen=True, kw_only=True)
class BlendMaskOptions(MaskOptions):
    """Masks of a blend. All styles share the mask of the photo.

    Raises: SettingsError: several masks of the photo.
    """

    mask: tuple[str, ...] = option(
        (),
        "Mask of the photo: the styles go where it is white; where it is black, the photo stays. "
        "not:FILE: black and white swapped.",
        metavar="FILE",
        common=True,
        repeated=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.mask) > 1:
            raise SettingsError("--mask is given once: all styles of a blend share it")

    def guides_for(self, styles: int) -> dict[str, Any]:
        """Return the masks of so many styles as the arguments of `impasto.Guidance`."""
        return {**self.guides, "masks": _files(self.mask) * styles}


def _files(names: Sequence[str]) -> list[str | None]:
    """Return the files of a flag that is given once per style; "none" is None."""
    return [None if name == "none" else name for name in names]
