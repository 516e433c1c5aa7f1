"""Rows and columns that a file holds and does not display, as its container says.

H.264 and H.265 halve the chroma, so their own cropping goes by two pixels and cannot show an odd
size; containers can. PyAV neither tells a container's cropping nor sets it. It copies it, though,
from a stream to a stream: so a few bytes of Matroska, which we can read and write, carry it.

Source: RFC 9559, Matroska; RFC 8794, EBML.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

from impasto.pictures.films import video_library
from impasto.video.io.pixels import Crop

__all__ = ["crop_in", "cropped_template"]

_EBML, _SEGMENT, _TRACKS, _ENTRY, _VIDEO = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_CLUSTER, _TIMESTAMP = 0x1F43B675, 0xE7
_CROPS = {"top": 0x54BB, "bottom": 0x54AA, "left": 0x54CC, "right": 0x54DD}
_CODECS = {"libx264": "V_MPEG4/ISO/AVC", "libx265": "V_MPEGH/ISO/HEVC"}


class _Pipe(io.RawIOBase):
    """What FFmpeg can write to but not seek in, so that it leaves its header alone."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def crop_in(stream: Any) -> Crop:
    """Return the cropping of a video stream by its container."""
    av = video_library()
    pipe = _Pipe()
    try:
        with av.open(pipe, "w", format="matroska") as container:
            container.add_stream_from_template(stream, opaque=True)
            container.start_encoding()
            header = bytes(pipe.data)
    except (av.error.FFmpegError, ValueError):  # a codec that Matroska does not know
        return Crop()
    video = header
    for number in (_SEGMENT, _TRACKS, _ENTRY, _VIDEO):
        video = next((data for name, data in _elements(video) if name == number), b"")
    found = dict(_elements(video))
    sides = {side: int.from_bytes(found.get(number, b"")) for side, number in _CROPS.items()}
    return Crop(**sides)


def cropped_template(encoder: Any, crop: Crop) -> Any:
    """Return an input container whose only stream is the encoder's, with a cropping.

    Args: encoder: PyAV's context of libx264 or libx265, open, with its headers apart.
    """
    video = {0xB0: encoder.width, 0xBA: encoder.height}
    video |= {number: getattr(crop, side) for side, number in _CROPS.items()}
    entry = {
        0xD7: 1,  # track number
        0x73C5: 1,  # track UID
        0x83: 1,  # video
        0x86: _CODECS[encoder.name].encode(),
        0x63A2: encoder.extradata,
        _VIDEO: _written(video),
    }
    tracks = _written({_TRACKS: _written({_ENTRY: _written(entry)})})
    cluster = _written({_CLUSTER: _written({_TIMESTAMP: 0})})
    head = _written({_EBML: _written({0x4282: b"matroska", 0x4287: 4, 0x4285: 2})})
    data = head + _written({_SEGMENT: tracks + cluster})
    return video_library().open(io.BytesIO(data), format="matroska")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Read the elements of EBML data: number and content; the last may be of unknown length."""
    at = 0
    while at < len(data):
        wide = 9 - data[at].bit_length()
        name = int.from_bytes(data[at : at + wide])
        at += wide
        wide = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + wide]) & ((1 << 7 * wide) - 1)
        at += wide
        if size == (1 << 7 * wide) - 1:
            size = len(data) - at
        yield name, data[at : at + size]
        at += size


def _written(elements: Mapping[int, int | bytes]) -> bytes:
    parts = []
    for number, content in elements.items():
        data = content if isinstance(content, bytes) else content.to_bytes(8)
        name = number.to_bytes((number.bit_length() + 7) // 8)
        parts.append(name + ((1 << 56) | len(data)).to_bytes(8) + data)
    return b"".join(parts)
