"""Dense optical flow between two pictures, and the mask of pixels where it is reliable.

The flow of a pair leads from each pixel of the first picture to its place in the second. It is
computed in both directions; occlusions show where the two directions disagree.
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

from impasto.errors import SettingsError, ShapeError, VideoError, install_hint, nearest_match
from impasto.pictures.colors import luminance
from impasto.pictures.picture import Image
from impasto.video.motion.raft import load_raft, raft_flow
from impasto.video.motion.warp import check_flow, points_outside, warp

__all__ = [
    "FLOWS",
    "coverage",
    "disagreement",
    "optical_flow",
    "reliable",
]

_LEAST_SIDE = 16  # px; in smaller pictures, the coarsest level of the search is below a patch.

# These three were chosen on the cut-outs of benchmarks/motion.py, see docs/video.md.
_LEAST_COVERAGE = 0.75  # A pixel with less coverage is hidden.
_BAND = 1  # px around hidden pixels that are not reliable either.
_REACH = 3  # px around hidden pixels where both directions must agree.

# For Farnebäck's method.
_SURROUNDINGS = 8  # px; σ of the neighborhood within which contrast is normalized.
_NOISE = 0.7  # of 255; smaller contrast is noise.

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
        weights: for "raft" only: a file of trained weights of torchvision's raft_large.

    Returns: (1, 2, H, W) float32 on the CPU, px: (dx, dy), x to the right and y downwards.

    Raises:
        ShapeError: the pictures differ in size, or a side is shorter than 16 px.
        SettingsError: an unknown method, missing weights, or weights for another method than raft.
        WeightsError: the weights cannot be read, or are not RAFT's.
        VideoError: OpenCV, or torchvision for raft, is not installed.
    """
    if method not in FLOWS:
        raise SettingsError(
            f"{method}: no such flow method (there are {', '.join(FLOWS)})"
            f"{nearest_match(method, FLOWS)}"
        )
    for image in (first, second):
        if image.ndim != 4 or image.shape[:2] != (1, 3):
            raise ShapeError(f"an image is (1, 3, H, W), not {tuple(image.shape)}")
    if first.shape != second.shape:
        raise ShapeError(
            f"the pictures are {tuple(first.shape[-2:])} and {tuple(second.shape[-2:])} px; "
            "the flow needs two pictures of one size"
        )
    if min(first.shape[-2:]) < _LEAST_SIDE:
        raise ShapeError(
            f"the pictures are {tuple(first.shape[-2:])} px; the flow needs sides of at least "
            f"{_LEAST_SIDE} px"
        )
    return FLOWS[method](first, second, weights)


def disagreement(flow: Tensor, back: Tensor) -> Tensor:
    """Find the pixels where forward and backward flow are inconsistent.

    |w + w̃|² > 0.01 · (|w|² + |w̃|²) + 0.5, with w the flow at p and w̃ the flow back from p + w.

    Args:
        flow: from this picture to the other one, (1, 2, H, W), px.
        back: from the other picture to this one, (1, 2, H, W), px.

    Returns: (1, 1, H, W) bool.

    Raises:  ShapeError: the flows differ in size.

    Paper:   Sundaram, Brox & Keutzer, ECCV 2010, equation 5; Ruder et al. 1604.08610, equation 5.
    """
    _check_pair(flow, back)
    returned = warp(back, flow)
    apart = (flow + returned).square().sum(dim=1, keepdim=True)
    length = (flow.square() + returned.square()).sum(dim=1, keepdim=True)
    return apart > 0.01 * length + 0.5


def coverage(back: Tensor) -> Tensor:
    """Count for each pixel how many pixels of the other picture lead to it; 0: it is hidden.

    Each pixel of the other picture is shared among the four pixels around its place here.

    Args:    back: from the other picture to this one, (1, 2, H, W), px.

    Returns: (1, 1, H, W) float32, 1 on average where the scale does not change.

    Raises:  ShapeError: back is not a flow.

    Paper:   the range map of Wang et al., CVPR 2018 (1711.05890), section 3.2.
    """
    check_flow(back)
    height, width = back.shape[-2:]
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    x, y = columns + back[0, 0].cpu(), rows + back[0, 1].cpu()
    left, top = x.floor(), y.floor()
    # A margin of one pixel receives the pixels that leave the picture.
    counts = torch.zeros((height + 2) * (width + 2))
    for down in (0, 1):
        for right in (0, 1):
            share = (1 - (x - left - right).abs()) * (1 - (y - top - down).abs())
            row = (top + down + 1).clamp(0, height + 1).long()
            column = (left + right + 1).clamp(0, width + 1).long()
            counts.index_add_(0, (row * (width + 2) + column).flatten(), share.flatten())
    inner = counts.view(height + 2, width + 2)[1:-1, 1:-1]
    return inner[None, None].to(back.device)


def reliable(flow: Tensor, back: Tensor) -> Tensor:
    """Return the mask of pixels where the flow is reliable.

    A pixel is not reliable if the other picture does not show it: its flow leaves the picture, or
    no flow leads back to it (it is hidden). The direct neighbors of hidden pixels are not reliable
    either. Within three pixels of hidden ones, a pixel is also not reliable if forward and backward
    flow disagree, because flow is blurred over the edges of moving objects.

    Args:
        flow: from this picture to the other one, (1, 2, H, W), px.
        back: from the other picture to this one, (1, 2, H, W), px.

    Returns: (1, 1, H, W) float32: 1 where the flow is reliable, else 0.

    Raises:  ShapeError: the flows differ in size.

    Paper:   Ruder, Dosovitskiy & Brox 1604.08610, section 5.2. Differs: coverage finds more of the
        hidden pixels than disagreement does, with fewer false ones. The paper also excludes motion
        boundaries; these lie mostly where an object covers another, and there the flow is good. See
        docs/video.md for figures.
    """
    _check_pair(flow, back)
    counts = coverage(back)
    # Where the other picture is smaller in scale, fewer of its pixels lead to each pixel here.
    usual = float(counts.median().clamp(max=1))
    hidden = counts < _LEAST_COVERAGE * usual
    unsafe = _dilated(hidden, _BAND) | (disagreement(flow, back) & _dilated(hidden, _REACH))
    return (~(unsafe | points_outside(flow))).float()


def _dilated(mask: Tensor, radius: int) -> Tensor:
    """Dilate a mask, (1, 1, H, W) bool, by radius px."""
    steps = torch.arange(-radius, radius + 1, device=mask.device)
    disc = (steps[:, None].square() + steps.square() <= radius**2).float()[None, None]
    return functional.conv2d(mask.float(), disc, padding=radius) > 0.5


def _check_pair(flow: Tensor, back: Tensor) -> None:
    check_flow(flow)
    check_flow(back, (flow.shape[-2], flow.shape[-1]))


def _dense_inverse_search(first: Image, second: Image, weights: object) -> Tensor:
    """Run dense inverse search (Kroeger et al., ECCV 2016) down to half a pixel.

    Differs: the search runs on pictures of twice the size, down to each of their pixels, where
    OpenCV's presets stop at half or a quarter of the size. So its patches cover 4 px.
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
    """Track the quadratic polynomials that fit each neighborhood (Farnebäck, SCIA 2003).

    Differs: contrast is normalized first, (I − μ) / √(σ² + 0.7²) with μ and σ of the neighborhood.
    Without this, hardly any motion is found in smooth areas such as a sky.
    """
    _refuse_weights(weights, "farneback")
    cv2 = _opencv()

    def normalized(image: Image) -> FlowArray:
        luma = _gray(image).astype(np.float32)
        around = cv2.GaussianBlur(luma, (0, 0), _SURROUNDINGS)
        variance = cv2.GaussianBlur(np.square(luma - around), (0, 0), _SURROUNDINGS)
        normed: FlowArray = 64 * (luma - around) / np.sqrt(variance + _NOISE**2)
        return normed

    flow = cv2.calcOpticalFlowFarneback(
        normalized(first), normalized(second), None,
        pyr_scale=0.7, levels=8, winsize=31, iterations=5, poly_n=5, poly_sigma=1.1,
        flags=cv2.OPTFLOW_FARNEBACK_GAUSSIAN,
    )  # fmt: skip
    return _tensor(flow)


def _raft(first: Image, second: Image, weights: str | os.PathLike[str] | None) -> Tensor:
    """Run RAFT (Teed & Deng, ECCV 2020) with a file of trained weights."""
    if weights is None:
        raise SettingsError(
            "the flow raft needs a file of trained weights (torchvision's raft_large, .pth or "
            ".safetensors); dis and farneback need no weights"
        )
    changed = Path(weights).stat().st_mtime_ns if Path(weights).exists() else 0
    return raft_flow(_network(os.fspath(weights), changed), first, second)


@functools.lru_cache(maxsize=1)  # A clip needs the network twice per frame.
def _network(path: str, changed: int) -> torch.nn.Module:
    """Load RAFT once for each file and time of its last change."""
    return load_raft(path)


FLOWS: dict[str, Callable[[Image, Image, str | os.PathLike[str] | None], Tensor]] = {
    "dis": _dense_inverse_search,
    "farneback": _farneback,
    "raft": _raft,
}


def _refuse_weights(weights: object, method: str) -> None:
    if weights is not None:
        raise SettingsError(f"the flow {method} takes no weights; only raft does")


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise VideoError(f"optical flow needs OpenCV: {install_hint('video')}") from None
    return cv2


def _gray(image: Image) -> Gray:
    """Return the luma of Rec. 601 in 8 bits, (H, W)."""
    luma = luminance(image.detach().clamp(0, 1))[0, 0]
    return np.ascontiguousarray((luma * 255 + 0.5).to("cpu", torch.uint8).numpy())


def _tensor(flow: FlowArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1)[None], np.float32))
