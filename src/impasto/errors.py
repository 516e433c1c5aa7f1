"""What can go wrong, as one tree.

ImpastoError
├── ImageError          a picture cannot be read, written, or used as it is
├── SoundError          a sound cannot be read, written, or used as it is
├── SettingsError       an option has a value that it may not have   (also a ValueError)
├── ShapeError          an array or tensor has the wrong shape       (also a ValueError)
├── WeightsError        a network's weights are missing, damaged, or not what they claim to be
├── VideoError          a clip, or a folder of frames, cannot be read, written, or used as it is
│   └── TruncatedClip   a clip ends early; carries how many frames were read
├── MemoryLimitError    a picture does not fit; names the size that does
└── DivergenceError     the optimization left the finite numbers; carries the last good image

Every message says what was asked, what was given and what is allowed, in one sentence that
the command line can print as it is.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "DivergenceError",
    "ImageError",
    "ImpastoError",
    "MemoryLimitError",
    "SettingsError",
    "ShapeError",
    "SoundError",
    "TruncatedClip",
    "VideoError",
    "WeightsError",
    "check_pairs",
    "nearest_match",
    "out_of_memory",
]


class ImpastoError(Exception):
    """Anything that impasto reports about its input or its surroundings."""


class ImageError(ImpastoError):
    """A picture cannot be read, written, or used as it is."""


class SoundError(ImpastoError):
    """A sound cannot be read, written, or used as it is."""


class SettingsError(ImpastoError, ValueError):
    """An option has a value that it may not have."""


class ShapeError(ImpastoError, ValueError):
    """An array or tensor has the wrong shape."""


class WeightsError(ImpastoError):
    """A network's weights are missing, damaged, or not what they claim to be."""


class VideoError(ImpastoError):
    """A clip, or a folder of frames, cannot be read, written, or used as it is."""


class TruncatedClip(VideoError):  # noqa: N818  (it is a clip, of which a part is good)
    """A clip ends early, or is damaged: what could be read has been, and may be used.

    Attributes:
        frames: how many frames were read.
    """

    def __init__(self, message: str, frames: int) -> None:
        super().__init__(message)
        self.frames = frames


class MemoryLimitError(ImpastoError):
    """A picture does not fit into memory; the message names the largest size that does."""


class DivergenceError(ImpastoError):
    """The optimization left the finite numbers and smaller steps did not bring it back.

    Attributes:
        image: the last good image, (1, 3, H, W), sRGB in [0, 1].
    """

    def __init__(self, message: str, image: Tensor) -> None:
        super().__init__(message)
        self.image = image


# How torch, on any device, and the C++ library say that an allocation failed.
_MEMORY_WORDS = ("allocate memory", "out of memory", "not enough memory", "bad_alloc")


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory did not suffice: torch's are plain RuntimeErrors."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(w in str(error).lower() for w in _MEMORY_WORDS)
    )


def nearest_match(word: str, choices: Iterable[str]) -> str:
    """Return "; did you mean relu4_2?" for the choice closest to word, or "" if none is close."""
    close = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def check_pairs(kind: str, given: Sequence[str], styles: Sequence[str]) -> None:
    """Raise a SettingsError that names the pairs unless there is one for each style."""
    if len(given) == len(styles):
        return
    longest = max(len(given), len(styles))
    pairs = ", ".join(
        f"{styles[i] if i < len(styles) else 'no style'} with "
        f"{given[i] if i < len(given) else f'no {kind}'}"
        for i in range(longest)
    )
    count = f"{len(styles)} style{'s' if len(styles) > 1 else ''}"
    raise SettingsError(
        f"{len(given)} × {kind} for {count} ({pairs}): give one for each style, in their order; "
        "none skips a style"
    )
