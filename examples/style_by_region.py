"""Paint the bird in one style and its surroundings in another; then only its surroundings.

python examples/style_by_region.py [LONG_SIDE]
"""

import sys
from pathlib import Path

import impasto

PICTURES = Path(impasto.__file__).parent / "assets" / "examples"
PHOTO, BIRD = PICTURES / "kingfisher.jpg", PICTURES / "kingfisher_mask.png"
NIGHT, DAY = PICTURES / "cafe_terrace_van_gogh.jpg", PICTURES / "langlois_bridge_van_gogh.jpg"

long_side = int(sys.argv[1]) if len(sys.argv) > 1 else 256
settings = impasto.Settings(long_side=long_side, steps=100, feather=4)

# A style is painted where its mask is white. "not:" exchanges black and white.
both = impasto.Guidance(masks=[BIRD, f"not:{BIRD}"])
impasto.stylize(PHOTO, [NIGHT, DAY], settings, guidance=both).save("style_by_region.png")

# Areas that no mask paints stay the photo, pixel for pixel.
around = impasto.Guidance(masks=[f"not:{BIRD}"])
impasto.stylize(PHOTO, NIGHT, settings, guidance=around).save("kept_bird.png")
