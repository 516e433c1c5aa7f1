"""The command `impasto recipes`: all recipes with purpose and source, or one in full."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer

from impasto.errors import SettingsError, nearest_match
from impasto.settings.options import show_value
from impasto.settings.pictures import Settings
from impasto.settings.recipes import RECIPES, recipe_settings

__all__ = ["recipes_command"]


def recipes_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Show this recipe's settings; if not given, list all recipes.",
            autocompletion=lambda: list(RECIPES),
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """List the recipes, or show the settings of one."""
    if name is not None and name not in RECIPES:
        raise SettingsError(
            f"{name}: no such recipe (there are {', '.join(RECIPES)}){nearest_match(name, RECIPES)}"
        )
    if name is None and as_json:
        rows = {key: {"purpose": r.purpose, "source": r.source} for key, r in RECIPES.items()}
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif name is None:
        for key, recipe in RECIPES.items():
            typer.echo(f"{key}\n  {recipe.purpose}\n  Source: {recipe.source}")
    elif as_json:
        facts = {"name": name, "purpose": RECIPES[name].purpose, "source": RECIPES[name].source}
        typer.echo(json.dumps(facts | recipe_halves(name), indent=2, ensure_ascii=False))
    else:
        halves = recipe_halves(name)
        typer.echo(f"{name}: {RECIPES[name].purpose}\nSource: {RECIPES[name].source}")
        for half in ("objective", "schedule"):
            typer.echo(f"\n{half}")
            for key, value in halves[half].items():
                typer.echo(f"  {key:22} {_shown(value)}")


def recipe_halves(name: str) -> dict[str, dict[str, Any]]:
    """Return all settings of a recipe by halves, as plain values."""
    settings = recipe_settings(name).to_dict()
    halves: dict[str, dict[str, Any]] = {"objective": {}, "schedule": {}}
    for option in dataclasses.fields(Settings):
        halves[option.metadata["half"]][option.name] = settings[option.name]
    return halves


def _shown(value: object) -> str:
    return show_value(tuple(value) if isinstance(value, list) else value)
