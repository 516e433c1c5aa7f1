"""The flags that several commands share, besides those of `Settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from impasto.recipes import RECIPES

__all__ = [
    "Bits",
    "Device",
    "Force",
    "Json",
    "Quiet",
    "Recipe",
    "SaveSettings",
    "Schedule",
    "SettingsFile",
    "Threads",
    "Time",
]

Recipe = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help=f"Settings to begin with: {', '.join(RECIPES)}, or a .toml file.",
        autocompletion=lambda: list(RECIPES),
    ),
]
Schedule = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Take start, sizes and steps from this other recipe.",
        autocompletion=lambda: list(RECIPES),
        hidden=True,
    ),
]
SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", metavar="FILE", help="Change the recipe by those in a .toml file."),
]
SaveSettings = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write all settings to a .toml file.", hidden=True),
]
Time = Annotated[
    str | None,
    typer.Option(
        "--time", metavar="TIME", help="Choose steps that take about this long: 90s, 2m, 1h."
    ),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace files that exist.")]
Bits = Annotated[
    int,
    typer.Option(metavar="8|16", help="Bits per channel, 16 for .png and .tiff.", hidden=True),
]
Threads = Annotated[
    int | None,
    # Thousands of threads crash the OpenMP library of some builds.
    typer.Option(
        min=1, max=256, metavar="N", help="CPU threads; if not given, one per core.", hidden=True
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda|mps",
        help="What to compute on; auto takes a GPU if there is one.",
        autocompletion=lambda: ["auto", "cpu", "cuda", "mps"],
        hidden=True,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Json = Annotated[
    bool, typer.Option("--json", help="End with one line of JSON on stdout.", hidden=True)
]
