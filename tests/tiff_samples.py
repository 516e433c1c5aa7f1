"""TIFF files made by hand, from the numbers of TIFF 6.0: independent of Pillow and libvips."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

# The letter of struct for each type of a tag's values.
LETTERS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 7: "B", 11: "f", 12: "d", 16: "Q"}
WIDE = {256, 257, 273, 278, 279, 322, 323, 324, 325}  # tags whose values need 32 bits
FRACTIONS = {282, 283, 318, 319, 529, 532}
BYTES = {270, 333, 34675}


def tiff_bytes(
    values: np.ndarray,
    photometric: int,
    *,
    order: str = "<",
    big: bool = False,
    planar: bool = False,
    deflate: bool = False,
    rows: int | None = None,
    tile: int | None = None,
    tags: Mapping[int, Any] | None = None,
    more_pages: Sequence[tuple[np.ndarray, int]] = (),
) -> bytes:
    """A file of (H, W, C) samples, stored as they are.

    Args:
        rows: rows a strip. tile: a tile's side instead, a multiple of 16.
        tags: further tags, or other values: a number, a list, or bytes. None leaves a tag out.
        more_pages: (values, photometric) of further pages, without further tags.
    """
    head = (b"II" if order == "<" else b"MM") + struct.pack(
        order + ("HHHQ" if big else "HI"), *((43, 8, 0, 16) if big else (42, 8))
    )
    file = bytearray(head)
    pages = [(values, photometric, dict(tags or {})), *((*each, {}) for each in more_pages)]
    for array, kind, extra in pages:
        page = _tags(array, kind, order, planar, deflate, rows, tile) | extra
        pieces = _pieces(array, order, planar, deflate, rows, tile)
        _append(file, page, pieces, order, big, tile is not None)
    return bytes(file)


def _tags(array, kind, order, planar, deflate, rows, tile) -> dict[int, Any]:
    height, width, channels = array.shape
    form = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    page: dict[int, Any] = {
        256: width, 257: height, 258: [array.itemsize * 8] * channels, 259: 8 if deflate else 1,
        262: kind, 277: channels, 284: 2 if planar else 1, 339: [form] * channels,
    }  # fmt: skip
    return page | ({278: rows or height} if tile is None else {322: tile, 323: tile})


def _pieces(array, order, planar, deflate, rows, tile) -> list[bytes]:
    planes = [array[..., each : each + 1] for each in range(array.shape[2])] if planar else [array]
    found = []
    for plane in planes:
        height, width, _ = plane.shape
        if tile is None:
            step = rows or height
            parts = [plane[at : at + step] for at in range(0, height, step)]
        else:
            padded = np.pad(plane, ((0, -height % tile), (0, -width % tile), (0, 0)))
            parts = [
                padded[y : y + tile, x : x + tile]
                for y in range(0, height, tile)
                for x in range(0, width, tile)
            ]
        found += [part.astype(part.dtype.newbyteorder(order)).tobytes() for part in parts]
    return [zlib.compress(each) for each in found] if deflate else found


def _append(file: bytearray, page, pieces, order, big, tiled) -> None:
    """Append pieces and a directory, to which the file's last link already points."""
    number, width = order + ("Q" if big else "I"), 8 if big else 4
    link = len(file) - width  # the end of the header, or of the last directory
    offsets = []
    for piece in pieces:
        offsets.append(len(file))
        file += piece + b"\0" * (len(piece) % 2)
    places = {324: offsets, 325: list(map(len, pieces))} if tiled else {
        273: offsets, 279: list(map(len, pieces))
    }  # fmt: skip
    entries = []
    for tag, value in sorted((places | page).items()):
        if value is None:
            continue
        kind, count, data = _packed(tag, value, order)
        if len(data) > width:
            at = len(file)
            file += data + b"\0" * (len(data) % 2)
            data = struct.pack(number, at)
        entries.append(
            struct.pack(order + "HH", tag, kind)
            + struct.pack(number, count)
            + data.ljust(width, b"\0")
        )
    struct.pack_into(number, file, link, len(file))
    file += struct.pack(order + ("Q" if big else "H"), len(entries)) + b"".join(entries)
    file += b"\0" * width


def _packed(tag: int, value: Any, order: str) -> tuple[int, int, bytes]:
    """The type, the number of values, and their bytes."""
    if isinstance(value, bytes):
        return (2 if tag in (270, 333) else 7), len(value), value
    many = value if isinstance(value, list | tuple) else [value]
    if tag in FRACTIONS:
        parts = [Fraction(each).limit_denominator(10**6) for each in many]
        flat = [number for part in parts for number in (part.numerator, part.denominator)]
        return 5, len(many), struct.pack(f"{order}{len(flat)}I", *flat)
    kind = 12 if any(isinstance(each, float) for each in many) else 4 if tag in WIDE else 3
    return kind, len(many), struct.pack(f"{order}{len(many)}{LETTERS[kind]}", *many)
