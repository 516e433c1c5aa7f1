"""Blend two styles in one picture: three quarters of one, one quarter of the other.

python examples/blend_two_styles.py [LONG_SIDE]
"""

import sys
from pathlib import Path

import impasto

PICTURES = Path(impasto.__file__).parent / "assets" / "examples"
PHOTO = PICTURES / "neuschwanstein.jpg"
STYLES = [PICTURES / "cafe_terrace_van_gogh.jpg", PICTURES / "langlois_bridge_van_gogh.jpg"]

long_side = int(sys.argv[1]) if len(sys.argv) > 1 else 256
# One weight for each style. 20 for both would give equal shares.
settings = impasto.Settings(long_side=long_side, steps=100, style_weight=(30, 10))
impasto.stylize(PHOTO, STYLES, settings).save("blend_two_styles.png")
