"""A task: the files and options of a command that paints."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from impasto.errors import ImageError, ImageWarning, SettingsError
from impasto.settings.command_flags import (
    FileOptions,
    PrintOptions,
    RecipeOptions,
    RecordOptions,
    RunOptions,
    TimeOptions,
)
from impasto.settings.pictures import Settings
from impasto.storage import NamedFile, check_results

if TYPE_CHECKING:
    from impasto.pictures.picture import Picture

__all__ = [
    "STDIO", "Task", "check_no_streams", "check_streams", "frames_in", "prepare", "read_content",
    "set_up_machine", "settings_read", "source",
]  # fmt: skip

STDIO = "-"  # the name of stdin and of stdout
_FRAME = re.compile(r"step-\d+\.png")


@dataclass(frozen=True, kw_only=True)
class Task:
    """The files and options of a command that paints, without the settings of the picture.

    Attributes:
        content: the file of the photo; "-": stdin.
        output: the file of the result; "-": stdout.
        guides: masks and maps, as the arguments of `Guidance`.
        init: a picture to start from.
        makes: the word for the result in messages.
        reads: further files that the run reads, besides content, styles and guides.
    """

    content: str
    output: str
    styles: Sequence[Path] = ()
    run: RunOptions
    file: FileOptions = field(default_factory=FileOptions)
    print: PrintOptions = field(default_factory=PrintOptions)
    record: RecordOptions = field(default_factory=RecordOptions)
    time: TimeOptions = field(default_factory=TimeOptions)
    guides: Mapping[str, Any] = field(default_factory=dict)
    init: Picture | None = None
    makes: str = "picture"
    reads: Sequence[NamedFile] = ()

    @property
    def output_name(self) -> str:
        """The name of the result in messages."""
        return "stdout" if self.output == STDIO else self.output

    @property
    def inputs(self) -> list[NamedFile]:
        """Every file that the run reads."""
        content = _number(sys.stdin) if self.content == STDIO else self.content
        named: list[NamedFile] = [("the content", content)]
        named += [("a style", path) for path in self.styles]
        for given in self.guides.values():
            masks = given if isinstance(given, list | tuple) else [given]
            named += [("a mask", each.removeprefix("not:")) for each in masks if each]
        return [*named, *self.reads]

    @property
    def results(self) -> list[NamedFile]:
        """Every file that the run writes, replaces or deletes, with its flag."""
        output = _number(sys.stdout) if self.output == STDIO else self.output
        frames = self.record.frames
        replaced = [] if frames is None else [frames, *frames_in(frames)]
        return [
            ("--output", output), *self.record.results, *(("--frames", each) for each in replaced)
        ]  # fmt: skip

    def note(self, text: str) -> None:
        """Print a line on stderr unless quiet. Only results go to stdout."""
        if not self.run.quiet:
            typer.echo(text, err=True)


def settings_read(settings: Settings, recipe: RecipeOptions | None = None) -> list[NamedFile]:
    """Return the files that settings and the options of a recipe name."""
    named: list[NamedFile] = [
        ("the picture of --init", settings.init), ("the network's weights", settings.weights)
    ]  # fmt: skip
    files = () if recipe is None else (recipe.recipe, recipe.schedule, recipe.settings_file)
    named += [("a file of settings", each) for each in files if each is not None]
    # A folder can have the name of a recipe, or of a way to start.
    return [(name, path) for name, path in named if os.path.isfile(path)]  # noqa: PTH113


def frames_in(folder: Path) -> list[Path]:
    """List the frames of an earlier run in a folder, and no other files."""
    return [path for path in folder.glob("step-*.png") if _FRAME.fullmatch(path.name)]


def _number(stream: Any) -> int:
    """Return the file descriptor of a stream; -1: it has none."""
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):  # closed by the shell, or not a file
        return -1


def prepare(task: Task) -> None:
    """Check streams and files and set the threads, before anything is loaded."""
    check_streams(task)
    set_threads(task)


def check_streams(task: Task) -> None:
    """Check streams and files before anything is loaded; silence warnings if quiet.

    Raises:
        SettingsError: a stream is closed or is a terminal, a result would replace an input, or one
            file is named for two results.
        ImageError: a file exists already.
    """
    silence(task)
    if task.run.json and task.output == STDIO:
        raise SettingsError("--json and -o - both write to stdout; give only one of them")
    # A stream that the shell has closed is None.
    if STDIO in (task.content, *map(str, task.styles)) and (
        sys.stdin is None or sys.stdin.isatty()
    ):
        raise SettingsError("-: nothing is piped into stdin; pipe a picture, or name a file")
    if task.output == STDIO and (sys.stdout is None or sys.stdout.isatty()):
        raise SettingsError("-o -: stdout is a terminal; redirect it, or name a file")
    read = [task.content, *map(str, task.styles)].count(STDIO)
    if read > 1:
        raise SettingsError(f"-: stdin is named for {read} pictures, but holds one; name files")
    for flag, kept in task.record.named.items():
        if str(kept) == STDIO:
            raise SettingsError(f"{flag} -: only the result can go to stdout; name a file")
    check_results(task.inputs, task.results)
    for path in (task.output, *map(str, task.record.files)):
        # Path.is_file raises for a name that is too long or a closed folder; this returns false.
        if path != STDIO and not task.run.force and os.path.isfile(path):  # noqa: PTH113
            raise ImageError("exists already; --force replaces it", path=path)


def check_no_streams(what: str, *paths: str | Path | None) -> None:
    """Raise a SettingsError if stdin or stdout is named for something that needs a file.

    Args: what: the things, in words: "clips".
    """
    if STDIO in map(str, paths):
        raise SettingsError(f"-: {what} cannot be piped through stdin or stdout; name a file")


def source(name: str) -> BinaryIO | Path:
    """Return the source of a picture: stdin for "-", otherwise the file."""
    return sys.stdin.buffer if name == STDIO else Path(name)


def read_content(task: Task) -> Picture:
    """Read the photo from its file or from stdin."""
    from impasto.pictures.files import load_picture

    return load_picture(source(task.content))


def silence(task: Task) -> None:
    """Print no warnings about pictures if the task is quiet."""
    if task.run.quiet:
        warnings.filterwarnings("ignore", category=ImageWarning)


def set_threads(task: Task) -> None:
    """Let torch use the task's number of threads, if the task has one."""
    if task.run.threads:
        import torch

        torch.set_num_threads(task.run.threads)


def set_up_machine(task: Task) -> None:
    """Set the threads, let the process keep the memory it frees; silence warnings if quiet."""
    from impasto.machine import keep_freed_memory

    silence(task)
    set_threads(task)
    keep_freed_memory()
