"""Estimates of clips: the first frame as a picture, the others by their steps and motion."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from impasto.painting.inputs import Inputs
from impasto.painting.memory_plan import Workload
from impasto.painting.stylizer import Stylizer
from impasto.painting.timing import Pace
from impasto.pictures.picture import Image, fit
from impasto.settings.clips import VideoSettings
from impasto.studio.jobs.clip_uploads import named
from impasto.studio.jobs.store import Store
from impasto.studio.worker.footage import Footage, read_footage
from impasto.studio.worker.paces import known_pace, learn_pace, level_rows, total_seconds
from impasto.video.frame_painter import FramePainter
from impasto.video.io.frames import read_frames
from impasto.video.motion.motion import find_motion
from impasto.video.preview import preview_step, small_settings
from impasto.video.styling import read_styling

__all__ = ["estimate_clip", "later_work", "learn_clip_pace"]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Effort:
    """The work for a clip, or for its preview sheet.

    Attributes:
        works: the levels of a scene's first frame, or of a picture on the sheet.
        work: the level of each later frame.
        pictures: the number of times that all levels are painted.
        steps, motions: the steps and motion searches of later frames, see `later_work`.
        first: the first frame, (1, 3, H, W).
    """

    footage: Footage
    stylizer: Stylizer
    inputs: Inputs
    works: tuple[Workload, ...]
    work: Workload
    pictures: int
    steps: int
    motions: int
    first: Image

    def levels(self, pace: Pace) -> list[dict[str, Any]]:
        """Return the levels of a first frame, see `level_rows`."""
        return level_rows(self.works, self._style_pixels, pace)

    @property
    def _style_pixels(self) -> list[int]:
        return [each.size[0] * each.size[1] for each in self.inputs.paintings]

    def seconds(self, pace: Pace, motion: float) -> float:
        """Return the seconds of all work. Args: motion: seconds of one motion search."""
        pictures = self.pictures * total_seconds(self.works, self._style_pixels, pace)
        return pictures + self.steps * pace.seconds_per_step(self.work) + self.motions * motion


def estimate_clip(request: Mapping[str, Any], store: Store, *, idle: bool) -> dict[str, Any]:
    """Return the fields of an `Estimate` of a clip, or of its preview sheet."""
    effort = _effort(request, store)
    stylizer, inputs, footage = effort.stylizer, effort.inputs, effort.footage
    pace, measured = known_pace(
        stylizer.settings, lambda: (stylizer, inputs), store, idle=idle
    )  # fmt: skip
    motion = _seconds_of_motion(effort, store, idle=idle) if effort.motions else 0.0
    height, width = effort.work.level.size
    return {
        "seconds": round(effort.seconds(pace, motion or 0.0), 1), "width": width, "height": height,
        "levels": effort.levels(pace), "frames": footage.frames or 0,
        "memory": round(max(work.memory for work in (*effort.works, effort.work))),
        "measured": measured and motion is not None and footage.frames is not None,
    }  # fmt: skip


def learn_clip_pace(request: Mapping[str, Any], seconds: float, store: Store) -> None:
    """Scale the known paces to the time that a finished clip, or sheet, took."""
    effort = _effort(request, store)
    motion = _seconds_of_motion(effort, store, idle=False) if effort.motions else 0.0
    if effort.footage.frames is not None and motion is not None:
        factor = learn_pace(
            effort.stylizer.settings, seconds, lambda pace: effort.seconds(pace, motion), store
        )
        if effort.motions and factor is not None:
            name = _motion_name(effort)
            store.facts.set(name, store.facts.get(name) * factor)


def _effort(request: Mapping[str, Any], store: Store) -> _Effort:
    footage, is_sheet = read_footage(request, store), request["kind"] == "preview"
    settings = small_settings(footage.settings) if is_sheet else footage.settings
    side = settings.long_side
    with named(footage.clip.path, footage.name):
        photos = read_frames(footage.clip, start=footage.start, end=footage.end, long_side=side)
        first = next(photos).picture
    styling, _ = read_styling(first, footage.styles, settings, guidance=footage.guidance)
    stylizer, inputs = Stylizer(settings), styling.inputs(first, 0)
    size = fit(footage.clip.size, side)
    painter = FramePainter(stylizer, styling, size, footage.video.frame_steps)
    frames = footage.frames or 1
    steps, motions = (0, 0) if is_sheet else later_work(footage.video, frames)
    return _Effort(
        footage=footage, stylizer=stylizer, inputs=inputs, first=first.image, work=painter.work,
        works=stylizer.plan(inputs).works, steps=steps, motions=motions,
        pictures=-(-frames // preview_step(footage.clip)) if is_sheet else 1,
    )  # fmt: skip


def later_work(video: VideoSettings, frames: int) -> tuple[int, int]:
    """Return the steps at full size and the motion searches after the first frame.

    This is for clips with one scene. Each further scene has a first frame, which takes longer.

    >>> later_work(VideoSettings(frame_steps=30, distances=(1, 2, 4)), 11)
    (300, 30)
    """
    others = frames - 1
    if video.draft:
        keys = -(-others // video.key_every)
        return keys * video.frame_steps + (others - keys) * video.refresh_steps, others
    motions = len(video.distances) + video.passes - 1
    return others * video.frame_steps * video.passes, others * motions


def _seconds_of_motion(effort: _Effort, store: Store, *, idle: bool) -> float | None:
    """Return the seconds of one motion search at this size; None: unknown."""
    name, image = _motion_name(effort), effort.first
    pixels, known = image.shape[-2] * image.shape[-1], store.facts.get(name)
    if known is None:
        if not idle:
            return None
        begin = time.perf_counter()
        find_motion(image, image.roll(2, -1), effort.footage.video)
        known = (time.perf_counter() - begin) / pixels
        store.facts.set(name, known)
    return float(known) * pixels


def _motion_name(effort: _Effort) -> str:
    return f"motion {effort.footage.video.flow} {torch.get_num_threads()}"
