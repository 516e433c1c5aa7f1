"""Codecs for writing clips: their containers, quality and encoder options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch

from impasto.errors import VideoError, nearest_match
from impasto.video.io.mastering import Mastering, mastering_option

__all__ = [
    "CODECS",
    "SUFFIXES",
    "Codec",
    "Container",
    "codec_for",
    "container_for",
    "encoder_options",
]


class Container(StrEnum):
    """FFmpeg's names of the file formats that clips are written in."""

    MP4 = "mp4"
    MOV = "mov"
    MATROSKA = "matroska"
    WEBM = "webm"

    @property
    def is_quicktime(self) -> bool:
        """Whether the format consists of QuickTime's boxes, as MP4 and MOV do."""
        return self in (Container.MP4, Container.MOV)


@dataclass(frozen=True)
class Codec:
    """A video codec and how the writer uses it.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        title: the codec's usual name.
        suffixes: the suffixes of the files that can hold the codec.
        crf: the default quality (constant rate factor), lower is better; None: the encoder has no
            such setting.
        worst: the largest crf.
        options: the options of the encoder.
        formats: pixel formats: for clips of 8 bits, and for deeper ones.
        tag: the codec's name in QuickTime, if it is not the default.
        tells_aspect: whether the stream itself states the shape of a pixel, not only the container.
        needs_even_sides: whether frames of an odd width or height are padded by one pixel.
    """

    encoder: str
    title: str
    suffixes: tuple[str, ...]
    crf: int | None
    worst: int
    options: Mapping[str, str]
    formats: tuple[str, str] = ("yuv420p", "yuv420p")
    tag: str | None = None
    needs_even_sides: bool = False
    tells_aspect: bool = False

    @property
    def is_deep(self) -> bool:
        """Whether the codec is written with 10 bits for deep clips."""
        return "10" in self.formats[1]


# The number of threads is fixed, so that the same frames make the same file on every machine.
# crf: FFmpeg's guide calls x264's 18 visually lossless or nearly so; the others come within 1 dB of
# it on a small clip. Brush strokes compress as badly as noise, so painted clips are large files.
CODECS: dict[str, Codec] = {
    "h264": Codec(
        "libx264",
        "H.264",
        (".mp4", ".mov", ".mkv"),
        18,
        51,
        {"threads": "2"},
        needs_even_sides=True,
        tells_aspect=True,
    ),
    "h265": Codec(
        "libx265",
        "H.265",
        (".mp4", ".mov", ".mkv"),
        20,
        51,
        {"x265-params": "log-level=error:pools=2:frame-threads=1"},
        ("yuv420p", "yuv420p10le"),
        tag="hvc1",
        needs_even_sides=True,
        tells_aspect=True,
    ),
    "vp9": Codec(
        "libvpx-vp9",
        "VP9",
        (".webm", ".mkv", ".mp4"),
        24,
        63,
        {"b": "0", "threads": "2", "row-mt": "1", "deadline": "good", "cpu-used": "2"},
    ),
    "av1": Codec(
        "libsvtav1",
        "AV1",
        (".mp4", ".webm", ".mkv"),
        24,
        63,
        {"preset": "6", "svtav1-params": "lp=2"},
        ("yuv420p", "yuv420p10le"),
    ),
    "prores": Codec(
        "prores_ks",
        "ProRes",
        (".mov", ".mkv"),
        None,
        0,
        {"profile": "3"},  # HQ
        ("yuv422p10le", "yuv422p10le"),
    ),
}
_ALIASES = {"h.264": "h264", "avc": "h264", "h.265": "h265", "hevc": "h265"}
_CONTAINERS = {
    ".mp4": Container.MP4,
    ".mov": Container.MOV,
    ".mkv": Container.MATROSKA,
    ".webm": Container.WEBM,
}
SUFFIXES = tuple(_CONTAINERS)


def codec_for(path: Path, name: str | None, *, hdr: bool = False) -> Codec:
    """Return the codec of this name; None: the default codec for the file's suffix.

    Args:   hdr: whether the codec must hold high dynamic range.
    Raises: VideoError: the suffix or the codec is unknown, the file's format cannot hold the codec,
        or the codec has too few bits.
    """
    suffix = path.suffix.lower()
    if suffix not in _CONTAINERS:
        raise VideoError(
            f"cannot be written: clips are written as {', '.join(SUFFIXES)}; a name without a "
            "suffix makes a folder of frames",
            path=path,
        )
    usual = ("av1", "h265") if hdr else ("vp9", "h264")
    key = usual[suffix != ".webm"] if name is None else name.lower()
    codec = CODECS.get(_ALIASES.get(key, key))
    if codec is None:
        raise VideoError(
            f"{name}: no such codec (there are {', '.join(CODECS)}){nearest_match(key, CODECS)}"
        )
    if suffix not in codec.suffixes:
        raise VideoError(
            f"cannot be written: {suffix} files cannot hold {codec.title}; use "
            f"{' or '.join(codec.suffixes)}",
            path=path,
        )
    if hdr and not codec.is_deep:
        raise VideoError(
            f"cannot be written: {codec.title} is written with 8 bits, and high dynamic range "
            "needs 10; choose h265, av1 or prores, or leave out keep_hdr (--keep-hdr)",
            path=path,
        )
    return codec


def container_for(path: Path) -> Container:
    """Return the format of a file that `codec_for` has accepted."""
    return _CONTAINERS[path.suffix.lower()]


def encoder_options(
    codec: Codec, crf: int | None, mastering: Mastering | None = None
) -> dict[str, str]:
    """Return an encoder's options.

    Args:
        crf: the quality, lower is better; None: the codec's default.
        mastering: light levels that the file should state; None: it states none.

    Raises: VideoError: the codec has no such setting, or it is out of range.
    """
    options = {**codec.options, **_reproducible(codec)}
    stated = None if mastering is None else mastering_option(codec.encoder, mastering)
    if stated is not None:
        name, text = stated
        options[name] = f"{options[name]}:{text}" if name in options else text
    if crf is None:
        return options if codec.crf is None else {**options, "crf": f"{codec.crf}"}
    if codec.crf is None:
        raise VideoError(f"{codec.title} has no crf: its quality is fixed; leave crf out")
    if not 0 <= crf <= codec.worst:
        raise VideoError(
            f"crf is {crf}; {codec.title} allows values from 0 to {codec.worst}, lower is better"
        )
    return {**options, "crf": f"{crf}"}


def _reproducible(codec: Codec) -> dict[str, str]:
    """Return options that make an encoder write the same file from the same frames every time.

    x264 with AVX-512 does not write the same file: of 100 files of eight frames of 64 x 50 px, 38
    differed from the rest. With AVX2, which takes 3 % longer, no file differed.
    """
    wide = codec.encoder == "libx264" and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return {"x264-params": "asm=AVX2"} if wide else {}
