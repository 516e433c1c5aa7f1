"""Threads: while a picture is painted, the kernels use all of them, and torch uses one.

torch divides each operation among threads of its own, which wait for the next operation in a loop.
So they would occupy the cores that the kernels' threads need, which do nearly all the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

__all__ = ["kernels_only", "threads"]

_THREADS: ContextVar[int | None] = ContextVar("threads of the kernels", default=None)


def threads() -> int:
    """Return the number of threads of the kernels: torch's, or torch's before `kernels_only`."""
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
