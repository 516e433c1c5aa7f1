"""The frame store: a folder with the painted frames of a run, so that a run can be resumed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor

from impasto.errors import VideoError
from impasto.pictures.files import load_picture, read_metadata, save_image
from impasto.pictures.picture import Image, Picture
from impasto.settings.pictures import Settings
from impasto.storage import one_line, read_file, sha256_of, write_file
from impasto.video.io.frames import Clip

__all__ = [
    "FINAL",
    "PHOTOS",
    "FrameInfo",
    "FrameStore",
    "clip_identity",
    "own_files",
    "stage_folder",
]

FINAL = ""  # The folder of the final frames: the frame store itself.
PHOTOS = "stage-photos"  # The folder of the photos that a later pass needs.

_RECORD = "run.json"
_FRAMES = "frame-[0-9][0-9][0-9][0-9][0-9][0-9].png"
_STAGE = re.compile(r"stage-(?:\d+|photos)")


def stage_folder(stage: int, stages: int) -> str:
    """Return the folder within the frame store for the frames of a pass, from 1 to stages."""
    return FINAL if stage == stages else f"stage-{stage}"


@dataclass(frozen=True)
class FrameInfo:
    """Facts about a painted frame, stored in its PNG file.

    Attributes:
        index: the number of the frame in the run, from 0.
        time, duration: seconds, as in `Frame`.
        starts_scene: whether it is the first frame of a scene.
        losses: the losses of its last step.
    """

    index: int
    time: Fraction
    duration: Fraction
    starts_scene: bool
    losses: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "index": self.index,
            "time": str(self.time),
            "duration": str(self.duration),
            "begins": self.starts_scene,
            "losses": dict(self.losses),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FrameInfo:
        """Read the plain values of `to_dict`."""
        return cls(
            values["index"],
            Fraction(values["time"]),
            Fraction(values["duration"]),
            values["begins"],
            values["losses"],
        )


def own_files(folder: Path) -> list[Path]:
    """List the files in a folder of frames that a run may replace or delete."""
    found = [*folder.glob(_FRAMES), folder / _RECORD]
    found += [path for stage in _stages(folder) for path in stage.glob(_FRAMES)]
    return [path for path in found if path.exists()]


def _stages(folder: Path) -> list[Path]:
    """List the folders of passes within a folder of frames, and no folders of other programs."""
    return [path for path in folder.glob("stage-*") if _STAGE.fullmatch(path.name)]


class FrameStore:
    """The folder with the frames of a run.

    Frames are stored as PNG files, and the next frame starts from these files. So an
    interrupted run that is resumed paints the same frames as an uninterrupted one.

    Args:
        folder: where to store the frames, as frame-000001.png and so on.
        record: all inputs that determine the frames: settings, identities of clip and pictures.
        overwrite: whether frames of another run may be deleted.
        bits: bits per channel of the files, 8 or 16.

    Attributes:
        resumed: the number of frames that the folder held already.

    Raises: VideoError: the folder belongs to another run, or cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        record: Mapping[str, Any],
        *,
        overwrite: bool = False,
        bits: int = 8,
    ) -> None:
        self.folder = folder
        self.bits = bits
        self.record: Mapping[str, Any] = json.loads(json.dumps(record))
        self.resumed = 0
        stored = self._stored_record()
        if stored == self.record:
            self.resumed = len(self._frames())
            return
        if not overwrite and (stored is not None or self._frames()):
            raise self._another_run(stored)
        self.begin()

    def begin(self) -> None:
        """Delete the frames of an earlier run, and write the record of this one.

        Raises: VideoError: the folder cannot be written.
        """
        try:
            self._clear()
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VideoError(f"cannot be written: {one_line(error)}", path=self.folder) from error
        record = json.dumps(self.record, indent=1).encode()
        write_file(self.folder / _RECORD, record, error=VideoError)

    def path(self, index: int, folder: str = FINAL) -> Path:
        """Return the file of a frame. Args: folder: FINAL, PHOTOS or a `stage_folder`."""
        return self.folder / folder / f"frame-{index + 1:06d}.png"

    def has(self, index: int, folder: str = FINAL) -> bool:
        """Return whether the frame is stored."""
        return self.path(index, folder).is_file()

    def load(self, index: int, folder: str = FINAL) -> Image:
        """Return the colors of a stored frame, (1, 3, H, W)."""
        return self.load_picture(index, folder).image

    def load_picture(self, index: int, folder: str = FINAL) -> Picture:
        """Return a stored frame with its transparency."""
        return load_picture(self.path(index, folder))

    def info(self, index: int, folder: str = FINAL) -> FrameInfo:
        """Return the facts about a stored frame."""
        return FrameInfo.from_dict(read_metadata(self.path(index, folder))["frame"])

    def save(
        self, image: Image, info: FrameInfo, folder: str = FINAL, *, alpha: Tensor | None = None
    ) -> Image:
        """Store a painted frame with its photo's transparency; return its colors as stored."""
        metadata = {**self.record["about"], "frame": info.to_dict()}
        path = self.path(info.index, folder)
        save_image(image, path, alpha=alpha, metadata=metadata, bits=self.bits)
        return self.load(info.index, folder)

    def save_photo(self, photo: Picture, index: int) -> None:
        """Store the photo of a frame for a later pass."""
        path = self.path(index, PHOTOS)
        save_image(photo.image, path, alpha=photo.alpha, bits=self.bits)

    def clear_stages(self) -> None:
        """Delete the frames of all passes but the last."""
        for folder in _stages(self.folder):
            for path in (*folder.glob(_FRAMES), *folder.glob(".impasto-*.tmp")):
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # somebody else has put a file there
                folder.rmdir()

    def remove(self) -> None:
        """Delete the frames, and the folder if nothing else is in it."""
        self._clear()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _clear(self) -> None:
        if self.folder.is_dir():
            for path in (*self._frames(), self.folder / _RECORD):
                path.unlink(missing_ok=True)
            self.clear_stages()

    def _frames(self) -> list[Path]:
        return sorted(self.folder.glob(_FRAMES))

    def _stored_record(self) -> dict[str, Any] | None:
        """Return the record of the run that the folder belongs to, or None."""
        try:
            record: dict[str, Any] = json.loads((self.folder / _RECORD).read_text("utf-8"))
            about = record.get("about", {})
            if "settings" in about:  # maybe of an earlier version
                about["settings"] = Settings.recorded(about["settings"])
        except (OSError, ValueError, AttributeError, TypeError):
            return None
        return record

    def _another_run(self, stored: Mapping[str, Any] | None) -> VideoError:
        """Return the error for a folder that belongs to another run."""
        if stored is None:
            return VideoError(
                "has frames already, but no record of their run, so it cannot be resumed; "
                "--force (overwrite=True) replaces the frames",
                path=self.folder,
            )
        changes = _differences(stored, self.record)
        return VideoError(
            f"holds an unfinished run with other inputs ({'; '.join(changes[:3])}): resume it with "
            "its own inputs, or start again with --force (overwrite=True)",
            path=self.folder,
        )


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    """List the differences between two records, as "steps was 30, is 40"."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = dict.fromkeys([*old, *new])
        return [each for key in keys for each in _differences(old.get(key), new.get(key), str(key))]
    if old == new:
        return []
    shown = (json.dumps(each)[:60] for each in (old, new))
    return [f"{name} was {next(shown)}, is {next(shown)}"]


def clip_identity(clip: Clip) -> dict[str, str]:
    """Return a clip's file name, and the SHA-256 of its bytes; for a folder, of all its files."""
    if not clip.is_folder:
        return {"name": clip.path.name, "sha256": sha256_of(clip.path, error=VideoError)}
    digest = hashlib.sha256()
    for path in clip.files:
        digest.update(path.name.encode())
        digest.update(read_file(path, "a frame", error=VideoError))
    return {"name": clip.path.name, "sha256": digest.hexdigest()}
