"""RAFT by torchvision: names of weights, padding, and clear errors; without torchvision, too.

Most of these tests are skipped where torchvision is not installed. They need no trained weights:
with seeded random weights, the flow must be torchvision's own.
"""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from impasto.errors import SettingsError, VideoError, WeightsError, install_hint
from impasto.video.motion.flow import optical_flow
from impasto.video.motion.raft import _renamed, load_raft, raft_flow

# torchvision's names of weights → the authors'.
THEIRS = (
    (r"^feature_encoder\.", "fnet."),
    (r"^context_encoder\.", "cnet."),
    (r"^([fc]net)\.convnormrelu\.0\.", r"\1.conv1."),
    (r"^([fc]net)\.convnormrelu\.1\.", r"\1.norm1."),
    (r"^([fc]net)\.conv\.", r"\1.conv2."),
    (r"\.convnormrelu(\d)\.0\.", r".conv\1."),
    (r"\.convnormrelu(\d)\.1\.", r".norm\1."),
    (r"motion_encoder\.convcorr(\d)\.0\.", r"encoder.convc\1."),
    (r"motion_encoder\.convflow(\d)\.0\.", r"encoder.convf\1."),
    (r"motion_encoder\.conv\.0\.", "encoder.conv."),
    (r"recurrent_block\.convgru(\d)\.conv([zrq])\.", r"gru.conv\2\1."),
    (r"^mask_predictor\.convrelu\.0\.", "update_block.mask.0."),
    (r"^mask_predictor\.conv\.", "update_block.mask.2."),
    (r"^", "module."),
)


def picture(seed: int, height: int = 128, width: int = 144) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((1, 3, height, width), generator=generator)


@pytest.fixture(scope="module")
def torchvisions() -> torch.nn.Module:
    """torchvision's own network, with seeded random weights."""
    models = pytest.importorskip("torchvision.models.optical_flow")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = models.raft_large(weights=None).eval()
        for key, values in network.state_dict().items():
            if key.endswith("running_var"):
                values.uniform_(0.5, 1.5)
    return network


@pytest.fixture(scope="module")
def weights(torchvisions) -> dict[str, Tensor]:
    return {key: x for key, x in torchvisions.state_dict().items() if "num_batches" not in key}


def theirs(network: torch.nn.Module, first: Tensor, second: Tensor) -> Tensor:
    with torch.no_grad():
        return network(2 * first - 1, 2 * second - 1)[-1]


# ---- with torchvision ---------------------------------------------------------------------------


def test_a_flow_is_torchvisions_own(torchvisions, weights, tmp_path):
    save_file(weights, tmp_path / "raft.safetensors")
    first = picture(0)
    second = first.roll((2, 3), (2, 3))
    flow = optical_flow(first, second, method="raft", weights=tmp_path / "raft.safetensors")
    assert flow.shape == (1, 2, 128, 144)
    assert flow.dtype == torch.float32
    expected = theirs(torchvisions, first, second)
    assert float(expected.abs().max()) > 0.01
    torch.testing.assert_close(flow, expected)


@pytest.mark.parametrize(("height", "width"), [(131, 150), (96, 133)])
def test_padding_is_undone(torchvisions, height, width):
    """Sides become multiples of 8, and at least 128; half of the margin is left and above."""
    first, second = picture(1, height, width), picture(2, height, width)
    flow = raft_flow(torchvisions, first, second)
    assert flow.shape == (1, 2, height, width)
    high, wide = (max(128, side + -side % 8) - side for side in (height, width))
    top, left = high // 2, wide // 2
    margins = (left, wide - left, top, high - top)
    pair = (functional.pad(each, margins, mode="replicate") for each in (first, second))
    expected = theirs(torchvisions, *pair)[..., top : top + height, left : left + width]
    torch.testing.assert_close(flow, expected)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("authors", [False, True])
def test_weights_are_loaded_by_either_names(weights, tmp_path, suffix, authors):
    path, named = tmp_path / f"raft{suffix}", dict(weights)
    if authors:
        for pattern, name in THEIRS:
            named = {re.sub(pattern, name, key): x for key, x in named.items()}
        assert "module.cnet.layer2.0.norm1.weight" in named
        assert len(named) == len(weights)
    if suffix == ".pth":
        torch.save(named, path)
    else:
        save_file(named, path)
    network = load_raft(path)
    loaded = network.state_dict()
    assert all(torch.equal(loaded[key], x) for key, x in weights.items())
    assert not network.training
    assert not any(each.requires_grad for each in network.parameters())


def test_weights_of_something_else(weights, tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"the weights of RAFT .* no \S*_encoder.* more"):
        load_raft(path)
    save_file({**weights, "mask_predictor.conv.bias": torch.zeros(9)}, path)
    with pytest.raises(WeightsError, match=r"mask_predictor.conv.bias is \(9,\), not \(576,\)$"):
        load_raft(path)


# ---- without torchvision ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authors", "torchvisions_name"),
    [
        ("module.fnet.conv1.weight", "feature_encoder.convnormrelu.0.weight"),
        ("module.cnet.norm1.running_mean", "context_encoder.convnormrelu.1.running_mean"),
        ("module.fnet.layer1.0.conv2.bias", "feature_encoder.layer1.0.convnormrelu2.0.bias"),
        ("module.cnet.layer2.0.norm1.weight", "context_encoder.layer2.0.convnormrelu1.1.weight"),
        ("module.cnet.layer2.0.downsample.1.bias", "context_encoder.layer2.0.downsample.1.bias"),
        ("module.fnet.conv2.weight", "feature_encoder.conv.weight"),
        ("module.update_block.encoder.convc1.bias", "update_block.motion_encoder.convcorr1.0.bias"),
        ("module.update_block.encoder.convf2.bias", "update_block.motion_encoder.convflow2.0.bias"),
        ("module.update_block.encoder.conv.bias", "update_block.motion_encoder.conv.0.bias"),
        ("module.update_block.gru.convq2.bias", "update_block.recurrent_block.convgru2.convq.bias"),
        ("module.update_block.flow_head.conv2.bias", "update_block.flow_head.conv2.bias"),
        ("module.update_block.mask.0.bias", "mask_predictor.convrelu.0.bias"),
        ("module.update_block.mask.2.bias", "mask_predictor.conv.bias"),
    ],
)
def test_the_authors_names(authors, torchvisions_name):
    assert list(_renamed({authors: torch.zeros(1)})) == [torchvisions_name]


def some_file(folder: Path) -> Path:
    save_file({"features.0.weight": torch.zeros(1)}, folder / "some.safetensors")
    return folder / "some.safetensors"


def test_without_torchvision(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(VideoError, match="needs torchvision: " + re.escape(install_hint("raft"))):
        load_raft(some_file(tmp_path))


def test_a_torchvision_for_another_torch(monkeypatch, tmp_path):
    class Models(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", Models("torchvision.models"))
    with pytest.raises(VideoError, match=r"built for torch \d.*operator torchvision::nms"):
        load_raft(some_file(tmp_path))


def test_missing_and_damaged_weights(tmp_path):
    pair = (picture(0, 32, 32), picture(1, 32, 32))
    with pytest.raises(SettingsError, match="raft needs a file of trained weights"):
        optical_flow(*pair, method="raft")
    with pytest.raises(WeightsError, match="no such file"):
        optical_flow(*pair, method="raft", weights=tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(WeightsError, match="damaged"):
        optical_flow(*pair, method="raft", weights=tmp_path / "text.pth")
