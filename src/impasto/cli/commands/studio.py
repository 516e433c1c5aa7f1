"""The command `impasto studio`: a page in the browser, served from this machine to itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from impasto.cli.setting_flags import parse_duration
from impasto.machine import data_folder
from impasto.studio.jobs.limits import Limits

__all__ = ["studio_command"]

_DEFAULT = Limits()


def studio_command(
    host: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="Where to listen; another than this machine itself needs --auth or --token.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="0: any that is free.")
    ] = 7860,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where uploads, jobs and results are kept. [default: the user's data folder]",
        ),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
    auth: Annotated[
        str | None,
        typer.Option(metavar="USER:PASSWORD", help="What visitors have to know."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="The same for programs: Authorization: Bearer TOKEN."),
    ] = None,
    queue: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000, help="Jobs that may wait.")
    ] = _DEFAULT.queue,
    max_pixels: Annotated[
        int, typer.Option(metavar="N", min=10_000, help="Pixels of an upload, or of a result.")
    ] = _DEFAULT.max_pixels,
    max_megabytes: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000, help="Megabytes of an upload.")
    ] = _DEFAULT.max_bytes // 1_000_000,
    max_clip_megabytes: Annotated[
        int, typer.Option(metavar="N", min=1, max=100_000, help="Megabytes of a clip.")
    ] = _DEFAULT.max_clip_bytes // 1_000_000,
    max_frames: Annotated[
        int, typer.Option(metavar="N", min=1, help="Frames of a clip, or of its painted part.")
    ] = _DEFAULT.max_frames,
    max_time: Annotated[
        str, typer.Option(metavar="TIME", help="How long one job may take: 90s, 30m, 4h.")
    ] = f"{_DEFAULT.max_time / 3600:g}h",
    grace: Annotated[
        str, typer.Option(metavar="TIME", help="When a picture stops whose page was closed.")
    ] = f"{_DEFAULT.grace / 60:g}m",
    keep: Annotated[
        float, typer.Option(metavar="GB", min=0.01, help="Space for results; the oldest go first.")
    ] = _DEFAULT.keep / 1e9,
) -> None:
    """Open a page on which to paint; with it, an HTTP API."""
    from impasto.studio.server import serve
    from impasto.studio.web.guard import Keys

    limits = Limits(
        queue=queue, max_pixels=max_pixels, max_bytes=max_megabytes * 1_000_000,
        max_clip_bytes=max_clip_megabytes * 1_000_000, max_frames=max_frames,
        max_time=parse_duration(max_time), grace=parse_duration(grace), keep=int(keep * 1e9),
    )  # fmt: skip
    serve(
        data if data is not None else data_folder(), limits, Keys(login=auth, token=token),
        host=host, port=port, open_page=open_page, say=lambda text: typer.echo(text, err=True),
    )  # fmt: skip
