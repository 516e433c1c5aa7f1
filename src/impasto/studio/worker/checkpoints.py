"""Picture jobs that can be interrupted and resumed, and their checkpoint files.

Every kind of picture is painted level by level, coarse to fine. A run resumes from a picture after
a crash, a change of weights, or a pause during which another job was painted. It then paints the
remaining levels, the first of them with its remaining steps.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from impasto._version import __version__
from impasto.optimize.loop import Step
from impasto.painting.guidance import Guidance
from impasto.painting.inputs import Inputs, load_inputs
from impasto.painting.memory_plan import Workload
from impasto.painting.picture_plan import PicturePlan
from impasto.painting.pyramid import Level
from impasto.painting.stylizer import Stylizer
from impasto.pictures.colors import recolor
from impasto.pictures.picture import Picture, identity
from impasto.settings.pictures import Settings
from impasto.storage import replace_file
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.uploads import read_picture
from impasto.variations.reconstruction import plan_reconstruction
from impasto.variations.texture import plan_texture

__all__ = [
    "PictureRun",
    "Result",
    "plan_run",
    "read_checkpoint",
    "write_checkpoint",
]

History = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Result:
    """A finished picture and the metadata for its file."""

    image: Tensor
    alpha: Tensor | None
    metadata: dict[str, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class PictureRun:
    """The plan of a picture's job.

    Attributes:
        settings: all settings.
        levels: sizes and steps, coarse to fine; empty: the job has no steps.
        works: how each level is computed within the available memory.
        size: (H, W) of the result.
        style_pixels: the number of pixels of each picture whose style is measured.
        steps: paints from the beginning (None), or continues after a step.
        finish: (last image, history, whether all steps were painted) → the result.
        change: changed settings → the same run with them.
        alpha: the transparency of the result, (1, 1, h, w) in any size; None: it is opaque.
        pace: returns (stylizer, inputs) with which to measure the pace of this machine; None: the
            job takes no time worth measuring.
    """

    settings: Settings
    levels: tuple[Level, ...]
    works: tuple[Workload, ...]
    size: tuple[int, int]
    style_pixels: tuple[int, ...]
    steps: Callable[[Step | None], Iterator[Step]]
    finish: Callable[[Tensor | None, History, bool], Result]
    change: Callable[[Mapping[str, Any]], PictureRun]
    alpha: Tensor | None
    pace: Callable[[], tuple[Stylizer, Inputs]] | None


def plan_run(request: Mapping[str, Any], store: Store) -> PictureRun:
    """Read the pictures of a checked request and plan its run.

    Raises: ImpastoError: the core cannot paint these pictures with these settings.
    """
    kind = {
        "stylize": _plan_stylize, "texture": _plan_texture, "recolor": _plan_recolor,
        "reconstruct": _plan_reconstruct,
    }[request["kind"]]  # fmt: skip
    pictures = {
        role: [_read(store, each) for each in given] if isinstance(given, list)
        else _read(store, given)
        for role, given in request["pictures"].items()
    }  # fmt: skip
    return kind(pictures, request, Settings.from_dict(request["settings"]))


def _read(store: Store, picture: str | None) -> Picture | None:
    return None if picture is None else read_picture(store, picture)


def _plan_stylize(
    pictures: Mapping[str, Any], request: Mapping[str, Any], settings: Settings
) -> PictureRun:
    guidance = Guidance(
        masks=pictures.get("masks", ()), style_masks=pictures.get("style_masks", ()),
        content_mask=pictures.get("content_mask"),
    )  # fmt: skip
    inputs = load_inputs(
        pictures["content"], pictures["styles"], settings, guidance=guidance,
        init=pictures.get("init"),
    )  # fmt: skip
    return _stylizing(Stylizer(settings), inputs)


def _stylizing(stylizer: Stylizer, inputs: Inputs) -> PictureRun:
    def change(changes: Mapping[str, Any]) -> PictureRun:
        settings = stylizer.settings.replace(**changes)
        return _stylizing(stylizer.with_settings(settings), inputs)

    plan = stylizer.plan(inputs)
    size = plan.levels[-1].size
    return _run(plan, size, inputs.paintings, change, lambda: (stylizer, inputs))


def _plan_texture(
    pictures: Mapping[str, Any], request: Mapping[str, Any], settings: Settings
) -> PictureRun:
    options = request["options"]
    size = (options["height"], options["width"])
    plan = plan_texture(pictures["styles"], size, settings, seamless=options["seamless"])

    def change(changes: Mapping[str, Any]) -> PictureRun:
        return _plan_texture(pictures, request, settings.replace(**changes))

    return _run(plan, size, pictures["styles"], change)


def _plan_reconstruct(
    pictures: Mapping[str, Any], request: Mapping[str, Any], settings: Settings
) -> PictureRun:
    options, picture = request["options"], pictures["content"]
    plan = plan_reconstruction(picture, options["layer"], settings, of=options["of"])

    def change(changes: Mapping[str, Any]) -> PictureRun:
        return _plan_reconstruct(pictures, request, settings)

    return _run(plan, plan.levels[-1].size, [picture], change)


def _run(
    plan: PicturePlan,
    size: tuple[int, int],
    measured: Sequence[Picture],
    change: Callable[[Mapping[str, Any]], PictureRun],
    pace: Callable[[], tuple[Stylizer, Inputs]] | None = None,
) -> PictureRun:
    """Make the run of a planned picture.

    Args: measured: the pictures whose style is measured.
    """

    def finished(image: Tensor | None, history: History, whole: bool) -> Result:
        if image is None:
            raise ValueError("a picture without an image")
        pastiche = replace(plan.finish(image, history), finished=whole)
        return Result(pastiche.image, pastiche.alpha, pastiche.metadata)

    def measure() -> tuple[Stylizer, Inputs]:
        inputs = load_inputs(measured[0], measured[:1], plan.settings)
        return Stylizer(plan.settings), inputs

    return PictureRun(
        settings=plan.settings, levels=plan.levels, works=plan.works, size=size,
        style_pixels=tuple(each.size[0] * each.size[1] for each in measured),
        steps=plan.steps, finish=finished, change=change, alpha=plan.alpha,
        pace=pace or measure,
    )  # fmt: skip


def _plan_recolor(
    pictures: Mapping[str, Any], request: Mapping[str, Any], settings: Settings
) -> PictureRun:
    photo, style, options = pictures["content"], pictures["styles"][0], request["options"]

    def finished(image: Tensor | None, history: History, whole: bool) -> Result:
        colors = recolor(photo, style, **options)
        metadata = {
            "impasto": __version__,
            "made": {"command": "recolor", **options, "long_side": None},
            "content": identity(photo),
            "styles": [identity(style)],
        }
        return Result(colors, photo.alpha, metadata)

    def change(changes: Mapping[str, Any]) -> PictureRun:
        return _plan_recolor(pictures, request, settings)

    return PictureRun(
        settings=settings, levels=(), works=(), size=photo.size, style_pixels=(),
        steps=lambda start: iter(()), finish=finished, change=change, alpha=photo.alpha,
        pace=None,
    )  # fmt: skip


# ---- files --------------------------------------------------------------------------------------


def write_checkpoint(path: Path, step: Step) -> None:
    """Write a step to a file, with its image in 16 bits; a run can later continue after it."""
    buffer = io.BytesIO()
    image = (step.image.detach().cpu().clamp(0, 1) * 65535 + 0.5).numpy().astype(np.uint16)
    place = np.array([step.index, step.level, step.seconds])
    np.savez(buffer, image=image, place=place)
    replace_file(path, buffer.getvalue(), durable=False)


def read_checkpoint(path: Path) -> Step | None:
    """Read a step that `write_checkpoint` wrote; None: the file is missing or damaged."""
    try:
        with np.load(io.BytesIO(path.read_bytes())) as saved:
            image = torch.from_numpy(saved["image"].astype(np.float32) / 65535)
            index, level, seconds = saved["place"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return Step(image, {}, int(index), int(index), level=int(level), seconds=float(seconds))
