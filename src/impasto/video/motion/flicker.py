"""The warping error, which measures flicker. The caller gives the flows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from impasto.errors import SettingsError, ShapeError
from impasto.video.motion.warp import check_flow, warp

__all__ = ["WarpingError", "warping_error"]

# (t, t − k) → the flow from frame t to frame t − k, (1, 2, H, W), and its mask, (1, 1, H, W).
Flow = Callable[[int, int], Tensor]
Reliable = Callable[[int, int], Tensor]


@dataclass(frozen=True)
class WarpingError:
    """How much a clip flickers at one distance in time.

    Attributes:
        squared: the mean squared difference of sRGB values in [0, 1], over all channels.
        pairs: the number of pairs of frames in the mean.
    """

    squared: float
    pairs: int

    @property
    def root(self) -> float:
        """The root of squared: a typical difference, in [0, 1]."""
        return float(self.squared**0.5)


def warping_error(
    frames: Iterable[Tensor],
    flow: Flow,
    reliable: Reliable,
    *,
    distances: Iterable[int] = (1,),
) -> Mapping[int, WarpingError]:
    """Measure flicker: the difference between each frame and an earlier one, warped to it.

    E_k = mean over t of  Σ_p m(p) · |x_t(p) − warp(x_{t−k})(p)|² / (C · Σ_p m(p))

    with m = 1 where the flow from t to t − k is reliable. Frames are read one by one; memory holds
    as many as the largest distance. A pair without a reliable pixel is left out.

    Args:
        frames: the clip, each (1, C, H, W), in [0, 1]; may be an iterator.
        flow: (t, t − k) → (1, 2, H, W), px, from frame t to frame t − k.
        reliable: (t, t − k) → (1, 1, H, W) in [0, 1].
        distances: the values of k: 1 is the short term; 5, 10, … the long term.

    Returns: {k: WarpingError}, in the order of distances.

    Raises:
        SettingsError: no distances, a distance below 1, or no pair of frames to measure.
        ShapeError: frames, flows and masks do not fit each other.

    Paper:   Lai et al., ECCV 2018, section 4.1 (squares, masked mean); Ruder et al. 1708.04538
        (short and long term). Differs: the mean is over pixels of a pair, then over pairs.
    """
    wanted = list(dict.fromkeys(distances))
    if not wanted or min(wanted) < 1:
        raise SettingsError(f"distances are {wanted}; give at least one, and each at least 1 frame")
    sums = dict.fromkeys(wanted, 0.0)
    pairs = dict.fromkeys(wanted, 0)
    past: deque[Tensor] = deque(maxlen=max(wanted))
    for time, frame in enumerate(frames):
        for distance in wanted:
            if distance > len(past):
                continue
            error = _pair_error(
                frame, past[-distance], flow(time, time - distance), reliable(time, time - distance)
            )
            if error is not None:
                sums[distance] += error
                pairs[distance] += 1
        past.append(frame)
    return {k: _mean(sums[k], pairs[k], k) for k in wanted}


def _mean(total: float, pairs: int, distance: int) -> WarpingError:
    if not pairs:
        raise SettingsError(
            f"no two frames that are {distance} apart have a reliable pixel in common"
        )
    return WarpingError(total / pairs, pairs)


def _pair_error(frame: Tensor, earlier: Tensor, flow: Tensor, mask: Tensor) -> float | None:
    """Return the masked mean of squared differences, or None if the mask is empty."""
    if frame.ndim != 4 or frame.shape != earlier.shape:
        raise ShapeError(
            f"frames are {tuple(frame.shape)} and {tuple(earlier.shape)}; all must be (1, C, H, W) "
            "of one size"
        )
    height, width = frame.shape[-2:]
    check_flow(flow, (height, width))
    if tuple(mask.shape) != (1, 1, height, width):
        raise ShapeError(f"the mask is {tuple(mask.shape)}; it must be {(1, 1, height, width)}")
    weights = mask.double()
    total = float(weights.sum())
    if total == 0:
        return None
    squares = (frame - warp(earlier, flow)).double().square().mean(dim=1, keepdim=True)
    return float((weights * squares).sum()) / total
