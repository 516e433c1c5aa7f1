"""VGG's convolutions and pooling, as fast as this machine can do them.

On a CPU nearly all of a step is convolutions. `kernels.c` computes them with a quarter of the
multiplications (Winograd's F(4 × 4, 3 × 3); Lavin & Gray, CVPR 2016), fused with bias and ReLU,
forward and backward. It is compiled when first needed, for the very processor it runs on, kept in
the user's cache and held against torch's own convolution before it is trusted. Where there is no C
compiler, or on a GPU, or in float64, torch's own serves.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from impasto.network.kernel import Kernel, compiled_kernel

__all__ = ["Convolution", "max_pool"]


class Convolution:
    """One 3 × 3 convolution with frozen filters, with or without a ReLU behind it.

    Args:
        weight: (C′, C, 3, 3).
        bias: (C′,).
        exact: never by the kernel, whose rounding errors reach up to three pixels further than
            the filters do: of the order of 1e-7 of the largest value.
    """

    def __init__(self, weight: Tensor, bias: Tensor, *, exact: bool = False) -> None:
        self.weight = weight
        self.bias = bias
        self.exact = exact
        self._packed: dict[str, Tensor] = {}

    def __call__(self, x: Tensor, *, rectify: bool, padding: int = 1) -> Tensor:
        """Convolve (B, C, H, W), differentiable by x.

        Args:
            rectify: whether a ReLU follows.
            padding: how many zeros lie around: 1, or 0 where a frame is there already.
        """
        if self.exact or self.weight.dtype != torch.float32 or not _is_for_kernel(x):
            weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
            y = functional.conv2d(x, weight, bias, padding=padding)
            return functional.relu(y) if rectify else y
        result: Tensor = _Convolved.apply(x, self, rectify, padding)  # type: ignore[no-untyped-call]
        return result

    def packed(self, direction: str, kernel: Kernel) -> Tensor:
        """Return the filters as the kernel reads them, for "forward" or "backward"."""
        if direction not in self._packed:
            weight = self.weight
            if direction == "backward":
                weight = weight.transpose(0, 1).flip(2, 3)
            self._packed[direction] = kernel.pack(weight)
        return self._packed[direction]


class _Convolved(torch.autograd.Function):
    """Keeps the output only, which the next layer keeps anyway."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Convolution, rectify: bool, padding: int) -> Tensor:
        ctx.kernel, ctx.layer, ctx.padding = _kernel(), layer, padding
        filters = layer.packed("forward", ctx.kernel)
        y: Tensor = ctx.kernel.convolve(
            x, filters, layer.bias, outputs=layer.weight.shape[0], padding=padding, rectify=rectify
        )
        ctx.save_for_backward(*([y] if rectify else []))
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None, None]:
        (output,) = ctx.saved_tensors or (None,)
        filters = ctx.layer.packed("backward", ctx.kernel)
        inputs, padding = ctx.layer.weight.shape[1], 2 - ctx.padding
        by_x = ctx.kernel.convolve(
            slope, filters, None, outputs=inputs, padding=padding, mask=output
        )
        return by_x, None, None, None


def max_pool(x: Tensor) -> Tensor:
    """Return the largest of each 2 × 2 of (B, C, H, W); differentiable by x."""
    if not _is_for_kernel(x):
        return functional.max_pool2d(x, 2)
    result: Tensor = _Pooled.apply(x)  # type: ignore[no-untyped-call]
    return result


class _Pooled(torch.autograd.Function):
    """Keeps the input, which the layer before keeps anyway, instead of which one was largest."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _kernel().pool(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return _kernel().pool(ctx.saved_tensors[0], slope)


def _is_for_kernel(x: Tensor) -> bool:
    return x.dtype == torch.float32 and x.device.type == "cpu" and compiled_kernel() is not None


def _kernel() -> Kernel:
    kernel = compiled_kernel()
    if kernel is None:
        raise RuntimeError("no compiled kernel")  # its callers have asked for it before
    return kernel
