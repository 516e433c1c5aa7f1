"""RAFT, by torchvision: optical flow by a network that compares all pairs of patches.

The user gives a file of trained weights; nothing is downloaded.

Paper: Teed & Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020 (the
larger of its two networks).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import VideoError, WeightsError, install_hint
from impasto.network.weight_formats import read_tensors
from impasto.pictures.picture import Image

__all__ = ["load_raft", "raft_flow"]

_STRIDE = 8  # The sides of the pictures must be multiples of this.
_LEAST_SIDE = 128  # px; in smaller pictures, the coarsest level of correlations has no neighbors.
# The authors' names of weights → torchvision's names (github.com/princeton-vl/RAFT, core/).
_RENAMED = (
    (r"^module\.", ""),
    (r"^fnet\.", "feature_encoder."),
    (r"^cnet\.", "context_encoder."),
    (r"(encoder)\.conv1\.", r"\1.convnormrelu.0."),
    (r"(encoder)\.norm1\.", r"\1.convnormrelu.1."),
    (r"(feature_encoder|context_encoder)\.conv2\.", r"\1.conv."),
    (r"(layer\d\.\d)\.conv(\d)\.", r"\1.convnormrelu\2.0."),
    (r"(layer\d\.\d)\.norm([12])\.", r"\1.convnormrelu\2.1."),
    (r"update_block\.encoder\.conv([cf])(\d)\.", r"update_block.motion_encoder.conv\1\2.0."),
    (r"motion_encoder\.convc", "motion_encoder.convcorr"),
    (r"motion_encoder\.convf(\d)", r"motion_encoder.convflow\1"),
    (r"update_block\.encoder\.conv\.", "update_block.motion_encoder.conv.0."),
    (r"update_block\.gru\.conv([zrq])(\d)\.", r"update_block.recurrent_block.convgru\2.conv\1."),
    (r"update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
    (r"update_block\.mask\.2\.", "mask_predictor.conv."),
)


def raft_flow(network: torch.nn.Module, first: Image, second: Image) -> Tensor:
    """Find the flow from one picture to another, with torchvision's 12 updates.

    The pictures are padded at their borders to sides that are multiples of 8 and at least 128. The
    correlations take 4 · (H·W / 64)² · 4/3 bytes: 0.1 GB at 640 × 360, 1.1 GB at 1280 × 720.

    Args:
        network: the result of `load_raft`.
        first: (1, 3, H, W), sRGB in [0, 1].
        second: the same size.

    Returns: (1, 2, H, W) float32, px.
    """
    height, width = first.shape[-2:]
    margins = _margins(height, width)
    padded = [functional.pad(2 * each - 1, margins, "replicate") for each in (first, second)]
    with torch.no_grad():
        flow: Tensor = network(*padded)[-1]  # The network returns the flow of every update.
    left, _, top, _ = margins
    return flow[..., top : top + height, left : left + width]


def load_raft(path: str | os.PathLike[str]) -> torch.nn.Module:
    """Load RAFT with trained weights: torchvision's raft_large, or the authors' own files.

    Args:    path: a .pth or .safetensors file that holds a state dict.
    Returns: torchvision's network, frozen, on the CPU.

    Raises:
        WeightsError: the file is missing, damaged, or holds another network.
        VideoError: torchvision is not installed.
    """
    found = _renamed(read_tensors(Path(path)))
    network: torch.nn.Module = _torchvision().raft_large(weights=None, progress=False)
    wanted = {key: x for key, x in network.state_dict().items() if "num_batches" not in key}
    wrong = [
        f"{key} is {tuple(found[key].shape)}, not {tuple(x.shape)}" if key in found else f"no {key}"
        for key, x in wanted.items()
        if key not in found or found[key].shape != x.shape
    ]
    if wrong:
        raise WeightsError(
            "does not hold the weights of RAFT (torchvision's raft_large, or files such as "
            f"raft-things.pth): {wrong[0]}"
            + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""),
            path=path,
        )
    network.load_state_dict({key: found[key].float() for key in wanted}, strict=False)
    return network.eval().requires_grad_(False)


def _torchvision() -> Any:
    """Return torchvision's models for optical flow.

    Raises: VideoError: torchvision is not installed, or was built for another version of torch.
    """
    try:
        from torchvision.models import optical_flow
    except ImportError:
        raise VideoError(f"the flow raft needs torchvision: {install_hint('raft')}") from None
    except RuntimeError as error:  # torchvision's operators do not fit the installed torch.
        raise VideoError(
            f"the flow raft needs a torchvision that was built for torch {torch.__version__}: "
            f"{error}"
        ) from error
    return optical_flow


def _margins(height: int, width: int) -> tuple[int, int, int, int]:
    """Return how far to pad a picture: left, right, top, bottom, px."""
    high, wide = (max(_LEAST_SIDE, math.ceil(s / _STRIDE) * _STRIDE) - s for s in (height, width))
    return wide // 2, wide - wide // 2, high // 2, high - high // 2


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the authors' weights torchvision's names; torchvision's own stay as they are."""
    if any(key.startswith("feature_encoder.") for key in tensors):
        return dict(tensors)
    named = {}
    for key, tensor in tensors.items():
        for pattern, name in _RENAMED:
            key = re.sub(pattern, name, key)
        named[key] = tensor
    return named
