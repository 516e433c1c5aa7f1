"""Recipes: named settings that reproduce a system or serve a purpose, and settings files.

A recipe has two halves: the objective (what is minimized) and the schedule (start, sizes, steps).
So a faster schedule can minimize a known system's objective. A TOML file with the fields of
`Settings` as keys works as a recipe too.

The settings of the variations (texture, reconstruct, dream) are here as well: which fields they
read, and their own defaults.
"""

from __future__ import annotations

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
from impasto.settings.pictures import Settings

__all__ = [
    "DRAFT_SCHEDULE",
    "DREAM",
    "RECIPES",
    "RECONSTRUCTION",
    "TEXTURE",
    "USED_SETTINGS",
    "Recipe",
    "UsedSettings",
    "read_settings_file",
    "recipe_settings",
    "settings_file",
]


@dataclass(frozen=True)
class Recipe:
    """Named settings, in two halves.

    Attributes:
        purpose: its purpose, in one line.
        source: the paper or program that it follows.
        objective: settings of the objective (network, layers, weights, pooling).
        schedule: settings of the schedule (start, levels, optimizer, steps).
    """

    purpose: str
    source: str
    objective: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)


# A reproduction names all its settings: our defaults may change.
_PLAIN_OBJECTIVE: dict[str, Any] = {
    "network": "vgg19",
    "weights": "bundled",
    "weights_convention": "auto",
    "normalized": False,
    "pooling": "max",
    "pooling_rescaled": False,
    "padding": "zero",
    "pixel_range": 255.0,
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
}
_PLAIN_SCHEDULE: dict[str, Any] = {
    "style_scale": 1.0,
    "init": "content",
    "noise": 0.25,
    "steps": 500,
    "coarsest": 0,  # one level: none of these programs goes from coarse to fine
    "level_ratio": 2.0,
    "step_decay": 0.0,
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
# The paper names L-BFGS and white noise; 500 steps as in the authors' notebooks
# (leongatys/NeuralImageSynthesis), 100 past steps as Lua's optim.lbfgs keeps.
_GATYS_SCHEDULE = {**_PLAIN_SCHEDULE, "init": "noise"}

RECIPES: dict[str, Recipe] = {
    "default": Recipe(
        purpose="A finished picture in minutes on a plain CPU.",
        source="Gram matrices, means and deviations, coarse to fine, with a box-constrained L-BFGS",
    ),
    "fast": Recipe(
        purpose="A good picture in about a minute; works for every objective as --schedule fast.",
        source="the objective of default; levels a factor of 2 apart, more steps on finer ones",
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
        purpose="Large prints: most steps at small sizes, fewer and fewer up to 2048 px.",
        source="the objective of default; sizes as Gatys et al. 2017, section 6, and Crowson",
        schedule={"long_side": 2048, "step_decay": 1.0},
    ),
    "strokes": Recipe(
        purpose="The fine strokes and colors of STYLE on the painting CONTENT: the result is a "
        "style of coarse structure from one and fine strokes from the other.",
        source="Gatys et al. 2017, arXiv 1611.07865, section 6, with the objective of default",
        objective={"style_layers": ("relu1_1", "relu2_1")},
    ),
    "neural-style": Recipe(
        purpose="The objective and the optimizer of neural-style 0.5.7, loss for loss.",
        source="neural-style 0.5.7 (PyPI), after Johnson 2015",
        objective={
            **_PLAIN_OBJECTIVE,
            "pixel_range": 256.0,  # its preprocess multiplies by 256, not 255
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
        purpose="The first paper on neural style transfer, term for term.",
        source="Gatys, Ecker & Bethge, arXiv 1508.06576 and CVPR 2016",
        objective={
            **_PLAIN_OBJECTIVE,
            "normalized": True,  # section 2
            "pooling": "average",  # section 2
            "content_form": "gatys",  # equation 1: half the sum, so α/β shifts with size
            "style_form": "gatys",  # equations 3 and 4
            "style_weighting": "shares",  # w_l = 1 / number of active layers
            "content_weight": 1.0,  # α
            "style_weight": 1e3,  # β: α/β = 1e-3 in figure 3
        },
        schedule=_GATYS_SCHEDULE,
    ),
    "novak-nikulin": Recipe(
        purpose="More of a style's structure: all layers, weighted; shifted, chained statistics.",
        source="Novak & Nikulin, arXiv 1605.04603",
        objective={
            **_PLAIN_OBJECTIVE,
            # The paper does not name pooling, α and β: they are as in Gatys et al.
            "normalized": True,
            "pooling": "average",
            "content_layers": ("all",),
            "content_weighting": "geometric",  # 2^d(l), of sum 1
            "style_layers": ("all",),
            "style_weighting": "geometric",  # 2^(D − d(l)), of sum 1
            "statistic": "chained",  # G^(l, l−1) instead of G^l
            "activation_shift": -1.0,
            "correlation_blur": 0.0,  # blurred correlations: better, but slow to converge
            "content_form": "gatys",
            "style_form": "gatys",  # 1 / (4 · N_l · N_(l−1) · M²)
            "content_weight": 1.0,
            "style_weight": 1e3,
        },
        schedule=_GATYS_SCHEDULE,
    ),
    "notebook": Recipe(
        purpose="The style transfer of many course notebooks. Exact with --weights torchvision "
        "--style-weight 1e4; here tuned for the bundled weights.",
        source="Udacity's style transfer notebook (deep-learning-v2-pytorch)",
        objective={
            **_PLAIN_OBJECTIVE,
            "style_layer_weights": (1.0, 0.75, 0.2, 0.2, 0.2),
            "style_form": "notebook",
            "content_weight": 1.0,  # α
            # β = 1e4 for torchvision's weights. The bundled ones see pixels 255 · 0.226 = 57.6
            # times as large; content grows by the square of that and style by its fourth power,
            # so β / 57.6² keeps their balance.
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
        purpose="VGG-16 with a style term on every layer and a smooth total variation.",
        source="a VGG-16 program with weights 0.1, 5 and 0.01; start and steps are ours",
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
        purpose="Mean squared errors with average pooling; content from the deep relu5_2. "
        "For VGG-19 and VGG-16.",
        source="Gatys et al. 2016, section 2, on pooling; weights and schedule are ours",
        objective={
            **_PLAIN_OBJECTIVE,
            "pooling": "average",
            "content_layers": ("relu5_2",),
            # Average pooling lowers the activations, most so in relu5_2. With these weights, at
            # 128 px, a bundled photo's style loss is 7 times the content loss of a picture that
            # ignores its content; VGG-16: 60 times.
            "content_weight": 1.0,
            "style_weight": 0.1,
        },
        schedule=_PLAIN_SCHEDULE,
    ),
}

# ---- what the variations read -------------------------------------------------------------------

# The schedule of a draft's first frame, if none is named.
DRAFT_SCHEDULE = "fast"

# Changes to the default settings. Adam, from little noise: without a content that fixes places,
# the traces of L-BFGS's long first steps stay in the picture. Both compare Gram matrices, as the
# papers do.
_CALM: Mapping[str, Any] = {
    "optimizer": "adam", "learning_rate": 0.03, "noise": 0.03, "statistic": "gram",
}  # fmt: skip
TEXTURE: Mapping[str, Any] = {**_CALM, "style_weight": 15.0}
RECONSTRUCTION: Mapping[str, Any] = {**_CALM, "coarsest": 0, "tv_weight": 0.0, "chroma_weight": 0.0}
# Four octaves, each 1.4 times the last, and steps of 1.5 / 255, as in Mordvintsev's notebook.
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
        names: fields of `Settings`.
        defaults: the command's own defaults, where they differ from a recipe's.
        helps: the meaning of a field, where it differs from that in `Settings`.
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
    "padding", "pixel_range", "seed", "steps",
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
            "coarsest": "Long side of the first octave.",
            "level_ratio": "Factor between two octaves.",
            "steps": "Steps, over all octaves.",
            "learning_rate": "Distance that the average pixel moves per step, in pixel values of "
            "[0, 1].",
            "seed": "Seed of the jitter.",
        },
    ),
}  # fmt: skip


# ---- from names and files to settings -----------------------------------------------------------


def recipe_settings(
    recipe: str = "default", *, schedule: str | None = None, **changes: Any
) -> Settings:
    """Return the settings of a recipe, with some of them changed.

    Args:
        recipe: a name in RECIPES, or the path of a settings file (TOML).
        schedule: another recipe, of which only the schedule is taken.
        changes: settings that override both.

    Raises: SettingsError: no such recipe or file, or a wrong value.
    """
    chosen = _recipe(recipe)
    values = {**chosen.objective, **chosen.schedule}
    if schedule is not None:
        values = {**chosen.objective, **_recipe(schedule).schedule}
    return Settings.from_dict({**values, **changes})


def _recipe(name: str) -> Recipe:
    if name in RECIPES:
        return RECIPES[name]
    # Path.is_file raises for a name that is too long; this returns false.
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
    return Recipe(purpose="A settings file.", source=Path(name).name, **halves)


def read_settings_file(path: Path) -> dict[str, Any]:
    """Read a TOML file whose keys are fields of `Settings`.

    Raises: SettingsError: no such file, not TOML, or a key that is not a setting.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SettingsError(f"{path}: cannot read these settings: {reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not a TOML file: {error}") from error
    try:
        return Settings.known(values)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def settings_file(settings: Settings) -> str:
    """Return all settings as the text of a TOML file that `read_settings_file` reads."""
    lines = []
    for option in dataclasses.fields(Settings):
        value = settings.to_dict()[option.name]
        if option.name.endswith("_layers") and value == list(relu_names(settings.network)):
            value = ["all"]  # so that it holds for another network, too
        # JSON's numbers, strings, booleans and lists of them are TOML's as well.
        lines += [f"# {option.metadata['help']}", f"{option.name} = {json.dumps(value)}", ""]
    return "\n".join(lines)
