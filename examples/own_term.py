"""Paint with a term of your own in the objective.

python examples/own_term.py [LONG_SIDE]

The term keeps outlines. It compares the Laplacians of the photo and of the picture, both pooled,
as Li et al. do (Laplacian-Steered Neural Style Transfer, arXiv 1707.01253). impasto has such a term
already, the setting laplacian_weight. Here you see how one is made.
"""

import sys
from pathlib import Path

import torch
from torch.nn import functional

import impasto
from impasto.objective.terms import PictureTerm
from impasto.optimize.loop import LossName

PICTURES = Path(impasto.__file__).parent / "assets" / "examples"
PHOTO, PAINTING = PICTURES / "astronaut.jpg", PICTURES / "langlois_bridge_van_gogh.jpg"

LAPLACIAN = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]])


class Outlines(PictureTerm):
    """Mean squared difference of the Laplacians of two pooled pictures, times a weight."""

    def __init__(self, photo, weight=20.0, pools=(4, 8)):
        self.name = LossName("outlines")
        self.weight = weight
        self.photo = photo
        self.pools = [pool for pool in pools if min(photo.shape[-2:]) >= 3 * pool]

    def loss(self, image):
        differences = [
            (laplacian(image, pool) - laplacian(self.photo.to(image), pool)).square().mean()
            for pool in self.pools
        ]
        return self.weight * sum(differences, image.new_zeros(()))


def laplacian(image, pool):
    """The Laplacian of an image's luminance, averaged over squares of this many pixels."""
    pooled = functional.avg_pool2d(image.mean(1, keepdim=True), pool)
    return functional.conv2d(pooled, LAPLACIAN.to(image)[None, None])


if __name__ == "__main__":
    long_side = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    settings = impasto.Settings(long_side=long_side, steps=100)
    # The function is called once per level, with the photo at the level's size.
    stylizer = impasto.Stylizer(settings, terms=[Outlines])
    stylizer.stylize(PHOTO, PAINTING).save("own_term.png")
