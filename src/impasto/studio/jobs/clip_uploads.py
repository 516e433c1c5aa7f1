"""Uploaded clips: they are checked and stored unchanged, and nobody can download them.

FFmpeg opens other files and URLs that a playlist, list or manifest names. So the studio opens only
containers that hold all their data, and only by the protocol `file`. The name of a file does not
matter. A clip's metadata may contain the location of the camera. A result contains none of this
metadata: it is a new file, made from frames and packets of sound.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from impasto.errors import ImpastoError, SettingsError, VideoError, install_hint
from impasto.studio.jobs.limits import Limits, TooLarge
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.tables.database import new_id
from impasto.studio.jobs.tables.rows import StoredClip
from impasto.studio.jobs.uploads import DECODING, bare_name
from impasto.studio.jobs.views import UploadedClip

if TYPE_CHECKING:
    from impasto.video.io.clips import Clip

__all__ = [
    "add_clip",
    "check_part",
    "frames_of",
    "known_clip",
    "missing_extra",
    "named",
    "poster_file",
    "read_clip",
]

# FFmpeg's names of the allowed containers. None of them can refer to another file.
CONTAINERS = (
    "mov", "mp4", "matroska", "webm", "avi", "gif", "mpegts", "mpeg", "ogg", "asf", "flv",
)  # fmt: skip
_PIECE = 1 << 20
_POSTER_SIDE = 512  # px


def missing_extra() -> str:
    """Return the message that says how to install the libraries for clips; "": none is missing."""
    if all(find_spec(name) is not None for name in ("av", "cv2")):
        return ""
    return f"clips need PyAV and OpenCV: {install_hint('video')}"


def add_clip(store: Store, file: BinaryIO, name: str, owner: str, limits: Limits) -> UploadedClip:
    """Store an uploaded clip.

    Raises:
        TooLarge: it has more bytes, or larger frames, than allowed.
        VideoError: it is not a readable clip; or PyAV or OpenCV is not installed.
    """
    if missing_extra():
        raise VideoError(missing_extra())
    with DECODING:
        return UploadedClip.of(_write(store, file, name, owner, limits))


def known_clip(store: Store, clip: str) -> UploadedClip:
    """Return the facts about an uploaded clip. Raises: NoSuchThing."""
    return UploadedClip.of(store.clips.get(clip))


def poster_file(store: Store, clip: str) -> Path:
    """Return the file of a clip's first frame, a JPEG. Raises: NoSuchThing."""
    store.clips.get(clip)
    return store.clips.first_frame(clip)


def _write(store: Store, file: BinaryIO, name: str, owner: str, limits: Limits) -> StoredClip:
    clip, name = new_id(), bare_name(name, "clip")
    path = store.clips.file(clip)
    try:
        _copy(file, path, name, limits)
        with named(path, name):
            _check_frames(path, name, limits)
            known = read_clip(path)
            _write_poster(known, store.clips.first_frame(clip))
        height, width = known.size
        return store.clips.add(StoredClip(
            id=clip, owner=owner, name=name, width=width, height=height, frames=known.frames,
            seconds=known.duration, rate=float(known.rate), sound=int(known.has_sound),
            created=time.time(),
        ))  # fmt: skip
    except BaseException:
        store.clips.delete(clip)
        raise


@contextlib.contextmanager
def named(path: Path, name: str) -> Iterator[None]:
    """Replace the path of a stored file by its uploaded name in errors raised inside."""
    try:
        yield
    except ImpastoError as error:
        if error.path == str(path):
            error.path = name
        raise


def read_clip(path: Path) -> Clip:
    """Return the properties of a stored clip. Raises: VideoError."""
    from impasto.video.io.clips import probe

    return probe(path, CONTAINERS)


def _copy(file: BinaryIO, path: Path, name: str, limits: Limits) -> None:
    size = 0
    with path.open("xb") as kept:
        while piece := file.read(_PIECE):
            size += len(piece)
            if size > limits.max_clip_bytes:
                raise TooLarge(
                    f"{name} has more than the {limits.max_clip_bytes / 1e6:g} MB that the studio "
                    "allows for a clip"
                )
            kept.write(piece)
    if not size:
        raise VideoError("is empty", path=name)


def _check_frames(path: Path, name: str, limits: Limits) -> None:
    """Raise a TooLarge for frames that are too large, before one is decoded."""
    from impasto.video.io.clips import open_container, video_stream

    with open_container(path, CONTAINERS) as container:
        stream = video_stream(container, path)
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > limits.max_pixels:
            raise TooLarge(
                f"{name} has frames of {width} x {height} px; the studio allows "
                f"{limits.max_pixels / 1e6:g} megapixels"
            )


def _write_poster(clip: Clip, path: Path) -> None:
    from impasto.pictures.files import save_image
    from impasto.video.io.frames import read_frames

    frames = read_frames(clip, long_side=min(max(clip.size), _POSTER_SIDE))
    save_image(next(frames).image, path)


# ---- parts --------------------------------------------------------------------------------------


def frames_of(clip: StoredClip, part: Mapping[str, Any]) -> int | None:
    """Return the number of frames in a part of a clip; None: unknown.

    Args: part: start and end in seconds; an end of 0 means the end of the clip.
    """
    if clip.seconds is None:
        return clip.frames
    start, end = float(part["start"]), min(float(part["end"]) or clip.seconds, clip.seconds)
    if not start and end >= clip.seconds:
        return clip.frames
    return max(1, math.ceil((end - start) * clip.rate))


def check_part(clip: StoredClip, part: Mapping[str, Any], limits: Limits) -> None:
    """Check a part of a clip.

    Raises: SettingsError: it begins after the end of the clip; TooLarge: it has too many frames.
    """
    if clip.seconds is not None and part["start"] >= clip.seconds:
        raise SettingsError(
            f"start: {part['start']:g} s is not before the end of {clip.name}, {clip.seconds:.2f} s"
        )
    frames = frames_of(clip, part)
    if frames is not None and frames > limits.max_frames:
        raise TooLarge(
            f"{frames} frames are more than the {limits.max_frames} that the studio paints in one "
            f"job; choose a part of {clip.name} with start and end"
        )
