"""Threads: the kernels use all of them, and torch one, while a picture is painted.

torch shares each operation among threads of its own, which wait for the next operation actively.
They would take the cores from the kernels' threads, which do nearly all the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

__all__ = ["kernels_only", "threads"]

_THREADS: ContextVar[int | None] = ContextVar("threads of the kernels", default=None)


def threads() -> int:
    """Return how many threads the kernels use: as many as torch was given."""
    return _THREADS.get() or torch.get_num_threads()


@contextmanager
def kernels_only() -> Iterator[None]:
    """Let torch compute on one thread within the block; the kernels use all threads."""
    count = torch.get_num_threads()
    if count == 1 or _THREADS.get():
        yield
        return
    token = _THREADS.set(count)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)
        _THREADS.reset(token)
