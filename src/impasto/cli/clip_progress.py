"""Show the run of a clip: two bars on a terminal, plain lines elsewhere, nothing if quiet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from impasto.cli.progress import clock, losses_text
from impasto.video.remaining_time import RemainingTime

if TYPE_CHECKING:
    from impasto.video.clip_run import VideoStep

__all__ = ["ClipReporter", "reporting_clip"]

ClipReporter = Callable[["VideoStep"], None]

# Seconds from one plain line to the next. The last step of a frame always has one.
_LINE_EVERY = 5.0


@contextmanager
def reporting_clip(console: Console, *, quiet: bool) -> Iterator[ClipReporter]:
    """Yield a function that shows a step of a clip."""
    if quiet:
        yield lambda step: None
    elif console.file.isatty() and not console.is_dumb_terminal:
        with _bars(console) as report:
            yield report
    else:
        yield _line_reporter(console)


@contextmanager
def _bars(console: Console) -> Iterator[ClipReporter]:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[times]}"),
        console=console,
        expand=True,
    )
    clip = progress.add_task("clip", total=None, count="", times="")
    frame = progress.add_task("frame", total=None, count="", times="")
    time_left = RemainingTime()
    with Live(progress, console=console, transient=True) as live:

        def report(step: VideoStep) -> None:
            left = time_left.remaining(step)
            total = None if step.frames is None else step.frames * step.stages
            progress.update(
                clip, total=total, completed=step.done, description=_pass_text(step) or "clip",
                count=f"{_frame_text(step)}",
                times=f"{clock(step.seconds)} elapsed  {_left(left)} left",
            )  # fmt: skip
            progress.update(
                frame, total=step.step.count, completed=step.step.index,
                count=f"step {step.step.index}/{step.step.count}",
            )  # fmt: skip
            line = Text(losses_text(step.step), style="dim", overflow="ellipsis", no_wrap=True)
            live.update(Group(progress, line))

        yield report


def _line_reporter(console: Console) -> ClipReporter:
    time_left = RemainingTime()
    last = [-_LINE_EVERY]

    def report(step: VideoStep) -> None:
        left = time_left.remaining(step)
        now = time.monotonic()
        if step.step.index != step.step.count and now - last[0] < _LINE_EVERY:
            return
        last[0] = now
        line = (
            f"{_pass_text(step)}{' ' * bool(_pass_text(step))}{_frame_text(step)}  "
            f"step {step.step.index}/{step.step.count}  {losses_text(step.step)}  "
            f"{clock(step.seconds)} elapsed  {_left(left)} left"
        )
        console.print(Text(line), soft_wrap=True)

    return report


def _frame_text(step: VideoStep) -> str:
    return f"frame {step.frame}" + ("" if step.frames is None else f"/{step.frames}")


def _pass_text(step: VideoStep) -> str:
    return "" if step.stages == 1 else f"pass {step.stage}/{step.stages}"


def _left(seconds: float | None) -> str:
    return "…" if seconds is None else clock(seconds)
