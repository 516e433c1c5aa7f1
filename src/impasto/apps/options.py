"""Settings → flags: a command gets one for every field of `Settings`, written nowhere else."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable
from typing import Any, Literal

import typer

from impasto.errors import SettingsError
from impasto.settings import TYPES, Settings

__all__ = ["flag", "parse_duration", "show_value", "with_settings"]


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add a flag per field of `Settings` to a command.

    The command's last parameter, `options`, receives those that were given, by field name. Only
    the common ones show in `--help`; `--help-all`, added too, shows them all.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [each for name, each in signature.parameters.items() if name != "options"]
    flags = [flag(option) for option in dataclasses.fields(Settings)]
    names = {each.name for each in flags}

    @functools.wraps(command)
    def wrapper(**given: Any) -> Any:
        given.pop("help_all")
        options = {
            name: _parse(name, value)
            for name, value in given.items()
            if name in names and value is not None
        }
        rest = {name: value for name, value in given.items() if name not in names}
        return command(**rest, options=options)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [each.replace(kind=keyword) for each in (*own, *flags, _HELP_ALL)]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapper


def flag(option: dataclasses.Field[Any]) -> inspect.Parameter:
    """Make the parameter that Typer turns into the flag of a field."""
    kind, facts = TYPES[option.name], option.metadata
    name = "--" + option.name.replace("_", "-")
    extra: dict[str, Any] = {}
    if kind is bool:
        name = f"{name}/--no-{name[2:]}"
        shown_type: Any = bool
    elif typing.get_origin(kind) is Literal:
        choices = list(typing.get_args(kind))
        extra = {"metavar": "|".join(choices), "autocompletion": lambda: choices}
        shown_type = str
    elif typing.get_origin(kind) is tuple:
        extra = {"metavar": "A,B,…"}
        shown_type = str
    else:
        extra = {"metavar": facts["unit"].upper() or None}
        shown_type = kind
    info = typer.Option(
        name,
        help=f"{facts['help']} [default: {show_value(option.default, facts['unit'])}]",
        hidden=not facts["common"],
        rich_help_panel=None if facts["common"] else facts["half"].capitalize(),
        **extra,
    )
    annotation = typing.Annotated[shown_type | None, info]
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def show_value(value: Any, unit: str = "") -> str:
    """Write a default as a person would type it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        value = f"{value:g}"
    return f"{value} {unit}".strip()


def _parse(name: str, text: Any) -> Any:
    """Turn what was typed into what the field wants; its range is checked by `Settings`."""
    kind = TYPES[name]
    if typing.get_origin(kind) is not tuple:
        return text
    items = [item.strip() for item in text.split(",") if item.strip()]
    if typing.get_args(kind)[0] is str:
        return tuple(items)
    try:
        return tuple(float(item) for item in items)
    except ValueError as error:
        raise SettingsError(f"{name}: {text!r} is not a list of numbers, like 1,0.5,2") from error


def parse_duration(text: str) -> float:
    """Return the seconds of "90", "90s", "2m", "1m30s" or "1h".

    Raises: SettingsError: anything else, or 0.
    """
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    hours, minutes, seconds = match.groups("0") if match else ("0", "0", "0")
    total = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if not total > 0:
        raise SettingsError(f"{text!r} is not a time, like 90s, 2m, 1m30s or 1h")
    return total


def _show_all(context: typer.Context, value: bool) -> None:
    if not value:
        return
    for parameter in context.command.params:
        parameter.hidden = False  # type: ignore[attr-defined]
    typer.echo(context.get_help())
    raise typer.Exit


_HELP_ALL = inspect.Parameter(
    "help_all",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=typing.Annotated[
        bool,
        typer.Option(
            "--help-all", help="Show every setting and exit.", is_eager=True, callback=_show_all
        ),
    ],
)
