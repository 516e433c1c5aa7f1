"""Follow the steps of a run: show them, and keep the best image if they end early."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from impasto.cli.failures import INTERRUPTED
from impasto.cli.task import Task
from impasto.errors import DivergenceError

if TYPE_CHECKING:
    from torch import Tensor

    from impasto.optimize.loop import Step
    from impasto.painting.pyramid import Level

__all__ = ["Ending", "follow"]


@dataclass(frozen=True, eq=False)
class Ending:
    """How a run ended.

    Attributes:
        image: the last image of a finished run, the best image of an interrupted one, or the last
            good image of a failed one.
        history: the numbers of each step.
        losses: the numbers of the image's step.
        note: the words before the file's name in the last message.
        code: the exit code.
    """

    image: Tensor
    history: Sequence[Mapping[str, Any]]
    losses: Mapping[str, Any]
    note: str = "Wrote"
    code: int = 0

    @property
    def finished(self) -> bool:
        """Whether the run reached its last step."""
        return self.code == 0


def follow(
    steps: Iterator[Step],
    levels: Sequence[Level],
    task: Task,
    *,
    watch: Callable[[Step], None] = lambda step: None,
    label: str | None = None,
    end: float | None = None,
) -> Ending:
    """Run the steps and show them; keep the best image if they end before the last.

    Args:
        watch: is called with each step.
        label: the name of the work; None: its level and size.
        end: the time of `time.perf_counter` at which they end; None: the levels determine it.

    Raises: KeyboardInterrupt: before the first step.
    """
    from rich.console import Console

    from impasto.cli.progress import reporting

    history: list[Mapping[str, Any]] = []
    best: Step | None = None
    try:
        console = Console(stderr=True)
        with reporting(levels, console, quiet=task.run.quiet, label=label, end=end) as report:
            for step in steps:
                best = _better(best, step)
                history.append(step.to_dict())
                watch(step)
                report(step)
        return Ending(step.image, history, step.to_dict())
    except KeyboardInterrupt:
        if best is None:
            raise
        note = (
            f"Interrupted at step {len(history)} of {best.count}; "
            f"wrote the best {task.makes} so far,"
        )
        return Ending(best.image, history, best.to_dict(), note, INTERRUPTED)
    except DivergenceError as error:
        if not history:  # there is no good image to write
            raise
        typer.echo(f"Error: {error}", err=True)
        return Ending(error.image, history, history[-1], f"Wrote the last good {task.makes},", 1)


def _better(best: Step | None, step: Step) -> Step:
    """Return the step with the lower loss, but always one of a finer level, or with other terms."""
    if best is None or step.level > best.level or step.layers.keys() != best.layers.keys():
        return step
    return step if step.total <= best.total else best
