"""The bundled pictures, and the command that copies them out: `impasto examples FOLDER`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from impasto.cli.setting_flags import with_flags
from impasto.errors import ImageError
from impasto.settings.run import ForceOptions

__all__ = ["EXAMPLES", "example_files", "examples_command"]

EXAMPLES = Path(__file__).parents[2] / "assets" / "examples"


def example_files() -> list[Path]:
    """List the bundled pictures by name."""
    return sorted(path for path in EXAMPLES.iterdir() if path.suffix in (".jpg", ".png"))


@with_flags
def examples_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to put them.")],
    *,
    options: ForceOptions,
) -> None:
    """Copy the bundled pictures to FOLDER."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for picture in example_files():
            target = folder / picture.name
            if target.exists() and not options.force:
                raise ImageError(f"{target} exists already; --force replaces it")
            shutil.copyfile(picture, target)
            typer.echo(target)
    except OSError as error:
        raise ImageError(f"{folder}: cannot write there: {error.strerror}") from error
