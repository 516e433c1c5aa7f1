#!/usr/bin/env python3
"""Make the studio's thumbnails: one for each recipe and each bundled picture."""

from __future__ import annotations

import argparse
from pathlib import Path

import PIL.Image

import impasto
from impasto.pictures.examples import EXAMPLES
from impasto.settings.recipes import RECIPES
from impasto.studio.jobs.uploads import example_names

LOOK = Path(__file__).parents[1] / "src/impasto/studio/web/static"
PHOTO, PAINTING = "neuschwanstein.jpg", "cafe_terrace_van_gogh.jpg"
SIZE = (192, 128)  # px of a thumbnail, (W, H)
SIDE = 216  # long side of a painted picture, px
MOST_STEPS = 200
MOST_BYTES = 15_000


def main() -> None:
    """Make all thumbnails, or those of the named recipes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="recipes (default: all, and bundled pictures)")
    names = parser.parse_args().names
    for name in names or RECIPES:
        keep(paint(name), LOOK / "recipes" / f"{name}.jpg")
    for name in [] if names else example_names():
        if not name.endswith("_mask.png"):
            target = LOOK / "gallery" / f"{Path(name).stem}.jpg"
            keep(PIL.Image.open(EXAMPLES / name), target)


def paint(recipe: str) -> PIL.Image.Image:
    """Paint a small picture with a recipe, in at most MOST_STEPS steps."""
    content = "langlois_bridge_van_gogh.jpg" if recipe == "strokes" else PHOTO
    settings = impasto.recipe_settings(recipe)
    settings = settings.replace(long_side=SIDE, steps=min(settings.steps, MOST_STEPS))
    if recipe == "notebook":  # larger steps replace its 5000 small ones
        settings = settings.replace(learning_rate=0.02)
    return impasto.stylize(EXAMPLES / content, EXAMPLES / PAINTING, settings).to_pillow()


def keep(picture: PIL.Image.Image, path: Path) -> None:
    """Crop a picture to a thumbnail, and save it with the best quality that MOST_BYTES allow."""
    picture = picture.convert("RGB")
    (width, height), (wide, high) = picture.size, SIZE
    scale = min(width / wide, height / high)
    box = (wide * scale, high * scale)
    left, top = (width - box[0]) / 2, (height - box[1]) / 2
    small = picture.resize(SIZE, box=(left, top, left + box[0], top + box[1]),
                           resample=PIL.Image.Resampling.LANCZOS)  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    for quality in range(88, 30, -4):
        small.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            break
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
