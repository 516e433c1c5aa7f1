"""`Settings`: every option that changes a painted picture, with its default, range, unit and help.

The flags of the command line, settings files, the metadata in every picture and docs/options.md
are all made from the fields of `Settings`. The device, the number of threads, the names of files
and the amount of output are not settings, because a picture is determined by its content, its
styles, its settings, the version and the hardware.

This module does not import torch, so that `--help` is fast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from impasto.errors import SettingsError, counted
from impasto.settings.layers import check_layer, relu_names
from impasto.settings.options import Options, PerStyle, option

__all__ = ["ResamplingName", "Settings", "override"]

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
ProtectName = Literal["auto", "faces", "none"]
GuidanceName = Literal["simple", "inside", "all"]
ResamplingName = Literal["lanczos", "bicubic", "bilinear", "box"]


def override(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by name with some of them changed; new `steps` replace `level_steps`."""
    replaced = {"level_steps": ()} if "steps" in changes else {}
    return {**values, **replaced, **changes}


@dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """All options that determine a pastiche, besides its pictures.

    They are checked when the object is created, and do not change afterwards.

    Raises: SettingsError: a value has the wrong type, is out of its range, is unknown, or
        contradicts another one.
    """

    # Older pictures and settings files have British spellings.
    renamed: ClassVar[Mapping[str, str]] = {
        "normalised": "normalized",
        "normalised_pixels": "normalized_pixels",
        "normalise_gradients": "normalize_gradients",
        "neighbours": "neighbors",
    }
    # Until there was a choice, all pictures were scaled by this filter.
    # Nor did impasto search for faces, or compare Laplacians.
    added: ClassVar[Mapping[str, Any]] = {
        "resampling": "lanczos", "protect": "none", "faces": [], "face_weight": 10.0,
        "laplacian_weight": 0.0,
    }  # fmt: skip

    # The objective: the network, its layers, and the weights and forms of all terms.
    network: NetworkName = option(
        "vgg19", "VGG network whose features describe the pictures.", half="objective"
    )
    weights: str = option(
        "bundled",
        "Weights of the network: bundled, torchvision (downloaded once), or a file.",
        half="objective",
    )
    weights_convention: ConventionName = option(
        "auto",
        "Input that the weights expect: caffe (BGR in 0 to 255, minus the mean color) or "
        "torchvision (RGB, normalized); auto recognizes most files.",
        half="objective",
    )
    normalized: bool = option(
        False,
        "Rescale every filter so that its mean activation over a set of photos is 1.",
        half="objective",
        source="Gatys et al. 2016, section 2",
    )
    pooling: PoolingName = option(
        "max",
        "How the network combines every 2 x 2 features into one: by their maximum, average, or "
        "L2 norm.",
        half="objective",
    )
    pooling_rescaled: bool = option(
        False,
        "Multiply average and L2 pooling by a factor so that deep layers stay as active as with "
        "max pooling.",
        half="objective",
        source="crowsonkb/style-transfer-pytorch",
    )
    padding: PaddingName = option(
        "replicate",
        "Values that the first layer sees beyond the border: those of the nearest pixel "
        "(replicate), or zero as in training. Zero paints a pale frame.",
        half="objective",
        source="crowsonkb/style-transfer-pytorch",
    )
    pixel_range: float = option(
        255.0,
        "Value of white before the mean color is subtracted, for weights of the caffe convention.",
        half="objective",
        low=1,
    )
    resampling: ResamplingName = option(
        "lanczos",
        "Filter that scales the photo and the paintings to the size of the picture. lanczos is "
        "the sharpest, bilinear the softest. The statistics of a painting that is much larger "
        "than the picture depend on it.",
        half="objective",
        source="Pillow, whose filters average over more pixels the more a picture is reduced",
    )
    precision: PrecisionName = option(
        "float32",
        "Number format in which the network computes. bfloat16 is for GPUs: it needs half the "
        "memory, but is precise to about three digits only. Statistics of the features are always "
        "computed in float32.",
        half="objective",
    )
    compiled: bool = option(
        False,
        "Compile the network with torch.compile, for GPUs; the first step at each size is then "
        "slow. On a CPU, impasto's own kernel is faster.",
        half="objective",
    )
    content_layers: tuple[str, ...] = option(
        ("relu4_2",),
        "Layers whose features describe the content; all means every reluX_Y.",
        half="objective",
    )
    content_layer_weights: tuple[float, ...] = option(
        (),
        "Weight of each content layer, in the order of the layers; none means 1 for every layer.",
        half="objective",
        low=0,
    )
    content_weighting: WeightingName = option(
        "given",
        "How the weights of the content layers are used: unchanged (given); divided by their sum "
        "(shares); or doubled from each layer to the next deeper one and then divided by their sum "
        "(geometric).",
        half="objective",
        source="Novak & Nikulin 2016, for geometric",
    )
    style_layers: tuple[str, ...] = option(
        ("relu1_1", "relu2_1", "relu3_1", "relu4_1"),
        "Layers whose statistics describe the style; all means every reluX_Y.",
        half="objective",
        source="Gatys et al. 2016, figure 1d",
    )
    style_layer_weights: tuple[float, ...] = option(
        (),
        "Weight of each style layer, in the order of the layers; none means 1 for every layer.",
        half="objective",
        low=0,
    )
    style_weighting: WeightingName = option(
        "given",
        "How the weights of the style layers are used: unchanged (given); divided by their sum "
        "(shares); or halved from each layer to the next deeper one and then divided by their sum "
        "(geometric).",
        half="objective",
        source="Novak & Nikulin 2016, for geometric",
    )
    statistic: StatisticName = option(
        "moments",
        "Statistic of the features that describes the style: correlations (gram, shifted, "
        "chained), correlations with means and deviations (moments), means and covariances "
        "(wasserstein), sorted values (sliced, histogram), or nearest neighbors (nearest).",
        half="objective",
        method="measure",  # an impasto.Statistic of your own
    )
    activation_shift: float = option(
        -1.0,
        "For the statistics shifted and chained: number that is added to the features before their "
        "correlations are computed.",
        half="objective",
        source="Novak & Nikulin 2016",
    )
    correlation_blur: float = option(
        0.0,
        "For the statistic chained: standard deviation of the blur of the shallower layer, in "
        "positions of that layer. Larger values blur more; 0 means no blur.",
        half="objective",
        low=0,
        high=100,
        source="Novak & Nikulin 2016",
    )
    directions: int = option(
        0,
        "For the statistic sliced: number of random lines along which features are compared; 0 "
        "means as many lines as the layer has channels.",
        half="objective",
        low=0,
        high=100_000,
        source="Heitz et al. 2021",
    )
    neighbors: int = option(
        4096,
        "For the statistic nearest: number of positions of the paintings that are searched in each "
        "layer; larger values find better matches and take more time.",
        half="objective",
        low=1,
        high=10**7,
        source="the last pass of NNST, Kolkin et al. 2022: 64 x 64",
    )
    content_form: ContentFormName = option(
        "relative",
        "Form of the content loss: the mean squared difference of the features (mean); this mean "
        "divided by the mean square of the photo's features (relative); or the form of the recipe "
        "with the same name (gatys, vgg16).",
        half="objective",
    )
    style_form: StyleFormName = option(
        "relative",
        "Form of the style loss: the distance between the statistics (mean); this distance divided "
        "by the distance of features that are all 0, so that every layer, network and painting has "
        "the same influence (relative); or the form of the recipe with the same name (gatys, "
        "notebook, vgg16).",
        half="objective",
    )
    normalize_gradients: bool = option(
        False,
        "Divide the gradient of every layer's loss by its L1 norm at that layer, so that only "
        "the weights determine the influence of a layer. The losses that are shown stay the same.",
        half="objective",
        source="neural-style (Johnson 2015), -normalize_gradients",
    )
    content_weight: float = option(
        1.0,
        "Weight of the content loss; larger values keep the picture closer to the photo.",
        half="objective",
        low=0,
        common=True,
    )
    protect: ProtectName = option(
        "auto",
        "What keeps its outlines: the faces that are found in the photo, or none. auto means faces "
        "if impasto[faces] is installed. Clips are not searched for faces.",
        half="objective",
        common=True,
    )
    faces: tuple[float, ...] = option(
        (),
        "Boxes of the protected faces: left, top, width and height of each, as shares of the "
        "photo's width and height. none means that the photo is searched; see protect.",
        half="objective",
        low=0,
        high=1,
    )
    face_weight: float = option(
        10.0,
        "Weight of the Laplacian term on protected faces; larger values keep more of their "
        "outlines.",
        half="objective",
        low=0,
    )
    laplacian_weight: float = option(
        0.0,
        "Weight of the Laplacian term, which keeps outlines where the photo has them; larger "
        "values keep more of them, for example those of a face.",
        half="objective",
        low=0,
        source="Li et al. 2017, arXiv 1707.01253",
    )
    style_weight: PerStyle = option(
        20.0,
        "Weight of the style loss; larger values give a stronger style. With several paintings: "
        "one number for all, or one for each.",
        half="objective",
        low=0,
        common=True,
    )
    guidance: GuidanceName = option(
        "simple",
        "Which features a mask selects along its edge: each in proportion to its area inside the "
        "mask (simple), only features that see nothing outside the mask (inside), or all "
        "features that see any part of the mask (all).",
        half="objective",
        source="Gatys et al. 2017, arXiv 1611.07865",
    )
    feather: float = option(
        0.0,
        "Width of the soft edge of masks, on each side of the edge; larger values give smoother "
        "transitions.",
        half="objective",
        low=0,
        high=1000,
        unit="px",
    )
    content_mask_weight: float = option(
        10.0,
        "Factor of the content loss and of the Laplacian term where the content mask is white; "
        "larger values keep the picture closer to the photo there.",
        half="objective",
        low=0,
    )
    tv_weight: float = option(
        0.07,
        "Weight of the smoothness term (total variation); larger values give a smoother picture.",
        half="objective",
        low=0,
        common=True,
    )
    chroma_weight: float = option(
        4.0,
        "Weight of the smoothness term for colors (total variation of the color differences); "
        "larger values give fewer colored speckles.",
        half="objective",
        low=0,
    )
    tv_reduction: ReductionName = option(
        "mean",
        "How the total variation is added up: as a mean over pixels, which does not depend on "
        "the picture's size, or as a sum.",
        half="objective",
    )
    color: ColorName = option(
        "style",
        "Colors of the result: the painting's (style), or the photo's. For the photo's colors, "
        "luminance paints only lightness; the other choices are methods that first transfer the "
        "photo's colors to the painting.",
        half="objective",
        source="Gatys et al. 2016, arXiv 1606.05897",
        common=True,
    )
    tv_isotropic: bool = option(
        False,
        "Compute the total variation from ∂x² + ∂y² instead of |∂x| + |∂y|. ∂x and ∂y are the "
        "differences between neighboring pixels.",
        half="objective",
        source="Mahendran & Vedaldi 2015",
    )
    tv_power: float = option(
        1.0,
        "Exponent of each pixel's part of the total variation; larger values smooth strong edges "
        "more than weak ones.",
        half="objective",
        low=1,
        high=8,
    )

    # The schedule: the start, the sizes of the levels, and the optimizer and its steps.
    long_side: int = option(
        512,
        "Long side of the result; larger pictures take more time and memory.",
        half="schedule",
        low=1,
        high=500_000,  # 42 m in print
        unit="px",
        common=True,
    )
    style_scale: PerStyle = option(
        1.0,
        "Size of the painting relative to the picture; smaller values give finer strokes, larger "
        "values broader ones. With several paintings: one number for all, or one for each. A "
        "painting is never enlarged beyond its own size.",
        half="schedule",
        low=0.01,
        high=100,
        common=True,
    )
    init: str = option(
        "content",
        "Picture to start from: content (the photo), style (the first painting), noise, or a file.",
        half="schedule",
        common=True,
    )
    noise: float = option(
        0.25,
        "Standard deviation of the noise, in pixel values of [0, 1], if the picture starts from "
        "noise; larger values give the noise more contrast.",
        half="schedule",
        low=0,
    )
    steps: int = option(
        400,
        "Number of steps over all levels, each with one evaluation of the objective and its "
        "gradient; more steps take more time and give a more finished picture.",
        half="schedule",
        low=1,
        common=True,
    )
    coarsest: int = option(
        128,
        "Long side of the first, coarsest level; 0 means only one level, at full size.",
        half="schedule",
        low=0,
        unit="px",
    )
    level_ratio: float = option(
        math.sqrt(2),
        "Ratio between the sizes of two successive levels; larger values give fewer levels.",
        half="schedule",
        low=1.1,
        high=8,
    )
    step_decay: float = option(
        0.0,
        "Exponent p that distributes the steps over the levels: a level's number of steps is "
        "proportional to 1 / (long side)^p. With 0, every level has the same number. With positive "
        "values, larger levels have fewer steps; with negative values, they have more.",
        half="schedule",
        low=-4,
        high=4,
    )
    level_steps: tuple[int, ...] = option(
        (),
        "Number of steps of each level, coarse to fine. none means that the number of steps is "
        "divided among the levels. If there are fewer numbers than levels, the finest levels are "
        "not painted: the picture is enlarged, and gets its finest detail from the photo. A run "
        "with a time budget records its steps here.",
        half="schedule",
        low=1,
    )
    deferred_share: float = option(
        0.0,
        "Evaluate the deepest style layers only in the first and last tenth of a level's steps, "
        "if their share of the loss is below this value; 0 means in every step. It has no effect "
        "on levels with fewer than 20 steps, with patience, or with normalized gradients.",
        half="schedule",
        low=0,
        high=0.5,
    )
    patience: int = option(
        0,
        "End a level when this many steps in a row have lowered its loss by less than 0.1 % per "
        "step on average; 0 means never.",
        half="schedule",
        low=0,
    )
    optimizer: OptimizerName = option(
        "lbfgs", "Optimization algorithm that changes the pixels.", half="schedule"
    )
    learning_rate: float = option(
        0.02,
        "Step size of Adam, in pixel values of [0, 1]; larger values change the picture faster.",
        half="schedule",
        low=1e-8,
        high=10,
        source="crowsonkb/style-transfer-pytorch",
    )
    second_decay: float = option(
        0.99,
        "Decay of Adam's average of squared gradients, β₂; larger values average over more steps.",
        half="schedule",
        low=0,
        high=0.999999,
        source="crowsonkb/style-transfer-pytorch",
    )
    normalized_pixels: bool = option(
        False,
        "Measure Adam's steps in standard deviations of ImageNet's colors, like programs that "
        "normalize the picture before they optimize it.",
        half="schedule",
    )
    history: int = option(
        20,
        "Number of past steps from which L-BFGS estimates the curvature of the objective; larger "
        "values need more memory.",
        half="schedule",
        low=1,
        high=1000,
    )
    averaging: float = option(
        0.0,
        "Decay of a running average over the pictures of all steps; the average becomes the "
        "result. Larger values average over more steps; 0 means no average.",
        half="schedule",
        low=0,
        high=0.9999,
    )
    clamp: bool = option(
        True,
        "Keep the pixels in [0, 1] during optimization, not only when the picture is saved.",
        half="schedule",
    )
    seed: int = option(
        0,
        "Seed of the random numbers; the same seed gives the same picture.",
        half="schedule",
        low=0,
        high=2**63 - 1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("content_layers", "style_layers"):
            if getattr(self, name) == ("all",):
                object.__setattr__(self, name, relu_names(self.network))
        if len(self.faces) % 4:
            raise SettingsError(
                f"faces has {counted(len(self.faces), 'number')}; give four for each face: left, "
                "top, width and height"
            )
        if self.level_steps:
            object.__setattr__(self, "steps", sum(self.level_steps))
        for kind in ("content", "style"):
            layers, weights = (
                getattr(self, f"{kind}_layers"),
                getattr(self, f"{kind}_layer_weights"),
            )
            self._check_layers(kind, layers, weights)
        if self.content_weight == self.largest_style_weight == 0:
            raise SettingsError(
                "content_weight and style_weight are both 0; at least one must be above 0"
            )
        styled = self.largest_style_weight > 0
        if self.statistic == "chained" and styled and len(self.style_layers) < 2:
            raise SettingsError(
                "the statistic chained needs at least two style_layers, and there is only "
                f"{', '.join(self.style_layers)}"
            )

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some values changed, as `override` changes them.

        Raises: SettingsError: as for `Options.replace`.
        """
        return super().replace(**override({"level_steps": self.level_steps}, changes))

    def _check_layers(self, kind: str, layers: tuple[str, ...], weights: tuple[float, ...]) -> None:
        for name in layers:
            check_layer(name, self.network)
        if len(set(layers)) != len(layers):
            raise SettingsError(
                f"{kind}_layers names a layer twice: {', '.join(layers)}; name each layer once"
            )
        total = self.largest_style_weight if kind == "style" else self.content_weight
        if total > 0 and not layers:
            raise SettingsError(
                f"{kind}_layers is empty, but {kind}_weight is not 0; name a layer, or set the "
                "weight to 0"
            )
        if weights and len(weights) != len(layers):
            raise SettingsError(
                f"{kind}_layer_weights has {counted(len(weights), 'number')} for "
                f"{counted(len(layers), 'layer')} ({', '.join(layers)}); give one for each layer"
            )
        if kind == "style" and self.statistic == "chained":
            weights = weights[1:]  # the first layer has no term of its own, see `Statistic.inputs`
        if weights and not any(weights):
            raise SettingsError(f"{kind}_layer_weights are all 0; at least one must be above 0")

    @property
    def largest_style_weight(self) -> float:
        """The largest style weight of all paintings."""
        return max(self.per_style("style_weight"))

    def per_style(self, name: str, count: int | None = None) -> tuple[float, ...]:
        """Return the number that a setting has for each painting.

        The setting holds one number for all paintings, or one for each.

        Args:
            name: "style_weight" or "style_scale".
            count: the number of paintings; None: as many as the setting has numbers.

        Raises: SettingsError: the setting has several numbers, but not `count` of them.
        """
        value: PerStyle = getattr(self, name)
        if not isinstance(value, tuple):
            return (value,) * (count or 1)
        if count is not None and count != len(value):
            raise SettingsError(
                f"{name} has {counted(len(value), 'number')} "
                f"({', '.join(f'{x:g}' for x in value)}) for {counted(count, 'style')}: "
                "give one for each, or one for all"
            )
        return value
