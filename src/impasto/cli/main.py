"""The command line: `impasto stylize PHOTO PAINTING -o PASTICHE`, and the other commands."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer

from impasto.cli.commands.audio import audio_command
from impasto.cli.commands.blend import blend_command
from impasto.cli.commands.compare import compare_command
from impasto.cli.commands.demo import demo_command
from impasto.cli.commands.evaluate import evaluate_command
from impasto.cli.commands.examples import examples_command
from impasto.cli.commands.layers import layers_command
from impasto.cli.commands.plan import plan_command
from impasto.cli.commands.recipes import recipes_command
from impasto.cli.commands.recolor import recolor_command
from impasto.cli.commands.redo import redo_command
from impasto.cli.commands.studio import studio_command
from impasto.cli.commands.stylize import stylize_command
from impasto.cli.commands.variations import dream_command, reconstruct_command, texture_command
from impasto.cli.commands.video import VideoCommand, video_command
from impasto.cli.failures import INTERRUPTED, plain_warnings
from impasto.cli.help import GroupedCommand, GroupedCommands
from impasto.cli.streams import tolerate_encodings
from impasto.errors import ImpastoError

__all__ = ["add_command", "app", "command_name", "run"]

app = typer.Typer(
    cls=GroupedCommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def add_command(
    group: str,
    command: Callable[..., Any],
    usage: str,
    kind: type[GroupedCommand] = GroupedCommand,
) -> None:
    """Add a command to the command line.

    Args:
        group: the title in `impasto --help` under which the command is listed.
        command: the function `NAME_command`.
        usage: the command's arguments and required options.
    """
    metavar = f"{usage} [OPTIONS]".strip()
    register = app.command(
        command_name(command), cls=kind, options_metavar=metavar, rich_help_panel=group
    )
    register(command)


def command_name(command: Any) -> str:
    """Return the name of a command: that of its function without `_command`."""
    return str(command.__name__.removesuffix("_command"))


add_command("Paint", stylize_command, "CONTENT STYLE... -o OUT")
add_command("Paint", blend_command, "CONTENT STYLE... -o OUT")
add_command("Paint", recolor_command, "PHOTO STYLE -o OUT")
add_command("Paint", demo_command, "")
add_command("Paint", redo_command, "PICTURE [-o NEW]")
add_command("Variations", texture_command, "STYLE... -o OUT")
add_command("Variations", reconstruct_command, "IMAGE -o OUT")
add_command("Variations", dream_command, "IMAGE -o OUT")
add_command("Moving pictures and sound", video_command, "CLIP STYLE... -o OUT", VideoCommand)
add_command("Moving pictures and sound", audio_command, "CONTENT STYLE -o OUT.wav")
add_command("Look and learn", plan_command, "CONTENT [STYLE...]")
add_command("Look and learn", evaluate_command, "RESULT [-c PHOTO -s PAINTING]")
add_command("Look and learn", compare_command, "PAIRS -m NAME=FOLDER... -o DIR")
add_command("Look and learn", recipes_command, "[NAME|FILE]")
add_command("Look and learn", layers_command, "[NETWORK]")
add_command("Look and learn", examples_command, "FOLDER")
add_command("Serve", studio_command, "")


def _print_version(value: bool) -> None:
    if value:
        from impasto._version import __version__

        typer.echo(f"impasto {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Paint any picture in the style of any other.

    \b
    impasto demo
    impasto stylize photo.jpg painting.jpg -o pastiche.png
    impasto stylize --help
    """  # noqa: D301  (\b keeps the lines apart)


def run() -> NoReturn:
    """Run the command line and exit: 0, 1 after an error, 2 after wrong usage, 130 after Ctrl-C."""
    tolerate_encodings()
    try:
        with plain_warnings():
            app(prog_name="impasto")
    except ImpastoError as error:
        typer.echo(f"Error: {' '.join(str(error).split())}", err=True)  # always one line
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:  # Typer handles a closed pipe
            raise
        typer.echo(f"Error: cannot write to stdout: {error.strerror}", err=True)
        with suppress(OSError):
            sys.stdout.close()  # or Python would try again and complain
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(0)
