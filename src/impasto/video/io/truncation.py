"""Detection of truncated video files by the lengths that their outermost boxes state.

FFmpeg reads a truncated file to its end without an error.

Source: ISO/IEC 14496-12 for MP4 and MOV, RFC 8794 for Matroska and WebM; RIFF for AVI.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

__all__ = ["is_truncated"]


def is_truncated(path: Path, format: str) -> bool:
    """Return whether a file is shorter than its boxes state; False for formats without lengths.

    Args: format: FFmpeg's names of the format: "mov,mp4,…", "matroska,webm", "avi".
    """
    end = path.stat().st_size
    box = {"mov": _box_end, "matroska": _element_end, "avi": _chunk_end}.get(format.split(",")[0])
    if box is None:
        return False
    with path.open("rb") as file:
        at = 0
        while at < end:
            file.seek(at)
            follows = box(file)
            if follows is None or follows <= at:  # The length is unknown, or this is no box.
                return False
            at = follows
    return at > end


def _box_end(file: BinaryIO) -> int | None:
    """Return where a box of MP4 ends: 4 bytes of length, the name, 8 bytes of length if it is 1."""
    at = file.tell()
    head = file.read(16)
    size = int.from_bytes(head[:4])
    if size == 1:
        size = int.from_bytes(head[8:])
    return at + size if size and len(head) >= 8 else None


def _element_end(file: BinaryIO) -> int | None:
    """Return where an element of Matroska ends: its ID and size begin with their own lengths."""
    at = file.tell()
    head = file.read(12)
    name = 9 - head[0].bit_length()
    if len(head) <= name:
        return None
    wide = 9 - head[name].bit_length()
    ones = (1 << 7 * wide) - 1
    size = int.from_bytes(head[name : name + wide]) & ones
    return None if size == ones else at + name + wide + size  # All ones: an unknown size.


def _chunk_end(file: BinaryIO) -> int | None:
    """Return where a chunk of RIFF ends: its name, then 4 bytes of length, little-endian."""
    at = file.tell()
    head = file.read(8)
    return at + 8 + int.from_bytes(head[4:], "little") if head[:4] == b"RIFF" else None
