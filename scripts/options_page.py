#!/usr/bin/env python3
"""Write docs/options.md: every setting, every option of a run and every recipe, from the code.

scripts/options_page.py            writes the page
scripts/options_page.py --check    exits with 1 if the page is out of date
"""

from __future__ import annotations

import dataclasses
import math
import re
import sys
import typing
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from impasto.cli.main import app, command_name  # noqa: E402  (found by the line above)
from impasto.cli.typer_flags import option_sets  # noqa: E402
from impasto.settings.clips import VideoSettings  # noqa: E402
from impasto.settings.options import (  # noqa: E402
    Options,
    PerStyle,
    flag_name,
    option_types,
    show_default,
    show_value,
    without_none,
)
from impasto.settings.pictures import Settings  # noqa: E402
from impasto.settings.recipes import RECIPES, recipe_settings  # noqa: E402
from impasto.settings.sounds import AudioSettings  # noqa: E402

PAGE = ROOT / "docs" / "options.md"
INTRODUCTION = """\
<!-- Written by scripts/options_page.py from src/impasto/settings: change it there. -->

# Options

This page lists every setting with its default, its allowed values and its effect. A setting of
`impasto.Settings` is also a flag of `impasto stylize`, a key of a settings file, and part of every
picture's metadata. For example, `style_weight` is the flag `--style-weight`. A switch such as
`clamp` has the flags `--clamp` and `--no-clamp`. Lists are written with commas:
`--style-layers relu1_1,relu2_1`. The defaults are those of the recipe `default`.

The settings for video are fields of `impasto.VideoSettings` and flags of `impasto video`, which
also has the flags of `impasto stylize`. The settings for sound are fields of
`impasto.AudioSettings` and flags of `impasto audio`.

The tables after those of the settings describe options that are not settings. These options exist
only as flags.

A flag overrides the settings in `--settings FILE.toml`, and these override the settings of
`--recipe`.
"""
# Title, set of options, half.
SETTINGS: tuple[tuple[str, type[Options], str], ...] = (
    ("Objective: the function that is minimized", Settings, "objective"),
    ("Schedule: start, sizes and steps of a picture", Settings, "schedule"),
    ("Video: how frames stay consistent", VideoSettings, "video"),
    ("Sound: objective", AudioSettings, "objective"),
    ("Sound: schedule", AudioSettings, "schedule"),
)


def page() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION]
    for title, kind, half in SETTINGS:
        rows = [
            row(f"`{option.name}`", option, option_types(kind)[option.name])
            for option in dataclasses.fields(kind)
            if option.metadata["half"] == half
        ]
        head = ("setting", "default", "allowed", "what it does")
        parts.append(f"## {title}\n\n" + table(head, rows))
    for kind, commands in flag_sets().items():
        title = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).capitalize()
        names = ", ".join(f"`{name}`" for name in commands)
        purpose = (kind.__doc__ or "").partition("\n")[0]
        parts.append(f"## {title}\n\n{purpose} Flags of {names}.\n\n" + flags_table(kind))
    parts.append("## Recipes\n\nEach table lists only the settings that differ from `default`.\n")
    for name, recipe in RECIPES.items():
        ours = Settings().to_dict()
        values_of = recipe_settings(name).to_dict()
        changed = {
            key: value
            for key, value in {**recipe.objective, **recipe.schedule}.items()
            if values_of[key] != ours[key]
        }
        text = f"`{name}`: {recipe.purpose} Source: {recipe.source}.\n"
        if changed:
            values = [(f"`{key}`", f"`{show_value(value)}`") for key, value in changed.items()]
            text += "\n" + table(("setting", "value"), values)
        parts.append(text)
    return "\n".join(parts)


def flag_sets() -> dict[type[Options], list[str]]:
    """Return the sets whose options are flags only, and the commands that take each."""
    sets: dict[type[Options], list[str]] = {}
    shown = {kind for _, kind, _ in SETTINGS}
    for command in app.registered_commands:
        for taken in option_sets(command.callback):
            # A set's own fields have a table; those of its bases have theirs.
            mro = [each for each in taken.__mro__ if issubclass(each, Options)]
            kinds = [each for each in mro if each is not Options]
            for kind in kinds:
                if kind not in shown and vars(kind).get("__annotations__"):
                    sets.setdefault(kind, []).append(command_name(command.callback))
    return sets


def flags_table(kind: type[Options]) -> str:
    """Return the table of a set's own options, which are flags only."""
    types, own = option_types(kind), vars(kind)["__annotations__"]
    rows = [
        row(flag_text(option), option, types[option.name])
        for option in dataclasses.fields(kind)
        if option.name in own
    ]
    return table(("flag", "default", "allowed", "what it does"), rows)


def flag_text(option: dataclasses.Field[Any]) -> str:
    """Return the forms of a flag."""
    names = (flag_name(option), option.metadata["short"])
    return ", ".join(f"`{name}`" for name in names if name)


def row(name: str, option: dataclasses.Field[Any], kind: Any) -> tuple[str, ...]:
    """Return the line of an option of this type."""
    facts = option.metadata
    text = facts["help"] + (f" Source: {facts['source']}." if facts["source"] else "")
    default = show_default(option)
    if default and not facts["shown_default"]:
        default = f"`{default}`"
    return name, default, allowed(kind, facts), text


def allowed(kind: Any, facts: Any) -> str:
    """Return the values that an option of this type may have, in words."""
    kind = without_none(kind)
    if facts["metavar"]:
        return " or ".join(f"`{each}`" for each in facts["metavar"].split("|"))
    if typing.get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(kind))
    if kind == PerStyle:
        return f"number{limits(facts)}, or one per style"
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return "layers" if item is str else f"numbers{limits(facts)}"
    if facts["switch"]:
        return ""
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
