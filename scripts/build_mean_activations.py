"""Measure the mean activations by which the setting `normalized` divides VGG's filters.

    python scripts/build_mean_activations.py PHOTOS_FOLDER

Gatys, Ecker & Bethge (CVPR 2016, section 2) rescale each filter of VGG so that its mean activation
over pictures and positions is 1. This script measures those means on the CC0 photos named below, at
a long side of 512 px, with max pooling as in the training. It stores them beside the weights and
prints the SHA-256 sum of the file. A filter that is 0 on all photos keeps its scale (mean 1).
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file

from impasto.network.encoder import Encoder
from impasto.pictures.files import load_image
from impasto.settings.layers import conv_names

PHOTOS = (
    "berlin_cathedral.jpg",
    "cat_chelsea.png",
    "coffee.png",
    "crab.jpg",
    "dandelions.jpg",
    "gateway_of_india_dusk.jpg",
    "golden_temple.jpg",
    "kingfisher.jpg",
    "mont_st_michel.jpg",
    "red_panda_1080p.jpg",
)
LONG_SIDE = 512
OUTPUT = Path(__file__).parent.parent / "src/impasto/assets/mean_activations.safetensors"


@torch.no_grad()
def mean_activations(network: str, folder: Path) -> dict[str, torch.Tensor]:
    """Return each convolution's channel means after the ReLU, over all photos."""
    names = conv_names(network)
    relus = {name: name.replace("conv", "relu") for name in names}
    encoder = Encoder(tuple(relus.values()), network=network, padding="zero")
    sums = {name: torch.zeros(()).double() for name in names}
    counts = dict.fromkeys(names, 0)
    for photo in PHOTOS:
        features = encoder(load_image(folder / photo, long_side=LONG_SIDE))
        for name, relu in relus.items():
            flat = features[relu][0].flatten(1).double()
            sums[name] = sums[name] + flat.sum(dim=1)
            counts[name] += flat.shape[1]
    means = {name: sums[name] / counts[name] for name in names}
    for name, mean in means.items():
        silent = int((mean <= 0).sum())
        typical, largest = float(mean.median()), float(mean.max())
        print(f"{network} {name}: median {typical:.4g}, largest {largest:.4g}, silent {silent}")
    return {
        f"{network}.{name}": torch.where(mean > 0, mean, torch.ones_like(mean)).float()
        for name, mean in means.items()
    }


def main() -> None:
    """Measure both networks and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with the photos")
    folder = parser.parse_args().folder
    means = {**mean_activations("vgg16", folder), **mean_activations("vgg19", folder)}
    about = {"photos": ", ".join(PHOTOS), "long_side": str(LONG_SIDE), "pooling": "max"}
    save_file(means, OUTPUT, metadata=about)
    print(f"{hashlib.sha256(OUTPUT.read_bytes()).hexdigest()}  {OUTPUT.name}")


if __name__ == "__main__":
    main()
