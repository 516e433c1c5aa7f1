"""What a clip says of itself, and how PyAV opens it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from impasto.errors import SettingsError, VideoError
from impasto.pictures.films import video_library
from impasto.pictures.picture import Image
from impasto.video.io.cropping import crop_in
from impasto.video.io.pixels import Colors, Crop, Turn, colors_of, turn_of

__all__ = [
    "Clip",
    "Frame",
    "Health",
    "av_library",
    "decoded",
    "open_file",
    "probe",
    "reason",
    "time_of",
    "to_fraction",
    "video_in",
]

# Pictures, and texts that FFmpeg would draw, are films of one frame to it.
_NO_CLIPS = ("image2", "_pipe", "tty", "ico")


@dataclass(frozen=True)
class Clip:
    """A video file, or a folder of frames, and what it says of itself.

    Attributes:
        path: where it is.
        size: (H, W) in px as displayed: cropped and turned.
        rate: frames a second, on average.
        frames: how many there are, an estimate for some formats; None if unknown.
        duration: seconds; None if unknown.
        turn: what makes a stored picture upright.
        crop: stored rows and columns that are not displayed.
        colors: what the stored numbers mean.
        bits: of a stored color.
        aspect: width of a displayed pixel by its height.
        time_base: seconds a tick: every frame begins at a whole number of them.
        origin: the file's own time, in seconds, at which the clip begins.
        sounds: the codecs of its sound tracks.
        codec: the codec of its pictures; "" for a folder.
        files: the frames of a folder, in order.
    """

    path: Path
    size: tuple[int, int]
    rate: Fraction
    frames: int | None
    duration: float | None
    turn: Turn = Turn()
    crop: Crop = Crop()
    colors: Colors = Colors()
    bits: int = 8
    aspect: Fraction = Fraction(1)
    time_base: Fraction = Fraction(1, 24)
    origin: Fraction = Fraction(0)
    sounds: tuple[str, ...] = ()
    codec: str = ""
    files: tuple[Path, ...] = field(default=(), repr=False)

    @property
    def has_sound(self) -> bool:
        """Whether there is a sound track."""
        return bool(self.sounds)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of frames and not a file."""
        return bool(self.files)

    @property
    def rotation(self) -> int:
        """By how many degrees clockwise the stored pictures are turned: 0, 90, 180 or 270."""
        return self.turn.degrees


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a clip.

    Attributes:
        image: (1, 3, H, W) float32, R'G'B' in [0, 1], upright.
        index: its number from 0, counted from where reading starts.
        time: seconds from the clip's beginning, exactly.
        duration: seconds for which it is shown.
    """

    image: Image
    index: int
    time: Fraction
    duration: Fraction

    def __repr__(self) -> str:
        height, width = self.image.shape[-2:]
        return f"<Frame {self.index} at {float(self.time):.3f} s, {width} x {height} px>"


def to_fraction(seconds: float) -> Fraction:
    """Return a time as a person meant it: 0.1 is a tenth, not the float next to it."""
    return Fraction(seconds).limit_denominator(1_000_000)


def av_library() -> Any:
    """Return PyAV.

    Raises: VideoError: it is not installed.
    """
    try:
        return video_library()
    except SettingsError as error:
        raise VideoError("clips need PyAV: pip install impasto[video]") from error


def reason(error: Exception) -> str:
    """Return FFmpeg's reason without the number and the name of the file."""
    text = getattr(error, "strerror", None) or str(error)
    return str(text)[:1].lower() + str(text)[1:]


@contextlib.contextmanager
def open_file(path: Path, containers: Sequence[str] = ()) -> Iterator[Any]:
    """Open a video file, as PyAV's input container; from this machine only, whatever it refers to.

    Args: containers: FFmpeg's names of the formats that are allowed; none: all. Playlists and lists
        of files, which would have other files opened, are formats, too.

    Raises: VideoError: there is no such file, or it is not a video, or of another format.
    """
    av = av_library()
    allowed = {"format_whitelist": ",".join(containers)} if containers else {}
    try:
        container = av.open(
            f"file:{path}",
            metadata_errors="replace",
            options={"protocol_whitelist": "file", **allowed},
        )
    except av.error.FFmpegError as error:
        if containers:
            raise VideoError(
                f"is not a video of a kind that is taken: {', '.join(containers)}", path=path
            ) from error
        raise VideoError(f"is not a video: {reason(error)}", path=path) from error
    with container:
        if any(each in container.format.name for each in _NO_CLIPS):
            raise VideoError(
                "is not a video; a folder of pictures is read as one, a picture is not", path=path
            )
        yield container


def video_in(container: Any, path: Path) -> Any:
    """Return the first stream of pictures that is not a cover, ready to decode.

    Raises: VideoError: there is none, or no codec for it.
    """
    av = av_library()
    cover = av.stream.Disposition.attached_pic
    streams = [each for each in container.streams.video if not each.disposition & cover]
    if not streams:
        raise VideoError(f"has no video stream{', only sound' * _has_sound(container)}", path=path)
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoError(
            "cannot be read: this build of FFmpeg has no decoder for its pictures", path=path
        )
    # One thread: decoding takes a hundredth of the time of painting, and each thread holds frames.
    stream.thread_count = 1
    return stream


def _has_sound(container: Any) -> bool:
    return bool(container.streams.audio)


@dataclass
class Health:
    """How many packets were found damaged while reading."""

    broken: int = 0


def decoded(container: Any, stream: Any, health: Health) -> Iterator[Any]:
    """Decode the frames of a stream, passing over what is damaged."""
    error = av_library().error.FFmpegError
    packets = container.demux(stream)
    begun = False
    while True:
        try:
            packet = next(packets, None)
        except error:  # the file ends in the middle of something
            health.broken += 1
            with contextlib.suppress(error):
                yield from stream.decode(None)
            return
        if packet is None:
            return
        try:
            frames = [] if packet.is_corrupt else packet.decode()
        except error:
            frames = []
            health.broken += begun  # a broadcast may begin in the middle of something
        health.broken += packet.is_corrupt
        begun = begun or bool(frames)
        yield from frames


def time_of(frame: Any, clip: Clip) -> Fraction | None:
    """Return when a frame is shown, in seconds from the clip's beginning, if the file says so."""
    return None if frame.pts is None else Fraction(frame.pts * frame.time_base) - clip.origin


def probe(path: Path, containers: Sequence[str] = ()) -> Clip:
    """Read what a video file says of itself, and its first frame.

    Args:   containers: see `open_file`.
    Raises: VideoError: it is not a video, or has no frame that can be read.
    """
    if not path.exists():
        raise VideoError("cannot be read: there is no such file", path=path)
    if not os.access(path, os.R_OK):
        raise VideoError("cannot be read: permission denied", path=path)
    with open_file(path, containers) as container:
        stream = video_in(container, path)
        crop = crop_in(stream)
        first = next(decoded(container, stream, Health()), None)
        if first is None:
            raise VideoError("has no frame that can be read", path=path)
        turn = turn_of(first)
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)
        origin = _origin(container, stream, first)
        duration = _end(container, stream, origin)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        return Clip(
            path=path,
            size=turn.of_size(crop.of_size((first.height, first.width))),
            rate=Fraction(rate),
            frames=stream.frames or (round(duration * rate) if duration else None),
            duration=None if duration is None else float(duration),
            turn=turn,
            crop=crop,
            colors=colors_of(first, stream.codec_context),
            bits=max(each.bits for each in first.format.components),
            aspect=1 / aspect if turn.transposed and aspect > 0 else aspect or Fraction(1),
            time_base=Fraction(stream.time_base),
            origin=origin,
            sounds=tuple(
                each.codec_context.name if each.codec_context else "an unknown codec"
                for each in container.streams.audio
            ),
            codec=stream.codec_context.name,
        )


def _end(container: Any, stream: Any, origin: Fraction) -> Fraction | None:
    """Return when the pictures end, in seconds from the clip's beginning, as the file says."""
    if stream.duration:
        ticks = stream.duration + (stream.start_time or 0)
        return Fraction(ticks * stream.time_base) - origin
    parts = str(stream.metadata.get("DURATION", "")).split(":")  # Matroska: 00:00:05.280000000
    with contextlib.suppress(ValueError):
        hours, minutes, seconds = (Fraction(part) for part in parts)
        if hours or minutes or seconds:
            return hours * 3600 + minutes * 60 + seconds - origin
    return Fraction(container.duration, 1_000_000) if container.duration else None


def _origin(container: Any, stream: Any, first: Any) -> Fraction:
    """Return when the first of picture and sound begins; in a broadcast, that is not 0."""
    starts = [
        each.start_time * each.time_base
        for each in (stream, *container.streams.audio)
        if each.start_time is not None and each.time_base
    ]
    if first.pts is not None:
        starts.append(first.pts * first.time_base)
    return max(Fraction(min(starts)), Fraction(0)) if starts else Fraction(0)
