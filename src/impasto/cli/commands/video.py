"""The command `impasto video CLIP STYLE... -o OUT.mp4`: a clip in the style of paintings."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.run import (
    INTERRUPTED,
    Job,
    interruptible,
    memory_errors,
    set_up_machine,
    thrift,
)
from impasto.cli.run_options import (
    ContentMask,
    Device,
    Force,
    Json,
    Memory,
    Quiet,
    Recipe,
    Schedule,
    SettingsFile,
    StyleMask,
    Threads,
    files,
)
from impasto.cli.setting_flags import (
    GroupedCommand,
    gather_settings,
    memory_limit,
    options_of,
    parse_duration,
    with_settings,
)
from impasto.errors import SettingsError
from impasto.settings.clips import VideoSettings
from impasto.settings.pictures import Settings

if TYPE_CHECKING:
    from impasto.video.stylize_video import Film, VideoPlan

__all__ = ["DRAFT_SCHEDULE", "VideoCommand", "video_command"]

DRAFT_SCHEDULE = "fast"  # of its first frame, where none is asked for


@dataclass(frozen=True, kw_only=True)
class _Task:
    """What is painted, besides the settings: arguments of `plan_video`."""

    clip: Path
    styles: Sequence[Path]
    part: Mapping[str, Any]  # start, end, rate, guidance, style_times, memory, device
    coding: Mapping[str, Any]  # codec, crf, sound, frames, overwrite


class VideoCommand(GroupedCommand):
    """A command whose --style-at takes two values, which Typer cannot say of a repeated flag."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the two values of each --style-at before they are looked at."""
        return super().parse_args(ctx, _joined(args))


def _joined(words: Sequence[str]) -> list[str]:
    """Make "--style-at", "0s=A" of "--style-at", "0s", "A".

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


@partial(with_settings, kinds=(VideoSettings, Settings))
def video_command(
    clip: Annotated[
        Path, typer.Argument(metavar="CLIP", help="A video file, or a folder of frames.")
    ],
    styles: Annotated[
        list[Path] | None,
        typer.Argument(metavar="STYLE...", help="A painting, or several to blend."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="The result: .mp4, .mov, .mkv or .webm; or a folder, for frames.",
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin there: 2s, 1m30s.")
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="End there.")] = None,
    style_at: Annotated[
        list[str] | None,
        typer.Option(
            "--style-at",
            metavar="TIME STYLE",
            help="Instead of STYLE..., repeated: at that time the painting is the only one, and "
            "between two times one gives way to the other.",
        ),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(
            "--preview",
            metavar="SHEET",
            help="First paint every 10th frame, small, on one picture; without -o, only that.",
        ),
    ] = None,
    mask: Annotated[
        list[str] | None,
        typer.Option(
            "--mask",
            metavar="FILE|FOLDER",
            help="Where the style goes: white; as for stylize. A folder has one for each frame.",
        ),
    ] = None,
    style_mask: StyleMask = None,
    content_mask: ContentMask = None,
    crf: Annotated[
        int | None,
        typer.Option(metavar="N", help="Quality of the file; lower is better and larger."),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="h264, h265, vp9, av1 or prores.", hidden=True),
    ] = None,
    sound: Annotated[
        bool, typer.Option("--sound/--no-sound", help="Keep the sound track.", hidden=True)
    ] = True,
    frames: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep the painted frames there, as PNG.", hidden=True),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(metavar="N", help="Frames a second, of a folder. [default: 24]", hidden=True),
    ] = None,
    recipe: Recipe = "default",
    schedule: Schedule = None,
    settings_file: SettingsFile = None,
    force: Force = False,
    threads: Threads = None,
    device: Device = "auto",
    memory: Memory = None,
    quiet: Quiet = False,
    as_json: Json = False,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Paint the clip CLIP in the style of the painting STYLE, without flicker.

    Stopped, it goes on at the frame where it was when the same command is given again.
    """  # fmt: skip
    given = options or {}
    paintings, times = _styles(styles or [], style_at or [])
    video = VideoSettings(**options_of(VideoSettings, given))
    own = options_of(Settings, given)
    if video.draft and recipe == "default" and schedule is None and "steps" not in own:
        schedule = DRAFT_SCHEDULE
    settings = gather_settings(recipe, schedule, settings_file, own, paintings)
    if output is None and preview is None:
        raise typer.BadParameter("name the result: -o OUT.mp4", param_hint="--output")
    job = Job(
        content=str(clip), styles=paintings, output=str(output), force=force, threads=threads,
        device=device, quiet=quiet, json=as_json, memory=memory_limit(memory),
    )  # fmt: skip
    masks: dict[str, Any] = {
        "masks": files(mask), "style_masks": files(style_mask), "content_mask": content_mask
    }  # fmt: skip
    task = _Task(
        clip=clip,
        styles=paintings,
        part={
            "masks": masks, "style_times": times, "start": _time(start), "end": _time(end),
            "rate": rate, "device": device, "memory": job.memory,
        },
        coding={
            "codec": codec, "crf": crf, "sound": sound, "frames": frames, "overwrite": force
        },
    )  # fmt: skip
    _run(job, task, settings, video, output, preview)


def _run(
    job: Job,
    task: _Task,
    settings: Settings,
    video: VideoSettings,
    output: Path | None,
    preview: Path | None,
) -> None:
    """Preview, paint, encode, and say what was done."""
    start = time.perf_counter()
    with interruptible(job), memory_errors(settings.long_side):
        part = _begin(job, task)
        from impasto.video.stylize_video import plan_video

        plan = None
        if output is not None:  # whatever is wrong is found before the preview
            plan = plan_video(
                task.clip, list(task.styles), output, settings, video, **part, **task.coding
            )
        if preview is not None:
            _preview(job, task, settings, part, preview)
        if plan is None:
            return
        _announce(job, plan)
        film = _paint(job, plan)
    _conclude(job, film, time.perf_counter() - start)


def _begin(job: Job, task: _Task) -> dict[str, Any]:
    """Set up the machine, and turn what was typed into arguments of `plan_video`."""
    from impasto.painting.guidance import Guidance

    set_up_machine(job)
    part = dict(task.part)
    masks = part.pop("masks")
    return part | {"guidance": Guidance(**masks) if any(masks.values()) else None}


def _preview(
    job: Job, task: _Task, settings: Settings, part: Mapping[str, Any], path: Path
) -> None:
    """Paint some frames small and write the sheet of them."""
    from impasto.pictures.files import check_writable, save_image
    from impasto.video.preview import contact_sheet, preview_frames

    check_writable(path, overwrite=job.force)
    frames = []
    for frame, image in preview_frames(task.clip, list(task.styles), settings, **part):
        frames.append((frame, image))
        job.note(f"preview: frame {frame.index + 1}, {float(frame.time):.2f} s")
    save_image(contact_sheet(frames), path, overwrite=job.force)
    job.note(f"Wrote {path}: {len(frames)} frames, each painted by itself")


def _announce(job: Job, plan: VideoPlan) -> None:
    """Say what is going to be done."""
    reel = plan.run
    (height, width), video, run = reel.painter.work.level.size, reel.video, reel.store
    count = f"{reel.expected} frames" if reel.expected else "Frames"
    steps = (
        f"{video.frame_steps} steps each, a scene's first {reel.painter.stylizer.settings.steps}"
    )
    if video.draft:
        steps = (
            f"a draft: every {video.key_every}th frame is painted and carried along the motion to "
            "those between; what moves as no motion tells is less true, and light changes in jumps"
        )
    job.note(f"{count} of {width} x {height} px, {steps}")
    for text in thrift([reel.painter.work]):
        job.note(text)
    if run.resumed:
        job.note(f"Going on with the run in {run.folder}: {run.resumed} frames are there already")


def _paint(job: Job, plan: VideoPlan) -> Film:
    """Paint and encode; on Ctrl-C, say how to go on."""
    from rich.console import Console

    from impasto.cli.clip_progress import reporting_clip

    frame = 0
    try:
        with reporting_clip(Console(stderr=True), quiet=job.quiet) as report:
            for step in plan.steps():
                frame = step.frame
                report(step)
        if plan.encode is not None:
            job.note("Encoding …")
        return plan.finish()
    except KeyboardInterrupt:
        of = f" of {plan.run.expected}" if plan.run.expected else ""
        where = f"at frame {frame}{of}" if frame else "before the first frame"
        again = shlex.join(["impasto", *sys.argv[1:]])
        job.note(
            f"Interrupted {where}; finished frames are kept in {plan.folder}. To go on: {again}"
        )
        raise typer.Exit(INTERRUPTED) from None


def _conclude(job: Job, film: Film, seconds: float) -> None:
    """Say what was written, in words and as JSON; exit 1 if the clip ended early."""
    height, width = film.size
    scenes = f", {len(film.scenes)} scenes" if len(film.scenes) > 1 else ""
    job.note(
        f"Wrote {film.path}: {film.frames} frames of {width} x {height} px{scenes}, {seconds:.0f} s"
    )
    for text in film.notes:
        job.note(text)
    if film.truncated is not None:
        typer.echo(f"Warning: {film.truncated}; what could be read is painted", err=True)
    if job.json:
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
    """Return the paintings, and when each is the only one, if that was said.

    Raises: SettingsError: both ways of naming them, or a time without a painting.
    """
    if styles and style_at:
        raise SettingsError(
            "STYLE... and --style-at both name the paintings; give one, as --style-at 0s for the "
            "first"
        )
    if not styles and not style_at:
        raise typer.BadParameter("name at least one painting", param_hint="STYLE...")
    if not style_at:
        return list(styles), None
    pairs = [each.partition("=") for each in style_at]
    for when, _, name in pairs:
        if not name:
            raise SettingsError(f"--style-at {when}: give a time and a painting, like 4s night.jpg")
    return [Path(name) for *_, name in pairs], [
        parse_duration(when, zero=True) for when, *_ in pairs
    ]


def _time(text: str | None) -> float | None:
    return None if text is None else parse_duration(text, zero=True)
