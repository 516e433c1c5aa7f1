"""Recipes: named settings that reproduce a program or serve a purpose, and settings files.

A recipe has two halves: the objective (network, layers, weights) and the schedule (start, sizes,
steps). So a faster schedule can be combined with the objective of a known program. A TOML file with
the fields of `Settings` as keys can be used as a recipe, too.

The variations (texture, reconstruct, dream) read only some fields of `Settings` and have their own
defaults. This module has both.
"""

from __future__ import annotations

import codecs
import dataclasses
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impasto.errors import SettingsError, nearest_match
from impasto.settings.layers import relu_names
from impasto.settings.pictures import Settings, override

__all__ = [
    "DRAFT_SCHEDULE",
    "DREAM",
    "RECIPES",
    "RECONSTRUCTION",
    "TEXTURE",
    "USED_SETTINGS",
    "Recipe",
    "UsedSettings",
    "find_recipe",
    "read_settings_file",
    "recipe_settings",
    "settings_file",
]


@dataclass(frozen=True)
class Recipe:
    """Named settings, in two halves.

    Attributes:
        purpose: the purpose of the recipe, in one or two sentences.
        source: the paper or program that it follows.
        objective: settings of the objective (network, layers, weights, pooling).
        schedule: settings of the schedule (start, levels, optimizer, steps).
    """

    purpose: str
    source: str
    objective: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)


# A recipe that reproduces a program names all its settings, because our defaults may change.
_PLAIN_OBJECTIVE: dict[str, Any] = {
    "network": "vgg19",
    "weights": "bundled",
    "weights_convention": "auto",
    "normalized": False,
    "pooling": "max",
    "pooling_rescaled": False,
    "padding": "zero",
    "pixel_range": 255.0,
    "resampling": "lanczos",
    "precision": "float32",
    "compiled": False,
    "content_layers": ("relu4_2",),
    "content_layer_weights": (),
    "content_weighting": "given",
    "style_layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    "style_layer_weights": (),
    "style_weighting": "given",
    "statistic": "gram",
    "activation_shift": 0.0,
    "correlation_blur": 0.0,
    "directions": 0,
    "neighbors": 4096,
    "content_form": "mean",
    "style_form": "mean",
    "normalize_gradients": False,
    "content_weight": 1.0,
    "style_weight": 1.0,
    "tv_weight": 0.0,
    "chroma_weight": 0.0,
    "color": "style",
    "tv_reduction": "mean",
    "tv_isotropic": False,
    "tv_power": 1.0,
    "guidance": "simple",
    "feather": 0.0,
    "content_mask_weight": 10.0,
    "laplacian_weight": 0.0,
    "protect": "none",
    "faces": (),
    "face_weight": 10.0,
}
_PLAIN_SCHEDULE: dict[str, Any] = {
    "style_scale": 1.0,
    "init": "content",
    "noise": 0.25,
    "steps": 500,
    "coarsest": 0,  # one level: none of these programs goes from coarse to fine
    "level_ratio": 2.0,
    "step_decay": 0.0,
    "level_steps": (),
    "deferred_share": 0.0,
    "patience": 0,
    "optimizer": "lbfgs",
    "learning_rate": 0.02,
    "second_decay": 0.999,
    "normalized_pixels": False,
    "history": 100,
    "averaging": 0.0,
    "clamp": False,
}
# The paper names L-BFGS and white noise. The authors' notebooks have 500 steps
# (leongatys/NeuralImageSynthesis), and Lua's optim.lbfgs keeps 100 past steps.
_GATYS_SCHEDULE = {**_PLAIN_SCHEDULE, "init": "noise"}

_FILE = "A settings file."  # the purpose of a recipe that was read from one

RECIPES: dict[str, Recipe] = {
    "default": Recipe(
        purpose="A finished picture in minutes on an ordinary CPU.",
        source="Gatys et al. 2016, with means and deviations of the features, levels from coarse "
        "to fine, and L-BFGS with bounds",
    ),
    "fast": Recipe(
        purpose="A good picture in about a minute. Every other recipe can use its schedule: "
        "--schedule fast.",
        source="the objective of default; each level is twice as large as the one before and has "
        "more steps",
        schedule={
            "coarsest": 128,
            "level_ratio": 2.0,
            "step_decay": -2.5,
            "steps": 130,
            "history": 60,
            "deferred_share": 0.01,
        },
    ),
    "print": Recipe(
        purpose="Large prints of 2048 px: many steps at small sizes, and fewer at larger sizes.",
        source="the objective of default; from coarse to fine as in Gatys et al. 2017, section 6, "
        "and in crowsonkb/style-transfer-pytorch",
        schedule={"long_side": 2048, "step_decay": 1.0},
    ),
    "strokes": Recipe(
        purpose="Paints CONTENT, a painting, with the fine strokes and colors of STYLE. Use the "
        "result as a new style: it has the coarse structure of one painting and the strokes of the "
        "other.",
        source="Gatys et al. 2017, arXiv 1611.07865, section 6, with the objective of default",
        objective={"style_layers": ("relu1_1", "relu2_1")},
    ),
    "neural-style": Recipe(
        purpose="The objective and the optimizer of neural-style 0.5.7, with the same losses.",
        source="neural-style 0.5.7 (PyPI), after Johnson 2015",
        objective={
            **_PLAIN_OBJECTIVE,
            "pixel_range": 256.0,  # its preprocess multiplies by 256, not 255
            "resampling": "bilinear",  # torchvision's Resize of a Pillow image
            "content_weight": 5.0,
            "style_weight": 100.0,
            # 1e-3 · Σ(|∂x| + |∂y|) over pixels of 0…256; here pixels are 0…1.
            "tv_weight": 0.256,
            "tv_reduction": "sum",
        },
        schedule={
            **_PLAIN_SCHEDULE,
            "init": "noise",
            "noise": 1e-3 / 256,  # randn · 1e-3 around the mean color, in its pixel units
            "steps": 1000,
        },
    ),
    "gatys": Recipe(
        purpose="The objective of the first papers on neural style transfer, with the same terms.",
        source="Gatys, Ecker & Bethge, arXiv 1508.06576 and CVPR 2016",
        objective={
            **_PLAIN_OBJECTIVE,
            "normalized": True,  # section 2
            "pooling": "average",  # section 2
            # The papers name no filter. torchvision's Scale in the authors' own program
            # (leongatys/PytorchNeuralStyleTransfer) is this one.
            "resampling": "bilinear",
            "content_form": "gatys",  # equation 1: half the sum, so the size changes the balance
            "style_form": "gatys",  # equations 3 and 4
            "style_weighting": "shares",  # w_l = 1 / number of active layers
            "content_weight": 1.0,  # α
            "style_weight": 1e3,  # β: α/β = 1e-3 in figure 3
        },
        schedule=_GATYS_SCHEDULE,
    ),
    "novak-nikulin": Recipe(
        purpose="Transfers more of a style's structure, by shifted correlations between successive "
        "layers, on all layers, with weights by depth.",
        source="Novak & Nikulin, arXiv 1605.04603",
        objective={
            **_PLAIN_OBJECTIVE,
            # The paper does not name the pooling, α and β, so they are as in Gatys et al.
            # Nor does it name the filter that scales pictures, which is our default.
            "normalized": True,
            "pooling": "average",
            "content_layers": ("all",),
            "content_weighting": "geometric",  # 2^d(l), of sum 1
            "style_layers": ("all",),
            "style_weighting": "geometric",  # 2^(D − d(l)), of sum 1
            "statistic": "chained",  # G^(l, l−1) instead of G^l
            "activation_shift": -1.0,
            "correlation_blur": 0.0,  # a blur gives better results, but converges slowly
            "content_form": "gatys",
            "style_form": "gatys",  # 1 / (4 · N_l · N_(l−1) · M²)
            "content_weight": 1.0,
            "style_weight": 1e3,
        },
        schedule=_GATYS_SCHEDULE,
    ),
    "notebook": Recipe(
        purpose="The style transfer of many course notebooks. With --weights torchvision "
        "--style-weight 1e4, the losses are those of the notebook; the style weight of this recipe "
        "is adjusted to the bundled weights.",
        source="Udacity's style transfer notebook (deep-learning-v2-pytorch)",
        objective={
            **_PLAIN_OBJECTIVE,
            "resampling": "bilinear",  # torchvision's Resize of a Pillow image
            "style_layer_weights": (1.0, 0.75, 0.2, 0.2, 0.2),
            "style_form": "notebook",
            "content_weight": 1.0,  # α
            # β is 1e4 for torchvision's weights. The pixels of the bundled weights are
            # 255 · 0.226 = 57.6 times as large. The content loss is proportional to the square of
            # this factor, and the style loss to its fourth power, so β / 57.6² keeps the balance.
            "style_weight": 3.0,
        },
        schedule={
            **_PLAIN_SCHEDULE,
            "optimizer": "adam",
            "learning_rate": 0.003,
            "normalized_pixels": True,
            "steps": 5000,
        },
    ),
    "vgg16": Recipe(
        purpose="VGG-16 with a style term on every layer and an isotropic total variation.",
        source="a VGG-16 program with weights 0.1, 5 and 0.01; start and steps were chosen for "
        "impasto",
        objective={
            **_PLAIN_OBJECTIVE,
            "network": "vgg16",
            "content_form": "vgg16",
            "style_layers": ("all",),
            "style_form": "vgg16",
            "content_weight": 0.1,
            "style_weight": 5.0,
            "tv_weight": 0.01,
            "tv_reduction": "sum",
            "tv_isotropic": True,
            "tv_power": 1.25,  # Σ (∂x² + ∂y²)^1.25 on pixels of [0, 1]
        },
        schedule={
            **_PLAIN_SCHEDULE,
            "optimizer": "adam",
            "learning_rate": 0.01,
        },
    ),
    "average-pooling": Recipe(
        purpose="Mean squared errors with average pooling, and the content of the deep layer "
        "relu5_2. For VGG-19 and VGG-16.",
        source="Gatys et al. 2016, section 2, on pooling; weights and schedule were chosen for "
        "impasto",
        objective={
            **_PLAIN_OBJECTIVE,
            "pooling": "average",
            "content_layers": ("relu5_2",),
            # Average pooling lowers the activations, most of all in relu5_2. With these weights, at
            # 128 px, the style loss of a bundled photo is 7 times the content loss of a picture
            # that ignores its content. With VGG-16, it is 60 times as much.
            "content_weight": 1.0,
            "style_weight": 0.1,
        },
        schedule=_PLAIN_SCHEDULE,
    ),
}

# ---- the settings of the variations -------------------------------------------------------------

# The schedule of a draft's first frame, if none is named.
DRAFT_SCHEDULE = "fast"

# Changes to the default settings. Textures and reconstructions use Adam and weak noise: without a
# content that keeps shapes in place, the traces of L-BFGS's long first steps stay in the picture.
# Both compare Gram matrices, as the papers do.
_FROM_NOISE: Mapping[str, Any] = {
    "optimizer": "adam", "learning_rate": 0.03, "noise": 0.03, "statistic": "gram",
}  # fmt: skip
TEXTURE: Mapping[str, Any] = {**_FROM_NOISE, "style_weight": 15.0}
RECONSTRUCTION: Mapping[str, Any] = {
    **_FROM_NOISE, "coarsest": 0, "tv_weight": 0.0, "chroma_weight": 0.0,
}  # fmt: skip
# Four octaves, each 1.4 times as large as the one before, and steps of 1.5 / 255, as in
# Mordvintsev's notebook.
DREAM: Mapping[str, Any] = {
    "steps": 48,
    "coarsest": 180,
    "level_ratio": 1.4,
    "step_decay": 0.0,
    "learning_rate": 0.006,
}


@dataclass(frozen=True)
class UsedSettings:
    """The settings that a command reads.

    Attributes:
        names: the names of fields of `Settings`.
        defaults: the command's own defaults, if they differ from a recipe's.
        helps: the help of a field, if its meaning differs from that in `Settings`.
    """

    names: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    helps: Mapping[str, str] = field(default_factory=dict)


def _used(
    *names: str, defaults: Mapping[str, Any], helps: Mapping[str, str] | None = None
) -> UsedSettings:
    fields = [option.name for option in dataclasses.fields(Settings)]
    known = Settings.known(dict.fromkeys(names))
    return UsedSettings(tuple(name for name in fields if name in known), defaults, helps or {})


_NETWORK = (
    "network", "weights", "weights_convention", "normalized", "pooling", "pooling_rescaled",
    "padding", "pixel_range", "resampling", "seed", "steps",
)  # fmt: skip
_LOOP = (
    "noise", "coarsest", "level_ratio", "step_decay", "tv_weight", "tv_reduction",
    "chroma_weight", "optimizer", "learning_rate", "history", "averaging", "clamp", "statistic",
    "style_form",
)  # fmt: skip
_STYLE = ("style_layers", "style_layer_weights", "style_weight", "style_scale")

USED_SETTINGS: Mapping[str, UsedSettings] = {
    "stylize": UsedSettings(tuple(option.name for option in dataclasses.fields(Settings))),
    "texture": _used(*_NETWORK, *_LOOP, *_STYLE, defaults=TEXTURE),
    "reconstruct": _used(
        *_NETWORK, *_LOOP, "long_side", "content_form", defaults=RECONSTRUCTION
    ),
    "dream": _used(
        *_NETWORK, "long_side", "coarsest", "level_ratio", "step_decay", "learning_rate",
        defaults=DREAM,
        helps={
            "coarsest": "Long side of the first, smallest octave.",
            "level_ratio": "Ratio between the sizes of two successive octaves.",
            "steps": "Number of steps over all octaves.",
            "learning_rate": "Mean change of a pixel per step, in pixel values of [0, 1].",
            "seed": "Seed of the random shifts; see --jitter.",
        },
    ),
}  # fmt: skip


# ---- from names and files to settings -----------------------------------------------------------


def recipe_settings(
    recipe: str | os.PathLike[str] = "default",
    *,
    schedule: str | os.PathLike[str] | None = None,
    **changes: Any,
) -> Settings:
    """Return the settings of a recipe, with some of them changed.

    Args:
        recipe: a name in RECIPES, or the path of a settings file (TOML).
        schedule: another recipe or settings file; its schedule replaces that of `recipe`. None:
            the schedule of `recipe`.
        changes: settings that override those of the recipe and the schedule.

    Raises: SettingsError: a recipe or file does not exist, or a value is not allowed.
    """
    chosen = find_recipe(recipe)
    shares = chosen if schedule is None else find_recipe(schedule)
    values = {**chosen.objective, **shares.schedule}
    try:
        return Settings.from_dict(override(values, changes))
    except SettingsError as error:
        for file in (chosen, shares):
            _check_alone(file, error)
        raise


def find_recipe(recipe: str | os.PathLike[str]) -> Recipe:
    """Return the recipe of this name, or a settings file as a recipe.

    Raises: SettingsError: there is neither, or the file is wrong.
    """
    name = os.fspath(recipe)
    if name in RECIPES:
        return RECIPES[name]
    # Path.is_file raises for a name that is too long; this returns False.
    if name.endswith(".toml") or os.path.isfile(name):  # noqa: PTH113
        return _split(read_settings_file(Path(name)), name)
    raise SettingsError(
        f"{name}: no such recipe (there are {', '.join(RECIPES)}, or name a .toml file)"
        f"{nearest_match(name, RECIPES)}"
    )


def _split(values: Mapping[str, Any], name: str) -> Recipe:
    halves: dict[str, dict[str, Any]] = {"objective": {}, "schedule": {}}
    for option in dataclasses.fields(Settings):
        if option.name in values:
            halves[option.metadata["half"]][option.name] = values[option.name]
    return Recipe(purpose=_FILE, source=name, **halves)


def _check_alone(recipe: Recipe, error: SettingsError) -> None:
    """Raise the error with the name of a settings file if the file alone has the same one."""
    if recipe.purpose != _FILE:
        return
    try:
        Settings.from_dict({**recipe.objective, **recipe.schedule})
    except SettingsError as own:
        if str(own) == str(error):
            raise SettingsError(f"{recipe.source}: {error}") from error


def read_settings_file(path: Path) -> dict[str, Any]:
    """Read a TOML file whose keys are fields of `Settings`.

    The file is in UTF-8, or in UTF-16 with a byte order mark. Some editors and shells of Windows
    also write this mark at the start of UTF-8.

    Raises: SettingsError: the file cannot be read, is not TOML, has a key that is not a setting, or
        has a value that is not allowed.
    """
    try:
        data = path.read_bytes()
        marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if marked else "utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: no text, or a NUL in the path
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SettingsError(f"{path}: this settings file cannot be read: {reason}") from error
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise SettingsError(f"{path}: this is not a TOML file: {reason}") from error
    try:
        return Settings.checked(values)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def settings_file(settings: Settings) -> str:
    """Return all settings as the text of a TOML file that `read_settings_file` reads."""
    lines = []
    for option in dataclasses.fields(Settings):
        value = settings.to_dict()[option.name]
        if option.name.endswith("_layers") and value == list(relu_names(settings.network)):
            value = ["all"]  # this is valid for other networks, too
        # Numbers, strings, booleans and lists of them are written as in JSON.
        lines += [f"# {option.metadata['help']}", f"{option.name} = {json.dumps(value)}", ""]
    return "\n".join(lines)
