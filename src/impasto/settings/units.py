"""Quantities as users type them: 2m30s, 4GB, 40x30cm, 800x600.

This module does not import torch, so that `--help` is fast.
"""

from __future__ import annotations

import re

from impasto.errors import SettingsError

__all__ = [
    "DPI",
    "long_side_for_print",
    "parse_duration",
    "parse_memory",
    "parse_print",
    "parse_size",
    "parse_time",
    "show_duration",
]

_NUMBER = r"(\d+(?:\.\d+)?)"

# ---- time ---------------------------------------------------------------------------------------

_DURATION = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m(?:in)?)?(?:{_NUMBER}(?:s(?:ec)?)?)?")


def parse_duration(text: str) -> float:
    """Convert a duration such as "90", "90s", "2m", "1m30s" or "1.5h" to seconds.

    Raises: SettingsError: the text is not a duration, or is 0.
    """
    seconds = _seconds(text)
    if seconds == 0:
        raise SettingsError(f"{text!r} is not a time above 0; write it like 90s, 2m, 1m30s or 1h")
    if seconds is None:
        raise _no_time(text)
    return seconds


def parse_time(text: str) -> float:
    """Convert a time in a clip to seconds. It is like a duration, but may be 0.

    Raises: SettingsError: the text is not a time.
    """
    seconds = _seconds(text)
    if seconds is None:
        raise _no_time(text)
    return seconds


def _seconds(text: str) -> float | None:
    match = _DURATION.fullmatch(re.sub(r"\s", "", text))
    if not match or not match[0]:
        return None
    hours, minutes, seconds = map(float, match.groups("0"))
    return hours * 3600 + minutes * 60 + seconds


def _no_time(text: str) -> SettingsError:
    return SettingsError(f"{text!r} is not a time; write it like 90s, 2m, 1m30s or 1h")


def show_duration(seconds: float) -> str:
    """Write seconds as a text that `parse_duration` can read.

    >>> show_duration(90), show_duration(5400), show_duration(2.5)
    ('1m30s', '1h30m', '2.5s')
    """
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{number:g}{unit}" for number, unit in parts if number) or "0s"


# ---- memory -------------------------------------------------------------------------------------

_MEMORY = re.compile(rf"{_NUMBER}\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_LEAST_MEMORY = 50e6  # bytes; a smaller number is probably a mistake in the unit


def parse_memory(text: str) -> float:
    """Convert a size such as "4GB", "4 GiB", "1.5g" or "800MB" to bytes.

    Raises: SettingsError: the text is not a size, or is less than 50 MB.
    """
    match = _MEMORY.fullmatch(text.strip())
    scale = " kmgt".index(match[2].lower() or " ") if match else 0
    size = float(match[1]) * (1024 if match[3] else 1000) ** scale if match else 0.0
    if size < _LEAST_MEMORY:
        raise SettingsError(
            f"memory: {text!r} is not a size of at least 50 MB; write it like 4GB or 800MB"
        )
    return size


# ---- sizes --------------------------------------------------------------------------------------

DPI = 300.0  # dots per inch that print shops recommend
_INCHES = {"cm": 1 / 2.54, "mm": 1 / 25.4, "in": 1.0}
_PAPER = re.compile(rf"{_NUMBER}\s*[x×]\s*{_NUMBER}\s*(cm|mm|in)", re.IGNORECASE)
_PIXELS = re.compile(r"(\d{1,5})(?:\s*[x×]\s*(\d{1,5}))?")
_LARGEST_SIDE = 32768


def parse_print(text: str) -> tuple[float, float]:
    """Convert a paper size such as "40x30cm", "400x300mm" or "16x12in" to two sides in inches.

    Raises: SettingsError: the text is not a size, or a side is 0.
    """
    match = _PAPER.fullmatch(text.strip())
    sides = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
    if match is None or min(sides) <= 0:
        raise SettingsError(
            f"print: {text!r} is not a size; write it like 40x30cm, 400x300mm or 16x12in"
        )
    inch = _INCHES[match[3].lower()]
    return sides[0] * inch, sides[1] * inch


def long_side_for_print(size: tuple[int, int], paper: tuple[float, ...], dpi: float | None) -> int:
    """Return the long side, in px, of the largest print of a picture that fits on the paper.

    Args:
        size: (H, W) of the picture; only its proportions matter. The paper may be turned.
        paper: the two sides of the paper, in inches.
        dpi: dots per inch; None: 300.
    """
    shape = max(size) / min(size)
    inches = min(max(paper), min(paper) * shape)
    return max(1, round(inches * (dpi or DPI)))


def parse_size(text: str) -> tuple[int, int]:
    """Convert a size in px, "800x600" (W x H) or "512" (a square), to (H, W).

    Raises: SettingsError: the text is not a size, or a side is 0 or above 32768.
    """
    match = _PIXELS.fullmatch(text.strip())
    width, height = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= min(width, height) <= max(width, height) <= _LARGEST_SIDE:
        raise SettingsError(
            f"size: {text!r} is not a size in px from 1 to {_LARGEST_SIDE}; write it like 800x600"
        )
    return height, width
