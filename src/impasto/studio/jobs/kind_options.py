"""What a kind of job takes besides settings: a set of options each, as `Settings` is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from impasto.errors import SettingsError
from impasto.settings.clips import VideoSettings
from impasto.settings.options import Options, option
from impasto.settings.pictures import MatchingName

__all__ = ["ClipOptions", "PartOptions", "RecolorOptions", "ReconstructOptions", "TextureOptions"]


@dataclass(frozen=True, kw_only=True)
class TextureOptions(Options):
    """Of a texture."""

    width: int = option(
        512, "Width of the texture.", half="", low=16, high=16384, unit="px", common=True
    )
    height: int = option(
        512, "Height of the texture.", half="", low=16, high=16384, unit="px", common=True
    )
    seamless: bool = option(False, "Let copies of it join without a seam.", half="", common=True)


@dataclass(frozen=True, kw_only=True)
class RecolorOptions(Options):
    """Of a picture in the colors of another."""

    method: MatchingName = option("symmetric", "What is matched.", half="", common=True)
    strength: float = option(
        1.0, "From 0, the photo's colors, to 1.", half="", low=0, high=1, common=True
    )


@dataclass(frozen=True, kw_only=True)
class ReconstructOptions(Options):
    """Of what a layer knows of a picture."""

    layer: str = option("relu4_2", "What is seen.", half="", common=True)
    of: Literal["content", "style"] = option(
        "content", "What is where, or how it is painted up to that layer.", half="", common=True
    )


@dataclass(frozen=True, kw_only=True)
class PartOptions(Options):
    """Which part of a clip is meant.

    Raises: SettingsError: as all options do; the end is not after the start.
    """

    start: float = option(
        0.0, "Where in the clip to begin.", half="video", low=0, unit="s", common=True
    )
    end: float = option(
        0.0, "Where to end; 0: where the clip does.", half="video", low=0, unit="s", common=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.end and self.end <= self.start:
            raise SettingsError(f"end: {self.end:g} s is not after the start, {self.start:g} s")


@dataclass(frozen=True, kw_only=True)
class ClipOptions(VideoSettings, PartOptions):
    """Of a painted clip: what ties its frames together, and what is left of it."""

    sound: bool = option(True, "Keep the sound track.", half="video", common=True)
