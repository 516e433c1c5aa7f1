#!/usr/bin/env python3
"""Paint pairs of a photo and a painting with each candidate for the default, and make sheets.

    python benchmarks/default_recipe.py PICTURES OUT [--long-side 320] [--steps 120] [--only NAME]

PICTURES has the folders `content` and `style`. The script writes into OUT a picture and its figures
for every pair and candidate, and a sheet for every pair. It does not paint existing pictures again.
It prints a table of the figures. Several processes can share one OUT.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto.evaluation.content import feature_distance
from impasto.evaluation.styles import color_distance
from impasto.network.encoder import Encoder
from impasto.painting.stylizer import Stylizer
from impasto.pictures.files import load_image, save_image
from impasto.pictures.films import sheet
from impasto.pictures.picture import fit, resize
from impasto.settings.recipes import recipe_settings

PAIRS = {
    "castle": ("neuschwanstein.jpg", "church_at_auvers_van_gogh.jpg"),
    "kingfisher": ("kingfisher.jpg", "cafe_terrace_van_gogh.jpg"),
    "astronaut": ("astronaut.png", "pere_tanguy_van_gogh.jpg"),
    "wave": ("golden_temple.jpg", "great_wave_hokusai.jpg"),
    "kandinsky": ("cat_chelsea.png", "composition_viii_kandinsky.jpg"),
    "aqueduct": ("pont_du_gard.jpg", "langlois_bridge_van_gogh.jpg"),
    "renoir": ("red_panda_1080p.jpg", "moulin_de_la_galette_renoir.jpg"),
    "gauguin": ("chenonceau.jpg", "arearea_gauguin.jpg"),
    "duerer": ("giraffe.jpg", "lion_durer.jpg"),
    "snow": ("mont_st_michel.jpg", "inokashira_snow_hiroshige.jpg"),
    "tapestry": ("crab.jpg", "lady_and_unicorn_tapestry.jpg"),
    "flowers": ("colosseum.jpg", "flower_still_life_bosschaert.jpg"),
}
GRAM = {"statistic": "gram", "style_weight": 15.0}  # the default before this comparison
CANDIDATES: dict[str, dict[str, Any]] = {
    "gram": GRAM,
    "moments": {**GRAM, "statistic": "moments"},
    "wasserstein": {**GRAM, "statistic": "wasserstein"},
    "sliced": {**GRAM, "statistic": "sliced"},
    "histogram": {**GRAM, "statistic": "histogram"},
    "nearest": {**GRAM, "statistic": "nearest"},
    "stronger": {**GRAM, "style_weight": 40.0},
    "vgg16": {**GRAM, "network": "vgg16"},
    "gatys": {"recipe": "gatys", "schedule": "default"},
    "novak-nikulin": {"recipe": "novak-nikulin", "schedule": "default"},
    "default": {},
}


def main() -> None:
    """Paint the missing pictures, then make the sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--long-side", type=int, default=320)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--pairs", nargs="*", default=list(PAIRS))
    parser.add_argument("--only", nargs="*", default=list(CANDIDATES))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for pair in arguments.pairs:
        for name in arguments.only:
            paint(pair, name, arguments)
        make_sheet(pair, arguments)
    print_figures(arguments)


def paint(pair: str, name: str, arguments: argparse.Namespace) -> None:
    """Paint one pair with one candidate, unless another process has started it."""
    target = arguments.out / f"{pair}_{name}.json"
    try:
        os.close(os.open(target.with_suffix(".lock"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    changes = dict(CANDIDATES[name])
    settings = recipe_settings(
        changes.pop("recipe", "default"),
        schedule=changes.pop("schedule", None),
        **{"long_side": arguments.long_side, "steps": arguments.steps, **changes},
    )
    photo, painting = sources(pair, arguments.pictures)
    pastiche = Stylizer(settings).stylize(photo, painting)
    save_image(pastiche.image, target.with_suffix(".png"))
    last = pastiche.history[-1]
    target.write_text(json.dumps({"seconds": last["seconds"], "threads": arguments.threads}))
    print(pair, name, f"{last['seconds']:.0f} s", flush=True)


def sources(pair: str, pictures: Path) -> tuple[Path, Path]:
    """Return the photo and the painting of a pair."""
    photo, painting = PAIRS[pair]
    return pictures / "content" / photo, pictures / "style" / painting


@torch.no_grad()
def print_figures(arguments: argparse.Namespace) -> None:
    """Print the distances of colors and content for every pair and candidate."""
    encoder = Encoder(("relu4_2",), network="vgg16")  # which only the candidate vgg16 has optimized
    print("| pair | candidate | colors, % | content |\n|---|---|---|---|")
    for pair in arguments.pairs:
        photo, painting = (load_image(path) for path in sources(pair, arguments.pictures))
        for name in CANDIDATES:
            path = arguments.out / f"{pair}_{name}.png"
            if path.exists():
                image = load_image(path)
                colors = 100 * color_distance(image, painting)
                same = resize(photo, (image.shape[-2], image.shape[-1]))
                content = feature_distance(encoder(image), encoder(same))
                print(f"| {pair} | {name} | {colors:.1f} | {content:.2f} |")


def make_sheet(pair: str, arguments: argparse.Namespace) -> None:
    """Write a sheet of the photo, the painting and all pastiches, with captions."""
    photo, painting = (load_image(path) for path in sources(pair, arguments.pictures))
    size = fit((photo.shape[-2], photo.shape[-1]), arguments.long_side)
    cells = [("photo", resize(photo, size)), ("painting", boxed(painting, size))]
    for name in CANDIDATES:
        path = arguments.out / f"{pair}_{name}.png"
        if path.exists():
            cells.append((name, load_image(path)))
    rows = [cells[start : start + 4] for start in range(0, len(cells), 4)]
    save_image(sheet(rows), arguments.out / f"sheet_{pair}.png")


def boxed(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Shrink an image into a gray box (H, W)."""
    height, width = image.shape[-2:]
    scale = min(size[0] / height, size[1] / width)
    small = resize(image, (round(height * scale), round(width * scale)))
    box = torch.full((1, 3, *size), 0.8)
    box[..., : small.shape[-2], : small.shape[-1]] = small
    return box


if __name__ == "__main__":
    main()
