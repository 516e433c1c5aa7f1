"""The codecs that clips are written in, what they are written into, and how well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from impasto.errors import VideoError, nearest_match

__all__ = ["CODECS", "SUFFIXES", "Codec", "codec_for", "container_for", "quality"]


@dataclass(frozen=True)
class Codec:
    """How a video codec is used.

    Attributes:
        encoder: FFmpeg's name of it.
        title: what people call it.
        suffixes: of the files that hold it.
        crf: the quality that is kept, if the encoder has such a setting; lower is better.
        worst: the largest crf.
        options: for the encoder.
        formats: of stored pictures: from clips of 8 bits, and from deeper ones.
        tag: what QuickTime expects the codec to be called, if not the default.
        tells_aspect: whether it notes the shape of a pixel itself, and not its container alone.
        even: whether sides are even, so that odd ones are padded and cropped.
    """

    encoder: str
    title: str
    suffixes: tuple[str, ...]
    crf: int | None
    worst: int
    options: Mapping[str, str]
    formats: tuple[str, str] = ("yuv420p", "yuv420p")
    tag: str | None = None
    even: bool = False
    tells_aspect: bool = False


# The threads are counted, so that every machine makes the same file of the same frames.
# crf: x264's 18 is what FFmpeg's guide calls visually lossless or nearly so; the others come within
# 1 dB of it on a small clip. Brush strokes are noise to an encoder: films of paintings take room.
CODECS: dict[str, Codec] = {
    "h264": Codec(
        "libx264",
        "H.264",
        (".mp4", ".mov", ".mkv"),
        18,
        51,
        {"threads": "2"},
        even=True,
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
        even=True,
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
_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
SUFFIXES = tuple(_CONTAINERS)


def codec_for(path: Path, name: str | None) -> Codec:
    """Return the codec of that name, or the one that suits the file.

    Raises: VideoError: there is none of that name, or the file's format cannot hold it.
    """
    suffix = path.suffix.lower()
    if suffix not in _CONTAINERS:
        raise VideoError(
            f"{path}: clips are written as {', '.join(SUFFIXES)}, or as frames into a folder, "
            "whose name has no suffix"
        )
    key = ("vp9" if suffix == ".webm" else "h264") if name is None else name.lower()
    codec = CODECS.get(_ALIASES.get(key, key))
    if codec is None:
        raise VideoError(
            f"{name}: no such codec; there are {', '.join(CODECS)}{nearest_match(key, CODECS)}"
        )
    if suffix not in codec.suffixes:
        raise VideoError(
            f"{path}: {codec.title} goes into {', '.join(codec.suffixes)}, not into {suffix}"
        )
    return codec


def container_for(path: Path) -> str:
    """Return FFmpeg's name of the format of a file that `codec_for` has accepted."""
    return _CONTAINERS[path.suffix.lower()]


def quality(codec: Codec, crf: int | None) -> dict[str, str]:
    """Return an encoder's options for a quality, lower being better; None: the codec's own.

    Raises: VideoError: the codec has no such setting, or it is out of range.
    """
    options = {**codec.options, **_steady(codec)}
    if crf is None:
        return options if codec.crf is None else {**options, "crf": f"{codec.crf}"}
    if codec.crf is None:
        raise VideoError(f"{codec.title} has no crf: its quality is fixed; leave it out")
    if not 0 <= crf <= codec.worst:
        raise VideoError(
            f"crf is {crf}; for {codec.title} it goes from 0 to {codec.worst}, lower is better"
        )
    return {**options, "crf": f"{crf}"}


def _steady(codec: Codec) -> dict[str, str]:
    """Return what keeps an encoder from making now and then another file of the same frames.

    x264's AVX-512 does: of 100 files of eight frames of 64 x 50 px, 38 were others than the rest,
    and with AVX2, which takes 3 % longer, none.
    """
    wide = codec.encoder == "libx264" and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return {"x264-params": "asm=AVX2"} if wide else {}
