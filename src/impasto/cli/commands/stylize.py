"""The command `impasto stylize CONTENT STYLE... -o OUT`: a photo in the style of paintings."""

from __future__ import annotations

from impasto.cli.arguments import Content, Output, Styles
from impasto.cli.run import paint
from impasto.cli.task import Task, settings_read
from impasto.cli.typer_flags import Changes, gather_settings, with_flags
from impasto.settings.command_flags import (
    FileOptions,
    PrintOptions,
    RecipeOptions,
    RecordOptions,
    RunOptions,
    TimeOptions,
)
from impasto.settings.masks import RegionOptions

__all__ = ["stylize_command"]


@with_flags
def stylize_command(
    content: Content,
    styles: Styles,
    output: Output,
    *,
    masks: RegionOptions,
    recipe: RecipeOptions,
    time: TimeOptions,
    print: PrintOptions,
    record: RecordOptions,
    file: FileOptions,
    run: RunOptions,
    changes: Changes,
) -> None:
    """Paint the photo CONTENT in the style of the painting STYLE."""
    time.check(changes)
    print.check(changes)
    settings = gather_settings(recipe, changes, styles)
    task = Task(
        content=content, styles=styles, output=output, guides=masks.guides, time=time, print=print,
        record=record, file=file, run=run, reads=settings_read(settings, recipe),
    )  # fmt: skip
    paint(task, settings)
