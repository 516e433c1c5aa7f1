"""Uploads: decoded, checked and written anew, so that nothing of the file but its pixels is kept.

What is read of the new file is to the last bit what is read of the old one (upright, in sRGB, at 8
or 16 bits), so a result names the old file, by name and SHA-256, and can be made again from it. Its
EXIF, with the place where it was taken, is gone.
"""

from __future__ import annotations

import dataclasses
import io
import re
import time
import unicodedata
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any

from impasto.cli.commands.examples import EXAMPLES, example_files
from impasto.studio.jobs.limits import Limits, NoSuchThing, TooLarge
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.tables.database import new_id
from impasto.studio.jobs.tables.rows import StoredPicture

if TYPE_CHECKING:
    from impasto.pictures.picture import Picture

__all__ = [
    "add_example", "add_upload", "bare_name", "example_names", "read_stored",
]  # fmt: skip

_LONGEST_NAME = 80


def bare_name(name: str, otherwise: str = "picture") -> str:
    """Return a name that is no path, on any platform, and fit to be shown and downloaded."""
    last = PureWindowsPath(name.replace("\0", "")).name
    plain = "".join(each for each in last if unicodedata.category(each)[0] != "C")
    plain = re.sub(r'[<>:"/\\|?*]', "_", plain).strip(" .")
    stem, dot, suffix = plain.rpartition(".")
    if len(plain) > _LONGEST_NAME and dot and len(suffix) < 8:
        plain = f"{stem[: _LONGEST_NAME - len(suffix) - 1]}.{suffix}"
    return plain[:_LONGEST_NAME] or otherwise


def add_upload(store: Store, data: bytes, name: str, owner: str, limits: Limits) -> StoredPicture:
    """Keep an uploaded picture.

    Raises:
        TooLarge: more bytes than allowed.
        ImageError: it cannot be read as a picture, or has more pixels than allowed.
    """
    from impasto.pictures.files import load_picture

    if len(data) > limits.max_bytes:
        raise TooLarge(
            f"{bare_name(name)} has {len(data) / 1e6:.1f} MB; the studio allows "
            f"{limits.max_bytes / 1e6:g} MB"
        )
    stream = _Named(data)
    stream.name = bare_name(name)
    picture = load_picture(stream, max_pixels=limits.max_pixels)
    return _keep(store, picture, owner)


class _Named(io.BytesIO):
    """Bytes with a name, for messages and metadata."""

    name = ""


def _keep(store: Store, picture: Picture, owner: str) -> StoredPicture:
    from impasto.pictures.files import save_image

    bits, exact = _depth(picture)
    height, width = picture.size
    kept = StoredPicture(
        id=new_id(), owner=owner, name=picture.name or "picture",
        sha256=(picture.sha256 or "") if exact else "", width=width, height=height,
        dpi=picture.dpi, suffix=".png", created=time.time(),
    )  # fmt: skip
    save_image(picture.image, store.pictures.file(kept), alpha=picture.alpha, bits=bits)
    return store.pictures.add(kept)


def _depth(picture: Picture) -> tuple[int, bool]:
    """Return the bits a channel that hold a picture, and whether they do so without a loss."""
    planes = [picture.image]
    if picture.alpha is not None:
        # What is hidden is made up whenever a picture is read, from what is visible.
        planes = [picture.image * (picture.alpha > 0), picture.alpha]
    for bits, tolerance in ((8, 1e-3), (16, 0.05)):
        scaled = [plane * (2**bits - 1) for plane in planes]
        if all(bool(((each - each.round()).abs() < tolerance).all()) for each in scaled):
            return bits, True
    return 16, False


def read_stored(store: Store, picture: str) -> Picture:
    """Read a kept picture under the name and SHA-256 of what was uploaded.

    Raises: NoSuchThing: it was cleaned up.
    """
    from impasto.pictures.files import load_picture

    kept = store.pictures.get(picture)
    path = store.pictures.file(kept)
    if not path.is_file():
        raise NoSuchThing(f"the picture {kept.name} was cleaned up")
    read = load_picture(path)
    changes: dict[str, Any] = {"name": kept.name, "dpi": kept.dpi}
    if kept.sha256:
        changes["sha256"] = kept.sha256
    return dataclasses.replace(read, **changes)


def example_names() -> list[str]:
    """List the bundled pictures."""
    return [path.name for path in example_files()]


def add_example(store: Store, name: str, owner: str, limits: Limits) -> StoredPicture:
    """Keep a bundled picture as if it had been uploaded. Raises: NoSuchThing."""
    if name not in example_names():
        raise NoSuchThing(
            f"{name!r} is not one of the bundled pictures: {', '.join(example_names())}"
        )
    return add_upload(store, (EXAMPLES / name).read_bytes(), name, owner, limits)
