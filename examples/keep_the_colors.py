"""Paint a photo in the style of a painting, but keep the photo's colors.

python examples/keep_the_colors.py [LONG_SIDE]
"""

import sys
from pathlib import Path

import impasto

PICTURES = Path(impasto.__file__).parent / "assets" / "examples"
PHOTO, PAINTING = PICTURES / "kingfisher.jpg", PICTURES / "cafe_terrace_van_gogh.jpg"

# "luminance" paints only light and dark. "symmetric" first gives the photo's colors to the
# painting; they can then move with the strokes.
long_side = int(sys.argv[1]) if len(sys.argv) > 1 else 256
settings = impasto.Settings(color="luminance", long_side=long_side, steps=100)
impasto.stylize(PHOTO, PAINTING, settings).save("keep_the_colors.png")
