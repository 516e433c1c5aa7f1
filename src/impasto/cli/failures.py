"""Ctrl-C and failed allocations end a command with one clear line; warnings are one line, too."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import typer

from impasto.cli.task import Task
from impasto.errors import ImageWarning, MemoryLimitError

__all__ = ["INTERRUPTED", "failed_allocations", "interruptible", "memory_errors", "plain_warnings"]

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


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print a warning about a picture as one line on stderr, and none of Pillow's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("default", category=ImageWarning)
        warnings.filterwarnings("ignore", module=r"PIL\.")
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, ImageWarning):
                typer.echo(f"Warning: {' '.join(str(message).split())}", err=True)
            else:
                usual(message, category, *where, **more)

        warnings.showwarning = show
        yield
