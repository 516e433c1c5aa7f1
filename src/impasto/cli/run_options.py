"""The arguments and flags that several commands share, besides those of `Settings`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from impasto.settings.recipes import RECIPES

__all__ = [
    "Bits",
    "ContentMask",
    "Device",
    "Dpi",
    "Every",
    "Force",
    "Frames",
    "Json",
    "Mask",
    "Memory",
    "Output",
    "Plot",
    "Print",
    "Quiet",
    "Recipe",
    "Regions",
    "SaveSettings",
    "Schedule",
    "SettingsFile",
    "StyleMask",
    "StyleRegions",
    "Styles",
    "Threads",
    "Time",
    "Timelapse",
    "files",
]

Styles = Annotated[
    list[Path], typer.Argument(metavar="STYLE...", help="A painting, or several to blend.")
]
Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="The result: .png, .jpg, .webp or .tiff; - writes a PNG to stdout.",
    ),
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
Mask = Annotated[
    list[str] | None,
    typer.Option(
        "--mask", metavar="FILE",
        help="Where the style goes: white; black stays the photo. The n-th is the n-th STYLE's; "
        "none: everywhere; not:FILE: where it is black.",
    ),
]  # fmt: skip
StyleMask = Annotated[
    list[str] | None,
    typer.Option(
        "--style-mask", metavar="FILE",
        help="What of the painting is taken: white. The n-th is the n-th STYLE's, or none.",
    ),
]  # fmt: skip
Regions = Annotated[
    str | None,
    typer.Option(
        "--regions", metavar="FILE",
        help="A map of the photo in flat colors: each region gets the style of the regions of its "
        "color; black stays the photo.", hidden=True,
    ),
]  # fmt: skip
StyleRegions = Annotated[
    list[str] | None,
    typer.Option(
        "--style-regions", metavar="FILE",
        help="Such a map of each STYLE, for --regions.", hidden=True,
    ),
]  # fmt: skip
ContentMask = Annotated[
    str | None,
    typer.Option(
        "--content-mask", metavar="FILE",
        help="Where the photo counts more, as to protect a face: white; see "
        "--content-mask-weight.", hidden=True,
    ),
]  # fmt: skip
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
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="SIZE",
        help="Keep within this much memory, like 4GB; large pictures are then computed in tiles. "
        "[default: what is free]", hidden=True,
    ),
]  # fmt: skip
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Json = Annotated[
    bool, typer.Option("--json", help="End with one line of JSON on stdout.", hidden=True)
]
Every = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Keep every N-th step for --frames and --timelapse. [default: 10]",
        hidden=True,
    ),
]  # fmt: skip
Frames = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Save pictures of the run there.", hidden=True),
]
Timelapse = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Film the run: .gif, .webp, or .mp4 with impasto[video].", hidden=True
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Draw the losses: .png, .svg or .pdf, with impasto[plot].",
        hidden=True,
    ),
]  # fmt: skip
Print = Annotated[
    str | None,
    typer.Option(
        "--print", metavar="WxHcm", help="Size for a print, like 40x30cm, instead of --long-side.",
        hidden=True,
    ),
]  # fmt: skip
Dpi = Annotated[
    float | None,
    typer.Option(
        "--dpi", metavar="N", hidden=True,
        help="Dots per inch to write into the file. [default: 300 with --print]",
    ),
]  # fmt: skip


def files(names: Sequence[str] | None) -> list[str | None]:
    """Return the files of a flag that is given once per style; "none" is none."""
    return [None if name == "none" else name for name in names or ()]
