"""A run on disk: its painted frames in a folder, so that it can be stopped and taken up again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from impasto.errors import VideoError
from impasto.pictures.files import load_image, read_metadata, save_image
from impasto.pictures.picture import Image
from impasto.storage import one_line, write_file
from impasto.video.io.frames import Clip

__all__ = ["Painted", "Run", "clip_identity"]

_RECORD = "run.json"
_PIECE = 1 << 20


@dataclass(frozen=True)
class Painted:
    """What is noted of a painted frame, in its file.

    Attributes:
        index: its number in the run, from 0.
        time, duration: seconds, as `Frame` has them.
        begins: whether a scene begins with it.
        losses: of its last step.
    """

    index: int
    time: Fraction
    duration: Fraction
    begins: bool
    losses: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return {
            "index": self.index,
            "time": str(self.time),
            "duration": str(self.duration),
            "begins": self.begins,
            "losses": dict(self.losses),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Painted:
        """Read plain values."""
        return cls(
            values["index"],
            Fraction(values["time"]),
            Fraction(values["duration"]),
            values["begins"],
            values["losses"],
        )


class Run:
    """The folder of a run.

    Pastiches are kept as PNG files of 8 bits, and the next frame starts from those: so a run that
    was stopped and taken up again paints the same frames as one that never was.

    Args:
        folder: where frames are kept, as frame-000001.png and so on.
        record: what determines the frames: settings, and what clip and pictures are known by.
        overwrite: whether frames of another run may be deleted.

    Attributes:
        resumed: how many frames were there already.

    Raises: VideoError: the folder belongs to another run, or cannot be written.
    """

    def __init__(self, folder: Path, record: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self.folder = folder
        self.record: Mapping[str, Any] = json.loads(json.dumps(record))
        self.resumed = 0
        known = self._known()
        if known == self.record:
            self.resumed = len(self._frames())
            return
        if not overwrite and (known is not None or self._frames()):
            raise VideoError(self._stranger(known))
        self.begin()

    def begin(self) -> None:
        """Delete what an earlier run has left, and begin.

        Raises: VideoError: the folder cannot be written.
        """
        try:
            self._clear()
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VideoError(f"cannot be written: {one_line(error)}", path=self.folder) from error
        record = json.dumps(self.record, indent=1).encode()
        write_file(self.folder / _RECORD, record, error=VideoError)

    def path(self, index: int, stage: str = "") -> Path:
        """Return the file of a frame. Args: stage: a folder within, for what is not final."""
        return self.folder / stage / f"frame-{index + 1:06d}.png"

    def has(self, index: int, stage: str = "") -> bool:
        """Tell whether a frame is there."""
        return self.path(index, stage).is_file()

    def load(self, index: int, stage: str = "") -> Image:
        """Return a painted frame, (1, 3, H, W)."""
        return load_image(self.path(index, stage))

    def note(self, index: int, stage: str = "") -> Painted:
        """Return what is noted of a painted frame."""
        return Painted.from_dict(read_metadata(self.path(index, stage))["frame"])

    def save(self, image: Image, note: Painted, stage: str = "") -> Image:
        """Keep a frame, and return it as it is kept."""
        metadata = {**self.record["about"], "frame": note.to_dict()}
        save_image(image, self.path(note.index, stage), metadata=metadata)
        return self.load(note.index, stage)

    def keep(self, image: Image, index: int, stage: str) -> Image:
        """Keep a picture that is not a frame of the result, and return it as it is kept."""
        save_image(image, self.path(index, stage))
        return self.load(index, stage)

    def clear_stages(self) -> None:
        """Delete what is not the result."""
        for folder in self.folder.glob("stage-*"):
            shutil.rmtree(folder)

    def remove(self) -> None:
        """Delete the frames and the folder, if nothing else is in it."""
        self._clear()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _clear(self) -> None:
        if self.folder.is_dir():
            for path in (*self._frames(), self.folder / _RECORD):
                path.unlink(missing_ok=True)
            self.clear_stages()

    def _frames(self) -> list[Path]:
        return sorted(self.folder.glob("frame-[0-9][0-9][0-9][0-9][0-9][0-9].png"))

    def _known(self) -> dict[str, Any] | None:
        try:
            known: dict[str, Any] = json.loads((self.folder / _RECORD).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return known

    def _stranger(self, known: Mapping[str, Any] | None) -> str:
        """Say what is different of the run that the folder belongs to."""
        if known is None:
            return (
                f"{self.folder} has frames already, which are of no run that could be continued; "
                "--force (overwrite=True) replaces them"
            )
        changes = _differences(known, self.record)
        return (
            f"{self.folder} holds an unfinished run, begun otherwise ({'; '.join(changes[:3])}): "
            "continue it with the same command, or begin afresh with --force (overwrite=True)"
        )


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    """List what differs between two records, as "steps was 30, is 40"."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = dict.fromkeys([*old, *new])
        return [each for key in keys for each in _differences(old.get(key), new.get(key), str(key))]
    if old == new:
        return []
    shown = (json.dumps(each)[:60] for each in (old, new))
    return [f"{name} was {next(shown)}, is {next(shown)}"]


def clip_identity(clip: Clip) -> dict[str, str]:
    """Return what a clip is known by: its bare name and the SHA-256 of its bytes."""
    digest = hashlib.sha256()
    for path in clip.files or (clip.path,):
        if clip.is_folder:
            digest.update(path.name.encode())
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    return {"name": clip.path.name, "sha256": digest.hexdigest()}
