"""The errors of impasto, and its warning. The studio adds its own, below `ImpastoError`.

ImpastoError
├── ImageError          a picture cannot be read, written, or used as it is
├── SoundError          a sound cannot be read, written, or used as it is
├── SettingsError       an option has a value that is not allowed    (also a ValueError)
├── ShapeError          an array or tensor has the wrong shape       (also a ValueError)
├── WeightsError        a network's weights are missing, damaged, or of an unknown origin
├── VideoError          a clip, or a folder of frames, cannot be read, written, or used as it is
│   └── TruncatedClip   a clip ends early; holds the number of frames that were read
├── MemoryLimitError    a picture or a sound does not fit into memory
└── DivergenceError     the loss is not finite, or explodes; holds the last good image

A message names the option or file, the value that was given and the values that are allowed. It is
one sentence, which the command line prints unchanged.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "DivergenceError",
    "ImageError",
    "ImageWarning",
    "ImpastoError",
    "MemoryLimitError",
    "SettingsError",
    "ShapeError",
    "SoundError",
    "TruncatedClip",
    "VideoError",
    "WeightsError",
    "counted",
    "install_hint",
    "nearest_match",
]


class ImpastoError(Exception):
    """An error that is caused by impasto's input or by its environment, such as a full disk.

    >>> print(ImpastoError("is empty", path="photo.jpg"))
    photo.jpg is empty

    Args:
        message: a whole sentence, or, if a path is given, a sentence without its subject.
        path: the file, which is the subject of the sentence.

    Attributes:
        path: the path of the file that the error is about, as it was given, or a name such as
            "the stream"; None: the error is not about a file. The message begins with the path.
            A program that knows the file by another name may change this attribute.
    """

    def __init__(self, message: str, *, path: str | os.PathLike[str] | None = None) -> None:
        super().__init__(message)
        self.path = None if path is None else os.fspath(path)

    def __str__(self) -> str:
        message = super().__str__()
        return message if self.path is None else f"{self.path} {message}"


class ImageError(ImpastoError):
    """A picture cannot be read, written, or used as it is."""


class ImageWarning(UserWarning):
    """Something in a picture file cannot be used, and the picture is read without it."""


class SoundError(ImpastoError):
    """A sound cannot be read, written, or used as it is."""


class SettingsError(ImpastoError, ValueError):
    """An option has a value that is not allowed."""


class ShapeError(ImpastoError, ValueError):
    """An array or tensor has the wrong shape."""


class WeightsError(ImpastoError):
    """A network's weights are missing, damaged, or of an unknown origin."""


class VideoError(ImpastoError):
    """A clip, or a folder of frames, cannot be read, written, or used as it is."""


class TruncatedClip(VideoError):  # noqa: N818  (the frames that were read can be used)
    """A clip ends early, or is damaged; the frames before that point were read.

    Attributes:
        frames: the number of frames that were read.
    """

    def __init__(
        self, message: str, frames: int, *, path: str | os.PathLike[str] | None = None
    ) -> None:
        super().__init__(message, path=path)
        self.frames = frames


class MemoryLimitError(ImpastoError):
    """A picture or a sound does not fit into memory.

    For a picture, the message names the largest size that fits, if there is one. For a sound, it
    says how much shorter the sounds must be.
    """


class DivergenceError(ImpastoError):
    """The loss is not finite, or explodes, and smaller steps did not help.

    Attributes:
        image: the last good image, (1, 3, H, W), sRGB, in [0, 1] if the pixels are clamped.
    """

    def __init__(self, message: str, image: Tensor) -> None:
        super().__init__(message)
        self.image = image


def nearest_match(word: str, choices: Iterable[str]) -> str:
    """Return "; did you mean relu4_2?" for the choice closest to word, or "" if none is close.

    Many messages end with it, in packages that do not import each other.
    """
    close = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def counted(count: int, noun: str) -> str:
    """Write a number of things: "1 frame", "2 frames"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def install_hint(extra: str) -> str:
    """Return the command that installs an extra, as a shell takes it.

    An installed impasto is found by its name. Where this package lies in its repository, its
    folder is named: then the name could be that of another project in the package index. Double
    quotes keep every shell, also on Windows, from taking the brackets for a pattern.
    """
    root = Path(__file__).resolve().parents[2]
    if (root / "pyproject.toml").is_file():
        return f'pip install -e "{root}[{extra}]"'
    return f'pip install "impasto[{extra}]"'
