"""The worker: a process of its own that paints one job after the other.

`python -m impasto.studio.worker.worker FOLDER LIMITS`, with its standard input open for as long as
the server lives. It takes jobs and commands from the store, and puts down there what it does;
whatever happens to it, the server answers on.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from impasto.errors import DivergenceError, ImpastoError
from impasto.machine import keep_freed_memory, out_of_memory
from impasto.painting.timing import Pace
from impasto.studio.jobs.limits import Limits, StudioError
from impasto.studio.jobs.rows import StoredJob
from impasto.studio.jobs.store import Store
from impasto.studio.worker.checkpoints import Run, plan_run
from impasto.studio.worker.estimates import answer_questions, learn, seconds_of
from impasto.studio.worker.interrupts import IDLE, Leaving, Manners, wake
from impasto.studio.worker.job_log import Logbook
from impasto.studio.worker.picture_log import Easel

__all__ = ["main", "paint_job", "work"]

_NICE = 10  # the page and whatever else the machine does come first


def main() -> None:
    """Work until the server goes."""
    folder, limits = Path(sys.argv[1]), Limits(**json.loads(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server
    with contextlib.suppress(AttributeError, OSError):
        os.nice(_NICE)
    going = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=(going,), daemon=True).start()
    keep_freed_memory()
    work(Store(folder), going, limits)


def _wait_for_the_end(going: threading.Event) -> None:
    sys.stdin.buffer.read()  # until the server closes it, or dies
    going.set()


def work(store: Store, going: threading.Event, limits: Limits) -> None:
    """Paint what waits, until it is time to go.

    Args: going: set when it is.
    """
    from impasto.network.kernel import compiled_kernel

    compiled_kernel()  # now, and not when the first job waits for it
    while not going.is_set():
        wake(store)
        row = store.take()
        if row is not None:
            paint_job(store, row, going, limits)
        elif not answer_questions(store, idle=True):
            going.wait(IDLE)


def paint_job(store: Store, row: StoredJob, going: threading.Event, limits: Limits) -> None:
    """Paint a job to its end, or as far as it may go; whatever is wrong with it is noted."""
    try:
        if row.kind in ("video", "preview"):
            _paint_clip(store, row, going, limits)
        else:
            _paint_picture(store, row, going, limits)
    except ImpastoError as error:
        store.move(row.id, "failed", error=" ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001  (the next job is to be painted all the same)
        traceback.print_exc()
        store.move(row.id, "failed", error=_words(error))


def _words(error: Exception) -> str:
    if out_of_memory(error):
        return "it does not fit into this machine's memory; try a smaller size"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; free some space, and resume"
    return f"unexpectedly: {type(error).__name__}: {error}"


def _paint_clip(store: Store, row: StoredJob, going: threading.Event, limits: Limits) -> None:
    from impasto.studio.worker.clip_estimates import learn_clip
    from impasto.studio.worker.clip_job import paint_film, paint_sheet

    logbook = Logbook(store, row, row.progress.get("seconds", 0.0))
    manners = Manners(logbook, going, limits.max_time)
    if row.kind == "preview":
        paint_sheet(store, row, manners)
    else:
        paint_film(store, row, manners, limits)
    if _is_telling(store, row):
        learn_clip(row.request, logbook.seconds, store)


def _paint_picture(store: Store, row: StoredJob, going: threading.Event, limits: Limits) -> None:
    easel = Easel(store, row)
    changed = row.progress.get("changed", {})
    request = {**row.request, "settings": {**row.request["settings"], **changed}}
    run = easel.run = plan_run(request, store)
    if run.size[0] * run.size[1] > limits.max_pixels:
        raise StudioError(
            f"{run.size[1]} x {run.size[0]} px are more than the {limits.max_pixels} px that the "
            "studio allows"
        )
    _paint(store, row, easel, Manners(easel, going, limits.max_time))
    if easel.run.pace is not None and _is_telling(store, row):
        run = easel.run

        def expected(pace: Pace) -> float:
            return seconds_of(run.works, run.seen, pace)

        learn(run.settings, easel.seconds, expected, store)


def _is_telling(store: Store, row: StoredJob) -> bool:
    """Tell whether a job was painted in one go to its end, so that its time says something."""
    ended = store.job(row.id)
    return ended.state == "done" and not ended.error and "continued" not in ended.progress


def _paint(store: Store, row: StoredJob, easel: Easel, manners: Manners) -> None:
    if easel.last is not None:
        easel.note_break("an interruption")
    run_from = easel.last
    state, error = "done", ""
    while True:
        try:
            for step in easel.run.steps(run_from):
                easel.watch(step)
                manners.attend()
            break
        except DivergenceError as diverged:
            if easel.last is None:
                raise
            state, error = "stopped", str(diverged)
            break
        except Leaving as leaving:
            if leaving.how == "change":
                easel.run = _changed(easel, leaving.details)
                run_from = easel.last
                continue
            if leaving.how in ("go", "park"):  # taken up again later
                easel.put_down()
                return
            if leaving.how == "cancel":
                store.move(row.id, "cancelled")
                easel.report()
                return
            state, error = "stopped", leaving.reason
            break
    easel.show()
    image = None if easel.last is None else easel.last.image
    easel.finish(easel.run.finish(image, easel.history, state == "done"))
    store.move(row.id, state, error=error)  # type: ignore[arg-type]


def _changed(easel: Easel, details: Mapping[str, Any]) -> Run:
    """Return the run with other weights, and note them."""
    easel.note_break("a change", **details)
    changed = easel.run.change(details)
    easel.facts["changed"] = {**easel.facts.get("changed", {}), **details}
    easel.put_down()
    return changed


if __name__ == "__main__":
    main()
