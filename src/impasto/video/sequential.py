"""Frame after frame: each starts from the last pastiche, carried along, and is held to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial

from impasto.settings.clips import VideoSettings
from impasto.video.clip_run import Reel, Steps
from impasto.video.frame_painter import Painting
from impasto.video.io.frames import Frame
from impasto.video.motion.motion import Motion, PaintedFrame, find_motion, predict
from impasto.video.motion.scene_cuts import is_cut

__all__ = ["paint_onward"]


def paint_onward(reel: Reel, folder: str = "", photos: str = "") -> Steps:
    """Paint a clip from its first frame to its last.

    A scene's first frame is painted from coarse to fine, as a picture is. Every other one starts
    from what the earlier pastiches say of it (`predict`), at full size, with one more term in its
    objective: to stay like them.

    Args:
        folder: of the run, where frames are kept if they are not final.
        photos: of the run, where the photos are to be kept, too.

    Paper: Ruder et al. 1604.08610, sections 4.1 and 4.2.
    """
    past: deque[PaintedFrame] = deque(maxlen=max(reel.video.distances))  # the nearest first
    for frame in reel.photos():
        if photos and not reel.run.has(frame.index, photos):
            reel.run.keep(frame.image, frame.index, photos)
        motion = None
        if reel.run.has(frame.index, folder):
            begins = reel.run.note(frame.index, folder).begins
        else:
            begins, motion = _begins(frame, past, reel.video)
        if begins:
            past.clear()
            reel.painter.begin_scene(frame)
            painting = partial(reel.painter.first, frame)
        else:
            painting = partial(_next, reel, frame, tuple(past), motion)
        image = yield from reel.painted(frame, painting, begins=begins, folder=folder)
        past.appendleft(PaintedFrame(frame.image, image))


def _begins(
    frame: Frame, past: Sequence[PaintedFrame], video: VideoSettings
) -> tuple[bool, Motion | None]:
    """Tell whether a scene begins, and else how the frame moved since the one before."""
    if not past:
        return True, None
    motion, _ = find_motion(frame.image, past[0].photo, video)
    if video.cuts and is_cut(past[0].photo, frame.image, motion):
        return True, None
    return False, motion


def _next(
    reel: Reel, frame: Frame, past: Sequence[PaintedFrame], motion: Motion | None
) -> Painting:
    """Paint a frame from those before it."""
    video = reel.video
    earlier = []
    for distance in sorted(set(video.distances)):
        if distance > len(past):
            break
        each = past[distance - 1]
        if distance != 1 or motion is None:
            motion, _ = find_motion(frame.image, each.photo, video)
        earlier.append((each, motion))
    carried = predict(frame.image, earlier)
    return (
        yield from reel.painter.onward(
            frame,
            carried.image,
            carried.image,
            carried.trust,
            video.temporal_weight,
            video.frame_steps,
        )
    )
