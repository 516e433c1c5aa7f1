"""What a clip would take: its first frame as any picture, the others by their steps and motion."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from impasto.apps.studio.answers import known_pace, levels_of
from impasto.apps.studio.clips import named
from impasto.apps.studio.filming import Footage, gather
from impasto.apps.studio.store import Store
from impasto.images import Image, Picture, fit
from impasto.stylizer import Stylizer
from impasto.video.carrying import find_motion
from impasto.video.frame_painter import FramePainter
from impasto.video.frames import read_frames
from impasto.video.previews import preview_step, small_settings
from impasto.video.settings import VideoSettings
from impasto.video.styling import read_styling

__all__ = ["forecast", "later_work"]


def forecast(request: Mapping[str, Any], store: Store, *, idle: bool) -> dict[str, Any]:
    """Return the fields of an `Estimate` of a clip, or of a sheet of it."""
    footage, is_sheet = gather(request, store), request["kind"] == "preview"
    settings = small_settings(footage.settings) if is_sheet else footage.settings
    size, side = fit(footage.clip.size, settings.long_side), settings.long_side
    with named(footage.clip.path, footage.name):
        photos = read_frames(footage.clip, start=footage.start, end=footage.end, long_side=side)
        first = next(photos).image
    styling, _ = read_styling(
        Picture(first), footage.styles, settings, guidance=footage.guidance
    )  # fmt: skip
    stylizer, inputs = Stylizer(settings), styling.inputs(first, 0)
    works = stylizer.plan(inputs.photo, inputs.paintings)
    painter = FramePainter(stylizer, styling, size, footage.video.frame_steps)
    pace, measured = known_pace(settings, lambda: (stylizer, inputs), store, idle=idle)
    seen = [each.size[0] * each.size[1] for each in inputs.paintings]
    rows = levels_of(works, seen, pace)
    seconds, frames = sum(row["seconds"] for row in rows), footage.frames or 1
    if is_sheet:
        seconds *= -(-frames // preview_step(footage.clip))
    else:
        steps, motions = later_work(footage.video, frames)
        motion = _seconds_of_motion(first, footage, store, idle=idle)
        seconds += steps * pace.seconds_per_step(painter.work) + motions * (motion or 0.0)
        measured = measured and motion is not None
    return {
        "seconds": round(seconds, 1), "width": size[1], "height": size[0], "levels": rows,
        "memory": round(max(work.memory for work in (*works, painter.work))),
        "measured": measured and footage.frames is not None, "frames": footage.frames or 0,
    }  # fmt: skip


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


def _seconds_of_motion(image: Image, footage: Footage, store: Store, *, idle: bool) -> float | None:
    """Return what looking for motion takes between two frames of this size; None: unknown."""
    name = f"motion {footage.video.flow} {torch.get_num_threads()}"
    pixels, known = image.shape[-2] * image.shape[-1], store.fact(name)
    if known is None:
        if not idle:
            return None
        begin = time.perf_counter()
        find_motion(image, image.roll(2, -1), footage.video)
        known = (time.perf_counter() - begin) / pixels
        store.remember(name, known)
    return float(known) * pixels
