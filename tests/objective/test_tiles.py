"""Tiled = whole: losses and gradient, for everything that can be cut."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from helpers import assert_close, toy_weights
from impasto.errors import SettingsError
from impasto.network.encoder import Encoder
from impasto.network.weights import VGGWeights
from impasto.objective import objective as objective_module, tiles, variation_term
from impasto.objective.guides import layer_guides, layer_masks
from impasto.objective.laplacian_term import measure_laplacians
from impasto.objective.layer_weights import seen_layers
from impasto.objective.objective import Objective
from impasto.objective.targets import StyleTarget, Targets, measure_content, measure_style
from impasto.objective.tiles import tile_margin
from impasto.painting.guidance import Guidance
from impasto.painting.stylizer import Stylizer
from impasto.pictures.files import load_image
from impasto.pictures.picture import resize
from impasto.settings.pictures import Settings
from impasto.style import STATISTICS, Summed, chosen_statistic
from reference_objective import ReferenceObjective, blended_style

SUMMED = [name for name in STATISTICS if isinstance(STATISTICS[name], Summed)]
SIZE = (97, 131)
SHALLOW = ("relu1_1", "relu1_2", "relu2_1", "relu3_1")  # a margin of 12 px, in units of 4
DEEP = (*SHALLOW, "relu4_1", "relu5_1")
# The long side is several tiles of the deep layers, margins included.
LONG = (67, 419)


def picture(size: tuple[int, int] = SIZE, *, seed: int = 0) -> Tensor:
    """Noise of several scales: features differ everywhere, and few pool from equal values."""
    generator = torch.Generator().manual_seed(seed)
    octaves = [
        resize(torch.rand((1, 3, size[0] // n + 1, size[1] // n + 1), generator=generator), size)
        for n in (1, 4, 16)
    ]
    return (torch.stack(octaves).mean(0) + 0.02 * seed).clamp(0, 1).double()


def half_masks(size: tuple[int, int]) -> list[Tensor]:
    """Two masks with a soft, slanting edge in between, and nothing at either end."""
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    soft = ((x + 0.3 * y - 0.5 * size[1]) / 9).clamp(0, 1)[None, None].double()
    return [(1 - soft) * (x > 20), soft * (x < size[1] - 30)]


def encoder_for(settings: Settings) -> Encoder:
    return Encoder(
        seen_layers(settings),
        network=settings.network,
        weights=toy_weights(settings.network, width=1 / 24),
        pooling=settings.pooling,
        pooling_rescaled=settings.pooling_rescaled,
    ).double()


def objectives(
    settings: Settings,
    tile: int,
    *,
    size: tuple[int, int] = SIZE,
    masks: bool = False,
    content_mask: bool = False,
    encoder: Encoder | None = None,
) -> tuple[ReferenceObjective, Objective]:
    """An objective by autograd, whole, and in tiles; two paintings, with masks or blended."""
    encoder = encoder or encoder_for(settings)
    dtype = next(encoder.buffers()).dtype
    statistic, layers = chosen_statistic(settings), seen_layers(settings, "style")
    paintings = [picture((75, 90), seed=2).to(dtype), picture((80, 66), seed=3).to(dtype)]

    def measured(*styles: Tensor) -> dict[str, Tensor]:
        return blended_style(encoder, styles, layers=layers, statistic=statistic)

    def guides(mask: Tensor) -> dict[str, Tensor]:
        found = layer_guides(mask, layers, network=settings.network)
        return {name: guide.to(dtype) for name, guide in found.items()}

    if not layers:
        style = []
    elif masks:
        style = [
            StyleTarget(measured(painting), weight, guides(mask))
            for painting, weight, mask in zip(paintings, (7.0, 3.0), half_masks(size), strict=True)
        ]
    else:
        style = [StyleTarget(measured(*paintings), settings.largest_style_weight)]
    seen = seen_layers(settings, "content")
    counts, pixel_counts = {}, None
    if content_mask:
        pixel_counts = (1 + 4 * half_masks(size)[0]).to(dtype)
        found = layer_masks(half_masks(size)[0], seen, network=settings.network)
        counts = {name: 1 + 4 * mask.to(dtype) for name, mask in found.items()}
    photo = picture(size, seed=1).to(dtype)
    content = measure_content(encoder, photo, seen)
    laplacians = measure_laplacians(photo, pixel_counts)
    targets = Targets(content, style, counts, laplacians)
    return (
        ReferenceObjective(encoder, targets, settings),
        Objective(encoder, targets, settings, tile=tile),
    )


def evaluated(
    objective: Objective | ReferenceObjective, image: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    leaf = image.clone().requires_grad_()
    losses = objective.by_layer(leaf)
    (gradient,) = torch.autograd.grad(sum(losses.values()), leaf)
    return {name: loss.detach() for name, loss in losses.items()}, gradient


def assert_tiled_equals_whole(
    whole: Objective | ReferenceObjective,
    tiled: Objective,
    image: Tensor,
    *,
    relative: float = 1e-9,
    least: int = 3,
) -> None:
    """Compare losses and gradient; at least so many tiles must have been looked at."""
    count = 0
    forward = tiled.encoder.chain

    def counting(part: Tensor, up_to: str | None = None) -> dict[str, Tensor]:
        nonlocal count
        count += 1
        assert part.numel() < image.numel(), "a tile as large as the picture"
        return forward(part, up_to)

    losses, gradient = evaluated(whole, image)
    tiled.encoder.chain = counting
    try:
        found, ours = evaluated(tiled, image)
    finally:
        tiled.encoder.chain = forward
    assert count >= 2 * least, f"{count} tiles in two passes"
    assert list(found) == list(losses)
    for name, loss in losses.items():
        assert loss > 0, name
        assert_close(found[name], float(loss), relative=relative)
    assert gradient.abs().max() > 0
    assert_close(ours, gradient, relative=relative)


def everything(**changes: object) -> Settings:
    """Settings in which every term has a weight."""
    given = {
        "statistic": "gram",
        "content_layers": ("relu2_2",),
        "style_layers": SHALLOW,
        "style_weight": 10.0,
        "content_weight": 1.0,
        "laplacian_weight": 2.0,
        "tv_weight": 0.5,
        "chroma_weight": 0.5,
    }
    return Settings(**{**given, **changes})


# ---- the gradient -------------------------------------------------------------------------------


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("name", SUMMED)
def test_tiled_equals_whole_for_every_statistic_and_two_styles(name, masks):
    settings = everything(statistic=name)
    pair = objectives(settings, 36, masks=masks, content_mask=True)
    assert_tiled_equals_whole(*pair, picture())


@pytest.mark.parametrize("size", [(97, 131), (64, 64), (33, 170), (200, 17), (63, 95)])
@pytest.mark.parametrize("tile", [4, 20, 47])
def test_tiled_equals_whole_for_sizes_of_pictures_and_tiles(size, tile):
    assert_tiled_equals_whole(*objectives(everything(), tile, size=size), picture(size), least=2)


@pytest.mark.parametrize("padding", ["replicate", "zero", "extended"])
@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
def test_tiled_equals_whole_for_deep_layers_paddings_and_poolings(padding, pooling):
    settings = everything(style_layers=DEEP, content_layers=("relu4_2",), pooling=pooling)
    encoder = encoder_for(settings)
    encoder.padding = padding
    pair = objectives(settings, 64, size=LONG, encoder=encoder)
    assert_tiled_equals_whole(*pair, picture(LONG))


@pytest.mark.parametrize("name", SUMMED)
def test_tiled_equals_whole_for_deep_layers_with_masks(name):
    settings = everything(statistic=name, style_layers=DEEP, content_layers=("relu4_2",))
    pair = objectives(settings, 96, size=LONG, masks=True, content_mask=True)
    assert_tiled_equals_whole(*pair, picture(LONG))


KINDS = {
    "vgg16": {"network": "vgg16", "content_layers": ("relu3_3",)},
    "pools and convolutions": {"style_layers": ("pool1", "conv2_1", "pool2", "conv1_2")},
    "several contents": {
        "content_layers": ("relu1_1", "relu2_2", "pool2"), "content_layer_weights": (1, 2, 3),
    },
    "content only": {"style_weight": 0.0},
    "style only": {"content_weight": 0.0},
    "no total variation": {"tv_weight": 0.0, "chroma_weight": 0.0},
    "a layer without weight": {"style_layer_weights": (1, 0, 2, 3)},
    "relative": {"content_form": "relative", "style_form": "relative"},
    "gatys": {"content_form": "gatys", "style_form": "gatys"},
    "notebook": {"style_form": "notebook"},
    "vgg16 forms": {"content_form": "vgg16", "style_form": "vgg16"},
    "sum": {"tv_reduction": "sum"},
    "isotropic": {"tv_isotropic": True, "tv_power": 1.25},
    "power": {"tv_power": 2.0},
    "normalized gradients": {"normalize_gradients": True},
    "shifted": {"statistic": "shifted", "activation_shift": -0.4},
    "chained": {"statistic": "chained", "style_form": "notebook"},
    "blur": {"statistic": "chained", "correlation_blur": 0.8},
    "a wide blur": {"statistic": "chained", "correlation_blur": 2.2, "style_form": "relative"},
    "a chain of distant layers": {
        "statistic": "chained", "style_layers": ("relu1_1", "relu3_1"), "correlation_blur": 0.3,
    },
    "a chain upwards": {
        "statistic": "chained", "style_layers": ("relu2_2", "relu1_1"), "correlation_blur": 0.3,
    },
    "a chain of normalized gradients": {
        "statistic": "chained", "correlation_blur": 0.8, "normalize_gradients": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_tiled_equals_whole_for_every_kind_of_term(kind, masks, monkeypatch):
    monkeypatch.setattr(variation_term, "_BAND", 13)
    settings = everything(**KINDS[kind])
    pair = objectives(settings, 48, masks=masks, content_mask=masks)
    assert_tiled_equals_whole(*pair, picture())


@pytest.mark.parametrize("band", [1, 2, 96, 97, 98])
def test_total_variation_does_not_depend_on_its_bands(band, monkeypatch):
    monkeypatch.setattr(variation_term, "_BAND", band)
    for isotropic in (False, True):
        assert_tiled_equals_whole(*objectives(everything(tv_isotropic=isotropic), 60), picture())


@pytest.mark.parametrize("normalized", [False, True])
def test_a_picture_that_fits_one_tile_is_looked_at_whole(normalized):
    """And once: its features are kept until the losses are known."""
    settings = everything().replace(normalize_gradients=normalized)
    whole, tiled = objectives(settings, 131)
    shown = without_memory(tiled.encoder, 97 * 131)
    (losses, gradient), (found, ours) = (evaluated(each, picture()) for each in (whole, tiled))
    assert shown.count(97 * 131) == 2  # by either, of the same encoder
    assert list(found) == list(losses)
    for name, loss in losses.items():
        assert_close(found[name], float(loss), relative=1e-13)
    assert_close(ours, gradient, relative=1e-13)


def test_without_gradients_the_losses_are_the_same():
    whole, tiled = objectives(everything(), 40)
    losses = whole.by_layer(picture())
    for image in (picture(), picture().requires_grad_()):
        with torch.no_grad():
            found = tiled.by_layer(image)
        assert not any(loss.requires_grad for loss in found.values())
        for name, loss in losses.items():
            assert_close(found[name], float(loss), relative=1e-12)


def test_losses_can_be_differentiated_through_what_comes_before_but_only_together():
    whole, tiled = objectives(everything(), 40)
    slopes = []
    for objective in (whole, tiled):
        leaf = picture().requires_grad_()
        losses = objective.by_layer(leaf.square() * 0.9)
        slopes.append(torch.autograd.grad(3 * sum(losses.values()), leaf)[0])
    assert_close(slopes[1], slopes[0], relative=1e-12)
    with pytest.raises(RuntimeError, match="only the sum of all losses"):
        torch.autograd.grad(tiled.by_layer(leaf)["tv"], leaf)


def test_the_gradient_is_zero_at_the_target():
    settings = everything(tv_weight=0.0, chroma_weight=0.0, style_weight=0.0)
    _, tiled = objectives(settings, 40)
    losses, gradient = evaluated(tiled, picture(seed=1))
    assert sum(losses.values()) < 1e-25
    assert gradient.abs().max() < 1e-12
    # Normalized, it must be exactly the target.
    settings = settings.replace(laplacian_weight=0.0)
    weights = toy_weights("vgg19")
    silent = {name: (weight, bias - 1e9) for name, (weight, bias) in weights.layers.items()}
    encoder = Encoder(("relu2_2",), weights=VGGWeights("vgg19", "caffe", silent)).double()
    _, tiled = objectives(settings.replace(normalize_gradients=True), 40, encoder=encoder)
    losses, gradient = evaluated(tiled, picture())
    assert losses["content relu2_2"] == 0
    assert gradient.abs().max() == 0


@pytest.mark.parametrize("name", ["gram", "chained"])
def test_a_margin_of_one_unit_less_is_not_enough(name, monkeypatch):
    """Or else the others would not notice a wrong margin."""
    settings = everything(statistic=name, style_layers=DEEP, content_layers=("relu4_2",))
    whole, tiled = objectives(settings, 64, size=LONG)
    assert_tiled_equals_whole(whole, tiled, picture(LONG))
    exact = tile_margin
    monkeypatch.setattr(tiles, "tile_margin", lambda *a, **k: exact(*a, **k) - 16)
    with pytest.raises(AssertionError, match="relative error"):
        assert_tiled_equals_whole(whole, tiled, picture(LONG), relative=1e-13)


def test_a_margin_without_the_blur_is_not_enough(monkeypatch):
    settings = everything(**KINDS["a wide blur"], content_weight=0.0)
    whole, tiled = objectives(settings, 40)
    monkeypatch.setattr(objective_module, "look_around", lambda *_: 0)
    with pytest.raises(AssertionError, match="relative error"):
        assert_tiled_equals_whole(whole, tiled, picture())


@pytest.mark.parametrize("network", ["vgg19", "vgg16"])
def test_tiled_equals_whole_for_the_real_networks_in_single_precision(network, examples):
    settings = Settings(network=network, content_layers=("relu4_2",), style_layers=DEEP)
    encoder = Encoder(("relu4_2", *DEEP), network=network)
    size = (90, 353)
    whole, tiled = objectives(settings, 96, size=size, encoder=encoder)
    image = load_image(next(iter(sorted(examples.glob("*.jpg")))))
    assert_tiled_equals_whole(whole, tiled, resize(image, size), relative=1e-4)


# ---- what cannot be cut -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in STATISTICS if name not in SUMMED])
def test_what_is_no_sum_is_refused_where_it_would_need_tiles(name):
    whole, tiled = objectives(everything(statistic=name), 40)
    with pytest.raises(SettingsError, match=rf"statistic {name} .* one of gram, shifted, .*, or a"):
        tiled.by_layer(picture())
    tiled.tile = 131
    losses, gradient = evaluated(whole, picture())
    found, ours = evaluated(tiled, picture())
    for name, loss in losses.items():
        assert_close(found[name], float(loss), relative=1e-12)
    assert_close(ours, gradient, relative=1e-9)


def test_a_picture_without_borders_is_refused():
    _, tiled = objectives(everything(), 40)
    tiled.encoder.padding = "circular"
    with pytest.raises(SettingsError, match="padding circular"):
        tiled.by_layer(picture())


# ---- memory that does not suffice ---------------------------------------------------------------

MESSAGES = (
    "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory",
    "CUDA out of memory. Tried to allocate 2.00 GiB",
)


def without_memory(encoder: Encoder, pixels: int, *, grad: bool = False) -> list[int]:
    """Let an encoder fail for larger pictures, and list the pixels of those it was shown.

    Args: grad: only where gradients are wanted.
    """
    forward, shown = encoder.chain, []
    messages = itertools.cycle(MESSAGES)

    def fail(image: Tensor, up_to: str | None = None) -> dict[str, Tensor]:
        if grad and not torch.is_grad_enabled():
            return forward(image, up_to)
        shown.append(image.shape[-1] * image.shape[-2])
        if shown[-1] > pixels:
            raise RuntimeError(next(messages))
        return forward(image, up_to)

    encoder.chain = fail
    return shown


@pytest.mark.parametrize("tile", [None, 300])
@pytest.mark.parametrize("grad", [False, True])
def test_without_memory_tiles_are_halved(tile, grad):
    size = (100, 600)
    whole, tiled = objectives(everything(), tile, size=size)
    losses, gradient = evaluated(whole, picture(size))
    shown = without_memory(tiled.encoder, 200 * 100, grad=grad)
    found, ours = evaluated(tiled, picture(size))
    assert tiled.tile == 150
    assert_close(ours, gradient, relative=1e-9)
    for name, loss in losses.items():
        assert_close(found[name], float(loss), relative=1e-9)
    shown.clear()
    evaluated(tiled, picture(size))
    assert max(shown) <= 200 * 100, "it is not tried again"


def test_tiles_are_not_halved_for_ever():
    _, tiled = objectives(everything(), None, size=(100, 600))
    without_memory(tiled.encoder, 50 * 50)
    with pytest.raises(RuntimeError, match="memory"):
        tiled.by_layer(picture((100, 600)))
    _, tiled = objectives(everything(statistic="sliced"), None)
    without_memory(tiled.encoder, 100 * 100)
    with pytest.raises(RuntimeError, match="memory"):
        tiled.by_layer(picture())


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt()])
def test_other_errors_and_interruptions_end_an_evaluation(error):
    _, tiled = objectives(everything(), 40)
    forward, calls = tiled.encoder.chain, []

    def fail(image: Tensor, up_to: str | None = None) -> dict[str, Tensor]:
        calls.append(1)
        if len(calls) == 20:
            raise error
        return forward(image, up_to)

    tiled.encoder.chain = fail
    with pytest.raises(type(error)) as caught:
        evaluated(tiled, picture())
    assert caught.value is error
    assert len(calls) == 20


# ---- what to aim at -----------------------------------------------------------------------------


def test_content_measured_in_tiles_is_that_of_the_whole():
    encoder = Encoder(DEEP, weights=toy_weights("vgg19")).double()
    image, layers = picture(LONG), ("relu1_1", "relu2_1", "relu5_1")
    whole = measure_content(encoder, image, layers)
    parts = measure_content(encoder, image, layers, tile=64)
    halves = measure_content(encoder, image, layers, tile=64, half=True)
    at_once = measure_content(encoder, image, layers, half=True)
    assert list(whole) == list(parts)
    for name, each in whole.items():
        assert_close(parts[name], each, relative=1e-13)
        assert halves[name].dtype == at_once[name].dtype == torch.bfloat16
        assert_close(halves[name].double(), each, relative=2**-8)
        assert_close(at_once[name].float(), halves[name].float(), relative=2**-7)
    assert measure_content(encoder, image, ()) == {}


@pytest.mark.parametrize("form", ["mean", "relative"])
def test_content_kept_in_bfloat16_gives_nearly_the_same_loss(form):
    settings = everything(content_form=form)
    whole, tiled = objectives(settings, 40)
    content = {name: each.bfloat16() for name, each in whole.targets.content.items()}
    targets = replace(whole.targets, content=content, content_counts={})
    tiled = Objective(whole.encoder, targets, settings, tile=40)
    assert_tiled_equals_whole(whole, tiled, picture(), relative=1e-2)
    assert_tiled_equals_whole(Objective(whole.encoder, targets, settings), tiled, picture())


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", STATISTICS)
def test_a_painting_described_in_tiles_is_described_as_a_whole(name, masked):
    settings = everything(statistic=name, correlation_blur=0.7, style_layers=DEEP)
    statistic = chosen_statistic(settings)
    encoder = Encoder(DEEP, weights=toy_weights("vgg19")).double()
    guides = None
    if masked:
        mask = half_masks(LONG)[0] * (torch.arange(LONG[1]) < 120)
        guides = layer_guides(mask, DEEP, network="vgg19", form="inside")
        assert "relu5_1" not in guides
    whole = measure_style(encoder, picture(LONG), DEEP, statistic, guides)
    parts = measure_style(encoder, picture(LONG), DEEP, statistic, guides, tile=64)
    assert list(whole) == list(parts)
    for layer, each in whole.items():
        assert_close(parts[layer], each, relative=1e-12)


def test_measuring_without_memory_halves_tiles():
    encoder = Encoder(SHALLOW, weights=toy_weights("vgg19")).double()
    image, statistic = picture((100, 600)), STATISTICS["moments"]
    content = measure_content(encoder, image, SHALLOW)
    style = measure_style(encoder, image, SHALLOW, statistic)
    shown = without_memory(encoder, 200 * 100)
    for name, each in measure_content(encoder, image, SHALLOW).items():
        assert_close(each, content[name], relative=1e-12)
    for name, each in measure_style(encoder, image, SHALLOW, statistic).items():
        assert_close(each, style[name], relative=1e-12)
    assert shown.count(60000) == 2
    with pytest.raises(RuntimeError, match="memory"):
        measure_style(encoder, image, SHALLOW, STATISTICS["sliced"])


# ---- painting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("color", ["style", "luminance"])
def test_painted_in_tiles_is_painted_as_a_whole(color):
    settings = Settings(
        steps=4, long_side=131, coarsest=0, color=color, style_layers=SHALLOW,
        content_layers=("relu2_2",),
    )  # fmt: skip
    photo, painting = picture().float(), picture((90, 120), seed=2).float()
    guidance = Guidance(masks=half_masks(SIZE)[0].float())
    whole, tiled = (
        list(Stylizer(settings, tile=tile).steps(photo, painting, guidance=guidance))
        for tile in (None, 48)
    )
    assert len(whole) == len(tiled) == 4
    assert whole[-1].total < 0.9 * whole[0].total
    for one, other in zip(whole, tiled, strict=True):
        assert_close(other.image, one.image, relative=4e-3)
        assert other.total == pytest.approx(one.total, rel=4e-3)
        assert other.layers.keys() == one.layers.keys()


def test_a_painting_run_that_cannot_be_cut_is_refused_before_it_begins():
    settings = Settings(
        statistic="nearest", steps=2, long_side=131, coarsest=60, style_layers=SHALLOW
    )
    with pytest.raises(SettingsError, match=r"131 px are more than a tile of 100, but statistic n"):
        Stylizer(settings, tile=100).steps(picture().float(), picture((60, 70)).float())
    (*_, last) = Stylizer(settings, tile=131).steps(picture().float(), picture((60, 70)).float())
    assert last.index == 2


def test_what_did_not_fit_at_one_size_is_not_tried_at_the_next():
    settings = Settings(
        steps=4, long_side=420, coarsest=200, style_layers=SHALLOW, content_layers=("relu2_2",)
    )
    stylizer = Stylizer(settings)
    # Measuring, without gradients, fits.
    most = 12_000
    shown = without_memory(stylizer.encoder, most, grad=True)
    (*_, last) = stylizer.steps(picture(LONG).float(), picture((90, 120), seed=2).float())
    assert (last.index, last.levels) == (4, 3)
    assert [each > most for each in shown].count(True) == 1
