"""Where pictures are cut: every position counts once, and is seen as in the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from helpers import toy_weights
from impasto.network.encoder import Encoder
from impasto.objective.tiles import alignment, cut, shrinking, tile_margin
from impasto.settings.layers import layer_names, minimum_side, reach


@pytest.mark.parametrize("size", [(97, 131), (16, 16), (16, 31), (33, 400), (17, 48), (256, 255)])
@pytest.mark.parametrize("inner", [1, 16, 40, 64, 1000])
def test_inner_boxes_are_a_partition_of_every_layer(size, inner):
    unit, margin = 16, 80
    covered = {stride: torch.zeros(size[0] // stride, size[1] // stride) for stride in (1, 2, 16)}
    for tile in cut(size, inner, margin, unit):
        for stride, grid in covered.items():
            own = tile.inner.of(grid, stride)
            assert own.numel() > 0
            own += 1
            seen = torch.zeros(grid.shape)
            tile.own(tile.outer.of(seen, stride), stride).fill_(1)
            assert torch.equal(seen.nonzero(), _positions(tile.inner.of, grid, stride))
        for box in (tile.inner, tile.outer):
            assert box.top % unit == box.left % unit == 0
            assert box.bottom % unit == 0 or box.bottom == size[0]
            assert box.right % unit == 0 or box.right == size[1]
        assert tile.outer.top == max(0, tile.inner.top - margin)
        assert tile.outer.right == min(size[1], tile.inner.right + margin)
        longest = max(inner, 2 * unit - 1)
        assert tile.inner.bottom - tile.inner.top <= longest
        assert tile.inner.right - tile.inner.left <= longest
    assert all((grid == 1).all() for grid in covered.values())


def _positions(of, grid: Tensor, stride: int) -> Tensor:
    marked = torch.zeros(grid.shape)
    of(marked, stride).fill_(1)
    return marked.nonzero()


def test_tiles_are_as_even_as_possible():
    boxes = [tile.inner for tile in cut((64, 500), 192, 80, 16)]
    assert [(box.left, box.right) for box in boxes] == [(0, 176), (176, 336), (336, 500)]


@pytest.mark.parametrize(
    ("layer", "network", "margin"),
    [
        ("relu1_1", "vgg19", 1),
        ("pool1", "vgg19", 2),
        ("conv3_1", "vgg19", 12),
        ("conv5_1", "vgg19", 80),
        ("relu3_1", "vgg19", 12),
        ("relu4_2", "vgg19", 40),
        ("relu5_1", "vgg19", 80),
        ("relu5_3", "vgg19", 112),
        ("relu5_4", "vgg19", 128),
        ("relu5_3", "vgg16", 96),
    ],
)
def test_margins_by_hand(layer, network, margin):
    assert tile_margin(("relu1_1", layer), network) == margin
    assert tile_margin((layer,), network, beyond=1) == margin + alignment((layer,), network)


@pytest.mark.parametrize("network", ["vgg19", "vgg16"])
def test_a_feature_reaches_as_far_as_its_slope(network):
    layers = [name for name in layer_names(network) if name.startswith("relu")]
    weights = toy_weights(network, width=1 / 64)
    ones = {name: (w.abs(), b.abs()) for name, (w, b) in weights.layers.items()}
    encoder = Encoder(layers, weights=type(weights)(network, "torchvision", ones), network=network,
                      pooling="average").double()  # fmt: skip
    image = torch.ones(1, 3, 320, 16, dtype=torch.float64, requires_grad=True)
    features = encoder(image)
    for name in layers:
        stride = minimum_side(name)
        (slope,) = torch.autograd.grad(
            features[name][:, :, 160 // stride].sum(), image, retain_graph=True
        )
        rows = slope.abs().sum((0, 1, 3)).nonzero().flatten()
        around = reach(name, network)
        assert (int(rows[0]), int(rows[-1])) == (160 - around, 160 + stride - 1 + around), name


def test_only_memory_is_a_reason_to_try_again():
    tried = []

    def attempt(side: int) -> str:
        tried.append(side)
        if side > 40:
            raise MemoryError
        return "done"

    assert shrinking(attempt, 100, least=16) == ("done", 25)
    assert tried == [100, 50, 25]
    with pytest.raises(MemoryError):
        shrinking(attempt, 100, least=41)
    assert tried[3:] == [100, 50, 41]


def test_a_failed_attempt_holds_no_memory():
    held = []

    class Large:
        def __del__(self) -> None:
            held.remove(1)

    def attempt(side: int) -> int:
        large = Large()
        held.append(1)
        assert len(held) == 1, "what failed is still there"
        if side > 10:
            raise MemoryError(str(large))
        return side

    assert shrinking(attempt, 100, least=1)[1] == 6
