"""Masks and regions: what goes where is what was asked for, exactly."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch.nn import functional

from helpers import assert_clear_error, assert_close, left_half, saved
from impasto.errors import ImageError, SettingsError
from impasto.network.encoder import Encoder
from impasto.objective.guides import layer_guides, layer_masks
from impasto.painting.guidance import Guidance, lay_out, shares
from impasto.painting.inputs import load_inputs
from impasto.painting.stylizer import Stylizer, stylize
from impasto.pictures.files import load_image, load_picture
from impasto.pictures.masks import fitted
from impasto.pictures.picture import Picture, resize
from impasto.settings.layers import layer_names
from impasto.settings.pictures import Settings
from impasto.style import STATISTICS, Summed

QUICK = {"steps": 4, "long_side": 48, "coarsest": 0}
FORMS = ("simple", "inside", "all")
LAYERS = ("relu1_1", "relu2_1", "relu3_1")


@pytest.fixture(scope="module")
def stylizer():
    return Stylizer(Settings(**QUICK, style_layers=LAYERS))


def objective(stylizer, photo, styles, masks=None, **changes):
    """The objective at the photo's own size."""
    settings = Settings(
        **{**QUICK, "style_layers": LAYERS, "long_side": max(photo.shape), **changes}
    )
    stylizer = stylizer.with_settings(settings)
    inputs = load_inputs(photo, styles, settings, guidance=masks)
    (work,) = stylizer.plan(inputs).works
    return stylizer.objective(inputs, work)


def style_gradient(objective, image):
    """The gradient of the style terms alone."""
    objective.terms = tuple(term for term in objective.terms if term.name.kind == "style")
    leaf = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(sum(objective.by_layer(leaf).values()), leaf)
    return gradient


def pixels(path) -> np.ndarray:
    with PIL.Image.open(path) as picture:
        return np.asarray(picture)


# ---- guides -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_guides_have_a_sum_of_squares_of_one(form):
    guides = layer_guides(left_half(), LAYERS, network="vgg19", form=form)
    assert set(guides) == set(LAYERS)
    for guide in guides.values():
        assert float(guide.square().sum()) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("network", ["vgg19", "vgg16"])
def test_inside_and_all_follow_receptive_fields(network):
    """Against a network of ones, which adds up whatever each position sees."""
    mask = (torch.rand(1, 1, 40, 48, generator=torch.Generator().manual_seed(5)) > 0.004).double()
    layers = [name for name in layer_names(network) if name.startswith("relu")][:9]
    inside = layer_masks(mask, layers, network=network, form="inside")
    everywhere = layer_masks(1 - mask, layers, network=network, form="all")
    simple = layer_masks(mask, layers, network=network)
    black, parts = 1 - mask, mask
    ones = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    for name in layer_names(network):
        if name.startswith("conv"):
            black = functional.conv2d(black, ones, padding=1)
        elif name.startswith("pool"):
            black, parts = (functional.avg_pool2d(each, 2) for each in (black, parts))
        if name in layers:
            assert torch.equal(inside[name] == 1, black == 0), name
            assert torch.equal(everywhere[name] == 1, black > 0), name
            assert torch.equal(simple[name], parts)
    assert 0 < int((inside["relu3_1"] == 1).sum()) < inside["relu3_1"].numel()


def test_a_layer_that_sees_nothing_but_the_edge_has_no_guide_inside():
    small = torch.zeros(1, 1, 32, 32)
    small[..., 10:16, 10:16] = 1
    assert set(layer_guides(small, LAYERS, network="vgg19", form="inside")) == {"relu1_1"}


def test_shares_are_what_each_part_paints():
    left, right = left_half(), 1 - left_half()
    assert shares([None]) == [1]
    assert shares([None, None]) == [0.5, 0.5]
    assert shares([left]) == [0.5]
    assert shares([left, right]) == [0.5, 0.5]
    assert shares([None, left]) == [0.75, 0.25]
    assert shares([left * 0.5]) == [0.25]


# ---- guided statistics --------------------------------------------------------------------------


@pytest.mark.parametrize("name", STATISTICS)
def test_a_guide_of_zeros_and_ones_measures_those_positions_alone(name):
    statistic = STATISTICS[name]
    generator = torch.Generator().manual_seed(2)
    maps = [torch.rand((1, 4, 6, 8), generator=generator).double() for _ in range(statistic.span)]
    guide = torch.zeros(1, 1, 6, 8).double()
    guide[..., :4] = 1
    guided = statistic.measure(*maps, guide=guide / guide.square().sum().sqrt())
    alone = statistic.measure(*(each[..., :4] for each in maps))
    target = statistic.measure(*(each.flip(-1) * 0.7 for each in maps))
    assert_close(
        statistic.distance(guided, target), statistic.distance(alone, target), relative=1e-9
    )
    if name != "nearest":  # whose description also tells how much a position counts
        assert_close(guided, alone, relative=1e-9)


@pytest.mark.parametrize("name", STATISTICS)
def test_a_position_that_counts_twice_is_as_two(name):
    statistic = STATISTICS[name]
    maps = [torch.rand(1, 4, 1, 6, generator=torch.Generator().manual_seed(i)).double()
            for i in range(statistic.span)]  # fmt: skip
    counts = torch.tensor([2.0, 1, 1, 3, 0, 1]).double().view(1, 1, 1, 6)
    repeated = [each.repeat_interleave(counts.flatten().int(), dim=-1) for each in maps]
    target = statistic.measure(*(each.flip(-1) * 0.7 for each in maps))
    guided, plain = statistic.measure(*maps, guide=counts.sqrt()), statistic.measure(*repeated)
    if name in ("sliced", "histogram"):  # as many quantiles as positions: here 5 of the 8
        gram = 4 if name == "histogram" else 0
        assert_close(guided[..., :gram].sum(), plain[..., :gram].sum(), relative=1e-12)
        guided, plain = guided[..., gram:], plain[..., gram:]
        assert guided.shape[-1] == 5
        ranks = ((torch.arange(5) + 0.5) / 5 * 8).floor().long()
        assert_close(guided, plain[..., ranks], relative=1e-12)
        return
    assert_close(
        statistic.distance(guided, target), statistic.distance(plain, target), relative=1e-9
    )


@pytest.mark.parametrize("name", [n for n, s in STATISTICS.items() if isinstance(s, Summed)])
def test_the_closed_form_gradient_under_a_guide_equals_autograd(name):
    statistic = STATISTICS[name]
    generator = torch.Generator().manual_seed(3)
    sizes = [(3, 4), (6, 8)][: statistic.span]
    maps = [
        torch.rand((1, 4, *size), generator=generator).double().requires_grad_() for size in sizes
    ]
    guide = torch.rand((1, 1, 3, 4), generator=generator).double()
    target = statistic.measure(*(each.detach() * 0.6 for each in maps))
    loss = statistic.distance(statistic.measure(*maps, guide=guide), target)
    expected = torch.autograd.grad(loss, maps)
    with torch.no_grad():
        halves = [(slice(0, 2), slice(0, 4)), (slice(2, 4), slice(4, 8))]
        parts = [
            ([each.detach()[..., half[i]] for i, each in enumerate(maps)], guide[..., half[0]])
            for half in halves
        ]
        sums = [statistic.accumulate(*part, guide=own) for part, own in parts]
        by_sums = statistic.sums_gradient(sums[0] + sums[1], target)
        for half, (part, own) in zip(halves, parts, strict=True):
            ours = statistic.gradient(by_sums, *part, guide=own)
            for i, (slope, whole) in enumerate(zip(ours, expected, strict=True)):
                assert_close(slope, whole[..., half[i]], relative=1e-9)


def test_each_half_aims_at_and_is_measured_by_its_own_gram_matrix(photo, painting):
    """Both halves, picture and painting, against NumPy over the positions of the mask."""
    stylizer = Stylizer(Settings(**QUICK, style_layers=("relu1_1",)))
    left = left_half()
    guidance = Guidance(masks=[left, 1 - left], style_masks=[left_half(36, 32), None])
    terms = objective(
        stylizer, photo, [painting, painting.flip(2)], guidance,
        style_layers=("relu1_1",), style_form="mean", style_weight=8.0, statistic="gram",
    )  # fmt: skip
    assert [part.weight for part in terms.targets.style] == [4.0, 4.0]
    features = stylizer.encoder(photo)["relu1_1"][0].double().numpy()
    halves = [features[..., :20], features[..., 20:]]
    own = stylizer.encoder(painting)["relu1_1"][0].double().numpy()
    other = stylizer.encoder(painting.flip(2))["relu1_1"][0].double().numpy()
    losses = terms.by_layer(photo)
    for number, (half, style) in enumerate(zip(halves, [own[..., :16], other], strict=True), 1):
        gram, aim = (np.tensordot(f, f, ((1, 2), (1, 2))) / f[0].size for f in (half, style))
        expected = 4.0 * np.mean(((gram - aim) / gram.shape[0]) ** 2)
        assert_close(losses[f"style {number} relu1_1"], expected, relative=1e-5)


# ---- the objective and the picture --------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("statistic", ["gram", "moments", "sliced", "chained"])
def test_a_mask_of_ones_is_no_mask(photo, painting, stylizer, form, statistic):
    changes = {"guidance": form, "statistic": statistic}
    ones = Guidance(masks=[torch.ones(1, 1, 32, 40)], style_masks=[torch.ones(1, 1, 36, 32)])
    plain = objective(stylizer, photo, painting, **changes)
    masked = objective(stylizer, photo, painting, ones, **changes)
    assert masked.targets.style[0].guides is not None
    for name, loss in plain.by_layer(photo).items():
        assert_close(masked.by_layer(photo)[name], loss.detach(), relative=1e-6)
    assert_close(style_gradient(masked, photo), style_gradient(plain, photo), relative=2e-6)


def test_inside_pulls_no_pixel_outside(photo, painting, stylizer):
    mask = left_half()
    gradients = {
        form: style_gradient(
            objective(stylizer, photo, painting, Guidance(masks=[mask]), guidance=form), photo
        )
        for form in FORMS
    }
    assert not gradients["inside"][..., 20:].any()
    assert gradients["inside"][..., :20].any()
    assert gradients["simple"][..., 20:].any()
    assert gradients["all"][..., 20:].abs().sum() > gradients["simple"][..., 20:].abs().sum()


def test_inside_pulls_no_pixel_outside_at_the_size_of_a_picture(examples):
    """At sizes for which libraries choose faster, less exact convolutions."""
    photo = load_image(examples / "kingfisher.jpg", long_side=192)
    height, width = photo.shape[-2:]
    stylizer = Stylizer(Settings(**QUICK))
    guidance = Guidance(masks=[left_half(height, width)])
    terms = objective(
        stylizer, photo, photo.flip(3), guidance, guidance="inside",
        style_layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1"),
    )  # fmt: skip
    gradient = style_gradient(terms, photo)
    assert not gradient[..., width // 2 :].any()
    assert gradient[..., : width // 2].any()


def test_styles_and_their_masks_can_be_swapped(photo, painting, stylizer):
    mask, other = left_half(), painting.flip(3)
    one = objective(
        stylizer, photo, [painting, other], Guidance(masks=[mask, 1 - mask]),
        style_weight=(8.0, 20.0), style_scale=(1.0, 0.7),
    )  # fmt: skip
    two = objective(
        stylizer, photo, [other, painting], Guidance(masks=[1 - mask, mask]),
        style_weight=(20.0, 8.0), style_scale=(0.7, 1.0),
    )  # fmt: skip
    assert_close(two(photo)["style"], one(photo)["style"].detach(), relative=1e-6)
    assert_close(style_gradient(two, photo), style_gradient(one, photo), relative=1e-5)
    blended = [
        objective(stylizer, photo, styles, style_weight=weights)(photo)["style"].detach()
        for styles, weights in [([painting, other], (8.0, 20.0)), ([other, painting], (20.0, 8.0))]
    ]
    assert_close(blended[0], blended[1], relative=1e-6)


def test_a_mask_does_not_change_how_strong_the_style_is_where_it_paints(photo, painting, stylizer):
    """A picture of two equal halves, one of them masked, has the same pull there as without."""
    twice = torch.cat([photo, photo], 3)
    whole = objective(stylizer, twice, painting, style_layers=("relu1_1",))
    half = objective(
        stylizer, twice, painting, Guidance(masks=[left_half(32, 80)]), style_layers=("relu1_1",)
    )
    interior = (..., slice(8, 32))
    # The right half of `twice` doubles every position, so each pulls the whole as much.
    assert_close(
        style_gradient(half, twice)[interior], style_gradient(whole, twice)[interior], relative=0.05
    )


def test_weights_of_styles_are_their_shares_and_their_strength(photo, painting, stylizer):
    styles = [painting, painting.flip(3)]
    only_first = objective(stylizer, photo, styles, style_weight=(15.0, 0.0))
    alone = objective(stylizer, photo, painting, style_weight=7.5)
    assert_close(only_first(photo)["style"], alone(photo)["style"].detach(), relative=1e-6)
    both, equal = (
        objective(stylizer, photo, styles, style_weight=weight) for weight in ((6.0, 6.0), 6.0)
    )
    assert_close(both(photo)["style"], equal(photo)["style"].detach(), relative=1e-7)


def test_what_no_mask_paints_stays_the_photo_in_every_step_and_in_the_file(
    photo_file, painting, tmp_path
):
    settings = Settings(steps=8, long_side=40, coarsest=28, style_layers=LAYERS, init="noise")
    stylizer = Stylizer(settings)
    guidance = Guidance(masks=[left_half()])
    photo = load_picture(photo_file).image
    for step in stylizer.steps(photo_file, painting, guidance=guidance):
        size = tuple(step.image.shape[-2:])
        kept = fitted(left_half(), size).expand(1, 3, -1, -1) == 0
        assert kept.any()
        assert torch.equal(step.image[kept], resize(photo, size)[kept])
    stylizer.stylize(photo_file, painting, guidance=guidance).save(tmp_path / "out.png")
    before, after = pixels(photo_file), pixels(tmp_path / "out.png")
    assert np.array_equal(after[:, 20:], before[:, 20:])
    assert np.abs(after[:, :20].astype(int) - before[:, :20]).max() > 40


def test_photo_colors_and_masks_go_together(photo_file, painting, tmp_path):
    settings = Settings(**QUICK, style_layers=LAYERS, color="luminance").replace(long_side=40)
    result = stylize(photo_file, painting, settings, guidance=Guidance(masks=[left_half()]))
    result.save(tmp_path / "out.png")
    before, after = pixels(photo_file), pixels(tmp_path / "out.png")
    assert np.array_equal(after[:, 20:], before[:, 20:])
    assert not np.array_equal(after[:, :20], before[:, :20])


def test_gray_is_painted_by_halves(photo, painting):
    settings = Settings(**QUICK, style_layers=LAYERS).replace(long_side=40)
    gray = torch.full((1, 1, 32, 40), 0.5)
    result = stylize(
        photo, painting, settings.replace(init="noise"), guidance=Guidance(masks=[gray])
    )
    # From noise: half of what is painted over half of the photo can only be so far away.
    assert float((result.image - photo).abs().max()) <= 0.5 + 1e-5
    assert float((result.image - photo).abs().mean()) > 0.02


def test_a_content_mask_multiplies_the_content_loss(photo, painting, stylizer):
    mask = left_half()
    terms = objective(
        stylizer, photo, painting, Guidance(content_mask=mask),
        content_mask_weight=5.0, content_layers=("relu1_1",), content_form="mean",
    )  # fmt: skip
    picture = photo.flip(2)
    seen, aim = (stylizer.encoder(each)["relu1_1"][0].double().numpy() for each in (picture, photo))
    counts = np.where(np.arange(40) < 20, 5.0, 1.0)
    assert_close(terms(picture)["content"], np.mean((seen - aim) ** 2 * counts), relative=1e-5)


def test_a_protected_part_stays_closer_to_the_photo(photo, painting):
    settings = Settings(steps=20, long_side=40, coarsest=0, style_layers=LAYERS)
    settings = settings.replace(content_layers=("relu2_1",), content_mask_weight=50.0)
    free = stylize(photo, painting, settings).image
    kept = stylize(photo, painting, settings, guidance=Guidance(content_mask=left_half())).image
    apart = [float((each - photo)[..., :16].square().mean()) for each in (kept, free)]
    assert apart[0] < 0.8 * apart[1]


# ---- reading masks ------------------------------------------------------------------------------


HALF = (left_half()[0, 0].numpy() * 255).astype(np.uint8)


def test_an_inverted_mask_paints_the_rest(photo_file, painting, tmp_path):
    path = saved(HALF, tmp_path / "mask.png")
    settings = Settings(**QUICK, style_layers=LAYERS).replace(long_side=40)
    result = stylize(photo_file, painting, settings, guidance=Guidance(masks=["not:" + path]))
    kept, painted = (result.image - load_image(photo_file)).abs().split(20, dim=3)
    assert not kept.any()
    assert painted.mean() > 0.02
    (noted,) = result.inputs["masks"]
    assert noted["name"] == "mask.png"
    assert noted["inverted"] is True


def test_a_single_mask_needs_no_list(photo, painting, tmp_path):
    path = saved(HALF, tmp_path / "mask.png")
    pictures = Picture(photo), [Picture(painting)]
    for mask in (path, tmp_path / "mask.png", left_half()[0, 0], HALF, PIL.Image.fromarray(HALF)):
        (part,) = lay_out(Guidance(masks=mask), *pictures).parts
        assert torch.equal(part.mask, left_half())
    relative = (tmp_path / "mask.png").relative_to(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        (part,) = lay_out(Guidance(masks=Path(f"not:{relative}")), *pictures).parts
    assert torch.equal(part.mask, 1 - left_half())
    with pytest.raises(ImageError, match=r"not: needs a picture.s file name"):
        lay_out(Guidance(masks="not:"), *pictures)


def test_a_mask_too_small_for_every_layer_is_an_error(photo, painting):
    tiny = torch.zeros(1, 1, 32, 40)
    tiny[..., 4:6, 4:6] = 1
    settings = Settings(**QUICK, style_layers=LAYERS, guidance="inside").replace(long_side=40)
    with pytest.raises(SettingsError, match=r"a mask of style 1 selects is too small .* simple"):
        stylize(photo, painting, settings, guidance=Guidance(masks=tiny))
    stylize(photo, painting, settings.replace(guidance="simple"), guidance=Guidance(masks=tiny))


@pytest.mark.parametrize(
    ("guidance", "message"),
    [
        (
            Guidance(masks=["sky.png"]),
            r"1 × mask for 2 styles \(one.jpg with sky.png, two.jpg with no mask\): give one for "
            r"each style, in their order; write none for a style without one",
        ),
        (
            Guidance(style_masks=[None, "a.png", "b.png"]),
            r"3 × style mask for 2 styles \(one.jpg with none, two.jpg with a.png, no style with",
        ),
        (Guidance(masks=["a", "b"], regions="c", style_regions=["d", "e"]), "one of them"),
        (Guidance(style_regions=["d", "e"]), "style_regions need regions"),
        (Guidance(regions="c", style_regions=["d"]), r"1 × map of regions for 2 styles"),
    ],
)
def test_another_count_is_an_error_that_names_the_pairs(photo, guidance, message):
    paintings = [Picture(photo, name=name) for name in ("one.jpg", "two.jpg")]
    with pytest.raises(SettingsError, match=message):
        lay_out(guidance, Picture(photo), paintings)


def test_weights_and_scales_are_counted_too(photo, painting):
    for name in ("style_weight", "style_scale"):
        with pytest.raises(SettingsError, match=rf"{name} has 3 numbers \(1, 2, 3\) for 2 styles"):
            load_inputs(photo, [painting, painting], Settings(**{name: (1, 2, 3)}))


# ---- maps in flat colors ------------------------------------------------------------------------

RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)


def color_map(*colors: tuple[int, int, int], size: tuple[int, int] = (32, 40)) -> np.ndarray:
    """Upright bands of equal width."""
    index = np.arange(size[1]) * len(colors) // size[1]
    return np.broadcast_to(np.array(colors, np.uint8)[index], (*size, 3)).copy()


def test_a_region_gets_the_style_of_the_region_of_its_color(photo, painting):
    guidance = Guidance(
        regions=color_map(RED, BLUE, BLACK, BLACK),
        style_regions=[color_map(BLUE, RED, size=(36, 32)), color_map(BLUE, size=(36, 32))],
    )
    pictures = [Picture(each) for each in (photo, painting, painting.flip(3))]
    layout = lay_out(guidance, pictures[0], pictures[1:])
    found = {
        (part.style, tuple(part.mask[0, 0, 0].nonzero().flatten().tolist()),
         tuple(part.style_mask[0, 0, 0].nonzero().flatten().tolist()))
        for part in layout.parts
    }  # fmt: skip
    first, second = tuple(range(10)), tuple(range(10, 20))
    assert found == {
        (0, first, tuple(range(16, 32))),
        (0, second, tuple(range(16))),
        (1, second, tuple(range(32))),
    }
    painted = layout.painted((32, 40), 0)
    assert torch.equal(painted[0, 0, 0] > 0, torch.arange(40) < 20)


def test_black_and_transparent_regions_are_not_painted(photo, painting):
    own = color_map(RED, BLUE, BLACK, BLACK)
    clear = np.dstack([own, np.full((32, 40), 255, np.uint8)])
    clear[:, 10:20, 3] = 0  # the blue band
    theirs = color_map(RED, BLUE, BLACK, size=(36, 32))
    for regions, painted in ((own, 20), (clear, 10)):
        guidance = Guidance(regions=regions, style_regions=theirs)
        layout = lay_out(guidance, Picture(photo), [Picture(painting)])
        row = layout.painted((32, 40), 0)[0, 0, 0]
        assert torch.equal(row > 0, torch.arange(40) < painted)


def test_a_small_region_is_kept(photo, painting):
    own, theirs = color_map(RED, size=(128, 160)), color_map(RED, BLUE, size=(36, 32))
    own[60:66, 60:66] = BLUE
    guidance = Guidance(regions=own, style_regions=theirs)
    layout = lay_out(guidance, Picture(photo), [Picture(painting)])
    assert sorted(int(part.mask.sum()) for part in layout.parts) == [36, 128 * 160 - 36]


def test_maps_with_smoothed_edges_and_of_jpeg_have_the_same_regions(photo, painting):
    sharp = PIL.Image.fromarray(color_map(RED, BLUE, (0, 255, 0), size=(64, 96)))
    smooth = sharp.resize((48, 32), PIL.Image.Resampling.BILINEAR).resize((96, 64))
    buffer = io.BytesIO()
    smooth.save(buffer, "jpeg", quality=90)
    wide, tall = Picture(torch.rand(1, 3, 64, 96)), Picture(torch.rand(1, 3, 64, 96))
    own = PIL.Image.open(io.BytesIO(buffer.getvalue()))
    layout = lay_out(Guidance(regions=own, style_regions=[sharp]), wide, [tall])
    assert len(layout.parts) == 3
    assert sum(float(part.mask.sum()) for part in layout.parts) == 64 * 96


@pytest.mark.parametrize(
    ("own", "others", "message"),
    [
        (color_map(RED, BLUE), color_map(RED, size=(36, 32)),
         r"has the color #0000ff, which no painting's map has \(they have #ff0000\)"),
        (color_map(BLACK), color_map(RED, size=(36, 32)),
         r"is black, so that nothing of the photo would be painted"),
        (np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8),
         color_map(RED, size=(36, 32)), r"is not a map of regions, which has 1 to 16 flat"),
        (color_map(RED, size=(32, 20)), color_map(RED, size=(36, 32)), r"not the proportions of"),
    ],
)  # fmt: skip
def test_maps_that_are_refused(photo, painting, own, others, message):
    guidance = Guidance(regions=own, style_regions=[others])
    with pytest.raises(ImageError, match=message) as caught:
        lay_out(guidance, Picture(photo), [Picture(painting)])
    assert caught.value.path == "the map of regions"


def test_a_painting_without_a_region_is_an_error(photo, painting):
    maps = [color_map(RED, size=(36, 32)), color_map(BLUE, size=(36, 32))]
    guidance = Guidance(regions=color_map(RED, BLACK), style_regions=maps)
    paintings = [Picture(painting, name="a.jpg"), Picture(painting, name="b.jpg")]
    with pytest.raises(ImageError, match=r"the style of b.jpg would not be used"):
        lay_out(guidance, Picture(photo), paintings)


# ---- the command line ---------------------------------------------------------------------------

SMALL = ("--long-side", "40", "--steps", "3", "--coarsest", "0", "-q")


def test_masks_on_the_command_line(command, photo_file, painting_file, tmp_path):
    mask = saved(HALF, tmp_path / "mask.png")
    outcome = command(
        "stylize", photo_file, painting_file, painting_file, "-o", tmp_path / "out.png", "--json",
        "--mask", mask, "--mask", "none", "--style-mask", "none", "--style-mask", "none",
        "--style-weight", "none", "--style-weight", "20", *SMALL,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    noted = json.loads(outcome.out)
    assert [each and each["name"] for each in noted["masks"]] == ["mask.png", None]
    assert noted["style_masks"] == [None, None]
    assert noted["settings"]["style_weight"] == [Settings().style_weight, 20.0]
    outcome = command(
        "stylize", photo_file, painting_file, "-o", tmp_path / "half.png", "--mask", mask,
        "--content-mask", f"not:{mask}", "--feather", "2", "--guidance", "inside", *SMALL,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    before, after = pixels(photo_file), pixels(tmp_path / "half.png")
    assert np.array_equal(after[:, 22:], before[:, 22:])


def test_maps_on_the_command_line(command, photo_file, painting_file, tmp_path):
    own = saved(color_map(RED, BLACK), tmp_path / "own.png")
    other = saved(color_map(RED, BLUE, size=(36, 32)), tmp_path / "other.png")
    outcome = command(
        "stylize", photo_file, painting_file, "-o", tmp_path / "out.png", "--json",
        "--regions", own, "--style-regions", other, *SMALL,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    noted = json.loads(outcome.out)
    assert noted["regions"]["name"] == "own.png"
    assert [each["name"] for each in noted["style_regions"]] == ["other.png"]
    before, after = pixels(photo_file), pixels(tmp_path / "out.png")
    assert np.array_equal(after[:, 20:], before[:, 20:])


def test_weights_per_style_go_with_time_and_with_files(
    command, photo_file, painting_file, tmp_path
):
    words = ("stylize", photo_file, painting_file, painting_file, "-q", "--json", "--threads", 1)
    size = ("--long-side", 40, "--coarsest", 0)
    weights = ("--style-weight", 22, "--style-weight", 8, "--style-scale", 1, "--style-scale", 0.9)
    outcome = command(*words, "-o", tmp_path / "a.png", *weights, *size, "--time", "3s")
    assert outcome.code == 0, outcome.err
    (tmp_path / "s.toml").write_text("style_weight = [3, 9, 4]")
    flags = ("--settings", tmp_path / "s.toml", "--style-weight", 5, "--style-weight", 6)
    outcome = command(*words, "-o", tmp_path / "b.png", *flags, *size, "--steps", 2)
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["settings"]["style_weight"] == [5.0, 6.0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--mask", "none"), "1 × mask for 2 styles"),
        (("--style-weight", "3"), "1 × --style-weight for 2 styles (painting.png with 3, "),
        (("--style-scale", "1", "--style-scale", "2", "--style-scale", "3"), "no style with 3"),
        (("--style-weight", "3", "--style-weight", "much"), "'much' is neither a number nor none"),
    ],
)
def test_counts_on_the_command_line(command, photo_file, painting_file, words, message, tmp_path):
    outcome = command(
        "stylize", photo_file, painting_file, painting_file, "-o", tmp_path / "out.png", *words
    )
    assert_clear_error(outcome, message)
    assert not (tmp_path / "out.png").exists()


def test_every_form_can_be_encoded(photo):
    """The encoder and the guides agree about the grid of every layer, odd sides too."""
    layers = [name for name in layer_names("vgg19") if name.startswith(("relu", "pool"))][:12]
    image = torch.rand(1, 3, 45, 51)
    features = Encoder(layers)(image)
    for form in FORMS:
        masks = layer_masks(torch.ones(1, 1, 45, 51), layers, network="vgg19", form=form)
        assert {n: m.shape[-2:] for n, m in masks.items()} == {
            n: f.shape[-2:] for n, f in features.items()
        }
