"""The nclx box of AVIF and HEIC files. It holds the numbers of primaries and transfer function.

ISO/IEC 14496-12 defines boxes in general, and ISO/IEC 23008-12 defines those of pictures. Pillow
and pillow-heif convert YCbCr as the box says, but do not apply primaries and transfer function.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from impasto.pictures.transfer import Signal

__all__ = ["is_heif", "signal_in"]

Box = tuple[bytes, bytes]  # type and content


def is_heif(data: bytes) -> bool:
    """Whether a file consists of such boxes, as AVIF and HEIC do."""
    return data[4:8] == b"ftyp"


def signal_in(data: bytes) -> Signal | None:
    """Return primaries and transfer function of a file's main picture, if an nclx box states them.

    Damaged boxes count as missing, because the decoder reports the damage.
    """
    try:
        meta = dict(_boxes(next(body for kind, body in _boxes(data) if kind == b"meta")[4:]))
        properties = dict(_boxes(meta[b"iprp"]))
        known = list(_boxes(properties[b"ipco"]))
        picture = int.from_bytes(meta[b"pitm"][4:])
        own = [known[index - 1] for index in _associated(properties[b"ipma"], picture) if index]
    except (KeyError, StopIteration, IndexError, struct.error):
        return None
    # The tiles of a grid may have the box instead of the grid itself.
    for kind, body in [*own, *known]:
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 10:
            primaries, transfer = struct.unpack_from(">HH", body, 4)
            return Signal(primaries, transfer)
    return None


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
