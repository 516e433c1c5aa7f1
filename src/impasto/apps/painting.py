"""One run of the command line: read, paint and show how it goes, write."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from impasto.apps.options import parse_duration
from impasto.errors import (
    DivergenceError,
    ImageError,
    MemoryLimitError,
    SettingsError,
)
from impasto.recipes import write_settings_file
from impasto.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from impasto.images import Picture
    from impasto.optimize import Step
    from impasto.stylizer import Pastiche, Stylizer

__all__ = ["INTERRUPTED", "Job", "check_streams", "memory_errors", "paint", "read_content", "write"]

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
    quiet: bool = False
    json: bool = False

    def note(self, text: str) -> None:
        """Say something on stderr, where everything but results goes, unless quiet."""
        if not self.quiet:
            typer.echo(text, err=True)


def paint(job: Job, settings: Settings) -> None:
    """Paint, show how it goes, and write the result; on Ctrl-C, the best image so far.

    Whatever can be wrong is found before the work begins, and nothing is written until then.
    """
    start = time.perf_counter()
    seconds = None if job.budget is None else parse_duration(job.budget)
    check_streams(job)
    try:
        with memory_errors(settings.long_side):
            stylizer, photo, paintings, init = _prepare(job, settings)
            if seconds is not None:
                stylizer.settings = stylizer.within(
                    photo, seconds, spent=time.perf_counter() - start
                )
                job.note(f"{job.budget}: {_plan_text(stylizer, photo)}")
            if job.save_settings:
                write_settings_file(stylizer.settings, job.save_settings)
            pastiche, note, code = _run(stylizer, photo, paintings, init, job)
            write(pastiche.image, job, alpha=pastiche.alpha, metadata=pastiche.metadata)
    except KeyboardInterrupt:
        job.note("Interrupted: no picture written.")
        raise typer.Exit(INTERRUPTED) from None
    seconds = time.perf_counter() - start
    height, width = pastiche.image.shape[-2:]
    name = "stdout" if job.output == _STDIO else job.output
    job.note(f"{note} {name}: {width} x {height} px, {seconds:.0f} s")
    if job.json:
        typer.echo(json.dumps(_summary(pastiche, job.output, seconds, code)))
    if code:
        raise typer.Exit(code)


def check_streams(job: Job) -> None:
    """Refuse, before anything is loaded, what would hang, spoil a terminal or lose a file."""
    if job.json and job.output == _STDIO:
        raise SettingsError("--json and -o - would both write to stdout; choose one")
    # Python has None for a stream that was closed by the shell.
    if job.content == _STDIO and (sys.stdin is None or sys.stdin.isatty()):
        raise SettingsError("-: nothing is piped into stdin; pipe a picture, or name a file")
    if job.output == _STDIO and (sys.stdout is None or sys.stdout.isatty()):
        raise SettingsError("-o -: stdout is a terminal; redirect it, or name a file")
    for path in (job.output, job.save_settings):
        # Unlike Path.is_file, this one is false where a name is too long or a folder is closed.
        if path not in (None, _STDIO) and not job.force and os.path.isfile(path):  # noqa: PTH113
            raise ImageError(f"{path} exists already; --force replaces it")


def read_content(job: Job) -> Picture:
    """Read the photo from its file or from stdin."""
    from impasto.images import load_picture

    return load_picture(sys.stdin.buffer if job.content == _STDIO else Path(job.content))


def _prepare(
    job: Job, settings: Settings
) -> tuple[Stylizer, Picture, list[Picture], Picture | None]:
    """Read the pictures and load the network, then check that the result can be written."""
    import torch

    from impasto.images import check_writable
    from impasto.stylizer import Stylizer, chosen_init, load_inputs

    if job.threads:
        torch.set_num_threads(job.threads)
    photo, paintings = load_inputs(read_content(job), list(job.styles), settings)
    init = chosen_init(settings)
    stylizer = Stylizer(settings, device=job.device)
    if job.output != _STDIO:
        check_writable(job.output, bits=job.bits, overwrite=job.force)
    return stylizer, photo, paintings, init


def _run(
    stylizer: Stylizer,
    photo: Picture,
    paintings: Sequence[Picture],
    init: Picture | None,
    job: Job,
) -> tuple[Pastiche, str, int]:
    """Paint; return the pastiche, how it ended, and the exit code."""
    from rich.console import Console

    from impasto.apps.progress import reporting
    from impasto.stylizer import finish, record

    history: list[Mapping[str, float]] = []
    best: Step | None = None
    note, code = "Wrote", 0
    try:
        console = Console(stderr=True)
        with reporting(stylizer.levels(photo), console, quiet=job.quiet) as report:
            for step in stylizer.steps(photo, paintings, init=init):
                best = _better(best, step)
                history.append(record(step))
                report(step)
        image = step.image
    except KeyboardInterrupt:
        if best is None:
            raise
        image, code = best.image, INTERRUPTED
        note = f"Interrupted at step {len(history)} of {best.count}; wrote the best image so far,"
    except DivergenceError as error:
        image, note, code = error.image, "Wrote the last good image,", 1
        typer.echo(f"Error: {error}", err=True)
    return finish(image, photo, paintings, stylizer.settings, history), note, code


def _better(best: Step | None, step: Step) -> Step:
    """Return the step of the lower loss; one of a finer level always wins."""
    if best is None or step.level > best.level or step.total <= best.total:
        return step
    return best


def _plan_text(stylizer: Stylizer, photo: Picture) -> str:
    levels = stylizer.levels(photo)
    return ", then ".join(f"{level.steps} steps at {level.long_side} px" for level in levels)


def write(image: Tensor, job: Job, *, alpha: Tensor | None, metadata: Mapping[str, Any]) -> None:
    """Write a result to where the job says: a file, or stdout as PNG."""
    from impasto.images import save_image

    if job.output != _STDIO:
        save_image(image, job.output, alpha=alpha, metadata=metadata, bits=job.bits)
        return
    buffer = BytesIO()
    save_image(image, buffer, alpha=alpha, metadata=metadata, bits=job.bits)
    sys.stdout.buffer.write(buffer.getvalue())
    sys.stdout.buffer.flush()


def _summary(pastiche: Pastiche, output: str, seconds: float, code: int) -> dict[str, Any]:
    height, width = pastiche.image.shape[-2:]
    last = pastiche.history[-1] if pastiche.history else {}
    return {
        "output": output,
        "width": width,
        "height": height,
        "finished": code == 0,
        "steps": len(pastiche.history),
        "seconds": round(seconds, 2),
        "losses": {
            name: value for name, value in last.items() if name not in ("step", "level", "seconds")
        },
        **pastiche.metadata,
    }


# What torch and its libraries say when memory runs out; only the CUDA error has a class.
_MEMORY_WORDS = ("allocate memory", "out of memory", "not enough memory", "bad_alloc")


@contextmanager
def memory_errors(long_side: int) -> Iterator[None]:
    """Turn a failed allocation into a MemoryLimitError that says what to try."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        words = str(error).lower()
        if not isinstance(error, MemoryError) and not any(w in words for w in _MEMORY_WORDS):
            raise
        raise MemoryLimitError(
            f"{long_side} px do not fit into this machine's memory; "
            f"try --long-side {max(long_side // 2, 1)}"
        ) from error
