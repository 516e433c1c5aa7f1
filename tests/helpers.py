"""Comparisons and stand-ins for tests. Tests show that each assert_… function can fail."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from impasto.evaluation.content import psnr as psnr
from impasto.network.weights import VGGWeights
from impasto.settings.layers import CONVOLUTIONS


def toy_weights(network: str, *, width: float = 1 / 16, seed: int = 0) -> VGGWeights:
    """Make a network with VGG's layers, a fraction of its channels, and seeded random filters."""
    generator = torch.Generator().manual_seed(seed)
    layers: dict[str, tuple[Tensor, Tensor]] = {}
    before = 3
    for block, (count, channels) in enumerate(CONVOLUTIONS[network], 1):
        for index in range(1, count + 1):
            after = max(2, round(channels * width))
            scale = (2 / (before * 9)) ** 0.5
            weight = torch.randn((after, before, 3, 3), generator=generator) * scale
            bias = torch.randn(after, generator=generator) * 0.1
            layers[f"conv{block}_{index}"] = (weight, bias)
            before = after
    return VGGWeights(network, "caffe", layers)


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Draw normally distributed numbers, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def left_half(height: int = 32, width: int = 40) -> Tensor:
    """A mask of a picture's left half."""
    mask = torch.zeros(1, 1, height, width)
    mask[..., : width // 2] = 1
    return mask


def saved(array: np.ndarray, path: Path) -> str:
    """Write pixels to a picture file; return its path."""
    PIL.Image.fromarray(array).save(path)
    return str(path)


def assert_close(actual: Tensor | float, expected: object, *, relative: float) -> None:
    """Expect the largest error, divided by the largest expected magnitude, to be small."""
    a = np.asarray(actual.detach() if isinstance(actual, Tensor) else actual, dtype=np.float64)
    b = np.asarray(expected, dtype=np.float64)
    assert a.shape == b.shape, f"shapes {a.shape} and {b.shape}"
    scale = max(float(np.abs(b).max()), 1e-30)
    error = float(np.abs(a - b).max()) / scale
    assert error <= relative, f"relative error {error:.3g} > {relative:.3g}"


def assert_in_range(image: Tensor) -> None:
    assert torch.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


def assert_clear_error(outcome: Outcome, *words: str) -> None:
    """Expect exit code 1 and one line `Error: …` with these words on stderr, and nothing else."""
    assert outcome.code == 1, f"exit {outcome.code}: {outcome.err}"
    assert outcome.out == "", f"on stdout: {outcome.out!r}"
    lines = outcome.err.splitlines()
    assert len(lines) == 1, f"not one line: {outcome.err!r}"
    assert lines[0].startswith("Error: "), lines[0]
    for word in words:
        assert word in lines[0], f"{word!r} is not in {lines[0]!r}"


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return the bytes of every file below a folder, and None for every folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
