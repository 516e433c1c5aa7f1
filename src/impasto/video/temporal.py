"""What earlier pastiches say of a frame: carried along the motion, as far as it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from impasto.objective.terms import PictureTerm
from impasto.optimize.loop import LossName
from impasto.pictures.picture import Image
from impasto.settings.clips import VideoSettings
from impasto.video.motion.flow import optical_flow, reliable
from impasto.video.motion.warp import points_outside, warp

__all__ = [
    "Carried",
    "Motion",
    "Past",
    "TemporalTerm",
    "carry",
    "chained",
    "find_motion",
    "temporal_loss"
]  # fmt: skip

_WHOLLY = 0.99


@dataclass(frozen=True, eq=False)
class Past:
    """A frame that is painted: its photo and its pastiche, (1, 3, H, W) each."""

    photo: Image
    pastiche: Image


@dataclass(frozen=True, eq=False)
class Motion:
    """Where a frame's pixels are in another frame.

    Attributes:
        flow: (1, 2, H, W), px.
        reliable: (1, 1, H, W): 1 where the other frame shows the pixel, and there.
    """

    flow: Tensor
    reliable: Tensor


@dataclass(frozen=True, eq=False)
class Carried:
    """What a frame should look like, after its neighbors.

    Attributes:
        image: (1, 3, H, W); where nothing is known of a pixel, the photo's.
        trust: (1, 1, H, W) in [0, 1]: how far a pixel is known, and to be held to that.
    """

    image: Image
    trust: Tensor

    @property
    def holes(self) -> float:
        """The share of pixels of which nothing is known."""
        return 1 - float(self.trust.mean())


def find_motion(frame: Image, other: Image, video: VideoSettings) -> tuple[Motion, Motion]:
    """Find the motion from a frame to another one, and back."""
    find = partial(
        optical_flow,
        method=video.flow,
        weights=None if video.flow_weights == "none" else video.flow_weights,
    )
    there, back = find(frame, other), find(other, frame)
    return Motion(there, reliable(there, back)), Motion(back, reliable(back, there))


def chained(near: Motion, far: Motion) -> Motion:
    """Join the motion from a frame to its neighbor and from there on: in one step.

    So that a pastiche that is carried over many frames is resampled once, and stays sharp.
    """
    flow = near.flow + warp(far.flow, near.flow)
    # A pixel between a good and a bad one is bad.
    there = (warp(far.reliable, near.flow) > _WHOLLY).float()
    return Motion(flow, near.reliable * there * (~points_outside(flow)).float())


def carry(photo: Image, past: Sequence[tuple[Past, Motion]]) -> Carried:
    """Carry earlier pastiches to a frame, the farther ones where the nearer do not show a pixel.

    The weight of frame i − j is max(c⁽ⁱ⁻ʲ⁾ − Σ c⁽ⁱ⁻ᵏ⁾, 0) over the nearer k, with c = 1 where the
    motion is reliable. As that is one of them per pixel, they make one picture.

    Args:  past: from near to far, with the motion from the photo to each.
    Paper: Ruder et al. 1604.08610, section 4.2: long-term consistency.
    """
    image, trust = torch.zeros_like(photo), torch.zeros_like(photo[:, :1])
    for each, motion in past:
        new = (motion.reliable - trust).clamp(min=0)
        image = image + new * carried_along(each.pastiche, motion.flow)
        trust = trust + new
    return Carried(image + (1 - trust) * photo, trust)


def carried_along(pastiche: Image, flow: Tensor) -> Image:
    """Warp a pastiche, bicubically: bilinear, it would be softer with every frame."""
    return warp(pastiche, flow, interpolation="bicubic").clamp(0, 1)


def temporal_loss(image: Tensor, target: Tensor, trust: Tensor) -> Tensor:
    """Compare a frame with what was carried to it: mean over pixels and colors of c · (x − ω)².

    Args:
        image, target: (1, 3, H, W).
        trust: c, how far each pixel is held to the target, (1, 1, H, W) in [0, 1].

    Paper: Ruder et al. 1604.08610, equation 7.
    """
    return (trust * (image - target).square()).mean()


class TemporalTerm(PictureTerm):
    """The weighted `temporal_loss` of a frame; arguments as there."""

    def __init__(self, target: Image, trust: Tensor, weight: float) -> None:
        self.name = LossName("temporal")
        self.weight = weight
        self.target = target
        self.trust = trust

    def loss(self, image: Tensor) -> Tensor:
        """See `PictureTerm`."""
        return self.weight * temporal_loss(image, self.target.to(image), self.trust.to(image))
