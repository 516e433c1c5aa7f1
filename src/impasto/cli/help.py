"""Plain help: the options of a command by groups, and the commands by groups.

Typer's panels are left out: at 80 columns they cut off the longer flags.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["GroupedCommand", "GroupedCommands", "show_all_option"]


class GroupedCommand(TyperCommand):
    """A command whose help lists arguments, then its own options, then the settings by half."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the usage as it was declared, in every version of Typer."""
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
        _write_groups(groups, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete hidden flags, too."""
        _reveal(self.params)
        return super().shell_complete(ctx, incomplete)


class GroupedCommands(TyperGroup):
    """A program whose help lists its commands under the titles of their groups."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands with the first sentence of their help."""
        groups: dict[str, list[tuple[str, str]]] = {}
        names = self.list_commands(ctx)
        width = max(map(len, names))
        for name in names:
            command = self.commands[name]
            title = getattr(command, "rich_help_panel", None) or "Commands"
            row = (name.ljust(width), _summary(command.help or ""))
            groups.setdefault(str(title), []).append(row)
        _write_groups(groups, formatter)


def _write_groups(groups: dict[str, list[tuple[str, str]]], formatter: Any) -> None:
    """Write the groups that have rows."""
    for title, rows in groups.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


def _summary(text: str) -> str:
    """Return the first paragraph of a help text on one line, without its final period."""
    return " ".join(inspect.cleandoc(text).split("\n\n")[0].split()).removesuffix(".")


def _help_row(parameter: Any, context: typer.Context) -> tuple[str, str]:
    if parameter.param_type_name == "argument":
        return parameter.metavar or parameter.name.upper(), parameter.help or ""
    names, text = parameter.get_help_record(context)
    return names, " ".join(text.split())


def _reveal(parameters: Sequence[Any]) -> None:
    for parameter in parameters:
        parameter.hidden = False


def _show_all(context: typer.Context, value: bool) -> None:
    if not value:
        return
    _reveal(context.command.params)
    typer.echo(context.get_help())
    raise typer.Exit


def show_all_option() -> inspect.Parameter:
    """Return the parameter of `--help-all`."""
    info = typer.Option(
        "--help-all", help="Show all options and exit.", is_eager=True, callback=_show_all
    )
    return inspect.Parameter(
        "help_all", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, info]
    )
