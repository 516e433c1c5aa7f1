"""Paper: "40x30cm" and dots per inch → the long side of a picture in px."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from impasto.errors import SettingsError

__all__ = ["DPI", "for_print", "long_side_for_print", "parse_print"]

DPI = 300.0  # what print shops ask for
_INCHES = {"cm": 1 / 2.54, "mm": 1 / 25.4, "in": 1.0}
_NUMBER = r"(\d+(?:\.\d+)?)"
_PAPER = re.compile(rf"{_NUMBER}\s*[x×]\s*{_NUMBER}\s*(cm|mm|in)", re.IGNORECASE)


def parse_print(text: str) -> tuple[float, float]:
    """Return the two sides, in inches, of "40x30cm", "400x300mm" and "16x12in".

    Raises: SettingsError: anything else, or a side of 0.
    """
    match = _PAPER.fullmatch(text.strip())
    sides = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
    if match is None or min(sides) <= 0:
        raise SettingsError(f"print: {text!r} is not a size, like 40x30cm, 400x300mm or 16x12in")
    inch = _INCHES[match[3].lower()]
    return sides[0] * inch, sides[1] * inch


def for_print(paper: str | None, dpi: float | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what --print and --dpi mean for a job, given the settings' flags beside them.

    Raises: SettingsError: not a size; dpi outside 10…2400, which no printer means; or the size
        is given twice.
    """
    if dpi is not None and not 10 <= dpi <= 2400:
        raise SettingsError(f"dpi: {dpi:g} is not between 10 and 2400")
    if paper is None:
        return {"dpi": dpi}
    if "long_side" in options:
        raise SettingsError("--print and --long-side both give the size; choose one")
    return {"print_size": parse_print(paper), "dpi": DPI if dpi is None else dpi}


def long_side_for_print(
    size: tuple[int, int], paper: tuple[float, float], dpi: float | None
) -> int:
    """Return the long side, in px, of the largest print of this shape that fits on the paper.

    Args:
        size: (H, W) of the picture; only its shape matters, and the paper is turned to suit it.
        paper: its sides in inches.
        dpi: dots per inch; None: 300.
    """
    shape = max(size) / min(size)
    inches = min(max(paper), min(paper) * shape)
    return max(1, round(inches * (dpi or DPI)))
