"""The command `impasto audio CONTENT STYLE -o OUT.wav`: one sound in the style of another."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.failures import failed_allocations, interruptible
from impasto.cli.recorder import check_record, plot_library
from impasto.cli.run_steps import Ending, follow
from impasto.cli.task import Task, check_no_streams, prepare
from impasto.cli.typer_flags import with_flags
from impasto.settings.command_flags import FileOptions, RecordOptions, RunOptions
from impasto.settings.sounds import AudioSettings

if TYPE_CHECKING:
    from torch import Tensor

    from impasto.audio.transfer import SoundPastiche, SoundTransfer

__all__ = ["audio_command", "plot_spectrograms"]

_FLOOR = -80  # dB, the darkest of the plot
_TOO_LARGE = (
    "the sound does not fit into this machine's memory; try a shorter one, or a lower --rate"
)


Content = Annotated[
    Path, typer.Argument(metavar="CONTENT", help="The sound whose events and rhythm are kept.")
]
Style = Annotated[
    Path, typer.Argument(metavar="STYLE", help="The sound that gives the texture and timbre.")
]
Output = Annotated[
    str, typer.Option("--output", "-o", metavar="OUT", help="The result: .wav or .flac.")
]
Plot = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Plot of the three spectrograms: .png, .svg or .pdf; needs impasto[plot].",
    ),
]
Bits = Annotated[int, typer.Option(metavar="16|24", help="Bits per sample.", hidden=True)]


@with_flags
def audio_command(
    content: Content,
    style: Style,
    output: Output,
    plot: Plot = None,
    bits: Bits = 16,
    *,
    run: RunOptions,
    settings: AudioSettings,
) -> None:
    """Transfer the style of the sound STYLE to the sound CONTENT."""
    check_no_streams("sounds", content, style, output, plot)
    task = Task(
        content=str(content), styles=[style], output=output, file=FileOptions(bits=bits), run=run,
        record=RecordOptions(plot=plot), makes="sound",
    )  # fmt: skip
    start = time.perf_counter()
    with interruptible(task), failed_allocations(_TOO_LARGE):
        prepare(task)
        transfer, ending = _paint(task, settings)
        task.note("Computing the sound from its spectrogram …")
        finished = ending.finished
        pastiche = transfer.finish(ending.image, ending.history, finished=finished)
        pastiche.save(output, bits=bits)
        if plot is not None:
            from impasto.storage import write_file

            write_file(plot, plot_spectrograms(transfer, pastiche, plot.suffix))
    _conclude(pastiche, ending, task, time.perf_counter() - start)


def _paint(task: Task, settings: AudioSettings) -> tuple[SoundTransfer, Ending]:
    """Read and check everything, then run the steps."""
    from impasto.audio.files import check_sound_target
    from impasto.audio.transfer import plan_sound
    from impasto.machine import choose_device
    from impasto.painting.pyramid import Level

    check_sound_target(task.output, bits=task.file.bits, overwrite=task.run.force)
    check_record(task.record, overwrite=task.run.force)
    choose_device(task.run.device)  # sounds are always computed on the CPU
    transfer = plan_sound(
        Path(task.content), task.styles[0], settings, memory=task.run.memory
    )  # fmt: skip
    frames = transfer.transform.frames(transfer.working.samples.shape[1])
    level = Level((transfer.transform.bins, frames), frames, settings.steps)
    label = f"{transfer.content.seconds:.1f} s"
    return transfer, follow(transfer.steps(), [level], task, label=label)


def _conclude(pastiche: SoundPastiche, ending: Ending, task: Task, seconds: float) -> None:
    """Report the result, in words and as JSON, and exit if the run did not end well."""
    sound, distances = pastiche.sound, pastiche.distances
    channels = sound.samples.shape[0]
    name = {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
    task.note(
        f"{ending.note} {task.output}: {sound.seconds:.1f} s, {name}, {sound.rate} Hz; "
        f"distance from the style {distances['content']:.3g} → {distances['result']:.3g}; "
        f"{seconds:.0f} s"
    )
    if task.run.json:
        summary = {
            "output": task.output,
            "length": round(sound.seconds, 3),
            "channels": channels,
            "rate": sound.rate,
            "finished": pastiche.finished,
            "steps": len(pastiche.history),
            "seconds": round(seconds, 2),
            "losses": {key: ending.losses[key] for key in ("content", "style", "total")},
            **pastiche.metadata,
        }
        typer.echo(json.dumps(summary))
    if ending.code:
        raise typer.Exit(ending.code)


def plot_spectrograms(
    transfer: SoundTransfer, pastiche: SoundPastiche, suffix: str = ".png"
) -> bytes:
    """Draw content, style and result one below the other, in decibels, at the same scale.

    Args: suffix: ".png", ".svg" or ".pdf".

    Raises: SettingsError: matplotlib is not installed.
    """
    from impasto.audio.files import resample

    result = resample(pastiche.sound, transfer.working.rate)
    sounds = {"content": transfer.working, "style": transfer.style, "result": result}
    maps = {name: transfer.decibels(sound) for name, sound in sounds.items()}
    figure = plot_library().Figure(figsize=(9, 8), dpi=110, layout="constrained")
    panels = figure.subplots(3, sharex=True, sharey=True)
    named = {"content": pastiche.inputs["content"], "style": pastiche.inputs["styles"][0]}
    for axes, (name, decibels) in zip(panels, maps.items(), strict=True):
        image = _draw(axes, decibels, sounds[name].seconds, transfer.working.rate)
        given = named.get(name, {}).get("name")
        axes.set_title(f"{name}: {given}" if given else name, loc="left", fontsize="medium")
        axes.set(ylabel="kHz")
    panels[-1].set(xlabel="s", xlim=(0, max(each.seconds for each in sounds.values())))
    figure.colorbar(image, ax=panels, label="dB")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix.lower().removeprefix("."))
    return buffer.getvalue()


def _draw(axes: Any, decibels: Tensor, seconds: float, rate: int) -> Any:
    axes.set_facecolor("black")  # where one sound is shorter than another
    return axes.imshow(
        decibels.numpy(), origin="lower", aspect="auto", interpolation="antialiased",
        extent=(0, seconds, 0, rate / 2000), vmin=_FLOOR, vmax=0, cmap="magma",
    )  # fmt: skip
