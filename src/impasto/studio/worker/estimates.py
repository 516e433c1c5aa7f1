"""Estimates: what a job would take, asked by the server and answered by the worker."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from impasto.errors import ImpastoError
from impasto.painting.inputs import Inputs
from impasto.painting.memory_plan import Workload
from impasto.painting.stylizer import Stylizer
from impasto.painting.timing import Pace, measure_pace
from impasto.settings.pictures import Settings
from impasto.studio.jobs.rows import LESSONS
from impasto.studio.jobs.store import Store
from impasto.studio.worker.checkpoints import plan_run

__all__ = ["answer_questions", "estimate", "known_pace", "learn", "levels_of", "seconds_of"]

# Settings that cost no time, or whose cost is known from the plan.
_FREE = (
    "long_side", "steps", "coarsest", "level_ratio", "step_decay", "patience", "seed", "init",
    "noise", "content_weight", "style_weight", "style_scale", "tv_weight", "chroma_weight",
    "learning_rate", "feather", "averaging", "clamp",
)  # fmt: skip
_LATEST = "the latest pace"
_TELLING = 2.0  # seconds; what is over sooner tells little of how fast this machine is


def answer_questions(store: Store, *, idle: bool) -> bool:
    """Answer what is asked; tell whether anything was.

    Args: idle: whether nothing is painted, so that there is time to measure.
    """
    questions = store.questions()
    for question, request in questions:
        try:
            answer = estimate(request, store, idle=idle)
        except ImpastoError as error:
            answer = {"error": " ".join(str(error).split())}
        except Exception as error:  # noqa: BLE001  (a question is not worth a worker)
            answer = {"error": f"no estimate: {type(error).__name__}: {error}"}
        store.answer(question, answer)
    return bool(questions)


def estimate(request: Mapping[str, Any], store: Store, *, idle: bool) -> dict[str, Any]:
    """Return the fields of an `Estimate`."""
    if request["kind"] in ("video", "preview"):
        from impasto.studio.worker.clip_estimates import forecast

        return forecast(request, store, idle=idle)
    run = plan_run(request, store)
    height, width = run.size
    if run.pace is None:
        return {
            "seconds": 1.0, "memory": 5e8 + 12.0 * 8 * height * width, "width": width,
            "height": height, "levels": [], "measured": True,
        }  # fmt: skip
    pace, measured = known_pace(run.settings, run.pace, store, idle=idle)
    rows = levels_of(run.works, run.seen, pace)
    return {
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "memory": round(max(work.memory for work in run.works)),
        "width": width, "height": height, "levels": rows, "measured": measured,
    }  # fmt: skip


def levels_of(works: Sequence[Workload], seen: Sequence[int], pace: Pace) -> list[dict[str, Any]]:
    """Return what each level takes. Args: seen: pixels of the paintings."""
    rows = []
    for work in works:
        measured = sum(min(each, work.pixels) for each in seen)
        rows.append({
            "width": work.level.size[1], "height": work.level.size[0], "steps": work.level.steps,
            "tiles": max(len(work.tiles), 1), "seconds": round(pace.seconds(work, measured), 2),
        })  # fmt: skip
    return rows


def seconds_of(works: Sequence[Workload], seen: Sequence[int], pace: Pace) -> float:
    """Return what all levels take; see `levels_of`."""
    return float(sum(row["seconds"] for row in levels_of(works, seen, pace)))


def known_pace(
    settings: Settings,
    subject: Callable[[], tuple[Stylizer, Inputs]],
    store: Store,
    *,
    idle: bool,
) -> tuple[Pace, bool]:
    """Return how fast this machine is with some settings, and whether that was measured.

    Args: subject: what to measure it with, if there is time.
    """
    name = _name(settings)
    known = store.fact(name)
    if known is not None:
        return Pace(**known), True
    other = store.fact(_LATEST)
    if not idle and other is not None:
        return Pace(**other), False
    stylizer, inputs = subject()
    pace = measure_pace(stylizer, inputs)
    for each in (name, _LATEST):
        store.remember(each, dataclasses.asdict(pace))
    return pace, True


def learn(
    settings: Settings, seconds: float, expected: Callable[[Pace], float], store: Store
) -> float | None:
    """Let what a finished job took replace a pace that was measured, maybe on a busy machine.

    Args:
        seconds: that it took.
        expected: pace → the seconds that it should have taken.

    Returns: how many times the expected it was; None: nothing was learned.
    """
    known = store.fact(_name(settings)) or store.fact(_LATEST)
    if known is None or seconds < _TELLING:
        return None
    pace = Pace(**known)
    factor = seconds / expected(pace)
    scaled = {name: value * factor for name, value in dataclasses.asdict(pace).items()}
    for each in (_name(settings), _LATEST):
        store.remember(each, scaled)
    store.remember(LESSONS, (store.fact(LESSONS) or 0) + 1)
    return factor


def _name(settings: Settings) -> str:
    from impasto._version import __version__

    costly = {key: value for key, value in settings.to_dict().items() if key not in _FREE}
    facts = [__version__, torch.__version__, torch.get_num_threads(), costly]
    return f"pace {json.dumps(facts, sort_keys=True)}"
