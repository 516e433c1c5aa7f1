"""Use the generator: print the losses, save a picture of each level, stop after 60 seconds.

python examples/watch_it_grow.py [LONG_SIDE]
"""

import sys
from pathlib import Path

import impasto

PICTURES = Path(impasto.__file__).parent / "assets" / "examples"
PHOTO, PAINTING = PICTURES / "neuschwanstein.jpg", PICTURES / "church_at_auvers_van_gogh.jpg"

long_side = int(sys.argv[1]) if len(sys.argv) > 1 else 256
stylizer = impasto.Stylizer(impasto.recipe_settings("default", long_side=long_side, steps=60))
level = 0
for step in stylizer.steps(PHOTO, PAINTING):
    losses = "  ".join(f"{name} {loss:.3f}" for name, loss in step.losses.items())
    print(f"{step.index}/{step.count}  {losses}")
    if step.level > level:
        level = step.level
        impasto.save_image(step.image, f"level_{level}.png")
    if step.seconds > 60:
        break
