"""Where one scene ends and the next begins."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.pictures.picture import Image
from impasto.video.motion.motion import Motion, carried_along

__all__ = ["histogram_distance", "is_cut", "unexplained"]

_BINS = 8  # of each color
_APART = 0.1  # mean difference of colors, in [0, 1], that no motion explains

# Of the clips tried, motion leaves at most 13 % of a picture unexplained, and a cut at least 87 %.
_NOT_EXPLAINED = 0.55
# With other colors, less is needed: 3 % of them are others from frame to frame, 53 % at a cut.
_ALSO_NOT = 0.3
_OTHER_COLORS = 0.4


def is_cut(before: Image, after: Image, motion: Motion) -> bool:
    """Tell whether another scene begins.

    That is where most of a picture cannot be found in the one before; or less of it, and the
    colors are others, too.

    Args:
        before, after: neighboring photos, (1, 3, H, W).
        motion: from after to before.
    """
    share = unexplained(before, after, motion)
    if share > _NOT_EXPLAINED:
        return True
    return share > _ALSO_NOT and histogram_distance(before, after) > _OTHER_COLORS


def unexplained(before: Image, after: Image, motion: Motion) -> float:
    """Return the share of pixels that are not where the motion says, or that it cannot tell.

    A color that has changed all over, as when the light goes on, is no reason.
    """
    change = after - carried_along(before, motion.flow)
    change = change - change.flatten(2).median(2).values[..., None, None]
    found = motion.reliable * (change.abs().mean(1, keepdim=True) < _APART)
    return 1 - float(found.mean())


def histogram_distance(one: Image, other: Image) -> float:
    """Return how much of the colors' distribution differs, in [0, 1]."""
    return float((_histogram(one) - _histogram(other)).abs().sum()) / 2


def _histogram(image: Image) -> Tensor:
    bins = (image[0] * _BINS).long().clamp(0, _BINS - 1)
    cells = (bins[0] * _BINS + bins[1]) * _BINS + bins[2]
    counts = torch.bincount(cells.flatten(), minlength=_BINS**3).float()
    return counts / counts.sum()
