"""Motion between frames, and the prediction of a frame from the pastiches of its neighbors.

A prediction is motion-compensated: every pastiche is warped along the flow, and each pixel is taken
from a pastiche that shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from impasto.pictures.picture import Image
from impasto.settings.clips import VideoSettings
from impasto.video.motion.flow import optical_flow, reliable
from impasto.video.motion.warp import points_outside, warp

__all__ = [
    "Motion",
    "PaintedFrame",
    "Prediction",
    "chain",
    "find_motion",
    "predict",
    "warp_pastiche",
]

_RELIABLE = 0.99  # A warped mask above this comes from reliable pixels only.


@dataclass(frozen=True, eq=False)
class PaintedFrame:
    """A painted frame: its photo and its pastiche, (1, 3, H, W) each."""

    photo: Image
    pastiche: Image


@dataclass(frozen=True, eq=False)
class Motion:
    """The motion from a frame to another one.

    Attributes:
        flow: (1, 2, H, W), px.
        reliable: (1, 1, H, W): 1 where the other frame shows the pixel and the flow finds it.
    """

    flow: Tensor
    reliable: Tensor


@dataclass(frozen=True, eq=False)
class Prediction:
    """A frame's expected pastiche, from the pastiches of its neighbors.

    Attributes:
        image: (1, 3, H, W); the photo's pixel where no neighbor shows it.
        trust: (1, 1, H, W) in [0, 1]: the weight of each pixel in the temporal term.
    """

    image: Image
    trust: Tensor

    @property
    def holes(self) -> float:
        """The share of pixels that no neighbor shows, in [0, 1]."""
        return 1 - float(self.trust.mean())


def find_motion(frame: Image, other: Image, video: VideoSettings) -> tuple[Motion, Motion]:
    """Find the motion from a frame to another one, and back.

    Raises: as for `optical_flow`.
    """
    find = partial(
        optical_flow,
        method=video.flow,
        weights=None if video.flow_weights == "none" else video.flow_weights,
    )
    there, back = find(frame, other), find(other, frame)
    return Motion(there, reliable(there, back)), Motion(back, reliable(back, there))


def chain(near: Motion, far: Motion) -> Motion:
    """Join two motions: from a frame to its neighbor, and from the neighbor to a farther frame.

    A pastiche that is warped over many frames is then resampled only once, and stays sharp.
    """
    flow = near.flow + warp(far.flow, near.flow)
    # A point between a reliable pixel and another one is not reliable.
    there = (warp(far.reliable, near.flow) > _RELIABLE).float()
    return Motion(flow, near.reliable * there * (~points_outside(flow)).float())


def predict(photo: Image, past: Sequence[tuple[PaintedFrame, Motion]]) -> Prediction:
    """Predict a frame's pastiche from earlier ones; far frames fill what near ones do not show.

    The weight of frame i − j is max(c⁽ⁱ⁻ʲ⁾ − Σ c⁽ⁱ⁻ᵏ⁾, 0) over the nearer k, with c = 1 where the
    motion is reliable. So each pixel comes from one frame, and one picture replaces all of them.

    Args:  past: earlier frames from near to far, with the motion from the photo to each.
    Paper: Ruder et al. 1604.08610, section 4.2: long-term consistency.
    """
    image, trust = torch.zeros_like(photo), torch.zeros_like(photo[:, :1])
    for each, motion in past:
        new = (motion.reliable - trust).clamp(min=0)
        image = image + new * warp_pastiche(each.pastiche, motion.flow)
        trust = trust + new
    return Prediction(image + (1 - trust) * photo, trust)


def warp_pastiche(pastiche: Image, flow: Tensor) -> Image:
    """Warp a pastiche, bicubically: bilinear warps would blur it more with every frame."""
    return warp(pastiche, flow, interpolation="bicubic").clamp(0, 1)
