"""Sets of options → flags: a command gets a flag for each field of the sets it takes."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from impasto.cli.help import show_all_option
from impasto.errors import SettingsError
from impasto.settings.command_flags import RecipeOptions
from impasto.settings.layers import CONVOLUTIONS, layer_names
from impasto.settings.options import (
    Options,
    PerStyle,
    check_pairs,
    flag_name,
    option_types,
    show_default,
    show_value,
    without_none,
)
from impasto.settings.pictures import Settings, override
from impasto.settings.recipes import (
    USED_SETTINGS,
    UsedSettings,
    read_settings_file,
    recipe_settings,
)

__all__ = [
    "Changes",
    "complete_layers",
    "flag",
    "gather_settings",
    "option_sets",
    "pair_with_styles",
    "with_flags",
]

# The settings that a person has given as flags, by field name.
Changes = Annotated[Mapping[str, Any], USED_SETTINGS["stylize"]]

_NOTHING_SPECIAL = UsedSettings(())  # without a command's own defaults and helps

# The word for a value in the help.
_METAVARS: dict[Any, str] = {int: "N", float: "X", str: "NAME|FILE", Path: "FILE"}


@dataclass(frozen=True)
class _OptionSet:
    """A parameter of a command that takes a set of options.

    Attributes:
        parameter: the parameter's name.
        kind: the class of the set.
        used: the fields that the command reads, if it receives a mapping of the given values;
            None: it receives an object of the class.
    """

    parameter: str
    kind: type[Options]
    used: UsedSettings | None = None

    @property
    def fields(self) -> list[dataclasses.Field[Any]]:
        """The fields that have flags."""
        fields = dataclasses.fields(self.kind)
        return [each for each in fields if self.used is None or each.name in self.used.names]

    def flags(self) -> list[tuple[str, inspect.Parameter]]:
        """Return the half and the parameter of each flag."""
        types, used = option_types(self.kind), self.used or _NOTHING_SPECIAL
        return [(each.metadata["half"], flag(each, types[each.name], used)) for each in self.fields]

    def collect(self, given: Mapping[str, Any]) -> Any:
        """Return the command's argument: the set, or a mapping of the given values.

        Raises: SettingsError: a value is not allowed.
        """
        types = option_types(self.kind)
        values = {
            each.name: _parse(each, types[each.name], given[each.name])
            for each in self.fields
            if given.get(each.name) is not None and given[each.name] != []
        }
        return values if self.used is not None else self.kind(**values)


def with_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add a flag for each field of the sets of options in a command's signature.

    A parameter of a class of `Options` receives the set, complete and checked. A parameter
    `Annotated[Mapping[str, Any], UsedSettings(…)]` receives the settings that were given, by field
    name, so that they can override a recipe.

    `--help` shows only common options. `--help-all` shows all options.

    Raises: TypeError: two sets have a field of the same name.
    """
    signature = inspect.signature(command, eval_str=True)
    sets = [each for each in map(_option_set, signature.parameters.values()) if each is not None]
    parameters = _parameters(signature, sets)
    names = [each.name for each in parameters]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise TypeError(f"{command.__name__}: several options are named {', '.join(doubled)}")
    fields = {field.name for each in sets for field in each.fields}

    @functools.wraps(command)
    def wrapper(**given: Any) -> Any:
        own = {name: value for name, value in given.items() if name not in (*fields, "help_all")}
        return command(**own, **{each.parameter: each.collect(given) for each in sets})

    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapper


def option_sets(command: Any) -> list[type[Options]]:
    """Return the sets of options that a command takes, in the order of its signature."""
    signature = inspect.signature(inspect.unwrap(command), eval_str=True)
    sets = map(_option_set, signature.parameters.values())
    return [each.kind for each in sets if each is not None]


def _option_set(parameter: inspect.Parameter) -> _OptionSet | None:
    """Return the set that a parameter takes, if it takes one."""
    kind = parameter.annotation
    if isinstance(kind, type) and issubclass(kind, Options):
        return _OptionSet(parameter.name, kind)
    for used in getattr(kind, "__metadata__", ()):
        if isinstance(used, UsedSettings):
            return _OptionSet(parameter.name, Settings, used)
    return None


def _parameters(
    signature: inspect.Signature, sets: Sequence[_OptionSet]
) -> list[inspect.Parameter]:
    """Return the parameters that Typer sees: the command's own, then flags, then settings."""
    by_name = {each.parameter: each for each in sets}
    general: list[inspect.Parameter] = []
    grouped: list[tuple[str, inspect.Parameter]] = []
    for name, own in signature.parameters.items():
        flags = by_name[name].flags() if name in by_name else [("", own)]
        general += [each for half, each in flags if not half]
        grouped += [(half, each) for half, each in flags if half]
    # In the help, the settings of a picture's size and steps come before those of its objective.
    order = {"schedule": 1, "objective": 2}
    grouped.sort(key=lambda row: order.get(row[0], 0))
    settings = [each for _, each in grouped]
    general.append(show_all_option())
    return [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*general, *settings)]


# ---- one flag -----------------------------------------------------------------------------------


def flag(
    option: dataclasses.Field[Any], kind: Any, used: UsedSettings = _NOTHING_SPECIAL
) -> inspect.Parameter:
    """Return the parameter that Typer turns into the flag of a field of this type."""
    facts = option.metadata
    default = show_default(option)
    if option.name in used.defaults:
        default = show_value(used.defaults[option.name], facts["unit"])
    text = used.helps.get(option.name, facts["help"])
    name = flag_name(option)
    if kind is bool and not facts["switch"]:
        name = f"{name}/--no-{name[2:]}"
    shown_type, extra = _shown_as(option, without_none(kind))
    info = typer.Option(
        *filter(None, (name, facts["short"])),
        help=f"{text} [default: {default}]" if default else text,
        hidden=not facts["common"],
        rich_help_panel=facts["half"].capitalize() or None,
        **extra,
    )
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[shown_type | None, info],
    )


def _shown_as(option: dataclasses.Field[Any], kind: Any) -> tuple[Any, dict[str, Any]]:
    """Return the type that Typer parses a flag as, and how the help shows its value."""
    facts = option.metadata
    extra: dict[str, Any] = {"metavar": facts["metavar"] or None}
    if facts["suggest"]:
        extra["autocompletion"] = lambda: list(facts["suggest"]())
    if kind is bool:
        return bool, extra
    if facts["repeated"]:
        return list[str], extra
    if facts["parse"]:
        return str, extra
    if typing.get_origin(kind) is Literal:
        choices = list(typing.get_args(kind))
        return str, {"metavar": "|".join(choices), "autocompletion": lambda: choices}
    if kind == PerStyle:
        return list[str], {"metavar": "X"}
    if typing.get_origin(kind) is tuple:
        layers = {"autocompletion": complete_layers} if typing.get_args(kind)[0] is str else {}
        return str, {"metavar": "A,B,…", **layers}
    extra["metavar"] = facts["metavar"] or facts["unit"].upper() or _METAVARS[kind]
    # A wrong count is wrong usage. Settings are checked later, when they are put together.
    if kind is int and not facts["half"]:
        extra |= {"min": _bound(facts["low"]), "max": _bound(facts["high"])}
    return kind, extra


def _bound(number: float) -> int | None:
    return int(number) if math.isfinite(number) else None


def complete_layers(incomplete: str) -> list[str]:
    """Complete the last name in a list of layers."""
    before, comma, _ = incomplete.rpartition(",")
    names = dict.fromkeys(name for network in CONVOLUTIONS for name in layer_names(network))
    return [f"{before}{comma}{name}" for name in names]


def _parse(option: dataclasses.Field[Any], kind: Any, text: Any) -> Any:
    """Turn the text of a flag into the value of a field of this type; ranges are checked later."""
    name, kind = option.name, without_none(kind)
    if option.metadata["parse"] and text == show_default(option) == "none":
        return option.default
    if option.metadata["parse"]:
        return option.metadata["parse"](text)
    if kind == PerStyle:
        return tuple(None if each == "none" else _number(name, each) for each in text)
    if option.metadata["repeated"]:
        return tuple(text)
    if typing.get_origin(kind) is not tuple:
        return text
    # The help calls an empty list "none".
    listed = "" if text.strip() == "none" else text
    items = [item.strip() for item in listed.split(",") if item.strip()]
    if typing.get_args(kind)[0] is str:
        return tuple(items)
    try:
        return tuple(typing.get_args(kind)[0](item) for item in items)
    except ValueError as error:
        raise SettingsError(
            f"{name}: {text!r} is not a list of numbers; write it like 1,0.5,2"
        ) from error


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise SettingsError(
            f"{name}: {text!r} is neither a number nor none; for several styles, repeat the flag"
        ) from error


# ---- settings from flags, files and recipes -----------------------------------------------------


def gather_settings(
    recipe: RecipeOptions, changes: Mapping[str, Any], styles: Sequence[Path]
) -> Settings:
    """Put settings together: the recipe, then a settings file, then flags."""
    name, schedule, file = recipe.recipe, recipe.schedule, recipe.settings_file
    values = read_settings_file(file) if file else {}
    try:
        base = recipe_settings(name, schedule=schedule, **values)
    except SettingsError as error:
        if file is None:
            raise
        recipe_settings(name, schedule=schedule)  # or the recipe itself is wrong
        raise SettingsError(f"{file}: {error}") from error
    paired = pair_with_styles(changes, styles, base)
    return recipe_settings(name, schedule=schedule, **override(values, paired))


def pair_with_styles(
    changes: Mapping[str, Any], styles: Sequence[Path], base: Settings
) -> dict[str, Any]:
    """Give each style its own number if numbers were given; "none" means the recipe's number.

    Raises: SettingsError: the numbers of values and styles differ; the message names the pairs.
    """
    paired = dict(changes)
    for name, numbers in changes.items():
        if option_types(Settings)[name] != PerStyle:
            continue
        shown = ["none" if each is None else f"{each:g}" for each in numbers]
        check_pairs(f"--{name.replace('_', '-')}", shown, [each.name for each in styles])
        if None not in numbers:
            continue
        own = base.per_style(name, len(numbers))
        paired[name] = tuple(
            old if new is None else new for old, new in zip(own, numbers, strict=True)
        )
    return paired
