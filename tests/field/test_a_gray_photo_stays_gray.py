"""If all inputs are gray, so is the result: a gray photo in a gray style got a color cast."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch import Tensor

import impasto
from impasto.painting.guidance import Guidance
from impasto.pictures.files import load_image, save_image
from impasto.settings.pictures import ColorName

pytestmark = pytest.mark.usefixtures("small_network")

QUICK = {"steps": 6, "long_side": 48, "coarsest": 0}
SETTINGS = impasto.Settings(**QUICK)
COLORS = [each for each in ColorName.__args__ if each != "style"]


def gray(image: Tensor) -> Tensor:
    return image.mean(1, keepdim=True).repeat(1, 3, 1, 1)


def is_exactly_gray(image: Tensor) -> bool:
    return torch.equal(image[:, :1], image[:, 1:2]) and torch.equal(image[:, :1], image[:, 2:])


@pytest.fixture
def gray_photo(photo):
    return gray(photo)


@pytest.fixture
def gray_painting(painting):
    return gray(painting)


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"init": "noise"}, {"init": "style"}, {"optimizer": "adam"}, {"coarsest": 24},
        {"long_side": 64}, {"statistic": "gram", "init": "noise"}, {"clamp": False},
        {"averaging": 0.9, "optimizer": "adam"}, {"normalized_pixels": True, "optimizer": "adam"},
        *({"color": color} for color in COLORS),
    ],
    ids=str,
)  # fmt: skip
def test_a_pastiche(gray_photo, gray_painting, changes):
    steps = []
    picture = impasto.stylize(gray_photo, gray_painting, SETTINGS.replace(**changes)).image
    for step in impasto.Stylizer(SETTINGS.replace(**changes)).steps(gray_photo, gray_painting):
        steps.append(step.image)
    assert is_exactly_gray(picture)
    assert float(picture.std()) > 0.05
    assert all(image.shape[1] == 3 and is_exactly_gray(image) for image in steps)


@pytest.mark.parametrize("recipe", ["print", "strokes", "neural-style", "notebook"])
def test_recipes(gray_photo, gray_painting, recipe):
    settings = impasto.recipe_settings(recipe).replace(**QUICK, precision="float32", compiled=False)
    assert is_exactly_gray(impasto.stylize(gray_photo, gray_painting, settings).image)


def test_it_is_as_good_as_in_color(gray_photo, gray_painting):
    """On the gray axis, the loss falls about as far as with all colors."""
    settings = SETTINGS.replace(steps=20)
    totals = []
    for start in (gray_photo, gray_photo + torch.tensor([0.02, 0, 0]).view(1, 3, 1, 1)):
        stylizer = impasto.Stylizer(settings)
        *_, last = stylizer.steps(gray_photo, gray_painting, init=start.clamp(0, 1))
        totals.append(last.total)
    assert totals[0] < 1.25 * totals[1]


@pytest.mark.parametrize("color", COLORS)
def test_the_photos_colors_are_grays_whatever_the_painting(gray_photo, painting, color):
    settings = SETTINGS.replace(color=color)
    assert is_exactly_gray(impasto.stylize(gray_photo, painting, settings).image)


def test_a_gray_start_and_masks(gray_photo, gray_painting):
    start = gray_photo.flip(-1)
    mask = torch.zeros(1, 1, 32, 40)
    mask[..., 5:30] = 1
    picture = impasto.stylize(
        gray_photo, [gray_painting, gray_painting.flip(2)], SETTINGS.replace(feather=3.0),
        guidance=Guidance(masks=[mask, None]), init=start,
    )  # fmt: skip
    assert is_exactly_gray(picture.image)


def test_colors_that_nobody_sees(gray_photo, gray_painting):
    """The hidden pixels of photo and painting are red."""
    alpha = torch.ones(1, 1, 36, 32)
    alpha[..., :10, :10] = 0
    hidden = torch.where(alpha > 0, gray_painting, torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))
    picture = impasto.stylize(gray_photo, torch.cat([hidden, alpha], 1), SETTINGS)
    assert is_exactly_gray(picture.image)


def test_a_gray_that_was_rounded_by_its_file(gray_photo, gray_painting, tmp_path):
    """JPEG, and a conversion between profiles, leave a gray off by a step or two of 255."""
    off = (gray_photo * 255).round()
    off[:, 2] += (torch.arange(40) % 3 == 0).float()
    save_image(gray_painting, tmp_path / "painting.jpg")
    picture = impasto.stylize((off / 255).clamp(0, 1), tmp_path / "painting.jpg", SETTINGS)
    assert is_exactly_gray(picture.image)


def test_files_of_one_channel(gray_photo, gray_painting, command, tmp_path):
    files = []
    for number, image in enumerate((gray_photo, gray_painting)):
        array = (image[0, 0].numpy() * 255).astype(np.uint8)
        mode = ("L", "LA")[number]
        PillowImage.fromarray(array).convert(mode).save(tmp_path / f"{number}.png")
        files.append(tmp_path / f"{number}.png")
    out = tmp_path / "out.png"
    words = ("--steps", 6, "--long-side", 48, "--coarsest", 32, "--threads", 1, "--quiet")
    assert command("stylize", *files, "-o", out, *words).code == 0
    assert is_exactly_gray(load_image(out))


def test_textures(gray_painting):
    for seamless in (False, True):
        settings = SETTINGS.replace(coarsest=32)
        picture = impasto.texture(
            [gray_painting, gray_painting.flip(3)], (48, 56), settings, seamless=seamless
        )
        assert is_exactly_gray(picture.image)
        assert float(picture.image.std()) > 0.05


def test_reconstructions_and_dreams(gray_photo):
    small = SETTINGS.replace(optimizer="adam", steps=4)
    for of in ("content", "style"):
        assert is_exactly_gray(impasto.reconstruct(gray_photo, "relu3_1", small, of=of).image)
    assert is_exactly_gray(impasto.dream(gray_photo, "relu3_1", small, jitter=4).image)


@pytest.mark.parametrize("method", ["symmetric", "cholesky", "pca", "histogram"])
def test_recolored_pictures(gray_photo, gray_painting, photo, method):
    for strength in (1.0, 0.5):
        picture = impasto.recolor(gray_photo, gray_painting, method=method, strength=strength)
        assert is_exactly_gray(picture)
    if method != "histogram":  # a linear map from colors to grays
        assert is_exactly_gray(impasto.recolor(photo, gray_painting, method=method))


@pytest.mark.parametrize("video", [{}, {"passes": 2}, {"draft": True}])
def test_clips(gray_photo, gray_painting, tmp_path, video):
    pytest.importorskip("cv2")
    frames, out = tmp_path / "frames", tmp_path / "out"
    for number in range(3):
        save_image(gray_photo.roll(2 * number, -1), frames / f"{number}.jpg")
    settings = impasto.VideoSettings(frame_steps=2, **video)
    impasto.stylize_video(frames, gray_painting, out, SETTINGS, settings)
    assert all(is_exactly_gray(load_image(path)) for path in out.glob("*.png"))
    assert len(list(out.glob("*.png"))) == 3


def test_a_gray_film_file(gray_photo, gray_painting, tmp_path):
    pytest.importorskip("av")
    pytest.importorskip("cv2")
    from impasto.video.io.frames import open_clip, read_frames
    from impasto.video.preview import preview_frames

    frames, film = tmp_path / "frames", tmp_path / "film.mp4"
    for number in range(3):
        save_image(gray_photo.roll(2 * number, -1), frames / f"{number}.png")
    video = impasto.VideoSettings(frame_steps=2)
    impasto.stylize_video(frames, gray_painting, film, SETTINGS, video)
    impasto.stylize_video(film, gray_painting, tmp_path / "again", SETTINGS, video)
    assert all(is_exactly_gray(load_image(path)) for path in (tmp_path / "again").glob("*.png"))
    for frame in read_frames(open_clip(film)):
        assert float((frame.image - gray(frame.image)).abs().max()) < 0.5 / 255
    for _, image in preview_frames(film, gray_painting, SETTINGS):
        assert is_exactly_gray(image)


# ---- what has color keeps it --------------------------------------------------------------------


def test_one_colored_input_is_enough_for_color(gray_photo, gray_painting, photo, painting):
    for content, style, init in (
        (photo, gray_painting, None),
        (gray_photo, painting, None),
        (gray_photo, gray_painting, photo),
    ):
        picture = impasto.stylize(content, style, SETTINGS, init=init).image
        assert not is_exactly_gray(picture)


def test_a_clip_that_begins_gray_may_become_colored(photo, painting, gray_painting, tmp_path):
    """Gray is decided for the whole clip: a film that fades in from black is not a gray film."""
    pytest.importorskip("cv2")
    frames, out = tmp_path / "frames", tmp_path / "out"
    for number in range(4):
        save_image(photo * number / 3, frames / f"{number}.png")
    impasto.stylize_video(
        frames, gray_painting, out, SETTINGS, impasto.VideoSettings(frame_steps=2)
    )
    images = [load_image(path) for path in sorted(out.glob("*.png"))]
    assert not is_exactly_gray(images[-1])
    assert float((images[-1] - gray(images[-1])).abs().mean()) > 0.05
