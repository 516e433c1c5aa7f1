"""The commands texture, reconstruct and dream: other uses of the loop that paints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from impasto.cli.arguments import Image, Output, Styles
from impasto.cli.run import paint_plan
from impasto.cli.sheets import paint_layers
from impasto.cli.task import Task, settings_read, source
from impasto.cli.typer_flags import complete_layers, pair_with_styles, with_flags
from impasto.errors import SettingsError
from impasto.settings.command_flags import FileOptions, RecordOptions, RunOptions
from impasto.settings.recipes import USED_SETTINGS, recipe_settings
from impasto.settings.units import parse_size

if TYPE_CHECKING:
    from impasto.painting.picture_plan import PicturePlan

__all__ = ["dream_command", "reconstruct_command", "texture_command"]

_TEXTURE = USED_SETTINGS["texture"]
_RECONSTRUCT = USED_SETTINGS["reconstruct"]
_DREAM = USED_SETTINGS["dream"]
_LAYER = "relu4_2"  # of a reconstruction

Size = Annotated[str, typer.Option(metavar="WxH", help="Size in px, like 800x600.")]
Seamless = Annotated[
    bool, typer.Option("--seamless", help="Make copies of the texture join without a seam.")
]
Layer = Annotated[
    str | None,
    typer.Option(
        metavar="LAYER",
        help=f"The layer whose features are reconstructed. [default: {_LAYER}]",
        autocompletion=complete_layers,
    ),
]
Style = Annotated[
    bool, typer.Option("--style", help="Reconstruct the style up to the layer, not the content.")
]
Sheet = Annotated[
    bool, typer.Option("--sheet", help="Paint one sheet: content and style at five layers.")
]
DreamLayer = Annotated[
    str,
    typer.Option(
        metavar="LAYER", help="The layer to exaggerate.", autocompletion=complete_layers
    ),
]  # fmt: skip
Channel = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Channel of the layer, counted from 0; if not given, all channels."
    ),
]
Jitter = Annotated[
    int,
    typer.Option(
        min=0, max=4096, metavar="PX", help="Longest random shift of the picture before a step."
    ),
]


@with_flags
def texture_command(
    styles: Styles,
    output: Output,
    size: Size = "512x512",
    seamless: Seamless = False,
    *,
    record: RecordOptions,
    file: FileOptions,
    run: RunOptions,
    changes: Annotated[Mapping[str, Any], _TEXTURE],
) -> None:
    """Paint only the style of the painting STYLE, in any size."""
    defaults = _TEXTURE.defaults
    paired = pair_with_styles(changes, styles, recipe_settings(**defaults))
    settings = recipe_settings(**{**defaults, **paired})
    canvas = parse_size(size)
    task = Task(
        content="", styles=styles, output=output, record=record, file=file, run=run,
        reads=settings_read(settings),
    )  # fmt: skip

    def plan() -> PicturePlan:
        from impasto.variations.texture import plan_texture

        paintings = [source(str(style)) for style in styles]
        return plan_texture(
            paintings, canvas, settings, seamless=seamless, device=run.device, memory=run.memory
        )

    paint_plan(task, max(canvas), plan, smaller="a smaller --size")


@with_flags
def reconstruct_command(
    image: Image,
    output: Output,
    layer: Layer = None,
    style: Style = False,
    sheet: Sheet = False,
    *,
    record: RecordOptions,
    file: FileOptions,
    run: RunOptions,
    changes: Annotated[Mapping[str, Any], _RECONSTRUCT],
) -> None:
    """Paint IMAGE, from noise, as one layer of the network describes it."""
    settings = recipe_settings(**{**_RECONSTRUCT.defaults, **changes})
    task = Task(
        content=image, output=output, record=record, file=file, run=run,
        reads=settings_read(settings),
    )  # fmt: skip
    if sheet:
        _check_sheet(layer, style, record)
        paint_layers(task, settings)
        return

    def plan() -> PicturePlan:
        from impasto.variations.reconstruction import plan_reconstruction

        of: Literal["content", "style"] = "style" if style else "content"
        return plan_reconstruction(
            source(image), layer or _LAYER, settings, of=of, device=run.device, memory=run.memory
        )

    paint_plan(task, settings.long_side, plan)


def _check_sheet(layer: str | None, style: bool, record: RecordOptions) -> None:
    """Raise a SettingsError for options that a sheet does not have."""
    given = [name for name, value in (("--style", style), ("--layer", layer)) if value]
    if given:
        raise SettingsError(
            f"--sheet paints content and style at five layers; leave {' and '.join(given)} out"
        )
    if record != RecordOptions():
        raise SettingsError(
            "--sheet cannot be combined with --frames, --every, --timelapse, --plot or "
            "--save-settings; leave them out"
        )


@with_flags
def dream_command(
    image: Image,
    output: Output,
    layer: DreamLayer = "relu4_3",
    channel: Channel = None,
    jitter: Jitter = 32,
    *,
    record: RecordOptions,
    file: FileOptions,
    run: RunOptions,
    changes: Annotated[Mapping[str, Any], _DREAM],
) -> None:
    """Exaggerate the patterns that a layer of the network detects in IMAGE."""
    settings = recipe_settings(**{**_DREAM.defaults, **changes})
    task = Task(
        content=image, output=output, record=record, file=file, run=run,
        reads=settings_read(settings),
    )  # fmt: skip

    def plan() -> PicturePlan:
        from impasto.variations.dream import plan_dream

        return plan_dream(
            source(image), layer, settings, channel=channel, jitter=jitter, device=run.device,
            memory=run.memory,
        )  # fmt: skip

    paint_plan(task, settings.long_side, plan)
