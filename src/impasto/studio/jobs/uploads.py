"""Uploaded pictures: decoded, checked, and written again, so that only their pixels remain.

The new file is upright and in sRGB. If the values of the picture are steps of 8 or 16 bits, it
gives the same values of visible pixels, up to the last bit of a float. Then a result states the
name and the SHA-256 of the uploaded file, and can be reproduced from it. Other values, of a file of
floats, are rounded to 16 bits, and the result states the SHA-256 of the new file. The EXIF data,
which may contain the location of a photo, is removed.
"""

from __future__ import annotations

import dataclasses
import io
import re
import threading
import time
import unicodedata
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from impasto.pictures.examples import EXAMPLES, example_files
from impasto.studio.jobs.limits import Limits, NoSuchThing, TooLarge
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.tables.database import new_id
from impasto.studio.jobs.tables.rows import StoredPicture
from impasto.studio.jobs.views import Upload

if TYPE_CHECKING:
    from impasto.pictures.picture import Picture

__all__ = [
    "DECODING", "add_example", "add_picture", "bare_name", "example_names", "known_picture",
    "picture_file", "read_picture",
]  # fmt: skip

# Limits how many large pictures this process decodes at once, to save memory.
DECODING = threading.Semaphore(2)
_LONGEST_NAME = 80


def bare_name(name: str, default: str = "picture") -> str:
    """Return a name without folders that is safe to show and download on any platform."""
    last = PureWindowsPath(name.replace("\0", "")).name
    plain = "".join(each for each in last if unicodedata.category(each)[0] != "C")
    plain = re.sub(r'[<>:"/\\|?*]', "_", plain).strip(" .")
    stem, dot, suffix = plain.rpartition(".")
    if len(plain) > _LONGEST_NAME and dot and len(suffix) < 8:
        plain = f"{stem[: _LONGEST_NAME - len(suffix) - 1]}.{suffix}"
    return plain[:_LONGEST_NAME] or default


def add_picture(store: Store, data: bytes, name: str, owner: str, limits: Limits) -> Upload:
    """Store an uploaded picture (the bytes of a file), re-encoded and without EXIF.

    Raises:
        TooLarge: it has more bytes than allowed.
        ImageError: it is not a readable picture, or has more pixels than allowed.
    """
    from impasto.pictures.files import load_picture

    if len(data) > limits.max_bytes:
        raise TooLarge(
            f"{bare_name(name)} has {len(data) / 1e6:.1f} MB; the studio allows "
            f"{limits.max_bytes / 1e6:g} MB"
        )
    stream = _Named(data)
    stream.name = bare_name(name)
    with DECODING:
        picture = load_picture(stream, max_pixels=limits.max_pixels)
        return Upload.of(_write(store, picture, owner))


class _Named(io.BytesIO):
    """Bytes with a name, for messages and metadata."""

    name = ""


def _write(store: Store, picture: Picture, owner: str) -> StoredPicture:
    """Write a picture into the store as PNG, and record it."""
    from impasto.pictures.files import save_image

    bits, exact = _depth(picture)
    height, width = picture.size
    stored = StoredPicture(
        id=new_id(), owner=owner, name=picture.name or "picture",
        sha256=(picture.sha256 or "") if exact else "", width=width, height=height,
        dpi=picture.dpi, suffix=".png", created=time.time(),
    )  # fmt: skip
    save_image(picture.pixels, store.pictures.file(stored), alpha=picture.alpha, bits=bits)
    return store.pictures.add(stored)


def _depth(picture: Picture) -> tuple[int, bool]:
    """Return the bits a channel to store a picture with, and whether that is lossless."""
    from impasto.pictures.picture import strips

    if str(picture.pixels.dtype) == "torch.uint8":
        return 8, True
    fitting = {8: 1e-3, 16: 0.05}  # bits → how far rounding may take a value from a step
    start = 0
    for strip in strips(picture):
        planes = [strip]
        if picture.alpha is not None:
            alpha = picture.alpha[..., start : start + strip.shape[2], :]
            # Reading fills invisible pixels from visible ones, so their values do not matter.
            planes = [strip * (alpha > 0), alpha]
        start += strip.shape[2]
        for bits, tolerance in tuple(fitting.items()):
            scaled = [plane * (2**bits - 1) for plane in planes]
            if not all(bool(((each - each.round()).abs() < tolerance).all()) for each in scaled):
                del fitting[bits]
    return (min(fitting), True) if fitting else (16, False)


def known_picture(store: Store, picture: str) -> Upload:
    """Return the facts about an uploaded picture. Raises: NoSuchThing."""
    picture_file(store, picture)
    return Upload.of(store.pictures.get(picture))


def picture_file(store: Store, picture: str) -> Path:
    """Return the (re-encoded) PNG file of an uploaded picture. Raises: NoSuchThing."""
    path = store.pictures.file(store.pictures.get(picture))
    if not path.is_file():
        raise NoSuchThing("there is no such picture; it may have been deleted")
    return path


def read_picture(store: Store, picture: str) -> Picture:
    """Read a stored picture under the name and SHA-256 of the uploaded file.

    Raises: NoSuchThing: it was deleted.
    """
    from impasto.pictures.files import load_picture

    stored = store.pictures.get(picture)
    path = store.pictures.file(stored)
    if not path.is_file():
        raise NoSuchThing(f"the picture {stored.name} was deleted")
    read = load_picture(path)
    changes: dict[str, Any] = {"image": read.pixels, "name": stored.name, "dpi": stored.dpi}
    if stored.sha256:
        changes["sha256"] = stored.sha256
    return dataclasses.replace(read, **changes)


def example_names() -> list[str]:
    """Return the names of the bundled pictures."""
    return [path.name for path in example_files()]


def add_example(store: Store, name: str, owner: str, limits: Limits) -> Upload:
    """Store a bundled picture as if it had been uploaded. Raises: NoSuchThing."""
    if name not in example_names():
        raise NoSuchThing(
            f"{name!r} is not one of the bundled pictures: {', '.join(example_names())}"
        )
    return add_picture(store, (EXAMPLES / name).read_bytes(), name, owner, limits)
