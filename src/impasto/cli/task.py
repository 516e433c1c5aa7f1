"""A task: what a command paints, and the options of its run."""

from __future__ import annotations

import os
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
    RecordOptions,
    RunOptions,
    TimeOptions,
)

if TYPE_CHECKING:
    from impasto.pictures.picture import Picture

__all__ = ["STDIO", "Task", "check_streams", "prepare", "read_content", "set_up_machine", "source"]

STDIO = "-"  # the name of stdin and of stdout


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a command paints, besides the settings of the picture.

    Attributes:
        content: the file of the photo; "-": stdin.
        output: the file of the result; "-": stdout.
        guides: masks and maps, as the arguments of `Guidance`.
        init: a picture to start from.
        makes: the word for the result in messages.
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

    @property
    def output_name(self) -> str:
        """The name of the result in messages."""
        return "stdout" if self.output == STDIO else self.output

    def note(self, text: str) -> None:
        """Print a line on stderr unless quiet. Only results go to stdout."""
        if not self.run.quiet:
            typer.echo(text, err=True)


def prepare(task: Task) -> None:
    """Check streams and files and set the threads, before anything is loaded."""
    check_streams(task)
    set_threads(task)


def check_streams(task: Task) -> None:
    """Check streams and files before anything is loaded; silence warnings if quiet.

    Raises:
        SettingsError: a stream that would hang or spoil the terminal, or one file for two results.
        ImageError: a file exists already.
    """
    silence(task)
    if task.run.json and task.output == STDIO:
        raise SettingsError("--json and -o - would both write to stdout; choose one")
    # A stream that the shell has closed is None.
    if task.content == STDIO and (sys.stdin is None or sys.stdin.isatty()):
        raise SettingsError("-: nothing is piped into stdin; pipe a picture, or name a file")
    if task.output == STDIO and (sys.stdout is None or sys.stdout.isatty()):
        raise SettingsError("-o -: stdout is a terminal; redirect it, or name a file")
    written = [str(path) for path in (task.output, *task.record.files) if path != STDIO]
    targets = [os.path.abspath(path) for path in written]  # noqa: PTH100
    for target in targets:
        if targets.count(target) > 1:
            raise SettingsError("is named for two results; give each its own file", path=target)
    for path in written:
        # Path.is_file raises for a name that is too long or a closed folder; this returns false.
        if not task.run.force and os.path.isfile(path):  # noqa: PTH113
            raise ImageError("exists already; --force replaces it", path=path)


def source(name: str) -> BinaryIO | Path:
    """Return where to read a picture from: stdin for "-", else the file."""
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
    """Let torch use as many threads as the task names, if it names a number."""
    if task.run.threads:
        import torch

        torch.set_num_threads(task.run.threads)


def set_up_machine(task: Task) -> None:
    """Set the threads, let the process keep the memory it frees; silence warnings if quiet."""
    from impasto.machine import keep_freed_memory

    silence(task)
    set_threads(task)
    keep_freed_memory()
