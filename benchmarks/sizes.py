#!/usr/bin/env python3
"""Measure the cost of a size: memory, seconds a step, time until the first picture.

    python benchmarks/sizes.py [--only sizes first steps] [--sides 256 512 …]
        [--memories none 6GB 3GB] [--steps 4] [--report]

Every figure is of the installed command in a separate process. "none" means without --memory. The
script skips a size that would need more memory than is free, estimated from its pixels. Results are
stored at once in benchmarks/results/sizes.json. --report prints and draws the stored results.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measuring import (
    EXAMPLES,
    IMAGES,
    PAIRS,
    RESULTS,
    ROOT,
    demand_success,
    environment,
    machine,
    markdown,
    plain_network,
    prepare,
    read_results,
    timed,
    watch,
    write_results,
)

from impasto.machine import free_memory
from impasto.pictures.files import load_image, save_image
from impasto.pictures.picture import resize
from impasto.storage import write_file

KEPT = RESULTS / "sizes.json"
PICTURE = IMAGES / "sizes.png"
SIDES = (256, 512, 768, 1024, 1536, 2048, 3072, 4096)
MEMORIES = ("none", "6GB", "3GB")
FIRST_SIDES = (256, 512, 1024)
OBJECTIVES = ("neural-style", "default")
# The goal: a step costs no more than a plain forward and backward pass to relu5_1.
_LARGEST_RATIO = 1.0
_STEP_SIDE = 512
_REPEATS = 7
_WARM_UP = 2
# The command, which also prints the time of each step. Only the library knows it exactly.
_TELLING = """
import sys
from impasto.optimize.loop import Step
from impasto.__main__ import main

plain = Step.to_dict

def to_dict(step):
    print("step done after", step.seconds, file=sys.stderr, flush=True)
    return plain(step)

Step.to_dict = to_dict
main()
"""
Run = dict[str, Any]


# ---- cost of a size -----------------------------------------------------------------------------


def photo(side: int, folder: Path) -> Path:
    """Write a 4:3 photo with this long side, cut from a bundled photo and resized."""
    image = load_image(EXAMPLES / PAIRS["kingfisher"][0])
    height, width = image.shape[-2:]
    left = (width - height * 4 // 3) // 2
    path = folder / f"photo_{side}.png"
    cut = image[..., left : left + height * 4 // 3]
    save_image(resize(cut, (side * 3 // 4, side)), path)
    return path


def measure_size(side: int, memory: str, steps: int, folder: Path) -> Run:
    """Run a few steps on one level; return the seconds a step and the peak memory."""
    options = [] if memory == "none" else ["--memory", memory]
    command = [
        *("stylize", photo(side, folder).name, str(EXAMPLES / PAIRS["kingfisher"][1])),
        *("-o", "out.png", "--long-side", str(side), "--coarsest", "0", "--steps", str(steps)),
        *(*options, "--force", "--quiet"),
    ]
    run = watch([sys.executable, "-c", _TELLING, *command], folder, environment=environment())
    # The last step is printed twice.
    done = sorted({float(each) for each in re.findall(r"step done after (\S+)", run["log"])})
    each = [later - sooner for sooner, later in itertools.pairwise(done)]
    if run["code"] or not each:
        words = (run["log"].strip() or "killed").splitlines()[-1]  # other lines may name folders
        return {"side": side, "memory": memory, "failed": words}
    return {
        "side": side,
        "megapixels": side * (side * 3 // 4) / 1e6,
        "memory": memory,
        "step_seconds": each,
        "seconds": run["seconds"],
        "peak_mb": run["peak_mb"],
    }


def measure_sizes(kept: Run, arguments: argparse.Namespace, folder: Path) -> None:
    """Measure sizes from small to large with every limit, until memory does not suffice."""
    for memory in arguments.memories:
        before: Run | None = None
        for side in sorted(arguments.sides):
            if before is not None and memory == "none":
                needed = before["peak_mb"] * (side / before["side"]) ** 2
                free = free_memory(torch.device("cpu"))
                if free is not None and needed * 1e6 > free:
                    print(f"{side} px: skipped, needs about {needed / 1000:.0f} GB")
                    break
            run = measure_size(side, memory, arguments.steps, folder)
            print(run, flush=True)
            _keep(kept, "sizes", run, ("side", "memory"))
            if "failed" in run:
                break
            before = run


# ---- time until the first picture ---------------------------------------------------------------


def measure_first(kept: Run, arguments: argparse.Namespace, folder: Path) -> None:
    """Measure the time until the help and the first pictures appear."""
    times = [_seconds_of([sys.executable, "-m", "impasto", "--help"]) for _ in range(_REPEATS)]
    kept["help_seconds"] = times
    write_results(KEPT, kept)
    for side in FIRST_SIDES:
        content, style = prepare("castle", side, folder)
        command = [
            *(sys.executable, "-m", "impasto", "stylize", content.name, style.name),
            *("-o", "out.png", "--long-side", str(side), "--frames", "frames", "--every", "1"),
            *("--force", "--quiet"),
        ]
        last = "frames/step-010.png"  # of the default's 400 steps
        run = watch(command, folder, pictures="frames/step-*.png", until=last,
                    environment=environment())  # fmt: skip
        demand_success(run, " ".join(command[1:]))
        seen = {path.stem: seconds for path, seconds in run["seen"].items()}
        waited = [seen[f"step-{number}"] for number in ("001", "002", "010")]
        _keep(kept, "first", {"side": side, "seconds": waited}, ("side",))


def _seconds_of(command: Sequence[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


# ---- a step against a plain forward and backward ------------------------------------------------


def measure_steps(kept: Run, arguments: argparse.Namespace, folder: Path) -> None:
    """Measure steps with and without the compiled kernel, each in a separate process."""
    prepare("castle", _STEP_SIDE, folder)
    for objective in OBJECTIVES:
        for kernel in ("on", "off"):
            command = [sys.executable, __file__, "--alternate", objective, str(folder)]
            own = environment() | {"IMPASTO_KERNEL": kernel}
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=own)
            run = {"objective": objective, "kernel": kernel, **json.loads(done.stdout)}
            _keep(kept, "steps", run, ("objective", "kernel"))


def alternate(objective: str, folder: Path) -> Run:
    """Time steps of `Stylizer.steps` and plain forward and backward passes in turn.

    A step includes the network, all losses, the gradient and L-BFGS.
    """
    from impasto.kernels.kernel import compiled_kernel
    from impasto.painting.stylizer import Stylizer
    from impasto.settings.recipes import recipe_settings

    settings = recipe_settings(
        objective, schedule="default", long_side=_STEP_SIDE, coarsest=0, steps=400
    )
    steps = Stylizer(settings).steps(folder / "content.png", folder / "style.png")
    size = load_image(folder / "content.png").shape[-2:]
    network, image = plain_network(), torch.rand(1, 3, *size, requires_grad=True)
    own, theirs = [], []
    for _ in range(_WARM_UP + _REPEATS):
        start = time.perf_counter()
        next(steps)
        own.append(time.perf_counter() - start)
        theirs.append(timed(network, image))
    return {
        "size": list(size),
        "compiled": compiled_kernel() is not None,
        "step_seconds": own[_WARM_UP:],
        "plain_seconds": theirs[_WARM_UP:],
    }


# ---- reporting ----------------------------------------------------------------------------------


def _keep(kept: Run, part: str, run: Run, key: Sequence[str]) -> None:
    """Replace the former run of the same kind in the results, and write the results."""
    others = [each for each in kept.get(part, []) if any(each[name] != run[name] for name in key)]
    kept[part] = [*others, run]
    kept["machine"] = machine()
    write_results(KEPT, kept)


def report(kept: Run) -> str:
    """Return the tables of all available results in Markdown."""
    parts = [_table_of_sizes(kept["sizes"])] if kept.get("sizes") else []
    if kept.get("first"):
        rows = [[f"{run['side']} px", *(f"{each:.1f} s" for each in run["seconds"])]
                for run in sorted(kept["first"], key=lambda run: run["side"])]  # fmt: skip
        head = ["long side", "start picture", "first step", "ninth step"]
        parts.append(markdown(head, rows))
    if kept.get("help_seconds"):
        parts.append(f"`impasto --help`: {statistics.median(kept['help_seconds']):.2f} s.")
    if kept.get("steps"):
        parts.append(_table_of_steps(kept["steps"]))
        parts.append("The plain pass goes to relu5_1, as neural-style's objective does. The "
                     "default's objective ends at relu4_2.")  # fmt: skip
    return "\n\n".join([*parts, f"{kept['machine']}."])


def _table_of_sizes(runs: Sequence[Run]) -> str:
    memories = list(dict.fromkeys(run["memory"] for run in runs))
    found = {(run["side"], run["memory"]): run for run in runs if "failed" not in run}
    head, rows = ["size"], []
    for memory in memories:
        limit = "" if memory == "none" else f", `--memory {memory}`"
        head += [f"memory{limit}", f"a step{limit}", f"per megapixel{limit}"]
    for side in sorted({run["side"] for run in runs}):
        row = [f"{side} × {side * 3 // 4}"]
        for memory in memories:
            run = found.get((side, memory))
            if run is None:
                row += ["–"] * 3
                continue
            step = statistics.median(run["step_seconds"])
            row += [f"{run['peak_mb'] / 1000:.2f} GB", f"{step:.2f} s",
                    f"{step / run['megapixels']:.2f} s"]  # fmt: skip
        rows.append(row)
    return markdown(head, rows)


def _table_of_steps(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        pairs = [(choose(run["step_seconds"]), choose(run["plain_seconds"]))
                 for choose in (min, statistics.median)]  # fmt: skip
        ratios = [step / plain for step, plain in pairs]
        times = [f"{step:.2f} s / {plain:.2f} s" for step, plain in pairs]
        rows.append([run["objective"], "compiled" if run["compiled"] else "torch's", *times,
                     *(f"{ratio:.2f}" for ratio in ratios),
                     "yes" if max(ratios) <= _LARGEST_RATIO else "no"])  # fmt: skip
    head = ["objective", "convolutions", "minimum: step / plain", "median: step / plain",
            "ratio of minima", "of medians", f"at most {_LARGEST_RATIO}"]  # fmt: skip
    return markdown(head, rows)


def draw(runs: Sequence[Run]) -> bytes:
    """Draw memory and seconds a step against the long side, both logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    runs = sorted((run for run in runs if "failed" not in run), key=lambda run: run["side"])
    memory = [run["peak_mb"] / 1000 for run in runs]
    _draw_values(left, runs, memory, "memory of the whole process, GB")
    _draw_values(right, runs, [statistics.median(run["step_seconds"]) for run in runs],
                 "seconds a step")  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_values(axes: Any, runs: Sequence[Run], values: Sequence[float], title: str) -> None:
    """Draw a line per memory limit, with its name at its end."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set(xscale="log", yscale="log", xlabel="long side, px (4:3)")
    axes.set_title(title, loc="left", fontsize=11)
    names = list(dict.fromkeys(run["memory"] for run in runs))
    lines = [[(run["side"], value) for run, value in zip(runs, values, strict=True)
              if run["memory"] == name] for name in names]  # fmt: skip
    for number, (name, line) in enumerate(zip(names, lines, strict=True)):
        width = 1.6 * (len(names) - number)  # so that no line hides another
        axes.plot(*zip(*line, strict=True), "-", color=f"C{number}", linewidth=width)
        # Lines that end at the same size have enough distance for their names.
        beside = sorted(each[-1] for each in lines if each[-1][0] == line[-1][0])
        lift = 7 * (beside.index(line[-1]) - (len(beside) - 1) / 2)
        label = "at once" if name == "none" else f"--memory {name}"
        offset: tuple[float, float] = (7, lift)
        if line[-1][0] < runs[-1]["side"]:  # other lines continue: write below or above them
            here = [value for each in lines for side, value in each if side == line[-1][0]]
            offset = (7, -5) if line[-1][1] == min(here) else (-7, 9)
        axes.annotate(label, line[-1], offset, color=f"C{number}", textcoords="offset points",
                      ha="left" if offset[0] > 0 else "right", va="center",
                      fontsize=10)  # fmt: skip
    axes.set_xticks(sorted({run["side"] for run in runs}))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * (high / low) ** 0.28)  # room for the names
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Do the chosen measurements, print the tables and draw."""
    parts = {"sizes": measure_sizes, "first": measure_first, "steps": measure_steps}
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=list(parts), choices=list(parts))
    parser.add_argument("--sides", nargs="*", type=int, default=list(SIDES), metavar="PX")
    parser.add_argument("--memories", nargs="*", default=list(MEMORIES), metavar="LIMIT")
    parser.add_argument("--steps", type=int, default=4, help="per size; the first is not counted")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "sizes")
    parser.add_argument("--report", action="store_true", help="only show stored results")
    parser.add_argument("--alternate", nargs=2, metavar=("OBJECTIVE", "FOLDER"),
                        help="for internal use")  # fmt: skip
    arguments = parser.parse_args()
    if arguments.alternate:
        objective, folder = arguments.alternate
        print(json.dumps(alternate(objective, Path(folder))))
        return
    folder = arguments.build.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    kept = read_results(KEPT, sizes=[])
    for part in [] if arguments.report else arguments.only:
        parts[part](kept, arguments, folder)
    if not any(kept.get(part) for part in parts):
        sys.exit("there are no stored results yet")
    print(report(kept))
    if any("failed" not in run for run in kept["sizes"]):
        write_file(PICTURE, draw(kept["sizes"]))


if __name__ == "__main__":
    main()
