"""The command `impasto recolor PHOTO STYLE -o OUT`: a painting's colors, without its strokes."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.arguments import Output
from impasto.cli.failures import failed_allocations, interruptible
from impasto.cli.output import check_output, write_image
from impasto.cli.task import Task, prepare, read_content, source
from impasto.cli.typer_flags import with_flags
from impasto.errors import MemoryLimitError
from impasto.settings.command_flags import FileOptions, RecolorOptions, RunOptions

if TYPE_CHECKING:
    from impasto.pictures.picture import Picture

__all__ = ["recolor_command"]

# Measured on Linux with torch 2.13, for pictures of up to 2000 x 2000 px.
_PROCESS = 240e6  # bytes of the interpreter, torch and its libraries
_BYTES_PER_PIXEL = 128  # of both pictures, for the method that needs most, histogram
_TOO_LARGE = (
    "both pictures do not fit into this machine's memory together; try a smaller --long-side, or "
    "a smaller painting"
)

Photo = Annotated[
    str, typer.Argument(metavar="PHOTO", help="The picture to change; - reads it from stdin.")
]
Style = Annotated[Path, typer.Argument(metavar="STYLE", help="The painting that gives the colors.")]
LongSide = Annotated[
    int | None,
    typer.Option(
        metavar="PX", min=1, help="Long side of the result; if not given, that of the photo."
    ),
]


@with_flags
def recolor_command(
    photo: Photo,
    style: Style,
    output: Output,
    long_side: LongSide = None,
    *,
    colors: RecolorOptions,
    file: FileOptions,
    run: RunOptions,
) -> None:
    """Give the photo PHOTO the colors of the painting STYLE."""
    task = Task(content=photo, styles=[style], output=output, file=file, run=run)
    start = time.perf_counter()
    with interruptible(task), failed_allocations(_TOO_LARGE):
        prepare(task)
        picture, metadata = recolored(task, colors, long_side)
        write_image(picture.image, task, alpha=picture.alpha, metadata=metadata)
    height, width = picture.size
    seconds = time.perf_counter() - start
    task.note(f"Wrote {task.output_name}: {width} x {height} px, {seconds:.0f} s")
    if run.json:
        summary = {"output": output, "width": width, "height": height, "seconds": round(seconds, 2)}
        typer.echo(json.dumps({**summary, **metadata}))


def recolored(
    task: Task, colors: RecolorOptions, long_side: int | None
) -> tuple[Picture, dict[str, Any]]:
    """Read the pictures, check the output, recolor, and return the result and its metadata."""
    from impasto._version import __version__
    from impasto.machine import choose_device
    from impasto.pictures.colors import recolor
    from impasto.pictures.files import load_picture

    device = choose_device(task.run.device)
    photo = load_picture(read_content(task), long_side=long_side)
    style = load_picture(source(str(task.styles[0])))
    check_output(task)
    check_memory(task, photo, style)
    placed = replace(photo, image=photo.image.to(device))
    image = recolor(placed, style, method=colors.method, strength=colors.strength).cpu()
    metadata = {
        "impasto": __version__,
        "made": {"command": "recolor", **colors.to_dict(), "long_side": long_side},
        "content": {"name": photo.name, "sha256": photo.sha256},
        "styles": [{"name": style.name, "sha256": style.sha256}],
    }
    return replace(photo, image=image), metadata


def check_memory(task: Task, *pictures: Picture) -> None:
    """Raise a MemoryLimitError if both pictures need more than the given limit."""
    from impasto.painting.memory_plan import show_bytes

    pixels = sum(picture.size[0] * picture.size[1] for picture in pictures)
    needed = _PROCESS + _BYTES_PER_PIXEL * pixels
    if task.run.memory is not None and needed > task.run.memory:
        raise MemoryLimitError(
            f"both pictures together need {show_bytes(needed)} of memory, and "
            f"{show_bytes(task.run.memory)} are allowed; try a smaller --long-side, or a larger "
            "--memory"
        )
