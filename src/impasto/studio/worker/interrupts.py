"""Interruptions of a job: commands, the time limit, a pause, the end of the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

from impasto.studio.jobs.store import Store
from impasto.studio.jobs.tables.rows import Command, State
from impasto.studio.worker.job_log import JobLog

__all__ = ["IDLE", "Cause", "Interrupted", "Interrupts", "Outcome", "requeue_paused"]

IDLE = 0.05  # seconds between two queries of the store


class Cause(StrEnum):
    """Cause of an interruption; three of them are commands."""

    SHUTDOWN = "shutdown"  # the worker has to end
    PREEMPTED = "preempted"  # the job is paused, and another one waits
    STOP = Command.STOP
    CANCEL = Command.CANCEL
    CHANGE = Command.CHANGE


class Outcome(NamedTuple):
    """How the painting of a job ended.

    Attributes:
        state: the job's new state; None: unchanged, because a worker will resume the job.
        error: the reason why it was stopped, in words; "": it was finished, or a person stopped it.
    """

    state: State | None
    error: str = ""


class Interrupted(Exception):  # noqa: N818  (not an error)
    """Is raised to leave the loop over the steps of a job.

    Attributes:
        details: the details of the command.
    """

    def __init__(self, cause: Cause, **details: Any) -> None:
        super().__init__(cause)
        self.cause = cause
        self.details = details

    @property
    def outcome(self) -> Outcome:
        """The outcome of the job, if it cannot continue."""
        if self.cause in (Cause.SHUTDOWN, Cause.PREEMPTED):
            return Outcome(None)
        if self.cause is Cause.CANCEL:
            return Outcome(State.CANCELLED)
        return Outcome(State.STOPPED, str(self.details.get("reason", "")))


class Interrupts:
    """Checks between two steps whether a job has to be interrupted.

    Args:
        log: log of the job.
        going: is set when the worker has to end.
        max_time: see `Limits`.
        answer: a function that answers the waiting questions, and returns whether there were any.
            Its argument `idle` says whether there is time to measure.
    """

    def __init__(
        self, log: JobLog, going: threading.Event, max_time: float, answer: Callable[..., bool]
    ) -> None:
        self.log = log
        self.store = log.store
        self.job = log.job
        self.going = going
        self.max_time = max_time
        self.answer = answer

    def check(self) -> None:
        """Obey commands and limits, and answer questions. Raises: Interrupted."""
        self._obey_commands()
        if self.going.is_set():
            raise Interrupted(Cause.SHUTDOWN)
        if self.log.seconds > self.max_time:
            reason = f"stopped at the time limit of the studio, {self.max_time:g} s"
            raise Interrupted(Cause.STOP, reason=reason)
        self.answer(idle=False)
        requeue_paused(self.store)

    def _obey_commands(self) -> None:
        while (command := self.store.commands.take(self.job)) is not None:
            name, details = command
            if name == Command.PAUSE:
                self._pause()
            elif name != Command.RESUME:
                raise Interrupted(Cause(name), **details)

    def _pause(self) -> None:
        """Wait for a command. Raises: Interrupted: another job waits, or the worker has to end."""
        self.log.save_checkpoint()
        if not self.store.jobs.move(self.job, State.PAUSED, among=(State.RUNNING,)):
            return
        self.log.stop_clock()
        while True:
            if self.going.is_set():
                raise Interrupted(Cause.SHUTDOWN)
            names = self.store.commands.waiting(self.job)
            if names and names[0] == Command.PAUSE:  # it is paused already
                self.store.commands.take(self.job)
            elif names:
                break
            if self.store.jobs.count(State.QUEUED):
                raise Interrupted(Cause.PREEMPTED)
            if not self.answer(idle=True):
                time.sleep(IDLE)
        self.log.start_clock()
        self.store.jobs.move(self.job, State.RUNNING, among=(State.PAUSED,))


def requeue_paused(store: Store) -> None:
    """Obey the commands for paused jobs without a worker: cancel the jobs, or queue them again."""
    for row in store.jobs.find(states=(State.PAUSED,)):
        names = store.commands.waiting(row.id)
        if Command.CANCEL in names:
            store.jobs.move(row.id, State.CANCELLED, among=(State.PAUSED,))
        elif set(names) - {Command.PAUSE}:  # the next worker obeys them
            store.jobs.move(row.id, State.QUEUED, among=(State.PAUSED,))
