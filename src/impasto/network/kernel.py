"""The compiled `kernels.c`: calling it, compiling it, storing it, and testing it."""

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
# Sets of compiler flags, in order of preference; the first set that works is used. OpenMP is used
# only on Linux, where torch has already loaded the same thread library.
_OPTIMIZED = ("-O3", "-shared", "-fPIC")
_FLAGS = (
    *([(*_OPTIMIZED, "-march=native", "-fopenmp")] if sys.platform == "linux" else []),
    (*_OPTIMIZED, "-march=native"),
    (*_OPTIMIZED, "-mcpu=native"),
    _OPTIMIZED,
)
_COMPILE_SECONDS = 60
# The matrix G of F(4 × 4, 3 × 3). It evaluates filters at the points 0, ±1, ±2 and ∞.
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
# The largest error that the kernel may have in its test, relative to the largest value. It is about
# ten times the rounding error for 64 channels.
_TOLERANCE = 1e-4


class Kernel:
    """The compiled `kernels.c`."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.winograd_scratch.restype = ctypes.c_int64
        for name in ("winograd_convolve", "pool"):
            getattr(self._library, name).restype = None
        self._rows: int = self._library.winograd_rows()
        self._thread_local = threading.local()

    def pack(self, weight: Tensor) -> Tensor:
        """Transform filters, (C′, C, 3, 3), and put them into the kernel's layout.

        Returns: (36, panels, C, rows of a panel).
        """
        outputs, inputs = weight.shape[:2]
        padded = functional.pad(weight.flatten(2), (0, 0, 0, 0, 0, -outputs % self._rows))
        # (9, panels, C, rows of a panel). Transposing before the transform moves less memory.
        taps = padded.view(-1, self._rows, inputs, 9).permute(3, 0, 2, 1).reshape(9, -1)
        transform = torch.kron(_FILTER_TRANSFORM, _FILTER_TRANSFORM)  # (36, 9), along y and x
        transformed = transform.to(torch.float32) @ taps.float()
        return transformed.view(36, -1, inputs, self._rows)

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
        """Convolve x, (B, C, H, W), with packed filters.

        Args:
            filters: as `pack` returns them.
            outputs: number of output channels.
            padding: width of the border of zeros: 0, 1 or 2.
            mask: like x; where it is ≤ 0, x counts as 0. None: x is used as it is.
            rectify: whether a ReLU follows.

        Returns: (B, outputs, H′, W′), with H′ = H + 2 · padding − 2, and W′ likewise.
        """
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
            self._call(
                "winograd_convolve", [shape, *map(_address, pointers)], workers, list(scratch)
            )
        return result

    def pool(self, x: Tensor, gradient: Tensor | None = None) -> Tensor:
        """Return the maximum of every 2 × 2 values of x, (B, C, H, W).

        Args: gradient: the gradient by the result. If it is given, the gradient by x is returned.
        """
        x, gradient = x.contiguous(), None if gradient is None else gradient.contiguous()
        *planes, height, width = x.shape
        shape = x.shape if gradient is not None else (*planes, height // 2, width // 2)
        result = x.new_empty(shape)
        sizes = map(ctypes.c_int64, (math.prod(planes), height, width))
        self._call("pool", [*map(_address, (x, gradient, result)), *sizes], torch.get_num_threads())
        return result

    def _call(
        self,
        name: str,
        arguments: Sequence[Any],
        workers: int,
        scratch: Sequence[Tensor] = (),
    ) -> None:
        """Call a C function on several threads: those of OpenMP, or Python's if OpenMP is missing.

        Args:
            name: the name of the C function, without the suffix _together. The function with this
                suffix does the same with OpenMP.
            workers: the number of threads.
            arguments: all arguments before the scratch memory, the worker's number and the number
                of workers.
            scratch: memory for each worker; empty: the function takes none.
        """
        memory = [_address(scratch[0])] if scratch else []
        with_openmp = getattr(self._library, f"{name}_together")
        if with_openmp(*arguments, *memory, ctypes.c_int(workers)):
            return
        function = getattr(self._library, name)

        def work(worker: int) -> None:
            memory = [_address(scratch[worker])] if scratch else []
            function(*arguments, *memory, ctypes.c_int(worker), ctypes.c_int(workers))

        futures = [_pool(workers).submit(work, worker) for worker in range(1, workers)]
        try:
            work(0)
        finally:  # even after Ctrl-C: the threads must not write to memory that is freed
            wait(futures)
        for future in futures:
            future.result()

    def _scratch(self, size: int, workers: int) -> Tensor:
        """Return scratch memory, (workers, size). This thread's next call uses it again."""
        memory: Tensor | None = getattr(self._thread_local, "scratch", None)
        if memory is None or memory.numel() < workers * size:
            memory = self._thread_local.scratch = torch.empty(
                workers * size, dtype=torch.float32, device="cpu"
            )
        return memory[: workers * size].view(workers, size)


def _address(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="impasto-convolution")


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


# ---- compiling ----------------------------------------------------------------------------------


@functools.cache
def compiled_kernel() -> Kernel | None:
    """Return the kernel for this machine, or None if it cannot be compiled or fails its test.

    The environment variable IMPASTO_KERNEL=off switches the kernel off.
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
    except (OSError, subprocess.TimeoutExpired):  # no source, a full disk, or a compiler that hangs
        pass
    return None


def is_switched_off() -> bool:
    """Return whether IMPASTO_KERNEL=off is set."""
    return os.environ.get("IMPASTO_KERNEL", "").lower() == "off"


def _folders() -> Iterator[Path]:
    """List folders for the compiled kernel: the user's cache, then a folder for this process."""
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            yield folder
    except (OSError, RuntimeError):  # the home folder is not readable or not known
        pass
    folder_of_process = tempfile.mkdtemp(prefix="impasto-")  # nobody else can predict its name
    atexit.register(shutil.rmtree, folder_of_process, ignore_errors=True)
    yield Path(folder_of_process)


def _compilers() -> list[tuple[str, ...]]:
    """List the C compilers of this machine: $CC, the usual names, and the wheel `ziglang`."""
    chosen = os.environ.get("CC", "").split()
    found = [tuple(chosen)] if chosen and shutil.which(chosen[0]) else []
    if sys.platform == "win32":  # GCC misaligns vectors on the stack on Windows (GCC bug 54412)
        names: tuple[str, ...] = ("clang",)
    elif sys.platform == "darwin" and not _has_command_line_tools():
        names = ()  # without the tools, these commands open a dialog
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
    """Return the compiled kernel's file, compiled now or before; None if the compiler fails."""
    key = "\n".join([_SOURCE.read_text(), *compiler, *flags, _processor()])
    target = folder / f"kernels-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    if target.is_file():
        return target
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        compiled = Path(temporary) / target.name
        command = [*compiler, *flags, str(_SOURCE), "-o", str(compiled)]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_COMPILE_SECONDS,
        )
        if done.returncode or not compiled.is_file():
            return None
        compiled.replace(target)  # atomic: other processes may compile at the same time
    return target


def _processor() -> str:
    """Describe the processor, because several machines may share one cache folder."""
    description = [platform.machine(), platform.processor()]
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return "\n".join([*description, line])
    except OSError:
        pass
    return "\n".join(description)


def _loaded(path: Path) -> Kernel | None:
    """Load a kernel and compare it with torch; return None if it cannot be loaded or differs."""
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
    error = float((found - expected).abs().max() / expected.abs().max())
    same_pooling = torch.equal(kernel.pool(x), functional.max_pool2d(x, 2))
    return kernel if error < _TOLERANCE and same_pooling else None
