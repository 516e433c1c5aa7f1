"""Undo the realtime priority that the AV1 encoder gives its caller."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["priority_kept"]

_THREADS = Path("/proc/self/task")  # Linux: a folder for each thread of this process


@contextmanager
def priority_kept() -> Iterator[None]:
    """Restore the caller's scheduling policy when the block ends, also in threads it started.

    If the user is root, SVT-AV1's `svt_av1_enc_init_handle` sets its calling thread to SCHED_FIFO
    with priority 99. The encoder's own threads and all later threads and child processes inherit
    this policy. Then no other program on the machine gets any time.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    before = _threads()
    try:
        yield
    finally:
        for thread in {threading.get_native_id()} | (_threads() - before):
            with suppress(OSError):  # a thread may have ended by now
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    return {int(path.name) for path in _THREADS.glob("[0-9]*")}
