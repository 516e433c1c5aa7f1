"""Paint with a style statistic of your own.

python examples/own_statistic.py [LONG_SIDE]

The statistic is the correlation of every two channels of a layer: their covariance, divided by
both standard deviations. It says which features occur together, whatever the painting's contrast.
It follows from sums over positions, so impasto differentiates it and computes it in tiles.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import impasto
from impasto.style.statistic import Summed, Sums, gram_distance, positions, sum_up

PICTURES = Path(impasto.__file__).parent / "assets" / "examples"
PHOTO, PAINTING = PICTURES / "kingfisher.jpg", PICTURES / "cafe_terrace_van_gogh.jpg"


@dataclass(frozen=True)
class Correlation(Summed):
    """Correlation of every two channels, (B, C, C), in [-1, 1]."""

    def accumulate(self, *maps, guide=None) -> Sums:
        flat = positions(*maps)
        return sum_up(flat, flat, guide)

    def finish(self, sums: Sums):
        mean = sums.totals / sums.count
        covariance = sums.products / sums.count - mean[:, :, None] * mean[:, None]
        deviation = covariance.diagonal(dim1=1, dim2=2).clamp(min=1e-4).sqrt()
        return covariance / (deviation[:, :, None] * deviation[:, None])

    def distance(self, measured, target):
        return gram_distance(measured, target)


if __name__ == "__main__":
    long_side = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    # Each statistic needs a style weight of its own. With 20, the default, the bird disappears.
    settings = impasto.Settings(long_side=long_side, steps=100, style_weight=2.0)
    settings = settings.replace(statistic=Correlation())
    impasto.stylize(PHOTO, PAINTING, settings).save("own_statistic.png")
