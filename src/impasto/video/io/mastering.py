"""The light levels that a clip of high dynamic range states: read from a frame, and passed on.

Source: SMPTE ST 2086 (mastering display), CTA-861.3 (MaxCLL and MaxFALL).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from impasto.pictures.transfer import PEAK, PQ

__all__ = ["Mastering", "mastering_of", "mastering_option", "peak_of"]

_POINTS = {"G": 1, "B": 2, "R": 0, "WP": 3}  # in the order in which the encoders take them
_HIGHEST = 10_000  # cd/m², the end of PQ


@dataclass(frozen=True)
class Mastering:
    """What a clip states about its light.

    Attributes:
        display: x and y of the red, green, blue and white of the display on which the clip was
            graded; (): not stated.
        luminance: the lowest and the highest luminance of that display, cd/m²; (): not stated.
        brightest: MaxCLL, the light of the brightest pixel, cd/m²; 0: not stated.
        average: MaxFALL, the highest average light of a frame, cd/m²; 0: not stated.
    """

    display: tuple[tuple[float, float], ...] = ()
    luminance: tuple[float, ...] = ()
    brightest: int = 0
    average: int = 0


def mastering_of(frame: Any) -> Mastering:
    """Read what a decoded frame states about the light of its clip."""
    levels = frame.side_data.get("CONTENT_LIGHT_LEVEL")
    brightest, average = (0, 0) if levels is None else _numbers(levels)[:2]
    display = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    if display is None:
        return Mastering((), (), brightest, average)
    # Ten fractions: x, y of red, green, blue, white; the lowest and the highest luminance. Then
    # two truth values: whether the colors and whether the luminances are stated.
    numbers = _numbers(display)
    pairs = zip(numbers[:20:2], numbers[1:20:2], strict=True)
    values = [above / below if below else 0.0 for above, below in pairs]
    has_colors = bool(numbers[20]) and all(0 < each < 1 for each in values[:8])
    has_luminance = bool(numbers[21]) and 0 <= values[8] < values[9] <= _HIGHEST
    return Mastering(
        tuple(zip(values[:8:2], values[1:8:2], strict=True)) if has_colors else (),
        tuple(values[8:10]) if has_luminance else (),
        brightest,
        average,
    )


def _numbers(side_data: Any) -> list[int]:
    return [int(each) for each in np.frombuffer(bytes(side_data), "<i4")]


def peak_of(mastering: Mastering, transfer: int) -> float:
    """Return the brightest light of a clip, cd/m².

    PQ: MaxCLL, else the highest luminance of the mastering display, else 1000. HLG is relative, and
    its nominal display has 1000.
    """
    if transfer != PQ:
        return PEAK
    stated = (mastering.brightest, *mastering.luminance[1:])
    return float(next((each for each in stated if 0 < each <= _HIGHEST), PEAK))


# For each encoder that can state light levels: its option, the names of the display and of MaxCLL,
# and the units per coordinate and per cd/m²; None: decimals.
_ENCODERS: dict[str, tuple[str, str, str, tuple[int, int] | None]] = {
    "libx265": ("x265-params", "master-display", "max-cll", (50_000, 10_000)),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light", None),
}


def mastering_option(encoder: str, mastering: Mastering) -> tuple[str, str] | None:
    """Return an encoder's option for light levels, and its text; None: no option, or no levels.

    Args: encoder: FFmpeg's name.
    """
    if encoder not in _ENCODERS:
        return None
    option, display, levels, units = _ENCODERS[encoder]

    def shown(value: float, kind: int) -> str:
        return f"{value:.5f}" if units is None else f"{round(value * units[kind])}"

    parts = []
    if mastering.display and mastering.luminance:
        pairs = {name: mastering.display[index] for name, index in _POINTS.items()}
        points = "".join(f"{name}({shown(x, 0)},{shown(y, 0)})" for name, (x, y) in pairs.items())
        low, high = (shown(each, 1) for each in mastering.luminance)
        parts.append(f"{display}={points}L({high},{low})")
    if mastering.brightest:
        parts.append(f"{levels}={mastering.brightest},{mastering.average}")
    return (option, ":".join(parts)) if parts else None
