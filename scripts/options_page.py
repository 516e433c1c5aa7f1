#!/usr/bin/env python3
"""Write docs/options.md from the code: all settings and all recipes.

scripts/options_page.py            writes the page
scripts/options_page.py --check    exits with 1 if the page is out of date
"""

from __future__ import annotations

import dataclasses
import math
import sys
import typing
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from impasto.cli.setting_flags import show_value  # noqa: E402  (found by the line above)
from impasto.settings.clips import VideoSettings  # noqa: E402
from impasto.settings.options import Options, PerStyle, option_types  # noqa: E402
from impasto.settings.pictures import Settings  # noqa: E402
from impasto.settings.recipes import RECIPES, recipe_settings  # noqa: E402
from impasto.settings.sounds import AudioSettings  # noqa: E402

PAGE = ROOT / "docs" / "options.md"
INTRODUCTION = """\
<!-- Written by scripts/options_page.py from src/impasto/settings/pictures.py: change it there. -->

# Options

Here you find every setting with its default, its allowed values and its effect. A setting of
`impasto.Settings` is also a flag of `impasto stylize`, a key of a settings file, and part of every
picture's metadata. For example, `style_weight` is the flag `--style-weight`. A switch such as
`clamp` has the flags `--clamp` and `--no-clamp`. Lists are written with commas:
`--style-layers relu1_1,relu2_1`. The defaults are those of the recipe `default`.

The settings for video are fields of `impasto.VideoSettings` and flags of `impasto video`, which
also has the flags of `impasto stylize`. The settings for sound are fields of
`impasto.AudioSettings` and flags of `impasto audio`.

Flags override `--settings FILE.toml`, which overrides `--recipe`.
"""
# Title, class of options, and which half of them.
SECTIONS: tuple[tuple[str, type[Options], str], ...] = (
    ("Objective: what a picture minimizes", Settings, "objective"),
    ("Schedule: start, sizes and steps of a picture", Settings, "schedule"),
    ("Video: how frames stay consistent", VideoSettings, "video"),
    ("Sound: objective", AudioSettings, "objective"),
    ("Sound: schedule", AudioSettings, "schedule"),
)


def page() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION]
    for title, kind, half in SECTIONS:
        rows = [
            row(option, option_types(kind)[option.name])
            for option in dataclasses.fields(kind)
            if option.metadata["half"] == half
        ]
        head = ("setting", "default", "allowed", "what it does")
        parts.append(f"## {title}\n\n" + table(head, rows))
    parts.append("## Recipes\n\nEach table lists only the settings that differ from `default`.\n")
    for name, recipe in RECIPES.items():
        ours = Settings().to_dict()
        values_of = recipe_settings(name).to_dict()
        changed = {
            key: value
            for key, value in {**recipe.objective, **recipe.schedule}.items()
            if values_of[key] != ours[key]
        }
        text = f"`{name}`: {recipe.purpose} From: {recipe.source}.\n"
        if changed:
            values = [(f"`{key}`", f"`{show_value(value)}`") for key, value in changed.items()]
            text += "\n" + table(("setting", "value"), values)
        parts.append(text)
    return "\n".join(parts)


def row(option: dataclasses.Field[Any], kind: Any) -> tuple[str, ...]:
    """Return the table row of a setting of this type."""
    facts = option.metadata
    text = facts["help"] + (f" After: {facts['source']}." if facts["source"] else "")
    default = show_value(option.default, facts["unit"])
    return f"`{option.name}`", f"`{default}`", allowed(kind, facts), text


def allowed(kind: Any, facts: Any) -> str:
    """Describe the allowed values of a setting of this type."""
    if typing.get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(kind))
    if kind == PerStyle:
        return f"number{limits(facts)}, or one per style"
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return "layers" if item is str else f"numbers{limits(facts)}"
    words = {bool: "on or off", str: "text", int: "whole number", float: "number"}
    return words[kind] + limits(facts)


def limits(facts: Any) -> str:
    """Describe the range of a number."""
    low, high = facts["low"], facts["high"]
    if math.isinf(low) and math.isinf(high):
        return ""
    if math.isinf(high) or high >= 2**62:
        return f" ≥ {low:g}"
    return f", {low:g} to {high:g}"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped) + "\n"


def main() -> None:
    """Write the page, or check whether it is up to date."""
    if "--check" in sys.argv[1:]:
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page():
            sys.exit(f"{PAGE} is out of date: run scripts/options_page.py")
        return
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
    print(PAGE)


if __name__ == "__main__":
    main()
