"""The studio's data: tables in SQLite, and pictures and clips as files beside them.

    FOLDER/studio.db              all tables
    FOLDER/pictures/ID.png        uploaded pictures, re-encoded
    FOLDER/clips/ID.clip .jpg     uploaded clips, which nobody can download, and their first frames
    FOLDER/jobs/ID/               preview.jpg, checkpoint.npz, frames/, result.png .jpg .tiff .mp4

Server and worker communicate only through the store, so either may die at any moment. Every change
is one transaction. A job that has ended never changes its state again.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from impasto.studio.jobs.limits import StudioError
from impasto.studio.jobs.tables.database import Database
from impasto.studio.jobs.tables.jobs import JobTable
from impasto.studio.jobs.tables.messages import CommandTable, FactTable, QuestionTable
from impasto.studio.jobs.tables.uploads import ClipTable, PictureTable

__all__ = ["Store"]


class Store:
    """All tables and files of a studio.

    Args: folder: its folder. If it is missing, it is created, and only this user can read it.

    Raises: StudioError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            for each in (folder, folder / "pictures", folder / "clips", folder / "jobs"):
                each.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database = Database(folder / "studio.db")
        except (OSError, sqlite3.Error) as error:
            raise StudioError(
                f"cannot be used for the studio's data: {error}", path=folder
            ) from error
        self.jobs = JobTable(self._database, folder / "jobs")
        self.commands = CommandTable(self._database)
        self.pictures = PictureTable(self._database, folder / "pictures")
        self.clips = ClipTable(self._database, folder / "clips")
        self.questions = QuestionTable(self._database)
        self.facts = FactTable(self._database)

    def close(self) -> None:
        """Close this thread's connection to the database."""
        self._database.close()
