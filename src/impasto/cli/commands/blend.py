"""The command blend: what lies between styles, as a row of pictures or a grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from impasto.cli.run import Job
from impasto.cli.run_options import (
    Device,
    Force,
    Json,
    Output,
    Quiet,
    Recipe,
    Schedule,
    SettingsFile,
    Threads,
)
from impasto.cli.setting_flags import gather_settings, with_settings
from impasto.cli.sheets import paint_blends
from impasto.errors import SettingsError

__all__ = ["blend_command"]


@with_settings
def blend_command(
    content: Annotated[
        str, typer.Argument(metavar="CONTENT", help="The photo; - reads it from stdin.")
    ],
    styles: Annotated[
        list[Path],
        typer.Argument(metavar="STYLE...", help="Two paintings for a row, four for a grid."),
    ],
    output: Output,
    count: Annotated[
        int,
        typer.Option(min=2, max=25, metavar="N", help="Pictures in the row, or along each side."),
    ] = 5,
    recipe: Recipe = "default",
    schedule: Schedule = None,
    settings_file: SettingsFile = None,
    force: Force = False,
    threads: Threads = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Paint CONTENT by shares of several styles, from all of one to all of another, on one sheet.

    Two styles make a row; four make a grid with one in each corner. One of these pictures at its
    full size is `impasto stylize` with a --style-weight for each style.
    """
    if len(styles) not in (2, 4):
        raise SettingsError(f"{len(styles)} styles: two make a row and four a grid")
    settings = gather_settings(recipe, schedule, settings_file, options or {}, styles)
    job = Job(
        content=content, styles=styles, output=output, force=force, threads=threads,
        device=device, quiet=quiet, json=as_json,
    )  # fmt: skip
    paint_blends(job, settings, count)
