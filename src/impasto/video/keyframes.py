"""A draft: key frames are painted, and warped along the motion to the frames between them.

A draft paints a clip in minutes on an ordinary CPU. It has two disadvantages. A frame between key
frames is not optimized, so errors of the estimated motion are visible. And a change of light
without motion appears suddenly, at the key frames.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from impasto.pictures.picture import Image
from impasto.video.clip_run import ClipRun, ClipSteps, VideoStep
from impasto.video.frame_painter import FrameSteps
from impasto.video.io.frames import Frame
from impasto.video.motion.motion import (
    Motion,
    PaintedFrame,
    Prediction,
    chain,
    find_motion,
    predict,
    warp_pastiche,
)
from impasto.video.motion.scene_cuts import is_cut

__all__ = ["interpolate", "paint_key_frames"]

# The share of a frame's pixels that no key frame shows:
_REFRESH = 0.002  # above this, the frame is painted with `refresh_steps`;
_REPAINT = 0.25  # above this, with `frame_steps`, like a key frame.
_UNRELIABLE = 1e-3  # The weight of a pixel whose motion is not reliable.
_LEAST = 1e-9  # against 0 / 0
_DIFFERENT = 0.1  # the motion is wrong if the mean difference of colors, in [0, 1], is this large


@dataclass(frozen=True, eq=False)
class _Link:
    """A frame, the motion from it to the frame before, and the motion from that one to it."""

    frame: Frame
    back: Motion
    forth: Motion


@dataclass(frozen=True, eq=False)
class _Segment:
    """The frames after a key frame, up to and including the next key frame.

    Attributes:
        first: the first frame of a scene, which is a segment of its own without links; or None.
        links: the frames in order.
    """

    first: Frame | None
    links: tuple[_Link, ...] = ()


def paint_key_frames(run: ClipRun) -> ClipSteps:
    """Paint the key frames of a clip, and warp them to the frames between them.

    Key frames are every `key_every`-th frame, and the first and the last frame of each scene. A key
    frame starts from its prediction by the key frame before it, and the temporal loss keeps it
    close to this prediction, as in `paint_sequentially`.
    """
    key: PaintedFrame | None = None
    for segment in _segments(run):
        if segment.first is not None:
            frame = segment.first
            run.painter.begin_scene(frame)
            paint = partial(run.painter.first, frame)
            image = yield from run.paint(frame, paint, starts_scene=True)
            key = PaintedFrame(frame.image, image)
        elif key is not None:
            key = yield from _paint_segment(run, key, segment.links)


def _segments(run: ClipRun) -> Iterator[_Segment]:
    """Divide the frames into scenes, and the scenes into segments from key frame to key frame."""
    video = run.video
    before: Frame | None = None
    links: list[_Link] = []
    for frame in run.photos():
        motions = None if before is None else find_motion(frame.image, before.image, video)
        if before is None or motions is None or (
            video.cuts and is_cut(before.image, frame.image, motions[0])
        ):  # fmt: skip
            if links:
                yield _Segment(None, tuple(links))
                links = []
            yield _Segment(frame)
        else:
            links.append(_Link(frame, *motions))
            if len(links) == video.key_every:
                yield _Segment(None, tuple(links))
                links = []
        before = frame
    if links:
        yield _Segment(None, tuple(links))


def _paint_segment(
    run: ClipRun, key: PaintedFrame, links: Sequence[_Link]
) -> Generator[VideoStep, None, PaintedFrame]:
    """Paint the next key frame, then the frames before it; return the key frame."""
    to_old = [links[0].back]
    for link in links[1:]:
        to_old.append(chain(link.back, to_old[-1]))
    *others, last = links
    paint = partial(_paint_key_frame, run, last.frame, key, to_old[-1])
    image = yield from run.paint(last.frame, paint)
    new = PaintedFrame(last.frame.image, image)
    to_new: list[Motion] = []  # From the last of the other frames to the first.
    for link in reversed(links[1:]):
        to_new.append(chain(link.forth, to_new[-1]) if to_new else link.forth)
    for number, link in enumerate(others):
        neighbors = ((key, to_old[number]), (new, to_new[-1 - number]))
        part = (number + 1) / len(links)
        yield from run.paint(link.frame, partial(_paint_between, run, link.frame, neighbors, part))
    return new


def _paint_key_frame(run: ClipRun, frame: Frame, key: PaintedFrame, motion: Motion) -> FrameSteps:
    expected = predict(frame.image, [(key, motion)])
    return (yield from _paint_from(run, frame, expected, run.video.frame_steps))


def _paint_between(
    run: ClipRun, frame: Frame, neighbors: Sequence[tuple[PaintedFrame, Motion]], part: float
) -> FrameSteps:
    """Warp the key frames to a frame between them, and optimize it if they leave holes."""
    expected = interpolate(frame.image, neighbors, part)
    if expected.holes > _REPAINT:
        steps = run.video.frame_steps
    else:
        steps = run.video.refresh_steps if expected.holes > _REFRESH else 0
    return (yield from _paint_from(run, frame, expected, steps))


def _paint_from(run: ClipRun, frame: Frame, expected: Prediction, steps: int) -> FrameSteps:
    """Paint a frame from its prediction; the temporal loss keeps it close to the prediction."""
    image, weight = expected.image, run.video.temporal_weight
    return (yield from run.painter.onward(frame, image, image, expected.trust, weight, steps))


def interpolate(
    photo: Image, neighbors: Sequence[tuple[PaintedFrame, Motion]], part: float
) -> Prediction:
    """Predict a frame from the two key frames around it.

    The nearer key frame has the larger weight. A key frame counts only where the motion leads to a
    pixel of the photo's color. Where its motion is not reliable, it counts only if the other key
    frame does not show the pixel. Pixels that neither shows are the photo's.

    Args:
        neighbors: the key frames before and after, with the motion from the photo to each.
        part: the frame's position between them, in [0, 1].
    """
    image, total = torch.zeros_like(photo), torch.zeros_like(photo[:, :1])
    for (key, motion), share in zip(neighbors, (1 - part, part), strict=True):
        apart = (photo - warp_pastiche(key.photo, motion.flow)).abs().mean(1, keepdim=True)
        weight = share * motion.reliable.clamp(min=_UNRELIABLE) * (apart < _DIFFERENT)
        image = image + weight * warp_pastiche(key.pastiche, motion.flow)
        total = total + weight
    trust = (total > 0).float()
    return Prediction(image / total.clamp(min=_LEAST) + (1 - trust) * photo, trust)
