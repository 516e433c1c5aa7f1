"""The SQLite database of the studio: schema, connections, transactions, ids."""

from __future__ import annotations

import contextlib
import re
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from impasto.studio.jobs.limits import NoSuchThing

__all__ = ["Database", "checked_id", "new_id"]

# 144 bits, so that nobody can guess an id: everyone who knows an id may see the job or picture.
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


class Database:
    """An SQLite file that several threads and processes use at once.

    Args: path: of the file; created if it is missing.

    Raises: sqlite3.Error: the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(_SCHEMA)

    @property
    def _connection(self) -> sqlite3.Connection:
        """This thread's own connection, as SQLite requires."""
        if not hasattr(self._local, "connection"):
            connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous = NORMAL")
            self._local.connection = connection
        return self._local.connection  # type: ignore[no-any-return]

    def run(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Execute one statement, which is a transaction unless it is part of a larger one."""
        return self._connection.execute(sql, values)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Let all statements inside take effect together or not at all."""
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            yield

    def insert(self, table: str, row: Any) -> None:
        """Insert a dataclass whose fields are the columns of a table."""
        values = tuple(vars(row).values())
        self.run(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", *values)

    def close(self) -> None:
        """Close this thread's connection."""
        if hasattr(self._local, "connection"):
            self._local.connection.close()
            del self._local.connection


def new_id() -> str:
    """Return an id that nobody can guess."""
    return secrets.token_urlsafe(18)


def checked_id(name: str) -> str:
    """Return an id that may be part of a path. Raises: NoSuchThing: it is not an id."""
    if not _ID.fullmatch(name):
        raise NoSuchThing("there is no such job, picture or clip")
    return name
