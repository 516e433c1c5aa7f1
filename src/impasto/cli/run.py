"""One run of a command that paints: read, paint, show the steps, write."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from impasto.cli.failures import interruptible, memory_errors
from impasto.cli.output import check_output, conclude, write
from impasto.cli.recorder import Recorder, check_record
from impasto.cli.run_steps import follow
from impasto.cli.task import Task, prepare, read_content, set_up_machine
from impasto.settings.pictures import Settings
from impasto.settings.recipes import settings_file
from impasto.settings.units import long_side_for_print

if TYPE_CHECKING:
    from impasto.painting.inputs import Inputs
    from impasto.painting.memory_plan import Workload
    from impasto.painting.picture_plan import PicturePlan
    from impasto.painting.stylizer import Stylizer

__all__ = ["memory_notes", "paint", "paint_plan", "prepared"]


def paint(task: Task, settings: Settings) -> None:
    """Paint a pastiche, show the steps and write the result; on Ctrl-C, the best image so far.

    All errors that can be found before the work begins are found then; nothing is written until
    the first step.
    """
    start = time.perf_counter()

    def plan() -> PicturePlan:
        stylizer, inputs = prepared(task, settings)
        if task.time.time is None:
            return stylizer.plan(inputs)
        from impasto.painting.timing import settings_within

        spent = time.perf_counter() - start
        within = settings_within(stylizer, inputs, task.time.time, spent=spent)
        planned = stylizer.with_settings(within).plan(inputs)
        steps = [f"{level.steps} steps at {level.long_side} px" for level in planned.levels]
        task.note(f"{task.time.text}: {', then '.join(steps)}")
        return planned

    paint_plan(task, settings.long_side, plan)


def paint_plan(task: Task, long_side: int, plan: Callable[[], PicturePlan]) -> None:
    """Plan and paint a picture, show the steps and write the result.

    Args:
        long_side: of the result, for messages about memory.
        plan: reads the pictures and loads the network.
    """
    start = time.perf_counter()
    with interruptible(task), memory_errors(long_side):
        prepare(task)
        planned = plan()
        for text in memory_notes(planned.works):
            task.note(text)
        check_output(task)
        check_record(task.record, overwrite=task.run.force)
        recorder = Recorder(task.record, planned.levels[-1].size, planned.alpha)
        for text in recorder.notes:
            task.note(text)
        ending = follow(planned.steps(), planned.levels, task, watch=recorder.watch)
        picture = planned.finish(ending.image, ending.history)
        picture = replace(picture, finished=ending.finished)
        save_settings(task, planned.settings)
        write(picture, task)
        recorder.finish(ending.history)
    conclude(picture, ending, task, time.perf_counter() - start)


def prepared(task: Task, settings: Settings) -> tuple[Stylizer, Inputs]:
    """Read the pictures and load the network. Without a painting, the photo stands in for one."""
    from impasto.painting.guidance import Guidance
    from impasto.painting.inputs import load_inputs
    from impasto.painting.stylizer import Stylizer

    set_up_machine(task)
    content = read_content(task)
    if task.print.paper:
        side = long_side_for_print(content.size, task.print.paper, task.print.dpi)
        settings = settings.replace(long_side=side)
    guidance = Guidance(**task.guides)
    styles: list[Any] = [*task.styles] or [content]
    inputs = load_inputs(content, styles, settings, guidance=guidance, init=task.init)
    stylizer = Stylizer(settings, device=task.run.device, memory=task.run.memory)
    advise_compiler(task, stylizer)
    return stylizer, inputs


def advise_compiler(task: Task, stylizer: Stylizer) -> None:
    """Advise to install a compiler if the fast kernel is missing because there is none."""
    from impasto.network.kernel import compiled_kernel, is_switched_off

    encoder = stylizer.encoder
    wanted = stylizer.device.type == "cpu" and not (encoder.exact or encoder.compiled)
    if wanted and compiled_kernel() is None and not is_switched_off():
        task.note(
            "The fast convolutions could not be compiled here, so steps take two to three times as "
            "long as they could; pip install 'impasto[fast]' brings a compiler"
        )


def memory_notes(plan: Sequence[Workload]) -> list[str]:
    """Describe how each level saves memory, for those that do."""
    from impasto.painting.memory_plan import show_bytes

    return [
        f"{work.level.long_side} px: "
        + (f"{len(work.tiles)} tiles of {work.side} px, " if work.tiles else "")
        + (f"{work.history} past steps in 16 bits, " if work.half else "")
        + f"up to {show_bytes(work.memory)} of memory"
        for work in plan
        if work.is_thrifty
    ]


def save_settings(task: Task, settings: Settings) -> None:
    """Write the settings to the file that the task names for them, if it does."""
    from impasto.storage import write_file

    path = task.record.save_settings
    if path is not None:
        write_file(path, settings_file(settings).encode(), overwrite=task.run.force)
