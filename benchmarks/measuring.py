"""Tools of the benchmarks: a neutral objective, the network's plain time, a watch, the pairs."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from impasto.network.encoder import Encoder
from impasto.network.weights import load_weights
from impasto.objective.layer_weights import seen_layers
from impasto.objective.objective import Objective
from impasto.objective.targets import StyleTarget, Targets, measure_content, measure_style
from impasto.pictures.files import load_image, save_image
from impasto.pictures.picture import fit, resize
from impasto.settings.recipes import recipe_settings
from impasto.storage import write_file
from impasto.style import chosen_statistic

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
IMAGES = ROOT / "docs" / "images"
EXAMPLES = ROOT / "src" / "impasto" / "assets" / "examples"
PAIRS = {
    "castle": ("neuschwanstein.jpg", "church_at_auvers_van_gogh.jpg"),
    "kingfisher": ("kingfisher.jpg", "cafe_terrace_van_gogh.jpg"),
    "astronaut": ("astronaut.jpg", "langlois_bridge_van_gogh.jpg"),
    "terrace": ("neuschwanstein.jpg", "cafe_terrace_van_gogh.jpg"),
}
CASES = [("castle", 256), ("kingfisher", 256), ("astronaut", 256), ("terrace", 256),
         ("castle", 512), ("kingfisher", 512)]  # fmt: skip
# The number of VGG-19's convolutions up to relu5_1 in each block.
_CONVOLUTIONS = (2, 2, 4, 4, 1)
# A longer gap between two readings of the clock, in seconds, means that the run was suspended.
_GAP = 2.0
_LOOK_EVERY = 0.05  # seconds; shorter intervals would slow down the measured program


def machine() -> str:
    """Describe the processor, cores, threads and torch version."""
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
    """Build VGG-19 up to relu5_1 from torch's modules: frozen, NCHW, out-of-place ReLU."""
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
    """Return the minimum time of a plain forward and backward pass to relu5_1 at (H, W)."""
    network = plain_network()
    image = torch.rand(1, 3, *size, requires_grad=True)
    return min(timed(network, image) for _ in range(repeats + 1))


def timed(network: nn.Module, image: Tensor) -> float:
    """Return the seconds of one forward and backward pass."""
    start = time.perf_counter()
    torch.autograd.grad(network(image).sum(), image)
    return time.perf_counter() - start


def neutral_objective(content: Path, style: Path) -> Callable[[Path], float]:
    """Return a function that scores a picture file by neural-style's own objective.

    The score is of the saved 8-bit pixels. tests/painting/test_peer.py compares this objective with
    the losses that neural-style prints.
    """
    settings = recipe_settings("neural-style")
    encoder = Encoder(
        seen_layers(settings), padding=settings.padding, pixel_range=settings.pixel_range
    )
    statistic = chosen_statistic(settings)
    targets = Targets(
        measure_content(encoder, load_image(content), seen_layers(settings, "content")),
        (StyleTarget(
            measure_style(
                encoder, load_image(style), seen_layers(settings, "style"), statistic
            ),
            settings.largest_style_weight,
        ),),
    )  # fmt: skip
    objective = Objective(encoder, targets, settings)

    @torch.no_grad()
    def score(picture: Path) -> float:
        return float(sum(objective(load_image(picture)).values()))

    return score


# ---- running programs ---------------------------------------------------------------------------


def prepare(pair: str, side: int, folder: Path) -> tuple[Path, Path]:
    """Write content and style as PNG at their final size; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, source in zip(("content.png", "style.png"), PAIRS[pair], strict=True):
        image = load_image(EXAMPLES / source)
        save_image(resize(image, fit((image.shape[-2], image.shape[-1]), side)), folder / name)
        written.append(folder / name)
    return written[0], written[1]


def environment() -> dict[str, str]:
    """Return the environment for a program that uses as many threads as this process.

    Python may write its bytecode cache, as it does by default.
    """
    threads = str(torch.get_num_threads())
    known = {name: each for name, each in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**known, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}


class Watch:
    """Counts the seconds since its creation, without the time in which the run was suspended.

    Ctrl-Z and a sleeping laptop stop this process and the measured program. The watch recognizes
    this by a long gap between two calls of `look`.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last = now()
        self.seconds = 0.0

    def look(self) -> float:
        """Return the seconds so far; must be called at least every 2 seconds."""
        now = self._now()
        self.seconds += now - self._last if now - self._last < _GAP else 0.0
        self._last = now
        return self.seconds


def watch(
    command: Sequence[str | Path],
    folder: Path,
    *,
    pictures: str = "out*.png",
    until: str = "",
    environment: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Run a program, and record its peak memory and when each of its pictures appeared.

    Args:
        command: the program and its arguments.
        folder: its working directory.
        pictures: a pattern of the pictures' names; older pictures are deleted.
        until: end the program when a picture of this name exists.
        environment: of the program; None: that of this process.

    Returns: {"seen": {path: seconds}, "seconds": …, "peak_mb": …, "log": …, "code": …}
    """
    for old in folder.glob(pictures):
        old.unlink()
    log = folder / "log.txt"
    seen: dict[Path, float] = {}
    clock, peak, ended = Watch(), 0.0, False
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            running = True
            while running:
                running = process.poll() is None
                seconds = clock.look()
                for path in folder.glob(pictures):
                    seen.setdefault(path, seconds)
                peak = max(peak, peak_mb(process.pid) if running else 0.0)
                if until and not ended and (folder / until).exists():
                    process.terminate()
                    ended = True
                time.sleep(_LOOK_EVERY)
        finally:
            process.kill()  # no effect if it has ended
    return {
        "seen": seen,
        "seconds": clock.seconds,
        "peak_mb": peak,
        "log": log.read_text(),
        "code": 0 if ended else process.returncode,
    }


def demand_success(run: dict[str, Any], command: str) -> None:
    """Exit with the output of a program if it failed."""
    if run["code"]:
        sys.exit(f"{command} failed:\n{run['log'][-2000:]}")


def peak_mb(pid: int) -> float:
    """Return the peak memory of a process so far, in MB (Linux only; elsewhere 0)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match[1]) / 1024 if match else 0.0


# ---- results ------------------------------------------------------------------------------------


def first_at_or_below(trace: Sequence[Sequence[float]], level: float) -> float | None:
    """Return the seconds of the first saved picture that is as good; None: there is none.

    Nothing is interpolated between two pictures.

    Args: trace: (number, seconds, objective) of each picture, in the order of time.
    """
    return next((seconds for _, seconds, score in trace if score <= level), None)


def read_results(path: Path, **nothing: Any) -> dict[str, Any]:
    """Return the stored results; `nothing`, or an empty list of runs, if there are none."""
    if not path.exists():
        return nothing or {"runs": []}
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return kept


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Write results atomically."""
    write_file(path, (json.dumps(results, indent=1, ensure_ascii=False) + "\n").encode())


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
