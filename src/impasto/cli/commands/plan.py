"""The command plan: what a picture will take, before it is painted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.printing import for_print
from impasto.cli.run import Job, check_streams, interruptible, memory_errors, prepared
from impasto.cli.run_options import (
    Device,
    Dpi,
    Json,
    Memory,
    Print,
    Recipe,
    Schedule,
    SettingsFile,
    Threads,
)
from impasto.cli.setting_flags import gather_settings, memory_limit, with_settings

if TYPE_CHECKING:
    from impasto.painting.memory_plan import Workload
    from impasto.painting.timing import Pace

__all__ = ["plan_command"]


@with_settings
def plan_command(
    content: Annotated[
        str, typer.Argument(metavar="CONTENT", help="The photo; - reads it from stdin.")
    ],
    styles: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[STYLE...]", help="The paintings; if not given, one as large."),
    ] = None,
    recipe: Recipe = "default",
    schedule: Schedule = None,
    settings_file: SettingsFile = None,
    paper: Print = None,
    dpi: Dpi = None,
    threads: Threads = None,
    device: Device = "auto",
    memory: Memory = None,
    as_json: Json = False,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Tell how CONTENT would be painted: sizes, tiles, memory, and the time, from a few steps."""
    # In place of a painting, the photo: of these figures, only its size matters.
    paintings = list(styles or [Path(content)])
    settings = gather_settings(recipe, schedule, settings_file, options or {}, paintings)
    job = Job(
        content=content, styles=paintings if styles else (), output="", threads=threads,
        device=device, memory=memory_limit(memory),
        **for_print(paper, dpi, options or {}),
    )  # fmt: skip
    check_streams(job)
    with interruptible(job), memory_errors(settings.long_side):
        stylizer, inputs = prepared(job, settings)
        from impasto.painting.timing import measure_pace

        plan = stylizer.plan(inputs.photo, inputs.paintings)
        pace = measure_pace(stylizer, inputs)
    seen = [each.size[0] * each.size[1] for each in inputs.paintings]
    if as_json:
        typer.echo(json.dumps(_facts(plan, pace, seen)))
    else:
        for line in _table(plan, pace, seen):
            typer.echo(line)


def _seconds(work: Workload, pace: Pace, seen: Sequence[int]) -> float:
    # Paintings shrink with the picture.
    return pace.seconds(work, sum(min(each, work.pixels) for each in seen))


def _facts(plan: Sequence[Workload], pace: Pace, seen: Sequence[int]) -> dict[str, Any]:
    return {
        "seconds": round(sum(_seconds(work, pace, seen) for work in plan), 1),
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


def _table(plan: Sequence[Workload], pace: Pace, seen: Sequence[int]) -> list[str]:
    """Lay the plan out for a terminal of 80 columns."""
    from impasto.cli.progress import clock
    from impasto.painting.memory_plan import show_bytes

    rows = [("size", "steps", "memory", "a step", "in all", "tiles", "history")]
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
    seconds = sum(_seconds(work, pace, seen) for work in plan)
    most = show_bytes(max(work.memory for work in plan))
    return [*lines, f"About {clock(seconds)} on this machine, in up to {most} of memory."]
