"""The command `impasto layers`: a network's layers."""

from __future__ import annotations

from typing import Annotated

import typer

from impasto.cli.typer_flags import with_flags
from impasto.settings.layers import CONVOLUTIONS, layer_names, minimum_side
from impasto.settings.pictures import Settings

__all__ = ["layers_command"]

_DEFAULT = Settings().network
Network = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK",
        help=f"{' or '.join(CONVOLUTIONS)}; if not given, {_DEFAULT}.",
        autocompletion=lambda: list(CONVOLUTIONS),
    ),
]


@with_flags
def layers_command(network: Network = _DEFAULT) -> None:
    """List the layers of a network, and the shortest allowed side of a picture for each."""
    for name in layer_names(network):
        typer.echo(f"{name:8}  at least {minimum_side(name)} px")
