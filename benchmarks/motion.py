#!/usr/bin/env python3
"""Compare optical flow and the detection of hidden pixels with motion that is known exactly.

    python benchmarks/motion.py [--data FOLDER] [--methods dis farneback] [--report] [--draw]

Each clip has two frames, 640 px wide: a photo that pans and zooms, or a cut-out that moves over a
photo. FOLDER has photos (anywhere below it) and masks, NAME.subject.png or NAME_mask.png. Without
it, only the clips of the package's examples are measured. Results are stored in
benchmarks/results/motion.json. --report prints the stored results, --draw makes
docs/images/flow.jpg.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measuring import EXAMPLES, IMAGES, RESULTS, machine, markdown, read_results, write_results
from moving_pictures import ExactClip, passing, traveling

from impasto.pictures.files import save_image
from impasto.video.motion.flow import optical_flow, reliable

KEPT = RESULTS / "motion.json"
PICTURE = IMAGES / "flow.jpg"
WIDTH = 640
NEAR = 1.0  # px: a smaller error counts as correct
TOLERANCE = 2  # px: allowed distance between a hidden pixel and its detection
PHOTOS = ("neuschwanstein", "kingfisher", "machu_picchu", "berlin_cathedral")
# Pan (x, y) in px a frame, zoom.
JOURNEYS = (((1.5, 0.7), 1.0), ((8.3, -3.6), 1.0), ((20.4, 6.2), 1.0), ((0.0, 0.0), 1.03),
            ((3.3, 1.2), 0.97), ((0.0, 0.0), 1.08))  # fmt: skip
# Cut-out, photo behind it, height as a share of the frame's height.
CUTOUTS = (
    ("kingfisher", "neuschwanstein", 0.7), ("astronaut", "neuschwanstein", 0.8),
    ("crab", "machu_picchu", 0.45), ("raccoon", "dandelions", 0.6),
    ("astronaut", "berlin_cathedral", 0.8), ("kingfisher", "coffee", 0.5),
    ("crab", "kingfisher", 0.4), ("raccoon", "golden_temple", 0.5),
)  # fmt: skip
# Cut-out's step and photo's pan in px a frame; the cut-out's zoom.
STEPS = (((3.4, 1.2), (0.0, 0.0), 1.0), ((8.3, -2.6), (-2.2, 0.6), 1.0),
         ((-16.5, 4.4), (2.5, 0.0), 1.02))  # fmt: skip


def journeys(data: Path) -> Iterator[tuple[str, ExactClip]]:
    """Yield a clip for each journey over each available photo."""
    for name in PHOTOS:
        photo = find(data, name)
        for pan, zoom in JOURNEYS if photo else ():
            size = (round(WIDTH * 2 / 3), WIDTH)
            yield f"{name}, {_motion(pan, zoom)}", traveling(photo, size=size, pan=pan, zoom=zoom)


def cutouts(data: Path) -> Iterator[tuple[str, ExactClip]]:
    """Yield a clip for each step of each available pair of cut-out and photo."""
    for name, behind, height in CUTOUTS:
        files = find(data, name), find_mask(data, name), find(data, behind)
        for step, pan, zoom in STEPS if all(files) else ():
            cutout, mask, photo = files
            clip = passing(photo, cutout, mask, size=(360, WIDTH), height=height, step=step,
                           pan=pan, zoom=zoom)  # fmt: skip
            yield f"{name} before {behind}, {_motion(step, zoom)}", clip


def find(data: Path, name: str) -> Path | None:
    """Return the photo of this name below a folder."""
    found = sorted(path for end in ("jpg", "png") for path in data.rglob(f"{name}.{end}"))
    return found[0] if found else None


def find_mask(data: Path, name: str) -> Path | None:
    """Return the mask of this photo below a folder."""
    names = (f"{name}.subject.png", f"{name}_mask.png")
    found = sorted(path for each in names for path in data.rglob(each))
    return found[0] if found else None


def measure(clip: ExactClip, method: str) -> dict[str, float]:
    """Return the accuracy of a flow on a clip's two frames, as shares in [0, 1]."""
    first, second = clip.frames()
    start = time.process_time()
    flow = optical_flow(first, second, method=method)
    seconds = time.process_time() - start
    back = optical_flow(second, first, method=method)
    near = (flow - clip.flow(0, 1)).norm(dim=1, keepdim=True) < NEAR
    hidden, trusted = clip.occluded(0, 1), reliable(flow, back) > 0
    recall, precision = overlap(~trusted, hidden)
    return {
        "visible": _share(near[~hidden]),
        "all": _share(near),
        "reliable": _share(near[trusted]),
        "recall": recall,
        "precision": precision,
        "hidden": _share(hidden),
        "distrusted": _share(~trusted),
        "seconds": seconds,
    }


def overlap(found: Tensor, true: Tensor) -> tuple[float, float]:
    """Return recall and precision of the found pixels, at TOLERANCE px."""
    return _share(_widened(found)[true]), _share(_widened(true)[found])


def _widened(mask: Tensor) -> Tensor:
    steps = torch.arange(-TOLERANCE, TOLERANCE + 1)
    disc = (steps[:, None].square() + steps.square() <= TOLERANCE**2).float()[None, None]
    return functional.conv2d(mask.float(), disc, padding=TOLERANCE) > 0


def _share(mask: Tensor) -> float:
    return float(mask.float().mean()) if mask.numel() else 1.0


def _motion(step: Sequence[float], zoom: float) -> str:
    moved = "" if step == (0.0, 0.0) else f"({step[0]:g}, {step[1]:g}) px"
    return " ".join(each for each in (moved, "" if zoom == 1 else f"× {zoom:g}") if each)


# ---- tables and pictures ------------------------------------------------------------------------


def report(kept: dict[str, Any]) -> str:
    """Return the stored results as two tables for each flow, with the minimum of each column."""
    parts = [kept["machine"]]
    for method, runs in kept["methods"].items():
        pans = [run for run in runs if run["kind"] == "journey"]
        cuts = [run for run in runs if run["kind"] == "cutout"]
        head = ["photo and motion", "within 1 px, of pixels inside both", "of all"]
        rows = [[run["name"], *_percent(run, "visible", "all")] for run in pans]
        parts += [f"{method}", markdown(head, [*rows, _least(pans, "visible", "all")])]
        head = ["cut-out and motion", "within 1 px, of visible pixels", "of reliable pixels",
                "recall", "precision", "hidden", "unreliable"]  # fmt: skip
        keys = ("visible", "reliable", "recall", "precision")
        rows = [[run["name"], *_percent(run, *keys, "hidden", "distrusted")] for run in cuts]
        parts += [markdown(head, [*rows, [*_least(cuts, *keys), "", ""]])]
        seconds = sorted(run["seconds"] for run in cuts)[len(cuts) // 2]
        parts += [f"{seconds:.2f} s of processor time for a flow (median, {WIDTH} × 360 px)"]
    return "\n\n".join(parts)


def _percent(run: dict[str, Any], *keys: str) -> list[str]:
    return [f"{100 * run[key]:.1f} %" for key in keys]


def _least(runs: list[dict[str, Any]], *keys: str) -> list[str]:
    return ["**minimum**", *(f"**{100 * min(run[key] for run in runs):.1f} %**" for key in keys)]


def colored(flow: Tensor, largest: float) -> Tensor:
    """Show a flow: direction as hue, length as saturation; white means no motion."""
    length = (flow.norm(dim=1, keepdim=True) / largest).clamp(max=1)
    angle = torch.atan2(flow[:, 1:], flow[:, :1])
    thirds = torch.tensor([0.0, 2 * math.pi / 3, -2 * math.pi / 3]).view(1, 3, 1, 1)
    return 1 - length * (0.5 - 0.5 * torch.cos(angle - thirds))


def draw(data: Path, methods: Sequence[str]) -> None:
    """Draw a cut-out with its flow and hidden pixels: the true ones, and those of each method."""
    name, clip = list(cutouts(data))[1]
    first, second = clip.frames()
    truth = clip.flow(0, 1)
    largest = float(truth.norm(dim=1).max())
    hidden = clip.occluded(0, 1).float().expand(-1, 3, -1, -1)
    rows = [[first, second], [colored(truth, largest), 1 - hidden]]
    for method in methods:
        flow = optical_flow(first, second, method=method)
        back = optical_flow(second, first, method=method)
        rows.append([colored(flow, largest), reliable(flow, back).expand(-1, 3, -1, -1)])
    sheet = torch.cat([torch.cat(row, dim=3) for row in rows], dim=2)
    save_image(functional.avg_pool2d(sheet, 2), PICTURE)
    print(f"{PICTURE}: {name}; frames, truth, {', '.join(methods)}")


def main() -> None:
    """Measure, store and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=EXAMPLES, help="photos and masks")
    parser.add_argument("--methods", nargs="+", default=["dis", "farneback"])
    parser.add_argument("--report", action="store_true", help="print the stored results")
    parser.add_argument("--draw", action="store_true", help="make docs/images/flow.jpg")
    given = parser.parse_args()
    if given.draw:
        draw(given.data, given.methods)
    elif not given.report:
        kept = {**read_results(KEPT, methods={}), "machine": machine()}
        for method in given.methods:
            runs = kept["methods"][method] = []
            for kind, clips in (("journey", journeys), ("cutout", cutouts)):
                for name, clip in clips(given.data):
                    runs.append({"kind": kind, "name": name, **measure(clip, method)})
                    print(method, name, {k: round(v, 3) for k, v in runs[-1].items()
                                         if isinstance(v, float)}, flush=True)  # fmt: skip
        write_results(KEPT, kept)
    if given.report:
        print(report(read_results(KEPT)))


if __name__ == "__main__":
    main()
