"""The command `impasto recipes`: all recipes with purpose and source, or one in full."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer

from impasto.cli.typer_flags import with_flags
from impasto.settings.options import show_value
from impasto.settings.pictures import Settings
from impasto.settings.recipes import RECIPES, Recipe, find_recipe, recipe_settings

__all__ = ["recipes_command"]


@with_flags
def recipes_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FILE",
            help="Show the settings of this recipe or settings file; if not given, list all "
            "recipes.",
            autocompletion=lambda: list(RECIPES),
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """List the recipes, or show the settings of one."""
    if name is not None:
        _show_one(name, find_recipe(name), as_json)
    elif as_json:
        rows = {key: {"purpose": r.purpose, "source": r.source} for key, r in RECIPES.items()}
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for key, recipe in RECIPES.items():
            typer.echo(f"{key}\n  {recipe.purpose}\n  Source: {recipe.source}")


def _show_one(name: str, recipe: Recipe, as_json: bool) -> None:
    halves = recipe_halves(name)
    if as_json:
        facts = {"name": name, "purpose": recipe.purpose, "source": recipe.source}
        typer.echo(json.dumps(facts | halves, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{name}: {recipe.purpose}\nSource: {recipe.source}")
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
