"""Picture jobs that can be interrupted and resumed, and the checkpoint files for it.

Every kind of picture is painted level by level, coarse to fine. A run resumes from a picture after
a crash, a change of weights, or a pause during which another job was painted. It then paints the
remaining levels, the first of them with its remaining steps.
"""

from __future__ import annotations

import io
import itertools
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
from impasto.painting.memory_plan import Workload, unusual
from impasto.painting.pastiche import Pastiche, finish
from impasto.painting.pyramid import Level
from impasto.painting.stylizer import Stylizer
from impasto.pictures.colors import recolor
from impasto.pictures.picture import Picture, identity
from impasto.settings.pictures import Settings
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.uploads import read_picture
from impasto.studio.worker.job_log import replace_file
from impasto.variations.variation import Variation, plan_reconstruction, plan_texture

__all__ = [
    "PictureRun",
    "Result",
    "Start",
    "left_of",
    "plan_run",
    "read_checkpoint",
    "write_checkpoint",
]

History = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Start:
    """The point from which a run resumes.

    Attributes:
        image: (1, 3, H, W), sRGB in [0, 1].
        step: number of steps done.
        level: level of that step, from 1.
        seconds: painting time so far.
    """

    image: Tensor
    step: int
    level: int
    seconds: float = 0.0


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
        style_pixels: pixel counts of the pictures whose style is measured.
        steps: paints from the beginning (None) or from a start.
        finish: (last image, history, whether all steps were painted) → the result.
        change: changed settings → the same run with them.
        pace: returns (stylizer, inputs) with which to measure the pace of this machine; None: the
            job takes no time worth measuring.
    """

    settings: Settings
    levels: tuple[Level, ...]
    works: tuple[Workload, ...]
    size: tuple[int, int]
    style_pixels: tuple[int, ...]
    steps: Callable[[Start | None], Iterator[Step]]
    finish: Callable[[Tensor | None, History, bool], Result]
    change: Callable[[Mapping[str, Any]], PictureRun]
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


def left_of(levels: Sequence[Level], start: Start | None) -> tuple[int, list[Level]]:
    """Return the number of finished levels and the remaining levels.

    The first of the remaining levels has only its remaining steps.
    """
    if start is None:
        return 0, list(levels)
    done = start.level - 1
    left = sum(level.steps for level in levels[: start.level]) - start.step
    if left <= 0:  # the level is finished; after the last level, one more step yields the image
        if start.level < len(levels):
            return start.level, list(levels[start.level :])
        left = 1
    return done, [replace(levels[done], steps=left), *levels[done + 1 :]]


def _renumbered(
    steps: Iterator[Step], levels: Sequence[Level], start: Start | None
) -> Iterator[Step]:
    """Number the steps of a resumed run as steps of the whole run."""
    done, rest = left_of(levels, start)
    total = sum(level.steps for level in levels)
    before = total - sum(level.steps for level in rest)
    for step in steps:
        yield replace(
            step, index=before + step.index, count=total, level=done + step.level,
            levels=len(levels),
        )  # fmt: skip


# ---- pastiches ----------------------------------------------------------------------------------


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
    return _stylizing(inputs, settings)


def _stylizing(inputs: Inputs, settings: Settings) -> PictureRun:
    stylizer = Stylizer(settings)
    plan = stylizer.plan(inputs.photo, inputs.paintings)
    levels = tuple(work.level for work in plan)

    def steps(start: Start | None) -> Iterator[Step]:
        done, rest = left_of(levels, start)
        works = [replace(work, level=level) for work, level in zip(plan[done:], rest, strict=True)]
        begun = inputs if start is None else replace(inputs, init=Picture(start.image))
        return _renumbered(stylizer.paint(begun, works), levels, start)

    def finished(image: Tensor | None, history: History, whole: bool) -> Result:
        if image is None:
            raise ValueError("a pastiche without an image")
        pastiche = finish(image, inputs, settings, history, computed=unusual(plan))
        return _result(replace(pastiche, finished=whole))

    return PictureRun(
        settings=settings, levels=levels, works=plan, size=levels[-1].size,
        style_pixels=tuple(each.size[0] * each.size[1] for each in inputs.paintings),
        steps=steps, finish=finished,
        change=lambda changes: _stylizing(inputs, settings.replace(**changes)),
        pace=lambda: (stylizer, inputs),
    )  # fmt: skip


def _result(pastiche: Pastiche) -> Result:
    return Result(pastiche.image, pastiche.alpha, pastiche.metadata)


# ---- variations ---------------------------------------------------------------------------------


def _plan_texture(
    pictures: Mapping[str, Any], request: Mapping[str, Any], settings: Settings
) -> PictureRun:
    options = request["options"]
    size = (options["height"], options["width"])
    variation = plan_texture(pictures["styles"], size, settings, seamless=options["seamless"])

    def change(changes: Mapping[str, Any]) -> PictureRun:
        return _plan_texture(pictures, request, settings.replace(**changes))

    return _varying(variation, pictures["styles"], size, change)


def _plan_reconstruct(
    pictures: Mapping[str, Any], request: Mapping[str, Any], settings: Settings
) -> PictureRun:
    options = request["options"]
    variation = plan_reconstruction(
        pictures["content"], options["layer"], settings, of=options["of"]
    )
    return _varying(
        variation, [pictures["content"]], variation.levels[-1].size,
        lambda _: _plan_reconstruct(pictures, request, settings),
    )  # fmt: skip


def _varying(
    variation: Variation,
    pictures: Sequence[Picture],
    size: tuple[int, int],
    change: Callable[[Mapping[str, Any]], PictureRun],
) -> PictureRun:
    levels = variation.levels

    def rest(start: Start) -> Iterator[Step]:
        done, left = left_of(levels, start)
        image, before = start.image, 0
        for number, level in enumerate(left, 1):
            whole = levels[done + number - 1]  # the level as the variation planned it
            begun = variation.enlarge(image.cpu(), level.size)
            steps = variation.descend(begun, variation.aim(whole), whole)
            for step in itertools.islice(steps, level.steps):
                yield replace(step, index=before + step.index, level=number)
            image, before = step.image, before + level.steps

    def steps(start: Start | None) -> Iterator[Step]:
        return variation.steps() if start is None else _renumbered(rest(start), levels, start)

    def finished(image: Tensor | None, history: History, whole: bool) -> Result:
        if image is None:
            raise ValueError("a variation without an image")
        return _result(replace(variation.finish(image, history), finished=whole))

    def pace() -> tuple[Stylizer, Inputs]:
        inputs = load_inputs(pictures[0], pictures[:1], variation.settings)
        return Stylizer(variation.settings), inputs

    return PictureRun(
        settings=variation.settings, levels=levels, works=variation.works, size=size,
        style_pixels=tuple(each.size[0] * each.size[1] for each in pictures),
        steps=steps, finish=finished, change=change, pace=pace,
    )  # fmt: skip


def _plan_recolor(
    pictures: Mapping[str, Any], request: Mapping[str, Any], settings: Settings
) -> PictureRun:
    photo, style, options = pictures["content"], pictures["styles"][0], request["options"]

    def finished(image: Tensor | None, history: History, whole: bool) -> Result:
        colors = recolor(photo.image, style.image, **options)
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
        steps=lambda start: iter(()), finish=finished, change=change, pace=None,
    )  # fmt: skip


# ---- files --------------------------------------------------------------------------------------


def write_checkpoint(path: Path, start: Start) -> None:
    """Write a start to a file, its image in 16 bits."""
    buffer = io.BytesIO()
    image = (start.image.detach().cpu().clamp(0, 1) * 65535 + 0.5).numpy().astype(np.uint16)
    place = np.array([start.step, start.level, start.seconds])
    np.savez(buffer, image=image, place=place)
    replace_file(path, buffer.getvalue())


def read_checkpoint(path: Path) -> Start | None:
    """Read a start from a file; None: the file is missing or damaged."""
    try:
        with np.load(io.BytesIO(path.read_bytes())) as saved:
            image = torch.from_numpy(saved["image"].astype(np.float32) / 65535)
            step, level, seconds = saved["place"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return Start(image, int(step), int(level), float(seconds))
