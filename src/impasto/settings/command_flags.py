"""The options of a run that are not `Settings`.

Each class is a set of options that several commands share. A command names the sets that it takes.
Its flags, their help and docs/options.md are made from the fields.

This module does not import torch, so that `--help` is fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.errors import SettingsError
from impasto.settings.options import Options, option
from impasto.settings.pictures import MatchingName
from impasto.settings.recipes import RECIPES
from impasto.settings.units import (
    DPI,
    parse_duration,
    parse_memory,
    parse_print,
    parse_time,
    show_duration,
)

__all__ = [
    "ClipFileOptions",
    "FileOptions",
    "ForceOptions",
    "KeptFileOptions",
    "KeptPrintOptions",
    "MachineOptions",
    "PartOptions",
    "PrintOptions",
    "RecipeOptions",
    "RecolorOptions",
    "RecordOptions",
    "RunOptions",
    "SoundTrackOptions",
    "TimeOptions",
]


# ---- every command ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ForceOptions(Options):
    """Whether a command may replace files."""

    force: bool = option(
        False, "Replace files that exist.", short="-f", switch=True, common=True
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MachineOptions(Options):
    """The device, threads and memory of a command, and its output.

    Attributes: memory: in bytes; None: the free memory.
    """

    # Thousands of threads crash the OpenMP library of some builds.
    threads: int | None = option(
        None, "Number of CPU threads.", low=1, high=256, metavar="N", shown_default="one per core"
    )
    device: str = option(
        "auto",
        "Device to compute on; auto uses a GPU if there is one.",
        metavar="auto|cpu|cuda|mps",
        suggest=lambda: ("auto", "cpu", "cuda", "mps"),
    )
    memory: float | None = option(
        None,
        "Memory limit, like 4GB. If possible, a picture that needs more is computed in tiles.",
        low=50e6,
        metavar="SIZE",
        shown_default="the free memory",
        parse=parse_memory,
    )
    quiet: bool = option(False, "Print only errors.", short="-q", switch=True, common=True)
    json: bool = option(False, "Print one line of JSON on stdout at the end.", switch=True)


@dataclass(frozen=True, kw_only=True)
class RunOptions(MachineOptions, ForceOptions):
    """The options of every command that paints."""


# ---- files --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FileOptions(Options):
    """The format of a picture's file."""

    bits: int = option(8, "Bits per channel; 16 bits need .png or .tiff.", metavar="8|16")


@dataclass(frozen=True, kw_only=True)
class PrintOptions(Options):
    """The size of a print.

    Attributes: paper: the two sides of the paper, in inches; (): no print.
    """

    paper: tuple[float, ...] = option(
        (),
        "Paper size of a print, like 40x30cm, instead of --long-side.",
        flag="print",
        metavar="WxHcm",
        shown_default="none",
        parse=parse_print,
    )
    dpi: float | None = option(
        None,
        "Dots per inch, written into the file.",
        low=10,
        high=2400,  # no printer has more
        metavar="N",
        shown_default="300 with --print",
    )

    @property
    def resolution(self) -> float | None:
        """The dots per inch that the file states; None: none."""
        return DPI if self.paper and self.dpi is None else self.dpi

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise a SettingsError if `paper` and the given settings both name a size."""
        if self.paper and "long_side" in settings:
            raise SettingsError("--print and --long-side both determine the size; give only one")


@dataclass(frozen=True, kw_only=True)
class KeptFileOptions(Options):
    """The format of a picture's file that is made again; None: as it was."""

    bits: int | None = option(
        None,
        "Bits per channel; 16 needs .png or .tiff.",
        metavar="8|16",
        shown_default="the picture's",
    )


@dataclass(frozen=True, kw_only=True)
class KeptPrintOptions(PrintOptions):
    """The size of a print that is made again."""

    dpi: float | None = option(
        None,
        "Dots per inch, written into the file.",
        low=10,
        high=2400,
        metavar="N",
        shown_default="300 with --print, otherwise the picture's",
    )


@dataclass(frozen=True, kw_only=True)
class RecordOptions(Options):
    """Files that a run writes besides its result.

    Attributes: every: the number of steps between two pictures that are kept; None: 10.
    """

    save_settings: Path | None = option(None, "Write all settings to a .toml file.", metavar="FILE")
    every: int | None = option(
        None,
        "Keep the picture of every N-th step for --frames and --timelapse.",
        low=1,
        metavar="N",
        shown_default="10",
    )
    frames: Path | None = option(
        None,
        "Folder for the pictures of single steps. With --force, all files step-NUMBER.png in it "
        "are deleted first.",
        metavar="FOLDER",
    )
    timelapse: Path | None = option(
        None, "Film of the steps: .gif, .webp or .mp4; .mp4 needs impasto[video].", metavar="FILE"
    )
    plot: Path | None = option(
        None, "Plot of the losses: .png, .svg or .pdf; needs impasto[plot].", metavar="FILE"
    )

    @property
    def named(self) -> dict[str, Path]:
        """What to write, by flag."""
        names = ("save_settings", "frames", "timelapse", "plot")
        paths = {f"--{name.replace('_', '-')}": getattr(self, name) for name in names}
        return {flag: path for flag, path in paths.items() if path is not None}

    @property
    def results(self) -> list[tuple[str, Path]]:
        """The files to write, without the folder of frames, each with its flag."""
        return [(flag, path) for flag, path in self.named.items() if flag != "--frames"]

    @property
    def files(self) -> list[Path]:
        """The paths of `results`."""
        return [path for _, path in self.results]


# ---- settings and time --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(Options):
    """The recipe of a run; flags override its settings."""

    recipe: str = option(
        "default",
        f"Recipe: {', '.join(RECIPES)}, or a .toml file. Other flags override its settings.",
        metavar="NAME|FILE",
        common=True,
        suggest=lambda: list(RECIPES),
    )
    schedule: str | None = option(
        None,
        "Use the schedule (start, sizes, optimizer and steps) of another recipe.",
        metavar="NAME|FILE",
        suggest=lambda: list(RECIPES),
    )
    settings_file: Path | None = option(
        None,
        "A .toml file with settings that override those of the recipe.",
        flag="settings",
        metavar="FILE",
        common=True,
    )


@dataclass(frozen=True, kw_only=True)
class TimeOptions(Options):
    """The time of a run.

    Attributes: time: in seconds; None: the number of steps determines it.
    """

    time: float | None = option(
        None,
        "Paint for about this long, start-up included: 10s, 2m, 1h. From 3s on, there is always a "
        "picture of the full size. If the time does not suffice for the finest levels, their "
        "detail comes from the photo.",
        metavar="TIME",
        common=True,
        parse=parse_duration,
    )

    @property
    def text(self) -> str:
        """The time as text that a user would type; "": there is none."""
        return "" if self.time is None else show_duration(self.time)

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise a SettingsError if the time and the given settings both determine the steps."""
        if self.time is not None and "steps" in settings:
            raise SettingsError(
                "--time and --steps both determine the number of steps; give only one"
            )


# ---- colors -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RecolorOptions(Options):
    """The method that gives a picture the colors of another one."""

    method: MatchingName = option(
        "symmetric",
        "Statistics of the colors to match. Their mean and covariance: with the smallest change of "
        "the colors (symmetric), channel by channel in the order red, green, blue (cholesky), or "
        "along the main axes of the colors (pca). Or the distribution of each channel (histogram).",
        common=True,
    )
    strength: float = option(
        1.0, "Strength of the change, from 0 (none) to 1 (full).", low=0, high=1, common=True
    )  # fmt: skip


# ---- clips --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PartOptions(Options):
    """The part of a clip to paint.

    Raises: SettingsError: as for `Options`, or the end is not after the start.
    """

    start: float = option(
        0.0,
        "Begin at this time in the clip: 2s, 1m30s.",
        half="video",
        low=0,
        unit="s",
        metavar="TIME",
        common=True,
        parse=parse_time,
    )
    end: float = option(
        0.0,
        "End at this time in the clip; 0 means the clip's end.",
        half="video",
        low=0,
        unit="s",
        metavar="TIME",
        shown_default="the clip's end",
        common=True,
        parse=parse_time,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.end and self.end <= self.start:
            raise SettingsError(f"end: {self.end:g} s is not after the start, {self.start:g} s")


@dataclass(frozen=True, kw_only=True)
class SoundTrackOptions(Options):
    """Whether a clip keeps its sound."""

    sound: bool = option(True, "Keep the sound track.", half="video", common=True)


@dataclass(frozen=True, kw_only=True)
class ClipFileOptions(SoundTrackOptions):
    """The files of a clip: the codec and quality of the result, and frames as pictures."""

    crf: int | None = option(
        None,
        "Constant rate factor of the video codec; lower values give better quality and larger "
        "files.",
        half="video",
        metavar="N",
        common=True,
    )
    codec: str | None = option(
        None, "Video codec: h264, h265, vp9, av1 or prores.", half="video", metavar="NAME"
    )  # fmt: skip
    frames: Path | None = option(
        None,
        "Folder in which the painted frames are kept, as PNG files. With --force, the frames of "
        "another run in it are deleted first.",
        half="video",
        metavar="FOLDER",
    )
    rate: float | None = option(
        None,
        "Frames per second, if the clip is a folder of frames.",
        half="video",
        metavar="N",
        shown_default="24",
    )
