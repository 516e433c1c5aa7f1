"""Fixtures that many tests share: a toy network, drawn pictures, the bundled pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch import Tensor

from helpers import Outcome, toy_weights
from impasto.kernels import kernel as kernels
from impasto.kernels.kernel import Kernel, compiled_kernel
from impasto.network.encoder import Encoder
from impasto.network.weights import VGGWeights

EXAMPLES = Path(__file__).parent.parent / "src" / "impasto" / "assets" / "examples"


@pytest.fixture
def toy() -> VGGWeights:
    """VGG-19's layers with a few channels each and seeded random weights."""
    return toy_weights("vgg19")


@pytest.fixture
def toy_encoder(toy: VGGWeights) -> Encoder:
    return Encoder(("relu1_1", "relu2_1", "relu3_1", "relu4_2"), weights=toy)


@pytest.fixture
def small_network(monkeypatch, toy: VGGWeights) -> None:
    """Paint with a toy network of a few channels, for tests that are not about the network."""

    def build(layers, **options) -> Encoder:
        return Encoder(layers, **{**options, "weights": toy})

    monkeypatch.setattr("impasto.painting.stylizer.Encoder", build)


@pytest.fixture
def photo() -> Tensor:
    """A drawn 'photo', (1, 3, 32, 40): a bright disc over a gradient."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 40), indexing="ij")
    disc = ((y - 0.5) ** 2 + (x - 0.5) ** 2 < 0.09).float()
    return torch.stack([x, y, 0.3 + 0.6 * disc])[None]


@pytest.fixture
def painting() -> Tensor:
    """A drawn 'painting', (1, 3, 36, 32): diagonal strokes of two colors with some grain."""
    y, x = torch.meshgrid(torch.arange(36.0), torch.arange(32.0), indexing="ij")
    stroke = (torch.sin((x + 2 * y) * 0.9) > 0).float()
    grain = torch.rand((36, 32), generator=torch.Generator().manual_seed(1)) * 0.2
    return torch.stack([0.8 * stroke + grain * 0.5, 0.2 + 0.3 * stroke, 0.7 - 0.6 * stroke])[None]


@pytest.fixture
def photo_file(photo: Tensor, tmp_path: Path) -> Path:
    return _save(photo, tmp_path / "photo.png")


@pytest.fixture
def painting_file(painting: Tensor, tmp_path: Path) -> Path:
    return _save(painting, tmp_path / "painting.png")


def _save(image: Tensor, path: Path) -> Path:
    array = (image[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255 + 0.5).astype(np.uint8)
    PillowImage.fromarray(array).save(path)
    return path


@pytest.fixture
def examples() -> Path:
    """The folder of the bundled example pictures."""
    return EXAMPLES


@pytest.fixture
def command(monkeypatch, capfd) -> Callable[..., Outcome]:
    """Run the command line in this process: command("recipes") → Outcome."""
    from impasto.cli.main import run

    threads = torch.get_num_threads()

    def call(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["impasto", *map(str, words)])
        capfd.readouterr()
        try:
            with pytest.raises(SystemExit) as stop:
                run()
        finally:
            torch.set_num_threads(threads)
        return Outcome(int(stop.value.code or 0), *capfd.readouterr())

    return call


@pytest.fixture
def kernel() -> Kernel:
    """The compiled kernel, where there is a compiler."""
    found = compiled_kernel()
    if found is None and "CI" in os.environ:
        pytest.fail("no kernel here, where one was to be had")
    if found is None:
        pytest.skip("no C compiler on this machine")
    return found


@pytest.fixture
def fresh_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty cache, and a kernel that is looked for anew, then and afterwards."""
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    compiled_kernel.cache_clear()
    yield tmp_path
    compiled_kernel.cache_clear()
    kernels._pool.cache_clear()  # Python's threads, if a test used them
