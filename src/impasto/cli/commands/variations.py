"""The commands texture, reconstruct and dream: other ends of the loop that paints."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.run import (
    Job,
    check_output,
    conclude,
    follow,
    interruptible,
    memory_errors,
    prepare,
    source,
    thrift,
    write,
)
from impasto.cli.run_options import (
    Bits,
    Device,
    Force,
    Json,
    Memory,
    Output,
    Quiet,
    Styles,
    Threads,
)
from impasto.cli.setting_flags import complete_layers, memory_limit, pair_with_styles, with_settings
from impasto.errors import SettingsError
from impasto.settings.recipes import recipe_settings

if TYPE_CHECKING:
    from impasto.variations.variation import Variation

__all__ = ["dream_command", "reconstruct_command", "texture_command"]

_NETWORK = (
    "network",
    "weights",
    "weights_convention",
    "normalized",
    "pooling",
    "pooling_rescaled",
    "padding",
    "pixel_range",
    "seed",
    "steps",
)
_LOOP = (
    "noise",
    "coarsest",
    "level_ratio",
    "step_decay",
    "tv_weight",
    "tv_reduction",
    "chroma_weight",
    "optimizer",
    "learning_rate",
    "history",
    "averaging",
    "clamp",
    "statistic",
    "style_form",
)
_STYLE = ("style_layers", "style_layer_weights", "style_weight", "style_scale")
# The defaults of `impasto.variations`, without torch. A test holds both copies together.
_CALM: Mapping[str, Any] = {
    "optimizer": "adam", "learning_rate": 0.03, "noise": 0.03, "statistic": "gram",
}  # fmt: skip
TEXTURE: Mapping[str, Any] = {**_CALM, "style_weight": 15.0}
RECONSTRUCTION: Mapping[str, Any] = {
    **_CALM,
    "coarsest": 0,
    "tv_weight": 0.0,
    "chroma_weight": 0.0,
}
DREAM: Mapping[str, Any] = {
    "steps": 48, "coarsest": 180, "level_ratio": 1.4, "step_decay": 0.0, "learning_rate": 0.006,
}  # fmt: skip
_OCTAVES = {
    "coarsest": "Long side of the first octave.",
    "level_ratio": "Factor between two octaves.",
    "steps": "Steps, over all octaves.",
    "learning_rate": "How far the average pixel moves per step, in pixel values of [0, 1].",
    "seed": "Seed of the jitter.",
}

Image = Annotated[str, typer.Argument(metavar="IMAGE", help="The picture; - reads it from stdin.")]


@partial(with_settings, names=(*_NETWORK, *_LOOP, *_STYLE), defaults=TEXTURE)
def texture_command(
    styles: Styles,
    output: Output,
    size: Annotated[str, typer.Option(metavar="WxH", help="Size in px, like 800x600.")] = "512x512",
    seamless: Annotated[
        bool, typer.Option("--seamless", help="Let copies of it join without a seam.")
    ] = False,
    force: Force = False,
    bits: Bits = 8,
    threads: Threads = None,
    device: Device = "auto",
    memory: Memory = None,
    quiet: Quiet = False,
    as_json: Json = False,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Paint nothing but the style of the painting STYLE, in any size."""
    paired = pair_with_styles(options or {}, styles, recipe_settings(**TEXTURE))
    settings = recipe_settings(**{**TEXTURE, **paired})
    canvas = parse_size(size)
    job = Job(
        content=str(styles[0]), styles=styles, output=output, force=force, bits=bits,
        threads=threads, device=device, memory=memory_limit(memory), quiet=quiet, json=as_json,
    )  # fmt: skip

    def plan() -> Variation:
        from impasto.variations.variation import plan_texture

        paintings = [source(str(style)) for style in styles]
        return plan_texture(paintings, canvas, settings, seamless=seamless, device=device,
                            memory=job.memory)  # fmt: skip

    run(job, max(canvas), plan)


@partial(
    with_settings, names=(*_NETWORK, *_LOOP, "long_side", "content_form"), defaults=RECONSTRUCTION
)
def reconstruct_command(
    image: Image,
    output: Output,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER", help="What is seen. [default: relu4_2]", autocompletion=complete_layers
        ),
    ] = None,
    style: Annotated[
        bool,
        typer.Option("--style", help="How it is painted, up to that layer, instead."),
    ] = False,
    all_layers: Annotated[
        bool, typer.Option("--sheet", help="One sheet: content and style at five layers.")
    ] = False,
    force: Force = False,
    bits: Bits = 8,
    threads: Threads = None,
    device: Device = "auto",
    memory: Memory = None,
    quiet: Quiet = False,
    as_json: Json = False,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Paint, from noise, what a layer of the network knows of IMAGE."""
    settings = recipe_settings(**{**RECONSTRUCTION, **(options or {})})
    job = Job(
        content=image, styles=[], output=output, force=force, bits=bits, threads=threads,
        device=device, memory=memory_limit(memory), quiet=quiet, json=as_json,
    )  # fmt: skip
    given = [flag for flag, value in (("--style", style), ("--layer", layer)) if value]
    if all_layers and given:
        raise SettingsError(
            f"--sheet shows content and style at five layers; leave {' and '.join(given)} out"
        )
    if all_layers:
        from impasto.cli.sheets import paint_layers

        paint_layers(job, settings)
        return

    def plan() -> Variation:
        from impasto.variations.variation import plan_reconstruction

        of: Any = "style" if style else "content"
        return plan_reconstruction(
            source(image),
            layer or "relu4_2",
            settings,
            of=of,
            device=device,
            memory=job.memory,
        )

    run(job, settings.long_side, plan)


@partial(
    with_settings,
    names=(*_NETWORK, "long_side", "coarsest", "level_ratio", "step_decay", "learning_rate"),
    defaults=DREAM,
    helps=_OCTAVES,
)
def dream_command(
    image: Image,
    output: Output,
    layer: Annotated[
        str,
        typer.Option(metavar="LAYER", help="What is to see more.", autocompletion=complete_layers),
    ] = "relu4_3",
    channel: Annotated[
        int | None, typer.Option(metavar="N", help="One channel of it, from 0; not given: all.")
    ] = None,
    jitter: Annotated[
        int,
        typer.Option(
            min=0, max=4096, metavar="PX", help="How far the picture is shifted at most, each step."
        ),
    ] = 32,
    force: Force = False,
    bits: Bits = 8,
    threads: Threads = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Exaggerate what a layer of the network sees in IMAGE."""
    settings = recipe_settings(**{**DREAM, **(options or {})})
    job = Job(
        content=image, styles=[], output=output, force=force, bits=bits, threads=threads,
        device=device, quiet=quiet, json=as_json,
    )  # fmt: skip

    def plan() -> Variation:
        from impasto.variations.dream import plan_dream

        return plan_dream(
            source(image), layer, settings, channel=channel, jitter=jitter, device=device
        )

    run(job, settings.long_side, plan)


def parse_size(text: str) -> tuple[int, int]:
    """Return the (H, W) of "800x600", which is W x H, or "512", a square.

    Raises: SettingsError: anything else, or a side of 0 or above 32768.
    """
    match = re.fullmatch(r"(\d{1,5})(?:\s*[x×]\s*(\d{1,5}))?", text.strip())
    width, height = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= min(width, height) <= max(width, height) <= 32768:
        raise SettingsError(f"size: {text!r} is not a size in px, like 800x600")
    return height, width


def run(job: Job, long_side: int, plan: Callable[[], Variation]) -> None:
    """Plan, paint, show how it goes and write the result; on Ctrl-C, the best image so far."""
    start = time.perf_counter()
    with interruptible(job), memory_errors(long_side):
        prepare(job)
        variation = plan()
        for text in thrift(variation.works):
            job.note(text)
        check_output(job)
        ending = follow(variation.steps(), variation.levels, job)
        picture = variation.finish(ending.image, ending.history)
        picture = replace(picture, finished=ending.finished)
        write(picture, job)
    conclude(picture, ending, job, time.perf_counter() - start)
