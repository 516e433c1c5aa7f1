"""Products and sums of large tensors that are the same for every number of threads.

A sum of floating-point numbers depends on its order. torch and its libraries split long sums among
threads, so the result depends on the number of threads. These functions have a fixed order if the
compiled kernel runs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.kernels.kernel import compiled_kernel

__all__ = ["correlate", "dot", "mix", "total"]

# `total` first adds up the values of each piece of this length.
_PIECE = 8192


def correlate(left: Tensor, right: Tensor) -> Tensor:
    """Return the products of every two channels, summed over positions: left rightᵀ.

    Args:    left, right: (B, C, n) and (B, C′, n); the same tensor for correlations within a map.
    Returns: (B, C, C′).
    """
    kernel = None if _needs_torch(left, right) else compiled_kernel()
    if kernel is None:
        return left @ right.transpose(1, 2)
    return kernel.correlate(left, right)


def mix(matrix: Tensor, x: Tensor, bias: Tensor) -> Tensor:
    """Multiply the channels at every position by a matrix, and add a vector.

    Args:    matrix: (B, C′, C).  x: (B, C, n).  bias: (B, C′).
    Returns: (B, C′, n).
    """
    kernel = None if _needs_torch(matrix, x, bias) else compiled_kernel()
    if kernel is None:
        return torch.baddbmm(bias[..., None], matrix, x)
    return kernel.mix(x, matrix, bias)


def dot(a: Tensor, b: Tensor) -> float:
    """Return the inner product of two tensors of one shape, in float32 or more."""
    wide = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    a, b = a.reshape(1, 1, -1), b.reshape(1, 1, -1)
    if _needs_torch(a, b):
        return total(a.to(wide) * b.to(wide))
    return float(correlate(a, b))


def total(x: Tensor) -> float:
    """Return the sum of all values."""
    flat = x.flatten()
    even = flat.numel() // _PIECE * _PIECE
    return float(flat[:even].view(-1, _PIECE).sum(1).sum() + flat[even:].sum())


def _needs_torch(*tensors: Tensor) -> bool:
    return any(
        x.dtype != torch.float32
        or x.device.type != "cpu"
        or (x.requires_grad and torch.is_grad_enabled())
        for x in tensors
    )
