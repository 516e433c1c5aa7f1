"""VGG's convolutions and max pooling, by a compiled kernel or by torch.

On a CPU, convolutions take nearly all the time of a step. `kernels.c` computes them with a quarter
of the multiplications (Winograd's F(4 × 4, 3 × 3); Lavin & Gray, CVPR 2016), fused with bias and
ReLU, forward and backward. It is compiled for the present processor at the first use, stored in
the user's cache, and compared with torch's convolution before it is used. Without a C compiler, on
a GPU, and in float64, torch's own convolutions are used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from impasto.kernels.kernel import Kernel, compiled_kernel

__all__ = ["Convolution", "max_pool"]


class Convolution:
    """One 3 × 3 convolution with fixed filters, with or without a ReLU after it.

    Args:
        weight: (C′, C, 3, 3).
        bias: (C′,).
        exact: do not use the kernel. Its rounding errors, of the order of 1e-7 of the largest
            value, spread up to three pixels further than the filters.
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
            padding: width of the border of zeros: 1, or 0 if x already has a border.
        """
        if self.exact or self.weight.dtype != torch.float32 or not _kernel_can_run(x):
            weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
            y = functional.conv2d(x, weight, bias, padding=padding)
            return functional.relu(y) if rectify else y
        result: Tensor = _KernelConvolution.apply(x, self, rectify, padding)  # type: ignore[no-untyped-call]
        return result

    def packed(self, direction: str, kernel: Kernel) -> Tensor:
        """Return the filters in the kernel's layout, for "forward" or "backward"."""
        if direction not in self._packed:
            weight = self.weight
            if direction == "backward":
                weight = weight.transpose(0, 1).flip(2, 3)
            self._packed[direction] = kernel.pack(weight)
        return self._packed[direction]


class _KernelConvolution(torch.autograd.Function):
    """The kernel's convolution. It saves only its output, which the next layer saves too."""

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
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (output,) = ctx.saved_tensors or (None,)
        filters = ctx.layer.packed("backward", ctx.kernel)
        inputs, padding = ctx.layer.weight.shape[1], 2 - ctx.padding
        by_x = ctx.kernel.convolve(
            gradient, filters, None, outputs=inputs, padding=padding, mask=output
        )
        return by_x, None, None, None


def max_pool(x: Tensor) -> Tensor:
    """Return the maximum of every 2 × 2 values of (B, C, H, W), differentiable by x."""
    if not _kernel_can_run(x):
        return functional.max_pool2d(x, 2)
    result: Tensor = _KernelPooling.apply(x)  # type: ignore[no-untyped-call]
    return result


class _KernelPooling(torch.autograd.Function):
    """The kernel's pooling. It saves its input, which the layer before saves too, not indices."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _kernel().pool(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _kernel().pool(ctx.saved_tensors[0], gradient)


def _kernel_can_run(x: Tensor) -> bool:
    return x.dtype == torch.float32 and x.device.type == "cpu" and compiled_kernel() is not None


def _kernel() -> Kernel:
    kernel = compiled_kernel()
    if kernel is None:
        raise RuntimeError("no compiled kernel")  # cannot happen: callers check `_kernel_can_run`
    return kernel
