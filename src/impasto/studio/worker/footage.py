"""The inputs of a clip's job: clip, paintings, masks and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from impasto.painting.guidance import Guidance
from impasto.pictures.picture import Picture
from impasto.settings.clips import VideoSettings
from impasto.settings.options import options_of
from impasto.settings.pictures import Settings
from impasto.studio.jobs.clip_uploads import frames_of, named, read_clip
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.uploads import read_picture
from impasto.video.io.frames import Clip

__all__ = ["Footage", "read_footage"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Footage:
    """The inputs of a clip's job, read.

    Attributes:
        name: name of the uploaded file, for messages.
        start, end: part of the clip in seconds; None: its beginning or end.
        frames: frames in that part; None: unknown.
        sound: whether to keep the sound track.
    """

    clip: Clip
    name: str
    styles: Sequence[Picture]
    settings: Settings
    video: VideoSettings
    guidance: Guidance | None
    start: float | None
    end: float | None
    frames: int | None
    sound: bool


def read_footage(request: Mapping[str, Any], store: Store) -> Footage:
    """Read the inputs of a checked request.

    Raises: NoSuchThing: an upload was deleted; ImageError, VideoError: an upload is unreadable.
    """
    pictures, options = request["pictures"], request["options"]
    row = store.clips.get(pictures["clip"])

    def read(role: str) -> list[Picture | None]:
        given = pictures.get(role, [])
        many = given if isinstance(given, list) else [given]
        return [None if each is None else read_picture(store, each) for each in many]

    guidance = None
    if any(role in pictures for role in ("masks", "style_masks", "content_mask")):
        guidance = Guidance(
            masks=read("masks"), style_masks=read("style_masks"),
            content_mask=next(iter(read("content_mask")), None),
        )  # fmt: skip
    path = store.clips.file(row.id)
    with named(path, row.name):
        clip = read_clip(path)
    return Footage(
        clip=clip, name=row.name, styles=[each for each in read("styles") if each is not None],
        settings=Settings.from_dict(request["settings"]),
        video=VideoSettings.from_dict(options_of(VideoSettings, options)), guidance=guidance,
        start=options["start"] or None, end=options["end"] or None,
        frames=frames_of(row, options), sound=options.get("sound", True),
    )  # fmt: skip
