"""The compiled `kernels.c`: how it is called, compiled, kept and trusted."""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import importlib.util
import itertools
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from impasto.machine import cache_folder

__all__ = ["Kernel", "compiled_kernel", "is_switched_off"]

_SOURCE = Path(__file__).with_name("kernels.c")
# In this order; the first set that the compiler knows is taken. OpenMP only on Linux, where the
# library of threads is the one that torch has loaded already.
_OPTIMIZED = ("-O3", "-shared", "-fPIC")
_FLAGS = (
    *([(*_OPTIMIZED, "-march=native", "-fopenmp")] if sys.platform == "linux" else []),
    (*_OPTIMIZED, "-march=native"),
    (*_OPTIMIZED, "-mcpu=native"),
    _OPTIMIZED,
)
_COMPILE_SECONDS = 60
# G of F(4 × 4, 3 × 3): filters → their values at the points 0, ±1, ±2 and ∞.
_FILTER_TRANSFORM = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float64,
    device="cpu",
)
# How far the kernel may be from float64, relative to the largest value, to be trusted: some ten
# times what rounding makes of 64 channels.
_TRUSTED = 1e-4


class Kernel:
    """The compiled `kernels.c`."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.winograd_scratch.restype = ctypes.c_int64
        for name in ("winograd_convolve", "pool"):
            getattr(self._library, name).restype = None
        self._rows: int = self._library.winograd_rows()
        self._own = threading.local()

    def pack(self, weight: Tensor) -> Tensor:
        """Transform filters (C′, C, 3, 3) and lay them out as the kernel reads them."""
        outputs, inputs = weight.shape[:2]
        padded = functional.pad(weight.flatten(2), (0, 0, 0, 0, 0, -outputs % self._rows))
        # (9, panels, C, rows of a panel): where the kernel reads them, so that nothing large moves.
        taps = padded.view(-1, self._rows, inputs, 9).permute(3, 0, 2, 1).reshape(9, -1)
        both_ways = torch.kron(_FILTER_TRANSFORM, _FILTER_TRANSFORM)  # (36, 9)
        places = both_ways.to(torch.float32) @ taps.float()
        return places.view(36, -1, inputs, self._rows)

    def convolve(
        self,
        x: Tensor,
        filters: Tensor,
        bias: Tensor | None,
        *,
        outputs: int,
        padding: int = 1,
        mask: Tensor | None = None,
        rectify: bool = False,
    ) -> Tensor:
        """Convolve (B, C, H, W), where mask > 0, with packed filters; → (B, outputs, H′, W′)."""
        x, mask = x.contiguous(), None if mask is None else mask.contiguous()
        inputs, height, width = x.shape[1:]
        grown = 2 * padding - 2
        result = x.new_empty((x.shape[0], outputs, height + grown, width + grown))
        shape = (ctypes.c_int64 * 6)(inputs, outputs, height, width, padding, rectify)
        workers = torch.get_num_threads()
        scratch = self._scratch(self._library.winograd_scratch(shape), workers)
        for number in range(x.shape[0]):
            pointers = (x[number], None if mask is None else mask[number], filters, bias,
                        result[number])  # fmt: skip
            self._work(
                "winograd_convolve", [shape, *map(_address, pointers)], workers, list(scratch)
            )
        return result

    def pool(self, x: Tensor, slope: Tensor | None = None) -> Tensor:
        """Return the largest of each 2 × 2 of (B, C, H, W), or with a slope, the gradient by x."""
        x, slope = x.contiguous(), None if slope is None else slope.contiguous()
        *planes, height, width = x.shape
        shape = x.shape if slope is not None else (*planes, height // 2, width // 2)
        result = x.new_empty(shape)
        sizes = map(ctypes.c_int64, (math.prod(planes), height, width))
        self._work("pool", [*map(_address, (x, slope, result)), *sizes], torch.get_num_threads())
        return result

    def _work(
        self,
        name: str,
        arguments: Sequence[Any],
        workers: int,
        scratch: Sequence[Tensor] = (),
    ) -> None:
        """Do something by as many workers: OpenMP's threads, or else Python's."""
        own = [_address(scratch[0])] if scratch else []
        together = getattr(self._library, f"{name}_together")
        if together(*arguments, *own, ctypes.c_int(workers)):
            return
        alone = getattr(self._library, name)

        def work(worker: int) -> None:
            own = [_address(scratch[worker])] if scratch else []
            alone(*arguments, *own, ctypes.c_int(worker), ctypes.c_int(workers))

        others = [_pool(workers).submit(work, worker) for worker in range(1, workers)]
        try:
            work(0)
        finally:  # also on Ctrl-C, they must not write into what would be freed
            wait(others)
        for other in others:
            other.result()

    def _scratch(self, each: int, workers: int) -> Tensor:
        """Return room for the workers, (workers, each), kept for this thread's next call."""
        kept: Tensor | None = getattr(self._own, "scratch", None)
        if kept is None or kept.numel() < workers * each:
            kept = self._own.scratch = torch.empty(
                workers * each, dtype=torch.float32, device="cpu"
            )
        return kept[: workers * each].view(workers, each)


def _address(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="impasto-convolution")


if hasattr(os, "register_at_fork"):  # threads do not outlive a fork
    os.register_at_fork(after_in_child=_pool.cache_clear)


# ---- compiling ----------------------------------------------------------------------------------


@functools.cache
def compiled_kernel() -> Kernel | None:
    """Return the kernel for this machine; None where it cannot be had, or is not trusted.

    IMPASTO_KERNEL=off in the environment goes without.
    """
    if is_switched_off():
        return None
    try:
        for folder in _folders():
            for compiler, flags in itertools.product(_compilers(), _FLAGS):
                path = _compile(folder, compiler, flags)
                kernel = None if path is None else _loaded(path)
                if kernel is not None:
                    return kernel
    except (OSError, subprocess.TimeoutExpired):  # no source, no room, or a compiler that hangs
        pass
    return None


def is_switched_off() -> bool:
    """Tell whether the environment asks to go without the kernel."""
    return os.environ.get("IMPASTO_KERNEL", "").lower() == "off"


def _folders() -> Iterator[Path]:
    """List where the compiled kernel may be kept: the user's cache, or else for this process."""
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            yield folder
    except (OSError, RuntimeError):  # a home that is closed, or that nobody knows
        pass
    own = tempfile.mkdtemp(prefix="impasto-")  # of a name that nobody else can have prepared
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    yield Path(own)


def _compilers() -> list[tuple[str, ...]]:
    """List the commands that may compile C: $CC, the usual names, and that of ziglang's wheel."""
    named = os.environ.get("CC", "").split()
    found = [tuple(named)] if named and shutil.which(named[0]) else []
    if sys.platform == "win32":  # GCC misaligns vectors on the stack there (its bug 54412)
        names: tuple[str, ...] = ("clang",)
    elif sys.platform == "darwin" and not _has_command_line_tools():
        names = ()  # they would open a dialog
    else:
        names = ("cc", "gcc", "clang")
    found += [(path,) for name in names if (path := shutil.which(name))]
    if importlib.util.find_spec("ziglang"):
        found.append((sys.executable, "-m", "ziglang", "cc"))
    return list(dict.fromkeys(found))


def _has_command_line_tools() -> bool:
    done = subprocess.run(["xcode-select", "-p"], capture_output=True, check=False)
    return done.returncode == 0


def _compile(folder: Path, compiler: tuple[str, ...], flags: tuple[str, ...]) -> Path | None:
    """Compile the kernel, or find it where it was compiled before; None where that fails."""
    described = "\n".join([_SOURCE.read_text(), *compiler, *flags, _processor()])
    target = folder / f"kernels-{hashlib.sha256(described.encode()).hexdigest()[:16]}.so"
    if target.is_file():
        return target
    with tempfile.TemporaryDirectory(dir=folder) as own:
        made = Path(own) / target.name
        command = [*compiler, *flags, str(_SOURCE), "-o", str(made)]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_COMPILE_SECONDS,
        )
        if done.returncode or not made.is_file():
            return None
        made.replace(target)  # whole, whoever else compiles at the same time
    return target


def _processor() -> str:
    """Tell processors apart that a cache in a shared home must not mix up."""
    known = [platform.machine(), platform.processor()]
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return "\n".join([*known, line])
    except OSError:
        pass
    return "\n".join(known)


def _loaded(path: Path) -> Kernel | None:
    """Load a kernel and hold it against torch's own convolution; None where they disagree."""
    try:
        kernel = Kernel(path)
    except (OSError, AttributeError):
        return None

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    generator = torch.Generator("cpu").manual_seed(0)
    x, mask = draw(1, 64, 27, 135), draw(1, 64, 27, 135)
    weight, bias = draw(64, 64, 3, 3), draw(64)
    wide = (x * (mask > 0)).double()
    expected = functional.conv2d(wide, weight.double(), bias.double(), padding=1).relu()
    found = kernel.convolve(x, kernel.pack(weight), bias, outputs=64, mask=mask, rectify=True)
    apart = float((found - expected).abs().max() / expected.abs().max())
    pooled = torch.equal(kernel.pool(x), functional.max_pool2d(x, 2))
    return kernel if apart < _TRUSTED and pooled else None
