"""The command `impasto blend CONTENT STYLE... -o OUT`: a row or a grid between styles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from impasto.cli.arguments import Content, Output
from impasto.cli.sheets import paint_blends
from impasto.cli.task import Task, settings_read
from impasto.cli.typer_flags import Changes, gather_settings, with_flags
from impasto.errors import SettingsError, counted
from impasto.settings.command_flags import FileOptions, RecipeOptions, RunOptions
from impasto.settings.masks import BlendMaskOptions

__all__ = ["blend_command"]

Styles = Annotated[
    list[Path],
    typer.Argument(metavar="STYLE...", help="Two paintings for a row, four for a grid."),
]
Count = Annotated[
    int,
    typer.Option(
        min=2, max=25, metavar="N", help="Pictures in the row, or along each side of the grid."
    ),
]


@with_flags
def blend_command(
    content: Content,
    styles: Styles,
    output: Output,
    count: Count = 5,
    *,
    masks: BlendMaskOptions,
    recipe: RecipeOptions,
    file: FileOptions,
    run: RunOptions,
    changes: Changes,
) -> None:
    """Paint CONTENT in several blends of styles, on one sheet.

    Two styles make a row: the first picture has only the first style, and the last picture only
    the second. Four styles make a grid with one style in each corner. To paint one of these
    pictures at full size, use `impasto stylize` with a --style-weight for each style.
    """
    if len(styles) not in (2, 4):
        given = counted(len(styles), "style")
        raise SettingsError(f"{given} given; a blend needs two styles (a row) or four (a grid)")
    settings = gather_settings(recipe, changes, styles)
    task = Task(
        content=content, styles=styles, output=output, guides=masks.guides_for(len(styles)),
        file=file, run=run, reads=settings_read(settings, recipe),
    )  # fmt: skip
    paint_blends(task, settings, count)
