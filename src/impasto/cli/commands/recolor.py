"""The command `impasto recolor PHOTO STYLE -o OUT`: only the painting's palette, no strokes."""

from __future__ import annotations

import json
import time
import typing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.run import Job, check_streams, memory_errors, read_content, write_image
from impasto.cli.run_options import Bits, Force, Json, Output, Quiet
from impasto.settings.pictures import MatchingName

if TYPE_CHECKING:
    from impasto.pictures.picture import Picture

__all__ = ["recolor_command"]

METHODS: tuple[str, ...] = typing.get_args(MatchingName)


Photo = Annotated[
    str, typer.Argument(metavar="PHOTO", help="The picture to change; - reads it from stdin.")
]
Style = Annotated[Path, typer.Argument(metavar="STYLE", help="The painting whose colors it gets.")]
Method = Annotated[
    str,
    typer.Option(
        metavar="|".join(METHODS),
        help="What is matched: mean and covariance of the colors, moving them as little as "
        "possible (symmetric), in the order red, green, blue (cholesky) or along the main "
        "axes (pca); or each channel's distribution (histogram).",
        autocompletion=lambda: list(METHODS),
    ),
]
Strength = Annotated[float, typer.Option(metavar="X", help="From 0, the photo's colors, to 1.")]
LongSide = Annotated[
    int | None,
    typer.Option(metavar="PX", min=1, help="Long side of the result; if not given, the photo's."),
]


def recolor_command(
    photo: Photo,
    style: Style,
    output: Output,
    method: Method = METHODS[0],
    strength: Strength = 1.0,
    long_side: LongSide = None,
    force: Force = False,
    bits: Bits = 8,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Give the photo PHOTO the colors of the painting STYLE, and nothing else of it."""
    job = Job(
        content=photo, styles=[style], output=output, force=force, bits=bits, quiet=quiet,
        json=as_json,
    )  # fmt: skip
    start = time.perf_counter()
    check_streams(job)
    with memory_errors(long_side or 4096):
        picture, metadata = recolored(job, method, strength, long_side)
        write_image(picture.image, job, alpha=picture.alpha, metadata=metadata)
    height, width = picture.size
    seconds = time.perf_counter() - start
    name = "stdout" if output == "-" else output
    job.note(f"Wrote {name}: {width} x {height} px, {seconds:.0f} s")
    if as_json:
        summary = {"output": output, "width": width, "height": height, "seconds": round(seconds, 2)}
        typer.echo(json.dumps({**summary, **metadata}))


def recolored(
    job: Job, method: str, strength: float, long_side: int | None
) -> tuple[Picture, dict[str, Any]]:
    """Read, check that the result can be written, and recolor; return it and its metadata."""
    from impasto._version import __version__
    from impasto.pictures.colors import check_recoloring, recolor
    from impasto.pictures.files import check_writable, load_picture

    check_recoloring(method, strength)
    photo = load_picture(read_content(job), long_side=long_side)
    style = load_picture(job.styles[0])
    if job.output != "-":
        check_writable(job.output, bits=job.bits, overwrite=job.force)
    with memory_errors(max(photo.size)):
        image = recolor(photo.image, style.image, method=method, strength=strength)
    metadata = {
        "impasto": __version__,
        "made": {
            "command": "recolor", "method": method, "strength": strength, "long_side": long_side,
        },
        "content": {"name": photo.name, "sha256": photo.sha256},
        "styles": [{"name": style.name, "sha256": style.sha256}],
    }  # fmt: skip
    return replace(photo, image=image), metadata
