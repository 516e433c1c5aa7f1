"""Every knob that changes a pixel, once: default, range, unit, help, source.

The command line's flags, settings files, the metadata in every picture and docs/options.md are
all made from the fields of `Settings`. Where a picture is computed (device, threads), where it
comes from and goes to, and how much is said about it are not settings: a picture is determined by
its content, its styles, its settings, the version and the hardware.

Free of torch, so that `--help` is instant.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from impasto.errors import SettingsError, nearest_match
from impasto.layers import check_layer, relu_names

__all__ = ["TYPES", "PerStyle", "Settings"]

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
# One number for all paintings, or one for each, in their order.
PerStyle = float | tuple[float, ...]


def _option(
    default: Any,
    help: str,
    *,
    half: Literal["objective", "schedule"],
    low: float = -math.inf,
    high: float = math.inf,
    unit: str = "",
    source: str = "",
    common: bool = False,
) -> Any:
    """Declare a field with all that flags, forms and documents are made of.

    Args:
        half: which half of a recipe it belongs to.
        low, high: the closed range of a number (or of each number in a list).
        source: where the default comes from.
        common: listed in `--help`; the rest is in `--help-all`.
    """
    metadata = {
        "help": help,
        "half": half,
        "low": low,
        "high": high,
        "unit": unit,
        "source": source,
        "common": common,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What determines a pastiche besides its pictures. Checked when made; never changes.

    Raises: SettingsError: a value of the wrong type, out of its range, or unknown.
    """

    # The objective: which network looks, at what, and how much each term weighs.
    network: NetworkName = _option(
        "vgg19", "Network that describes the pictures.", half="objective"
    )
    weights: str = _option(
        "bundled",
        "Weights of the network: bundled, torchvision (downloaded once), or a file.",
        half="objective",
    )
    weights_convention: ConventionName = _option(
        "auto", "What the weights want to see, where a file does not tell.", half="objective"
    )
    normalised: bool = _option(
        False,
        "Rescale every filter so that its mean activation over a set of photos is 1.",
        half="objective",
        source="Gatys et al. 2016, section 2",
    )
    pooling: PoolingName = _option("max", "How the network shrinks its maps.", half="objective")
    pooling_rescaled: bool = _option(
        False,
        "Strengthen average and L2 pooling so that deep layers stay as active as with max.",
        half="objective",
        source="crowsonkb/style-transfer-pytorch",
    )
    padding: PaddingName = _option(
        "replicate",
        "What the first layer sees beyond the border; zero, as trained, paints a pale frame.",
        half="objective",
        source="crowsonkb/style-transfer-pytorch",
    )
    pixel_range: float = _option(
        255.0, "Value of white before the mean color is subtracted.", half="objective", low=1
    )
    precision: PrecisionName = _option(
        "float32",
        "What the network computes in; bfloat16 is for GPUs: half the memory, three digits. What "
        "is measured of its features is float32 all the same.",
        half="objective",
    )
    content_layers: tuple[str, ...] = _option(
        ("relu4_2",),
        "Layers whose features say what is where; all: every reluX_Y.",
        half="objective",
    )
    content_layer_weights: tuple[float, ...] = _option(
        (), "A weight per content layer; none: 1 each.", half="objective", low=0
    )
    content_weighting: WeightingName = _option(
        "given",
        "Content layers' weights as given, as shares of their sum, or as shares that double from "
        "layer to deeper layer.",
        half="objective",
        source="Novak & Nikulin 2016, for geometric",
    )
    style_layers: tuple[str, ...] = _option(
        ("relu1_1", "relu2_1", "relu3_1", "relu4_1"),
        "Layers whose statistics say how it is painted; all: every reluX_Y.",
        half="objective",
        source="Gatys et al. 2016, figure 1d",
    )
    style_layer_weights: tuple[float, ...] = _option(
        (), "A weight per style layer; none: 1 each.", half="objective", low=0
    )
    style_weighting: WeightingName = _option(
        "given",
        "Style layers' weights as given, as shares of their sum, or as shares that halve from "
        "layer to deeper layer.",
        half="objective",
        source="Novak & Nikulin 2016, for geometric",
    )
    statistic: StatisticName = _option(
        "moments", "What is compared between the painting and the picture.", half="objective"
    )
    activation_shift: float = _option(
        -1.0,
        "Added to the features before they are correlated, by the statistics shifted and chained.",
        half="objective",
        source="Novak & Nikulin 2016",
    )
    correlation_blur: float = _option(
        0.0,
        "Blur of the shallower layer in the statistic chained: a standard deviation in its "
        "positions; 0: none.",
        half="objective",
        low=0,
        high=100,
        source="Novak & Nikulin 2016",
    )
    directions: int = _option(
        0,
        "Random lines that the statistic sliced compares along; 0: as many as channels.",
        half="objective",
        low=0,
        high=100_000,
        source="Heitz et al. 2021",
    )
    neighbours: int = _option(
        4096,
        "Positions of the paintings, per layer, in which the statistic nearest looks for matches.",
        half="objective",
        low=1,
        high=10**7,
        source="NNST's last pass: 64 x 64",
    )
    content_form: ContentFormName = _option(
        "relative",
        "Content loss as a mean over features, that divided by the photo's own mean square, or as "
        "in the recipe of that name.",
        half="objective",
    )
    style_form: StyleFormName = _option(
        "relative",
        "Style loss as a mean, that divided by the painting's own mean square, so that every "
        "layer, network and painting weighs alike, or as in the recipe of that name.",
        half="objective",
    )
    normalise_gradients: bool = _option(
        False,
        "Divide the gradient of every layer's loss by its own L1 norm there, so that only the "
        "weights say which layer counts. Losses are shown as they are.",
        half="objective",
        source="neural-style (Johnson 2015), -normalize_gradients",
    )
    content_weight: float = _option(
        1.0, "How much the photo counts.", half="objective", low=0, common=True
    )
    style_weight: PerStyle = _option(
        20.0,
        "How much the painting counts; of several, a number for each.",
        half="objective",
        low=0,
        common=True,
    )
    guidance: GuidanceName = _option(
        "simple",
        "How a mask holds for features that see across its edge: by the part that lies in the "
        "mask (simple), not at all (inside), or as if they lay in it (all).",
        half="objective",
        source="Gatys et al. 2017, arXiv 1611.07865",
    )
    feather: float = _option(
        0.0,
        "How far the edges of masks are softened, to both sides.",
        half="objective",
        low=0,
        high=1000,
        unit="px",
    )
    content_mask_weight: float = _option(
        10.0,
        "How many times as much the photo counts where the content mask is white.",
        half="objective",
        low=0,
    )
    tv_weight: float = _option(
        0.07,
        "How calm the picture is to be: weight of the total variation.",
        half="objective",
        low=0,
        common=True,
    )
    chroma_weight: float = _option(
        4.0,
        "How calm the colors are to be, beside the brightness: weight of their variation.",
        half="objective",
        low=0,
    )
    tv_reduction: ReductionName = _option(
        "mean",
        "Total variation as a mean over pixels (the same at every size) or as a sum.",
        half="objective",
    )
    color: ColorName = _option(
        "style",
        "Whose colors: the painting's (style), or the photo's, either by painting light and dark "
        "only (luminance) or by giving the painting the photo's colors first (the others).",
        half="objective",
        source="Gatys et al. 2016, arXiv 1606.05897",
        common=True,
    )
    tv_isotropic: bool = _option(
        False,
        "Total variation by the squared length of the gradient instead of |∂x| + |∂y|.",
        half="objective",
        source="Mahendran & Vedaldi 2015",
    )
    tv_power: float = _option(
        1.0,
        "Power of what the total variation adds up.",
        half="objective",
        low=1,
        high=8,
    )

    # The schedule: from which picture, at which sizes, by which steps.
    long_side: int = _option(
        512, "Long side of the result.", half="schedule", low=1, unit="px", common=True
    )
    style_scale: PerStyle = _option(
        1.0,
        "Size of the painting against the picture: small for fine strokes, large for broad "
        "ones; of several, a number for each. It is never enlarged beyond its own size.",
        half="schedule",
        low=0.01,
        high=100,
        common=True,
    )
    init: str = _option(
        "content",
        "Picture to start from: content, style, noise, or a file.",
        half="schedule",
        common=True,
    )
    noise: float = _option(
        0.25, "Standard deviation of the noise to start from.", half="schedule", low=0
    )
    steps: int = _option(
        400,
        "Evaluations of the objective and its gradient, over all levels.",
        half="schedule",
        low=1,
        common=True,
    )
    coarsest: int = _option(
        128,
        "Long side of the first, coarsest level; 0: one level only.",
        half="schedule",
        low=0,
        unit="px",
    )
    level_ratio: float = _option(
        math.sqrt(2), "Factor between the sizes of two levels.", half="schedule", low=1.1, high=8
    )
    step_decay: float = _option(
        0.0,
        "How fast steps become fewer as levels grow: steps ∝ 1 / long side to this power; below 0, "
        "more.",
        half="schedule",
        low=-4,
        high=4,
    )
    patience: int = _option(
        0,
        "Leave a level when so many steps have lowered its loss by less than 0.1 % each; 0: never.",
        half="schedule",
        low=0,
    )
    optimizer: OptimizerName = _option("lbfgs", "How the pixels are moved.", half="schedule")
    learning_rate: float = _option(
        0.02,
        "Adam's step, in pixel values of [0, 1].",
        half="schedule",
        low=1e-8,
        high=10,
        source="crowsonkb/style-transfer-pytorch",
    )
    second_decay: float = _option(
        0.99,
        "Adam's decay of squared gradients, β₂.",
        half="schedule",
        low=0,
        high=0.999999,
        source="crowsonkb/style-transfer-pytorch",
    )
    normalised_pixels: bool = _option(
        False,
        "Let Adam move pixels in ImageNet's units, standard deviations of each color, as programs "
        "do that normalise the picture before they optimise it.",
        half="schedule",
    )
    history: int = _option(
        20, "How many past steps L-BFGS remembers.", half="schedule", low=1, high=1000
    )
    averaging: float = _option(
        0.0,
        "Decay of a running average of the iterates, which is the result; 0: none.",
        half="schedule",
        low=0,
        high=0.9999,
    )
    clamp: bool = _option(
        True, "Keep the pixels in [0, 1] while optimising, not only on saving.", half="schedule"
    )
    seed: int = _option(0, "Seed of the noise.", half="schedule", low=0, high=2**63 - 1)

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            value = _checked(option, getattr(self, option.name))
            object.__setattr__(self, option.name, value)
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
            weights = weights[1:]  # the first layer only has a term as the neighbour of the second
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

    def replace(self, **changes: Any) -> Settings:
        """Return these settings with some of them changed.

        Raises: SettingsError: an unknown name (with the nearest match) or value.
        """
        return dataclasses.replace(self, **known_options(changes))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON and TOML have them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Make settings from plain values; what is not named has its default.

        Raises: SettingsError: an unknown name (with the nearest match) or value.
        """
        return cls(**known_options(values))


def known_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values, or raise a SettingsError for a name that is not an option."""
    names = [option.name for option in dataclasses.fields(Settings)]
    for name in values:
        if name not in names:
            raise SettingsError(f"{name}: no such setting{nearest_match(name, names)}")
    return dict(values)


def _checked(option: dataclasses.Field[Any], value: Any) -> Any:
    """Return the value as the field's type has it, or raise a SettingsError."""
    kind = TYPES[option.name]
    if kind == PerStyle:
        if not isinstance(value, list | tuple):
            return _checked_item(option, float, value)
        numbers = tuple(_checked_item(option, float, each) for each in value)
        if not numbers:
            raise SettingsError(f"{option.name}: no number is given")
        return numbers if len(numbers) > 1 else numbers[0]
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise SettingsError(f"{option.name}: {value!r} is not a list")
        return tuple(_checked_item(option, item, each) for each in value)
    return _checked_item(option, kind, value)


def _checked_item(option: dataclasses.Field[Any], kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            match = nearest_match(value, choices) if isinstance(value, str) else ""
            raise SettingsError(
                f"{option.name}: {value!r} is not one of {', '.join(choices)}{match}"
            )
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        article = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        raise SettingsError(f"{option.name}: {value!r} is not {article[kind]}")
    if kind in (int, float):
        low, high = option.metadata["low"], option.metadata["high"]
        if not low <= value <= high or not math.isfinite(value):
            raise SettingsError(f"{option.name}: {value} is not {_range_text(low, high)}")
    return value


def _range_text(low: float, high: float) -> str:
    if math.isinf(high):
        return "a finite number" if math.isinf(low) else f"a finite number ≥ {low:g}"
    return f"between {low:g} and {high:g}"


# Field name → type, with the annotations' strings resolved.
TYPES: types.MappingProxyType[str, Any] = types.MappingProxyType(typing.get_type_hints(Settings))
