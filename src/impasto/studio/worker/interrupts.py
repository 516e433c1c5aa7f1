"""Interruptions of a job: commands, the time limit, a pause, the end of the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from impasto.studio.jobs.store import Store
from impasto.studio.worker.job_log import JobLog

__all__ = ["IDLE", "Interrupted", "Interrupts", "requeue_paused"]

IDLE = 0.05  # seconds between two looks into the store


class Interrupted(Exception):  # noqa: N818  (not an error)
    """Raised to leave the loop over the steps of a job.

    Attributes:
        how: stop (and keep), cancel, change; or go, park: it is taken up again later.
        details: details of the command.
    """

    def __init__(self, how: str, **details: Any) -> None:
        super().__init__(how)
        self.how = how
        self.details = details

    @property
    def reason(self) -> str:
        """Why the job was stopped, for people; "" if a person stopped it."""
        return str(self.details.get("reason", ""))


class Interrupts:
    """Checks between two steps whether a job has to be interrupted.

    Args:
        log: log of the job.
        going: set when the worker has to end.
        max_time: see `Limits`.
        answer: answers the questions that wait, and returns whether there were any. Its argument
            `idle` says whether there is time to measure.
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
            raise Interrupted("go")
        if self.log.seconds > self.max_time:
            raise Interrupted("stop", reason=f"stopped at its time limit of {self.max_time:g} s")
        self.answer(idle=False)
        requeue_paused(self.store)

    def _obey_commands(self) -> None:
        while (command := self.store.take_command(self.job)) is not None:
            name, details = command
            if name == "pause":
                self._pause()
            elif name in ("stop", "cancel", "change"):
                raise Interrupted(name, **details)

    def _pause(self) -> None:
        """Wait for a command. Raises: Interrupted: another job waits, or the worker has to end."""
        self.log.save_checkpoint()
        if not self.store.move(self.job, "paused", among=("running",)):
            return
        self.log.stop_clock()
        while True:
            if self.going.is_set():
                raise Interrupted("go")
            names = self.store.waiting_commands(self.job)
            if names and names[0] == "pause":  # it is paused already
                self.store.take_command(self.job)
            elif names:
                break
            if self.store.count("queued"):
                raise Interrupted("park")
            if not self.answer(idle=True):
                time.sleep(IDLE)
        self.log.start_clock()
        self.store.move(self.job, "running", among=("paused",))


def requeue_paused(store: Store) -> None:
    """Obey the commands for paused jobs that no worker holds: cancel them or queue them again."""
    for row in store.jobs(states=("paused",)):
        names = store.waiting_commands(row.id)
        if "cancel" in names:
            store.move(row.id, "cancelled", among=("paused",))
        elif set(names) - {"pause"}:  # the next worker obeys them
            store.move(row.id, "queued", among=("paused",))
