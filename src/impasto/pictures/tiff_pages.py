"""The directories of a TIFF file: which pages it has, what their tags say, and changes to them.

Sources: TIFF 6.0, section 2, and libtiff's definition of BigTIFF. Errors begin with a verb, and the
caller adds the picture's name.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from impasto.errors import ImageError

__all__ = ["SIGNATURES", "Entry", "Page", "Tag", "picture_page"]

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF


class Tag:
    """The numbers of the tags that are read or changed."""

    SUBFILE_TYPE, OLD_SUBFILE_TYPE, WIDTH, LENGTH, BITS = 254, 255, 256, 257, 258
    COMPRESSION, PHOTOMETRIC, DESCRIPTION, STRIP_OFFSETS, ORIENTATION = 259, 262, 270, 273, 274
    CHANNELS, STRIP_COUNTS, X_RESOLUTION, PLANAR, RESOLUTION_UNIT = 277, 279, 282, 284, 296
    PREDICTOR, WHITE_POINT, COLOR_MAP, TILE_WIDTH, TILE_OFFSETS = 317, 318, 320, 322, 324
    TILE_COUNTS, SUB_DIRECTORIES, INK_SET, INK_NAMES, INKS = 325, 330, 332, 333, 334
    EXTRA, FORMAT, LOWEST, HIGHEST, SHARES = 338, 339, 340, 341, 529
    SUBSAMPLING, BLACK_WHITE, PROFILE, DNG_VERSION = 530, 532, 34675, 50706
    LEAST, MOST, CURVES = 280, 281, 301  # MinSampleValue, MaxSampleValue, TransferFunction


HIDDEN = 65535  # a tag that no reader knows
# NumPy's letter for each type of a tag's values; two letters for fractions.
LETTERS = {
    1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i", 10: "ii", 11: "f",
    12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q",
}  # fmt: skip
REDUCED, MASK = 1, 4  # bits of SUBFILE_TYPE
MOST_PAGES = 1000  # the number of pages that are searched for the picture
RAW = "is a camera's raw file, which is not read; develop it, and save it as TIFF, PNG or JPEG"


@dataclass(frozen=True)
class Entry:
    """A tag's entry in a directory, and the type, number and place of its values."""

    at: int
    letters: str
    count: int
    values_at: int

    @property
    def size(self) -> int:
        """Bytes of one value."""
        return sum(np.dtype(letter).itemsize for letter in self.letters)


@dataclass(frozen=True)
class Page:
    """One picture of a file.

    Attributes:
        data: the bytes of the file.
        order: "<" or ">", the order of the bytes in a number.
        big: whether it is a BigTIFF.
        index: the place of the page in the file, from 0.
        entries: tag → entry.
    """

    data: bytes = field(repr=False)
    order: str
    big: bool
    index: int
    entries: Mapping[int, Entry] = field(repr=False)

    def numbers(self, tag: int, default: Sequence[float] = ()) -> tuple[float, ...]:
        """Return the values of a tag, or the default if the page does not have it."""
        entry = self.entries.get(tag)
        if entry is None or entry.count == 0:
            return tuple(default)
        letters = entry.letters
        if entry.values_at + entry.count * entry.size > len(self.data):
            raise ImageError(f"is damaged or cut short: the values of its tag {tag} are missing")
        count = entry.count * len(letters)
        found = np.frombuffer(self.data, self.order + letters[0], count, entry.values_at)
        if len(letters) == 2:  # fractions
            pairs = found.astype(np.float64).reshape(-1, 2).tolist()
            return tuple(above / below if below else float("nan") for above, below in pairs)
        return tuple(found.tolist())

    def first(self, tag: int, default: int) -> int:
        """Return the first value of a tag as a whole number."""
        return int(self.numbers(tag, (default,))[0])

    def content(self, tag: int) -> bytes:
        """Return the bytes of a tag; no bytes if the page does not have it."""
        entry = self.entries.get(tag)
        if entry is None:
            return b""
        return self.data[entry.values_at : entry.values_at + entry.count * entry.size]

    @property
    def size(self) -> tuple[int, int]:
        """Its size (H, W), in px."""
        return self.first(Tag.LENGTH, 0), self.first(Tag.WIDTH, 0)

    def changed(
        self, tags: Mapping[int, Sequence[int] | None], slices: Mapping[int, slice] | None = None
    ) -> bytearray:
        """Return a copy of the file with other tags on this page.

        Args:
            tags: tag → its new values, at most as many as it has; None hides the tag. Tags that
                the page does not have are ignored.
            slices: tag → the part of its values that stays.
        """
        copy = bytearray(self.data)
        for tag, values in tags.items():
            entry = self.entries.get(tag)
            if entry is None:
                continue
            if values is None:
                struct.pack_into(self.order + "H", copy, entry.at, HIDDEN)
                continue
            rest = [0] * (entry.count - len(values))
            new = np.array([*values, *rest], self.order + entry.letters[0]).tobytes()
            copy[entry.values_at : entry.values_at + len(new)] = new
        for tag, part in (slices or {}).items():
            self._cut(copy, self.entries[tag], part)
        return copy

    def _cut(self, copy: bytearray, entry: Entry, part: slice) -> None:
        """Keep only a part of a tag's values."""
        number = self.order + ("Q" if self.big else "I")
        width = struct.calcsize(number)
        start = entry.values_at + part.start * entry.size
        length = (part.stop - part.start) * entry.size
        struct.pack_into(number, copy, entry.at + 4, part.stop - part.start)
        place = entry.at + 4 + width
        if length <= width:
            copy[place : place + width] = self.data[start : start + length].ljust(width, b"\0")
        else:
            struct.pack_into(number, copy, place, start)


def picture_page(data: bytes) -> Page:
    """Return the first page that is neither a preview nor a mask.

    If there is no such page, return the first page.

    Raises: ImageError: the directories are damaged, or the file is a camera's raw file.
    """
    if data[8:10] == b"CR" and data[:2] == b"II":  # Canon's CR2
        raise ImageError(RAW)
    first = None
    for page in _pages(data):
        first = first or page
        if Tag.DNG_VERSION in page.entries:
            raise ImageError(RAW)
        is_part = page.first(Tag.SUBFILE_TYPE, 0) & (REDUCED | MASK)
        if not is_part and page.first(Tag.OLD_SUBFILE_TYPE, 1) != 2:
            return page
    if first is None:
        raise ImageError("is damaged or cut short: it has no directory")
    if Tag.SUB_DIRECTORIES in first.entries:  # only previews, as in Nikon's and Sony's raw files
        raise ImageError(RAW)
    return first


def _pages(data: bytes) -> Iterator[Page]:
    """Read the directories one after the other, up to the last one or to a damaged one."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    place, width = (8, 8) if big else (4, 4)
    seen: set[int] = set()
    try:
        at = _number(data, order, width, place)
        while at and at not in seen and len(seen) < MOST_PAGES:
            index = len(seen)
            seen.add(at)
            entries, at = _directory(data, order, big, at)
            yield Page(data, order, big, index, entries)
    except struct.error:
        return


def _number(data: bytes, order: str, width: int, at: int) -> int:
    (value,) = struct.unpack_from(order + {2: "H", 4: "I", 8: "Q"}[width], data, at)
    return int(value)


def _directory(data: bytes, order: str, big: bool, at: int) -> tuple[dict[int, Entry], int]:
    """Return the entries of a directory, and the place of the next one; 0: there is none."""
    count_width, width, step = (8, 8, 20) if big else (2, 4, 12)
    count = _number(data, order, count_width, at)
    at += count_width
    if at + count * step + width > len(data) + width:  # the last link may be missing
        raise struct.error
    entries: dict[int, Entry] = {}
    for place in range(at, at + count * step, step):
        tag, kind = struct.unpack_from(order + "HH", data, place)
        letters = LETTERS.get(kind)
        if letters is None or tag in entries:
            continue
        entry = Entry(place, letters, _number(data, order, width, place + 4), place + 4 + width)
        if entry.count * entry.size > width:
            outside = _number(data, order, width, place + 4 + width)
            entry = dataclasses.replace(entry, values_at=outside)
        entries[tag] = entry
    end = at + count * step
    return entries, _number(data, order, width, end) if end + width <= len(data) else 0
