"""The cases of a comparison: pairs of photo and painting, and methods with a result for each."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from impasto.errors import ImageError, SettingsError
from impasto.storage import read_file

__all__ = ["Method", "Pair", "read_method", "read_pairs", "result_in"]

COLUMNS = ("pair", "content", "style")
_RECIPE = "recipe:"
_PICTURES = (
    ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".bmp", ".gif"
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A photo and a painting, with a name."""

    name: str
    content: Path
    style: Path


@dataclass(frozen=True)
class Method:
    """A way to make results: a folder that holds them, or a recipe that paints them.

    Attributes:
        name: as it appears in tables.
        folder: has one picture for each pair, with the pair's name; None: a recipe paints them.
        recipe: a recipe's name, or a settings file; None: there is a folder.
    """

    name: str
    folder: Path | None = None
    recipe: str | None = None


def read_method(text: str) -> Method:
    """Return the method that NAME=FOLDER or NAME=recipe:RECIPE describes.

    >>> read_method("fast=recipe:fast")
    Method(name='fast', folder=None, recipe='fast')

    Raises: SettingsError: the text has another form.
    """
    name, _, place = text.partition("=")
    name, place = name.strip(), place.strip()
    if not name or not place.removeprefix(_RECIPE):
        raise SettingsError(
            f"--method {text}: write NAME=FOLDER for a folder of results, or NAME=recipe:RECIPE "
            "for a recipe or a settings file"
        )
    if place.startswith(_RECIPE):
        return Method(name, recipe=place.removeprefix(_RECIPE))
    return Method(name, folder=Path(place))


def read_pairs(path: Path) -> list[Pair]:
    """Read a table of pairs: a CSV file with the columns pair, content and style.

    Relative paths begin at the folder of the table. Columns are separated by commas, semicolons or
    tabs. Other columns are ignored.

    Raises: SettingsError: the file cannot be read, has no such columns, has no pair, or a row has
        an empty cell or a name that is taken or is no file name.
    """
    try:
        text = read_file(path, "a table of pairs", error=SettingsError).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError("is not a text in UTF-8", path=path) from error
    lines = text.splitlines()
    head = lines[0] if lines else ""
    separator = next((each for each in ",;\t" if each in head), ",")
    rows = csv.DictReader(lines, delimiter=separator, skipinitialspace=True)
    rows.fieldnames = [each.strip().lower() for each in rows.fieldnames or []]
    if not set(COLUMNS) <= set(rows.fieldnames):
        raise SettingsError(
            f"has the columns {', '.join(rows.fieldnames)}; a table of pairs needs the columns "
            f"{', '.join(COLUMNS)}",
            path=path,
        )
    pairs: dict[str, Pair] = {}
    for row in rows:
        cells = [(row[column] or "").strip() for column in COLUMNS]
        fault = _fault(cells, pairs)
        if fault:
            raise SettingsError(f"is wrong in line {rows.line_num}: {fault}", path=path)
        pairs[cells[0]] = Pair(cells[0], path.parent / cells[1], path.parent / cells[2])
    if not pairs:
        raise SettingsError("has no pair; it needs at least one row below the header", path=path)
    return list(pairs.values())


def _fault(cells: Sequence[str], taken: Collection[str]) -> str:
    """Return why a row of a table is wrong; "": it is right."""
    for column, cell in zip(COLUMNS, cells, strict=True):
        if not cell or "\0" in cell:
            return f"{column} is empty"
    if re.search(r"[/\\]", cells[0]):
        return f"the name {cells[0]!r} contains a slash, but results are files of this name"
    if cells[0] in taken:
        return f"there are two pairs with the name {cells[0]!r}"
    return ""


def result_in(folder: Path, pair: Pair) -> Path:
    """Return the picture in a folder whose name without suffix is the pair's name.

    Raises: ImageError: there is no such picture, or there are several.
    """
    found = [
        path
        for path in (sorted(folder.iterdir()) if folder.is_dir() else ())
        if path.suffix.lower() in _PICTURES and path.name[: -len(path.suffix)] == pair.name
    ]
    if not found:
        raise ImageError(f"has no picture {pair.name}.png (or .jpg, …)", path=folder)
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise ImageError(f"has {names}; keep only one of them", path=folder)
    return found[0]
