"""Ctrl-C and failed allocations: both end a command with one clear line."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import typer

from impasto.cli.task import Task
from impasto.errors import MemoryLimitError

__all__ = ["INTERRUPTED", "failed_allocations", "interruptible", "memory_errors"]

INTERRUPTED = 130  # 128 + SIGINT, as in shells


@contextmanager
def interruptible(task: Task) -> Iterator[None]:
    """Turn a Ctrl-C before the first step into a message and exit code 130."""
    try:
        load_libraries()
        yield
    except KeyboardInterrupt:
        task.note(f"Interrupted: no {task.makes} written.")
        raise typer.Exit(INTERRUPTED) from None


def load_libraries() -> None:
    """Import the libraries of a run, and delay a Ctrl-C, because NumPy's import ignores it."""
    if threading.current_thread() is not threading.main_thread():
        return  # signals arrive in the main thread only
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    try:
        import impasto.painting.stylizer  # noqa: F401  (for the libraries)
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


def memory_errors(long_side: int, smaller: str | None = None) -> AbstractContextManager[None]:
    """Turn a failed allocation for a picture into a MemoryLimitError with advice.

    Args: smaller: the flag to try, in words; None: --long-side with half the size.
    """
    flag = smaller or f"--long-side {max(long_side // 2, 1)}"
    return failed_allocations(
        f"{long_side} px do not fit into this machine's memory; try {flag}, or a smaller --memory"
    )


@contextmanager
def failed_allocations(advice: str) -> Iterator[None]:
    """Turn a failed allocation into a MemoryLimitError with this advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        from impasto.machine import out_of_memory  # imports torch

        if not out_of_memory(error):
            raise
        raise MemoryLimitError(advice) from error
