"""What a kind of job takes besides settings: a set of options each, as `Settings` is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from impasto.options import Options, option
from impasto.settings import MatchingName

__all__ = ["RecolorOptions", "ReconstructOptions", "TextureOptions"]


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
