"""Uploads of clips: checked and kept as they are, never given out again.

FFmpeg may be made to open other files, or addresses, by files that name them: playlists, lists,
manifests. So only containers that hold all that they show are opened, whatever a file is called,
and no protocol but `file`. What was filmed where is in the file's own texts, of which nothing comes
into a result: a clip is written anew, from frames and packets of sound.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from impasto.errors import ImpastoError, SettingsError, VideoError
from impasto.studio.jobs.limits import Limits, TooLarge
from impasto.studio.jobs.rows import StoredClip
from impasto.studio.jobs.store import Store, new_id
from impasto.studio.jobs.uploads import bare_name

if TYPE_CHECKING:
    from impasto.video.io.clips import Clip

__all__ = ["add_clip", "check_part", "frames_of", "missing_extra", "named", "read_clip"]

# FFmpeg's names of the containers that are opened: each is one file, and names no other.
CONTAINERS = (
    "mov", "mp4", "matroska", "webm", "avi", "gif", "mpegts", "mpeg", "ogg", "asf", "flv",
)  # fmt: skip
_PIECE = 1 << 20
_POSTER_SIDE = 512  # px


def missing_extra() -> str:
    """Return what to install so that clips can be painted; "": nothing is missing."""
    if all(find_spec(name) is not None for name in ("av", "cv2")):
        return ""
    return "clips need PyAV and OpenCV: pip install 'impasto[video]'"


def add_clip(store: Store, file: BinaryIO, name: str, owner: str, limits: Limits) -> StoredClip:
    """Keep an uploaded clip.

    Raises:
        TooLarge: more bytes, or larger frames, than allowed.
        VideoError: it cannot be read as a clip; or the extra is not installed.
    """
    if missing_extra():
        raise VideoError(missing_extra())
    clip, name = new_id(), bare_name(name, "clip")
    path = store.clip_file(clip)
    try:
        _copy(file, path, name, limits)
        with named(path, name):
            _check_frames(path, name, limits)
            known = read_clip(path)
            _keep_poster(known, store.clip_file(clip, ".jpg"))
        height, width = known.size
        return store.add_clip(StoredClip(
            id=clip, owner=owner, name=name, width=width, height=height, frames=known.frames,
            seconds=known.duration, rate=float(known.rate), sound=int(known.has_sound),
            created=time.time(),
        ))  # fmt: skip
    except BaseException:
        store.forget_clip(clip)
        raise


@contextlib.contextmanager
def named(path: Path, name: str) -> Iterator[None]:
    """Let errors about a kept file name it as its owner does, and not where it is kept."""
    try:
        yield
    except ImpastoError as error:
        if error.path == str(path):
            error.path = name
        raise


def read_clip(path: Path) -> Clip:
    """Return what a kept clip says of itself. Raises: VideoError."""
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
        raise VideoError(f"{name} is empty")


def _check_frames(path: Path, name: str, limits: Limits) -> None:
    """Refuse frames that are too large before one is decoded."""
    from impasto.video.io.clips import open_container, video_stream

    with open_container(path, CONTAINERS) as container:
        stream = video_stream(container, path)
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > limits.max_pixels:
            raise TooLarge(
                f"{name} has frames of {width} x {height} px; the studio allows "
                f"{limits.max_pixels / 1e6:g} megapixels"
            )


def _keep_poster(clip: Clip, path: Path) -> None:
    from impasto.pictures.files import save_image
    from impasto.video.io.frames import read_frames

    frames = read_frames(clip, long_side=min(max(clip.size), _POSTER_SIDE))
    save_image(next(frames).image, path)


# ---- parts --------------------------------------------------------------------------------------


def frames_of(clip: StoredClip, part: Mapping[str, Any]) -> int | None:
    """Return how many frames a part of a clip has, as far as its file tells.

    Args: part: start and end in seconds; an end of 0 is the clip's.
    """
    if clip.seconds is None:
        return clip.frames
    start, end = float(part["start"]), min(float(part["end"]) or clip.seconds, clip.seconds)
    if not start and end >= clip.seconds:
        return clip.frames
    return max(1, math.ceil((end - start) * clip.rate))


def check_part(clip: StoredClip, part: Mapping[str, Any], limits: Limits) -> None:
    """Refuse a part of a clip of which nothing is in the clip, or that is too long.

    Raises: SettingsError, TooLarge.
    """
    if clip.seconds is not None and part["start"] >= clip.seconds:
        raise SettingsError(
            f"start: {part['start']:g} s is not before the end of {clip.name}, {clip.seconds:.2f} s"
        )
    frames = frames_of(clip, part)
    if frames is not None and frames > limits.max_frames:
        raise TooLarge(
            f"{frames} frames are more than the {limits.max_frames} that the studio paints in one "
            f"job; choose a part of {clip.name} by start and end"
        )
