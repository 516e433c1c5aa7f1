"""The arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Content", "Image", "Output", "Styles"]

Content = Annotated[
    str, typer.Argument(metavar="CONTENT", help="The photo; - reads it from stdin.")
]
Image = Annotated[str, typer.Argument(metavar="IMAGE", help="The picture; - reads it from stdin.")]
Styles = Annotated[
    list[Path],
    typer.Argument(metavar="STYLE...", help="A painting, or several paintings to blend."),
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
