"""What a clip would take: its first frame as any picture, the others by their steps and motion."""

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
from impasto.pictures.picture import Image, Picture, fit
from impasto.settings.clips import VideoSettings
from impasto.studio.jobs.clip_uploads import named
from impasto.studio.jobs.store import Store
from impasto.studio.worker.clip_job import Footage, gather
from impasto.studio.worker.estimates import known_pace, learn, levels_of, seconds_of
from impasto.video.frame_painter import FramePainter
from impasto.video.io.frames import read_frames
from impasto.video.motion.motion import find_motion
from impasto.video.preview import preview_step, small_settings
from impasto.video.styling import read_styling

__all__ = ["forecast", "later_work", "learn_clip"]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Course:
    """What is to be done, counted.

    Attributes:
        works: the levels of a first frame, or of a sheet's pictures.
        work: every later frame's.
        pictures: how often the levels are painted.
        steps, motions: of later frames, see `later_work`.
        first: (1, 3, H, W).
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
        """Return what the levels of a first frame take."""
        return levels_of(self.works, self._seen, pace)

    @property
    def _seen(self) -> list[int]:
        return [each.size[0] * each.size[1] for each in self.inputs.paintings]

    def seconds(self, pace: Pace, motion: float) -> float:
        """Return what all of it takes. Args: motion: seconds of looking for it once."""
        pictures = self.pictures * seconds_of(self.works, self._seen, pace)
        return pictures + self.steps * pace.seconds_per_step(self.work) + self.motions * motion


def forecast(request: Mapping[str, Any], store: Store, *, idle: bool) -> dict[str, Any]:
    """Return the fields of an `Estimate` of a clip, or of a sheet of it."""
    course = _course(request, store)
    stylizer, inputs, footage = course.stylizer, course.inputs, course.footage
    pace, measured = known_pace(
        stylizer.settings, lambda: (stylizer, inputs), store, idle=idle
    )  # fmt: skip
    motion = _seconds_of_motion(course, store, idle=idle) if course.motions else 0.0
    height, width = course.work.level.size
    return {
        "seconds": round(course.seconds(pace, motion or 0.0), 1), "width": width, "height": height,
        "levels": course.levels(pace), "frames": footage.frames or 0,
        "memory": round(max(work.memory for work in (*course.works, course.work))),
        "measured": measured and motion is not None and footage.frames is not None,
    }  # fmt: skip


def learn_clip(request: Mapping[str, Any], seconds: float, store: Store) -> None:
    """Let what a clip, or a sheet, took replace what was measured before."""
    course = _course(request, store)
    motion = _seconds_of_motion(course, store, idle=False) if course.motions else 0.0
    if course.footage.frames is not None and motion is not None:
        factor = learn(
            course.stylizer.settings, seconds, lambda pace: course.seconds(pace, motion), store
        )
        if course.motions and factor is not None:
            name = _motion_name(course)
            store.remember(name, store.fact(name) * factor)


def _course(request: Mapping[str, Any], store: Store) -> _Course:
    footage, is_sheet = gather(request, store), request["kind"] == "preview"
    settings = small_settings(footage.settings) if is_sheet else footage.settings
    side = settings.long_side
    with named(footage.clip.path, footage.name):
        photos = read_frames(footage.clip, start=footage.start, end=footage.end, long_side=side)
        first = next(photos).image
    styling, _ = read_styling(
        Picture(first), footage.styles, settings, guidance=footage.guidance
    )  # fmt: skip
    stylizer, inputs = Stylizer(settings), styling.inputs(first, 0)
    size = fit(footage.clip.size, side)
    painter = FramePainter(stylizer, styling, size, footage.video.frame_steps)
    frames = footage.frames or 1
    steps, motions = (0, 0) if is_sheet else later_work(footage.video, frames)
    return _Course(
        footage=footage, stylizer=stylizer, inputs=inputs, first=first, work=painter.work,
        works=stylizer.plan(inputs.photo, inputs.paintings), steps=steps, motions=motions,
        pictures=-(-frames // preview_step(footage.clip)) if is_sheet else 1,
    )  # fmt: skip


def later_work(video: VideoSettings, frames: int) -> tuple[int, int]:
    """Return the steps at full size, and how often motion is looked for, after the first frame.

    Of a scene or two; every further cut takes what the first frame takes.

    >>> later_work(VideoSettings(frame_steps=30, distances=(1, 2, 4)), 11)
    (300, 30)
    """
    others = frames - 1
    if video.draft:
        keys = -(-others // video.key_every)
        return keys * video.frame_steps + (others - keys) * video.refresh_steps, others
    motions = len(video.distances) + video.passes - 1
    return others * video.frame_steps * video.passes, others * motions


def _seconds_of_motion(course: _Course, store: Store, *, idle: bool) -> float | None:
    """Return what looking for motion takes between two frames of this size; None: unknown."""
    name, image = _motion_name(course), course.first
    pixels, known = image.shape[-2] * image.shape[-1], store.fact(name)
    if known is None:
        if not idle:
            return None
        begin = time.perf_counter()
        find_motion(image, image.roll(2, -1), course.footage.video)
        known = (time.perf_counter() - begin) / pixels
        store.remember(name, known)
    return float(known) * pixels


def _motion_name(course: _Course) -> str:
    return f"motion {course.footage.video.flow} {torch.get_num_threads()}"
