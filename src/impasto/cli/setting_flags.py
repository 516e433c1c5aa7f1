"""Settings → flags: a command gets one for every field of `Settings`, written nowhere else."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import typer
from typer.core import TyperCommand

from impasto.errors import SettingsError
from impasto.settings.layers import CONVOLUTIONS, layer_names
from impasto.settings.options import Options, PerStyle, check_pairs, option_types
from impasto.settings.pictures import Settings
from impasto.settings.recipes import read_settings_file, recipe_settings

__all__ = [
    "GroupedCommand",
    "check_budget",
    "flag",
    "gather_settings",
    "memory_limit",
    "options_of",
    "pair_with_styles",
    "parse_duration",
    "show_value",
    "with_settings",
]

# The word that stands for a value in the help.
_METAVARS: dict[Any, str] = {int: "N", float: "X", str: "NAME|FILE"}


class GroupedCommand(TyperCommand):
    """A command with plain help: arguments, its own options, then the settings by halves.

    Typer's panels are left out: at 80 columns they cut the longer flags off.
    """

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Show the usage as it was written down, in every version of Typer."""
        return [self.options_metavar or ""]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """List the parameters under the titles of their groups."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            if getattr(parameter, "hidden", False):
                continue
            is_argument = parameter.param_type_name == "argument"
            title = getattr(parameter, "rich_help_panel", None) or "Options"
            groups.setdefault("Arguments" if is_argument else title, []).append(
                _help_row(parameter, ctx)
            )
        for title, rows in groups.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete the flags that `--help` leaves out, too."""
        _reveal(self.params)
        return super().shell_complete(ctx, incomplete)


def _help_row(parameter: Any, context: typer.Context) -> tuple[str, str]:
    if parameter.param_type_name == "argument":
        return parameter.metavar, parameter.help or ""
    names, text = parameter.get_help_record(context)
    return names, " ".join(text.split())


def _reveal(parameters: Sequence[Any]) -> None:
    for parameter in parameters:
        parameter.hidden = False


def with_settings(
    command: Callable[..., Any],
    names: Sequence[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    helps: Mapping[str, str] | None = None,
    *,
    kinds: Sequence[type[Options]] = (Settings,),
) -> Callable[..., Any]:
    """Add a flag per field of `Settings` to a command, or of other sets of options.

    Args:
        names: the fields that the command looks at; None: all.
        defaults: those that are others than in `Settings`, by field name, for the help.
        helps: what a field means to this command, where it is something else.
        kinds: the sets of options, listed in this order; no name is in two of them.

    The command's last parameter, `options`, receives those that were given, by field name; see
    `options_of`. Only the common ones show in `--help`; `--help-all`, added too, shows them all.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [each for name, each in signature.parameters.items() if name != "options"]
    types = {name: kind for each in kinds for name, kind in option_types(each).items()}
    fields = [each for kind in kinds for each in dataclasses.fields(kind)
              if names is None or each.name in names]  # fmt: skip
    # In the help a picture's size and steps come before what it aims at.
    order = {"schedule": 1, "objective": 2}
    fields.sort(key=lambda option: order.get(option.metadata["half"], 0))
    flags = [flag(option, types[option.name], defaults or {}, helps or {}) for option in fields]
    known = {each.name for each in flags}

    @functools.wraps(command)
    def wrapper(**given: Any) -> Any:
        given.pop("help_all")
        options = {
            name: _parse(name, types[name], value)
            for name, value in given.items()
            if name in known and value is not None and value != []
        }
        rest = {name: value for name, value in given.items() if name not in known}
        return command(**rest, options=options)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [each.replace(kind=keyword) for each in (*own, _HELP_ALL, *flags)]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapper


def options_of(kind: type[Options], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the options that belong to a set."""
    return {name: value for name, value in options.items() if name in option_types(kind)}


def flag(
    option: dataclasses.Field[Any],
    kind: Any,
    defaults: Mapping[str, Any] = MappingProxyType({}),
    helps: Mapping[str, str] = MappingProxyType({}),
) -> inspect.Parameter:
    """Make the parameter that Typer turns into the flag of a field of this type."""
    default = show_value(defaults.get(option.name, option.default), option.metadata["unit"])
    facts = option.metadata
    name = "--" + option.name.replace("_", "-")
    extra: dict[str, Any] = {}
    if kind is bool:
        name = f"{name}/--no-{name[2:]}"
        shown_type: Any = bool
    elif typing.get_origin(kind) is Literal:
        choices = list(typing.get_args(kind))
        extra = {"metavar": "|".join(choices), "autocompletion": lambda: choices}
        shown_type = str
    elif kind == PerStyle:
        extra = {"metavar": "X"}
        shown_type = list[str]
    elif typing.get_origin(kind) is tuple:
        extra = {"metavar": "A,B,…"}
        if typing.get_args(kind)[0] is str:
            extra["autocompletion"] = complete_layers
        shown_type = str
    else:
        extra = {"metavar": facts["unit"].upper() or _METAVARS[kind]}
        shown_type = kind
    info = typer.Option(
        name,
        help=f"{helps.get(option.name, facts['help'])} [default: {default}]",
        hidden=not facts["common"],
        rich_help_panel=facts["half"].capitalize(),
        **extra,
    )
    annotation = typing.Annotated[shown_type | None, info]
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def complete_layers(incomplete: str) -> list[str]:
    """Complete the last name in a list of layers."""
    before, comma, _ = incomplete.rpartition(",")
    names = dict.fromkeys(name for network in CONVOLUTIONS for name in layer_names(network))
    return [f"{before}{comma}{name}" for name in names]


def show_value(value: Any, unit: str = "") -> str:
    """Write a default as a person would type it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        value = f"{value:g}"
    return f"{value} {unit}".strip()


def _parse(name: str, kind: Any, text: Any) -> Any:
    """Turn what was typed into what a field of this type wants; its range is checked later."""
    if kind == PerStyle:
        return tuple(None if each == "none" else _number(name, each) for each in text)
    if typing.get_origin(kind) is not tuple:
        return text
    items = [item.strip() for item in text.split(",") if item.strip()]
    if typing.get_args(kind)[0] is str:
        return tuple(items)
    try:
        return tuple(typing.get_args(kind)[0](item) for item in items)
    except ValueError as error:
        raise SettingsError(f"{name}: {text!r} is not a list of numbers, like 1,0.5,2") from error


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise SettingsError(
            f"{name}: {text!r} is not a number, or none; for several styles the flag is repeated"
        ) from error


def gather_settings(
    recipe: str,
    schedule: str | None,
    file: Path | None,
    options: Mapping[str, Any],
    styles: Sequence[Path],
) -> Settings:
    """Put settings together: recipe, then a settings file, then flags."""
    values = read_settings_file(file) if file else {}
    base = recipe_settings(recipe, schedule=schedule, **values)
    paired = pair_with_styles(options, styles, base)
    return recipe_settings(recipe, schedule=schedule, **{**values, **paired})


def pair_with_styles(
    options: Mapping[str, Any], styles: Sequence[Path], base: Settings
) -> dict[str, Any]:
    """Give each style its own number where numbers were given, and the recipe's for none.

    Raises: SettingsError: not as many as there are styles; names the pairs.
    """
    paired = dict(options)
    for name, numbers in options.items():
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


_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m(?:in)?)?(?:{_NUMBER}(?:s(?:ec)?)?)?")


def parse_duration(text: str, *, zero: bool = False) -> float:
    """Return the seconds of "90", "90s", "2m", "1m30s", "1.5h" and the like.

    Args: zero: whether 0 is a time, too, as that of a clip is.

    Raises: SettingsError: anything else, or 0.
    """
    match = _DURATION.fullmatch(re.sub(r"\s", "", text))
    hours, minutes, seconds = map(float, match.groups("0")) if match else (0.0, 0.0, 0.0)
    total = hours * 3600 + minutes * 60 + seconds
    if not total > 0 and not (zero and match and match[0]):
        raise SettingsError(f"{text!r} is not a time, like 90s, 2m, 1m30s or 1h")
    return total


_SIZE = re.compile(rf"{_NUMBER}\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_LEAST_MEMORY = 50e6  # less is a slip of the unit


def memory_limit(text: str | None) -> float | None:
    """Return the bytes of "4GB", "4 GiB", "1.5g", "800MB" and the like; None: what is free.

    Raises: SettingsError: anything else, or less than 50 MB.
    """
    if text is None:
        return None
    match = _SIZE.fullmatch(text.strip())
    scale = " kmgt".index(match[2].lower() or " ") if match else 0
    size = float(match[1]) * (1024 if match[3] else 1000) ** scale if match else 0.0
    if size < _LEAST_MEMORY:
        raise SettingsError(f"memory: {text!r} is not a size of at least 50 MB, like 4GB or 800MB")
    return size


def check_budget(budget: str | None, options: Mapping[str, Any]) -> None:
    """Raise a SettingsError for no time, or where flags give the steps that it is to choose."""
    if budget is not None and parse_duration(budget) and "steps" in options:
        raise SettingsError("--time and --steps both give the number of steps; choose one")


def _show_all(context: typer.Context, value: bool) -> None:
    if not value:
        return
    _reveal(context.command.params)
    typer.echo(context.get_help())
    raise typer.Exit


_HELP_ALL = inspect.Parameter(
    "help_all",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=typing.Annotated[
        bool,
        typer.Option(
            "--help-all", help="Show all options and exit.", is_eager=True, callback=_show_all
        ),
    ],
)
