"""The worker: a separate process that paints one job after the other.

The server starts it as `python -m impasto.studio.worker.worker FOLDER LIMITS`, and keeps its
standard input open. When the input closes, the worker ends. It takes jobs and commands from the
store, and writes progress and results into it. If it crashes, the server still answers requests.
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
from functools import partial
from pathlib import Path

from impasto.errors import ImpastoError
from impasto.kernels.kernel import compiled_kernel
from impasto.machine import keep_freed_memory, out_of_memory
from impasto.painting.timing import Pace
from impasto.studio.jobs.limits import Limits, StudioError
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.tables.rows import State, StoredJob
from impasto.studio.worker.checkpoints import plan_run
from impasto.studio.worker.clip_estimates import learn_clip_pace
from impasto.studio.worker.clip_job import paint_clip, paint_sheet
from impasto.studio.worker.estimates import answer_questions
from impasto.studio.worker.interrupts import IDLE, Interrupts, requeue_paused
from impasto.studio.worker.job_log import JobLog
from impasto.studio.worker.paces import learn_pace, total_seconds
from impasto.studio.worker.picture_job import PictureLog, paint_picture

__all__ = ["main", "paint_job", "work"]

_NICE = 10  # a lower priority than that of the server and of other programs


def main() -> None:
    """Work until the server ends."""
    folder, limits = Path(sys.argv[1]), Limits(**json.loads(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server handles Ctrl-C
    with contextlib.suppress(AttributeError, OSError):
        os.nice(_NICE)
    going = threading.Event()
    threading.Thread(target=_wait_for_server_end, args=(going,), daemon=True).start()
    keep_freed_memory()
    work(Store(folder), going, limits)


def _wait_for_server_end(going: threading.Event) -> None:
    sys.stdin.buffer.read()  # returns when the server closes it, or dies
    going.set()


def work(store: Store, going: threading.Event, limits: Limits) -> None:
    """Paint the queued jobs until `going` is set."""
    compiled_kernel()  # compiles it now, so that the first job does not wait for it
    while not going.is_set():
        requeue_paused(store)
        row = store.jobs.take()
        if row is not None:
            paint_job(store, row, going, limits)
        elif not answer_questions(store, idle=True):
            going.wait(IDLE)


def paint_job(store: Store, row: StoredJob, going: threading.Event, limits: Limits) -> None:
    """Paint a job to its end, or until an interruption. An error ends the job as failed."""
    try:
        if row.kind in ("video", "preview"):
            _paint_clip(store, row, going, limits)
        else:
            _paint_picture(store, row, going, limits)
    except ImpastoError as error:
        store.jobs.move(row.id, State.FAILED, error=" ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001  (the next job must still be painted)
        traceback.print_exc()
        store.jobs.move(row.id, State.FAILED, error=_message(error))


def _message(error: Exception) -> str:
    if out_of_memory(error):
        return "it does not fit into this machine's memory; try a smaller size"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; free some space, then resume the job"
    return f"unexpected error: {type(error).__name__}: {error}"


def _paint_clip(store: Store, row: StoredJob, going: threading.Event, limits: Limits) -> None:
    log = JobLog(store, row, row.progress.get("seconds", 0.0))
    interrupts = _interrupts(log, going, limits)
    if row.kind == "preview":
        paint_sheet(row, interrupts)
    else:
        paint_clip(row, interrupts, limits)
    if _painted_in_one_go(store, row):
        learn_clip_pace(row.request, log.seconds, store)


def _paint_picture(store: Store, row: StoredJob, going: threading.Event, limits: Limits) -> None:
    log = PictureLog(store, row)
    run = log.run = plan_run(row.current_request, store)
    if run.size[0] * run.size[1] > limits.max_pixels:
        raise StudioError(
            f"the result has {run.size[1]} x {run.size[0]} px, and the studio allows "
            f"{limits.max_pixels / 1e6:g} megapixels; choose a smaller size"
        )
    paint_picture(log, _interrupts(log, going, limits))
    if run.pace is not None and _painted_in_one_go(store, row):

        def expected(pace: Pace) -> float:
            return total_seconds(run.works, run.style_pixels, pace)

        learn_pace(run.settings, log.seconds, expected, store)


def _interrupts(log: JobLog, going: threading.Event, limits: Limits) -> Interrupts:
    return Interrupts(log, going, limits.max_time, partial(answer_questions, log.store))


def _painted_in_one_go(store: Store, row: StoredJob) -> bool:
    """Return whether a job was finished without a break, so that its time is the time it needs."""
    ended = store.jobs.get(row.id)
    return ended.state is State.DONE and not ended.error and "continued" not in ended.progress


if __name__ == "__main__":
    main()
