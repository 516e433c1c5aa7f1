"""Several passes over a clip, alternately forwards and backwards.

So later frames can influence earlier ones.
"""

from __future__ import annotations

import itertools
from functools import partial

from impasto.video.clip_run import ClipRun, ClipSteps
from impasto.video.frame_painter import FrameSteps
from impasto.video.frame_store import PHOTOS, FrameInfo, stage_folder
from impasto.video.io.frames import Frame
from impasto.video.motion.motion import PaintedFrame, find_motion, warp_pastiche
from impasto.video.sequential import paint_sequentially

__all__ = ["paint_in_passes"]


def paint_in_passes(run: ClipRun) -> ClipSteps:
    """Paint a clip several times.

    In a later pass j, frame i starts from a blend of two pastiches: its own of the pass before, and
    its neighbor's new one, warped:

        δ · c ∘ ω(x⁽ⁱ⁻¹⁾⁽ʲ⁾) + ((1 − δ) · 1 + δ · (1 − c)) ∘ x⁽ⁱ⁾⁽ʲ⁻¹⁾

    with c = 1 where the motion is reliable, and i + 1 instead of i − 1 in a backward pass.

    Paper: Ruder et al. 1604.08610, section 4.3. Differs: the first pass is `paint_sequentially`,
           where the paper paints each frame independently; and every pass has the temporal term,
           where the paper adds it in late passes.
    """
    last = run.video.passes
    for stage in range(1, last + 1):
        run.stage = stage
        folder = stage_folder(stage, last)
        if stage == 1:
            yield from paint_sequentially(run, folder, keep_photos=True)
        else:
            before = stage_folder(stage - 1, last)
            yield from _paint_again(run, before, folder, backwards=stage % 2 == 0)


def _paint_again(run: ClipRun, before: str, folder: str, *, backwards: bool) -> ClipSteps:
    """Paint the stored frames once more.

    Args:
        before: the folder of the pass before.
        folder: the folder of this pass.
    """
    infos = [run.store.info(index, before) for index in range(run.count or 0)]
    scene = list(itertools.accumulate(
        (info.index if info.starts_scene else 0 for info in infos), max
    ))  # Frame → the first frame of its scene.  # fmt: skip
    neighbor: PaintedFrame | None = None
    last: int | None = None
    for info in reversed(infos) if backwards else infos:
        frame = _photo(run, info)
        if scene[info.index] != last:
            last, neighbor = scene[info.index], None
            run.painter.begin_scene(_photo(run, infos[last]))
        paint = partial(_paint_blended, run, frame, before, neighbor)
        image = yield from run.paint(frame, paint, starts_scene=info.starts_scene, folder=folder)
        neighbor = PaintedFrame(frame.image, image)


def _photo(run: ClipRun, info: FrameInfo) -> Frame:
    photo = run.store.load_picture(info.index, PHOTOS)
    return Frame(photo.image, info.index, info.time, info.duration, photo.alpha)


def _paint_blended(
    run: ClipRun, frame: Frame, before: str, neighbor: PaintedFrame | None
) -> FrameSteps:
    """Paint a frame from its own pastiche of the pass before, and its neighbor's new pastiche."""
    own, video = run.store.load(frame.index, before), run.video
    start, target, trust, weight = own, own, own.new_zeros(1, 1, *own.shape[-2:]), 0.0
    if neighbor is not None:
        motion, _ = find_motion(frame.image, neighbor.photo, video)
        target, trust = warp_pastiche(neighbor.pastiche, motion.flow), motion.reliable
        start = own.lerp(target, video.pass_blend * trust)
        weight = video.temporal_weight
    return (yield from run.painter.onward(frame, start, target, trust, weight, video.frame_steps))
