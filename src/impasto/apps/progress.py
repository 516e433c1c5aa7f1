"""How a run is shown: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from impasto.optimize import Step
from impasto.pyramid import Level

__all__ = ["Reporter", "reporting"]

Reporter = Callable[[Step], None]

# A plain line this often, in seconds, besides the first and last step of a level.
_LINE_EVERY = 5.0


@contextmanager
def reporting(levels: Sequence[Level], console: Console, *, quiet: bool) -> Iterator[Reporter]:
    """Give a function that shows a step."""
    if quiet:
        yield lambda step: None
    elif console.is_terminal:
        with _bar(console) as progress:
            yield _bar_reporter(levels, progress)
    else:
        yield _line_reporter(levels, console)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("level {task.fields[level]}"),
        BarColumn(bar_width=None),
        TextColumn("step {task.fields[step]}"),
        TextColumn("{task.fields[losses]}", style="dim"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[remaining]}"),
        console=console,
        transient=True,
    )


def _bar_reporter(levels: Sequence[Level], progress: Progress) -> Reporter:
    work = _Work(levels)
    task: TaskID = progress.add_task(
        "", total=1.0, level="", step="…", losses="", remaining="", start=True
    )

    def report(step: Step) -> None:
        progress.update(
            task,
            completed=work.done(step),
            level=f"{step.level}/{step.levels} {levels[step.level - 1].long_side} px",
            step=f"{step.index}/{step.count}",
            losses=_losses(step),
            remaining=f"{_clock(work.remaining(step))} left",
        )

    return report


def _line_reporter(levels: Sequence[Level], console: Console) -> Reporter:
    work = _Work(levels)
    last = [-1.0, 0]  # when the last line was printed, and of which level

    def report(step: Step) -> None:
        now = time.monotonic()
        finished = step.index == step.count
        if step.level == last[1] and now - last[0] < _LINE_EVERY and not finished:
            return
        last[:] = [now, step.level]
        line = (
            f"level {step.level}/{step.levels} {levels[step.level - 1].long_side} px  "
            f"step {step.index}/{step.count}  {_losses(step)}  "
            f"{_clock(step.seconds)} elapsed, {_clock(work.remaining(step))} left"
        )
        console.print(Text(line), soft_wrap=True)

    return report


class _Work:
    """How much of a run is done, counting a step by its pixels."""

    def __init__(self, levels: Sequence[Level]) -> None:
        self.levels = levels
        self.costs = [level.size[0] * level.size[1] for level in levels]
        pairs = zip(levels, self.costs, strict=True)
        self.total = sum(level.steps * cost for level, cost in pairs)

    def done(self, step: Step) -> float:
        before = sum(level.steps for level in self.levels[: step.level - 1])
        finished = sum(
            level.steps * cost
            for level, cost in zip(
                self.levels[: step.level - 1], self.costs[: step.level - 1], strict=True
            )
        )
        return (finished + (step.index - before) * self.costs[step.level - 1]) / self.total

    def remaining(self, step: Step) -> float:
        done = self.done(step)
        return step.seconds * (1 - done) / done


def _losses(step: Step) -> str:
    return "  ".join(f"{name} {loss:.4g}" for name, loss in step.losses.items() if loss)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
