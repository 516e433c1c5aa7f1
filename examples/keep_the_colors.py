"""Paint a photo in the style of a painting, but in the photo's own colors.

python examples/keep_the_colors.py PHOTO PAINTING OUT [LONG_SIDE] [STEPS]
"""

import sys

import impasto

photo, painting, out = sys.argv[1:4]
long_side = int(sys.argv[4]) if len(sys.argv) > 4 else 512
steps = int(sys.argv[5]) if len(sys.argv) > 5 else 300

# "luminance" paints light and dark only; "symmetric" gives the painting the photo's colors first,
# so that they can still wander with the strokes.
settings = impasto.Settings(color="luminance", long_side=long_side, steps=steps)
impasto.stylize(photo, painting, settings).save(out)
