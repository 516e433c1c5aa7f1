"""How one picture becomes the next: dense optical flow, and where it can be relied upon.

The flow of a pair leads from each pixel of the first to where it is in the second. It is searched
both ways, and where the two disagree, something was covered or uncovered.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import SettingsError, ShapeError, VideoError, nearest_match
from impasto.pictures.colors import luminance
from impasto.pictures.picture import Image
from impasto.video.motion.raft import Raft, load_raft
from impasto.video.motion.warp import check_flow, points_outside, warp

__all__ = [
    "FLOWS",
    "coverage",
    "disagreement",
    "motion_boundaries",
    "optical_flow",
    "reliable",
    "warp",
]

# Below, the coarsest level of a search is smaller than a patch.
_LEAST_SIDE = 16

# Of a pixel: fewer that lead to it, and it is hidden. These three were chosen on the cut-outs of
# benchmarks/motion.py, as docs/video.md says.
_LEAST_COVERAGE = 0.75
_BAND = 1  # px around what is hidden that are not relied upon
_REACH = 3  # px from it within which the flows have to agree

# Farnebäck's: how far around contrast is made equal, px, and the contrast that is noise, of 255.
_SURROUNDINGS = 8
_NOISE = 0.7

Gray = npt.NDArray[np.uint8]
FlowArray = npt.NDArray[np.float32]  # (H, W, 2)


def optical_flow(
    first: Image,
    second: Image,
    *,
    method: str = "dis",
    weights: str | os.PathLike[str] | None = None,
) -> Tensor:
    """Find where each pixel of one picture is in another: first(p) ≈ second(p + flow(p)).

    Args:
        first: (1, 3, H, W), sRGB in [0, 1].
        second: the same.
        method: "dis" (dense inverse search), "farneback", or "raft", which needs weights.
        weights: for "raft" alone: a file of trained weights, as torchvision writes them.

    Returns: (1, 2, H, W) float32 on the CPU, px: (dx, dy), x to the right and y downwards.

    Raises:
        ShapeError: not two pictures of one size, or of less than 16 px.
        SettingsError: an unknown method, or weights where they are of no use, or missing.
        WeightsError: the weights cannot be read, or are not RAFT's.
        VideoError: OpenCV is not installed.
    """
    if method not in FLOWS:
        raise SettingsError(
            f"{method}: no such flow (there are {', '.join(FLOWS)}){nearest_match(method, FLOWS)}"
        )
    for image in (first, second):
        if image.ndim != 4 or image.shape[:2] != (1, 3):
            raise ShapeError(f"an image is (1, 3, H, W), not {tuple(image.shape)}")
    if first.shape != second.shape:
        raise ShapeError(
            f"the pictures are {tuple(first.shape[-2:])} and {tuple(second.shape[-2:])} px; "
            "a flow is between two of one size"
        )
    if min(first.shape[-2:]) < _LEAST_SIDE:
        raise ShapeError(
            f"the pictures are {tuple(first.shape[-2:])} px; for a flow each side must be at "
            f"least {_LEAST_SIDE}"
        )
    return FLOWS[method](first, second, weights)


def disagreement(flow: Tensor, back: Tensor) -> Tensor:
    """Find where the ways there and back do not meet.

    |w + w̃|² > 0.01 · (|w|² + |w̃|²) + 0.5, with w the flow at p and w̃ the flow back from p + w.

    Args:
        flow: from the picture in question to the other one, (1, 2, H, W), px.
        back: from the other one to this one, (1, 2, H, W), px.

    Returns: (1, 1, H, W) bool.

    Raises:  ShapeError: the flows are not of one size.

    Paper:   Sundaram, Brox & Keutzer, ECCV 2010, equation 5; Ruder et al. 1604.08610, equation 5.
    """
    _check_pair(flow, back)
    returned = warp(back, flow)
    apart = (flow + returned).square().sum(dim=1, keepdim=True)
    length = (flow.square() + returned.square()).sum(dim=1, keepdim=True)
    return apart > 0.01 * length + 0.5


def coverage(back: Tensor) -> Tensor:
    """Count for each pixel how many of the other picture's lead to it: none where it is hidden.

    Each pixel of the other picture is shared among the four that it lies between.

    Args:    back: from the other picture to the one in question, (1, 2, H, W), px.

    Returns: (1, 1, H, W) float32, 1 on average where nothing changes its size.

    Raises:  ShapeError: back is not a flow.

    Paper:   the range map of Wang et al., CVPR 2018 (1711.05890), section 3.2.
    """
    check_flow(back)
    height, width = back.shape[-2:]
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    x, y = columns + back[0, 0].cpu(), rows + back[0, 1].cpu()
    left, top = x.floor(), y.floor()
    # A margin of one pixel takes what leaves the picture.
    counts = torch.zeros((height + 2) * (width + 2))
    for down in (0, 1):
        for right in (0, 1):
            share = (1 - (x - left - right).abs()) * (1 - (y - top - down).abs())
            row = (top + down + 1).clamp(0, height + 1).long()
            column = (left + right + 1).clamp(0, width + 1).long()
            counts.index_add_(0, (row * (width + 2) + column).flatten(), share.flatten())
    inner = counts.view(height + 2, width + 2)[1:-1, 1:-1]
    return inner[None, None].to(back.device)


def motion_boundaries(flow: Tensor) -> Tensor:
    """Find where neighbors part: there a flow is smeared over the edge of what moves.

    |∇u|² + |∇v|² > 0.01 · |w|² + 0.002, with w = (u, v).

    Args:    flow: (1, 2, H, W), px.
    Returns: (1, 1, H, W) bool.
    Raises:  ShapeError: flow is not one.
    Paper:   as disagreement; equation 6 of Ruder et al. `reliable` goes without: see there.
    """
    check_flow(flow)
    down, right = torch.gradient(flow, dim=(2, 3))
    steepness = (down.square() + right.square()).sum(dim=1, keepdim=True)
    return steepness > 0.01 * flow.square().sum(dim=1, keepdim=True) + 0.002


def reliable(flow: Tensor, back: Tensor) -> Tensor:
    """Tell where a flow can be relied upon.

    Not where the other picture does not show the pixel, which is outside it, or to which nothing
    leads back, with a band of one pixel around; nor, within three pixels of such, where the ways
    there and back disagree: a flow is smeared over the edges of what moves.

    Args:
        flow: from the picture in question to the other one, (1, 2, H, W), px.
        back: from the other one to this one, (1, 2, H, W), px.

    Returns: (1, 1, H, W) float32: 1 where it can, else 0.

    Raises:  ShapeError: the flows are not of one size.

    Paper:   Ruder, Dosovitskiy & Brox 1604.08610, section 5.2. Differs: disagreement alone finds
        less of what is hidden and more of what is not than coverage does, and the paper's motion
        boundaries are mostly where something is covered, which leaves nothing to mistrust; see
        docs/video.md for figures.
    """
    _check_pair(flow, back)
    counts = coverage(back)
    # Where everything gets smaller, fewer pixels lead to each.
    usual = float(counts.median().clamp(max=1))
    hidden = counts < _LEAST_COVERAGE * usual
    unsafe = _widened(hidden, _BAND) | (disagreement(flow, back) & _widened(hidden, _REACH))
    return (~(unsafe | points_outside(flow))).float()


def _widened(mask: Tensor, radius: int) -> Tensor:
    """Add everything within radius px of a mask, (1, 1, H, W) bool."""
    steps = torch.arange(-radius, radius + 1, device=mask.device)
    disc = (steps[:, None].square() + steps.square() <= radius**2).float()[None, None]
    return functional.conv2d(mask.float(), disc, padding=radius) > 0.5


def _check_pair(flow: Tensor, back: Tensor) -> None:
    check_flow(flow)
    check_flow(back, (flow.shape[-2], flow.shape[-1]))


def _dense_inverse_search(first: Image, second: Image, weights: object) -> Tensor:
    """Search patches coarse to fine and refine (Kroeger et al., ECCV 2016), down to half a pixel.

    Differs: searched on pictures of twice the size, and there down to each pixel, where OpenCV's
    presets stop at half or a quarter of the size; patches of 8 px are then 4 px of the picture.
    """
    _refuse_weights(weights, "dis")
    cv2 = _opencv()
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    first, second = (
        functional.interpolate(image, scale_factor=2, mode="bicubic", align_corners=False)
        for image in (first, second)
    )
    return functional.avg_pool2d(_tensor(search.calc(_gray(first), _gray(second), None)), 2) / 2


def _farneback(first: Image, second: Image, weights: object) -> Tensor:
    """Follow the quadratic polynomials that fit each neighborhood (Farnebäck, SCIA 2003).

    Differs: contrast is first made equal everywhere, (I − μ) / √(σ² + 0.7²) with μ and σ of what is
    around. Without it, what is smooth, as a sky is, hardly moves at all.
    """
    _refuse_weights(weights, "farneback")
    cv2 = _opencv()

    def even(image: Image) -> FlowArray:
        luma = _gray(image).astype(np.float32)
        around = cv2.GaussianBlur(luma, (0, 0), _SURROUNDINGS)
        variance = cv2.GaussianBlur(np.square(luma - around), (0, 0), _SURROUNDINGS)
        normed: FlowArray = 64 * (luma - around) / np.sqrt(variance + _NOISE**2)
        return normed

    flow = cv2.calcOpticalFlowFarneback(
        even(first), even(second), None,
        pyr_scale=0.7, levels=8, winsize=31, iterations=5, poly_n=5, poly_sigma=1.1,
        flags=cv2.OPTFLOW_FARNEBACK_GAUSSIAN,
    )  # fmt: skip
    return _tensor(flow)


def _raft(first: Image, second: Image, weights: str | os.PathLike[str] | None) -> Tensor:
    """Run RAFT (Teed & Deng, ECCV 2020) with a file of trained weights."""
    if weights is None:
        raise SettingsError(
            "the flow raft needs a file of trained weights (torchvision's raft_large, .pth or "
            ".safetensors); dis and farneback need none"
        )
    changed = Path(weights).stat().st_mtime_ns if Path(weights).exists() else 0
    with torch.no_grad():
        flow: Tensor = _network(os.fspath(weights), changed)(first, second)
    return flow


@functools.lru_cache(maxsize=1)  # a clip asks twice a frame
def _network(path: str, changed: int) -> Raft:
    return load_raft(path)


FLOWS: dict[str, Callable[[Image, Image, str | os.PathLike[str] | None], Tensor]] = {
    "dis": _dense_inverse_search,
    "farneback": _farneback,
    "raft": _raft,
}


def _refuse_weights(weights: object, method: str) -> None:
    if weights is not None:
        raise SettingsError(f"the flow {method} takes no weights; they are for raft")


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise VideoError("optical flow needs OpenCV: pip install 'impasto[video]'") from None
    return cv2


def _gray(image: Image) -> Gray:
    """Return the luma of Rec. 601 in 8 bits, (H, W)."""
    luma = luminance(image.detach().clamp(0, 1))[0, 0]
    return np.ascontiguousarray((luma * 255 + 0.5).to("cpu", torch.uint8).numpy())


def _tensor(flow: FlowArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1)[None], np.float32))
