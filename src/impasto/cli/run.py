"""One run of the command line: read, paint and show how it goes, write."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from impasto.cli.printing import long_side_for_print
from impasto.cli.recorder import MakingOf
from impasto.cli.setting_flags import parse_duration
from impasto.errors import (
    DivergenceError,
    ImageError,
    MemoryLimitError,
    SettingsError,
)
from impasto.machine import keep_freed_memory, out_of_memory
from impasto.settings.pictures import Settings
from impasto.settings.recipes import settings_file

if TYPE_CHECKING:
    from torch import Tensor

    from impasto.optimize.loop import Step
    from impasto.painting.inputs import Inputs
    from impasto.painting.memory_plan import Workload
    from impasto.painting.pastiche import Pastiche
    from impasto.painting.pyramid import Level
    from impasto.painting.stylizer import Stylizer
    from impasto.pictures.picture import Picture

__all__ = [
    "INTERRUPTED",
    "Ending",
    "Job",
    "advise_compiler",
    "check_output",
    "check_streams",
    "conclude",
    "failed_allocations",
    "follow",
    "interruptible",
    "memory_errors",
    "paint",
    "prepare",
    "prepared",
    "read_content",
    "set_up_machine",
    "source",
    "thrift",
    "write",
    "write_image",
]

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_STDIO = "-"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a command was asked to do: everything but the settings of the picture."""

    content: str
    styles: Sequence[Path]
    output: str
    save_settings: Path | None = None
    budget: str | None = None
    force: bool = False
    bits: int = 8
    threads: int | None = None
    device: str = "auto"
    memory: float | None = None
    quiet: bool = False
    json: bool = False
    init: Picture | None = None
    guidance: Mapping[str, Any] = field(default_factory=dict)
    making: MakingOf = field(default_factory=MakingOf)
    print_size: tuple[float, float] | None = None
    dpi: float | None = None
    makes: str = "picture"

    def note(self, text: str) -> None:
        """Say something on stderr, where everything but results goes, unless quiet."""
        if not self.quiet:
            typer.echo(text, err=True)


@dataclass(frozen=True, eq=False)
class Ending:
    """How a run came to its end.

    Attributes:
        image: the last image, the best so far, or the last good one.
        history: per step its numbers.
        losses: the numbers of the image.
        note: what to say before the name of the file.
        code: to exit with.
    """

    image: Tensor
    history: Sequence[Mapping[str, Any]]
    losses: Mapping[str, Any]
    note: str = "Wrote"
    code: int = 0

    @property
    def finished(self) -> bool:
        """Whether the run came to its last step."""
        return self.code == 0


def paint(job: Job, settings: Settings) -> None:
    """Paint, show how it goes, and write the result; on Ctrl-C, the best image so far.

    Whatever can be wrong is found before the work begins, and nothing is written until then.
    """
    start = time.perf_counter()
    seconds = None if job.budget is None else parse_duration(job.budget)
    check_streams(job)
    with interruptible(job), memory_errors(settings.long_side):
        stylizer, inputs = _prepare(job, settings)
        if seconds is not None:
            from impasto.painting.timing import settings_within

            spent = time.perf_counter() - start
            stylizer.settings = settings_within(stylizer, inputs, seconds, spent=spent)
            job.note(f"{job.budget}: {_plan_text(stylizer, inputs.photo)}")
        plan = stylizer.plan(inputs.photo, inputs.paintings)
        for text in thrift(plan):
            job.note(text)
        levels = stylizer.levels(inputs.photo)
        save_settings(job, stylizer.settings)
        film = job.making.begin(levels[-1].size)
        ending = follow(stylizer.paint(inputs, plan), levels, job, watch=film.watch)
        pastiche = finish_run(ending, stylizer, inputs, plan)
        write(pastiche, job)
        film.finish(ending.history)
    conclude(pastiche, ending, job, time.perf_counter() - start)


def save_settings(job: Job, settings: Settings) -> None:
    """Write the settings to the file that the job names for them, if it does."""
    from impasto.storage import write_file

    if job.save_settings:
        write_file(job.save_settings, settings_file(settings).encode(), overwrite=job.force)


def finish_run(
    ending: Ending, stylizer: Stylizer, inputs: Inputs, plan: Sequence[Workload] = ()
) -> Pastiche:
    """Make the pastiche of a run's last image."""
    from impasto.painting.memory_plan import unusual
    from impasto.painting.pastiche import finish

    whole = finish(ending.image, inputs, stylizer.settings, ending.history, computed=unusual(plan))
    return replace(whole, finished=ending.finished)


@contextmanager
def interruptible(job: Job) -> Iterator[None]:
    """Let Ctrl-C before the first step end the command with a word about it."""
    try:
        load_libraries()
        yield
    except KeyboardInterrupt:
        job.note(f"Interrupted: no {job.makes} written.")
        raise typer.Exit(INTERRUPTED) from None


def load_libraries() -> None:
    """Import what painting needs, and hold a Ctrl-C back meanwhile: NumPy's import swallows it."""
    if threading.current_thread() is not threading.main_thread():
        return  # signals arrive in the main thread only
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    try:
        import impasto.painting.stylizer  # noqa: F401  (for what it loads)
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


def conclude(pastiche: Pastiche, ending: Ending, job: Job, seconds: float) -> None:
    """Say what was written, in words and as JSON, and exit if the run did not end well."""
    height, width = pastiche.image.shape[-2:]
    name = "stdout" if job.output == _STDIO else job.output
    job.note(f"{ending.note} {name}: {width} x {height} px, {seconds:.0f} s")
    if job.json:
        typer.echo(json.dumps(_summary(pastiche, ending, job, seconds)))
    if ending.code:
        raise typer.Exit(ending.code)


def check_streams(job: Job) -> None:
    """Refuse, before anything is loaded, what would hang, spoil a terminal or lose a file."""
    if job.json and job.output == _STDIO:
        raise SettingsError("--json and -o - would both write to stdout; choose one")
    # Python has None for a stream that was closed by the shell.
    if job.content == _STDIO and (sys.stdin is None or sys.stdin.isatty()):
        raise SettingsError("-: nothing is piped into stdin; pipe a picture, or name a file")
    if job.output == _STDIO and (sys.stdout is None or sys.stdout.isatty()):
        raise SettingsError("-o -: stdout is a terminal; redirect it, or name a file")
    written = [job.output, job.save_settings, *job.making.files]
    targets = [os.path.abspath(path) for path in written if path not in (None, _STDIO)]  # noqa: PTH100
    for target in targets:
        if targets.count(target) > 1:
            raise SettingsError(f"{target}: named for two results; give each a file of its own")
    for path in written:
        # Unlike Path.is_file, this one is false where a name is too long or a folder is closed.
        if path not in (None, _STDIO) and not job.force and os.path.isfile(path):  # noqa: PTH113
            raise ImageError(f"{path} exists already; --force replaces it")


def read_content(job: Job) -> Picture:
    """Read the photo from its file or from stdin."""
    from impasto.pictures.files import load_picture

    return load_picture(sys.stdin.buffer if job.content == _STDIO else Path(job.content))


def prepare(job: Job) -> None:
    """Check streams, files and threads, before anything is loaded."""
    check_streams(job)
    set_threads(job)


def set_threads(job: Job) -> None:
    """Let torch use as many threads as the job names, if it names any."""
    if job.threads:
        import torch

        torch.set_num_threads(job.threads)


def set_up_machine(job: Job) -> None:
    """Set what concerns the whole process: threads, and what becomes of freed memory."""
    set_threads(job)
    keep_freed_memory()


def check_output(job: Job) -> None:
    """Find what would keep the result from being written."""
    from impasto.pictures.files import check_writable

    if job.output != _STDIO:
        check_writable(job.output, bits=job.bits, overwrite=job.force)


def prepared(job: Job, settings: Settings) -> tuple[Stylizer, Inputs]:
    """Read the pictures and load the network. Without a painting, the photo stands for one."""
    from impasto.painting.guidance import Guidance
    from impasto.painting.inputs import load_inputs
    from impasto.painting.stylizer import Stylizer

    set_up_machine(job)
    content = read_content(job)
    if job.print_size is not None:
        side = long_side_for_print(content.size, job.print_size, job.dpi)
        settings = settings.replace(long_side=side)
    guidance = Guidance(**job.guidance)
    styles: list[Any] = [*job.styles] or [content]
    inputs = load_inputs(content, styles, settings, guidance=guidance, init=job.init)
    stylizer = Stylizer(settings, device=job.device, memory=job.memory)
    advise_compiler(job, stylizer)
    return stylizer, inputs


def advise_compiler(job: Job, stylizer: Stylizer) -> None:
    """Say how steps would be faster, where they are without the kernel for want of a compiler."""
    from impasto.network.kernel import compiled_kernel, is_switched_off

    encoder = stylizer.encoder
    wanted = stylizer.device.type == "cpu" and not (encoder.exact or encoder.compiled)
    if wanted and compiled_kernel() is None and not is_switched_off():
        job.note(
            "The fast convolutions could not be compiled here, so steps take two to three times as "
            "long as they could; pip install 'impasto[fast]' brings a compiler"
        )


def _prepare(job: Job, settings: Settings) -> tuple[Stylizer, Inputs]:
    """Read the pictures and load the network, then check that the result can be written."""
    from impasto.storage import check_target

    stylizer, inputs = prepared(job, settings)
    check_output(job)
    if job.save_settings:
        check_target(job.save_settings, overwrite=job.force)
    job.making.check(overwrite=job.force)
    return stylizer, inputs


def source(name: str) -> BinaryIO | Path:
    """Return what to read a picture from: stdin for "-", else the file."""
    return sys.stdin.buffer if name == _STDIO else Path(name)


def follow(
    steps: Iterator[Step],
    levels: Sequence[Level],
    job: Job,
    *,
    watch: Callable[[Step], None] = lambda step: None,
    label: str | None = None,
) -> Ending:
    """Run the steps and show how it goes; keep the best image where they end before the last.

    Args: label: what to call the work, instead of its level and size.

    Raises: KeyboardInterrupt: before the first step.
    """
    from rich.console import Console

    from impasto.cli.progress import reporting
    from impasto.painting.pastiche import record

    history: list[Mapping[str, Any]] = []
    best: Step | None = None
    try:
        with reporting(levels, Console(stderr=True), quiet=job.quiet, label=label) as report:
            for step in steps:
                best = _better(best, step)
                history.append(record(step))
                watch(step)
                report(step)
        return Ending(step.image, history, record(step))
    except KeyboardInterrupt:
        if best is None:
            raise
        note = (
            f"Interrupted at step {len(history)} of {best.count}; "
            f"wrote the best {job.makes} so far,"
        )
        return Ending(best.image, history, record(best), note, INTERRUPTED)
    except DivergenceError as error:
        if not history:  # nothing was good: nothing is worth writing
            raise
        typer.echo(f"Error: {error}", err=True)
        return Ending(error.image, history, history[-1], f"Wrote the last good {job.makes},", 1)


def _better(best: Step | None, step: Step) -> Step:
    """Return the step of the lower loss; one of a finer level, or of other terms, always wins."""
    if best is None or step.level > best.level or step.layers.keys() != best.layers.keys():
        return step
    return step if step.total <= best.total else best


def _plan_text(stylizer: Stylizer, photo: Picture) -> str:
    levels = stylizer.levels(photo)
    return ", then ".join(f"{level.steps} steps at {level.long_side} px" for level in levels)


def thrift(plan: Sequence[Workload]) -> list[str]:
    """Say of each level what is done about memory, where anything is."""
    from impasto.painting.memory_plan import show_bytes

    return [
        f"{work.level.long_side} px: "
        + (f"{len(work.tiles)} tiles of {work.side} px, " if work.tiles else "")
        + (f"{work.history} past steps in 16 bits, " if work.half else "")
        + f"up to {show_bytes(work.memory)} of memory"
        for work in plan
        if work.is_thrifty
    ]


def write(pastiche: Pastiche, job: Job) -> None:
    """Write a pastiche where the command was told to."""
    write_image(pastiche.image, job, alpha=pastiche.alpha, metadata=pastiche.metadata)


def write_image(
    image: Tensor, job: Job, *, alpha: Tensor | None, metadata: Mapping[str, Any]
) -> None:
    """Write a picture to where the job says: a file, or stdout as PNG."""
    from impasto.pictures.files import save_image

    buffer = BytesIO()
    target = buffer if job.output == _STDIO else job.output
    save_image(image, target, alpha=alpha, metadata=metadata, bits=job.bits, dpi=job.dpi)
    if job.output != _STDIO:
        return
    sys.stdout.buffer.write(buffer.getvalue())
    sys.stdout.buffer.flush()


def _summary(pastiche: Pastiche, ending: Ending, job: Job, seconds: float) -> dict[str, Any]:
    height, width = pastiche.image.shape[-2:]
    return {
        "output": job.output,
        "width": width,
        "height": height,
        "finished": pastiche.finished,
        "steps": len(pastiche.history),
        "seconds": round(seconds, 2),
        "losses": {
            name: value
            for name, value in ending.losses.items()
            if name not in ("step", "level", "seconds", "layers")
        },
        **pastiche.metadata,
    }


def memory_errors(long_side: int) -> AbstractContextManager[None]:
    """Turn a failed allocation for a picture into a MemoryLimitError that says what to try."""
    return failed_allocations(
        f"{long_side} px do not fit into this machine's memory; "
        f"try --long-side {max(long_side // 2, 1)}, or a smaller --memory"
    )


@contextmanager
def failed_allocations(advice: str) -> Iterator[None]:
    """Turn a failed allocation into a MemoryLimitError with this advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise MemoryLimitError(advice) from error
