"""A start picture was stretched: its circle became an ellipse in a wide picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch import Tensor

import impasto
from helpers import assert_clear_error, assert_close
from impasto.painting.guidance import Guidance
from impasto.painting.inputs import initial_image, load_inputs, scaled_style
from impasto.painting.pyramid import Level
from impasto.pictures.files import load_image, save_image
from impasto.pictures.picture import Picture, cover

pytestmark = pytest.mark.usefixtures("small_network")

SETTINGS = impasto.Settings(steps=3, long_side=96, coarsest=0)


def circle(height: int, width: int, radius: float) -> Tensor:
    """A white disc in the middle of black, (1, 3, H, W), with an edge of one px."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    far = ((y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2).sqrt()
    return (radius - far + 0.5).clamp(0, 1).expand(1, 3, -1, -1).contiguous()


def sides(image: Tensor) -> tuple[float, float]:
    """The height and the width of a disc, px, to a fraction of one."""
    gray = image.mean(1)[0]
    return float(gray.sum(0).max()), float(gray.sum(1).max())


# Sizes (H, W) of the photo, the start and its circle's radius.
SHAPES = [
    ((32, 96), (90, 60), 9),  # tall to wide
    ((96, 32), (60, 90), 9),  # wide to tall
    ((24, 96), (300, 200), 20),  # larger, reduced
    ((96, 96), (40, 64), 12),  # smaller, enlarged
    ((30, 96), (30, 31), 4),  # nearly a square
    ((50, 96), (51, 96), 20),  # a row more, which is rounding
]


@pytest.mark.parametrize(("size", "start", "radius"), SHAPES)
def test_a_circle_to_start_from_stays_a_circle(painting, size, start, radius):
    photo = torch.full((1, 3, *size), 0.0)
    inputs = load_inputs(photo, painting, SETTINGS, init=circle(*start, radius))
    image = initial_image(inputs, SETTINGS, size)
    assert image.shape == photo.shape
    height, width = sides(image)
    scale = max(size[0] / start[0], size[1] / start[1])
    assert height == pytest.approx(2 * radius * scale, abs=1.5, rel=0.03)
    assert height == pytest.approx(width, abs=1.0)
    middle = (image * torch.arange(size[1])).sum() / image.sum()
    assert float(middle) == pytest.approx((size[1] - 1) / 2, abs=0.6)


def test_a_style_to_start_from_too(photo):
    settings = SETTINGS.replace(init="style")
    for size, (height, width) in (((30, 96), (90, 60)), ((96, 40), (64, 96))):
        inputs = load_inputs(torch.zeros(1, 3, *size), circle(height, width, 6), settings)
        tall, wide = sides(initial_image(inputs, settings, size))
        assert tall == pytest.approx(wide, abs=1.0)


def test_the_command_does_not_bend_it(command, painting_file, tmp_path):
    photo, start, out = (tmp_path / f"{name}.png" for name in ("photo", "start", "out"))
    save_image(torch.full((1, 3, 24, 96), 0.5), photo)
    save_image(circle(80, 60, 12), start)
    words = ("--init", start, "--long-side", 96, "--coarsest", 0, "--steps", 1, "--threads", 1)
    outcome = command("stylize", photo, painting_file, "-qo", out, *words)
    assert outcome.code == 0, outcome.err
    assert sides(load_image(out))[1] == pytest.approx(2 * 12 * 96 / 60, abs=1.5)


def test_a_start_of_the_photos_shape_is_used_as_it_is(photo, painting):
    """An earlier result is the start of a larger picture: nothing of it may be cropped."""
    for start in (photo, photo[..., :31, :], photo[..., 1:]):
        inputs = load_inputs(photo, painting, SETTINGS, init=start)
        expected = Picture(start).image
        shown, part = cover(Picture(start), (32, 40))
        assert part == tuple(start.shape[-2:])
        if start is photo:
            assert torch.equal(initial_image(inputs, SETTINGS, (32, 40)), expected)
            assert torch.equal(shown.image, expected)


@pytest.mark.parametrize("shape", [(30, 400), (400, 30)])
def test_a_strip_of_a_painting_keeps_its_shape_at_coarse_levels(shape):
    """At 64 px, 30 : 400 would be 5 rows, fewer than the layers need; it was stretched to 8."""
    radius = 12
    picture = Picture(circle(*shape, radius))
    level = Level((48, 64), 64, 1)
    small = scaled_style(picture, level, SETTINGS.replace(long_side=400), 1.0)
    assert min(small.shape[-2:]) >= 8
    assert max(small.shape[-2:]) / min(small.shape[-2:]) == pytest.approx(400 / 30, rel=0.03)
    tall, wide = sides(small)
    assert tall == pytest.approx(wide, rel=0.05)


# ---- what cannot be cropped is refused ----------------------------------------------------------


def test_masks_and_maps_of_another_shape_are_refused(photo, painting):
    mask = torch.ones(1, 1, 40, 32)
    for guidance in (
        Guidance(masks=mask), Guidance(content_mask=mask), Guidance(style_masks=mask[..., :20, :]),
        Guidance(regions=mask.expand(1, 3, -1, -1), style_regions=painting),
        Guidance(regions=photo * 0 + 1, style_regions=mask[..., :20, :].expand(1, 3, -1, -1)),
    ):  # fmt: skip
        with pytest.raises(impasto.ImageError, match="any size with these proportions is allowed"):
            load_inputs(photo, painting, SETTINGS, guidance=guidance)


def test_a_mask_that_its_file_turns_fits_as_it_is_seen(photo, painting, tmp_path):
    """Orientation 6: the file's left half is the top half of the picture."""
    stored = np.zeros((40, 32), np.uint8)
    stored[:, :16] = 255
    turned = PillowImage.fromarray(stored).transpose(PillowImage.Transpose.ROTATE_90)
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "mask.png", exif=exif)
    tall = photo.transpose(2, 3).contiguous()
    guidance = Guidance(masks=tmp_path / "mask.png")
    mask = load_inputs(tall, painting, SETTINGS, guidance=guidance).layout.parts[0].mask
    assert_close(mask[0, 0], stored / 255, relative=1e-6)
    with pytest.raises(impasto.ImageError, match="is 32 x 40 px"):
        load_inputs(photo, painting, SETTINGS, guidance=guidance)


def test_frames_of_another_shape_are_refused(command, photo, painting_file, tmp_path):
    pytest.importorskip("cv2")
    save_image(photo, tmp_path / "frames" / "1.png")
    save_image(photo.transpose(2, 3), tmp_path / "frames" / "2.png")
    outcome = command(
        "video", tmp_path / "frames", painting_file, "-qo", tmp_path / "out", "--long-side", 48,
        "--steps", 1, "--frame-steps", 1,
    )  # fmt: skip
    assert_clear_error(outcome, "2.png is 32 x 40 px", "all frames of a folder must have one size")


def test_masks_of_frames_in_another_shape_are_refused(command, photo, painting_file, tmp_path):
    pytest.importorskip("cv2")
    for number in range(2):
        save_image(photo, tmp_path / "frames" / f"{number}.png")
        save_image(torch.ones(1, 3, 32, 40 - 8 * number), tmp_path / "masks" / f"{number}.png")
    outcome = command(
        "video", tmp_path / "frames", painting_file, "-qo", tmp_path / "out", "--long-side", 48,
        "--steps", 1, "--frame-steps", 1, "--mask", tmp_path / "masks",
    )  # fmt: skip
    assert_clear_error(outcome, "1.png is 32 x 32 px", "any size with these proportions is allowed")
