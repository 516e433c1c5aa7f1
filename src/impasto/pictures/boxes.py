"""The nclx box of AVIF and HEIC files: the numbers of primaries, transfer function and matrix.

ISO/IEC 14496-12 defines boxes in general, and ISO/IEC 23008-12 defines those of pictures. Pillow
and pillow-heif convert YCbCr as the box says, but do not apply primaries and transfer function.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from impasto.pictures.transfer import Signal

__all__ = ["is_heif", "signal_in", "unreadable_matrix"]

Box = tuple[bytes, bytes]  # type and content

# Matrices that no decoder here can undo (ITU-T H.273, table 4).
_RARE = {
    10: "BT.2020 with constant luminance", 11: "SMPTE ST 2085", 13: "constant luminance",
    14: "ICtCp", 15: "IPT-PQ-C2", 16: "YCgCo-Re", 17: "YCgCo-Ro",
}  # fmt: skip


def is_heif(data: bytes) -> bool:
    """Whether a file consists of such boxes, as AVIF and HEIC do."""
    return data[4:8] == b"ftyp"


def signal_in(data: bytes) -> Signal | None:
    """Return primaries and transfer function of the main picture, if an nclx box states them."""
    for kind, body in _properties(data):
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 10:
            primaries, transfer = struct.unpack_from(">HH", body, 4)
            return Signal(primaries, transfer)
    return None


def unreadable_matrix(data: bytes) -> str:
    """Return why a file's matrix coefficients make it unreadable; "": they do not."""
    known = _properties(data)
    matrix = next(
        (int.from_bytes(body[8:10]) for kind, body in known
         if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 10),
        None,
    )  # fmt: skip
    if matrix in _RARE:
        return (
            f"has the color matrix {_RARE[matrix]} (number {matrix} in its nclx box), which is not "
            "read; save it again with another one"
        )
    planes = next((body[2] for kind, body in known if kind == b"av1C" and len(body) > 2), 0)
    if matrix == 0 and planes & 0x08 and not planes & 0x10:  # reduced, and not only one plane
        return (
            "contradicts itself: by its nclx box (matrix 0), its planes are R, G and B, which are "
            "never reduced, but two of its planes are; save it again"
        )
    return ""


def _properties(data: bytes) -> list[Box]:
    """Return the properties of a file's main picture, then those of all pictures.

    Damaged boxes count as missing, because the decoder reports the damage. The tiles of a grid may
    have a box instead of the grid itself.
    """
    try:
        meta = dict(_boxes(next(body for kind, body in _boxes(data) if kind == b"meta")[4:]))
        properties = dict(_boxes(meta[b"iprp"]))
        known = list(_boxes(properties[b"ipco"]))
        picture = int.from_bytes(meta[b"pitm"][4:])
        own = [known[index - 1] for index in _associated(properties[b"ipma"], picture) if index]
    except (KeyError, StopIteration, IndexError, struct.error):
        return []
    return [*own, *known]


def _boxes(data: bytes) -> Iterator[Box]:
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        end = at + size if size else len(data)
        if size and size < head:
            return
        yield kind, data[at + head : end]
        at = end


def _associated(body: bytes, picture: int) -> list[int]:
    """Return the numbers, from 1, of a picture's properties in an ipma box."""
    version, wide = body[0], body[3] & 1
    (count,) = struct.unpack_from(">I", body, 4)
    at, found = 8, []
    for _ in range(count):
        (item,) = struct.unpack_from(">I" if version else ">H", body, at)
        at += 4 if version else 2
        length = body[at]
        at += 1
        for _ in range(length):
            (index,) = struct.unpack_from(">H" if wide else ">B", body, at)
            at += 2 if wide else 1
            if item == picture:
                found.append(index & (0x7FFF if wide else 0x7F))
    return found
