"""The names of VGG's layers: conv4_2, a convolution; relu4_2, its activation; pool4, a pooling.

If a paper, Keras or a notebook says "conv4_2", it nearly always means the output of the ReLU,
which is relu4_2 here.

This module does not import torch, so that options are checked and `--help` is printed fast.
"""

from __future__ import annotations

from impasto.errors import SettingsError, nearest_match

__all__ = [
    "CONVOLUTIONS",
    "check_layer",
    "conv_names",
    "deepest",
    "layer_names",
    "minimum_side",
    "reach",
]

# Convolutions per block and their channels (Simonyan & Zisserman 2015, table 1: D and E).
CONVOLUTIONS: dict[str, tuple[tuple[int, int], ...]] = {
    "vgg16": ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)),
    "vgg19": ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)),
}


def _blocks(network: str) -> tuple[tuple[int, int], ...]:
    if network not in CONVOLUTIONS:
        raise SettingsError(
            f"{network}: no such network (there are {' and '.join(CONVOLUTIONS)})"
            f"{nearest_match(network, CONVOLUTIONS)}"
        )
    return CONVOLUTIONS[network]


def layer_names(network: str) -> tuple[str, ...]:
    """List all layers from shallow to deep: conv1_1, relu1_1, …, pool1, …, pool5."""
    names: list[str] = []
    for block, (convolutions, _) in enumerate(_blocks(network), 1):
        for index in range(1, convolutions + 1):
            names += [f"conv{block}_{index}", f"relu{block}_{index}"]
        names.append(f"pool{block}")
    return tuple(names)


def conv_names(network: str) -> tuple[str, ...]:
    """List the convolutions from shallow to deep."""
    return tuple(name for name in layer_names(network) if name.startswith("conv"))


def relu_names(network: str) -> tuple[str, ...]:
    """List the activations from shallow to deep: these are the layers that "all" means."""
    return tuple(name for name in layer_names(network) if name.startswith("relu"))


def check_layer(name: str, network: str) -> None:
    """Raise a SettingsError with the nearest match if the network does not have this layer."""
    names = layer_names(network)
    if name not in names:
        raise SettingsError(
            f"{name}: no such layer in {network} (convX_Y, reluX_Y or poolX; "
            f"`impasto layers` lists them){nearest_match(name, names)}"
        )


def deepest(names: tuple[str, ...], network: str) -> str:
    """Return the deepest of these layers."""
    order = layer_names(network)
    return max(names, key=order.index)


def minimum_side(name: str) -> int:
    """Return the smallest side, in px, of a picture that has at least one feature at this layer.

    Every pooling up to the layer halves the picture and rounds down.
    """
    block = int(name.removeprefix("pool").removeprefix("conv").removeprefix("relu").split("_")[0])
    return int(2**block if name.startswith("pool") else 2 ** (block - 1))


def reach(name: str, network: str) -> int:
    """Return how far, in px, a feature's receptive field extends beyond the pixels pooled into it.

    Every 3 × 3 convolution up to the layer adds one position of its own grid on each side.
    """
    order = layer_names(network)
    path = order[: order.index(name) + 1]
    return sum(minimum_side(layer) for layer in path if layer.startswith("conv"))
