"""Clips ⇄ frames: video files and folders of pictures, read and written one frame at a time.

clip → Clip → Frame, Frame, … → painted → ClipWriter → clip

Frames are R'G'B' as the clip stores it, with the right matrix and range; its primaries and
transfer are carried along to the result and not converted, so that a clip of high dynamic range
stays one. Frames are upright: the result has no turn to note any more.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from impasto.errors import TruncatedClip, VideoError
from impasto.pictures.picture import Image, fit, resize
from impasto.video.io.clips import (
    Clip,
    Frame,
    Health,
    av_library,
    decoded,
    open_file,
    probe,
    time_of,
    to_fraction,
    video_in,
)
from impasto.video.io.codecs import CODECS, SUFFIXES
from impasto.video.io.folders import open_folder, read_folder
from impasto.video.io.pixels import to_image
from impasto.video.io.truncation import is_torn
from impasto.video.io.writer import ClipWriter, write_clip

__all__ = [
    "CODECS",
    "SUFFIXES",
    "Clip",
    "ClipWriter",
    "Frame",
    "check_frames",
    "open_clip",
    "read_frames",
    "write_clip",
]


_SLACK = 1  # s by which a file may understate its length and yet be read to its end

Timed = tuple[Callable[[], Image], Fraction, Fraction]  # what loads a frame, its time, duration


def open_clip(source: str | Path, *, rate: Fraction | float | None = None) -> Clip:
    """Read what a clip, or a folder of frames, says of itself; its first frame is decoded.

    Args:
        source: a video file, or a folder of PNG, JPEG or TIFF files, sorted by the numbers in
            their names.
        rate: frames a second of a folder, which does not know; 24 if not given.

    Raises: VideoError: it is neither, has no frame, or a codec or PyAV is missing.
    """
    path = Path(source)
    if path.is_dir():
        return open_folder(path, 24 if rate is None else rate)
    if rate is not None:
        raise VideoError(f"{path} has a frame rate of its own; one is given for a folder of frames")
    return probe(path)


def read_frames(
    clip: Clip,
    *,
    start: float | None = None,
    end: float | None = None,
    long_side: int | None = None,
    skip: int = 0,
    every: int = 1,
) -> Iterator[Frame]:
    """Read frame after frame; memory holds a few, however long the clip is.

    Args:
        start: seconds from the clip's beginning: earlier frames are left out.
        end: seconds: frames from here on are left out.
        long_side: px of the frames' longer side; None keeps the size.
        skip: how many frames, of those from start on, have been read before.
        every: 10 for every 10th frame, with the numbers that they have among all.

    Raises:
        VideoError: nothing lies between start and end, or the size changes midway.
        TruncatedClip: after the last frame that could be read, if more should have followed.
    """
    beginning = None if start is None else to_fraction(start)
    ending = None if end is None else to_fraction(end)
    first = Fraction(0) if beginning is None else beginning
    if first < 0 or (ending is not None and ending <= first):
        raise VideoError(
            f"cannot be read from {float(first):g} s to {float(ending or 0):g} s, which is no part "
            "of a clip: the end must be after the start, and the start not below 0",
            path=clip.path,
        )
    if clip.duration is not None and first > clip.duration + _SLACK:
        raise _beyond(clip, beginning)
    if every < 1 or skip < 0:
        raise VideoError(f"every is {every} and skip {skip}; at least 1 and 0 are allowed")
    frames = read_folder(clip) if clip.is_folder else _timed(clip, beginning)
    return _chosen(clip, frames, beginning, ending, long_side, skip, every)


def check_frames(clip: Clip) -> None:
    """Find what would stop a long run midway: a size that changes. Only key frames are decoded.

    Raises: VideoError: the size changes; for a folder, also a frame that cannot be read.
    """
    if clip.is_folder:
        for load, _, _ in read_folder(clip):
            load()
        return
    with open_file(clip.path) as container:
        stream = video_in(container, clip.path)
        stream.codec_context.skip_frame = "NONKEY"
        for frame in decoded(container, stream, Health()):
            _check_size(clip, frame)


def _beyond(clip: Clip, start: Fraction | None) -> VideoError:
    length = "" if clip.duration is None else f"; it lasts {clip.duration:.2f} s"
    return VideoError(f"has no frame from {float(start or 0):g} s on{length}", path=clip.path)


def _chosen(
    clip: Clip,
    frames: Iterator[Timed],
    start: Fraction | None,
    end: Fraction | None,
    long_side: int | None,
    skip: int,
    every: int,
) -> Iterator[Frame]:
    """Number the frames in range and make images of those that are asked for."""
    index = -1
    size = None if long_side is None else fit(clip.size, long_side)
    try:
        for load, time, duration in frames:
            if start is not None and time < start:
                continue
            if end is not None and time >= end:
                break
            index += 1
            if index < skip or index % every:
                continue
            image = load()
            yield Frame(image if size is None else resize(image, size), index, time, duration)
    except TruncatedClip as error:
        if index < 0:
            raise _beyond(clip, start) from error
        error.frames = index + 1
        raise
    if index < 0:
        raise _beyond(clip, start)


def _timed(clip: Clip, start: Fraction | None) -> Iterator[Timed]:
    """Decode from the key frame before start: frames and durations, times strictly rising."""
    usual, health = 1 / clip.rate, Health()
    time: Fraction | None = None
    with contextlib.ExitStack() as files:
        container, stream, frames = _opened(files, clip, health)
        if start:
            first = _seek(container, stream, clip, start, frames)
            if first is None:  # an index that cannot be trusted: from the beginning
                health = Health()
                container, stream, frames = _opened(files, clip, health)
            else:
                frames = itertools.chain([first], frames)
        waiting: Any = None  # until the next one tells how long it is shown: files say it wrongly
        for frame in frames:
            _check_size(clip, frame)
            before, time = time, time_of(frame, clip)
            if time is None:
                time = Fraction(0) if before is None else before + usual
            if before is not None:
                time = time if time > before else before + usual
                yield _loader(clip, waiting), before, time - before
            waiting = frame
        if time is None:
            raise _beyond(clip, start)
        length = waiting.duration * waiting.time_base if waiting.duration else usual
        yield _loader(clip, waiting), time, Fraction(length)
        if health.broken or is_torn(clip.path, container.format.name):
            raise TruncatedClip(
                f"ends early or is damaged: it could be read to {float(time):.2f} s"
                + ("" if clip.duration is None else f" of {clip.duration:.2f} s"),
                0,
                path=clip.path,
            )


def _loader(clip: Clip, frame: Any) -> Callable[[], Image]:
    return partial(to_image, frame, clip.colors, clip.crop, clip.turn)


def _opened(files: contextlib.ExitStack, clip: Clip, health: Health) -> tuple[Any, Any, Any]:
    container = files.enter_context(open_file(clip.path))
    stream = video_in(container, clip.path)
    return container, stream, decoded(container, stream, health)


def _seek(container: Any, stream: Any, clip: Clip, start: Fraction, frames: Any) -> Any:
    """Go to the key frame before start and return the first frame, if it is early enough."""
    try:
        container.seek(math.floor((start + clip.origin) / stream.time_base), stream=stream)
    except av_library().error.FFmpegError:
        return None
    first = next(frames, None)
    time = None if first is None else time_of(first, clip)
    return first if time is not None and time <= start else None


def _check_size(clip: Clip, frame: Any) -> None:
    height, width = clip.turn.of_size(clip.crop.of_size((frame.height, frame.width)))
    if (height, width) != clip.size:
        when = "" if frame.time is None else f" at {float(frame.time):.2f} s"
        raise VideoError(
            f"changes its size from {clip.size[1]} x {clip.size[0]} to "
            f"{width} x {height} px{when}; cut it there, or scale it to one size first",
            path=clip.path,
        )
