"""The command `impasto video CLIP STYLE... -o OUT.mp4`: a clip in the style of paintings."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.failures import INTERRUPTED, interruptible, memory_errors
from impasto.cli.help import GroupedCommand
from impasto.cli.run import memory_notes
from impasto.cli.task import Task, check_no_streams, set_up_machine, settings_read
from impasto.cli.typer_flags import Changes, gather_settings, with_flags
from impasto.errors import SettingsError, counted
from impasto.settings.clips import VideoSettings
from impasto.settings.command_flags import (
    ClipFileOptions,
    PartOptions,
    RecipeOptions,
    RunOptions,
)
from impasto.settings.masks import ClipMaskOptions
from impasto.settings.pictures import Settings
from impasto.settings.recipes import DRAFT_SCHEDULE
from impasto.settings.units import parse_time
from impasto.storage import check_results

if TYPE_CHECKING:
    from impasto.video.stylize_video import Film, VideoPlan

__all__ = ["VideoCommand", "video_command"]


class VideoCommand(GroupedCommand):
    """A command whose --style-at takes two values. Typer has no repeated flags with two values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the two values of each --style-at before they are parsed."""
        return super().parse_args(ctx, _joined(args))


def _joined(words: Sequence[str]) -> list[str]:
    """Join the two values of --style-at: "0s", "A" → "0s=A".

    >>> _joined(["--style-at", "0s", "a.jpg", "-q"])
    ['--style-at', '0s=a.jpg', '-q']
    """
    joined: list[str] = []
    rest = list(words)
    while rest:
        joined.append(rest.pop(0))
        if joined[-1] == "--style-at" and len(rest) > 1 and "=" not in rest[0]:
            joined.append(f"{rest.pop(0)}={rest.pop(0)}")
    return joined


Clip = Annotated[Path, typer.Argument(metavar="CLIP", help="A video file, or a folder of frames.")]
Styles = Annotated[
    list[Path] | None,
    typer.Argument(metavar="STYLE...", help="A painting, or several to blend."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="The result: .mp4, .mov, .mkv or .webm; or a folder, for frames.",
    ),
]
StyleAt = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TIME STYLE",
        help="Painting that is the only style at TIME, instead of STYLE...; repeat the flag for "
        "each painting. Between two times, one style fades into the other.",
    ),
]
Preview = Annotated[
    Path | None,
    typer.Option(
        metavar="SHEET",
        help="First paint every 10th frame at a small size, at most 60 frames, on one sheet; "
        "without -o, paint nothing else.",
    ),
]


@with_flags
def video_command(
    clip: Clip,
    styles: Styles = None,
    output: Output = None,
    style_at: StyleAt = None,
    preview: Preview = None,
    *,
    masks: ClipMaskOptions,
    recipe: RecipeOptions,
    run: RunOptions,
    part: PartOptions,
    file: ClipFileOptions,
    video: VideoSettings,
    changes: Changes,
) -> None:
    """Paint the clip CLIP in the style of the painting STYLE, without flicker.

    If a run is interrupted, the same command resumes it at the same frame.
    """
    paintings, times = _styles(styles or [], style_at or [])
    is_plain = recipe.recipe == "default" and recipe.schedule is None
    if video.draft and is_plain and "steps" not in changes:
        recipe = recipe.replace(schedule=DRAFT_SCHEDULE)
    settings = gather_settings(recipe, changes, paintings)
    if output is None and preview is None:
        raise typer.BadParameter("name the result: -o OUT.mp4", param_hint="--output")
    check_no_streams("clips and their frames", clip, *paintings, output, preview, file.frames)
    task = Task(
        content=str(clip), styles=paintings, output=str(output), guides=masks.guides, run=run,
        reads=[*settings_read(settings, recipe), ("the flow's weights", video.flow_weights)],
    )  # fmt: skip
    clip_part = {
        "start": part.start or None, "end": part.end or None, "rate": file.rate,
        "style_times": times, "device": run.device, "memory": run.memory,
    }  # fmt: skip
    coding = {
        "codec": file.codec, "crf": file.crf, "sound": file.sound, "frames": file.frames,
        "overwrite": run.force,
    }  # fmt: skip
    _run(task, settings, video, output, preview, clip_part, coding)


def _run(
    task: Task,
    settings: Settings,
    video: VideoSettings,
    output: Path | None,
    preview: Path | None,
    part: Mapping[str, Any],
    coding: Mapping[str, Any],
) -> None:
    """Preview, paint, encode, and report.

    Args: part, coding: arguments of `plan_video`; those of `part` hold for a preview, too.
    """
    start = time.perf_counter()
    with interruptible(task), memory_errors(settings.long_side):
        from impasto.painting.guidance import Guidance
        from impasto.video.run_files import files_written
        from impasto.video.stylize_video import plan_video

        results = [] if output is None else files_written(output, coding["frames"])
        sheet = [] if preview is None else [("--preview", preview)]
        check_results(task.inputs, [*results, *sheet])
        set_up_machine(task)
        guidance = Guidance(**task.guides) if any(task.guides.values()) else None
        part = {**part, "guidance": guidance}
        plan = None
        if output is not None:  # find all errors before the preview
            plan = plan_video(
                Path(task.content), list(task.styles), output, settings, video, **part, **coding
            )
        if preview is not None:
            _preview(task, settings, part, preview)
        if plan is None:
            return
        _announce(task, plan)
        film = _paint(task, plan)
    _conclude(task, film, time.perf_counter() - start, told=len(plan.notes))


def _preview(task: Task, settings: Settings, part: Mapping[str, Any], path: Path) -> None:
    """Paint some frames small and write them on one sheet."""
    from impasto.pictures.files import check_writable, save_image
    from impasto.video.preview import contact_sheet, preview_frames

    check_writable(path, overwrite=task.run.force)
    frames = []
    for frame, image in preview_frames(Path(task.content), list(task.styles), settings, **part):
        frames.append((frame, image))
        task.note(f"preview: frame {frame.index + 1}, {float(frame.time):.2f} s")
    save_image(contact_sheet(frames), path, overwrite=task.run.force)
    task.note(f"Wrote {path}: {counted(len(frames), 'frame')}, each painted independently")


def _announce(task: Task, plan: VideoPlan) -> None:
    """Print the number of frames, their size and their steps."""
    run, video, painter = plan.run, plan.run.video, plan.run.painter
    height, width = painter.work.level.size
    count = counted(run.expected, "frame") if run.expected else "Frames"
    first = painter.stylizer.settings.steps
    steps = f"{counted(video.frame_steps, 'step')} for each, {first} for the first of a scene"
    if video.draft:
        steps = (
            f"a draft: one frame in {video.key_every} is painted and moved along the motion to "
            "the frames between them; motion that is not detected looks smeared, and changes of "
            "light appear suddenly"
        )
    task.note(f"{count} of {width} x {height} px, {steps}")
    for text in (*plan.notes, *memory_notes([painter.work])):
        task.note(text)
    if run.store.resumed:
        task.note(
            f"Resuming the run in {run.store.folder}, which already has "
            f"{counted(run.store.resumed, 'painted frame')}"
        )


def _paint(task: Task, plan: VideoPlan) -> Film:
    """Paint and encode; on Ctrl-C, print how to resume."""
    from rich.console import Console

    from impasto.cli.clip_progress import reporting_clip

    frame = 0
    try:
        with reporting_clip(Console(stderr=True), quiet=task.run.quiet) as report:
            for step in plan.steps():
                frame = step.frame
                report(step)
        if plan.encode is not None:
            task.note("Encoding …")
        return plan.finish()
    except KeyboardInterrupt:
        of = f" of {plan.run.expected}" if plan.run.expected else ""
        where = f"at frame {frame}{of}" if frame else "before the first frame"
        again = shlex.join(["impasto", *sys.argv[1:]])
        task.note(
            f"Interrupted {where}; finished frames are kept in {plan.folder}. To resume: {again}"
        )
        raise typer.Exit(INTERRUPTED) from None


def _conclude(task: Task, film: Film, seconds: float, *, told: int) -> None:
    """Report the result, in words and as JSON; exit 1 if the clip ended early.

    Args: told: the number of the film's notes that are on the terminal already.
    """
    height, width = film.size
    scenes = f", {len(film.scenes)} scenes" if len(film.scenes) > 1 else ""
    task.note(
        f"Wrote {film.path}: {counted(film.frames, 'frame')} of {width} x {height} px{scenes}, "
        f"{seconds:.0f} s"
    )
    for text in film.notes[told:]:
        task.note(text)
    if film.truncated is not None:
        typer.echo(
            f"Warning: {film.truncated}; all frames that could be read are painted", err=True
        )
    if task.run.json:
        summary = {
            "output": str(film.path), "width": width, "height": height, "frames": film.frames,
            "resumed": film.resumed, "scenes": list(film.scenes), "seconds": round(seconds, 2),
            "finished": film.truncated is None, "losses": dict(film.losses),
            "notes": list(film.notes), **film.about,
        }  # fmt: skip
        typer.echo(json.dumps(summary))
    if film.truncated is not None:
        raise typer.Exit(1)


def _styles(
    styles: Sequence[Path], style_at: Sequence[str]
) -> tuple[list[Path], list[float] | None]:
    """Return the paintings and the time at which each is the only style; None: no times.

    Raises: SettingsError: both ways of naming them are used, or a time has no painting.
    """
    if styles and style_at:
        raise SettingsError(
            "STYLE... and --style-at both name the paintings; give all of them in the same way, "
            "the first as --style-at 0s STYLE"
        )
    if not styles and not style_at:
        raise typer.BadParameter("name at least one painting", param_hint="STYLE...")
    if not style_at:
        return list(styles), None
    pairs = [each.partition("=") for each in style_at]
    for when, _, name in pairs:
        if not name:
            raise SettingsError(f"--style-at {when}: give a time and a painting, like 4s night.jpg")
    return [Path(name) for *_, name in pairs], [parse_time(when) for when, *_ in pairs]
