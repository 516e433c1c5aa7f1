"""The options of each kind of job besides its settings: one set for each kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from impasto.settings.clips import VideoSettings
from impasto.settings.command_flags import PartOptions, RecolorOptions, SoundTrackOptions
from impasto.settings.options import Options, option

__all__ = ["ClipOptions", "PartOptions", "RecolorOptions", "ReconstructOptions", "TextureOptions"]


@dataclass(frozen=True, kw_only=True)
class TextureOptions(Options):
    """Options of a texture."""

    width: int = option(
        512, "Width of the texture.", half="", low=16, high=16384, unit="px", common=True
    )
    height: int = option(
        512, "Height of the texture.", half="", low=16, high=16384, unit="px", common=True
    )
    seamless: bool = option(
        False, "Make copies of the texture join without a seam.", half="", common=True
    )


@dataclass(frozen=True, kw_only=True)
class ReconstructOptions(Options):
    """Options of a reconstruction."""

    layer: str = option(
        "relu4_2", "The layer whose features are reconstructed.", half="", common=True
    )
    of: Literal["content", "style"] = option(
        "content",
        "Reconstruct the content at the layer, or the style up to the layer.",
        half="",
        common=True,
    )


@dataclass(frozen=True, kw_only=True)
class ClipOptions(SoundTrackOptions, VideoSettings, PartOptions):
    """Options of a painted clip: its part, its video settings, and its sound."""
