"""What the benchmarks measure with: a neutral objective, the network's own time, the machine."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from impasto.encoder import Encoder
from impasto.images import load_image
from impasto.losses import Objective, seen_layers
from impasto.recipes import recipe_settings
from impasto.statistics import chosen_statistic
from impasto.targets import StyleTarget, Targets, measure_content, measure_style
from impasto.weights import load_weights

# VGG-19's convolutions up to relu5_1 by block.
_CONVOLUTIONS = (2, 2, 4, 4, 1)


def machine() -> str:
    """Name processor, cores, threads and torch."""
    name = platform.processor() or platform.machine()
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        name = found[1] if found else name
    except OSError:
        pass
    return (
        f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )


def plain_network() -> nn.Sequential:
    """Build VGG-19 to relu5_1 of torch's own modules: frozen, NCHW, out-of-place ReLU."""
    weights, modules = load_weights("vgg19").layers, []
    for block, count in enumerate(_CONVOLUTIONS, 1):
        for number in range(1, count + 1):
            weight, bias = weights[f"conv{block}_{number}"]
            convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            convolution.load_state_dict({"weight": weight, "bias": bias})
            modules += [convolution, nn.ReLU()]
        modules += [nn.MaxPool2d(2)] if block < len(_CONVOLUTIONS) else []
    return nn.Sequential(*modules).requires_grad_(False)


def plain_seconds(size: tuple[int, ...], *, repeats: int = 4) -> float:
    """Time a forward and backward of the plain network to relu5_1 at (H, W): the least of some."""
    network = plain_network()
    image = torch.rand(1, 3, *size, requires_grad=True)
    return min(_timed(network, image) for _ in range(repeats + 1))


def _timed(network: nn.Module, image: Tensor) -> float:
    start = time.perf_counter()
    torch.autograd.grad(network(image).sum(), image)
    return time.perf_counter() - start


def neutral_objective(content: Path, style: Path) -> Callable[[Path], float]:
    """Return a function that scores a picture's file by neural-style's own objective.

    On its 8-bit pixels, as saved, with features measured anew; tests/test_peer.py holds the
    objective to what neural-style itself prints.
    """
    settings = recipe_settings("neural-style")
    layers = [name for kind in ("content", "style") for name in seen_layers(settings, kind)]
    encoder = Encoder(layers, padding=settings.padding, pixel_range=settings.pixel_range)
    statistic = chosen_statistic(settings)
    targets = Targets(
        measure_content(encoder, load_image(content), seen_layers(settings, "content")),
        (StyleTarget(
            measure_style(encoder, [load_image(style)], layers=seen_layers(settings, "style"),
                          statistic=statistic),
            settings.largest_style_weight,
        ),),
    )  # fmt: skip
    objective = Objective(encoder, targets, settings)

    @torch.no_grad()
    def score(picture: Path) -> float:
        return float(sum(objective(load_image(picture)).values()))

    return score
