"""Folders of pictures as clips: read in the order of their numbers, written frame by frame."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

from impasto.errors import ImageError, VideoError
from impasto.pictures.files import load_picture, save_image
from impasto.pictures.picture import Image, Picture
from impasto.video.io.clips import Clip, to_fraction

__all__ = ["FolderWriter", "open_folder", "read_folder", "shape_note"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_NUMBERS = re.compile(r"(\d+)")
_FRAME = re.compile(r"frame-\d+\.png")


def open_folder(path: Path, rate: Fraction | float) -> Clip:
    """List the frames of a folder, and read the size of the first.

    Raises: VideoError: the folder has no frames, the first cannot be read, or the rate is not in
        (0, 1000).
    """
    if not 0 < rate < 1000:
        raise VideoError(
            f"the rate is {float(rate):g}; it must be above 0 and below 1000 frames per second"
        )
    exact = rate if isinstance(rate, Fraction) else to_fraction(rate)
    try:
        names = [each for each in path.iterdir() if each.suffix.lower() in _SUFFIXES]
    except OSError as error:
        raise VideoError(f"cannot be read: {error.strerror}", path=path) from error
    files = tuple(sorted((each for each in names if not each.name.startswith(".")), key=_natural))
    if not files:
        raise VideoError("holds no frames: it has no PNG, JPEG or TIFF file", path=path)
    height, width = _load(files[0]).size
    return Clip(
        path=path,
        size=(height, width),
        rate=exact,
        frames=len(files),
        duration=float(len(files) / exact),
        time_base=1 / exact,
        files=files,
    )


def _natural(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    """Return a key for sorting files by name, with frame-2 before frame-10."""
    parts = _NUMBERS.split(path.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part], path.name


def _load(path: Path) -> Picture:
    try:
        return load_picture(path)
    except ImageError as error:
        raise VideoError(*error.args, path=error.path) from error


def read_folder(clip: Clip) -> Iterator[tuple[Callable[[], Picture], Fraction, Fraction]]:
    """Yield for each frame of a folder: a function that loads it, its time and its duration."""
    length = 1 / clip.rate
    for count, path in enumerate(clip.files):

        def load(path: Path = path) -> Picture:
            picture = _load(path)
            height, width = picture.size
            if (height, width) != clip.size:
                raise VideoError(
                    f"is {width} x {height} px, but {clip.files[0].name} is "
                    f"{clip.size[1]} x {clip.size[0]}; all frames of a folder must have one size",
                    path=path,
                )
            return picture

        yield load, count * length, length


def shape_note(clip: Clip) -> tuple[str, ...]:
    """Say in one line that pictures of a clip's frames look too narrow or too wide, if they do."""
    if clip.aspect == 1:
        return ()
    looks = "narrow" if clip.aspect > 1 else "wide"
    return (
        f"the pixels of {clip.path.name} are not square, which PNG files cannot say: the frames "
        f"look too {looks}; their right width is {clip.aspect} of it",
    )


class FolderWriter:
    """Writes frames as frame-000001.png and so on; a file is complete or does not exist.

    Args:
        folder: is created if it is missing.
        overwrite: whether frames of an earlier run may be deleted.

    Raises: VideoError: the folder has frames that may not be deleted, or cannot be created.
    """

    def __init__(self, folder: Path, *, overwrite: bool) -> None:
        self.folder = folder
        self.count = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            found = sorted(path for path in folder.iterdir() if _FRAME.fullmatch(path.name))
            if found and not overwrite:
                raise VideoError(
                    "has frames already; to replace them, use overwrite=True (--force on the "
                    "command line)",
                    path=folder,
                )
            for path in found:
                path.unlink()
        except OSError as error:
            raise VideoError(f"cannot be written: {error.strerror}", path=folder) from error

    def write(self, image: Image) -> None:
        """Write the next frame."""
        self.count += 1
        save_image(image, self.folder / f"frame-{self.count:06d}.png")
