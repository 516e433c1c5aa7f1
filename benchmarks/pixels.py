#!/usr/bin/env python3
"""Record the pixels of small runs, one for each feature of the program, and compare them.

    python benchmarks/pixels.py            # compare with benchmarks/results/pixels.json
    python benchmarks/pixels.py --record   # write that file again
    python benchmarks/pixels.py --only gram tiles

Each run gives one SHA-256 sum of float32 pixels, or of sound samples. The sums depend on the
machine: on its processor, its compiler and the number of threads, which is 2 here. To check that
your change of the code changes no picture, record before it and compare after it, on one machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

import impasto
from impasto import Guidance, Settings, Stylizer, recipe_settings

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "pixels.json"
EXAMPLES = Path(impasto.__file__).parent / "assets" / "examples"
PHOTO = EXAMPLES / "neuschwanstein.jpg"
PAINTING = EXAMPLES / "church_at_auvers_van_gogh.jpg"
SECOND = EXAMPLES / "cafe_terrace_van_gogh.jpg"
BIRD, MASK = EXAMPLES / "kingfisher.jpg", EXAMPLES / "kingfisher_mask.png"
SIDE, STEPS = 96, 6
SMALL: dict[str, Any] = {"long_side": SIDE, "steps": STEPS, "coarsest": 48}
SHORT = Settings(**SMALL, optimizer="adam")


def digest(image: torch.Tensor) -> str:
    """Return the SHA-256 sum of a tensor's numbers."""
    return hashlib.sha256(image.detach().cpu().float().contiguous().numpy().tobytes()).hexdigest()


def pastiche(
    settings: Settings | None = None,
    styles: Any = PAINTING,
    photo: Path = PHOTO,
    guidance: Guidance | None = None,
    tile: int | None = None,
    form: str = "simple",
    **options: Any,
) -> torch.Tensor:
    """Paint one small picture."""
    options["guidance"] = form
    settings = (settings or Settings()).replace(**{**SMALL, **options})
    stylizer = Stylizer(settings, device="cpu", memory=8e9, tile=tile)
    return stylizer.stylize(photo, styles, guidance=guidance).image


def recipe(name: str) -> Callable[[], torch.Tensor]:
    """Return a run with the settings of a recipe, on one level."""
    return lambda: pastiche(recipe_settings(name), coarsest=0)


def statistic(name: str) -> Callable[[], torch.Tensor]:
    """Return a run with a statistic."""
    more = {"activation_shift": -1.0} if name in ("shifted", "chained") else {}
    return lambda: pastiche(statistic=name, **more)


def flat_map(path: Path, size: tuple[int, int], split: float) -> Path:
    """Write a map of two flat colors."""
    from PIL import Image

    width, height = size
    image = Image.new("RGB", size, (255, 0, 0))
    image.paste((0, 0, 255), (0, 0, int(width * split), height))
    image.save(path)
    return path


def regions() -> torch.Tensor:
    """Pair regions of the photo with regions of the painting."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        maps = []
        for name, picture, split in (("photo.png", PHOTO, 0.5), ("style.png", PAINTING, 0.3)):
            with Image.open(picture) as image:
                maps.append(flat_map(Path(folder) / name, image.size, split))
        return pastiche(guidance=Guidance(regions=maps[0], style_regions=[maps[1]]))


def clip(**video: Any) -> torch.Tensor:
    """Paint six frames of a square that moves over a photo, and return them in one tensor."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        frames, painted = Path(folder) / "frames", Path(folder) / "painted"
        frames.mkdir()
        with Image.open(BIRD) as opened:
            photo = opened.convert("RGB").resize((96, 54))
        for index in range(6):
            frame = photo.copy()
            frame.paste((230, 40, 40), (10 + 4 * index, 20, 26 + 4 * index, 36))
            frame.save(frames / f"{index:04}.png")
        options = {"frame_steps": 3, **video}
        impasto.stylize_video(
            str(frames), PAINTING, str(painted), Settings(**SMALL), impasto.VideoSettings(**options)
        )
        names = sorted(painted.glob("*.png"))
        return torch.cat([impasto.load_image(name) for name in names])


def sound() -> torch.Tensor:
    """Give one second of a computed melody the style of computed noise."""
    rate = 16000
    time_ = torch.arange(rate) / rate
    melody = 0.5 * torch.sin(2 * torch.pi * (220 + 220 * (time_ > 0.5).float()) * time_)
    noise = torch.rand(rate, generator=torch.Generator().manual_seed(3)) - 0.5
    pulses = noise * ((time_ * 8) % 1 < 0.3).float()
    sounds = [impasto.Sound(each[None], rate) for each in (melody, pulses)]
    result = impasto.stylize_sound(*sounds, impasto.AudioSettings(steps=8))
    return result.sound.samples


RUNS: dict[str, Callable[[], torch.Tensor]] = {
    **{f"recipe {name}": recipe(name) for name in impasto.RECIPES},
    **{
        f"statistic {name}": statistic(name)
        for name in (
            "gram", "shifted", "chained", "moments", "wasserstein", "sliced", "histogram", "nearest"
        )
    },
    **{
        f"guidance {form}": lambda form=form: pastiche(
            photo=BIRD,
            styles=[PAINTING, SECOND],
            guidance=Guidance(masks=[MASK, f"not:{MASK}"]),
            form=form,
        )
        for form in ("simple", "inside", "all")
    },
    "regions": regions,
    "content mask": lambda: pastiche(
        photo=BIRD, guidance=Guidance(content_mask=MASK, masks=[MASK]), feather=3.0
    ),
    "two styles": lambda: pastiche(styles=[PAINTING, SECOND], style_weight=(15.0, 5.0)),
    **{
        f"color {name}": lambda name=name: pastiche(color=name)
        for name in ("luminance", "symmetric", "cholesky", "pca", "histogram")
    },
    "tiles": lambda: pastiche(long_side=320, coarsest=160, steps=4, tile=128),
    "tiles with masks": lambda: pastiche(
        photo=BIRD, guidance=Guidance(masks=[MASK]), long_side=320, coarsest=0, steps=3, tile=128
    ),
    "normalized gradients": lambda: pastiche(normalize_gradients=True),
    "adam": lambda: pastiche(optimizer="adam", averaging=0.9),
    "bfloat16": lambda: pastiche(precision="bfloat16"),
    "init noise": lambda: pastiche(init="noise", seed=7),
    "deferred": lambda: pastiche(steps=44, deferred_share=0.05, coarsest=0, long_side=64),
    "torch convolutions": lambda: pastiche(padding="replicate", pooling="average"),
    "recolor": lambda: impasto.recolor(impasto.load_image(PHOTO), impasto.load_image(PAINTING)),
    "texture": lambda: impasto.texture(PAINTING, (64, 80), SHORT).image,
    "texture seamless": lambda: impasto.texture(PAINTING, (64, 64), SHORT, seamless=True).image,
    "reconstruct content": lambda: impasto.reconstruct(PHOTO, "relu3_1", SHORT).image,
    "reconstruct style": lambda: impasto.reconstruct(PHOTO, "relu3_1", SHORT, of="style").image,
    "dream": lambda: impasto.dream(PHOTO, settings=SHORT).image,
    "clip": clip,
    "clip in passes": lambda: clip(passes=2),
    "sound": sound,
}  # fmt: skip


def main() -> None:
    """Do the chosen runs, and print or record their sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="write the results file again")
    parser.add_argument("--only", nargs="+", default=[], help="runs whose names have these words")
    parser.add_argument("--file", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    chosen = {
        name: run
        for name, run in RUNS.items()
        if not arguments.only or any(word in name for word in arguments.only)
    }
    known = json.loads(arguments.file.read_text()) if arguments.file.exists() else {}
    changed = []
    for name, run in chosen.items():
        start = time.perf_counter()
        found = digest(run())
        same = known.get(name) == found
        changed += [] if same else [name]
        print(f"{'same   ' if same else 'CHANGED'} {name} {found[:12]} "
              f"{time.perf_counter() - start:.1f} s", flush=True)  # fmt: skip
        if arguments.record:
            known[name] = found
    if arguments.record:
        arguments.file.write_text(json.dumps(known, indent=1) + "\n")
    elif changed:
        sys.exit(f"{len(changed)} of {len(chosen)} runs have other pixels: {', '.join(changed)}")


if __name__ == "__main__":
    main()
