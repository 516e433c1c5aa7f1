"""The command line: `impasto stylize PHOTO PAINTING -o PASTICHE`, and what goes with it."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from impasto.apps.options import parse_duration, with_settings
from impasto.errors import DivergenceError, ImageError, ImpastoError, SettingsError
from impasto.layers import CONVOLUTIONS, layer_names, minimum_side
from impasto.recipes import RECIPES, read_settings_file, recipe_settings, write_settings_file
from impasto.settings import NetworkName, Settings

if TYPE_CHECKING:
    from impasto.images import Picture
    from impasto.optimize import Step
    from impasto.stylizer import Pastiche

app = typer.Typer(
    help="Paint any picture in the style of any other.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_STDIO = "-"
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


@dataclass(frozen=True)
class Saying:
    """How much is said, and where: everything but results goes to stderr."""

    quiet: bool
    json: bool

    def note(self, text: str) -> None:
        """Say something on stderr unless quiet."""
        if not self.quiet:
            typer.echo(text, err=True)


Recipe = Annotated[
    str,
    typer.Option(
        help=f"Settings to begin with: {', '.join(RECIPES)}, or a .toml file.",
        autocompletion=lambda: list(RECIPES),
    ),
]
Schedule = Annotated[
    str | None,
    typer.Option(help="Take start, levels and steps from this other recipe.", hidden=True),
]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="Read settings from a TOML file.")
]
SaveSettings = Annotated[
    Path | None, typer.Option(help="Write all settings to a TOML file.", hidden=True)
]
Time = Annotated[
    str | None,
    typer.Option("--time", help="Choose steps that take about this long: 90s, 2m."),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite the result's file.")]
Bits = Annotated[int, typer.Option(help="Bits per channel of a PNG or TIFF: 8 or 16.", hidden=True)]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads; default: all cores.", hidden=True)
]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda or mps.", hidden=True, metavar="DEVICE")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON.")]


@app.command("stylize")
@with_settings
def stylize_command(
    content: Annotated[str, typer.Argument(help="The photo; - reads it from stdin.")],
    styles: Annotated[
        list[Path], typer.Argument(metavar="STYLE...", help="One or more paintings.")
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="The result: .png .jpg .webp .tiff, or -.")
    ],
    recipe: Recipe = "default",
    schedule: Schedule = None,
    settings_file: SettingsFile = None,
    save_settings: SaveSettings = None,
    budget: Time = None,
    force: Force = False,
    bits: Bits = 8,
    threads: Threads = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Paint the photo CONTENT in the style of the painting STYLE.

    With several paintings, their styles are blended.
    """
    saying = Saying(quiet, as_json)
    if as_json and output == _STDIO:
        raise SettingsError("--json and -o - both write to stdout: choose one")
    settings = gather_settings(recipe, schedule, settings_file, options or {})
    check_target(output, bits=bits, force=force)
    photo, paintings = read_pictures(content, styles)
    paint(
        photo, paintings, settings, output,
        bits=bits, budget=budget, threads=threads, device=device, saying=saying,
        save_settings=save_settings,
    )  # fmt: skip


@app.command("demo")
@with_settings
def demo_command(
    output: Annotated[str, typer.Option("--output", "-o", help="The result.")] = "impasto-demo.png",
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
    settings = gather_settings(recipe, None, None, options or {})
    check_target(output, bits=8, force=force)
    photo, paintings = read_pictures(str(EXAMPLES / DEMO_PHOTO), [EXAMPLES / DEMO_PAINTING])
    paint(
        photo, paintings, settings, output,
        bits=8, budget=budget, threads=threads, device=device, saying=Saying(quiet, as_json),
    )  # fmt: skip


EXAMPLES = Path(__file__).parent.parent / "assets" / "examples"
DEMO_PHOTO = "neuschwanstein.jpg"
DEMO_PAINTING = "church_at_auvers_van_gogh.jpg"


@app.command("examples")
def examples_command(
    folder: Annotated[Path, typer.Argument(help="Where to put them.")],
) -> None:
    """Copy the bundled photos and paintings to a folder, to try things on."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(EXAMPLES.iterdir()):
            shutil.copyfile(path, folder / path.name)
            typer.echo(folder / path.name)
    except OSError as error:
        raise ImageError(f"{folder}: cannot write there: {error.strerror}") from error


@app.command("layers")
def layers_command(
    network: Annotated[
        NetworkName, typer.Argument(autocompletion=lambda: list(CONVOLUTIONS))
    ] = "vgg19",
) -> None:
    """List the layers of a network, shallow to deep, and the smallest picture each can see."""
    for name in layer_names(network):
        typer.echo(f"{name:8}  from {minimum_side(name)} px")


def _print_version(value: bool) -> None:
    if value:
        from impasto import __version__

        typer.echo(f"impasto {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show it.")
    ] = False,
) -> None:
    """Paint any picture in the style of any other."""


def gather_settings(
    recipe: str, schedule: str | None, file: Path | None, options: Mapping[str, Any]
) -> Settings:
    """Put settings together: recipe, then a settings file, then flags."""
    values = read_settings_file(file) if file else {}
    return recipe_settings(recipe, schedule=schedule, **{**values, **options})


def check_target(output: str, *, bits: int, force: bool) -> None:
    """Raise an ImageError before the work begins if its result could not be written."""
    from impasto.images import check_writable

    if output != _STDIO:
        check_writable(Path(output), bits=bits, overwrite=force)


def read_pictures(content: str, styles: Sequence[Path]) -> tuple[Picture, list[Picture]]:
    """Read the photo, possibly from stdin, and the paintings."""
    from impasto.images import load_picture

    photo = load_picture(sys.stdin.buffer if content == _STDIO else Path(content))
    return photo, [load_picture(path) for path in styles]


def paint(
    photo: Picture,
    paintings: Sequence[Picture],
    settings: Settings,
    output: str,
    *,
    bits: int,
    budget: str | None,
    threads: int | None,
    device: str,
    saying: Saying,
    save_settings: Path | None = None,
) -> None:
    """Paint, show how it goes, and write the result; on Ctrl-C, what there is so far."""
    import torch

    from impasto.stylizer import Stylizer, load_inputs

    start = time.perf_counter()
    seconds = None if budget is None else parse_duration(budget)
    if threads:
        torch.set_num_threads(threads)
    load_inputs(photo, list(paintings), settings)  # fails before the network is loaded
    stylizer = Stylizer(settings, device=choose_device(device))
    if seconds is not None:
        stylizer.settings = settings = stylizer.within(photo, seconds)
        saying.note(f"{budget}: {_plan_text(stylizer, photo)}")
    if save_settings:
        write_settings_file(settings, save_settings)
    pastiche, note, code = _run(stylizer, photo, paintings, saying)
    _write(pastiche, output, bits)
    seconds = time.perf_counter() - start
    height, width = pastiche.image.shape[-2:]
    saying.note(f"{note}{_name(output)}: {width} x {height} px, {seconds:.0f} s")
    if saying.json:
        typer.echo(json.dumps(_summary(pastiche, output, seconds)))
    if code:
        raise typer.Exit(code)


def _run(
    stylizer: Any, photo: Picture, paintings: Sequence[Picture], saying: Saying
) -> tuple[Pastiche, str, int]:
    """Paint; return the pastiche, how it ended, and the exit code."""
    from rich.console import Console

    from impasto.apps.progress import reporting
    from impasto.stylizer import finish, record

    history: list[Mapping[str, float]] = []
    last: Step | None = None
    note, code = "", 0
    console = Console(stderr=True)
    try:
        with reporting(stylizer.levels(photo), console, quiet=saying.quiet) as report:
            for step in stylizer.steps(photo, paintings):
                last = step
                history.append(record(step))
                report(step)
    except KeyboardInterrupt:
        if last is None:
            typer.echo("Interrupted before the first step: nothing written.", err=True)
            raise typer.Exit(_INTERRUPTED) from None
        note = f"Interrupted: the image of step {last.index} of {last.count} is kept. "
        code = _INTERRUPTED
    except DivergenceError as error:
        typer.echo(f"Error: {error}; the last good image is kept", err=True)
        return finish(error.image, photo, paintings, stylizer.settings, history), "", 1
    if last is None:
        raise ImpastoError("no step was made")
    return finish(last.image, photo, paintings, stylizer.settings, history), note, code


def _plan_text(stylizer: Any, photo: Picture) -> str:
    levels = stylizer.levels(photo)
    return ", then ".join(f"{level.steps} steps at {level.long_side} px" for level in levels)


def _write(pastiche: Pastiche, output: str, bits: int) -> None:
    from impasto.images import save_image

    if output != _STDIO:
        pastiche.save(output, bits=bits)
        return
    save_image(
        pastiche.image,
        sys.stdout.buffer,
        alpha=pastiche.alpha,
        metadata=pastiche.metadata,
        bits=bits,
    )


def _name(output: str) -> str:
    return "stdout" if output == _STDIO else output


def _summary(pastiche: Pastiche, output: str, seconds: float) -> dict[str, Any]:
    height, width = pastiche.image.shape[-2:]
    return {
        "output": output,
        "width": width,
        "height": height,
        "steps": len(pastiche.history),
        "seconds": round(seconds, 2),
        "losses": {
            name: value
            for name, value in pastiche.history[-1].items()
            if name not in ("step", "level", "seconds")
        },
        **pastiche.metadata,
    }


def choose_device(name: str) -> str:
    """Return the device to compute on; "auto" takes the first that is there."""
    import torch

    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return next(device for device, present in there.items() if present)
    if name.split(":")[0] not in there:
        raise SettingsError(f"{name}: no such device (auto, cpu, cuda or mps)")
    if not there[name.split(":")[0]]:
        raise SettingsError(f"{name}: this machine, or this build of torch, has none")
    return name


def run() -> NoReturn:
    """Run the command line and exit: 0, 1 after an error, 2 after wrong usage, 130 after Ctrl-C."""
    try:
        app()
    except ImpastoError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        with suppress(OSError):
            sys.stdout.close()
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    sys.exit(0)
