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

from impasto.errors import SettingsError, ShapeError, VideoError, nearest_match
from impasto.images import Image
from impasto.video.raft import Raft, load_raft
from impasto.warping import check_flow, points_outside, warp

__all__ = ["FLOWS", "motion_boundaries", "occluded", "optical_flow", "reliable", "warp"]

# Below, the coarsest level of a search is smaller than a patch.
_LEAST_SIDE = 16

Grey = npt.NDArray[np.uint8]
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


def occluded(flow: Tensor, back: Tensor) -> Tensor:
    """Find what the other picture does not show, because the ways there and back do not meet.

    |w + w̃|² > 0.01 · (|w|² + |w̃|²) + 0.5, with w the flow at p and w̃ the flow back from p + w.

    Args:
        flow: from the picture in question to the other one, (1, 2, H, W), px.
        back: from the other one to this one, (1, 2, H, W), px.

    Returns: (1, 1, H, W) bool.
    Raises:  ShapeError: the flows are not of one size.
    Paper:   Sundaram, Brox & Keutzer, ECCV 2010, equation 5; Ruder et al. 1604.08610, equation 5.
    """
    check_flow(flow)
    check_flow(back, (flow.shape[-2], flow.shape[-1]))
    returned = warp(back, flow)
    apart = (flow + returned).square().sum(dim=1, keepdim=True)
    length = (flow.square() + returned.square()).sum(dim=1, keepdim=True)
    return apart > 0.01 * length + 0.5


def motion_boundaries(flow: Tensor) -> Tensor:
    """Find where neighbours part: there a flow is smeared over the edge of what moves.

    |∇u|² + |∇v|² > 0.01 · |w|² + 0.002, with w = (u, v).

    Args:    flow: (1, 2, H, W), px.
    Returns: (1, 1, H, W) bool.
    Raises:  ShapeError: flow is not one.
    Paper:   as occluded; equation 6 of Ruder et al.
    """
    check_flow(flow)
    down, right = torch.gradient(flow, dim=(2, 3))
    steepness = (down.square() + right.square()).sum(dim=1, keepdim=True)
    return steepness > 0.01 * flow.square().sum(dim=1, keepdim=True) + 0.002


def reliable(flow: Tensor, back: Tensor) -> Tensor:
    """Tell where a flow can be relied upon.

    Args:
        flow: from the picture in question to the other one, (1, 2, H, W), px.
        back: from the other one to this one, (1, 2, H, W), px.

    Returns: (1, 1, H, W) float32: 1, and 0 where the other picture does not show the pixel
        (covered, or outside), or where the flow is a motion boundary's.
    Raises:  ShapeError: the flows are not of one size.
    Paper:   Ruder, Dosovitskiy & Brox 1604.08610, section 5.2.
    """
    unsafe = occluded(flow, back) | motion_boundaries(flow) | points_outside(flow)
    return (~unsafe).float()


def _dense_inverse_search(first: Image, second: Image, weights: object) -> Tensor:
    """Search patches coarse to fine and refine (Kroeger et al., ECCV 2016), down to each pixel.

    Differs: searched on the full picture as well, where OpenCV's finest preset stops at half.
    """
    _refuse_weights(weights, "dis")
    cv2 = _opencv()
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    return _tensor(search.calc(_grey(first), _grey(second), None))


def _farneback(first: Image, second: Image, weights: object) -> Tensor:
    """Follow the quadratic polynomials that fit each neighbourhood (Farnebäck, SCIA 2003)."""
    _refuse_weights(weights, "farneback")
    cv2 = _opencv()
    flow = cv2.calcOpticalFlowFarneback(
        _grey(first), _grey(second), None, 0.5, 5, 15, 5, 7, 1.5, cv2.OPTFLOW_FARNEBACK_GAUSSIAN
    )
    return _tensor(flow)


def _raft(first: Image, second: Image, weights: str | os.PathLike[str] | None) -> Tensor:
    """Run RAFT (Teed & Deng, ECCV 2020) with a file of trained weights."""
    if weights is None:
        raise SettingsError(
            "the flow raft needs a file of trained weights (torchvision's raft_large or raft_small,"
            " .pth or .safetensors); dis and farneback need none"
        )
    changed = Path(weights).stat().st_mtime_ns if Path(weights).exists() else 0
    with torch.no_grad():
        return _network(os.fspath(weights), changed)(first, second)


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


def _grey(image: Image) -> Grey:
    """Return the luma of Rec. 601 in 8 bits, (H, W)."""
    weights = image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    luma = (image.detach().clamp(0, 1) * weights).sum(dim=1)[0]
    return np.ascontiguousarray((luma * 255 + 0.5).to("cpu", torch.uint8).numpy())


def _tensor(flow: FlowArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1)[None], np.float32))
