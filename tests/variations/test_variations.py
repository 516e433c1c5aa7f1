"""Texture, reconstruction and dream: the same loop with other targets."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from helpers import assert_clear_error, psnr, tree
from impasto.errors import ImageError, SettingsError
from impasto.painting.picture_plan import PicturePlan
from impasto.pictures.files import load_image, load_picture, read_metadata
from impasto.settings.pictures import Settings
from impasto.settings.recipes import DREAM
from impasto.variations.dream import dream, plan_dream
from impasto.variations.reconstruction import plan_reconstruction, reconstruct, style_layers_up_to
from impasto.variations.texture import plan_texture, resize_wrapped, texture

QUICK = Settings(steps=8, coarsest=0, long_side=48)
SMALL = ("--steps", 3, "--threads", 1, "--quiet")


def seam_lines(image):
    """The gradient across every line of a tiled picture, both ways; the first is the seam."""
    across = (image - image.roll(1, 3)).abs().mean(dim=(0, 1, 2))
    down = (image - image.roll(1, 2)).abs().mean(dim=(0, 1, 3))
    return across, down


def seam_excess(images):
    """The gradient across the seams of tiled pictures over that inside them, on average.

    Of several, both ways: in a single one an edge of the texture can lie on the seam by chance.
    """
    lines = [each for image in images for each in seam_lines(image)]
    return sum(float(each[0] / each[1:].mean()) for each in lines) / len(lines)


# ---- texture ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(40, 56), (33, 61)])
def test_a_texture_of_any_size(size, painting):
    picture = texture(painting, size, QUICK)
    assert picture.image.shape == (1, 3, *size)
    assert picture.image.min() >= 0
    assert picture.image.max() <= 1
    assert picture.history[-1]["total"] < picture.history[0]["total"]
    assert picture.metadata["made"] == {"command": "texture", "size": list(size), "seamless": False}


def test_a_square_of_the_long_side_where_no_size_is_given(painting):
    assert texture(painting, None, QUICK).image.shape == (1, 3, 48, 48)


def test_a_texture_has_the_style_alone(painting):
    history = texture(painting, None, QUICK).history
    assert {"style", "tv"} <= history[0].keys()
    assert "content" not in history[0]


def test_the_seam_of_a_seamless_texture_is_no_larger_than_the_inside(examples):
    painting = load_image(examples / "church_at_auvers_van_gogh.jpg", long_side=96)

    def painted(seamless):
        for seed in range(3):
            settings = QUICK.replace(steps=25, tv_weight=0.0, seed=seed)
            yield texture(painting, (64, 56), settings, seamless=seamless).image

    assert seam_excess(painted(True)) < 1.2  # 1.07
    assert seam_excess(painted(False)) > 1.5  # 2.2: so the measure sees seams


def test_a_seamless_texture_from_a_shifted_start_is_shifted(examples):
    painting = load_image(examples / "church_at_auvers_van_gogh.jpg", long_side=96)
    plan = plan_texture(painting, (64, 56), QUICK.replace(steps=2), seamless=True)
    shifted = replace(plan, begin=lambda size: plan.begin(size).roll((24, 16), (2, 3)))
    there = plan.paint().image.roll((24, 16), (2, 3))
    assert (shifted.paint().image - there).abs().max() < 1e-5


def test_a_seamless_texture_stays_so_between_levels(painting):
    plan = plan_texture(painting, (64, 64), QUICK.replace(coarsest=32), seamless=True)
    assert len(plan.levels) > 1
    assert [*plan.steps()][-1].image.shape == (1, 3, 64, 64)
    smooth = torch.sin(torch.arange(32) * 2 * torch.pi / 32).expand(1, 3, 32, 32) * 0.5 + 0.5
    larger = resize_wrapped(smooth, (48, 64))
    expected = torch.sin((torch.arange(64) - 0.5) * 2 * torch.pi / 64) * 0.5 + 0.5
    assert (larger[0, 0, 7] - expected).abs().max() < 0.01


def test_a_seamless_objective_knows_no_seam(painting):
    plan = plan_texture(painting, (48, 40), QUICK, seamless=True)
    terms = plan.aim(plan.works[-1])
    image = torch.rand(1, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    image.requires_grad_()
    here, there = terms(image), terms(image.roll((16, 8), (2, 3)))
    for name, loss in here.items():
        assert loss.item() == pytest.approx(there[name].item(), rel=1e-4)
    plain = plan_texture(painting, (48, 40), QUICK).aim(plan.works[-1])
    assert plain(image)["tv"].item() != pytest.approx(here["tv"].item(), rel=1e-4)


def test_a_seamless_texture_is_not_asked_for_the_border_of_its_painting():
    gray = torch.full((1, 3, 40, 48), 0.4)
    # Of Gram matrices, in which what rounding leaves is no standard deviation.
    plan = plan_texture(gray, (40, 48), QUICK.replace(statistic="gram"), seamless=True)
    losses = plan.aim(plan.works[-1])(gray.clone())
    style = sum(float(loss) for name, loss in losses.items() if "style" in name)
    assert style < 1e-8  # 33 with zeros beyond the painting's border


def test_a_seamless_texture_of_odd_sides(painting):
    assert texture(painting, (33, 61), QUICK, seamless=True).image.shape == (1, 3, 33, 61)


def test_the_same_seed_the_same_texture(painting):
    first, second = (texture(painting, None, QUICK).image for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, texture(painting, None, QUICK.replace(seed=1)).image)


def test_bad_textures(painting):
    with pytest.raises(SettingsError, match="no style given"):
        texture([], None, QUICK)
    with pytest.raises(SettingsError, match="size 40x3: the layers need at least 8 px"):
        texture(painting, (3, 40), QUICK)
    with pytest.raises(ImageError, match="too small"):
        texture(torch.rand(1, 3, 2, 2), None, QUICK)


# ---- reconstruction -----------------------------------------------------------------------------


def test_a_shallow_layer_knows_the_picture(photo):
    settings = QUICK.replace(steps=60, tv_weight=0.0)
    shallow = reconstruct(photo, "relu1_1", settings).image
    deep = reconstruct(photo, "relu4_1", settings).image
    original = load_image(photo, long_side=48)
    assert psnr(shallow, original) > 22
    assert psnr(shallow, original) > psnr(deep, original) + 3


def test_style_forgets_where(photo):
    settings = QUICK.replace(steps=60, tv_weight=0.0)
    picture = reconstruct(photo, "relu2_1", settings, of="style")
    original = load_image(photo, long_side=48)
    assert psnr(picture.image, original) < 20
    assert float((picture.image.mean(dim=(2, 3)) - original.mean(dim=(2, 3))).abs().max()) < 0.1
    assert picture.settings.style_layers == ("relu1_1", "relu2_1")


def test_style_layers_are_those_of_the_figure():
    assert style_layers_up_to("relu1_1") == ("relu1_1",)
    assert style_layers_up_to("relu3_1") == ("relu1_1", "relu2_1", "relu3_1")
    assert style_layers_up_to("relu4_2") == ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2")
    assert style_layers_up_to("conv2_1") == ("relu1_1", "conv2_1")


def test_other_layers_of_the_settings_are_not_looked_at(photo):
    settings = QUICK.replace(content_layers=("relu1_1", "relu2_1"), content_layer_weights=(1, 2))
    plan = plan_reconstruction(photo, "relu3_1", settings)
    assert plan.settings.content_layers == ("relu3_1",)


def test_an_unknown_layer(photo):
    for function in (reconstruct, dream):
        with pytest.raises(SettingsError, match="relu4_9: no such layer in vgg19"):
            function(photo, "relu4_9", QUICK)


# ---- dream --------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", [None, 3])
def test_a_layer_sees_more_and_more(channel, photo):
    picture = dream(photo, "relu3_1", QUICK.replace(learning_rate=0.01), channel=channel)
    assert picture.history[-1]["dream"] < picture.history[0]["dream"]
    assert picture.image.shape == (1, 3, 38, 48)
    assert picture.image.min() >= 0
    assert picture.image.max() <= 1


def test_octaves_keep_the_picture_and_share_the_steps(photo):
    plan = plan_dream(photo, "relu3_1", Settings().replace(**{**DREAM, "steps": 12}))
    assert len(plan.levels) == 4
    assert {level.steps for level in plan.levels} == {3}
    still = dream(photo, "relu1_1", QUICK.replace(learning_rate=1e-8))
    assert psnr(still.image, load_image(photo, long_side=48)) > 60


def test_jitter_is_seeded(photo):
    def dreamt(**changes):
        return dream(photo, "relu2_1", QUICK.replace(learning_rate=0.02, **changes)).image

    assert torch.equal(dreamt(), dreamt())
    assert not torch.equal(dreamt(), dreamt(seed=1))


def test_alpha_is_kept(photo):
    cut = torch.cat([photo, torch.full((1, 1, 32, 40), 0.5)], dim=1)
    picture = dream(cut, "relu1_1", QUICK)
    assert picture.alpha.shape == (1, 1, 38, 48)


def test_channels_are_counted(photo):
    for channel in (-1, 64):
        with pytest.raises(
            SettingsError, match=rf"channel {channel}: relu1_2 has 64 channels, counted"
        ):
            dream(photo, "relu1_2", QUICK, channel=channel)


# ---- commands -----------------------------------------------------------------------------------


def test_texture_command(command, painting_file, tmp_path):
    out = tmp_path / "out.png"
    outcome = command("texture", painting_file, "-o", out, "--size", "40x32", "--json", *SMALL)
    assert outcome.code == 0, outcome.err
    assert load_picture(out).size == (32, 40)
    noted = read_metadata(out)
    assert noted["made"] == {"command": "texture", "size": [32, 40], "seamless": False}
    assert noted["styles"][0]["name"] == "painting.png"
    assert json.loads(outcome.out)["steps"] == 3
    assert command("texture", painting_file, "-o", out, "--seamless", "-f", "--size", "24",
                   *SMALL).code == 0  # fmt: skip


@pytest.mark.parametrize("words", [(), ("--style",), ("--layer", "relu2_1")])
def test_reconstruct_command(words, command, photo_file, tmp_path):
    out = tmp_path / "out.png"
    outcome = command("reconstruct", photo_file, "-o", out, "--long-side", 40, *words, *SMALL)
    assert outcome.code == 0, outcome.err
    assert load_picture(out).size == (32, 40)
    assert read_metadata(out)["made"]["of"] == ("style" if "--style" in words else "content")


def test_a_sheet_of_all_layers(command, photo_file, tmp_path):
    out = tmp_path / "out.png"
    words = ("--sheet", "--long-side", 40, *SMALL[2:], "--steps", 1)
    assert command("reconstruct", photo_file, "-o", out, *words).code == 0
    height, width = load_picture(out).size
    assert width == 8 + 5 * (40 + 8)
    assert height > 2 * 32
    assert len(read_metadata(out)["made"]["sheet"]) == 5


def test_dream_command(command, photo_file, tmp_path):
    out = tmp_path / "out.png"
    words = ("--layer", "relu2_1", "--channel", 5, "--long-side", 40, *SMALL)
    outcome = command("dream", photo_file, "-o", out, *words)
    assert outcome.code == 0, outcome.err
    assert read_metadata(out)["made"] == {
        "command": "dream", "layer": "relu2_1", "channel": 5, "jitter": 32,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("texture", "PAINTING", "--size", "huge"), ("size: 'huge' is not a size",)),
        (("texture", "PAINTING", "--size", "0x9"), ("size: '0x9' is not a size",)),
        (("texture", "PAINTING", "--size", "64x4"), ("at least 8 px",)),
        (("texture", "missing.png"), ("missing.png", "no such file")),
        (("reconstruct", "PHOTO", "--layer", "relu4_9"), ("relu4_9", "did you mean")),
        (("reconstruct", "PHOTO", "--sheet", "--style"), ("--sheet", "leave --style out")),
        (("reconstruct", "PHOTO", "--sheet", "--layer", "relu1_1"), ("leave --layer out",)),
        (
            ("reconstruct", "PHOTO", "--sheet", "--layer", "relu1_1", "--style"),
            ("leave --style and --layer out",),
        ),
        (
            ("texture", "PHOTO", "--style-weight", "0"),
            ("style_weight is 0", "a texture has only a style"),
        ),
        (("texture", "PHOTO", "--style-scale", "0.01"), ("a style_scale of at least 0.02",)),
        (("reconstruct", "missing.png", "--sheet"), ("missing.png", "no such file")),
        (("dream", "PHOTO", "--channel", "512"), ("channel 512", "has 512 channels")),
        (("dream", "PHOTO", "--layer", "pool9"), ("pool9", "no such layer")),
        (("dream", "PHOTO", "--long-side", "4"), ("too small",)),
    ],
)
def test_bad_input(words, said, command, photo_file, painting_file, tmp_path):
    files = {"PHOTO": photo_file, "PAINTING": painting_file}
    words = [files.get(word, word) for word in words]
    before = tree(tmp_path)
    outcome = command(*words, "-o", tmp_path / "out.png", "--steps", 1)
    assert_clear_error(outcome, *said)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["texture", "reconstruct", "dream"])
def test_old_files_are_kept(name, command, photo_file, tmp_path):
    out = tmp_path / "out.png"
    out.write_bytes(b"precious")
    assert_clear_error(command(name, photo_file, "-o", out), "exists already; --force replaces it")
    assert_clear_error(command(name, photo_file, "-o", tmp_path / "out.xyz"), "the suffix .xyz")
    assert out.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["texture", "reconstruct", "dream", "redo"])
def test_help_shows_own_defaults(name, command):
    outcome = command(name, "--help-all" if name != "redo" else "--help")
    assert outcome.code == 0
    if name == "dream":
        assert "Number of steps over all octaves. [default: 48]" in " ".join(outcome.out.split())
        assert "--style-weight" not in outcome.out


@pytest.mark.parametrize("words", [("texture",), ("reconstruct", "--sheet"), ("dream",)])
def test_ctrl_c_keeps_the_best_image_so_far(words, command, photo_file, tmp_path, monkeypatch):
    whole = PicturePlan.steps

    def interrupted(self):
        for step in whole(self):
            yield step
            if step.index == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(PicturePlan, "steps", interrupted)
    out = tmp_path / "out.png"
    outcome = command(words[0], photo_file, *words[1:], "-o", out, "--steps", 4, "--threads", 1,
                      *([] if words[0] == "texture" else ["--long-side", 40]),
                      *(["--size", "40x32"] if words[0] == "texture" else []))  # fmt: skip
    assert outcome.code == 130
    assert "Interrupted at step 2 of 4; wrote the best picture so far" in outcome.err
    assert load_picture(out).size[1] >= 40


def test_ctrl_c_before_the_first_step_writes_nothing(command, photo_file, tmp_path, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(PicturePlan, "steps", interrupted)
    before = tree(tmp_path)
    outcome = command("dream", photo_file, "-o", tmp_path / "out.png", "--long-side", 40)
    assert (outcome.code, outcome.err) == (130, "Interrupted: no picture written.\n")
    assert tree(tmp_path) == before


def test_variations_keep_to_their_plan(painting, monkeypatch):
    """What L-BFGS remembers, too, is what the plan says."""
    from impasto.painting import canvas, stylizer

    given = []
    real = canvas.optimize
    monkeypatch.setattr(
        canvas,
        "optimize",
        lambda *a, **o: given.append((o["history"], o["half"])) or real(*a, **o),
    )
    settings = QUICK.replace(optimizer="lbfgs", steps=2, coarsest=0)
    plans = [
        plan_texture(painting, None, settings),
        plan_reconstruction(painting, "relu1_1", settings),
    ]
    for plan in plans:
        works = tuple(replace(work, history=3, half=True) for work in plan.works)
        monkeypatch.setattr(stylizer.Stylizer, "allot", lambda *words, works=works, **more: works)
        again = plan_texture if plan is plans[0] else plan_reconstruction
        words = (None,) if plan is plans[0] else ("relu1_1",)
        list(again(painting, *words, settings).steps())
    assert given == [(3, True), (3, True)]
