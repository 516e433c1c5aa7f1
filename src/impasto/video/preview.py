"""A preview of a painted clip: some of its frames, painted small and independently."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import torch

from impasto.painting.guidance import Guidance
from impasto.painting.stylizer import Stylizer
from impasto.pictures.files import Source
from impasto.pictures.films import sheet
from impasto.pictures.picture import Image, Picture, fit, on_paper, resize
from impasto.settings.pictures import Settings
from impasto.video.frame_painter import FramePainter
from impasto.video.io.frames import Clip, Frame, open_clip, read_frames
from impasto.video.styling import read_styling

__all__ = ["contact_sheet", "preview_frames", "preview_step", "small_settings"]

_EVERY = 10  # Every 10th frame is painted.
_LONG_SIDE = 192  # px; in smaller frames, brush strokes cannot be recognized.
_STEPS = 60
_MOST = 60  # frames on a sheet
_COLUMNS = 5


def preview_frames(
    clip: str | os.PathLike[str] | Clip,
    styles: Source | Sequence[Source],
    settings: Settings | None = None,
    *,
    guidance: Guidance | None = None,
    style_times: Sequence[float] | None = None,
    start: float | None = None,
    end: float | None = None,
    rate: float | None = None,
    device: str | torch.device | None = None,
    memory: float | None = None,
) -> Iterator[tuple[Frame, Image]]:
    """Paint every 10th frame of a clip at a small size; of a long clip, at most 60 frames.

    Args:   as for `stylize_video`.
    Yields: pairs of a frame and its pastiche.
    """
    source = clip if isinstance(clip, Clip) else open_clip(Path(clip), rate=rate)
    small = small_settings(settings or Settings())
    side = small.long_side
    reading = partial(
        read_frames, source, start=start, end=end, long_side=side, resampling=small.resampling
    )
    first = next(reading()).picture
    styling, _ = read_styling(
        replace(first, name=source.path.name), styles, small,
        guidance=guidance, times=style_times, frames=read_frames(source, start=start, end=end),
    )  # fmt: skip
    stylizer = Stylizer(small, device=device, memory=memory)
    painter = FramePainter(stylizer, styling, fit(source.size, side))
    photos = reading(every=preview_step(source))
    for frame in map(styling.photo, itertools.islice(photos, _MOST)):
        steps = painter.first(frame)
        while True:
            try:
                next(steps)
            except StopIteration as ending:
                yield frame, ending.value
                break


def small_settings(settings: Settings) -> Settings:
    """Return the settings of a preview: a smaller size and fewer steps."""
    side = min(settings.long_side, _LONG_SIDE)
    return settings.replace(long_side=side, steps=min(settings.steps, _STEPS))


def preview_step(clip: Clip) -> int:
    """Return the distance between two painted frames of a preview, in frames."""
    return max(_EVERY, -(-(clip.frames or 0) // _MOST))


def contact_sheet(frames: Sequence[tuple[Frame, Image]]) -> Image:
    """Return a picture of painted frames in their right shape, and their times, (1, 3, H, W)."""
    cells = [
        (
            f"{float(frame.time):.2f} s",
            _in_shape(on_paper(Picture(image, frame.alpha)), frame.aspect),
        )
        for frame, image in frames
    ]
    columns = min(_COLUMNS, len(cells))
    return sheet([cells[at : at + columns] for at in range(0, len(cells), columns)])


def _in_shape(image: Image, aspect: Fraction) -> Image:
    """Enlarge the shorter sides of pixels, so that they become square."""
    height, width = image.shape[-2:]
    if aspect > 1:
        return resize(image, (height, round(width * aspect)))
    return resize(image, (round(height / aspect), width))
