"""Every knob that changes a pixel, once: default, range, unit, help, source.

The command line's flags, settings files, the metadata in every picture and docs/options.md are
all made from the fields of `Settings`. Where a picture is computed (device, threads), where it
comes from and goes to, and how much is said about it are not settings: a picture is determined by
its content, its styles, its settings, the version and the hardware.

Free of torch, so that `--help` is instant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from impasto.errors import SettingsError
from impasto.settings.layers import check_layer, relu_names
from impasto.settings.options import Options, PerStyle, option

__all__ = ["Settings"]

NetworkName = Literal["vgg19", "vgg16"]
ConventionName = Literal["auto", "caffe", "torchvision"]
PoolingName = Literal["max", "average", "l2"]
PaddingName = Literal["zero", "replicate"]
StatisticName = Literal[
    "gram", "shifted", "chained", "moments", "wasserstein", "sliced", "histogram", "nearest"
]
ContentFormName = Literal["mean", "relative", "gatys", "vgg16"]
StyleFormName = Literal["mean", "relative", "gatys", "notebook", "vgg16"]
WeightingName = Literal["given", "shares", "geometric"]
ReductionName = Literal["mean", "sum"]
OptimizerName = Literal["lbfgs", "adam"]
PrecisionName = Literal["float32", "bfloat16"]
MatchingName = Literal["symmetric", "cholesky", "pca", "histogram"]
ColorName = Literal["style", "luminance", MatchingName]
GuidanceName = Literal["simple", "inside", "all"]


@dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """What determines a pastiche besides its pictures. Checked when made; never changes.

    Raises: SettingsError: a value of the wrong type, out of its range, or unknown.
    """

    # Pictures painted before version 0.2 carry the British spellings.
    renamed: ClassVar[Mapping[str, str]] = {
        "normalised": "normalized",
        "normalised_pixels": "normalized_pixels",
        "normalise_gradients": "normalize_gradients",
        "neighbours": "neighbors",
    }

    # The objective: which network looks, at what, and how much each term weighs.
    network: NetworkName = option("vgg19", "Network that describes the pictures.", half="objective")
    weights: str = option(
        "bundled",
        "Weights of the network: bundled, torchvision (downloaded once), or a file.",
        half="objective",
    )
    weights_convention: ConventionName = option(
        "auto", "What the weights want to see, where a file does not tell.", half="objective"
    )
    normalized: bool = option(
        False,
        "Rescale every filter so that its mean activation over a set of photos is 1.",
        half="objective",
        source="Gatys et al. 2016, section 2",
    )
    pooling: PoolingName = option("max", "How the network shrinks its maps.", half="objective")
    pooling_rescaled: bool = option(
        False,
        "Strengthen average and L2 pooling so that deep layers stay as active as with max.",
        half="objective",
        source="crowsonkb/style-transfer-pytorch",
    )
    padding: PaddingName = option(
        "replicate",
        "What the first layer sees beyond the border; zero, as trained, paints a pale frame.",
        half="objective",
        source="crowsonkb/style-transfer-pytorch",
    )
    pixel_range: float = option(
        255.0, "Value of white before the mean color is subtracted.", half="objective", low=1
    )
    precision: PrecisionName = option(
        "float32",
        "What the network computes in; bfloat16 is for GPUs: half the memory, three digits. What "
        "is measured of its features is float32 all the same.",
        half="objective",
    )
    compiled: bool = option(
        False,
        "Run the network by torch.compile, for GPUs: the first step of each size is slow then. "
        "On a CPU impasto's own kernel is faster.",
        half="objective",
    )
    content_layers: tuple[str, ...] = option(
        ("relu4_2",),
        "Layers whose features say what is where; all: every reluX_Y.",
        half="objective",
    )
    content_layer_weights: tuple[float, ...] = option(
        (), "A weight per content layer; none: 1 each.", half="objective", low=0
    )
    content_weighting: WeightingName = option(
        "given",
        "Content layers' weights as given, as shares of their sum, or as shares that double from "
        "layer to deeper layer.",
        half="objective",
        source="Novak & Nikulin 2016, for geometric",
    )
    style_layers: tuple[str, ...] = option(
        ("relu1_1", "relu2_1", "relu3_1", "relu4_1"),
        "Layers whose statistics say how it is painted; all: every reluX_Y.",
        half="objective",
        source="Gatys et al. 2016, figure 1d",
    )
    style_layer_weights: tuple[float, ...] = option(
        (), "A weight per style layer; none: 1 each.", half="objective", low=0
    )
    style_weighting: WeightingName = option(
        "given",
        "Style layers' weights as given, as shares of their sum, or as shares that halve from "
        "layer to deeper layer.",
        half="objective",
        source="Novak & Nikulin 2016, for geometric",
    )
    statistic: StatisticName = option(
        "moments", "What is compared between the painting and the picture.", half="objective"
    )
    activation_shift: float = option(
        -1.0,
        "Added to the features before they are correlated, by the statistics shifted and chained.",
        half="objective",
        source="Novak & Nikulin 2016",
    )
    correlation_blur: float = option(
        0.0,
        "Blur of the shallower layer in the statistic chained: a standard deviation in its "
        "positions; 0: none.",
        half="objective",
        low=0,
        high=100,
        source="Novak & Nikulin 2016",
    )
    directions: int = option(
        0,
        "Random lines that the statistic sliced compares along; 0: as many as channels.",
        half="objective",
        low=0,
        high=100_000,
        source="Heitz et al. 2021",
    )
    neighbors: int = option(
        4096,
        "Positions of the paintings, per layer, in which the statistic nearest looks for matches.",
        half="objective",
        low=1,
        high=10**7,
        source="NNST's last pass: 64 x 64",
    )
    content_form: ContentFormName = option(
        "relative",
        "Content loss as a mean over features, that divided by the photo's own mean square, or as "
        "in the recipe of that name.",
        half="objective",
    )
    style_form: StyleFormName = option(
        "relative",
        "Style loss as a mean, that divided by the painting's own mean square, so that every "
        "layer, network and painting weighs alike, or as in the recipe of that name.",
        half="objective",
    )
    normalize_gradients: bool = option(
        False,
        "Divide the gradient of every layer's loss by its own L1 norm there, so that only the "
        "weights say which layer counts. Losses are shown as they are.",
        half="objective",
        source="neural-style (Johnson 2015), -normalize_gradients",
    )
    content_weight: float = option(
        1.0, "How much the photo counts.", half="objective", low=0, common=True
    )
    style_weight: PerStyle = option(
        20.0,
        "How much the painting counts; of several, a number for each.",
        half="objective",
        low=0,
        common=True,
    )
    guidance: GuidanceName = option(
        "simple",
        "How a mask holds for features that see across its edge: by the part that lies in the "
        "mask (simple), not at all (inside), or as if they lay in it (all).",
        half="objective",
        source="Gatys et al. 2017, arXiv 1611.07865",
    )
    feather: float = option(
        0.0,
        "How far the edges of masks are softened, to both sides.",
        half="objective",
        low=0,
        high=1000,
        unit="px",
    )
    content_mask_weight: float = option(
        10.0,
        "How many times as much the photo counts where the content mask is white.",
        half="objective",
        low=0,
    )
    tv_weight: float = option(
        0.07,
        "How calm the picture is to be: weight of the total variation.",
        half="objective",
        low=0,
        common=True,
    )
    chroma_weight: float = option(
        4.0,
        "How calm the colors are to be, beside the brightness: weight of their variation.",
        half="objective",
        low=0,
    )
    tv_reduction: ReductionName = option(
        "mean",
        "Total variation as a mean over pixels (the same at every size) or as a sum.",
        half="objective",
    )
    color: ColorName = option(
        "style",
        "Whose colors: the painting's (style), or the photo's, either by painting light and dark "
        "only (luminance) or by giving the painting the photo's colors first (the others).",
        half="objective",
        source="Gatys et al. 2016, arXiv 1606.05897",
        common=True,
    )
    tv_isotropic: bool = option(
        False,
        "Total variation by the squared length of the gradient instead of |∂x| + |∂y|.",
        half="objective",
        source="Mahendran & Vedaldi 2015",
    )
    tv_power: float = option(
        1.0,
        "Power of what the total variation adds up.",
        half="objective",
        low=1,
        high=8,
    )

    # The schedule: from which picture, at which sizes, by which steps.
    long_side: int = option(
        512, "Long side of the result.", half="schedule", low=1, unit="px", common=True
    )
    style_scale: PerStyle = option(
        1.0,
        "Size of the painting against the picture: small for fine strokes, large for broad "
        "ones; of several, a number for each. It is never enlarged beyond its own size.",
        half="schedule",
        low=0.01,
        high=100,
        common=True,
    )
    init: str = option(
        "content",
        "Picture to start from: content, style, noise, or a file.",
        half="schedule",
        common=True,
    )
    noise: float = option(
        0.25, "Standard deviation of the noise to start from.", half="schedule", low=0
    )
    steps: int = option(
        400,
        "Evaluations of the objective and its gradient, over all levels.",
        half="schedule",
        low=1,
        common=True,
    )
    coarsest: int = option(
        128,
        "Long side of the first, coarsest level; 0: one level only.",
        half="schedule",
        low=0,
        unit="px",
    )
    level_ratio: float = option(
        math.sqrt(2), "Factor between the sizes of two levels.", half="schedule", low=1.1, high=8
    )
    step_decay: float = option(
        0.0,
        "How fast steps become fewer as levels grow: steps ∝ 1 / long side to this power; below 0, "
        "more.",
        half="schedule",
        low=-4,
        high=4,
    )
    deferred_share: float = option(
        0.0,
        "Look at the deepest style layers in the first and last tenth of a level's steps only, "
        "where they are less than this share of the loss; 0: always. Not on levels of fewer than "
        "20 steps, nor with patience or normalized gradients.",
        half="schedule",
        low=0,
        high=0.5,
    )
    patience: int = option(
        0,
        "Leave a level when so many steps have lowered its loss by less than 0.1 % each; 0: never.",
        half="schedule",
        low=0,
    )
    optimizer: OptimizerName = option("lbfgs", "How the pixels are moved.", half="schedule")
    learning_rate: float = option(
        0.02,
        "Adam's step, in pixel values of [0, 1].",
        half="schedule",
        low=1e-8,
        high=10,
        source="crowsonkb/style-transfer-pytorch",
    )
    second_decay: float = option(
        0.99,
        "Adam's decay of squared gradients, β₂.",
        half="schedule",
        low=0,
        high=0.999999,
        source="crowsonkb/style-transfer-pytorch",
    )
    normalized_pixels: bool = option(
        False,
        "Let Adam move pixels in ImageNet's units, standard deviations of each color, as programs "
        "do that normalize the picture before they optimize it.",
        half="schedule",
    )
    history: int = option(
        20, "How many past steps L-BFGS remembers.", half="schedule", low=1, high=1000
    )
    averaging: float = option(
        0.0,
        "Decay of a running average of the iterates, which is the result; 0: none.",
        half="schedule",
        low=0,
        high=0.9999,
    )
    clamp: bool = option(
        True, "Keep the pixels in [0, 1] while optimizing, not only on saving.", half="schedule"
    )
    seed: int = option(0, "Seed of the noise.", half="schedule", low=0, high=2**63 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("content_layers", "style_layers"):
            if getattr(self, name) == ("all",):
                object.__setattr__(self, name, relu_names(self.network))
        for kind in ("content", "style"):
            layers, weights = (
                getattr(self, f"{kind}_layers"),
                getattr(self, f"{kind}_layer_weights"),
            )
            self._check_layers(kind, layers, weights)
        if self.content_weight == self.largest_style_weight == 0:
            raise SettingsError("content_weight and style_weight are both 0: nothing to aim at")
        styled = self.largest_style_weight > 0
        if self.statistic == "chained" and styled and len(self.style_layers) < 2:
            raise SettingsError("the statistic chained needs at least two style_layers")

    def _check_layers(self, kind: str, layers: tuple[str, ...], weights: tuple[float, ...]) -> None:
        for name in layers:
            check_layer(name, self.network)
        if len(set(layers)) != len(layers):
            raise SettingsError(f"{kind}_layers names a layer twice: {', '.join(layers)}")
        total = self.largest_style_weight if kind == "style" else self.content_weight
        if total > 0 and not layers:
            raise SettingsError(f"{kind}_layers is empty, but {kind}_weight is not 0")
        if weights and len(weights) != len(layers):
            raise SettingsError(
                f"{kind}_layer_weights has {len(weights)} numbers for {len(layers)} layers "
                f"({', '.join(layers)})"
            )
        if kind == "style" and self.statistic == "chained":
            weights = weights[1:]  # the first layer only has a term as the neighbor of the second
        if weights and not any(weights):
            raise SettingsError(f"{kind}_layer_weights are all 0: nothing to aim at")

    @property
    def largest_style_weight(self) -> float:
        """The style weight of the painting that counts most."""
        return max(self.per_style("style_weight"))

    def per_style(self, name: str, count: int | None = None) -> tuple[float, ...]:
        """Return the numbers of a setting that each of `count` paintings may have its own of.

        Raises: SettingsError: it has numbers for another count of paintings.
        """
        value: PerStyle = getattr(self, name)
        if not isinstance(value, tuple):
            return (value,) * (count or 1)
        if count not in (None, len(value)):
            raise SettingsError(
                f"{name} has {len(value)} numbers ({', '.join(f'{each:g}' for each in value)}) for "
                f"{count} style{'s' if count != 1 else ''}: give one for each, or one for all"
            )
        return value
