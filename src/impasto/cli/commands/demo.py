"""The command `impasto demo`: a bundled photo in the style of a bundled painting."""

from __future__ import annotations

from typing import Annotated

import typer

from impasto.cli.run import paint
from impasto.cli.task import Task, settings_read
from impasto.cli.typer_flags import Changes, gather_settings, with_flags
from impasto.pictures.examples import EXAMPLES
from impasto.settings.command_flags import (
    FileOptions,
    PrintOptions,
    RecipeOptions,
    RecordOptions,
    RunOptions,
    TimeOptions,
)

__all__ = ["DEMO_PAINTING", "DEMO_PHOTO", "demo_command"]

DEMO_PHOTO = EXAMPLES / "neuschwanstein.jpg"
DEMO_PAINTING = EXAMPLES / "church_at_auvers_van_gogh.jpg"


@with_flags
def demo_command(
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help="The result.")
    ] = "impasto-demo.png",
    *,
    recipe: RecipeOptions,
    time: TimeOptions,
    print: PrintOptions,
    record: RecordOptions,
    file: FileOptions,
    run: RunOptions,
    changes: Changes,
) -> None:
    """Paint a bundled photo in the style of a bundled painting."""
    time.check(changes)
    print.check(changes)
    settings = gather_settings(recipe, changes, [DEMO_PAINTING])
    task = Task(
        content=str(DEMO_PHOTO), styles=[DEMO_PAINTING], output=output, time=time, print=print,
        record=record, file=file, run=run, reads=settings_read(settings, recipe),
    )  # fmt: skip
    paint(task, settings)
