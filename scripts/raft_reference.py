#!/usr/bin/env python3
"""Write tests/fixtures/raft.safetensors: the flow of torchvision's RAFT, weights from a formula.

    python scripts/raft_reference.py       # needs torchvision; the fixture was made with 0.29.1

The script needs no trained weights: formula_weights and formula_pictures give the same numbers on
every machine, and the test computes them again.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

FIXTURE = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "raft.safetensors"
UPDATES = 4
# The fixture stores every 5th row and 7th column. So it contains each of the 8 × 8 positions inside
# a cell of the enlarged flow.
ROWS, COLUMNS = 5, 7


def formula_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return pseudo-random tensors of these shapes, by name; variances are above 0."""
    weights = {}
    for name, shape in shapes.items():
        seed = zlib.crc32(name.encode()) % 10007
        index = torch.arange(math.prod(shape), dtype=torch.float64)
        noise = (torch.sin(index * 12.9898 + seed) * 43758.5453).remainder(1) * 2 - 1
        if name.endswith("running_var"):
            values = 1 + 0.5 * noise
        elif len(shape) == 4:
            values = noise * math.sqrt(6 / math.prod(shape[1:]))  # He et al. 2015, uniform
        else:
            values = (1 if name.endswith("weight") else 0) + 0.1 * noise
        weights[name] = values.float().view(shape)
    return weights


def formula_pictures() -> tuple[Tensor, Tensor]:
    """Return two pictures of waves, 128 × 144 px; the second is moved by (3, -2) px."""
    rows = torch.arange(128, dtype=torch.float64)[:, None]
    columns = torch.arange(144, dtype=torch.float64)[None]

    def waves(x: Tensor, y: Tensor) -> Tensor:
        phases = (0.31 * x + 0.07 * y, 0.11 * x - 0.23 * y, 0.05 * x * y / 40 + 0.4 * y)
        return torch.stack([0.5 + 0.5 * torch.sin(phase) for phase in phases])[None].float()

    return waves(columns, rows), waves(columns - 3, rows + 2)


def main() -> None:
    """Run torchvision's raft_large and store a part of its flow."""
    from safetensors.torch import save_file
    from torchvision import __version__
    from torchvision.models.optical_flow import raft_large

    network = raft_large(weights=None).eval()
    state = network.state_dict()
    shapes = {key: tuple(x.shape) for key, x in state.items() if "num_batches" not in key}
    network.load_state_dict(formula_weights(shapes), strict=False)
    first, second = formula_pictures()
    with torch.no_grad():
        flow = network(2 * first - 1, 2 * second - 1, num_flow_updates=UPDATES)[-1]
    kept = flow[..., ::ROWS, ::COLUMNS].contiguous()
    FIXTURE.parent.mkdir(exist_ok=True)
    save_file({"flow": kept}, FIXTURE, {"torchvision": __version__.partition("+")[0]})
    print(f"{FIXTURE}: {tuple(kept.shape)}, from {kept.min():.3f} to {kept.max():.3f} px")


if __name__ == "__main__":
    main()
