"""A job as a run that can begin, stop and resume from a step.

A crash, a change of weights, and a pause in which another job was painted are the same: the run
resumes from its latest step, as `PicturePlan.steps(start)` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

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
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.uploads import read_stored
from impasto.variations.reconstruction import plan_reconstruction
from impasto.variations.texture import plan_texture

__all__ = ["Result", "Run", "plan_run"]

History = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Result:
    """A finished picture and what is written into its file."""

    image: Tensor
    alpha: Tensor | None
    metadata: dict[str, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """A job that is planned.

    Attributes:
        settings: all of them.
        levels: sizes and steps, coarse to fine; none: there is nothing to watch.
        works: how each level is computed with the memory there is.
        size: (H, W) of the result.
        seen: pixels of the pictures whose style is measured.
        steps: paint, from the beginning or from a start.
        finish: (last image, history, whether it was painted to its end) → what is kept.
        change: other weights → the same run with them.
        pace: (stylizer, inputs) to measure the pace of this machine with; None: no need.
    """

    settings: Settings
    levels: tuple[Level, ...]
    works: tuple[Workload, ...]
    size: tuple[int, int]
    seen: tuple[int, ...]
    steps: Callable[[Step | None], Iterator[Step]]
    finish: Callable[[Tensor | None, History, bool], Result]
    change: Callable[[Mapping[str, Any]], Run]
    pace: Callable[[], tuple[Stylizer, Inputs]] | None


def plan_run(request: Mapping[str, Any], store: Store) -> Run:
    """Read the pictures of a checked request and plan its run.

    Raises: ImpastoError: as the core does for the same pictures and settings.
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
    return None if picture is None else read_stored(store, picture)


# ---- pictures -----------------------------------------------------------------------------------


def _plan_stylize(
    pictures: Mapping[str, Any], request: Mapping[str, Any], settings: Settings
) -> Run:
    guidance = Guidance(
        masks=pictures.get("masks", ()), style_masks=pictures.get("style_masks", ()),
        content_mask=pictures.get("content_mask"),
    )  # fmt: skip
    inputs = load_inputs(
        pictures["content"], pictures["styles"], settings, guidance=guidance,
        init=pictures.get("init"),
    )  # fmt: skip
    return _stylizing(Stylizer(settings), inputs)


def _stylizing(stylizer: Stylizer, inputs: Inputs) -> Run:
    def change(changes: Mapping[str, Any]) -> Run:
        settings = stylizer.settings.replace(**changes)
        return _stylizing(stylizer.with_settings(settings), inputs)

    plan = stylizer.plan(inputs)
    return _run(plan, plan.levels[-1].size, inputs.paintings, change, lambda: (stylizer, inputs))


def _plan_texture(
    pictures: Mapping[str, Any], request: Mapping[str, Any], settings: Settings
) -> Run:
    options = request["options"]
    size = (options["height"], options["width"])
    plan = plan_texture(pictures["styles"], size, settings, seamless=options["seamless"])

    def change(changes: Mapping[str, Any]) -> Run:
        return _plan_texture(pictures, request, settings.replace(**changes))

    return _run(plan, size, pictures["styles"], change)


def _plan_reconstruct(
    pictures: Mapping[str, Any], request: Mapping[str, Any], settings: Settings
) -> Run:
    options, picture = request["options"], pictures["content"]
    plan = plan_reconstruction(picture, options["layer"], settings, of=options["of"])
    return _run(
        plan, plan.levels[-1].size, [picture],
        lambda _: _plan_reconstruct(pictures, request, settings),
    )  # fmt: skip


def _run(
    plan: PicturePlan,
    size: tuple[int, int],
    measured: Sequence[Picture],
    change: Callable[[Mapping[str, Any]], Run],
    pace: Callable[[], tuple[Stylizer, Inputs]] | None = None,
) -> Run:
    """Make a run of a planned picture.

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

    return Run(
        settings=plan.settings, levels=plan.levels, works=plan.works, size=size,
        seen=tuple(each.size[0] * each.size[1] for each in measured),
        steps=plan.steps, finish=finished, change=change, pace=pace or measure,
    )  # fmt: skip


def _plan_recolor(
    pictures: Mapping[str, Any], request: Mapping[str, Any], settings: Settings
) -> Run:
    from impasto._version import __version__

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

    def change(changes: Mapping[str, Any]) -> Run:
        return _plan_recolor(pictures, request, settings)

    return Run(
        settings=settings, levels=(), works=(), size=photo.size, seen=(),
        steps=lambda start: iter(()), finish=finished, change=change, pace=None,
    )  # fmt: skip
