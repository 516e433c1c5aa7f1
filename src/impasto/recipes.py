"""Recipes: named settings that reproduce a system or serve a purpose, and the files that hold them.

A recipe has two halves: the objective (what is aimed at) and the schedule (how it is reached), so
that a known system's objective can be reached by a faster schedule. A user's TOML file, with the
fields of `Settings` as keys, works as a recipe too.
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
from impasto.settings import Settings, known_options

__all__ = ["RECIPES", "Recipe", "read_settings_file", "recipe_settings", "write_settings_file"]


@dataclass(frozen=True)
class Recipe:
    """Named settings, in two halves, with where they come from.

    Attributes:
        purpose: what it is for, in one line.
        source: the paper or program it follows.
        objective: settings of what is aimed at (network, layers, weights, pooling).
        schedule: settings of how it is reached (start, levels, optimiser, steps).
    """

    purpose: str
    source: str
    objective: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)


RECIPES: dict[str, Recipe] = {
    "default": Recipe(
        purpose="A finished picture in minutes on a plain CPU.",
        source="Gram matrices of Gatys et al. 2016, coarse to fine, with a box-constrained L-BFGS",
    ),
    "neural-style": Recipe(
        purpose="The objective and the optimiser of neural-style 0.5.7, loss for loss.",
        source="neural-style 0.5.7 (PyPI), after Johnson 2015",
        objective={
            "network": "vgg19",
            "padding": "zero",
            "pixel_range": 256.0,  # its preprocess multiplies by 256, not 255
            "style_layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
            "content_form": "mean",
            "style_form": "mean",
            "content_weight": 5.0,
            "style_weight": 100.0,
            # 1e-3 · Σ(|∂x| + |∂y|) over pixels of 0…256; here pixels are 0…1.
            "tv_weight": 0.256,
            "tv_reduction": "sum",
            "chroma_weight": 0.0,
        },
        schedule={
            "init": "noise",
            "noise": 1e-3 / 256,  # randn · 1e-3 around the mean color, in its pixel units
            "coarsest": 0,
            "steps": 1000,
            "history": 100,
            "clamp": False,
        },
    ),
}


def recipe_settings(
    recipe: str = "default", *, schedule: str | None = None, **changes: Any
) -> Settings:
    """Return the settings of a recipe, with some of them changed.

    Args:
        recipe: a name in RECIPES, or the path of a settings file (TOML).
        schedule: another recipe, from which only the schedule is taken.
        changes: settings that win over both.

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
    # Unlike Path.is_file, this one is false, and does not raise, where a name is too long.
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
        return known_options(values)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def write_settings_file(settings: Settings, path: Path) -> None:
    """Write all settings as a TOML file that `read_settings_file` reads."""
    lines = []
    for option in dataclasses.fields(Settings):
        # JSON's numbers, strings, booleans and lists of them are TOML's as well.
        value = json.dumps(settings.to_dict()[option.name])
        lines += [f"# {option.metadata['help']}", f"{option.name} = {value}", ""]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot write these settings: {error.strerror}") from error
