"""This machine: devices, memory, and the folders for this program's cache and data.

Only the functions that need torch import it.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from impasto.errors import SettingsError, nearest_match

if TYPE_CHECKING:
    import torch

__all__ = [
    "cache_folder",
    "choose_device",
    "data_folder",
    "free_memory",
    "give_freed_memory_back",
    "held_memory",
    "keep_freed_memory",
    "out_of_memory",
]

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # the numbers in malloc.h

# ---- folders ------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Return the folder for downloads and compiled code.

    It is $IMPASTO_CACHE or, if this is not set, a folder in the user's cache.

    Raises: RuntimeError: the user's home folder is unknown.
    """
    if chosen := os.environ.get("IMPASTO_CACHE"):
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("impasto", appauthor=False)


def data_folder() -> Path:
    """Return the platform's folder for this program's data.

    Raises: RuntimeError: the user's home folder is unknown.
    """
    return platformdirs.user_data_path("impasto", appauthor=False)


# ---- devices and memory -------------------------------------------------------------------------


def choose_device(name: str | torch.device | None) -> torch.device:
    """Return the device with this name; None and "auto" take the first available of cuda, mps, cpu.

    Raises: SettingsError: the device is unknown, or this machine does not have it.
    """
    import torch

    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name is None or name == "auto":
        return torch.device(next(device for device, present in available.items() if present))
    kind, _, index = str(name).partition(":")
    if kind not in available:
        match = nearest_match(kind, available)
        raise SettingsError(f"device {name}: no such device (auto, cpu, cuda or mps){match}")
    if not available[kind]:
        raise SettingsError(
            f"device {name}: this machine, or this build of torch, has none; choose auto or cpu"
        )
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if ":" in str(name) and not (index.isdecimal() and int(index) < count):
        raise SettingsError(
            f"device {name}: this machine has {count} of this kind, counted from {kind}:0"
        )
    return torch.device(str(name))


def free_memory(device: torch.device) -> float | None:
    """Return the bytes that this process may hold; None: unknown.

    On a GPU, this is its free memory. On a CPU under Linux, it is the memory that the process
    holds already, plus three quarters of the memory that the system and the process's control
    groups can still give it. On macOS, it is half of the machine's memory.
    """
    if device.type == "cuda":
        import torch

        # The reserved memory is included: torch uses it again.
        return float(torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device))
    if device.type != "cpu":
        return None
    try:
        if sys.platform == "linux":
            free = min([_lines("/proc/meminfo")["MemAvailable"], *_group_limits()])
            return _lines("/proc/self/status")["VmRSS"] + 0.75 * free
        return 0.5 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # macOS
    except (OSError, KeyError, ValueError, AttributeError):
        return None


def held_memory() -> float:
    """Return the bytes that this process holds; 0: unknown."""
    try:
        if sys.platform == "linux":
            return _lines("/proc/self/status")["VmRSS"]
        import resource

        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on macOS
    except (ImportError, OSError, KeyError, ValueError):  # Windows has no such module
        return 0.0


# One of these is in every message of torch and the C++ library about a failed allocation.
_MEMORY_WORDS = ("allocate memory", "out of memory", "not enough memory", "bad_alloc")


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means a lack of memory. Torch raises plain RuntimeErrors then."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and any(words in str(error).lower() for words in _MEMORY_WORDS)
    )


def _lines(path: str) -> dict[str, float]:
    """Read lines such as "VmRSS:  1234 kB". Returns: name → bytes."""
    found = re.findall(r"^(\w+):\s+(\d+) kB$", Path(path).read_text(), flags=re.MULTILINE)
    return {name: float(number) * 1024 for name, number in found}


def _group_limits(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> list[float]:
    """Return the bytes that the process's control groups, and their parents, may still take.

    Containers and clusters set such limits. The cached files of a group count as free memory.
    """
    limits = []
    try:
        groups = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        groups = []
    places = [(root, name.strip("/")) for _, kinds, name in groups if not kinds]
    places += [(root / "memory", name.strip("/")) for _, kinds, name in groups if "memory" in kinds]
    for base, name in [*places, (root, ""), (root / "memory", "")]:
        folder = base / name
        while True:
            limits += _limit(folder)
            if folder == base:
                break
            folder = folder.parent
    return limits


def _limit(folder: Path) -> list[float]:
    for most, used, cached in (
        ("memory.max", "memory.current", "inactive_file"),  # version 2
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # version 1
    ):
        try:
            taken = float((folder / used).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            text = (folder / most).read_text().strip()
            if text != "max":
                return [float(text) - taken + float(stat.get(cached, 0))]
        except (OSError, ValueError):
            continue
    return []


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next allocation.

    A step allocates and frees its features many times, and the system fills each page with zeros
    before it hands it out again. Keeping the pages saves a fifth of a step's time and costs a
    fifth more memory (docs/performance.md). This changes the whole process, so only programs call
    this function, not the library. It has no effect without glibc.
    """
    library = _glibc()
    if library is not None and not os.environ.get("MALLOC_MMAP_MAX_"):
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, -1)  # never trim; a positive number could be 2 GB at most


def give_freed_memory_back() -> None:
    """Let the C library return freed memory to the system, now and from now on."""
    library = _glibc()
    if library is not None:
        library.mallopt(_MMAP_MAX, 65536)  # its default
        library.malloc_trim(0)


def _glibc() -> Any:
    """Return this process's C library if it is glibc, else None."""
    import ctypes

    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "gnu_get_libc_version") else None
