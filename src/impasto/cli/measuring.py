"""What the commands that measure results share: the memory of an evaluation."""

from __future__ import annotations

from impasto.errors import MemoryLimitError

__all__ = ["TOO_LARGE", "check_memory"]

# Measured on Linux with torch 2.13.
_PROCESS = 480e6  # bytes of the interpreter, torch, its libraries and the network
_BYTES_PER_PIXEL = 3100  # of the picture whose features are computed
_BYTES_PER_OWN_PIXEL = 120  # of the result, for artifacts
TOO_LARGE = "the pictures do not fit into this machine's memory; try {smaller}"


def check_memory(size: tuple[int, int], long_side: int, memory: float | None, smaller: str) -> None:
    """Raise a MemoryLimitError if an evaluation needs more than the given limit.

    Args:
        size: (H, W) of the result.
        long_side: of the compared picture, in px.
        memory: in bytes; None: there is no limit.
        smaller: what to try instead, in words.
    """
    from impasto.painting.memory_plan import show_bytes
    from impasto.pictures.picture import fit_within

    if memory is None:
        return
    height, width = fit_within(size, long_side)
    needed = _PROCESS + _BYTES_PER_PIXEL * height * width + _BYTES_PER_OWN_PIXEL * size[0] * size[1]
    if needed > memory:
        raise MemoryLimitError(
            f"this evaluation needs {show_bytes(needed)} of memory, and {show_bytes(memory)} are "
            f"allowed; try {smaller}, or a larger --memory"
        )
