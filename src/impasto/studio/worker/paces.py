"""The pace of this machine per settings: measured once, and corrected by the times of jobs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch

from impasto._version import __version__
from impasto.painting.inputs import Inputs
from impasto.painting.memory_plan import Workload
from impasto.painting.stylizer import Stylizer
from impasto.painting.timing import Pace, measure_pace
from impasto.settings.pictures import Settings
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.tables.rows import PACES_LEARNED

__all__ = ["known_pace", "learn_pace", "level_rows", "total_seconds"]

# Settings that do not change the pace, or whose cost the plan knows.
_FREE = (
    "long_side", "steps", "coarsest", "level_ratio", "step_decay", "patience", "seed", "init",
    "noise", "content_weight", "style_weight", "style_scale", "tv_weight", "chroma_weight",
    "learning_rate", "feather", "averaging", "clamp", "protect", "faces", "face_weight",
)  # fmt: skip
_LATEST = "the latest pace"
_SHORTEST = 2.0  # seconds; the time of a shorter job is not used to correct the pace


def known_pace(
    settings: Settings,
    subject: Callable[[], tuple[Stylizer, Inputs]],
    store: Store,
    *,
    idle: bool,
) -> tuple[Pace, bool]:
    """Return the pace of this machine, and whether it was measured with these settings.

    Args:
        subject: returns the stylizer and the inputs with which the pace is measured.
        idle: whether there is time to measure.
    """
    name = _name(settings)
    known = store.facts.get(name)
    if known is not None:
        return Pace(**known), True
    other = store.facts.get(_LATEST)
    if not idle and other is not None:
        return Pace(**other), False
    stylizer, inputs = subject()
    pace = measure_pace(stylizer, inputs)
    for each in (name, _LATEST):
        store.facts.set(each, dataclasses.asdict(pace))
    return pace, True


def learn_pace(
    settings: Settings, seconds: float, expected: Callable[[Pace], float], store: Store
) -> float | None:
    """Scale the known pace to the time that a finished job took.

    This is useful because the machine may have been busy during the first measurement.

    Args:
        seconds: the time that the job took.
        expected: pace → the seconds that the job should have taken.

    Returns: actual / expected time; None: nothing was learned.
    """
    known = store.facts.get(_name(settings)) or store.facts.get(_LATEST)
    if known is None or seconds < _SHORTEST:
        return None
    pace = Pace(**known)
    factor = seconds / expected(pace)
    scaled = {name: value * factor for name, value in dataclasses.asdict(pace).items()}
    for each in (_name(settings), _LATEST):
        store.facts.set(each, scaled)
    store.facts.set(PACES_LEARNED, (store.facts.get(PACES_LEARNED) or 0) + 1)
    return factor


def level_rows(
    works: Sequence[Workload], style_pixels: Sequence[int], pace: Pace
) -> list[dict[str, Any]]:
    """Return size, steps, tiles and seconds of each level.

    Args: style_pixels: the number of pixels of each painting.
    """
    rows = []
    for work in works:
        measured = sum(min(each, work.pixels) for each in style_pixels)
        rows.append({
            "width": work.level.size[1], "height": work.level.size[0], "steps": work.level.steps,
            "tiles": max(len(work.tiles), 1), "seconds": round(pace.seconds(work, measured), 2),
        })  # fmt: skip
    return rows


def total_seconds(works: Sequence[Workload], style_pixels: Sequence[int], pace: Pace) -> float:
    """Return the seconds of all levels; see `level_rows`."""
    return float(sum(row["seconds"] for row in level_rows(works, style_pixels, pace)))


def _name(settings: Settings) -> str:
    costly = {key: value for key, value in settings.to_dict().items() if key not in _FREE}
    facts = [__version__, torch.__version__, torch.get_num_threads(), costly]
    return f"pace {json.dumps(facts, sort_keys=True)}"
