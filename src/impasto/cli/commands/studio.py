"""The command `impasto studio`: a page in the browser, for this machine only by default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from impasto.cli.typer_flags import with_flags
from impasto.machine import data_folder
from impasto.settings.options import Options, option
from impasto.settings.units import parse_duration, show_duration
from impasto.studio.jobs.limits import Limits

__all__ = ["StudioOptions", "studio_command"]

_DEFAULT = Limits()


@dataclass(frozen=True, kw_only=True)
class StudioOptions(Options):
    """The address of the studio, its passwords, and its limits."""

    host: str = option(
        "127.0.0.1",
        "Address to listen on; if other machines can reach it, --auth or --token is required.",
        metavar="HOST",
        common=True,
    )
    port: int = option(
        7860, "Port to listen on; 0 means any free one.", low=0, high=65535, common=True
    )  # fmt: skip
    data: Path | None = option(
        None,
        "Folder for uploads, jobs and results.",
        metavar="DIR",
        shown_default="the user's data folder",
        common=True,
    )
    open: bool = option(False, "Open the page in the browser.", switch=True, common=True)
    auth: str | None = option(
        None, "Name and password that visitors must enter.", metavar="USER:PASSWORD", common=True
    )
    token: str | None = option(
        None,
        "Token that programs must send in a header: Authorization: Bearer TOKEN.",
        metavar="TOKEN",
        common=True,
    )
    queue: int = option(
        _DEFAULT.queue, "Largest number of waiting jobs.", low=1, high=10_000, common=True
    )  # fmt: skip
    max_pixels: int = option(
        _DEFAULT.max_pixels,
        "Largest number of pixels of an upload or a result.",
        low=10_000,
        common=True,
    )
    max_megabytes: int = option(
        _DEFAULT.max_bytes // 1_000_000,
        "Largest size of an uploaded picture, in megabytes.",
        low=1,
        high=10_000,
        common=True,
    )
    max_clip_megabytes: int = option(
        _DEFAULT.max_clip_bytes // 1_000_000,
        "Largest size of an uploaded clip, in megabytes.",
        low=1,
        high=100_000,
        common=True,
    )
    max_frames: int = option(
        _DEFAULT.max_frames,
        "Largest number of frames of a clip, or of the part to paint.",
        low=1,
        common=True,
    )
    max_time: float = option(
        float(_DEFAULT.max_time),
        "Longest time that a job may take: 90s, 30m, 4h.",
        metavar="TIME",
        shown_default=show_duration(_DEFAULT.max_time),
        parse=parse_duration,
        common=True,
    )
    grace: float = option(
        float(_DEFAULT.grace),
        "Time after which a job stops if its page was closed: 90s, 2m.",
        metavar="TIME",
        shown_default=show_duration(_DEFAULT.grace),
        parse=parse_duration,
        common=True,
    )
    keep: float = option(
        _DEFAULT.keep / 1e9,
        "Disk space for results and uploads; the oldest are deleted first.",
        low=0.01,
        unit="GB",
        common=True,
    )

    @property
    def limits(self) -> Limits:
        """The limits of the studio."""
        return Limits(
            queue=self.queue, max_pixels=self.max_pixels,
            max_bytes=self.max_megabytes * 1_000_000,
            max_clip_bytes=self.max_clip_megabytes * 1_000_000, max_frames=self.max_frames,
            max_time=self.max_time, grace=self.grace, keep=int(self.keep * 1e9),
        )  # fmt: skip


@with_flags
def studio_command(*, options: StudioOptions) -> None:
    """Start a server with a page for painting and an HTTP API."""
    from impasto.studio.server import serve
    from impasto.studio.web.guard import Keys

    serve(
        options.data if options.data is not None else data_folder(), options.limits,
        Keys(login=options.auth, token=options.token), host=options.host, port=options.port,
        open_page=options.open, say=lambda text: typer.echo(text, err=True),
    )  # fmt: skip
