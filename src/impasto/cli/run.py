"""One run of a command that paints: read, paint, show the steps, write."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from impasto.cli.failures import interruptible, memory_errors
from impasto.cli.output import check_output, conclude, write
from impasto.cli.recorder import Recorder, check_record
from impasto.cli.run_steps import follow
from impasto.cli.task import Task, prepare, read_content, set_up_machine, source
from impasto.errors import counted, install_hint
from impasto.settings.pictures import Settings
from impasto.settings.recipes import settings_file
from impasto.settings.units import long_side_for_print

if TYPE_CHECKING:
    from impasto.painting.inputs import Inputs
    from impasto.painting.memory_plan import Workload
    from impasto.painting.pastiche import Pastiche
    from impasto.painting.picture_plan import PicturePlan
    from impasto.painting.stylizer import Stylizer

__all__ = ["START_UP", "memory_notes", "paint", "paint_plan", "prepared"]

# Seconds from the start of the process until a command begins; they are a part of its time.
START_UP = 0.2


def paint(task: Task, settings: Settings) -> None:
    """Paint a pastiche, show the steps and write the result.

    After Ctrl-C, the best image so far is written.

    Errors are found before the work begins, if this is possible. Nothing is written before the
    first step.
    """
    start = time.perf_counter()

    def plan() -> PicturePlan:
        from impasto.painting.faces import face_note

        stylizer, inputs = prepared(task, settings)
        budget = None
        if task.time.time is not None:
            from impasto.painting.time_budget import TimeBudget

            budget = TimeBudget(start + task.time.time - START_UP)
        planned = stylizer.plan(inputs, budget=budget)
        if note := face_note(settings, planned.settings):
            task.note(note)
        return planned

    # Another photo has its faces elsewhere.
    saved = {"protect": settings.protect, "faces": settings.faces}
    paint_plan(task, settings.long_side, plan, saved=saved)


def paint_plan(
    task: Task,
    long_side: int,
    plan: Callable[[], PicturePlan],
    *,
    smaller: str | None = None,
    saved: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Plan and paint a picture, show the steps and write the result.

    Args:
        long_side: the long side of the result, in px, for messages about memory.
        plan: a function that reads the pictures and loads the network.
        smaller: see `memory_errors`.
        saved: changes to the settings in the file that `--save-settings` names.
    """
    start = time.perf_counter()
    with interruptible(task), memory_errors(long_side, smaller):
        prepare(task)
        planned = plan()
        for text in memory_notes(planned.works):
            task.note(text)
        check_output(task)
        check_record(task.record, overwrite=task.run.force)
        recorder = Recorder(task.record, planned.levels[-1].size, planned.alpha)
        for text in recorder.notes:
            task.note(text)
        end = None if planned.budget is None else planned.budget.end
        ending = follow(planned.steps(), planned.levels, task, watch=recorder.watch, end=end)
        picture = planned.finish(ending.image, ending.history)
        picture = replace(picture, finished=ending.finished)
        save_settings(task, picture.settings.replace(**saved))
        write(picture, task)
        recorder.finish(ending.history)
        if planned.budget is not None:
            task.note(_steps_made(task, picture, planned))
    conclude(picture, ending, task, time.perf_counter() - start)


def _steps_made(task: Task, picture: Pastiche, planned: PicturePlan) -> str:
    """Describe the steps that a time budget allowed, level by level."""
    counts = picture.settings.level_steps
    sides = [level.long_side for level in planned.levels]
    levels = zip(counts, sides, strict=False)
    steps = ", then ".join(f"{counted(count, 'step')} at {side} px" for count, side in levels)
    if len(counts) == len(sides):
        return f"{task.time.text}: {steps}"
    return (
        f"{task.time.text}: {steps}; the time did not suffice for finer levels, so the picture was "
        f"enlarged to {sides[-1]} px with the photo's own detail"
    )


def prepared(task: Task, settings: Settings) -> tuple[Stylizer, Inputs]:
    """Read the pictures and load the network. Without a painting, the photo is used as one."""
    from impasto.painting.guidance import Guidance
    from impasto.painting.inputs import load_inputs
    from impasto.painting.stylizer import Stylizer

    set_up_machine(task)
    content = read_content(task)
    if task.print.paper:
        side = long_side_for_print(content.size, task.print.paper, task.print.dpi)
        settings = settings.replace(long_side=side)
    guidance = Guidance(**task.guides)
    styles: list[Any] = [source(str(style)) for style in task.styles] or [content]
    inputs = load_inputs(content, styles, settings, guidance=guidance, init=task.init)
    stylizer = Stylizer(settings, device=task.run.device, memory=task.run.memory)
    advise_compiler(task, stylizer)
    return stylizer, inputs


def advise_compiler(task: Task, stylizer: Stylizer) -> None:
    """Print how to install a compiler if the fast kernel could not be compiled."""
    from impasto.kernels.kernel import compiled_kernel, is_switched_off

    encoder = stylizer.encoder
    wanted = stylizer.device.type == "cpu" and not (encoder.exact or encoder.compiled)
    if wanted and compiled_kernel() is None and not is_switched_off():
        task.note(
            "The fast convolutions could not be compiled here, so each step takes two to three "
            f"times as long; to install a compiler: {install_hint('fast')}"
        )


def memory_notes(plan: Sequence[Workload]) -> list[str]:
    """Describe each level that is computed in tiles or with 16 bits."""
    from impasto.painting.memory_plan import show_bytes

    return [
        f"{work.level.long_side} px: "
        + (f"{counted(len(work.tiles), 'tile')} of {work.side} px, " if work.tiles else "")
        + (f"{counted(work.history, 'past step')} in 16 bits, " if work.half else "")
        + f"up to {show_bytes(work.memory)} of memory"
        for work in plan
        if work.is_thrifty
    ]


def save_settings(task: Task, settings: Settings) -> None:
    """Write the settings to the file that the task names; do nothing if it names none."""
    from impasto.storage import write_file

    path = task.record.save_settings
    if path is not None:
        write_file(path, settings_file(settings).encode(), overwrite=task.run.force)
