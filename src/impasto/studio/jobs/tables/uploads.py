"""The tables of uploaded pictures and clips."""

from __future__ import annotations

from pathlib import Path

from impasto.studio.jobs.limits import NoSuchThing
from impasto.studio.jobs.tables.database import Database, checked_id
from impasto.studio.jobs.tables.rows import StoredClip, StoredPicture

__all__ = ["ClipTable", "PictureTable"]


class PictureTable:
    """Uploaded pictures and their files."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def add(self, picture: StoredPicture) -> StoredPicture:
        """Add a picture whose file is already written."""
        self._database.insert("pictures", picture)
        return picture

    def get(self, picture: str) -> StoredPicture:
        """Return a picture. Raises: NoSuchThing."""
        row = self._database.run("SELECT * FROM pictures WHERE id = ?", picture).fetchone()
        if row is None:
            raise NoSuchThing("there is no such picture; it may have been deleted")
        return StoredPicture(**dict(row))

    def all(self) -> list[StoredPicture]:
        """Return all pictures, the oldest first."""
        rows = self._database.run("SELECT * FROM pictures ORDER BY created")
        return [StoredPicture(**dict(row)) for row in rows]

    def file(self, picture: StoredPicture) -> Path:
        """Return the file of a picture."""
        return self._folder / f"{checked_id(picture.id)}{picture.suffix}"

    def delete(self, picture: StoredPicture) -> None:
        """Delete a picture and its file."""
        self._database.run("DELETE FROM pictures WHERE id = ?", picture.id)
        self.file(picture).unlink(missing_ok=True)


class ClipTable:
    """Uploaded clips and their files."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self.folder = folder

    def add(self, clip: StoredClip) -> StoredClip:
        """Add a clip whose files are already written."""
        self._database.insert("clips", clip)
        return clip

    def get(self, clip: str) -> StoredClip:
        """Return a clip. Raises: NoSuchThing."""
        row = self._database.run("SELECT * FROM clips WHERE id = ?", clip).fetchone()
        if row is None or not self.file(clip).is_file():
            raise NoSuchThing("there is no such clip; it may have been deleted")
        return StoredClip(**dict(row))

    def all(self) -> list[StoredClip]:
        """Return all clips, the oldest first."""
        rows = self._database.run("SELECT * FROM clips ORDER BY created")
        return [StoredClip(**dict(row)) for row in rows]

    def file(self, clip: str) -> Path:
        """Return the file of a clip.

        The suffix does not name a format, so FFmpeg recognizes the format by the content.
        """
        return self.folder / f"{checked_id(clip)}.clip"

    def first_frame(self, clip: str) -> Path:
        """Return the file of a clip's first frame, a JPEG."""
        return self.folder / f"{checked_id(clip)}.jpg"

    def delete(self, clip: str) -> None:
        """Delete a clip and its files."""
        self._database.run("DELETE FROM clips WHERE id = ?", clip)
        for path in (self.file(clip), self.first_frame(clip)):
            path.unlink(missing_ok=True)
