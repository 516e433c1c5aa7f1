"""RAFT: optical flow by a network that compares all pairs of patches and corrects itself.

Both pictures become maps of features at an eighth of the size; every position of one is correlated
with every one of the other; a recurrent unit, shown what the correlations are around where the
flow now points, corrects the flow again and again. The parts are named as in torchvision's files,
so that these load as they are; those of the authors are renamed.

Paper: Teed & Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020 (the
larger of its two networks).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from impasto.errors import WeightsError
from impasto.network.weight_files import read_tensors
from impasto.pictures.picture import Image

__all__ = ["Raft", "load_raft"]

UPDATES = 12  # torchvision's default; the paper trains with 12 and tests with up to 32
_SHRINK = 8  # px of the picture to a position of the maps
_LEVELS = 4  # of the pyramid of correlations
_RADIUS = 4  # around where the flow points, in positions of each level
_HIDDEN = 128  # channels of the recurrent unit; as many again are context
# The coarsest level of correlations must hold two positions a side.
_LEAST_SIDE = _SHRINK * 2**_LEVELS
# What the authors' names are called here (github.com/princeton-vl/RAFT, core/).
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


class Raft(nn.Module):
    """The network; weights are loaded by load_raft."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_encoder = _Encoder(nn.InstanceNorm2d)
        self.context_encoder = _Encoder(nn.BatchNorm2d)
        self.update_block = _Update()
        self.mask_predictor = _Mask()

    def forward(self, first: Image, second: Image, *, updates: int = UPDATES) -> Tensor:
        """Find the flow from one picture to another.

        Pictures are continued at their borders to sides that are multiples of 8 and at least 128.
        The correlations take 4 · (H·W / 64)² · 4/3 bytes: 0.1 GB at 640 × 360, 1.1 GB at
        1280 × 720.

        Args:
            first: (1, 3, H, W), sRGB in [0, 1].
            second: the same size.
            updates: how often the flow is corrected.

        Returns: (1, 2, H, W) float32, px.
        """
        height, width = first.shape[-2:]
        margins = _margins(height, width)
        pair = functional.pad(torch.cat([first, second]), margins, mode="replicate")
        features = self.feature_encoder(2 * pair - 1)
        pyramid = _correlations(features[:1], features[1:])
        context = self.context_encoder(2 * pair[:1] - 1)
        hidden, context = torch.tanh(context[:, :_HIDDEN]), context[:, _HIDDEN:].relu()
        start = _positions(features)
        flow = torch.zeros_like(start)
        for _ in range(updates):
            around = _look_up(pyramid, start + flow)
            hidden, change = self.update_block(hidden, context, around, flow)
            flow = flow + change
        full = _enlarge(flow, self.mask_predictor(hidden))
        left, _, top, _ = margins
        return full[..., top : top + height, left : left + width]


def load_raft(path: str | os.PathLike[str]) -> Raft:
    """Load RAFT with trained weights: torchvision's raft_large, or the authors' own files.

    Args:    path: a .pth or .safetensors file: a state dict.
    Returns: the network, frozen, on the CPU.
    Raises:  WeightsError: the file is missing, damaged, or holds another network.
    """
    network = Raft()
    wanted = {key: x for key, x in network.state_dict().items() if "num_batches" not in key}
    found = _renamed(read_tensors(Path(path)))
    wrong = [
        f"{key} is {tuple(found[key].shape)}, not {tuple(x.shape)}" if key in found else f"no {key}"
        for key, x in wanted.items()
        if key not in found or found[key].shape != x.shape
    ]
    if wrong:
        raise WeightsError(
            f"{os.fspath(path)}: not the weights of RAFT (torchvision's raft_large, or "
            f"raft-things.pth and its like): {wrong[0]}"
            + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else "")
        )
    network.load_state_dict({key: found[key].float() for key in wanted}, strict=False)
    return network.eval().requires_grad_(False)


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Call everything as torchvision does."""
    if any(key.startswith("feature_encoder.") for key in tensors):
        return dict(tensors)
    named = {}
    for key, tensor in tensors.items():
        for pattern, name in _RENAMED:
            key = re.sub(pattern, name, key)
        named[key] = tensor
    return named


# ---- what is compared ---------------------------------------------------------------------------


def _margins(height: int, width: int) -> tuple[int, int, int, int]:
    """Return how far to continue a picture: left, right, top, bottom, px."""
    high, wide = (max(_LEAST_SIDE, math.ceil(s / _SHRINK) * _SHRINK) - s for s in (height, width))
    return wide // 2, wide - wide // 2, high // 2, high - high // 2


def _positions(features: Tensor) -> Tensor:
    """Return each position's own (x, y): (1, 2, h, w)."""
    rows, columns = (torch.arange(s, dtype=torch.float32) for s in features.shape[-2:])
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"))[None].to(features.device)


def _correlations(first: Tensor, second: Tensor) -> list[Tensor]:
    """Correlate all pairs of positions, (h·w, 1, h, w), and halve the second's side thrice."""
    channels, height, width = first.shape[1:]
    volume = first.flatten(2)[0].T @ second.flatten(2)[0] / math.sqrt(channels)  # (h·w, h·w)
    pyramid = [volume.view(-1, 1, height, width)]
    for _ in range(_LEVELS - 1):
        pyramid.append(functional.avg_pool2d(pyramid[-1], 2))
    return pyramid


def _look_up(pyramid: list[Tensor], points: Tensor) -> Tensor:
    """Read each level around points, (1, 2, h, w): (1, levels · (2 · radius + 1)², h, w)."""
    height, width = points.shape[-2:]
    steps = torch.arange(-_RADIUS, _RADIUS + 1, dtype=torch.float32, device=points.device)
    # The trained weights expect the neighbors column by column.
    window = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)[None]
    centers = points[0].permute(1, 2, 0).reshape(-1, 1, 1, 2)  # (h·w, 1, 1, 2)
    read = []
    for level, volume in enumerate(pyramid):
        scale = points.new_tensor([volume.shape[-1] - 1, volume.shape[-2] - 1])
        grid = 2 * (centers / 2**level + window) / scale - 1
        around = functional.grid_sample(volume, grid, align_corners=True)
        read.append(around.view(height, width, -1))
    return torch.cat(read, dim=-1).permute(2, 0, 1)[None]


def _enlarge(flow: Tensor, mask: Tensor) -> Tensor:
    """Enlarge a flow 8 times: each pixel's is a weighted mean of the nine around it (3.3)."""
    height, width = flow.shape[-2:]
    weights = mask.view(1, 1, 9, _SHRINK, _SHRINK, height, width).softmax(dim=2)
    around = functional.unfold(_SHRINK * flow, 3, padding=1).view(1, 2, 9, 1, 1, height, width)
    full = (weights * around).sum(dim=2)  # (1, 2, 8, 8, h, w)
    return full.permute(0, 1, 4, 2, 5, 3).reshape(1, 2, _SHRINK * height, _SHRINK * width)


# ---- the parts, named as in the files -----------------------------------------------------------


def _conv(
    before: int,
    after: int,
    size: int,
    *,
    stride: int = 1,
    norm: type[nn.Module] | None = None,
    relu: bool = True,
) -> nn.Sequential:
    parts: list[nn.Module] = [nn.Conv2d(before, after, size, stride, size // 2)]
    parts += [] if norm is None else [norm(after)]
    return nn.Sequential(*parts, *([nn.ReLU()] if relu else []))


class _Residual(nn.Module):
    """Two convolutions and a short cut."""

    def __init__(self, before: int, after: int, stride: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.convnormrelu1 = _conv(before, after, 3, stride=stride, norm=norm)
        self.convnormrelu2 = _conv(after, after, 3, norm=norm)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1:
            self.downsample = _conv(before, after, 1, stride=stride, norm=norm, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        done: Tensor = self.downsample(x) + self.convnormrelu2(self.convnormrelu1(x))
        return done.relu()


class _Encoder(nn.Module):
    """A picture to 256 channels at an eighth of its size."""

    def __init__(self, norm: type[nn.Module]) -> None:
        super().__init__()
        self.convnormrelu = _conv(3, 64, 7, stride=2, norm=norm)
        self.layer1 = nn.Sequential(_Residual(64, 64, 1, norm), _Residual(64, 64, 1, norm))
        self.layer2 = nn.Sequential(_Residual(64, 96, 2, norm), _Residual(96, 96, 1, norm))
        self.layer3 = nn.Sequential(_Residual(96, 128, 2, norm), _Residual(128, 128, 1, norm))
        self.conv = nn.Conv2d(128, 256, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = self.conv(self.layer3(self.layer2(self.layer1(self.convnormrelu(x)))))
        return seen


class _Motion(nn.Module):
    """Correlations and flow to 128 channels, the flow itself among them."""

    def __init__(self) -> None:
        super().__init__()
        self.convcorr1 = _conv(_LEVELS * (2 * _RADIUS + 1) ** 2, 256, 1)
        self.convcorr2 = _conv(256, 192, 3)
        self.convflow1 = _conv(2, 128, 7)
        self.convflow2 = _conv(128, 64, 3)
        self.conv = _conv(192 + 64, 126, 3)

    def forward(self, flow: Tensor, around: Tensor) -> Tensor:
        seen = [self.convcorr2(self.convcorr1(around)), self.convflow2(self.convflow1(flow))]
        return torch.cat([self.conv(torch.cat(seen, dim=1)), flow], dim=1)


class _Gated(nn.Module):
    """A gated recurrent unit of convolutions along one direction."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        padding = (size[0] // 2, size[1] // 2)
        self.convz, self.convr, self.convq = (
            nn.Conv2d(3 * _HIDDEN, _HIDDEN, size, padding=padding) for _ in range(3)
        )

    def forward(self, hidden: Tensor, x: Tensor) -> Tensor:
        both = torch.cat([hidden, x], dim=1)
        update, reset = self.convz(both).sigmoid(), self.convr(both).sigmoid()
        proposed: Tensor = self.convq(torch.cat([reset * hidden, x], dim=1)).tanh()
        state: Tensor = hidden + update * (proposed - hidden)
        return state


class _Recurrent(nn.Module):
    """Along the rows, then along the columns."""

    def __init__(self) -> None:
        super().__init__()
        self.convgru1 = _Gated((1, 5))
        self.convgru2 = _Gated((5, 1))

    def forward(self, hidden: Tensor, x: Tensor) -> Tensor:
        done: Tensor = self.convgru2(self.convgru1(hidden, x), x)
        return done


class _FlowHead(nn.Module):
    """The recurrent unit's state to a change of the flow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(_HIDDEN, 256, 3, padding=1)
        self.conv2 = nn.Conv2d(256, 2, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        change: Tensor = self.conv2(self.conv1(hidden).relu())
        return change


class _Update(nn.Module):
    """One correction."""

    def __init__(self) -> None:
        super().__init__()
        self.motion_encoder = _Motion()
        self.recurrent_block = _Recurrent()
        self.flow_head = _FlowHead()

    def forward(
        self, hidden: Tensor, context: Tensor, around: Tensor, flow: Tensor
    ) -> tuple[Tensor, Tensor]:
        x = torch.cat([context, self.motion_encoder(flow, around)], dim=1)
        hidden = self.recurrent_block(hidden, x)
        return hidden, self.flow_head(hidden)


class _Mask(nn.Module):
    """The recurrent unit's state to the weights that enlarge the flow."""

    def __init__(self) -> None:
        super().__init__()
        self.convrelu = _conv(_HIDDEN, 256, 3)
        self.conv = nn.Conv2d(256, 9 * _SHRINK**2, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        weights: Tensor = 0.25 * self.conv(self.convrelu(hidden))  # 0.25: as trained
        return weights
