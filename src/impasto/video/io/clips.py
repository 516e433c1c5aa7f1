"""Properties of a clip, and its decoder: everything that reads a video file by PyAV."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor

from impasto.errors import SettingsError, VideoError, install_hint
from impasto.pictures.films import video_library
from impasto.pictures.picture import Image, Picture
from impasto.pictures.transfer import Signal
from impasto.video.io.mastering import Mastering, mastering_of, peak_of
from impasto.video.io.pixels import Colors, Orientation, colors_of, colors_to_write, orientation_of

__all__ = [
    "Clip",
    "Damage",
    "Frame",
    "av_library",
    "decode_frames",
    "ffmpeg_reason",
    "frame_time",
    "open_container",
    "probe",
    "stream_end",
    "to_fraction",
    "video_stream",
]

# FFmpeg opens pictures, and texts that it would draw, as videos of one frame.
_NO_CLIPS = ("image2", "_pipe", "tty", "ico")


@dataclass(frozen=True)
class Clip:
    """The properties of a video file, or of a folder of frames.

    Attributes:
        path: the file or the folder.
        size: (H, W) of the upright frames, px.
        rate: frames per second, on average.
        frames: number of frames, an estimate for some formats; None if unknown.
        duration: seconds; None if unknown.
        orientation: how to turn a stored frame upright.
        colors: how stored values are read.
        bits: bits per stored color value.
        aspect: width / height of a pixel of an upright frame.
        time_base: seconds per tick; every frame begins at a whole number of ticks.
        origin: the time in the file at which the clip begins, seconds.
        sounds: the codecs of the sound tracks.
        files: the frames of a folder, in order.
        mastering: the light levels that a clip of high dynamic range states.
        keep_hdr: whether frames keep the clip's dynamic range and primaries; see `Frame`.
    """

    path: Path
    size: tuple[int, int]
    rate: Fraction
    frames: int | None
    duration: float | None
    orientation: Orientation = Orientation()
    colors: Colors = Colors()
    bits: int = 8
    aspect: Fraction = Fraction(1)
    time_base: Fraction = Fraction(1, 24)
    origin: Fraction = Fraction(0)
    sounds: tuple[str, ...] = ()
    files: tuple[Path, ...] = field(default=(), repr=False)
    mastering: Mastering = Mastering()
    keep_hdr: bool = False

    @property
    def has_sound(self) -> bool:
        """Whether the clip has a sound track."""
        return bool(self.sounds)

    @property
    def is_folder(self) -> bool:
        """Whether the clip is a folder of frames, not a video file."""
        return bool(self.files)

    @property
    def signal(self) -> Signal:
        """What the R'G'B' values of the stored frames mean."""
        colors = self.colors
        peak = peak_of(self.mastering, colors.transfer)
        return Signal(colors.primaries, colors.transfer, peak)

    @property
    def written_colors(self) -> Colors:
        """The colors of a clip that is written from the frames of this one."""
        return colors_to_write(self.colors, keep=self.keep_hdr)


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a clip.

    Attributes:
        image: (1, 3, H, W) float32 in [0, 1], upright. It is sRGB; or, with `Clip.keep_hdr`, what
            `Signal.to_working` makes of the clip's values.
        index: the number of the frame, from 0 where reading starts.
        time: exact seconds since the beginning of the clip.
        duration: seconds until the next frame.
        alpha: the transparency, (1, 1, H, W) in [0, 1]; None: every pixel is opaque.
        aspect: width / height of a pixel.
    """

    image: Image
    index: int
    time: Fraction
    duration: Fraction
    alpha: Tensor | None = None
    aspect: Fraction = Fraction(1)

    @property
    def picture(self) -> Picture:
        """The frame as a picture."""
        return Picture(self.image, self.alpha)

    def __repr__(self) -> str:
        height, width = self.image.shape[-2:]
        return f"<Frame {self.index} at {float(self.time):.3f} s, {width} x {height} px>"


def to_fraction(seconds: float) -> Fraction:
    """Return a time as an exact fraction: 0.1 is one tenth, not the nearest float."""
    return Fraction(seconds).limit_denominator(1_000_000)


def av_library() -> Any:
    """Return PyAV.

    Raises: VideoError: PyAV is not installed.
    """
    try:
        return video_library()
    except SettingsError as error:
        raise VideoError(f"clips need PyAV: {install_hint('video')}") from error


def ffmpeg_reason(error: Exception) -> str:
    """Return FFmpeg's message without the error number and the file name."""
    text = getattr(error, "strerror", None) or str(error)
    return str(text)[:1].lower() + str(text)[1:]


@contextlib.contextmanager
def open_container(path: Path, containers: Sequence[str] = ()) -> Iterator[Any]:
    """Open a video file as PyAV's input container. The file can refer to local files only.

    Args: containers: FFmpeg's names of the allowed formats; empty: all. Playlists and lists of
        files are formats too: FFmpeg opens the files that they name.

    Raises: VideoError: the file is missing, is not a video, or has another format.
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
                f"is not a video of an allowed format: {', '.join(containers)}", path=path
            ) from error
        raise VideoError(f"is not a video: {ffmpeg_reason(error)}", path=path) from error
    with container:
        if any(each in container.format.name for each in _NO_CLIPS):
            raise VideoError(
                "is not a video but a picture or a text; give a video, or a folder of pictures",
                path=path,
            )
        yield container


def video_stream(container: Any, path: Path) -> Any:
    """Return the first video stream that is not a cover picture, ready to decode.

    Raises: VideoError: there is no such stream, or no decoder for it.
    """
    av = av_library()
    cover = av.stream.Disposition.attached_pic
    streams = [each for each in container.streams.video if not each.disposition & cover]
    if not streams:
        raise VideoError(f"has no video stream{', only sound' * _has_sound(container)}", path=path)
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoError(
            "cannot be read: this build of FFmpeg has no decoder for its video stream", path=path
        )
    # One thread suffices: decoding takes a hundredth of the time of painting, and every further
    # thread would hold frames.
    stream.thread_count = 1
    return stream


def _has_sound(container: Any) -> bool:
    return bool(container.streams.audio)


@dataclass
class Damage:
    """The number of damaged packets that the decoder has found."""

    packets: int = 0


def decode_frames(container: Any, stream: Any, damage: Damage) -> Iterator[Any]:
    """Decode the frames of a stream; skip and count damaged packets."""
    error = av_library().error.FFmpegError
    packets = container.demux(stream)
    begun = False
    while True:
        try:
            packet = next(packets, None)
        except error:  # The file ends within a packet.
            damage.packets += 1
            with contextlib.suppress(error):
                yield from stream.decode(None)
            return
        if packet is None:
            return
        try:
            frames = [] if packet.is_corrupt else packet.decode()
        except error:
            frames = []
            # Not before the first frame, because a broadcast may begin between two key frames.
            damage.packets += begun
        damage.packets += packet.is_corrupt
        begun = begun or bool(frames)
        yield from frames


def frame_time(frame: Any, clip: Clip) -> Fraction | None:
    """Return a frame's time since the beginning of the clip, seconds; None: the file has none."""
    if frame.pts is None or frame.time_base is None:
        return None
    return Fraction(frame.pts * frame.time_base) - clip.origin


def probe(path: Path, containers: Sequence[str] = ()) -> Clip:
    """Read the properties of a video file; this decodes its first frame.

    Args:   containers: as for `open_container`.
    Raises: VideoError: the file is not a video, or none of its frames can be read.
    """
    if not path.exists():
        raise VideoError("cannot be read: there is no such file", path=path)
    if not os.access(path, os.R_OK):
        raise VideoError("cannot be read: permission denied", path=path)
    with open_container(path, containers) as container:
        stream = video_stream(container, path)
        first = next(decode_frames(container, stream, Damage()), None)
        if first is None:
            raise VideoError("has no frame that can be read", path=path)
        orientation = orientation_of(first)
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)
        origin = _origin(container, stream, first)
        duration = _end(container, stream, origin)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        return Clip(
            path=path,
            size=orientation.upright_size((first.height, first.width)),
            rate=Fraction(rate),
            frames=stream.frames or (round(duration * rate) if duration else None),
            duration=None if duration is None else float(duration),
            orientation=orientation,
            colors=_colors(path, first, stream),
            bits=max(each.bits for each in first.format.components),
            aspect=1 / aspect if orientation.transposed and aspect > 0 else aspect or Fraction(1),
            time_base=Fraction(stream.time_base),
            origin=origin,
            mastering=mastering_of(first),
            sounds=tuple(
                each.codec_context.name if each.codec_context else "an unknown codec"
                for each in container.streams.audio
            ),
        )


def _colors(path: Path, frame: Any, stream: Any) -> Colors:
    try:
        return colors_of(frame, stream.codec_context)
    except VideoError as error:
        error.path = os.fspath(path)
        raise


def stream_end(stream: Any, origin: Fraction) -> Fraction | None:
    """Return the end that a stream itself states, seconds since the beginning of the clip."""
    if not stream.duration or stream.time_base is None:
        return None
    ticks = stream.duration + (stream.start_time or 0)
    return Fraction(ticks * stream.time_base) - origin


def _end(container: Any, stream: Any, origin: Fraction) -> Fraction | None:
    """Return the end of the video that the file states, seconds since the beginning of the clip."""
    end = stream_end(stream, origin)
    if end is not None:
        return end
    parts = str(stream.metadata.get("DURATION", "")).split(":")  # Matroska: 00:00:05.280000000
    with contextlib.suppress(ValueError):
        hours, minutes, seconds = (Fraction(part) for part in parts)
        if hours or minutes or seconds:
            return hours * 3600 + minutes * 60 + seconds - origin
    return Fraction(container.duration, 1_000_000) if container.duration else None


def _origin(container: Any, stream: Any, first: Any) -> Fraction:
    """Return the earliest start of video and sound, seconds; in a broadcast it is not 0."""
    starts = [
        each.start_time * each.time_base
        for each in (stream, *container.streams.audio)
        if each.start_time is not None and each.time_base
    ]
    if first.pts is not None and first.time_base is not None:
        starts.append(first.pts * first.time_base)
    return max(Fraction(min(starts)), Fraction(0)) if starts else Fraction(0)
