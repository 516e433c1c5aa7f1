"""Write the result of a run, and report it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import typer

from impasto.cli.run_steps import Ending
from impasto.cli.task import STDIO, Task

if TYPE_CHECKING:
    from torch import Tensor

    from impasto.painting.pastiche import Pastiche

__all__ = ["check_output", "conclude", "write", "write_image"]

_NO_LOSSES = ("step", "level", "seconds", "layers")


def check_output(task: Task) -> None:
    """Raise an ImageError if the result could not be written."""
    from impasto.pictures.files import check_writable

    if task.output != STDIO:
        check_writable(task.output, bits=task.file.bits, overwrite=task.run.force)


def write(pastiche: Pastiche, task: Task) -> None:
    """Write a pastiche to the task's output."""
    write_image(pastiche.image, task, alpha=pastiche.alpha, metadata=pastiche.metadata)


def write_image(
    image: Tensor, task: Task, *, alpha: Tensor | None, metadata: Mapping[str, Any]
) -> None:
    """Write a picture to the task's output: a file, or stdout as PNG."""
    from impasto.pictures.files import save_image, transparency_note

    for text in transparency_note("" if task.output == STDIO else task.output, alpha):
        task.note(text)
    buffer = BytesIO()
    target = buffer if task.output == STDIO else task.output
    save_image(
        image, target, alpha=alpha, metadata=metadata, bits=task.file.bits,
        dpi=task.print.resolution,
    )  # fmt: skip
    if task.output != STDIO:
        return
    sys.stdout.buffer.write(buffer.getvalue())
    sys.stdout.buffer.flush()


def conclude(pastiche: Pastiche, ending: Ending, task: Task, seconds: float) -> None:
    """Report the result, in words and as JSON, and exit if the run did not end well."""
    height, width = pastiche.image.shape[-2:]
    task.note(f"{ending.note} {task.output_name}: {width} x {height} px, {seconds:.0f} s")
    if task.run.json:
        typer.echo(json.dumps(_summary(pastiche, ending, task, seconds)))
    if ending.code:
        raise typer.Exit(ending.code)


def _summary(pastiche: Pastiche, ending: Ending, task: Task, seconds: float) -> dict[str, Any]:
    height, width = pastiche.image.shape[-2:]
    losses = {name: value for name, value in ending.losses.items() if name not in _NO_LOSSES}
    return {
        "output": task.output,
        "width": width,
        "height": height,
        "finished": pastiche.finished,
        "steps": len(pastiche.history),
        "seconds": round(seconds, 2),
        "losses": losses,
        **pastiche.metadata,
    }
