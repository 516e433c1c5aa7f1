"""How a job is interrupted: by commands, the time limit, a pause, or the server's end."""

from __future__ import annotations

import threading
import time
from typing import Any

from impasto.studio.jobs.store import Store
from impasto.studio.worker.estimates import answer_questions
from impasto.studio.worker.job_log import Logbook

__all__ = ["Leaving", "Manners", "wake"]

IDLE = 0.05  # seconds between two looks into the store


class Leaving(Exception):  # noqa: N818  (no error: how a run is left)
    """The run is left: by a command, or because the server is gone.

    Attributes:
        how: stop (and keep), cancel, change; or go, park: it is taken up again later.
        details: of a command.
    """

    def __init__(self, how: str, **details: Any) -> None:
        super().__init__(how)
        self.how = how
        self.details = details

    @property
    def reason(self) -> str:
        """Why the job was stopped, in words; "" where somebody wanted it."""
        return str(self.details.get("reason", ""))


class Manners:
    """What a painter attends to between two steps.

    Args:
        logbook: of the job.
        going: set when the worker is to go.
        max_time: see `Limits`.
    """

    def __init__(self, logbook: Logbook, going: threading.Event, max_time: float) -> None:
        self.logbook = logbook
        self.store = logbook.store
        self.job = logbook.job
        self.going = going
        self.max_time = max_time

    def attend(self) -> None:
        """See to what came up since the last step. Raises: Leaving."""
        self._obey()
        if self.going.is_set():
            raise Leaving("go")
        if self.logbook.seconds > self.max_time:
            raise Leaving("stop", reason=f"stopped at its time limit of {self.max_time:g} s")
        answer_questions(self.store, idle=False)
        wake(self.store)

    def _obey(self) -> None:
        while (command := self.store.take_command(self.job)) is not None:
            name, details = command
            if name == "pause":
                self._pause()
            elif name in ("stop", "cancel", "change"):
                raise Leaving(name, **details)

    def _pause(self) -> None:
        """Wait for a command; if another job waits meanwhile, make way for it."""
        self.logbook.put_down()
        if not self.store.move(self.job, "paused", among=("running",)):
            return
        self.logbook.rest()
        while True:
            if self.going.is_set():
                raise Leaving("go")
            names = self.store.waiting_commands(self.job)
            if names and names[0] == "pause":  # once more
                self.store.take_command(self.job)
            elif names:
                break
            if self.store.count("queued"):
                raise Leaving("park")
            if not answer_questions(self.store, idle=True):
                time.sleep(IDLE)
        self.logbook.wake()
        self.store.move(self.job, "running", among=("paused",))


def wake(store: Store) -> None:
    """See to the commands for paused jobs that no worker holds."""
    for row in store.jobs(states=("paused",)):
        names = store.waiting_commands(row.id)
        if "cancel" in names:
            store.move(row.id, "cancelled", among=("paused",))
        elif set(names) - {"pause"}:  # which are seen to when it is painted again
            store.move(row.id, "queued", among=("paused",))
