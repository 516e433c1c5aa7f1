"""Detection of scene cuts, from the motion between two neighboring frames."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.pictures.picture import Image
from impasto.video.motion.motion import Motion, warp_pastiche

__all__ = ["histogram_distance", "is_cut", "unexplained"]

_BINS = 8  # of each color channel
_DIFFERENT = 0.1  # mean difference of colors, in [0, 1], that motion does not explain

# On our test clips, motion leaves at most 13 % of a frame unexplained; a cut leaves at least 87 %.
_CUT_SHARE = 0.55
# A lower share is enough if the histograms differ: by 3 % between frames of a scene, by 53 % at a
# cut.
_CUT_SHARE_WITH_COLORS = 0.3
_CUT_COLORS = 0.4


def is_cut(before: Image, after: Image, motion: Motion) -> bool:
    """Return whether a new scene begins.

    A new scene begins if motion explains little of the later frame. It also begins if motion
    explains more, but not enough, and the colors differ as well.

    Args:
        before, after: neighboring photos, (1, 3, H, W).
        motion: from after to before.
    """
    share = unexplained(before, after, motion)
    if share > _CUT_SHARE:
        return True
    return share > _CUT_SHARE_WITH_COLORS and histogram_distance(before, after) > _CUT_COLORS


def unexplained(before: Image, after: Image, motion: Motion) -> float:
    """Return the share of pixels that the motion does not explain, in [0, 1].

    Such a pixel is not reliable, or has another color in the earlier frame. A change of color that
    is the same everywhere, such as a light that is switched on, is subtracted first.
    """
    change = after - warp_pastiche(before, motion.flow)
    change = change - change.flatten(2).median(2).values[..., None, None]
    explained = motion.reliable * (change.abs().mean(1, keepdim=True) < _DIFFERENT)
    return 1 - float(explained.mean())


def histogram_distance(one: Image, other: Image) -> float:
    """Return the total variation distance of two color histograms, in [0, 1]."""
    return float((_histogram(one) - _histogram(other)).abs().sum()) / 2


def _histogram(image: Image) -> Tensor:
    bins = (image[0] * _BINS).long().clamp(0, _BINS - 1)
    cells = (bins[0] * _BINS + bins[1]) * _BINS + bins[2]
    counts = torch.bincount(cells.flatten(), minlength=_BINS**3).float()
    return counts / counts.sum()
