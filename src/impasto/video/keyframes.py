"""A draft: key frames painted well, and carried along the motion to the frames between them.

The two-minute option for a plain CPU. What it trades: a frame between is no longer optimized
itself, so that it is only as good as the motion is known, and light that changes without motion
comes with the key frames.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from impasto.pictures.picture import Image
from impasto.video.clip_run import Reel, Steps, VideoStep
from impasto.video.frame_painter import Painting
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

__all__ = ["between", "paint_draft"]

# Of a frame, the share of pixels that no key frame shows: above the first, it is refreshed; above
# the second, painted as a key frame is.
_REFRESH = 0.002
_REPAINT = 0.25
_DOUBTFUL = 1e-3  # what motion counts that is not reliable
_LEAST = 1e-9  # against 0 / 0
_APART = 0.1  # mean difference of colors, in [0, 1], at which the motion has led astray


@dataclass(frozen=True, eq=False)
class _Link:
    """A frame, and the motion from it to the frame before, and from that to it."""

    frame: Frame
    back: Motion
    forth: Motion


@dataclass(frozen=True, eq=False)
class _Stretch:
    """The frames after a key frame up to the next one, which is the last of them.

    Attributes:
        first: the first frame of a scene, if that begins here; then there are no links.
        links: else the frames, in order.
    """

    first: Frame | None
    links: tuple[_Link, ...] = ()


def paint_draft(reel: Reel) -> Steps:
    """Paint a clip by its key frames.

    Every `key_every`-th frame, and each scene's first and last, is a key frame: it starts from the
    key frame before and is held to it, as any frame is by `paint_onward`.
    """
    key: PaintedFrame | None = None
    for stretch in _stretches(reel):
        if stretch.first is not None:
            frame = stretch.first
            reel.painter.begin_scene(frame)
            painting = partial(reel.painter.first, frame)
            image = yield from reel.painted(frame, painting, begins=True)
            key = PaintedFrame(frame.image, image)
        elif key is not None:
            key = yield from _stretch(reel, key, stretch.links)


def _stretches(reel: Reel) -> Iterator[_Stretch]:
    """Cut the frames into scenes, and those into stretches from key frame to key frame."""
    video = reel.video
    before: Frame | None = None
    links: list[_Link] = []
    for frame in reel.photos():
        joined = None if before is None else find_motion(frame.image, before.image, video)
        if before is None or joined is None or (
            video.cuts and is_cut(before.image, frame.image, joined[0])
        ):  # fmt: skip
            if links:
                yield _Stretch(None, tuple(links))
                links = []
            yield _Stretch(frame)
        else:
            links.append(_Link(frame, *joined))
            if len(links) == video.key_every:
                yield _Stretch(None, tuple(links))
                links = []
        before = frame
    if links:
        yield _Stretch(None, tuple(links))


def _stretch(
    reel: Reel, key: PaintedFrame, links: Sequence[_Link]
) -> Generator[VideoStep, None, PaintedFrame]:
    """Paint the next key frame, then the frames between; return the key frame."""
    to_old = [links[0].back]
    for link in links[1:]:
        to_old.append(chain(link.back, to_old[-1]))
    *others, last = links
    painting = partial(_key_frame, reel, last.frame, key, to_old[-1])
    image = yield from reel.painted(last.frame, painting)
    new = PaintedFrame(last.frame.image, image)
    to_new: list[Motion] = []  # from the last of the others to the first
    for link in reversed(links[1:]):
        to_new.append(chain(link.forth, to_new[-1]) if to_new else link.forth)
    for number, link in enumerate(others):
        neighbors = ((key, to_old[number]), (new, to_new[-1 - number]))
        part = (number + 1) / len(links)
        yield from reel.painted(link.frame, partial(_frame, reel, link.frame, neighbors, part))
    return new


def _key_frame(reel: Reel, frame: Frame, key: PaintedFrame, motion: Motion) -> Painting:
    return (
        yield from _held(reel, frame, predict(frame.image, [(key, motion)]), reel.video.frame_steps)
    )


def _frame(
    reel: Reel, frame: Frame, neighbors: Sequence[tuple[PaintedFrame, Motion]], part: float
) -> Painting:
    """Carry the key frames to a frame between, and paint what neither shows."""
    carried = between(frame.image, neighbors, part)
    if carried.holes > _REPAINT:
        steps = reel.video.frame_steps
    else:
        steps = reel.video.refresh_steps if carried.holes > _REFRESH else 0
    return (yield from _held(reel, frame, carried, steps))


def _held(reel: Reel, frame: Frame, carried: Prediction, steps: int) -> Painting:
    image, weight = carried.image, reel.video.temporal_weight
    return (yield from reel.painter.onward(frame, image, image, carried.trust, weight, steps))


def between(
    photo: Image, neighbors: Sequence[tuple[PaintedFrame, Motion]], part: float
) -> Prediction:
    """Blend what two key frames say of a frame between them.

    Each counts by how near it is, and only where the motion leads to a pixel of the photo's own
    color; where that is not reliable, only if the other does not show the pixel. The rest is the
    photo's.

    Args:
        neighbors: the key frame before and the one after, with the motion to them.
        part: of the way from the first to the second, in [0, 1].
    """
    image, total = torch.zeros_like(photo), torch.zeros_like(photo[:, :1])
    for (past, motion), share in zip(neighbors, (1 - part, part), strict=True):
        apart = (photo - warp_pastiche(past.photo, motion.flow)).abs().mean(1, keepdim=True)
        weight = share * motion.reliable.clamp(min=_DOUBTFUL) * (apart < _APART)
        image = image + weight * warp_pastiche(past.pastiche, motion.flow)
        total = total + weight
    trust = (total > 0).float()
    return Prediction(image / total.clamp(min=_LEAST) + (1 - trust) * photo, trust)
