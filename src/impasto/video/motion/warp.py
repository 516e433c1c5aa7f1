"""Backward warping: each pixel takes its value from the place that its flow points to."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import SettingsError, ShapeError, nearest_match

__all__ = ["check_flow", "points_outside", "warp"]

_INTERPOLATIONS = ("bilinear", "bicubic")


def warp(image: Tensor, flow: Tensor, *, interpolation: str = "bilinear") -> Tensor:
    """Warp an image along a flow: out(p) = image(p + flow(p)); edges are repeated outwards.

    With the flow from frame t to frame t−1 and the pastiche of frame t−1, the result is the
    expected pastiche of frame t. Shifts by whole pixels are exact up to rounding. The result is
    differentiable with respect to image and flow.

    Args:
        image: (B, C, H, W), float.
        flow: (1 or B, 2, H, W), px: (dx, dy), x to the right and y downwards.
        interpolation: "bilinear" stays within the values that it reads; "bicubic" stays sharper
            when a picture is warped many times, but may overshoot at edges.

    Returns: (B, C, H, W), of image's type and on its device.

    Raises:
        ShapeError: flow does not fit the image.
        SettingsError: an unknown interpolation.
    """
    if interpolation not in _INTERPOLATIONS:
        raise SettingsError(
            f"{interpolation}: no such interpolation (there are {', '.join(_INTERPOLATIONS)})"
            f"{nearest_match(interpolation, _INTERPOLATIONS)}"
        )
    if image.ndim != 4 or 0 in image.shape:
        raise ShapeError(f"warp takes an image (B, C, H, W), not {tuple(image.shape)}")
    check_flow(flow, (image.shape[-2], image.shape[-1]), batch=image.shape[0])
    height, width = image.shape[-2:]
    points = _targets(flow)
    # In grid_sample, −1 and 1 are the centers of the outermost pixels. A side of one pixel has one
    # center, and all points lead to it.
    scale = points.new_tensor([max(width - 1, 1), max(height - 1, 1)]).view(1, 2, 1, 1)
    grid = (2 * points / scale - 1).permute(0, 2, 3, 1).to(image)
    return functional.grid_sample(
        image,
        grid.expand(image.shape[0], -1, -1, -1),
        mode=interpolation,
        padding_mode="border",
        align_corners=True,
    )


def points_outside(flow: Tensor) -> Tensor:
    """Find the pixels whose flow leaves the picture.

    Args:    flow: (B, 2, H, W), px.
    Returns: (B, 1, H, W) bool: p + flow(p) lies beyond the centers of the outermost pixels.
    """
    check_flow(flow, batch=flow.shape[0])
    height, width = flow.shape[-2:]
    points = _targets(flow)
    x, y = points[:, :1], points[:, 1:]
    slack = 1e-3  # px; less is rounding, not motion.
    return (x < -slack) | (x > width - 1 + slack) | (y < -slack) | (y > height - 1 + slack)


def check_flow(flow: Tensor, size: tuple[int, int] | None = None, *, batch: int = 1) -> None:
    """Check the shape and type of a flow.

    Args:
        flow: must be (1 or batch, 2, H, W), float.
        size: the required (H, W); None: any.
        batch: the allowed number of flows, besides 1.

    Raises: ShapeError: the flow has another shape or type.
    """
    allowed = "H, W" if size is None else f"{size[0]}, {size[1]}"
    if (
        flow.ndim != 4
        or flow.shape[0] not in (1, batch)
        or flow.shape[1] != 2
        or 0 in flow.shape
        or not flow.is_floating_point()
        or (size is not None and tuple(flow.shape[-2:]) != size)
    ):
        raise ShapeError(
            f"the flow is {str(flow.dtype).removeprefix('torch.')} {tuple(flow.shape)}; here it "
            f"must be floats (1, 2, {allowed}): dx and dy for each pixel"
        )


def _targets(flow: Tensor) -> Tensor:
    """Return p + flow(p), (B, 2, H, W), (x, y) px, in float64, so that whole shifts are exact."""
    height, width = flow.shape[-2:]
    rows = torch.arange(height, device=flow.device, dtype=torch.float64)
    columns = torch.arange(width, device=flow.device, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"))  # (2, H, W)
    return grid + flow.double()
