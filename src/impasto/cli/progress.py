"""Show a run: a bar on a terminal, plain lines elsewhere, nothing if quiet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from impasto.optimize.loop import Step
from impasto.painting.progress import RunProgress
from impasto.painting.pyramid import Level

__all__ = ["Reporter", "clock", "losses_text", "reporting"]

Reporter = Callable[[Step], None]

# Seconds from one plain line to the next. The first and last step of a level always have one.
_LINE_EVERY = 5.0


@contextmanager
def reporting(
    levels: Sequence[Level],
    console: Console,
    *,
    quiet: bool,
    label: str | None = None,
    end: float | None = None,
) -> Iterator[Reporter]:
    """Yield a function that shows a step.

    Args:
        label: the name of the work; None: its level and size.
        end: see `RunProgress`.
    """
    run = RunProgress(levels, end)
    titles = [label or _level_text(levels, number) for number in range(1, len(levels) + 1)]
    if quiet:
        yield lambda step: None
    elif console.file.isatty() and not console.is_dumb_terminal:  # FORCE_COLOR makes no terminal
        with _bar(run, titles, console) as report:
            yield report
    else:
        yield _line_reporter(run, titles, console)


@contextmanager
def _bar(run: RunProgress, titles: Sequence[str], console: Console) -> Iterator[Reporter]:
    """Show two lines that fit 80 columns: the progress and the losses."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("step {task.fields[step]}"),
        TextColumn("{task.fields[elapsed]} elapsed"),
        TextColumn("{task.fields[left]} left"),
        console=console,
        expand=True,
    )
    task = progress.add_task(titles[0], total=1.0, step="…", elapsed=clock(0), left="…")

    def show(losses: str) -> Group:
        line = Text(losses, style="dim", overflow="ellipsis", no_wrap=True)
        return Group(progress, line)

    with Live(show("measuring the pictures …"), console=console, transient=True) as live:

        def report(step: Step) -> None:
            progress.update(
                task,
                completed=run.done(step),
                description=titles[step.level - 1],
                step=_number(step, run),
                elapsed=clock(step.seconds),
                left=clock(run.remaining(step)),
            )
            live.update(show(losses_text(step)))

        yield report


def _line_reporter(run: RunProgress, titles: Sequence[str], console: Console) -> Reporter:
    last = [-1.0, 0]  # time and level of the last line

    def report(step: Step) -> None:
        now = time.monotonic()
        finished = step.index == step.count
        if step.level == last[1] and now - last[0] < _LINE_EVERY and not finished:
            return
        last[:] = [now, step.level]
        line = (
            f"{titles[step.level - 1]}  step {_number(step, run)}  {losses_text(step)}"
            f"  {clock(step.seconds)} elapsed  {clock(run.remaining(step))} left"
        )
        console.print(Text(line), soft_wrap=True)

    return report


def _number(step: Step, run: RunProgress) -> str:
    """Return the number of a step; with the number of all steps, unless time determines it."""
    return f"{step.index}/{step.count}" if run.end is None else f"{step.index}"


def _level_text(levels: Sequence[Level], number: int) -> str:
    return f"level {number}/{len(levels)}, {levels[number - 1].long_side} px"


def losses_text(step: Step) -> str:
    """Write the losses of a step on one line."""
    return "  ".join(f"{name} {loss:.4g}" for name, loss in step.losses.items())


def clock(seconds: float) -> str:
    """Write seconds as minutes and seconds, or with hours: 1:05, 2:00:30."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
