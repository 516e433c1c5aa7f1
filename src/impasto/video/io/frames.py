"""Clips ⇄ frames: video files and folders of pictures, read and written one frame at a time.

clip → Clip → Frame, Frame, … → painted frames → ClipWriter → clip

Frames are sRGB. R'G'B' is computed with the clip's matrix and range. A clip of high dynamic range
or of wide primaries is converted, and its result is tagged as BT.709. With `keep_hdr`, a clip of
high dynamic range keeps its range and its primaries. The R'G'B' of other clips is not converted,
and their tags are copied to the result. Frames are upright, so the result needs no rotation.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from impasto.errors import TruncatedClip, VideoError
from impasto.pictures.picture import Picture, fit, resized, without_hidden_colors
from impasto.settings.pictures import ResamplingName
from impasto.video.io.clips import (
    Clip,
    Damage,
    Frame,
    av_library,
    decode_frames,
    frame_time,
    open_container,
    probe,
    stream_end,
    to_fraction,
    video_stream,
)
from impasto.video.io.codecs import CODECS, SUFFIXES
from impasto.video.io.folders import open_folder, read_folder
from impasto.video.io.pixels import alpha_of, to_image
from impasto.video.io.truncation import is_truncated
from impasto.video.io.writer import ClipWriter, write_clip

__all__ = [
    "CODECS",
    "SUFFIXES",
    "Clip",
    "ClipWriter",
    "Frame",
    "open_clip",
    "read_frames",
    "write_clip",
]


_SLACK = 1  # s; the stated length of a clip may be too short by this.

# A function that loads the frame, its time, its duration.
TimedFrame = tuple[Callable[[], Picture], Fraction, Fraction]


def open_clip(
    source: str | Path, *, rate: Fraction | float | None = None, keep_hdr: bool = False
) -> Clip:
    """Read the properties of a clip or of a folder of frames; this decodes the first frame.

    Args:
        source: a video file, or a folder of PNG, JPEG or TIFF files, sorted by the numbers in
            their names.
        rate: frames per second of a folder; None: 24. A video file has its own.
        keep_hdr: whether the frames of a clip of high dynamic range keep its range. Without
            effect on other clips.

    Raises: VideoError: source is not a video or a folder of frames, or has no frame; rate is given
        for a video; or a codec or PyAV is missing.
    """
    path = Path(source)
    if path.is_dir():
        return open_folder(path, 24 if rate is None else rate)
    if rate is not None:
        raise VideoError(
            "has its own frame rate; give a rate only for a folder of frames", path=path
        )
    clip = probe(path)
    return replace(clip, keep_hdr=keep_hdr and clip.signal.is_hdr)


def read_frames(
    clip: Clip,
    *,
    start: float | None = None,
    end: float | None = None,
    long_side: int | None = None,
    every: int = 1,
    resampling: ResamplingName = "lanczos",
) -> Iterator[Frame]:
    """Read a clip frame by frame. Memory holds only a few frames, even if the clip is long.

    Args:
        start: seconds since the beginning of the clip; earlier frames are skipped.
        end: seconds; reading stops at the first frame at or after this time.
        long_side: px of the frames' longer side; None keeps the size.
        every: 10 for every 10th frame; the frames keep their indices.
        resampling: the filter that scales frames, see `resize`.

    Raises:
        VideoError: there is no frame between start and end, or the size of the frames changes.
        TruncatedClip: after the last readable frame, if the clip ends early.
    """
    beginning = None if start is None else to_fraction(start)
    ending = None if end is None else to_fraction(end)
    first = Fraction(0) if beginning is None else beginning
    if first < 0 or (ending is not None and ending <= first):
        raise VideoError(
            f"cannot be read from {float(first):g} s to {float(ending or 0):g} s: the end must be "
            "after the start, and the start must not be below 0",
            path=clip.path,
        )
    if clip.duration is not None and first > clip.duration + _SLACK:
        raise _no_frames(clip, beginning)
    if every < 1:
        raise VideoError(f"every is {every}; it must be at least 1")
    frames = read_folder(clip) if clip.is_folder else _timed_frames(clip, beginning)
    scale: Callable[[Picture], Picture] | None = None
    if long_side is not None:
        scale = partial(resized, size=fit(clip.size, long_side), resampling=resampling)
    return _selected(clip, frames, beginning, ending, scale, every)


def _no_frames(clip: Clip, start: Fraction | None) -> VideoError:
    length = "" if clip.duration is None else f"; it lasts {clip.duration:.2f} s"
    return VideoError(f"has no frame at or after {float(start or 0):g} s{length}", path=clip.path)


def _selected(
    clip: Clip,
    frames: Iterator[TimedFrame],
    start: Fraction | None,
    end: Fraction | None,
    scale: Callable[[Picture], Picture] | None,
    every: int,
) -> Iterator[Frame]:
    """Number the frames between start and end, load every n-th of them, and scale it."""
    index = -1
    try:
        for load, time, duration in frames:
            if start is not None and time < start:
                continue
            if end is not None and time >= end:
                break
            index += 1
            if index % every:
                continue
            picture = load()
            picture = picture if scale is None else scale(picture)
            yield Frame(picture.image, index, time, duration, picture.alpha, clip.aspect)
    except TruncatedClip as error:
        if index < 0:
            raise _no_frames(clip, start) from error
        error.frames = index + 1
        raise
    if index < 0:
        raise _no_frames(clip, start)


def _timed_frames(clip: Clip, start: Fraction | None) -> Iterator[TimedFrame]:
    """Decode the frames, beginning at the key frame before start; their times rise strictly."""
    usual, damage = 1 / clip.rate, Damage()
    time: Fraction | None = None
    with contextlib.ExitStack() as files:
        container, stream, frames = _opened(files, clip, damage)
        if start:
            first = _seek(container, stream, clip, start, frames)
            if first is None:  # The file's index is wrong: decode from the beginning.
                damage = Damage()
                container, stream, frames = _opened(files, clip, damage)
            else:
                frames = itertools.chain([first], frames)
        # The next frame's time gives a frame's duration: the durations in files are unreliable.
        waiting: Any = None
        for frame in frames:
            _check_size(clip, frame)
            before, time = time, frame_time(frame, clip)
            if time is None:
                time = Fraction(0) if before is None else before + usual
            if before is not None:
                time = time if time > before else before + usual
                yield _loader(clip, waiting), before, time - before
            waiting = frame
        if time is None:
            raise _no_frames(clip, start)
        is_whole = not damage.packets and not is_truncated(clip.path, container.format.name)
        end = stream_end(stream, clip.origin) if is_whole else None
        yield _loader(clip, waiting), time, _last_duration(waiting, time, end, usual)
        if not is_whole:
            raise TruncatedClip(
                f"ends early or is damaged: it could be read to {float(time):.2f} s"
                + ("" if clip.duration is None else f" of {clip.duration:.2f} s"),
                0,
                path=clip.path,
            )


def _last_duration(frame: Any, time: Fraction, end: Fraction | None, usual: Fraction) -> Fraction:
    """Return how long the last frame is shown, seconds.

    Args: end: the end of the stream, seconds. If frames are reordered, only this end shows a long
        duration of the last frame, because MP4 states durations in the order of decoding.
    """
    is_known = frame.duration and frame.time_base is not None
    length = Fraction(frame.duration * frame.time_base) if is_known else usual
    return length if end is None else max(length, end - time)


def _loader(clip: Clip, frame: Any) -> Callable[[], Picture]:
    return partial(_image, clip, frame)


def _image(clip: Clip, frame: Any) -> Picture:
    image, signal = to_image(frame, clip.colors, clip.orientation), clip.signal
    image = signal.to_working(image) if clip.keep_hdr else signal.to_srgb(image)
    return without_hidden_colors(Picture(image, alpha_of(frame, clip.orientation)))


def _opened(files: contextlib.ExitStack, clip: Clip, damage: Damage) -> tuple[Any, Any, Any]:
    """Open a clip's file; return its container, its video stream, and the decoded frames."""
    container = files.enter_context(open_container(clip.path))
    stream = video_stream(container, clip.path)
    return container, stream, decode_frames(container, stream, damage)


def _seek(container: Any, stream: Any, clip: Clip, start: Fraction, frames: Any) -> Any:
    """Seek to the key frame before start; return it, or None if a later frame was found."""
    try:
        container.seek(math.floor((start + clip.origin) / stream.time_base), stream=stream)
    except av_library().error.FFmpegError:
        return None
    first = next(frames, None)
    time = None if first is None else frame_time(first, clip)
    return first if time is not None and time <= start else None


def _check_size(clip: Clip, frame: Any) -> None:
    height, width = clip.orientation.upright_size((frame.height, frame.width))
    if (height, width) != clip.size:
        when = "" if frame.time is None else f" at {float(frame.time):.2f} s"
        raise VideoError(
            f"changes its size from {clip.size[1]} x {clip.size[0]} to "
            f"{width} x {height} px{when}; cut it there, or scale it to one size first",
            path=clip.path,
        )
