"""Several passes, forwards and backwards in turn, so that what comes later is known earlier."""

from __future__ import annotations

import itertools
from functools import partial

from impasto.video.clip_run import Reel, Steps
from impasto.video.frame_painter import Painting
from impasto.video.frame_store import Painted
from impasto.video.io.frames import Frame
from impasto.video.motion.motion import PaintedFrame, find_motion, warp_pastiche
from impasto.video.sequential import paint_onward

__all__ = ["paint_in_passes"]

_PHOTOS = "stage-photos"


def paint_in_passes(reel: Reel) -> Steps:
    """Paint a clip several times over.

    In a later pass j, frame i starts from a blend of its own last pastiche and its neighbor's new
    one, carried along:

        δ · c ∘ ω(x⁽ⁱ⁻¹⁾⁽ʲ⁾) + ((1 − δ) · 1 + δ · (1 − c)) ∘ x⁽ⁱ⁾⁽ʲ⁻¹⁾

    with c = 1 where the motion is reliable, and i + 1 for i − 1 on the way back.

    Paper: Ruder et al. 1604.08610, section 4.3. Differs: the first pass goes onward as a single
           one does, instead of painting each frame by itself; and the temporal term counts in
           every pass, where the paper adds it to late ones.
    """
    last = reel.video.passes
    for stage in range(1, last + 1):
        reel.stage = stage
        folder = "" if stage == last else f"stage-{stage}"
        if stage == 1:
            yield from paint_onward(reel, folder, photos=_PHOTOS)
        else:
            yield from _again(reel, f"stage-{stage - 1}", folder, backwards=stage % 2 == 0)


def _again(reel: Reel, before: str, folder: str, *, backwards: bool) -> Steps:
    """Go through the kept frames once more."""
    notes = [reel.run.note(index, before) for index in range(reel.count or 0)]
    scene = list(itertools.accumulate(
        (note.index if note.begins else 0 for note in notes), max
    ))  # → the first frame of its scene  # fmt: skip
    neighbor: PaintedFrame | None = None
    last: int | None = None
    for note in reversed(notes) if backwards else notes:
        frame = _photo(reel, note)
        if scene[note.index] != last:
            last, neighbor = scene[note.index], None
            reel.painter.begin_scene(_photo(reel, notes[last]))
        painting = partial(_blended, reel, frame, before, neighbor)
        image = yield from reel.painted(frame, painting, begins=note.begins, folder=folder)
        neighbor = PaintedFrame(frame.image, image)


def _photo(reel: Reel, note: Painted) -> Frame:
    return Frame(reel.run.load(note.index, _PHOTOS), note.index, note.time, note.duration)


def _blended(reel: Reel, frame: Frame, before: str, neighbor: PaintedFrame | None) -> Painting:
    """Paint a frame from its last pastiche and its neighbor's."""
    own, video = reel.run.load(frame.index, before), reel.video
    start, target, trust, weight = own, own, own.new_zeros(1, 1, *own.shape[-2:]), 0.0
    if neighbor is not None:
        motion, _ = find_motion(frame.image, neighbor.photo, video)
        target, trust = warp_pastiche(neighbor.pastiche, motion.flow), motion.reliable
        start = own.lerp(target, video.pass_blend * trust)
        weight = video.temporal_weight
    return (yield from reel.painter.onward(frame, start, target, trust, weight, video.frame_steps))
