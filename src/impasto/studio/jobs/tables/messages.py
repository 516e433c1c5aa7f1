"""The tables through which server and worker communicate: commands, questions, facts."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from impasto.studio.jobs.tables.database import Database, new_id
from impasto.studio.jobs.tables.rows import Command

__all__ = ["CommandTable", "FactTable", "QuestionTable"]


class CommandTable:
    """Commands for the workers that paint jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job: str, command: Command, **details: Any) -> None:
        """Leave a command for the worker that paints a job."""
        self._database.run(
            "INSERT INTO commands (job, name, details) VALUES (?, ?, ?)",
            job, command, json.dumps(details),
        )  # fmt: skip

    def take(self, job: str) -> tuple[Command, dict[str, Any]] | None:
        """Remove and return the oldest command for a job; None: there is none."""
        if not self.waiting(job):  # reading needs no lock, deleting does
            return None
        row = self._database.run(
            "DELETE FROM commands WHERE number = "
            "(SELECT min(number) FROM commands WHERE job = ?) RETURNING *",
            job,
        ).fetchone()
        return None if row is None else (Command(row["name"]), json.loads(row["details"]))

    def waiting(self, job: str) -> list[Command]:
        """Return the commands for a job that nobody has taken yet, the oldest first."""
        rows = self._database.run("SELECT name FROM commands WHERE job = ? ORDER BY number", job)
        return [Command(row[0]) for row in rows]


class QuestionTable:
    """Questions of the server, which the worker answers: estimates of jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, request: Mapping[str, Any]) -> str:
        """Add a question; return its id."""
        question = new_id()
        self._database.run(
            "INSERT INTO questions VALUES (?, ?, NULL, ?)",
            question, json.dumps(request), time.time(),
        )  # fmt: skip
        return question

    def waiting(self) -> list[tuple[str, dict[str, Any]]]:
        """Return id and request of all unanswered questions, the oldest first."""
        rows = self._database.run("SELECT * FROM questions WHERE answer IS NULL ORDER BY created")
        return [(row["id"], json.loads(row["request"])) for row in rows]

    def answer(self, question: str, answer: Mapping[str, Any]) -> None:
        """Answer a question."""
        self._database.run(
            "UPDATE questions SET answer = ? WHERE id = ?", json.dumps(answer), question
        )

    def take_answer(self, question: str) -> dict[str, Any] | None:
        """Return the answer and delete the question; None: there is no answer yet."""
        row = self._database.run(
            "DELETE FROM questions WHERE id = ? AND answer IS NOT NULL RETURNING answer", question
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def delete(self, question: str) -> None:
        """Delete a question, answered or not."""
        self._database.run("DELETE FROM questions WHERE id = ?", question)


class FactTable:
    """Values by name, such as the pace of this machine."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> Any:
        """Return a value; None: there is none of this name."""
        row = self._database.run("SELECT fact FROM facts WHERE name = ?", name).fetchone()
        return None if row is None else json.loads(row[0])

    def set(self, name: str, fact: Any) -> None:
        """Set a value."""
        self._database.run("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, json.dumps(fact))
