"""Transparency in every input: textures of a cut-out painting were dull or had hidden colors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch import Tensor

import impasto
from helpers import Outcome, assert_clear_error, assert_close
from impasto.network.encoder import Encoder
from impasto.objective.guides import layer_guides
from impasto.objective.targets import measure_style
from impasto.painting.guidance import Guidance
from impasto.painting.inputs import initial_image, load_inputs
from impasto.painting.stylizer import Stylizer
from impasto.pictures.colors import match_colors
from impasto.pictures.files import load_picture, save_image
from impasto.pictures.masks import visible_mask, visible_part
from impasto.pictures.picture import Picture, resized
from impasto.studio.jobs.requests import Request
from impasto.studio.jobs.results import preview_file, result_file, timelapse_file
from impasto.style.correlations import Gram
from studio_harness import make_jobs, upload_picture, wait_for_state, working

pytestmark = pytest.mark.usefixtures("small_network")

QUICK = {"steps": 6, "long_side": 48, "coarsest": 0}
SETTINGS = impasto.Settings(**QUICK)
WORDS = ("--steps", 6, "--long-side", 48, "--coarsest", 0, "--threads", 1, "--quiet")
RED, BLACK, MAGENTA = (1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (1.0, 0.0, 1.0)


def strokes(height: int = 48, width: int = 56, seed: int = 0) -> Tensor:
    """A painting of many short strokes in strong colors, (1, 3, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    cells = torch.rand((3, height // 4 + 1, width // 8 + 1), generator=generator).round()
    return (0.15 + 0.7 * cells[:, y // 4, (x + 2 * y) % width // 8])[None]


def disc(height: int, width: int, soft: float = 1.0) -> Tensor:
    """The alpha of a disc with an edge of `soft` px, (1, 1, H, W)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    far = ((y - height / 2 + 0.5) ** 2 + (x - width / 2 + 0.5) ** 2).sqrt()
    return ((0.45 * min(height, width) - far) / soft + 0.5).clamp(0, 1)[None, None]


def file_of(path, image: Tensor, alpha: Tensor | None = None, hidden=BLACK):
    """Write a PNG whose wholly transparent pixels have the color `hidden`."""
    array = (image[0].permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
    if alpha is not None:
        opacity = (alpha[0, 0].numpy() * 255 + 0.5).astype(np.uint8)
        array[opacity == 0] = np.array(hidden) * 255
        array = np.dstack([array, opacity])
    PillowImage.fromarray(array).save(path)
    return path


def cut_out(path, image: Tensor, hidden=BLACK):
    """Write a painting in the middle of a transparent sheet of twice its sides."""
    height, width = image.shape[-2:]
    sheet, alpha = (
        torch.zeros(1, 3, 2 * height, 2 * width),
        torch.zeros(1, 1, 2 * height, 2 * width),
    )
    box = np.s_[..., height // 2 : height // 2 + height, width // 2 : width // 2 + width]
    sheet[box], alpha[box] = image, 1
    return file_of(path, sheet, alpha, hidden)


@pytest.fixture
def paintings(tmp_path):
    """The painting itself, and two files of it as a cut-out."""
    image = strokes()
    return [
        file_of(tmp_path / "whole.png", image),
        cut_out(tmp_path / "black.png", image, BLACK),
        cut_out(tmp_path / "magenta.png", image, MAGENTA),
    ]


# ---- a painting on a transparent sheet is that painting -----------------------------------------


@pytest.mark.parametrize("seamless", [False, True])
def test_its_texture_is_that_of_the_painting(paintings, seamless):
    results = [
        impasto.texture(each, (48, 48), SETTINGS, seamless=seamless).image for each in paintings
    ]
    assert torch.equal(results[1], results[0])
    assert torch.equal(results[2], results[0])


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"color": "symmetric"}, {"color": "histogram"}, {"color": "luminance"},
        {"init": "style"}, {"guidance": "inside"}, {"statistic": "gram"},
        {"statistic": "sliced"}, {"statistic": "nearest"},
    ],
)  # fmt: skip
def test_a_photo_in_its_style_is_the_same(paintings, photo, changes):
    settings = SETTINGS.replace(**changes)
    results = [impasto.stylize(photo, each, settings).image for each in paintings]
    assert torch.equal(results[1], results[0])
    assert torch.equal(results[2], results[0])


def test_blends_of_it_are_the_same(command, paintings, photo_file, painting_file, tmp_path):
    results = []
    for each in paintings:
        out = tmp_path / f"blend-{each.name}"
        words = ("blend", photo_file, each, painting_file, "-o", out, "--count", 2, *WORDS)
        outcome: Outcome = command(*words)
        assert outcome.code == 0, outcome.err
        results.append(load_picture(out).image)
    assert torch.equal(results[1], results[0])
    assert torch.equal(results[2], results[0])


@pytest.mark.parametrize("method", ["symmetric", "cholesky", "pca", "histogram"])
def test_its_colors_are_those_of_the_painting(command, paintings, photo_file, tmp_path, method):
    results = []
    for each in paintings:
        out = tmp_path / f"{method}-{each.name}"
        outcome = command("recolor", photo_file, each, "-qo", out, "--method", method)
        assert outcome.code == 0, outcome.err
        results.append(load_picture(out).image)
    assert_close(results[1], results[0], relative=1 / 254)
    assert_close(results[2], results[0], relative=1 / 254)


def test_its_reconstructed_style_is_the_same_whatever_is_hidden(paintings):
    results = [
        impasto.reconstruct(each, "relu3_1", SETTINGS, of="style").image for each in paintings[1:]
    ]
    assert torch.equal(*results)


def test_a_clip_in_its_style_is_the_same(paintings, photo, tmp_path):
    pytest.importorskip("av")
    pytest.importorskip("cv2")
    frames = tmp_path / "frames"
    for number in range(2):
        save_image(photo.roll(2 * number, -1), frames / f"{number}.png")
    results = []
    for each in paintings:
        out = tmp_path / f"clip-{each.stem}"
        impasto.stylize_video(frames, each, out, SETTINGS, impasto.VideoSettings(frame_steps=2))
        results.append([load_picture(file).image for file in sorted(out.glob("*.png"))])
    for one, other in zip(results[0], results[1], strict=True):
        assert torch.equal(one, other)


# ---- a cut-out of any outline -------------------------------------------------------------------


def test_a_disc_has_the_style_that_it_has_in_the_whole_painting(examples):
    """The Gram matrices come near those of the same disc where the network sees around it."""
    layers, statistic = ("relu1_1", "relu2_1", "relu3_1"), Gram()
    encoder = Encoder(layers)
    image = load_picture(examples / "church_at_auvers_van_gogh.jpg", long_side=160).image
    alpha = disc(*image.shape[-2:])
    cut = Picture(torch.where(alpha > 0, image, 0), alpha)
    part, mask = visible_part(cut), visible_mask(cut)

    def measured(picture: Tensor, of: Tensor) -> dict[str, Tensor]:
        guides = layer_guides(of, layers, network="vgg19")
        return measure_style(encoder, picture, layers, statistic, guides)

    wanted, found = measured(image, alpha), measured(part.image, mask)
    for layer, limit in zip(layers, (0.03, 0.05, 0.15), strict=True):
        error = float((found[layer] - wanted[layer]).norm() / wanted[layer].norm())
        assert error < limit, layer


def test_hidden_colors_have_no_influence(photo):
    image, alpha = strokes(64, 64), disc(64, 64, soft=6)
    results = []
    for hidden in (BLACK, MAGENTA):
        below = torch.tensor(hidden).view(1, 3, 1, 1).expand_as(image)
        given = torch.cat([torch.where(alpha > 0, image, below), alpha], 1)
        results.append(impasto.stylize(photo, given, SETTINGS.replace(color="symmetric")).image)
    assert torch.equal(*results)


def test_a_faint_pixel_counts_as_little_as_it_is_seen():
    """Recoloring by a half-transparent palette weighs its colors by their alpha."""
    palette, alpha = torch.zeros(1, 3, 16, 16), torch.ones(1, 1, 16, 16)
    palette[..., :8] = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1)
    palette[..., 8:] = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    alpha[..., 8:] = 0.25
    photo = torch.rand((1, 3, 20, 20), generator=torch.Generator().manual_seed(1))
    expected = 0.8 * palette[..., :8].mean((2, 3)) + 0.2 * palette[..., 8:].mean((2, 3))
    for method in ("symmetric", "pca", "histogram"):
        matched = match_colors(photo, Picture(palette, alpha), method)
        assert_close(matched.mean((2, 3)), expected, relative=1e-3)


def test_its_alpha_multiplies_with_a_style_mask(photo):
    """The mask selects the left half; only its visible part is the style."""
    image = strokes(48, 64)
    image[..., 32:] = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    alpha, mask = torch.ones(1, 1, 48, 64), torch.zeros(1, 1, 48, 64)
    alpha[..., :8] = 0
    mask[..., :32] = 1
    seen = torch.zeros_like(mask)
    seen[..., 8:32] = 1
    guidance = [Guidance(style_masks=each, masks=()) for each in (mask, seen)]
    cut = load_inputs(photo, torch.cat([image, alpha], 1), SETTINGS, guidance=guidance[0])
    plain = load_inputs(
        photo, image[..., 8:], SETTINGS, guidance=Guidance(style_masks=mask[..., 8:])
    )
    assert torch.equal(cut.layout.parts[0].style_mask, plain.layout.parts[0].style_mask)
    assert torch.equal(cut.paintings[0].image, plain.paintings[0].image)


# ---- nothing visible ----------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["stylize", "recolor", "texture"])
def test_a_painting_without_a_visible_pixel_is_refused(command, words, photo_file, tmp_path):
    empty = file_of(tmp_path / "empty.png", strokes(), torch.zeros(1, 1, 48, 56), RED)
    first = [] if words == "texture" else [photo_file]
    outcome = command(words, *first, empty, "-o", tmp_path / "out.png")
    assert_clear_error(outcome, "empty.png is transparent everywhere", "needs visible pixels")
    assert not (tmp_path / "out.png").exists()


def test_a_mask_of_what_is_transparent_is_refused(photo):
    alpha, mask = torch.ones(1, 1, 48, 56), torch.zeros(1, 1, 48, 56)
    alpha[..., :20] = 0
    mask[..., :10] = 1
    with pytest.raises(
        impasto.ImageError, match="transparent everywhere that its style mask or region"
    ):
        load_inputs(
            photo, torch.cat([strokes(), alpha], 1), SETTINGS,
            guidance=Guidance(style_masks=mask),
        )  # fmt: skip


def test_a_start_without_a_visible_pixel_is_refused(photo, painting):
    start = torch.cat([photo, torch.zeros_like(photo[:, :1])], 1)
    with pytest.raises(impasto.ImageError, match="transparent everywhere"):
        load_inputs(photo, painting, SETTINGS, init=start)


# ---- the picture to start from, masks, and sizes ------------------------------------------------


def test_the_photo_is_seen_through_a_transparent_start(photo, painting):
    alpha = torch.zeros(1, 1, 32, 40)
    alpha[..., :20] = 1
    start = torch.full_like(photo, 0.5)
    inputs = load_inputs(photo, painting, SETTINGS, init=torch.cat([start, alpha], 1))
    image = initial_image(inputs, SETTINGS, (32, 40))
    assert torch.equal(image[..., :20], start[..., :20])
    assert_close(image[..., 20:], photo[..., 20:], relative=1e-6)


def test_the_colors_hidden_in_a_mask_do_not_make_it_colored(photo, painting, tmp_path):
    """White with a soft disc as alpha: its faint rim is tinted, as many programs leave it."""
    alpha = disc(32, 40, soft=8)
    rim = torch.where(alpha < 3 / 255, torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1), 1.0)
    mask = file_of(tmp_path / "mask.png", rim.expand(1, 3, 32, 40), alpha)
    inputs = load_inputs(photo, painting, SETTINGS, guidance=Guidance(masks=mask))
    expected = (alpha * 255).round() / 255
    expected[expected < 4 / 255] = 0
    assert_close(inputs.layout.parts[0].mask, expected, relative=0.02)


@pytest.mark.parametrize("size", [(24, 30), (96, 120)])
def test_faint_pixels_do_not_bleed_when_a_picture_is_resized(size):
    """A red of alpha 1/255 beside an opaque blue: resized, the blue stays blue."""
    image, alpha = torch.zeros(1, 3, 48, 60), torch.full((1, 1, 48, 60), 1 / 255)
    image[:, 0] = 1
    image[..., 20:40] = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    alpha[..., 20:40] = 1
    small = resized(Picture(image, alpha), size)
    seen = small.image[small.alpha.expand(-1, 3, -1, -1) > 0.1].view(3, -1)
    assert float(seen[0].max()) < 0.05
    assert float(seen[2].min()) > 0.95


def test_faint_pixels_of_a_photo_do_not_bleed_into_the_result(painting):
    image, alpha = torch.zeros(1, 3, 96, 96), torch.full((1, 1, 96, 96), 1 / 255)
    image[:, 0] = 1
    image[..., 32:64] = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    alpha[..., 32:64] = 1
    settings = SETTINGS.replace(steps=1, color="symmetric")
    inputs = load_inputs(torch.cat([image, alpha], 1), painting, settings)
    begun = Stylizer(settings).plan(inputs).begin((48, 48))
    assert float(begun[:, 0, :, 17:31].max()) < 0.05


# ---- films and frames of a transparent photo ----------------------------------------------------


@pytest.fixture
def cut_photo(photo, tmp_path):
    """A photo that is opaque on the left, half transparent in a stripe, and hidden on the right."""
    alpha = torch.zeros(1, 1, 32, 40)
    alpha[..., :20], alpha[..., 20:24] = 1, 0.5
    return file_of(tmp_path / "cut.png", photo, alpha)


def recorded(command, cut_photo, painting_file, tmp_path, *words):
    out = tmp_path / "out.png"
    outcome = command(
        "stylize", cut_photo, painting_file, "-o", out, "--long-side", 40, "--coarsest", 0,
        "--steps", 4, "--threads", 1, "--force", *words,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    return outcome


def test_frames_keep_the_transparency(command, cut_photo, painting_file, tmp_path):
    recorded(
        command, cut_photo, painting_file, tmp_path, "--frames", tmp_path / "steps", "--every", 2
    )
    for path in (tmp_path / "steps").iterdir():
        alpha = load_picture(path).alpha
        assert alpha is not None, path
        assert torch.equal(alpha, load_picture(cut_photo).alpha)
    last = load_picture(tmp_path / "steps" / "step-4.png").image
    assert torch.equal(last, load_picture(tmp_path / "out.png").image)


def alphas(path):
    """The alpha of every frame of a film."""
    found = []
    with PillowImage.open(path) as film:
        for index in range(film.n_frames):
            film.seek(index)
            found.append(np.asarray(film.convert("RGBA"))[..., 3].copy())
    return found


def test_a_webp_film_keeps_the_transparency(command, cut_photo, painting_file, tmp_path):
    film = tmp_path / "film.webp"
    outcome = recorded(command, cut_photo, painting_file, tmp_path, "--timelapse", film)
    assert "transparen" not in outcome.err
    for alpha in alphas(film):
        assert (alpha[:, :20] == 255).all()
        assert (abs(alpha[:, 20:24].astype(int) - 128) <= 1).all()
        assert (alpha[:, 24:] == 0).all()


def test_a_gif_keeps_what_it_can_and_says_so(command, cut_photo, painting_file, tmp_path):
    film = tmp_path / "film.gif"
    outcome = recorded(command, cut_photo, painting_file, tmp_path, "--timelapse", film)
    assert "GIF holds no partial transparency" in outcome.err
    for alpha in alphas(film):
        assert (alpha[:, :20] == 255).all()
        assert (alpha[:, 24:] == 0).all()


@pytest.mark.parametrize("suffix", [".mp4", ".jpg"])
def test_what_holds_no_transparency_says_so(command, cut_photo, painting_file, tmp_path, suffix):
    pytest.importorskip("av")
    path = tmp_path / f"film{suffix}"
    words = ("--timelapse", path) if suffix == ".mp4" else ("-o", path)
    outcome = recorded(command, cut_photo, painting_file, tmp_path, *words)
    line = f"{suffix[1:].upper()} holds no transparency: transparent pixels become white"
    assert outcome.err.count(line) == 1
    if suffix == ".jpg":
        shown = load_picture(path).image
    else:
        with __import__("av").open(str(path)) as container:
            frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
        shown = torch.from_numpy(frame).permute(2, 0, 1)[None] / 255
    assert float(shown[..., 26:].min()) > 0.97


# ---- folders of frames --------------------------------------------------------------------------


@pytest.fixture
def cut_frames(photo, tmp_path):
    folder = tmp_path / "cut-frames"
    folder.mkdir()
    for number in range(3):
        alpha = torch.zeros(1, 1, 32, 40)
        alpha[..., 4 * number : 4 * number + 16] = 1
        file_of(folder / f"{number}.png", photo, alpha, MAGENTA)
    return folder


@pytest.mark.parametrize("video", [{}, {"passes": 2}, {"draft": True}])
def test_frames_of_a_clip_keep_their_transparency(cut_frames, painting, tmp_path, video):
    pytest.importorskip("cv2")
    out = tmp_path / "painted"
    settings = impasto.VideoSettings(frame_steps=2, **video)
    small = SETTINGS.replace(long_side=40, steps=3)
    film = impasto.stylize_video(cut_frames, painting, out, small, settings)
    painted = sorted(out.glob("*.png"))
    assert len(painted) == film.frames == 3
    assert film.notes == ()
    for given, made in zip(sorted(cut_frames.glob("*.png")), painted, strict=True):
        assert torch.equal(load_picture(made).alpha, load_picture(given).alpha)


def test_reduced_frames_keep_it_too(cut_frames, painting, tmp_path):
    pytest.importorskip("cv2")
    small = SETTINGS.replace(long_side=20, steps=2, style_layers=("relu1_1", "relu2_1"))
    impasto.stylize_video(
        cut_frames, painting, tmp_path / "painted", small, impasto.VideoSettings(frame_steps=1)
    )
    made = load_picture(tmp_path / "painted" / "frame-000001.png")
    assert made.size == (16, 20)
    assert float(made.alpha[..., :7].min()) > 0.9
    assert float(made.alpha[..., 10:].max()) < 0.1


def clip_with_alpha(path, codec: str, format: str):
    """Write a clip of two frames whose right half is transparent, over magenta."""
    av = pytest.importorskip("av")
    pixels = np.zeros((32, 40, 4), np.uint8)
    pixels[..., :] = (255, 0, 255, 0)
    pixels[:, :20] = (40, 120, 200, 255)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = 40, 32, format
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
            container.mux(stream.encode(frame.reformat(format=format)))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("suffix", "codec", "format"),
    [("mov", "qtrle", "argb"), ("mov", "prores_ks", "yuva444p10le"), ("mov", "png", "rgba")],
)
def test_a_clip_with_an_alpha_channel_keeps_it_in_frames(painting, tmp_path, suffix, codec, format):
    pytest.importorskip("cv2")
    clip = clip_with_alpha(tmp_path / f"clip.{suffix}", codec, format)
    small = SETTINGS.replace(long_side=40, steps=2)
    impasto.stylize_video(
        clip, painting, tmp_path / "out", small, impasto.VideoSettings(frame_steps=1)
    )
    for path in (tmp_path / "out").glob("*.png"):
        alpha = load_picture(path).alpha
        assert float(alpha[..., :19].mean()) > 0.98  # FFmpeg may spoil a few pixels of ProRes
        assert float(alpha[..., 21:].mean()) < 0.02


def test_a_transparent_gif_is_no_black_clip(tmp_path):
    """The frames of a GIF continue their visible colors below what is transparent."""
    pytest.importorskip("av")
    from impasto.video.io.frames import open_clip, read_frames

    frames = []
    for number in range(2):
        pixels = np.zeros((32, 40), np.uint8)  # index 0 is black, and transparent
        pixels[:, 4 + number : 20 + number] = 1
        frames.append(PillowImage.fromarray(pixels, "P"))
        frames[-1].putpalette([0, 0, 0, 40, 120, 200])
    frames[0].save(
        tmp_path / "a.gif", save_all=True, append_images=frames[1:], transparency=0, disposal=2
    )
    for number, frame in enumerate(read_frames(open_clip(tmp_path / "a.gif"))):
        assert bool((frame.alpha[..., 4 + number : 20 + number] == 1).all())
        assert float(frame.alpha.mean()) == pytest.approx(16 / 40)
        wanted = torch.tensor([40, 120, 200]).view(1, 3, 1, 1) / 255
        assert_close(frame.image, wanted.expand(1, 3, 32, 40), relative=0.01)


def test_style_masks_of_a_clip_belong_to_the_whole_sheet(paintings, photo, tmp_path):
    pytest.importorskip("cv2")
    save_image(photo, tmp_path / "frames" / "0.png")
    save_image(photo, tmp_path / "frames" / "1.png")
    mask = torch.zeros(1, 1, 96, 112)
    mask[..., :70] = 1  # 28 … 84 is the painting
    results = []
    for style, selected in ((paintings[1], mask), (paintings[0], mask[..., 24:72, 28:84])):
        out = tmp_path / style.stem
        impasto.stylize_video(
            tmp_path / "frames", style, out, SETTINGS, impasto.VideoSettings(frame_steps=2),
            guidance=Guidance(style_masks=selected.contiguous()),
        )  # fmt: skip
        results.append([load_picture(file).image for file in sorted(out.glob("*.png"))])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_a_picture_made_by_hand_hides_nothing(painting, photo):
    alpha = torch.ones(1, 1, 32, 40)
    alpha[..., 20:] = 0
    images = [torch.where(alpha > 0, photo, value) for value in (0.0, 1.0)]
    results = [impasto.stylize(Picture(each, alpha), painting, SETTINGS).image for each in images]
    assert torch.equal(*results)


def test_a_clip_lays_them_on_white_and_says_so(command, cut_frames, painting_file, tmp_path):
    pytest.importorskip("av")
    pytest.importorskip("cv2")
    out = tmp_path / "out.mp4"
    words = ("--long-side", 40, "--steps", 3, "--frame-steps", 2, "--threads", 1)
    outcome = command("video", cut_frames, painting_file, "-o", out, *words)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("MP4 holds no transparency: transparent pixels become white") == 1
    from impasto.video.io.frames import open_clip, read_frames

    for number, frame in enumerate(read_frames(open_clip(out))):
        assert float(frame.image[..., 4 * number + 20 :].mean()) > 0.97


def test_a_preview_of_a_clip_shows_them_on_white(cut_frames, painting):
    pytest.importorskip("cv2")
    from impasto.video.preview import contact_sheet, preview_frames

    frames = list(preview_frames(cut_frames, painting, SETTINGS.replace(long_side=40, steps=2)))
    sheet = contact_sheet(frames)
    assert bool((sheet[..., 8 : 8 + 32, 8 + 18 : 8 + 40] == 1).all())


# ---- the studio ---------------------------------------------------------------------------------


def test_the_studio_shows_a_cut_out_photo_on_white(cut_photo, tmp_path):
    jobs = make_jobs(tmp_path / "studio")

    def uploaded(path):
        return upload_picture(jobs, path.read_bytes(), path.name).id

    photo = uploaded(cut_photo)
    styles = (
        cut_out(tmp_path / "style.png", strokes(), MAGENTA),
        file_of(tmp_path / "plain.png", strokes()),
    )
    settings, results = {"steps": 3, "long_side": 40, "coarsest": 0}, []
    with working(jobs):
        for style in map(uploaded, styles):
            pictures = {"content": photo, "styles": [style]}
            job = jobs.create(Request(pictures=pictures, settings=settings), "me").id
            assert wait_for_state(jobs, job, "done", "failed").error == ""
            results.append(load_picture(result_file(jobs.store, job)))
    assert torch.equal(results[0].image, results[1].image)
    assert torch.equal(results[0].alpha, load_picture(cut_photo).alpha)
    preview = load_picture(preview_file(jobs.store, job)).image
    assert float(preview[..., 26:].min()) > 0.97
    for alpha in alphas(timelapse_file(jobs.store, job)):
        assert (alpha[:, :20] == 255).all()
        assert (alpha[:, 24:] == 0).all()
