"""Find the files that a picture was made from, by the SHA-256 sums in its metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from impasto.errors import ImageError, ImpastoError
from impasto.storage import sha256_of

__all__ = ["LookIn", "find_files", "is_input"]

LookIn = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder of the files that the picture was made from, if they are not in its own "
        "folder; may be repeated.",
    ),
]


def is_input(value: Any) -> bool:
    """Tell whether a value of the metadata holds the name and the SHA-256 of a file."""
    return isinstance(value, dict) and all(
        value.get(key, ...) is None or isinstance(value.get(key), str) for key in ("name", "sha256")
    )


def find_files(
    picture: str, wanted: Sequence[Mapping[str, Any]], folders: Sequence[Path]
) -> dict[str, Path]:
    """Find the files that a picture was made from, by their SHA-256.

    Files with the right names are tried first. All other files of the folders follow, because a
    file may be renamed.

    Args:
        picture: its name, for messages.
        wanted: name and SHA-256 of each file, as in the metadata.

    Returns: SHA-256 → file.

    Raises: ImageError: files are missing; the message names all of them.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ImageError("cannot be read: there is no such folder", path=folder)
    names = {str(each["name"]) for each in wanted}
    missing = {str(each["sha256"]) for each in wanted if each["sha256"]}
    found: dict[str, Path] = {}
    for path in _candidates(folders, names):
        if not missing:
            break
        digest = _digest(path)
        if digest in missing:
            found[digest] = path
            missing.remove(digest)
    lost = [
        f"{each['name'] or 'a picture without a file'} (SHA-256 {each['sha256'] or 'unknown'})"
        for each in wanted
        if each["sha256"] not in found
    ]
    if lost:
        raise ImageError(
            f"{picture} was made from {', '.join(dict.fromkeys(lost))}, which cannot be found "
            f"in {', '.join(str(folder) for folder in folders)}; name their folder with --look-in"
        )
    return found


def _candidates(folders: Sequence[Path], names: set[str]) -> Iterator[Path]:
    """Yield the files of the folders, those with the right names first."""
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    yield from (path for path in files if path.name in names)
    yield from (path for path in files if path.name not in names)


def _digest(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except ImpastoError:
        return None  # a file that cannot be read is not one of the inputs
