"""The worker: a process of its own that paints one job after the other.

`python -m impasto.apps.studio.worker FOLDER MAX_PIXELS MAX_TIME`, with its standard input open for
as long as the server lives. It takes jobs and commands from the store, and puts down there what it
does; whatever happens to it, the server answers on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from impasto.apps.studio.answers import answer_questions
from impasto.apps.studio.easel import Easel
from impasto.apps.studio.limits import StudioError
from impasto.apps.studio.runs import Run, plan_run
from impasto.apps.studio.store import Store, StoredJob
from impasto.errors import DivergenceError, ImpastoError, out_of_memory
from impasto.machine import keep_freed_memory

__all__ = ["main", "paint_job", "work"]

_IDLE = 0.05  # seconds between two looks into the store
_NICE = 10  # the page and whatever else the machine does come first


class Leaving(Exception):  # noqa: N818  (no error: how a run is left)
    """The run is left: by a command, or because the server is gone."""

    def __init__(self, how: str, **details: Any) -> None:
        super().__init__(how)
        self.how = how
        self.details = details


def main() -> None:
    """Work until the server goes."""
    folder, max_pixels, max_time = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server
    with contextlib.suppress(AttributeError, OSError):
        os.nice(_NICE)
    going = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=(going,), daemon=True).start()
    keep_freed_memory()
    work(Store(folder), going, max_pixels=max_pixels, max_time=max_time)


def _wait_for_the_end(going: threading.Event) -> None:
    sys.stdin.buffer.read()  # until the server closes it, or dies
    going.set()


def work(store: Store, going: threading.Event, *, max_pixels: int, max_time: float) -> None:
    """Paint what waits, until it is time to go.

    Args:
        going: set when it is.
        max_pixels, max_time: see `Limits`.
    """
    from impasto.kernel import compiled_kernel

    compiled_kernel()  # now, and not when the first job waits for it
    while not going.is_set():
        wake(store)
        row = store.take()
        if row is not None:
            paint_job(store, row, going, max_pixels=max_pixels, max_time=max_time)
        elif not answer_questions(store, idle=True):
            going.wait(_IDLE)


def wake(store: Store) -> None:
    """See to the commands for paused jobs that no worker holds."""
    for row in store.jobs(states=("paused",)):
        names = store.waiting_commands(row.id)
        if "cancel" in names:
            store.move(row.id, "cancelled", among=("paused",))
        elif set(names) - {"pause"}:  # which are seen to when it is painted again
            store.move(row.id, "queued", among=("paused",))


def paint_job(
    store: Store,
    row: StoredJob,
    going: threading.Event,
    *,
    max_pixels: int,
    max_time: float,
) -> None:
    """Paint a job to its end, or as far as it may go; whatever is wrong with it is noted."""
    try:
        easel = Easel(store, row)
        changed = row.progress.get("changed", {})
        request = {**row.request, "settings": {**row.request["settings"], **changed}}
        run = plan_run(request, store)
        if run.size[0] * run.size[1] > max_pixels:
            raise StudioError(
                f"{run.size[1]} x {run.size[0]} px are more than the {max_pixels} px that the "
                "studio allows"
            )
        _paint(store, row, easel, run, _Manners(store, row.id, going, max_time))
    except ImpastoError as error:
        store.move(row.id, "failed", error=" ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001  (the next job is to be painted all the same)
        traceback.print_exc()
        words = (
            "it does not fit into this machine's memory; try a smaller size"
            if out_of_memory(error)
            else f"unexpectedly: {type(error).__name__}: {error}"
        )
        store.move(row.id, "failed", error=words)


def _paint(store: Store, row: StoredJob, easel: Easel, run: Run, manners: _Manners) -> None:
    if easel.last is not None:
        easel.note("an interruption")
        run_from = easel.last
    else:
        run_from = None
    state, error = "done", ""
    while True:
        try:
            for step in run.steps(run_from):
                easel.watch(step, run)
                manners.attend(easel, run)
            break
        except DivergenceError as diverged:
            if easel.last is None:
                raise
            state, error = "stopped", str(diverged)
            break
        except Leaving as leaving:
            if leaving.how == "change":
                run = _changed(easel, run, leaving.details)
                run_from = easel.last
                continue
            if leaving.how in ("go", "park"):  # taken up again later
                easel.show(run, checkpoint=True)
                return
            if leaving.how == "cancel":
                store.move(row.id, "cancelled")
                easel.report()
                return
            state, error = "stopped", leaving.details.get("reason", "")
            break
    easel.show(run)
    image = None if easel.last is None else easel.last.image
    easel.finish(run.finish(image, easel.history, state == "done"))
    store.move(row.id, state, error=error)  # type: ignore[arg-type]


def _changed(easel: Easel, run: Run, details: Mapping[str, Any]) -> Run:
    """Return the run with other weights, and note them."""
    easel.note("a change", **details)
    changed = run.change(details)
    easel.facts["changed"] = {**easel.facts.get("changed", {}), **details}
    easel.show(run, checkpoint=True)
    return changed


class _Manners:
    """How a run is interrupted: by commands, the time limit, a pause, or the server's end."""

    def __init__(self, store: Store, job: str, going: threading.Event, max_time: float) -> None:
        self.store = store
        self.job = job
        self.going = going
        self.max_time = max_time

    def attend(self, easel: Easel, run: Run) -> None:
        """See to what came up since the last step. Raises: Leaving."""
        self._obey(easel, run)
        if self.going.is_set():
            raise Leaving("go")
        if easel.seconds > self.max_time:
            raise Leaving("stop", reason=f"stopped at its time limit of {self.max_time:g} s")
        answer_questions(self.store, idle=False)
        wake(self.store)

    def _obey(self, easel: Easel, run: Run) -> None:
        while (command := self.store.take_command(self.job)) is not None:
            name, details = command
            if name == "pause":
                self._pause(easel, run)
            elif name in ("stop", "cancel", "change"):
                raise Leaving(name, **details)

    def _pause(self, easel: Easel, run: Run) -> None:
        """Wait for a command; if another job waits meanwhile, make way for it."""
        easel.show(run, checkpoint=True)
        if not self.store.move(self.job, "paused", among=("running",)):
            return
        easel.rest()
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
                time.sleep(_IDLE)
        easel.wake()
        self.store.move(self.job, "running", among=("paused",))


if __name__ == "__main__":
    main()
