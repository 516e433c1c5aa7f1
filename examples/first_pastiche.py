"""The shortest program: paint a bundled photo in the style of a bundled painting.

python examples/first_pastiche.py [LONG_SIDE]
"""

import sys
from pathlib import Path

import impasto

PICTURES = Path(impasto.__file__).parent / "assets" / "examples"
PHOTO, PAINTING = PICTURES / "neuschwanstein.jpg", PICTURES / "church_at_auvers_van_gogh.jpg"

settings = impasto.Settings(long_side=int(sys.argv[1]) if len(sys.argv) > 1 else 256)
pastiche = impasto.stylize(PHOTO, PAINTING, settings)
pastiche.save("first_pastiche.png")
print("first_pastiche.png", pastiche)
