"""Estimates of jobs: the server asks, the worker answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from impasto.errors import ImpastoError
from impasto.studio.jobs.store import Store
from impasto.studio.worker.checkpoints import plan_run
from impasto.studio.worker.clip_estimates import estimate_clip
from impasto.studio.worker.paces import known_pace, level_rows

__all__ = ["answer_questions"]


def answer_questions(store: Store, *, idle: bool) -> bool:
    """Answer all waiting questions. Return whether there were any.

    Args: idle: whether no job is being painted, so that there is time to measure.
    """
    questions = store.questions.waiting()
    for question, request in questions:
        try:
            answer = _estimate(request, store, idle=idle)
        except ImpastoError as error:
            answer = {"error": " ".join(str(error).split())}
        except Exception as error:  # noqa: BLE001  (a failed estimate must not end the worker)
            answer = {"error": f"no estimate: {type(error).__name__}: {error}"}
        store.questions.answer(question, answer)
    return bool(questions)


def _estimate(request: Mapping[str, Any], store: Store, *, idle: bool) -> dict[str, Any]:
    """Return the fields of an `Estimate`."""
    if request["kind"] in ("video", "preview"):
        return estimate_clip(request, store, idle=idle)
    run = plan_run(request, store)
    height, width = run.size
    if run.pace is None:
        return {
            "seconds": 1.0, "memory": 5e8 + 12.0 * 8 * height * width, "width": width,
            "height": height, "levels": [], "measured": True,
        }  # fmt: skip
    pace, measured = known_pace(run.settings, run.pace, store, idle=idle)
    rows = level_rows(run.works, run.style_pixels, pace)
    return {
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "memory": round(max(work.memory for work in run.works)),
        "width": width, "height": height, "levels": rows, "measured": measured,
    }  # fmt: skip
