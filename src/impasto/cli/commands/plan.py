"""The command `impasto plan CONTENT`: sizes, memory and time of a picture before it is painted."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.arguments import Content
from impasto.cli.failures import interruptible, memory_errors
from impasto.cli.run import START_UP, prepared
from impasto.cli.task import Task, check_streams
from impasto.cli.typer_flags import Changes, gather_settings, with_flags
from impasto.settings.command_flags import MachineOptions, PrintOptions, RecipeOptions, RunOptions

if TYPE_CHECKING:
    from impasto.painting.memory_plan import Workload
    from impasto.painting.timing import Pace

__all__ = ["plan_command"]


Paintings = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[STYLE...]",
        help="The paintings; if not given, one painting of the photo's size is assumed.",
    ),
]


@with_flags
def plan_command(
    content: Content,
    styles: Paintings = None,
    *,
    recipe: RecipeOptions,
    print: PrintOptions,
    machine: MachineOptions,
    changes: Changes,
) -> None:
    """Show sizes, memory and time before painting CONTENT."""
    start = time.perf_counter()
    print.check(changes)
    # Only the sizes of the paintings matter here, so the photo can replace a painting.
    paintings = list(styles or [Path(content)])
    settings = gather_settings(recipe, changes, paintings)
    run = RunOptions.from_dict(machine.to_dict())
    task = Task(content=content, output="", styles=styles or (), print=print, run=run)
    check_streams(task)
    with interruptible(task), memory_errors(settings.long_side):
        stylizer, inputs = prepared(task, settings)
        beginning = START_UP + time.perf_counter() - start
        from impasto.painting.timing import measure_pace

        plan = stylizer.plan(inputs).works
        pace = measure_pace(stylizer, inputs)
    seen = [each.size[0] * each.size[1] for each in inputs.paintings]
    if run.json:
        typer.echo(json.dumps(_facts(plan, pace, seen, beginning)))
    else:
        for line in _table(plan, pace, seen, beginning):
            typer.echo(line)


def _seconds(work: Workload, pace: Pace, seen: Sequence[int]) -> float:
    # Paintings are scaled down with the picture.
    return pace.seconds(work, sum(min(each, work.pixels) for each in seen))


def _facts(
    plan: Sequence[Workload], pace: Pace, seen: Sequence[int], beginning: float
) -> dict[str, Any]:
    """Return the plan for JSON.

    Args: beginning: the seconds until the first level begins.
    """
    return {
        "seconds": round(beginning + sum(_seconds(work, pace, seen) for work in plan), 1),
        "memory": round(max(work.memory for work in plan)),
        "levels": [
            {
                "height": work.level.size[0],
                "width": work.level.size[1],
                "steps": work.level.steps,
                "tiles": max(len(work.tiles), 1),
                "history": work.history,
                "half": work.half,
                "memory": round(work.memory),
                "seconds_per_step": round(pace.seconds_per_step(work), 3),
                "seconds": round(_seconds(work, pace, seen), 1),
            }
            for work in plan
        ],
    }


def _table(
    plan: Sequence[Workload], pace: Pace, seen: Sequence[int], beginning: float
) -> list[str]:
    """Format the plan for a terminal of 80 columns."""
    from impasto.cli.progress import clock
    from impasto.painting.memory_plan import show_bytes

    rows = [("size", "steps", "memory", "per step", "total", "tiles", "history")]
    for work in plan:
        height, width = work.level.size
        step = pace.seconds_per_step(work)
        rows.append((
            f"{width} x {height}", str(work.level.steps), show_bytes(work.memory),
            f"{step:.2g} s" if step < 10 else f"{step:.0f} s", clock(_seconds(work, pace, seen)),
            f"{len(work.tiles)} of {work.side} px" if work.tiles else "whole",
            f"{work.history}{', 16 bit' if work.half else ''}",
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    seconds = beginning + sum(_seconds(work, pace, seen) for work in plan)
    most = show_bytes(max(work.memory for work in plan))
    return [*lines, f"About {clock(seconds)} on this machine, in up to {most} of memory."]
