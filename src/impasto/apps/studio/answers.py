"""Estimates: what a job would take, asked by the server and answered by the worker."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import torch

from impasto.apps.studio.runs import Run, plan_run
from impasto.apps.studio.store import Store
from impasto.errors import ImpastoError
from impasto.planning import Pace
from impasto.settings import Settings

__all__ = ["answer_questions", "estimate"]

# Settings that cost no time, or whose cost is known from the plan.
_FREE = (
    "long_side", "steps", "coarsest", "level_ratio", "step_decay", "patience", "seed", "init",
    "noise", "content_weight", "style_weight", "style_scale", "tv_weight", "chroma_weight",
    "learning_rate", "feather", "averaging", "clamp",
)  # fmt: skip
_LATEST = "the latest pace"


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
    run = plan_run(request, store)
    height, width = run.size
    if run.pace is None:
        return {
            "seconds": 1.0, "memory": 5e8 + 12.0 * 8 * height * width, "width": width,
            "height": height, "levels": [], "measured": True,
        }  # fmt: skip
    pace, measured = _pace(run, store, idle=idle)
    rows = []
    for work in run.works:
        seen = sum(min(each, work.pixels) for each in run.seen)
        rows.append({
            "width": work.level.size[1], "height": work.level.size[0], "steps": work.level.steps,
            "tiles": max(len(work.tiles), 1), "seconds": round(pace.seconds(work, seen), 2),
        })  # fmt: skip
    return {
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "memory": round(max(work.memory for work in run.works)),
        "width": width, "height": height, "levels": rows, "measured": measured,
    }  # fmt: skip


def _pace(run: Run, store: Store, *, idle: bool) -> tuple[Pace, bool]:
    """Return how fast this machine is with a run's settings, and whether that was measured."""
    name = _name(run.settings)
    known = store.fact(name)
    if known is not None:
        return Pace(**known), True
    other = store.fact(_LATEST)
    if not idle and other is not None:
        return Pace(**other), False
    if run.pace is None:
        raise ValueError("nothing to measure")
    stylizer, inputs = run.pace()
    pace = stylizer.pace(inputs)
    for each in (name, _LATEST):
        store.remember(each, dataclasses.asdict(pace))
    return pace, True


def _name(settings: Settings) -> str:
    from impasto import __version__

    costly = {key: value for key, value in settings.to_dict().items() if key not in _FREE}
    facts = [__version__, torch.__version__, torch.get_num_threads(), costly]
    return f"pace {json.dumps(facts, sort_keys=True)}"
