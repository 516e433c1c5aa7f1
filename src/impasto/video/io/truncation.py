"""Whether a video file is all there, by what its outermost boxes say of their own length.

FFmpeg reads a file that was cut off to where it ends and says nothing.

Source: ISO/IEC 14496-12 for MP4 and MOV, RFC 8794 for Matroska and WebM; RIFF for AVI.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

__all__ = ["is_torn"]


def is_torn(path: Path, format: str) -> bool:
    """Tell whether a file is shorter than it says; of formats that say nothing, it is not.

    Args: format: FFmpeg's names of it: "mov,mp4,…", "matroska,webm", "avi".
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
            if follows is None or follows <= at:  # unknown, or no box: nothing can be said
                return False
            at = follows
    return at > end


def _box_end(file: BinaryIO) -> int | None:
    """Read how long a box of MP4 is: 4 bytes, its name, and 8 bytes if the 4 say 1."""
    at = file.tell()
    head = file.read(16)
    size = int.from_bytes(head[:4])
    if size == 1:
        size = int.from_bytes(head[8:])
    return at + size if size and len(head) >= 8 else None


def _element_end(file: BinaryIO) -> int | None:
    """Read how long an element of Matroska is: its name and length begin with their own lengths."""
    at = file.tell()
    head = file.read(12)
    name = 9 - head[0].bit_length()
    if len(head) <= name:
        return None
    wide = 9 - head[name].bit_length()
    ones = (1 << 7 * wide) - 1
    size = int.from_bytes(head[name : name + wide]) & ones
    return None if size == ones else at + name + wide + size  # all ones: unknown, as in a stream


def _chunk_end(file: BinaryIO) -> int | None:
    """Read how long a chunk of RIFF is: its name, and 4 bytes, the lowest first."""
    at = file.tell()
    head = file.read(8)
    return at + 8 + int.from_bytes(head[4:], "little") if head[:4] == b"RIFF" else None
