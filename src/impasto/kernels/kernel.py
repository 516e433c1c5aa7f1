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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from impasto.kernels.threads import threads
from impasto.machine import cache_folder

__all__ = ["Kernel", "compiled_kernel", "is_switched_off"]

_SOURCE = Path(__file__).with_name("kernels.c")
# Sets of compiler flags, in order of preference; the first set that works is used.
_OPTIMIZED = ("-O3", "-shared", "-fPIC")
_THREADS = "-pthread" if os.name == "posix" else "-DNO_THREADS"
_FLAGS = (
    (*_OPTIMIZED, _THREADS, "-march=native"),
    (*_OPTIMIZED, _THREADS, "-mcpu=native"),
    (*_OPTIMIZED, _THREADS),
    (*_OPTIMIZED, "-DNO_THREADS"),
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


# The kinds of work, in the order of `KINDS` in kernels.c.
_KINDS = ("convolve", "pool", "correlate", "mix")


class _Shape(ctypes.Structure):
    """`Shape` of kernels.c."""

    _fields_ = tuple(
        (name, ctypes.c_int64)
        for name in ("inputs", "outputs", "height", "width", "padding", "rectify")
    )


class _Job(ctypes.Structure):
    """`Job` of kernels.c."""

    _fields_ = (
        ("shape", _Shape),
        ("cut", ctypes.c_int64 * 4),
        *((name, ctypes.c_void_p) for name in ("input", "other", "filters", "bias")),
        *((name, ctypes.c_void_p) for name in ("output", "scratch")),
        *((name, ctypes.c_int64) for name in ("planes", "size", "count")),
    )


class Kernel:
    """The compiled `kernels.c`."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        for name in ("scratch_size", "correlation_chunks"):
            getattr(self._library, name).restype = ctypes.c_int64
        self._library.work_share.restype = None
        self._rows: int = self._library.winograd_rows()
        self._thread_local = threading.local()

    def pack(self, weight: Tensor) -> Tensor:
        """Transform filters, (C′, C, 3, 3), and put them into the kernel's layout.

        Returns: (36, panels, C, rows of a panel).
        """
        inputs = weight.shape[1]
        # (9, panels, C, rows of a panel). Transposing before the transform moves less memory.
        taps = self._panels(weight.flatten(2)).permute(3, 0, 2, 1).reshape(9, -1)
        transform = torch.kron(_FILTER_TRANSFORM, _FILTER_TRANSFORM)  # (36, 9), along y and x
        transformed = transform.to(torch.float32) @ taps.float()
        return transformed.view(36, -1, inputs, self._rows)

    def _panels(self, weight: Tensor) -> Tensor:
        """Cut (C′, C, k) into panels of output channels, (panels, rows of a panel, C, k)."""
        outputs, inputs = weight.shape[:2]
        padded = functional.pad(weight, (0, 0, 0, 0, 0, -outputs % self._rows))
        return padded.view(-1, self._rows, inputs, weight.shape[2])

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
        shape = _Shape(inputs, outputs, height, width, padding, rectify)
        for number in range(x.shape[0]):
            self._work(
                "convolve", shape, input=x[number], other=None if mask is None else mask[number],
                filters=filters, bias=bias, output=result[number],
            )  # fmt: skip
        return result

    def pool(self, x: Tensor, gradient: Tensor | None = None) -> Tensor:
        """Return the maximum of every 2 × 2 values of x, (B, C, H, W).

        Args: gradient: the gradient with respect to the result. If it is given, the gradient with
            respect to x is returned.
        """
        x, gradient = x.contiguous(), None if gradient is None else gradient.contiguous()
        *planes, height, width = x.shape
        shape = x.shape if gradient is not None else (*planes, height // 2, width // 2)
        result = x.new_empty(shape)
        self._work(
            "pool", _Shape(height=height, width=width), input=x, other=gradient, output=result,
            planes=math.prod(planes),
        )  # fmt: skip
        return result

    def correlate(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the products of every two channels, summed over positions.

        Args:    left, right: (B, C, n) and (B, C′, n). If they are the same tensor, only half of
                 the products are computed.
        Returns: (B, C, C′).
        """
        same = left is right
        left = left.contiguous()
        right = left if same else right.contiguous()
        (batch, inputs, count), outputs = left.shape, right.shape[1]
        chunks = self._library.correlation_chunks(ctypes.c_int64(count))
        sums = []
        for number in range(batch):
            parts = left.new_empty((chunks, inputs, outputs))
            self._work(
                "correlate", _Shape(inputs, outputs), input=left[number], other=right[number],
                output=parts, count=count,
            )  # fmt: skip
            whole = parts.sum(0)
            sums.append(whole.triu() + whole.triu(1).T if same else whole)
        return torch.stack(sums)

    def mix(self, x: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
        """Multiply the channels at every position by a matrix.

        Args:    x: (B, C, n).  matrix: (B, C′, C).  bias: (B, C′), added at every position.
        Returns: (B, C′, n).
        """
        x, bias = x.contiguous(), bias.contiguous()
        (batch, inputs, count), outputs = x.shape, matrix.shape[1]
        result = x.new_empty((batch, outputs, count))
        for number in range(batch):
            panels = self._panels(matrix[number][..., None])[..., 0].transpose(1, 2).contiguous()
            self._work(
                "mix", _Shape(inputs, outputs), input=x[number], filters=panels, bias=bias[number],
                output=result[number], count=count,
            )  # fmt: skip
        return result

    def _work(
        self, kind: str, shape: _Shape, *, planes: int = 0, count: int = 0, **tensors: Tensor | None
    ) -> None:
        """Do one job on as many threads as `threads` says.

        They are the library's threads. If it was compiled without threads, they are Python's.

        Args:
            kind: one of _KINDS.
            tensors: the tensors that the job points to; see `Job` in kernels.c.
        """
        number, workers = _KINDS.index(kind), threads()
        size = self._library.scratch_size(ctypes.byref(shape), number)
        scratch = self._scratch(size, workers) if size else None
        job = _Job(shape, size=size, planes=planes, count=count)
        for name, tensor in (*tensors.items(), ("scratch", scratch)):
            setattr(job, name, None if tensor is None else tensor.data_ptr())
        pointer = ctypes.byref(job)
        if self._library.work_together(pointer, number, workers):
            return

        def share(worker: int) -> None:
            self._library.work_share(pointer, number, worker, workers)

        futures = [_pool(workers).submit(share, worker) for worker in range(1, workers)]
        try:
            share(0)
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
    return kernel if error < _TOLERANCE and same_pooling and _multiplies(kernel, draw) else None


def _multiplies(kernel: Kernel, draw: Callable[..., Tensor]) -> bool:
    """Tell whether the kernel's products of features agree with torch's."""
    left, right, bias = draw(2, 70, 2100), draw(2, 9, 2100), draw(2, 9)
    matrix = draw(2, 9, 70)
    pairs = (
        (kernel.correlate(left, right), left @ right.transpose(1, 2)),
        (kernel.correlate(left, left), left @ left.transpose(1, 2)),
        (kernel.mix(left, matrix, bias), torch.baddbmm(bias[..., None], matrix, left)),
    )
    return all(
        float((found - expected).abs().max() / expected.abs().max()) < _TOLERANCE
        for found, expected in pairs
    )
