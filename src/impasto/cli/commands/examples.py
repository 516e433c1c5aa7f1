"""The command `impasto examples`: copies the bundled pictures to a folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from impasto.cli.typer_flags import with_flags
from impasto.errors import ImageError
from impasto.pictures.examples import example_files
from impasto.settings.command_flags import ForceOptions
from impasto.storage import check_results, one_line

__all__ = ["examples_command"]


@with_flags
def examples_command(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Folder for the pictures; it is made if it does not exist."
        ),
    ],
    *,
    options: ForceOptions,
) -> None:
    """Copy the bundled pictures to FOLDER."""
    if folder.exists() and not folder.is_dir():
        raise ImageError("is a file; name a folder for the pictures", path=folder)
    pictures = example_files()
    check_results(
        [("a bundled picture", each) for each in pictures],
        [("FOLDER", folder / each.name) for each in pictures],
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for picture in pictures:
            target = folder / picture.name
            if target.exists() and not options.force:
                raise ImageError("exists already; --force replaces it", path=target)
            shutil.copyfile(picture, target)
            typer.echo(target)
    except OSError as error:
        raise ImageError(f"cannot be written: {one_line(error)}", path=folder) from error
