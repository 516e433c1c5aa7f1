"""One pass over a clip: a frame starts from its prediction, and is kept close to the prediction.

Paper: Ruder, Dosovitskiy & Brox, arXiv 1604.08610, sections 4.1 and 4.2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial

from impasto.settings.clips import VideoSettings
from impasto.video.clip_run import ClipRun, ClipSteps
from impasto.video.frame_painter import FrameSteps
from impasto.video.frame_store import FINAL, PHOTOS
from impasto.video.io.frames import Frame
from impasto.video.motion.motion import Motion, PaintedFrame, find_motion, predict
from impasto.video.motion.scene_cuts import is_cut

__all__ = ["paint_sequentially"]


def paint_sequentially(
    run: ClipRun, folder: str = FINAL, *, keep_photos: bool = False
) -> ClipSteps:
    """Paint a clip from its first frame to its last.

    The first frame of a scene is painted from coarse to fine, like a single picture. Every other
    frame starts from its prediction by earlier pastiches (`predict`), at full size. Its objective
    has one more term, the temporal loss.

    Args:
        folder: within the frame store, for the painted frames.
        keep_photos: whether to store the photos too, for a later pass.
    """
    past: deque[PaintedFrame] = deque(maxlen=max(run.video.distances))  # The nearest is first.
    for frame in run.photos():
        if keep_photos and not run.store.has(frame.index, PHOTOS):
            run.store.save_photo(frame.picture, frame.index)
        motion = None
        if run.store.has(frame.index, folder):
            starts_scene = run.store.info(frame.index, folder).starts_scene
        else:
            starts_scene, motion = _starts_scene(frame, past, run.video)
        if starts_scene:
            past.clear()
            run.painter.begin_scene(frame)
            paint = partial(run.painter.first, frame)
        else:
            paint = partial(_paint_next, run, frame, tuple(past), motion)
        image = yield from run.paint(frame, paint, starts_scene=starts_scene, folder=folder)
        past.appendleft(PaintedFrame(frame.image, image))


def _starts_scene(
    frame: Frame, past: Sequence[PaintedFrame], video: VideoSettings
) -> tuple[bool, Motion | None]:
    """Return whether a frame starts a scene and, if it does not, its motion to the frame before."""
    if not past:
        return True, None
    motion, _ = find_motion(frame.image, past[0].photo, video)
    if video.cuts and is_cut(past[0].photo, frame.image, motion):
        return True, None
    return False, motion


def _paint_next(
    run: ClipRun, frame: Frame, past: Sequence[PaintedFrame], motion: Motion | None
) -> FrameSteps:
    """Paint a frame from those before it.

    Args: motion: to the frame before; None: it is not known yet.
    """
    video = run.video
    earlier = []
    for distance in sorted(set(video.distances)):
        if distance > len(past):
            break
        each = past[distance - 1]
        if distance != 1 or motion is None:
            motion, _ = find_motion(frame.image, each.photo, video)
        earlier.append((each, motion))
    expected = predict(frame.image, earlier)
    return (
        yield from run.painter.onward(
            frame,
            expected.image,
            expected.image,
            expected.trust,
            video.temporal_weight,
            video.frame_steps,
        )
    )
