"""Paint a clip in the style of a painting. Needs impasto[video]. Writes painted.mp4.

python examples/style_a_video.py [LONG_SIDE]
"""

import sys
import tempfile
from pathlib import Path

import impasto
from impasto.video.io.frames import open_clip, read_frames

side = int(sys.argv[1]) if len(sys.argv) > 1 else 320
pictures = Path(impasto.__file__).parent / "assets" / "examples"


def pan(folder: Path, count: int = 6) -> Path:
    """Make a clip: a camera moves over a photo."""
    photo = impasto.load_image(pictures / "neuschwanstein.jpg", long_side=2 * side)
    for number in range(count):
        left = number * side // 40
        frame = photo[..., : side * 9 // 16, left : left + side]
        impasto.save_image(frame, folder / f"{number:03d}.png")
    return folder


with tempfile.TemporaryDirectory() as folder:
    film = impasto.stylize_video(
        pan(Path(folder)),
        pictures / "cafe_terrace_van_gogh.jpg",
        "painted.mp4",
        impasto.Settings(long_side=side, steps=side // 2),
        impasto.VideoSettings(frame_steps=max(2, side // 12)),
        overwrite=True,
    )
print(f"{film.path}: {film.frames} frames")
last = list(read_frames(open_clip(film.path)))[-1]
impasto.save_image(last.image, "painted-last-frame.png")
