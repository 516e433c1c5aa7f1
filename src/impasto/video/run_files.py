"""The files that a run of a clip reads and writes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from impasto.errors import SettingsError
from impasto.painting.guidance import Guidance, as_list
from impasto.pictures.files import Source
from impasto.pictures.masks import NOT_PREFIX
from impasto.settings.clips import VideoSettings
from impasto.settings.pictures import Settings
from impasto.storage import NamedFile
from impasto.video.frame_store import own_files
from impasto.video.io.frames import Clip

__all__ = ["files_read", "files_written", "frames_folder"]


def frames_folder(output: Path, frames: Path | None) -> Path:
    """Return the folder for frames.

    Args: frames: the folder that the user has named; None: none.

    Raises: SettingsError: output is a folder of frames, too.
    """
    is_folder = output.is_dir() or not output.suffix
    if is_folder and frames is not None:
        raise SettingsError(
            "is a folder of frames already; name a clip as the output, or leave out frames",
            path=output,
        )
    return output if is_folder else frames or output.with_name(output.name + ".frames")


def files_written(output: Path, frames: Path | None) -> list[NamedFile]:
    """Return all files that a run writes, replaces or deletes, with their flags.

    Args, Raises: as for `frames_folder`.
    """
    folder = frames_folder(output, frames)
    flag = "--output" if frames is None else "--frames"
    return [("--output", output), *((flag, each) for each in (folder, *own_files(folder)))]


def files_read(
    clip: Clip,
    styles: Source | Sequence[Source],
    guidance: Guidance | None,
    settings: Settings,
    video: VideoSettings,
) -> list[NamedFile]:
    """Return all files that a run reads, and what they are."""
    masks = [] if guidance is None else vars(guidance).values()
    named = [settings.init, settings.weights, video.flow_weights]
    sources = {
        "the clip": [clip.path, *clip.files],
        "a style": as_list(styles),
        "a mask": [each for given in masks for each in as_list(given)],
        # A folder can have the name of a way to start.
        "a file of the settings": [each for each in named if os.path.isfile(each)],  # noqa: PTH113
    }
    return [
        (name, os.fspath(each).removeprefix(NOT_PREFIX))
        for name, many in sources.items()
        for each in many
        if isinstance(each, str | os.PathLike)
    ]
