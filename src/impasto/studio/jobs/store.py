"""What a studio remembers: jobs, their steps and commands in SQLite, pictures as files beside it.

    FOLDER/studio.db              everything but pictures and clips
    FOLDER/pictures/ID.png        uploads, re-encoded
    FOLDER/clips/ID.clip .jpg     uploads, never given out, and their first frames, which are
    FOLDER/jobs/ID/               preview.jpg, checkpoint.npz, frames/, result.png .jpg .tiff .mp4

Server and worker share it and talk through nothing else, so either may die at any moment. Every
change is one transaction, and an ended job never changes its state again.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from impasto.studio.jobs.limits import NoSuchThing, StudioError
from impasto.studio.jobs.rows import (
    ALIVE,
    ENDED,
    Command,
    State,
    StoredClip,
    StoredJob,
    StoredPicture,
)

__all__ = ["Store", "new_id"]

# 144 bits: cannot be guessed, so that knowing an id is being allowed to see what it names.
_ID = re.compile(r"[A-Za-z0-9_-]{24}")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, kind TEXT NOT NULL, request TEXT NOT NULL,
    state TEXT NOT NULL, created REAL NOT NULL, started REAL, ended REAL,
    progress TEXT NOT NULL DEFAULT '{}', error TEXT NOT NULL DEFAULT '',
    deaths INTEGER NOT NULL DEFAULT 0, watched INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, created);
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, created);
CREATE TABLE IF NOT EXISTS steps (
    job TEXT NOT NULL, step INTEGER NOT NULL, numbers TEXT NOT NULL, PRIMARY KEY (job, step)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commands (
    number INTEGER PRIMARY KEY, job TEXT NOT NULL, name TEXT NOT NULL, details TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS pictures (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, dpi REAL, suffix TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS clips (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, width INTEGER NOT NULL,
    height INTEGER NOT NULL, frames INTEGER, seconds REAL, rate REAL NOT NULL,
    sound INTEGER NOT NULL, created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS questions (
    id TEXT PRIMARY KEY, request TEXT NOT NULL, answer TEXT, created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, fact TEXT NOT NULL);
"""


def new_id() -> str:
    """Return a name that nobody can guess."""
    return secrets.token_urlsafe(18)


class Store:
    """A studio's memory.

    Args: folder: where it is; made, for this user only, if it is not there.

    Raises: StudioError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._local = threading.local()
        try:
            for each in (folder, folder / "pictures", folder / "clips", folder / "jobs"):
                each.mkdir(parents=True, exist_ok=True, mode=0o700)
            connection = self._connection()
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StudioError(
                f"{folder}: the studio cannot keep its data there: {error}"
            ) from error

    def _connection(self) -> sqlite3.Connection:
        """Return this thread's own connection, as SQLite wants it."""
        if not hasattr(self._local, "connection"):
            connection = sqlite3.connect(
                self.folder / "studio.db", timeout=30, isolation_level=None
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous = NORMAL")
            self._local.connection = connection
        return self._local.connection  # type: ignore[no-any-return]

    def _run(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._connection().execute(sql, values)

    def _insert(self, table: str, row: StoredPicture | StoredClip) -> None:
        values = tuple(vars(row).values())
        self._run(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", *values)

    def close(self) -> None:
        """Close this thread's connection."""
        if hasattr(self._local, "connection"):
            self._local.connection.close()
            del self._local.connection

    # ---- jobs -----------------------------------------------------------------------------------

    def add_job(
        self, owner: str, kind: str, request: Mapping[str, Any], *, watched: bool, most: int
    ) -> StoredJob | None:
        """Queue a job, unless as many as `most` wait already: then None."""
        job = new_id()
        # One statement, so that two who ask at once cannot both take the last place.
        done = self._run(
            "INSERT INTO jobs (id, owner, kind, request, state, created, watched) "
            "SELECT ?, ?, ?, ?, 'queued', ?, ? "
            "WHERE (SELECT count(*) FROM jobs WHERE state = 'queued') < ?",
            job, owner, kind, json.dumps(request), time.time(), watched, most,
        )  # fmt: skip
        return self.job(job) if done.rowcount else None

    def job(self, job: str) -> StoredJob:
        """Return a job. Raises: NoSuchThing."""
        row = self._run("SELECT * FROM jobs WHERE id = ?", job).fetchone()
        if row is None:
            raise NoSuchThing("there is no such job; it may have been cleaned up")
        return _job(row)

    def jobs(
        self, *, owner: str | None = None, states: Sequence[State] | None = None
    ) -> list[StoredJob]:
        """List jobs, the oldest first."""
        conditions, values = ["1"], []
        if owner is not None:
            conditions.append("owner = ?")
            values.append(owner)
        if states is not None:
            conditions.append(f"state IN ({', '.join('?' * len(states))})")
            values += states
        where = " AND ".join(conditions)
        rows = self._run(f"SELECT * FROM jobs WHERE {where} ORDER BY created, rowid", *values)
        return [_job(row) for row in rows]

    def position(self, job: StoredJob) -> int | None:
        """Return a waiting job's place in the queue, from 1; None: it does not wait."""
        if job.state != State.QUEUED:
            return None
        ahead = "SELECT count(*) FROM jobs WHERE state = 'queued' AND created < ?"
        return int(self._run(ahead, job.created).fetchone()[0]) + 1

    def count(self, state: State) -> int:
        """Count the jobs in a state."""
        return int(self._run("SELECT count(*) FROM jobs WHERE state = ?", state).fetchone()[0])

    def take(self) -> StoredJob | None:
        """Begin the oldest waiting job; None: nobody waits."""
        row = self._run(
            "UPDATE jobs SET state = 'running', started = coalesce(started, ?) WHERE id = "
            "(SELECT id FROM jobs WHERE state = 'queued' ORDER BY created, rowid LIMIT 1) "
            "RETURNING *",
            time.time(),
        ).fetchone()
        return None if row is None else _job(row)

    def move(
        self, job: str, state: State, *, among: Sequence[State] = ALIVE, error: str = ""
    ) -> bool:
        """Change a job's state, if it is in one of some others; tell whether it was."""
        ended = time.time() if state in ENDED else None
        marks = ", ".join("?" * len(among))
        done = self._run(
            f"UPDATE jobs SET state = ?, ended = ?, error = ? WHERE id = ? AND state IN ({marks})",
            state, ended, error, job, *among,
        )  # fmt: skip
        if done.rowcount and state in ENDED:
            self._run("DELETE FROM commands WHERE job = ?", job)
        return bool(done.rowcount)

    def blame(self, job: str) -> None:
        """Count that a worker died while it painted a job."""
        self._run("UPDATE jobs SET deaths = deaths + 1 WHERE id = ?", job)

    def forgive(self, job: str) -> None:
        """Forget that workers died while they painted a job."""
        self._run("UPDATE jobs SET deaths = 0 WHERE id = ?", job)

    def report(
        self, job: str, progress: Mapping[str, Any], steps: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        """Note how far a job is, and the numbers of steps by their "step"."""
        connection = self._connection()
        rows = [(job, each["step"], json.dumps(each)) for each in steps]
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            connection.execute(
                "UPDATE jobs SET progress = ? WHERE id = ?", (json.dumps(progress), job)
            )
            connection.executemany("INSERT OR REPLACE INTO steps VALUES (?, ?, ?)", rows)

    def steps(self, job: str) -> list[dict[str, Any]]:
        """Return the numbers of all steps of a job that were noted."""
        rows = self._run("SELECT numbers FROM steps WHERE job = ? ORDER BY step", job)
        return [json.loads(row[0]) for row in rows]

    def forget(self, job: str) -> None:
        """Delete a job and all its files."""
        self._run("DELETE FROM jobs WHERE id = ?", job)
        self._run("DELETE FROM steps WHERE job = ?", job)
        self._run("DELETE FROM commands WHERE job = ?", job)
        shutil.rmtree(self.job_folder(job), ignore_errors=True)

    def job_folder(self, job: str) -> Path:
        """Return where a job's files are, whether or not there are any."""
        return self.folder / "jobs" / _checked(job)

    def frames_folder(self, job: str) -> Path:
        """Return where the frames of a clip are until they are one; the library's own choice."""
        return self.job_folder(job) / "result.mp4.frames"

    # ---- commands -------------------------------------------------------------------------------

    def tell(self, job: str, command: Command, **details: Any) -> None:
        """Leave a command for the worker that paints a job."""
        self._run(
            "INSERT INTO commands (job, name, details) VALUES (?, ?, ?)",
            job, command, json.dumps(details),
        )  # fmt: skip

    def take_command(self, job: str) -> tuple[Command, dict[str, Any]] | None:
        """Take the oldest command for a job; None: there is none."""
        if not self.waiting_commands(job):  # reading disturbs nobody, deleting waits for others
            return None
        row = self._run(
            "DELETE FROM commands WHERE number = "
            "(SELECT min(number) FROM commands WHERE job = ?) RETURNING *",
            job,
        ).fetchone()
        return None if row is None else (Command(row["name"]), json.loads(row["details"]))

    def waiting_commands(self, job: str) -> list[Command]:
        """Return the names of the commands for a job that were not taken yet."""
        rows = self._run("SELECT name FROM commands WHERE job = ? ORDER BY number", job)
        return [Command(row[0]) for row in rows]

    # ---- pictures -------------------------------------------------------------------------------

    def add_picture(self, picture: StoredPicture) -> StoredPicture:
        """Note a picture whose file is written already."""
        self._insert("pictures", picture)
        return picture

    def picture(self, picture: str) -> StoredPicture:
        """Return a picture. Raises: NoSuchThing."""
        row = self._run("SELECT * FROM pictures WHERE id = ?", picture).fetchone()
        if row is None:
            raise NoSuchThing("there is no such picture; it may have been cleaned up")
        return StoredPicture(**dict(row))

    def pictures(self) -> list[StoredPicture]:
        """List all pictures, the oldest first."""
        rows = self._run("SELECT * FROM pictures ORDER BY created")
        return [StoredPicture(**dict(row)) for row in rows]

    def picture_file(self, picture: StoredPicture) -> Path:
        """Return the file of a picture."""
        return self.folder / "pictures" / f"{_checked(picture.id)}{picture.suffix}"

    def forget_picture(self, picture: StoredPicture) -> None:
        """Delete a picture and its file."""
        self._run("DELETE FROM pictures WHERE id = ?", picture.id)
        self.picture_file(picture).unlink(missing_ok=True)

    # ---- clips ----------------------------------------------------------------------------------

    def add_clip(self, clip: StoredClip) -> StoredClip:
        """Note a clip whose files are written already."""
        self._insert("clips", clip)
        return clip

    def clip(self, clip: str) -> StoredClip:
        """Return a clip. Raises: NoSuchThing."""
        row = self._run("SELECT * FROM clips WHERE id = ?", clip).fetchone()
        if row is None or not self.clip_file(clip).is_file():
            raise NoSuchThing("there is no such clip; it may have been cleaned up")
        return StoredClip(**dict(row))

    def clips(self) -> list[StoredClip]:
        """List all clips, the oldest first."""
        rows = self._run("SELECT * FROM clips ORDER BY created")
        return [StoredClip(**dict(row)) for row in rows]

    def clip_file(self, clip: str, suffix: str = ".clip") -> Path:
        """Return the file of a clip, or with .jpg of its first frame.

        A suffix that says nothing: FFmpeg is to take a file for what it is, not for its name.
        """
        return self.folder / "clips" / f"{_checked(clip)}{suffix}"

    def forget_clip(self, clip: str) -> None:
        """Delete a clip and its files."""
        self._run("DELETE FROM clips WHERE id = ?", clip)
        for suffix in (".clip", ".jpg"):
            self.clip_file(clip, suffix).unlink(missing_ok=True)

    # ---- questions and facts --------------------------------------------------------------------

    def ask(self, request: Mapping[str, Any]) -> str:
        """Leave a question for the worker; return its id."""
        question = new_id()
        self._run(
            "INSERT INTO questions VALUES (?, ?, NULL, ?)",
            question, json.dumps(request), time.time(),
        )  # fmt: skip
        return question

    def questions(self) -> list[tuple[str, dict[str, Any]]]:
        """List the questions that nobody has answered."""
        rows = self._run("SELECT * FROM questions WHERE answer IS NULL ORDER BY created")
        return [(row["id"], json.loads(row["request"])) for row in rows]

    def answer(self, question: str, answer: Mapping[str, Any]) -> None:
        """Answer a question."""
        self._run("UPDATE questions SET answer = ? WHERE id = ?", json.dumps(answer), question)

    def take_answer(self, question: str) -> dict[str, Any] | None:
        """Return the answer to a question, once; None: there is none yet."""
        row = self._run(
            "DELETE FROM questions WHERE id = ? AND answer IS NOT NULL RETURNING answer", question
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def drop_question(self, question: str) -> None:
        """Forget a question, answered or not."""
        self._run("DELETE FROM questions WHERE id = ?", question)

    def fact(self, name: str) -> Any:
        """Return what was remembered under a name; None: nothing."""
        row = self._run("SELECT fact FROM facts WHERE name = ?", name).fetchone()
        return None if row is None else json.loads(row[0])

    def remember(self, name: str, fact: Any) -> None:
        """Remember a fact under a name."""
        self._run("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, json.dumps(fact))


def _job(row: sqlite3.Row) -> StoredJob:
    values = dict(row)
    values["request"], values["progress"] = (
        json.loads(values["request"]), json.loads(values["progress"])
    )  # fmt: skip
    values["state"] = State(values["state"])
    values["watched"] = bool(values["watched"])
    return StoredJob(**values)


def _checked(name: str) -> str:
    """Return an id that may be part of a path. Raises: NoSuchThing: it is not one of ours."""
    if not _ID.fullmatch(name):
        raise NoSuchThing("there is no such job, picture or clip")
    return name
