"""VGG-16 and VGG-19 as describers of pictures: image → features by layer name.

The network is fixed: its weights never receive gradients, and it runs no deeper than the deepest
layer that was asked for. Callers only ever see sRGB in [0, 1]; what the network was trained on
(BGR in 0…255 minus a mean color, or ImageNet normalization) is dealt with in here.
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
from impasto.network.convolution import Convolution, max_pool
from impasto.network.kernel import compiled_kernel
from impasto.network.weights import VGGWeights, load_mean_activations, load_weights
from impasto.settings.layers import check_layer, deepest, layer_names, minimum_side

__all__ = ["Encoder", "Features"]

Features = Mapping[str, Tensor]  # {"relu1_1": (1, C, h, w), …}, shallow to deep

# The mean color of ImageNet in sRGB order, 0…255 (Simonyan & Zisserman; published with the model).
_CAFFE_MEAN = (123.68, 116.779, 103.939)
# What torchvision's models were trained with (torchvision.transforms' documented constants).
_TORCHVISION_MEAN = (0.485, 0.456, 0.406)
_TORCHVISION_STD = (0.229, 0.224, 0.225)

# Average and L2 pooling pass on less or more energy than the maximum the network was trained
# with. These factors bring the mean activation behind a pooling back to about what it was: they
# are crowsonkb/style-transfer-pytorch's (average × 2, L2 × 0.78).
_POOLING_GAIN = {"average": 2.0, "l2": 0.78}
# Paddings of every convolution, as PyTorch calls them.
_PADDED_EVERYWHERE = {"circular": "circular", "extended": "replicate"}


class Encoder(nn.Module):
    """A pretrained VGG without its classifier, cut after the deepest layer asked for.

    Args:
        layers: names of the layers to return, in any order, e.g. ("relu1_1", "relu4_2").
        network: "vgg19" or "vgg16".
        weights: "bundled", "torchvision", a path, or weights already loaded.
        convention: what the weights want as input: "auto", "caffe" or "torchvision".
        normalized: rescale the filters so that each one's mean activation over a set of photos
            is 1; with max and average pooling the network computes the same function up to one
            factor per channel (Gatys, Ecker & Bethge, CVPR 2016, section 2).
        pooling: "max" as trained, "average" (Gatys et al.: slightly more appealing), or "l2".
        pooling_rescaled: multiply average and L2 pooling so that deep layers keep the strength
            that the network was trained with; without it they fade, and so does their style.
        padding: what the first convolution sees beyond the border: "zero" as trained (which
            paints a pale frame), or "replicate", the nearest pixel; deeper ones see zeros. Or
            "circular": every convolution sees the opposite border, as if pictures were tiled;
            or "extended": every convolution sees what is nearest, as if there were no border.
        pixel_range: the value that white has before the mean color is subtracted, for weights
            of the caffe convention: 255; neural-style multiplies by 256.
        precision: "float32" (or what the image has, if that is more), or "bfloat16", in which
            everything between the image and its features is then computed.
        exact: let features take nothing, not even rounding errors, from a pixel that they do not
            see, and the other way round. Without it, faster (see `impasto.network.convolution`).
        compiled: run what lies between two layers asked for by torch.compile, for GPUs (not run by
            us); on a CPU torch's compiled convolutions are slower than our kernel.

    Raises:
        SettingsError: an unknown network or layer, with the nearest match.
        WeightsError: see `impasto.network.weights.load_weights`.
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
        self._stretches: dict[tuple[str, ...], Callable[[Tensor], Tensor]] = {}
        self.pooling_gain = _POOLING_GAIN.get(pooling, 1.0) if pooling_rescaled else 1.0
        self._path = order[: last + 1]
        if not isinstance(weights, VGGWeights):
            if normalized and weights != "bundled":
                raise SettingsError(
                    "normalized: the mean activations that are stored belong to the bundled "
                    f"weights; use those instead of {weights}, or leave it out"
                )
            convs = [name for name in self._path if name.startswith("conv")]
            weights = load_weights(network, weights, convention=convention, last=convs[-1])
        if weights.network != network:
            raise WeightsError(f"these are weights of {weights.network}; asked for {network}")
        self._convolutions: dict[str, Convolution] = {}
        self._store(weights, normalized)
        if weights.convention == "caffe":
            self._scale: tuple[float, ...] = (pixel_range,) * 3
            self._shift: tuple[float, ...] = _CAFFE_MEAN
        else:
            self._scale = tuple(1 / s for s in _TORCHVISION_STD)
            self._shift = tuple(
                m / s for m, s in zip(_TORCHVISION_MEAN, _TORCHVISION_STD, strict=True)
            )

    def _store(self, weights: VGGWeights, normalized: bool) -> None:
        """Register the filters on the path as buffers: they follow the module but never learn."""
        means = load_mean_activations(self.network) if normalized else {}
        before: Tensor | None = None
        for name in self._path:
            if not name.startswith("conv"):
                continue
            weight, bias = weights.layers[name]
            if name == "conv1_1" and weights.convention == "caffe":
                weight = weight.flip(1)  # trained on BGR; images here are RGB
            if normalized:
                # F' = F / m for every channel, so the next layer must see its inputs × m again.
                mean = means[name]
                weight = weight / mean.view(-1, 1, 1, 1)
                bias = bias / mean
                weight = weight if before is None else weight * before.view(1, -1, 1, 1)
                before = mean
            self.register_buffer(f"{name}_weight", weight.contiguous(), persistent=False)
            self.register_buffer(f"{name}_bias", bias.clone(), persistent=False)

    @property
    def path(self) -> tuple[str, ...]:
        """The layers that are run, shallow to deep."""
        return self._path

    def channels(self, name: str) -> int:
        """Return how many channels a layer on the path has."""
        convs = [each for each in self._path if each.startswith("conv")]
        before = [each for each in convs if self._path.index(each) <= self._path.index(name)]
        return int(getattr(self, f"{before[-1]}_bias").shape[0])

    @property
    def device(self) -> torch.device:
        """Where the filters are."""
        return next(self.buffers()).device

    @property
    def _by_torch(self) -> bool:
        """Whether torch's own convolutions serve, and nothing of ours."""
        return self.exact or self.compiled

    @property
    def uses_kernel(self) -> bool:
        """Whether float32 pictures are described by the compiled kernel."""
        return (
            not self._by_torch
            and self.precision == "float32"
            and self.device.type == "cpu"
            and compiled_kernel() is not None
        )

    @property
    def minimum_side(self) -> int:
        """The smallest side in px of a picture that still has features at the deepest layer."""
        return minimum_side(self._path[-1])

    def forward(self, image: Tensor, up_to: str | None = None) -> dict[str, Tensor]:
        """Describe an image.

        Args:
            image: (B, 3, H, W), sRGB in [0, 1]; values beyond are allowed.
            up_to: the deepest layer that is run this time; None: of those asked for.

        Returns: the features of the layers asked for, (B, C, h, w), shallow to deep.
        Raises:  ShapeError: not an image, or too small for the deepest layer.
        """
        return {name: each.to(image.dtype) for name, each in self.chain(image, up_to).items()}

    def chain(self, image: Tensor, up_to: str | None = None) -> dict[str, Tensor]:
        """Describe an image by the very maps that deeper ones are computed from.

        They are in `precision`, and all that flows back from deeper layers goes through them.
        Otherwise as `forward`.
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
        if x.device.type == "cuda":  # where cuDNN's fastest convolutions want it (not run by us)
            x = x.contiguous(memory_format=torch.channels_last)
        features: dict[str, Tensor] = {}
        start, last = 0, self._path.index(self._path[-1] if up_to is None else up_to)
        for name in self.layers:
            end = self._path.index(name)
            if end > last:
                break
            x = features[name] = self._stretch(self._path[start : end + 1])(x)
            start = end + 1
        return features

    def _stretch(self, names: tuple[str, ...]) -> Callable[[Tensor], Tensor]:
        """Return what runs some layers, one after the other."""
        run = functools.partial(self._run, names)
        if not self.compiled:
            return run
        if names not in self._stretches:
            self._stretches[names] = compiled_by_torch(run)
        return self._stretches[names]

    def with_padding(self, padding: str) -> Encoder:
        """Return an encoder of the same filters, in the same memory, with another padding."""
        other = copy.copy(self)
        other.padding = padding
        other._stretches = {}
        return other

    def _run(self, names: tuple[str, ...], x: Tensor) -> Tensor:
        rectified = False
        for name, following in zip(names, (*names[1:], ""), strict=True):
            if name.startswith("conv"):
                rectified = following.startswith("relu")  # one pass for both
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
        framed = functional.pad(x, (1, 1, 1, 1), mode=mode)
        return convolution(framed, rectify=rectify, padding=0)

    def _convolution(self, name: str) -> Convolution:
        weight, bias = getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias")
        known = self._convolutions.get(name)
        if known is None or known.weight is not weight:  # new where the filters were moved
            known = self._convolutions[name] = Convolution(weight, bias, exact=self._by_torch)
        return known

    def _pool(self, x: Tensor) -> Tensor:
        if self.pooling == "max":
            return functional.max_pool2d(x, 2) if self._by_torch else max_pool(x)
        if self.pooling == "average":
            return functional.avg_pool2d(x, 2) * self.pooling_gain
        # The small number keeps the root's gradient finite where all four inputs are 0.
        return (4.0 * functional.avg_pool2d(x * x, 2) + 1e-12).sqrt() * self.pooling_gain


def compiled_by_torch(run: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a function that torch.compile makes when it is first called.

    Raises: SettingsError: torch is too old, or, at the first call, cannot compile here; says why.
    """
    from torch._dynamo.exc import TorchDynamoException  # a second, and for few

    # Layouts as they come: torch 2.13 fails backwards where it chooses others itself. And no
    # processes beside ours, which outlive an interrupted run.
    options = {"layout_optimization": False, "compile_threads": 1}
    # All stretches are one piece of code, of which torch else compiles eight variants only.
    how: dict[str, Any] = {"isolate_recompiles": True, "options": options}
    try:
        made = torch.compile(run, **how)
    except TypeError:
        raise SettingsError("compiled needs torch 2.13 or newer; leave it out") from None

    def call(x: Tensor) -> Tensor:
        try:
            with warnings.catch_warnings():  # torch's tracer looks at what it warns of
                warnings.filterwarnings("ignore", "The .grad attribute of a Tensor", UserWarning)
                result: Tensor = made(x)
        except TorchDynamoException as error:
            reason = str(error).strip().partition("\n")[0]
            raise SettingsError(
                f"compiled: torch cannot compile the network here ({reason}); leave it out, or "
                "install what it needs: on a CPU a C++ compiler, on CUDA Triton"
            ) from error
        return result

    return call
