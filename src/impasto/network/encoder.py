"""The encoder: VGG-16 or VGG-19, image → features by layer name.

The network is fixed: its weights never receive gradients, and it runs no deeper than the deepest
layer that is requested. Callers pass sRGB in [0, 1]. Only this module converts it to the input that
the network was trained on: BGR in 0…255 minus a mean color, or ImageNet normalization.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from impasto.errors import SettingsError, ShapeError, WeightsError
from impasto.kernels.kernel import compiled_kernel
from impasto.network.convolution import Convolution, max_pool
from impasto.network.weights import VGGWeights, load_mean_activations, load_weights
from impasto.settings.layers import check_layer, deepest, layer_names, minimum_side

__all__ = ["CAFFE_MEAN", "TORCHVISION_STD", "Encoder", "Features"]

Features = Mapping[str, Tensor]  # {"relu1_1": (1, C, h, w), …}, shallow to deep

# The mean color of ImageNet in sRGB order, 0…255 (published with Simonyan & Zisserman's model).
CAFFE_MEAN = (123.68, 116.779, 103.939)
# The normalization of torchvision's models (documented constants of torchvision.transforms).
_TORCHVISION_MEAN = (0.485, 0.456, 0.406)
TORCHVISION_STD = (0.229, 0.224, 0.225)

# The network was trained with max pooling. Average pooling gives smaller values, L2 pooling larger
# ones. These factors restore about the mean activation of max pooling. They are those of
# crowsonkb/style-transfer-pytorch (average × 2, L2 × 0.78).
_POOLING_GAIN = {"average": 2.0, "l2": 0.78}
# Our paddings that apply to every convolution, and PyTorch's names for them.
_PADDED_EVERYWHERE = {"circular": "circular", "extended": "replicate"}


class Encoder(nn.Module):
    """A pretrained VGG without its classifier, cut after the deepest requested layer.

    Args:
        layers: names of the layers whose features are returned, in any order, e.g.
            ("relu1_1", "relu4_2").
        network: "vgg19" or "vgg16".
        weights: "bundled", "torchvision", a path, or loaded weights.
        convention: the input that the weights expect: "auto", "caffe" or "torchvision".
        normalized: rescale the filters so that each one's mean activation over a set of photos
            is 1. With max and average pooling, the network computes the same function up to one
            factor per channel (Gatys, Ecker & Bethge, CVPR 2016, section 2).
        pooling: "max" as trained, "average" (Gatys et al.: slightly more appealing), or "l2".
        pooling_rescaled: multiply the results of average and L2 pooling by a factor, so that deep
            layers are about as active as with max pooling. Without the factor, average pooling
            gives smaller activations, and L2 pooling larger ones.
        padding: the values beyond the border. With "zero", as trained, every convolution sees
            zeros, which paints a pale frame. With "replicate", the first convolution sees the
            nearest pixel, and deeper ones see zeros. With "circular", every convolution sees the
            opposite border, as if pictures were tiled. With "extended", every convolution sees
            the nearest value, as if there were no border.
        pixel_range: the value of white before the mean color is subtracted, for weights of the
            caffe convention. It is 255; in neural-style it is 256.
        precision: "float32": the network computes in the precision of the image, which is usually
            float32. "bfloat16": all layers compute in bfloat16.
        exact: let no rounding error from a pixel outside a feature's receptive field change the
            feature, or a gradient. The network is slower then (see `impasto.network.convolution`).
        compiled: compile the layers between two requested ones with torch.compile. This is for
            GPUs, but we have not run it on one. On a CPU, torch's compiled convolutions are slower
            than our kernel.

    Raises:
        SettingsError: the network, a layer or the convention is unknown (the message has the
            nearest match), or `normalized` is combined with other weights than "bundled".
        WeightsError: the loaded weights are for another network; also see
            `impasto.network.weights.load_weights`.
    """

    def __init__(
        self,
        layers: Sequence[str],
        *,
        network: str = "vgg19",
        weights: str | VGGWeights = "bundled",
        convention: str = "auto",
        normalized: bool = False,
        pooling: str = "max",
        pooling_rescaled: bool = False,
        padding: str = "replicate",
        pixel_range: float = 255.0,
        precision: str = "float32",
        exact: bool = False,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        for name in layers:
            check_layer(name, network)
        order = layer_names(network)
        last = order.index(deepest(tuple(layers), network))
        self.network = network
        self.layers = tuple(sorted(set(layers), key=order.index))
        self.pooling = pooling
        self.padding = padding
        self.precision = precision
        self.exact = exact
        self.compiled = compiled
        self._segments: dict[tuple[str, ...], Callable[[Tensor], Tensor]] = {}
        self.pooling_gain = _POOLING_GAIN.get(pooling, 1.0) if pooling_rescaled else 1.0
        self._path = order[: last + 1]
        if not isinstance(weights, VGGWeights):
            if normalized and weights != "bundled":
                raise SettingsError(
                    "normalized: the stored mean activations belong to the bundled weights; use "
                    f"those instead of {weights}, or turn normalized off"
                )
            convs = [name for name in self._path if name.startswith("conv")]
            weights = load_weights(network, weights, convention=convention, last=convs[-1])
        if weights.network != network:
            raise WeightsError(
                f"these are weights of {weights.network}, but the network is {network}"
            )
        self._convolutions: dict[str, Convolution] = {}
        self._store(weights, normalized)
        self._scale, self._shift = _input_units(weights.convention, pixel_range)

    def _store(self, weights: VGGWeights, normalized: bool) -> None:
        """Register the filters on the path as buffers, so that they move with the module."""
        means = load_mean_activations(self.network) if normalized else {}
        previous_mean: Tensor | None = None
        for name in self._path:
            if not name.startswith("conv"):
                continue
            weight, bias = weights.layers[name]
            if name == "conv1_1" and weights.convention == "caffe":
                weight = weight.flip(1)  # trained on BGR; images here are RGB
            if normalized:
                # F' = F / m for every channel, so the next layer multiplies its inputs by m.
                mean = means[name]
                weight = weight / mean.view(-1, 1, 1, 1)
                bias = bias / mean
                if previous_mean is not None:
                    weight = weight * previous_mean.view(1, -1, 1, 1)
                previous_mean = mean
            self.register_buffer(f"{name}_weight", weight.contiguous(), persistent=False)
            self.register_buffer(f"{name}_bias", bias.clone(), persistent=False)

    @property
    def path(self) -> tuple[str, ...]:
        """The layers that are run, shallow to deep."""
        return self._path

    def channels(self, name: str) -> int:
        """Return the number of channels of a layer on the path."""
        path = self._path[: self._path.index(name) + 1]
        last_conv = [layer for layer in path if layer.startswith("conv")][-1]
        return int(getattr(self, f"{last_conv}_bias").shape[0])

    @property
    def device(self) -> torch.device:
        """The device of the filters."""
        return next(self.buffers()).device

    @property
    def _uses_torch_only(self) -> bool:
        """Whether all convolutions and poolings are torch's own."""
        return self.exact or self.compiled

    @property
    def uses_kernel(self) -> bool:
        """Whether the compiled kernel computes the features of float32 pictures."""
        return (
            not self._uses_torch_only
            and self.precision == "float32"
            and self.device.type == "cpu"
            and compiled_kernel() is not None
        )

    @property
    def minimum_side(self) -> int:
        """The smallest side, in px, of a picture that has features at the deepest layer."""
        return minimum_side(self._path[-1])

    def forward(self, image: Tensor, up_to: str | None = None) -> dict[str, Tensor]:
        """Compute the features of an image.

        Args:
            image: (B, 3, H, W), sRGB in [0, 1]; values outside this range are allowed.
            up_to: run no deeper than this layer; None: run to the deepest requested layer.

        Returns: the features of the requested layers, (B, C, h, w), shallow to deep.
        Raises:  ShapeError: the image has another shape, or is too small for the deepest layer.
        """
        chain = self.chain(image, up_to)
        return {name: features.to(image.dtype) for name, features in chain.items()}

    def chain(self, image: Tensor, up_to: str | None = None) -> dict[str, Tensor]:
        """Compute the features like `forward`, but do not convert them to the image's precision.

        These tensors are in the network's precision. Deeper layers are computed from them, so the
        gradients of deeper layers flow through them.
        """
        if image.ndim != 4 or image.shape[1] != 3:
            raise ShapeError(f"an image is (B, 3, H, W), not {tuple(image.shape)}")
        height, width = image.shape[-2:]
        if min(height, width) < self.minimum_side:
            raise ShapeError(
                f"{width} x {height} px is too small: {self._path[-1]} needs at least "
                f"{self.minimum_side} px on each side"
            )
        scale, shift = image.new_tensor(self._scale), image.new_tensor(self._shift)
        x = image * scale.view(1, 3, 1, 1) - shift.view(1, 3, 1, 1)
        if self.precision == "bfloat16":
            x = x.to(torch.bfloat16)
        if x.device.type == "cuda":  # cuDNN's fastest layout (we have not run it)
            x = x.contiguous(memory_format=torch.channels_last)
        features: dict[str, Tensor] = {}
        start, last = 0, self._path.index(self._path[-1] if up_to is None else up_to)
        for name in self.layers:
            end = self._path.index(name)
            if end > last:
                break
            x = features[name] = self._segment(self._path[start : end + 1])(x)
            start = end + 1
        return features

    def _segment(self, names: tuple[str, ...]) -> Callable[[Tensor], Tensor]:
        """Return a function that runs these successive layers."""
        run = functools.partial(self._run, names)
        if not self.compiled:
            return run
        if names not in self._segments:
            self._segments[names] = compiled_by_torch(run)
        return self._segments[names]

    def with_padding(self, padding: str) -> Encoder:
        """Return an encoder with another padding that shares the filters of this one."""
        other = copy.copy(self)
        other.padding = padding
        other._segments = {}
        return other

    def _run(self, names: tuple[str, ...], x: Tensor) -> Tensor:
        rectified = False
        for name, next_name in zip(names, (*names[1:], ""), strict=True):
            if name.startswith("conv"):
                rectified = next_name.startswith("relu")  # the convolution includes the ReLU
                x = self._convolve(name, x, rectify=rectified)
            elif name.startswith("relu"):
                x = x if rectified else functional.relu(x)
            else:
                x = self._pool(x)
        return x

    def _convolve(self, name: str, x: Tensor, *, rectify: bool) -> Tensor:
        convolution = self._convolution(name)
        mode = _PADDED_EVERYWHERE.get(self.padding)
        if name == "conv1_1" and self.padding == "replicate":
            mode = "replicate"
        if mode is None:
            return convolution(x, rectify=rectify)
        padded = functional.pad(x, (1, 1, 1, 1), mode=mode)
        return convolution(padded, rectify=rectify, padding=0)

    def _convolution(self, name: str) -> Convolution:
        weight, bias = getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias")
        convolution = self._convolutions.get(name)
        if convolution is None or convolution.weight is not weight:  # a move replaces the buffers
            convolution = Convolution(weight, bias, exact=self._uses_torch_only)
            self._convolutions[name] = convolution
        return convolution

    def _pool(self, x: Tensor) -> Tensor:
        if self.pooling == "max":
            return functional.max_pool2d(x, 2) if self._uses_torch_only else max_pool(x)
        if self.pooling == "average":
            return functional.avg_pool2d(x, 2) * self.pooling_gain
        # 1e-12 keeps the gradient of the root finite where all four inputs are 0.
        return (4.0 * functional.avg_pool2d(x * x, 2) + 1e-12).sqrt() * self.pooling_gain


def compiled_by_torch(run: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a function that is compiled by torch.compile at its first call.

    Raises: SettingsError: torch is too old, or, at the first call, cannot compile here. The message
        gives the reason.
    """
    # Importing it takes a second, and few runs need it.
    from torch._dynamo.exc import TorchDynamoException

    # Without layout optimization, because its backward pass fails in torch 2.13. With one thread,
    # because the processes of several would outlive an interrupted run.
    options = {"layout_optimization": False, "compile_threads": 1}
    # All segments run the same code object, and torch would compile only eight variants of it.
    arguments: dict[str, Any] = {"isolate_recompiles": True, "options": options}
    try:
        compiled = torch.compile(run, **arguments)
    except TypeError:
        raise SettingsError("compiled needs torch 2.13 or newer; turn it off") from None

    def call(x: Tensor) -> Tensor:
        try:
            with warnings.catch_warnings():  # torch's tracer reads .grad, which causes a warning
                warnings.filterwarnings("ignore", "The .grad attribute of a Tensor", UserWarning)
                result: Tensor = compiled(x)
        except TorchDynamoException as error:
            reason = str(error).strip().partition("\n")[0]
            raise SettingsError(
                f"compiled: torch cannot compile the network here ({reason}); leave it off, or "
                "install what torch needs: a C++ compiler for a CPU, Triton for CUDA"
            ) from error
        return result

    return call


def _input_units(
    convention: str, pixel_range: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return a and b for each channel: the network's input is a · image − b."""
    if convention == "caffe":
        return (pixel_range,) * 3, CAFFE_MEAN
    pairs = list(zip(_TORCHVISION_MEAN, TORCHVISION_STD, strict=True))
    return tuple(1 / std for _, std in pairs), tuple(mean / std for mean, std in pairs)
