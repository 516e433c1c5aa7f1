"""The command line: `impasto stylize PHOTO PAINTING -o PASTICHE`, and what goes with it."""

from __future__ import annotations

import errno
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer

from impasto.cli.commands.audio import audio_command
from impasto.cli.commands.blend import blend_command
from impasto.cli.commands.examples import EXAMPLES, examples_command
from impasto.cli.commands.plan import plan_command
from impasto.cli.commands.recipes import add_recipes_command
from impasto.cli.commands.recolor import recolor_command
from impasto.cli.commands.redo import redo_command
from impasto.cli.commands.studio import studio_command
from impasto.cli.commands.variations import dream_command, reconstruct_command, texture_command
from impasto.cli.commands.video import VideoCommand, video_command
from impasto.cli.printing import for_print
from impasto.cli.recorder import MakingOf
from impasto.cli.run import INTERRUPTED, Job, paint
from impasto.cli.run_options import (
    Bits,
    ContentMask,
    Device,
    Dpi,
    Every,
    Force,
    Frames,
    Json,
    Mask,
    Memory,
    Output,
    Plot,
    Print,
    Quiet,
    Recipe,
    Regions,
    SaveSettings,
    Schedule,
    SettingsFile,
    StyleMask,
    StyleRegions,
    Styles,
    Threads,
    Time,
    Timelapse,
    files,
)
from impasto.cli.setting_flags import (
    GroupedCommand,
    check_budget,
    gather_settings,
    memory_limit,
    with_settings,
)
from impasto.errors import ImpastoError
from impasto.settings.layers import CONVOLUTIONS, layer_names, minimum_side
from impasto.settings.pictures import Settings

__all__ = ["app", "run"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DEMO_PHOTO = EXAMPLES / "neuschwanstein.jpg"
DEMO_PAINTING = EXAMPLES / "church_at_auvers_van_gogh.jpg"


@app.command("stylize", cls=GroupedCommand, options_metavar="CONTENT STYLE... -o OUT [OPTIONS]")
@with_settings
def stylize_command(
    content: Annotated[
        str, typer.Argument(metavar="CONTENT", help="The photo; - reads it from stdin.")
    ],
    styles: Styles,
    output: Output,
    mask: Mask = None,
    style_mask: StyleMask = None,
    regions: Regions = None,
    style_regions: StyleRegions = None,
    content_mask: ContentMask = None,
    recipe: Recipe = "default",
    schedule: Schedule = None,
    settings_file: SettingsFile = None,
    save_settings: SaveSettings = None,
    budget: Time = None,
    paper: Print = None,
    dpi: Dpi = None,
    every: Every = None,
    frames: Frames = None,
    timelapse: Timelapse = None,
    plot: Plot = None,
    force: Force = False,
    bits: Bits = 8,
    threads: Threads = None,
    device: Device = "auto",
    memory: Memory = None,
    quiet: Quiet = False,
    as_json: Json = False,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Paint the photo CONTENT in the style of the painting STYLE."""  # fmt: skip
    check_budget(budget, options or {})
    settings = gather_settings(recipe, schedule, settings_file, options or {}, styles)
    job = Job(
        content=content, styles=styles, output=output, save_settings=save_settings, budget=budget,
        force=force, bits=bits, threads=threads, device=device, quiet=quiet, json=as_json,
        memory=memory_limit(memory),
        making=MakingOf(every=every, frames=frames, timelapse=timelapse, plot=plot),
        guidance={
            "masks": files(mask), "style_masks": files(style_mask), "regions": regions,
            "style_regions": style_regions or (), "content_mask": content_mask,
        },
        **for_print(paper, dpi, options or {}),
    )  # fmt: skip
    paint(job, settings)


app.command("blend", cls=GroupedCommand, options_metavar="CONTENT STYLE... -o OUT [OPTIONS]")(
    blend_command
)
app.command("recolor", cls=GroupedCommand, options_metavar="PHOTO STYLE -o OUT [OPTIONS]")(
    recolor_command
)


@app.command("demo", cls=GroupedCommand, options_metavar="[OPTIONS]")
@with_settings
def demo_command(
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help="The result.")
    ] = "impasto-demo.png",
    recipe: Recipe = "default",
    budget: Time = None,
    force: Force = False,
    threads: Threads = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Paint a bundled photo in the style of a bundled painting."""
    check_budget(budget, options or {})
    settings = gather_settings(recipe, None, None, options or {}, [DEMO_PAINTING])
    job = Job(
        content=str(DEMO_PHOTO), styles=[DEMO_PAINTING], output=output, budget=budget,
        force=force, threads=threads, device=device, quiet=quiet, json=as_json,
    )  # fmt: skip
    paint(job, settings)


app.command("examples", cls=GroupedCommand, options_metavar="FOLDER [OPTIONS]")(examples_command)


@app.command("layers", cls=GroupedCommand, options_metavar="[NETWORK]")
def layers_command(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help=f"{' or '.join(CONVOLUTIONS)}; if not given, {Settings().network}.",
            autocompletion=lambda: list(CONVOLUTIONS),
        ),
    ] = Settings().network,
) -> None:
    """List a network's layers and the smallest picture each can see."""
    for name in layer_names(network):
        typer.echo(f"{name:8}  from {minimum_side(name)} px")


app.command("plan", cls=GroupedCommand, options_metavar="CONTENT [STYLE...] [OPTIONS]")(
    plan_command
)
add_recipes_command(app)
app.command("texture", cls=GroupedCommand, options_metavar="STYLE... -o OUT [OPTIONS]")(
    texture_command
)
app.command("reconstruct", cls=GroupedCommand, options_metavar="IMAGE -o OUT [OPTIONS]")(
    reconstruct_command
)
app.command("dream", cls=GroupedCommand, options_metavar="IMAGE -o OUT [OPTIONS]")(dream_command)
app.command("video", cls=VideoCommand, options_metavar="CLIP STYLE... -o OUT [OPTIONS]")(
    video_command
)
app.command("audio", cls=GroupedCommand, options_metavar="CONTENT STYLE -o OUT.wav [OPTIONS]")(
    audio_command
)
app.command("redo", cls=GroupedCommand, options_metavar="PICTURE [-o NEW] [OPTIONS]")(redo_command)

app.command("studio", cls=GroupedCommand, options_metavar="[OPTIONS]")(studio_command)


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
    try:
        app(prog_name="impasto")
    except ImpastoError as error:
        typer.echo(f"Error: {' '.join(str(error).split())}", err=True)  # one line, come what may
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:  # a closed pipe ends quietly, by Typer
            raise
        typer.echo(f"Error: cannot write to stdout: {error.strerror}", err=True)
        with suppress(OSError):
            sys.stdout.close()  # or Python would try, and complain, again
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(0)
