"""The tables of jobs and of the numbers of their steps."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from impasto.settings.pictures import Settings
from impasto.studio.jobs.limits import NoSuchThing
from impasto.studio.jobs.tables.database import Database, checked_id, new_id
from impasto.studio.jobs.tables.rows import ALIVE, ENDED, State, StoredJob

__all__ = ["JobTable"]


class JobTable:
    """Jobs, the numbers of their steps, and their folders."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def add(
        self, owner: str, kind: str, request: Mapping[str, Any], *, watched: bool, most: int
    ) -> StoredJob | None:
        """Queue a job; return None if `most` jobs are queued already."""
        job = new_id()
        # One statement, so that two simultaneous requests cannot both take the last place.
        done = self._database.run(
            "INSERT INTO jobs (id, owner, kind, request, state, created, watched) "
            "SELECT ?, ?, ?, ?, 'queued', ?, ? "
            "WHERE (SELECT count(*) FROM jobs WHERE state = 'queued') < ?",
            job, owner, kind, json.dumps(request), time.time(), watched, most,
        )  # fmt: skip
        return self.get(job) if done.rowcount else None

    def get(self, job: str) -> StoredJob:
        """Return a job. Raises: NoSuchThing."""
        row = self._database.run("SELECT * FROM jobs WHERE id = ?", job).fetchone()
        if row is None:
            raise NoSuchThing("there is no such job; it may have been deleted")
        return _job(row)

    def find(
        self, *, owner: str | None = None, states: Sequence[State] | None = None
    ) -> list[StoredJob]:
        """Return the jobs of an owner, or in some states, or all; the oldest first."""
        conditions, values = ["1"], []
        if owner is not None:
            conditions.append("owner = ?")
            values.append(owner)
        if states is not None:
            conditions.append(f"state IN ({', '.join('?' * len(states))})")
            values += states
        where = " AND ".join(conditions)
        rows = self._database.run(
            f"SELECT * FROM jobs WHERE {where} ORDER BY created, rowid", *values
        )
        return [_job(row) for row in rows]

    def position(self, job: StoredJob) -> int | None:
        """Return a queued job's place in the queue, from 1; None: it is not queued."""
        if job.state is not State.QUEUED:
            return None
        ahead = (  # in the order in which `take` takes them
            "SELECT count(*) FROM jobs WHERE state = 'queued' AND (created, rowid) < "
            "(SELECT created, rowid FROM jobs WHERE id = ?)"
        )
        return int(self._database.run(ahead, job.id).fetchone()[0]) + 1

    def count(self, state: State) -> int:
        """Count the jobs in a state."""
        found = self._database.run("SELECT count(*) FROM jobs WHERE state = ?", state)
        return int(found.fetchone()[0])

    def take(self) -> StoredJob | None:
        """Set the oldest queued job to running and return it; None: no job is queued."""
        row = self._database.run(
            "UPDATE jobs SET state = 'running', started = coalesce(started, ?) WHERE id = "
            "(SELECT id FROM jobs WHERE state = 'queued' ORDER BY created, rowid LIMIT 1) "
            "RETURNING *",
            time.time(),
        ).fetchone()
        return None if row is None else _job(row)

    def move(
        self, job: str, state: State, *, among: Sequence[State] = ALIVE, error: str = ""
    ) -> bool:
        """Change a job's state if it is one of `among`; return whether it was."""
        ended = time.time() if state in ENDED else None
        marks = ", ".join("?" * len(among))
        with self._database.transaction():
            done = self._database.run(
                "UPDATE jobs SET state = ?, ended = ?, error = ? "
                f"WHERE id = ? AND state IN ({marks})",
                state, ended, error, job, *among,
            )  # fmt: skip
            if done.rowcount and state in ENDED:
                self._database.run("DELETE FROM commands WHERE job = ?", job)
        return bool(done.rowcount)

    def count_death(self, job: str) -> None:
        """Count that a worker died while it painted a job."""
        self._database.run("UPDATE jobs SET deaths = deaths + 1 WHERE id = ?", job)

    def reset_deaths(self, job: str) -> None:
        """Set a job's count of dead workers to 0."""
        self._database.run("UPDATE jobs SET deaths = 0 WHERE id = ?", job)

    def report(
        self, job: str, progress: Mapping[str, Any], steps: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        """Store the progress of a job and the numbers of its steps, by their "step"."""
        with self._database.transaction():
            self._database.run(
                "UPDATE jobs SET progress = ? WHERE id = ?", json.dumps(progress), job
            )
            for each in steps:
                self._database.run(
                    "INSERT OR REPLACE INTO steps VALUES (?, ?, ?)",
                    job, each["step"], json.dumps(each),
                )  # fmt: skip

    def steps(self, job: str) -> list[dict[str, Any]]:
        """Return the numbers of all steps of a job."""
        rows = self._database.run("SELECT numbers FROM steps WHERE job = ? ORDER BY step", job)
        return [json.loads(row[0]) for row in rows]

    def delete(self, job: str) -> None:
        """Delete a job and all its files."""
        with self._database.transaction():
            self._database.run("DELETE FROM jobs WHERE id = ?", job)
            self._database.run("DELETE FROM steps WHERE job = ?", job)
            self._database.run("DELETE FROM commands WHERE job = ?", job)
        shutil.rmtree(self.folder(job), ignore_errors=True)

    def folder(self, job: str) -> Path:
        """Return the folder of a job's files, which may not exist yet. Raises: NoSuchThing."""
        return self._folder / checked_id(job)

    def frames_folder(self, job: str) -> Path:
        """Return the folder of a clip's painted frames; the library chooses its name."""
        return self.folder(job) / "result.mp4.frames"


def _job(row: sqlite3.Row) -> StoredJob:
    values = dict(row)
    for name in ("request", "progress"):
        values[name] = json.loads(values[name])
    # Jobs of an earlier version may have former names, and lack settings.
    request = values["request"]
    request["settings"] = Settings.recorded(request.get("settings", {}))
    request["changes"] = Settings.present_names(request.get("changes", {}))
    values["state"] = State(values["state"])
    values["watched"] = bool(values["watched"])
    return StoredJob(**values)
