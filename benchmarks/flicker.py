#!/usr/bin/env python3
"""Measure how much a painted clip flickers, compared with painting it frame by frame.

benchmarks/flicker.py --data DIR --work DIR paint CASE each     paints each frame separately
benchmarks/flicker.py --data DIR --work DIR paint CASE video    paints it as a clip
benchmarks/flicker.py --data DIR --work DIR report              measures and draws strips

DIR has the folders video, content, style and masks. Both methods have 30 evaluations a frame and
the same seed and start. The clip is painted with one flow (DIS) and measured with another
(Farnebäck), or with the exact motion if that is known. Figures are written to
benchmarks/results/flicker.json, strips to docs/images.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from measuring import IMAGES, RESULTS, machine
from moving_pictures import ExactClip, passing, traveling
from torch import Tensor

from impasto.painting.inputs import load_inputs
from impasto.painting.level_targets import StyleTargets
from impasto.painting.pyramid import Level
from impasto.painting.stylizer import Stylizer
from impasto.pictures.files import load_image, save_image
from impasto.pictures.films import sheet
from impasto.settings.clips import VideoSettings
from impasto.settings.pictures import Settings
from impasto.storage import write_file
from impasto.video.io.frames import open_clip, read_frames
from impasto.video.motion.flicker import warping_error
from impasto.video.motion.flow import optical_flow, reliable
from impasto.video.stylize_video import stylize_video

SIDE, COUNT, STEPS = 320, 24, 30
METHODS = ("each", "video")
SETTINGS = Settings(long_side=SIDE, steps=STEPS)
VIDEO = VideoSettings(frame_steps=STEPS)
SHOWN = (1, 8, 16, 23)  # frames of a strip


@dataclass(frozen=True)
class Case:
    """A painting and a clip, which is a file or a synthetic clip with known motion."""

    style: str
    file: str = ""
    exact: Callable[[Path], ExactClip] | None = None


def _travel(data: Path) -> ExactClip:
    photo = data / "content" / "dandelions.jpg"
    return traveling(photo, size=(180, SIDE), pan=(2.3, 0.7), zoom=1.004, count=COUNT)


def _passing(data: Path) -> ExactClip:
    content = data / "content"
    return passing(
        content / "dandelions.jpg", content / "kingfisher.jpg",
        data / "masks" / "kingfisher.subject.png",
        size=(180, SIDE), height=0.6, step=(4.3, 0.6), pan=(-1.2, 0.0), count=COUNT,
    )  # fmt: skip


CASES = {
    "pan": Case("great_wave_hokusai.jpg", "bbb_pan_640x360.mp4"),
    "forest": Case("langlois_bridge_van_gogh.jpg", "bbb_forest_pan_480x270.mp4"),
    "bunny": Case("composition_viii_kandinsky.jpg", "bigbuckbunny_1280x720.mp4"),
    "travel": Case("church_at_auvers_van_gogh.jpg", exact=_travel),
    "passing": Case("harvest_la_crau_van_gogh.jpg", exact=_passing),
}


def photos_of(case: Case, data: Path, folder: Path) -> list[Tensor]:
    """Return the photos of a clip; write them into the folder first if it does not exist."""
    if not folder.is_dir():
        if case.exact is not None:
            images = list(case.exact(data).frames())
        else:
            clip = open_clip(data / "video" / case.file)
            pairs = zip(range(COUNT), read_frames(clip, long_side=SIDE), strict=False)
            images = [frame.image for _, frame in pairs]
        for number, image in enumerate(images, 1):
            save_image(image, folder / f"frame-{number:06d}.png")
    return frames_in(folder)


def frames_in(folder: Path) -> list[Tensor]:
    """Return the frames in a folder."""
    return [load_image(path) for path in sorted(folder.glob("frame-*.png"))]


def paint(name: str, method: str, data: Path, work: Path, changes: dict[str, Any]) -> None:
    """Paint a case with one method."""
    case = CASES[name]
    photos = photos_of(case, data, work / f"{name}-photos")
    style, target = data / "style" / case.style, work / f"{name}-{method}"
    start = time.perf_counter()
    if method == "each":
        stylizer = Stylizer(SETTINGS)
        for number, photo in enumerate(photos, 1):
            path = target / f"frame-{number:06d}.png"
            if not path.is_file():
                stylizer.stylize(photo, style).save(path)
    else:
        video = VIDEO.replace(**changes)
        stylize_video(work / f"{name}-photos", style, target, SETTINGS, video)
    seconds = time.perf_counter() - start
    print(f"{name} {method}: {seconds:.0f} s")


def terms(images: Sequence[Tensor], photos: Sequence[Tensor], style: Path) -> dict[str, float]:
    """Return the mean style and content terms of the stored pastiches."""
    stylizer = _stylizer()
    inputs = load_inputs(photos[0], [style], SETTINGS)
    size = (photos[0].shape[-2], photos[0].shape[-1])
    (work,) = stylizer.allot([Level(size, SIDE, 1)])
    styles = StyleTargets(stylizer.encoder, inputs, SETTINGS, work)
    sums = {"content": 0.0, "style": 0.0}
    for image, photo in zip(images, photos, strict=True):
        objective = stylizer.objective(load_inputs(photo, [style], SETTINGS), work, styles=styles)
        with torch.no_grad():
            losses = objective(image)
        sums = {key: value + float(losses[key]) for key, value in sums.items()}
    return {key: value / len(images) for key, value in sums.items()}


@cache
def _stylizer() -> Stylizer:
    return Stylizer(SETTINGS)


def flicker(images: Sequence[Tensor], motion: dict[tuple[int, int], tuple[Tensor, Tensor]],
            distances: Sequence[int]) -> dict[int, float]:  # fmt: skip
    """Return the warping error of a clip at some distances."""
    found = warping_error(
        images, lambda a, b: motion[a, b][0], lambda a, b: motion[a, b][1], distances=distances
    )
    return {distance: error.squared for distance, error in found.items()}


def motions(
    photos: Sequence[Tensor], exact: ExactClip | None, distances: Sequence[int]
) -> dict[tuple[int, int], tuple[Tensor, Tensor]]:
    """Return flow and mask from each frame to earlier ones, exact or by Farnebäck."""
    known = {}
    for distance in distances:
        for late in range(distance, len(photos)):
            early = late - distance
            if exact is not None:
                known[late, early] = (
                    exact.flow(late, early), (~exact.occluded(late, early)).float()
                )  # fmt: skip
                continue
            there = optical_flow(photos[late], photos[early], method="farneback")
            back = optical_flow(photos[early], photos[late], method="farneback")
            known[late, early] = (there, reliable(there, back))
    return known


def sharpness(image: Tensor) -> float:
    """Return the mean gradient of the brightness, which blur reduces."""
    gray = image.mean(1)[0]
    down, across = torch.gradient(gray)
    return float((down.square() + across.square()).sqrt().mean())


def report(data: Path, work: Path, methods: Sequence[str]) -> list[dict[str, Any]]:
    """Measure every painted case, and draw its strip."""
    rows = []
    for name, case in CASES.items():
        painted = [each for each in methods if len(frames_in(work / f"{name}-{each}")) == COUNT]
        if not painted:
            continue
        photos = frames_in(work / f"{name}-photos")
        exact = case.exact(data) if case.exact else None
        distances = (1, 8)
        motion = motions(photos, exact, distances)
        row: dict[str, Any] = {"case": name, "style": case.style}
        row["photo"] = {"warping_error": flicker(photos, motion, distances)}
        for method in painted:
            images = frames_in(work / f"{name}-{method}")
            row[method] = {
                "warping_error": flicker(images, motion, distances),
                **terms(images, photos, data / "style" / case.style),
                "sharpness": [round(sharpness(images[i]), 4) for i in (0, 8, 16, 23)],
            }
        print(json.dumps(row))
        rows.append(row)
        strip = [[(f"photo, frame {i + 1}", photos[i]) for i in SHOWN]]
        for method in painted:
            images = frames_in(work / f"{name}-{method}")
            label = {"each": "frame by frame", "video": "as a clip"}.get(method, method)
            strip.append([(f"{label}, frame {i + 1}", images[i]) for i in SHOWN])
        save_image(sheet(strip), IMAGES / f"video_{name}.jpg")
    return rows


def main() -> None:
    """Paint a case, or report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("what", choices=("paint", "report"))
    parser.add_argument("rest", nargs="*")
    given = parser.parse_args()
    if given.what == "paint":
        changes = {k: json.loads(v) for k, v in (each.split("=") for each in given.set)}
        paint(given.rest[0], given.rest[1], given.data, given.work, changes)
        return
    rows = report(given.data, given.work, given.rest or METHODS)
    known = {"machine": machine(), "side": SIDE, "frames": COUNT, "steps": STEPS,
             "video": VIDEO.to_dict(), "cases": rows}  # fmt: skip
    text = json.dumps(known, indent=1, ensure_ascii=False) + "\n"
    write_file(RESULTS / "flicker.json", text.encode())


if __name__ == "__main__":
    main()
