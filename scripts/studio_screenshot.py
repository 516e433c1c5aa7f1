#!/usr/bin/env python3
"""Take the screenshot docs/images/studio_video.jpg while a clip is painted. Needs chromium."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
import PIL.Image
from playwright.sync_api import Page, sync_playwright

from impasto.pictures.examples import EXAMPLES

PHOTO, PAINTING = "neuschwanstein.jpg", "cafe_terrace_van_gogh.jpg"
TARGET = Path(__file__).parents[1] / "docs/images/studio_video.jpg"
# The clip's size (W, H) in px, its number of frames, and the px from one frame to the next.
SIZE, FRAMES, STEP = (640, 360), 48, 6
TOP = 60  # px of the photo above the filmed area
SHOWN = 9  # the frame that is being painted on the screenshot
PATIENCE = 600_000  # ms


def main() -> None:
    """Start a studio, paint a clip, take the screenshot."""
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "castle.mp4")
        studio = subprocess.Popen(
            [sys.executable, "-m", "impasto", "studio", "--port", "0", "--data", f"{folder}/data"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert studio.stderr is not None
        address = studio.stderr.readline().split()[-1]
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
                )
                page = browser.new_page(viewport={"width": 1280, "height": 1010})
                page.set_default_timeout(PATIENCE)
                page.goto(address)
                page.wait_for_selector("body[data-ready=yes]")
                picture = paint(page, clip)
                browser.close()
        finally:
            studio.terminate()
            studio.wait()
        (Path(folder) / "page.png").write_bytes(picture)
        PIL.Image.open(Path(folder) / "page.png").convert("RGB").save(TARGET, quality=80)


def make_clip(path: Path) -> Path:
    """Make a clip: a camera moves over a photo."""
    photo = PIL.Image.open(EXAMPLES / PHOTO).convert("RGB")
    width = SIZE[0] + STEP * FRAMES
    pixels = np.asarray(photo.resize((width, round(photo.height * width / photo.width))))
    pixels = pixels[TOP : TOP + SIZE[1]]
    with av.open(str(path), "w") as made:
        stream = made.add_stream("libx264", rate=24)
        (stream.width, stream.height), stream.pix_fmt = SIZE, "yuv420p"
        for index in range(FRAMES):
            view = np.ascontiguousarray(pixels[:, index * STEP : index * STEP + SIZE[0]])
            made.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        made.mux(stream.encode())
    return path


def paint(page: Page, clip: Path) -> bytes:
    """Paint a preview sheet, then the clip; return a screenshot after some frames."""
    page.get_by_role("tab", name="Video", exact=True).click()
    page.set_input_files("input[data-role=clip]", clip)
    page.set_input_files("input[data-role=styles]", EXAMPLES / PAINTING)
    for name, value in (("long_side", 256), ("frame_steps", 10), ("steps", 80)):
        page.fill(f"#video-{name} input[type=number]", str(value))
        page.keyboard.press("Tab")
    page.wait_for_selector("#shown-estimate-video >> text=about")
    page.click("#start-preview")
    page.wait_for_selector(".easel[data-state=done]")
    page.click("#start-video")
    page.wait_for_function(
        f"/Frame\\s+{SHOWN} of/.test(document.querySelector('#easel .facts').innerText)"
    )
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(700)
    return page.screenshot()


if __name__ == "__main__":
    main()
