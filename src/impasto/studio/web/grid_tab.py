"""The grid: the same picture painted with several values of two settings, side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from impasto.errors import ImpastoError, SettingsError
from impasto.settings.options import show_value
from impasto.studio.jobs.requests import Request
from impasto.studio.web import html as parts
from impasto.studio.web.forms import label_of

if TYPE_CHECKING:
    from impasto.studio.jobs.jobs import Jobs
    from impasto.studio.web.forms import Form

__all__ = ["Grid", "values_of"]

_MOST = 12  # pictures in a grid


class Grid:
    """The tab for a grid. All other settings come from the tab Paint.

    Args:
        painting: the form of the tab Paint.
        session_of, make_request: see `page`.
    """

    def __init__(
        self,
        painting: Form,
        jobs: Jobs,
        session_of: Callable[[gr.Request], str],
        make_request: Callable[..., Request],
    ) -> None:
        self.rows = {row["name"]: row for row in painting.rows}
        names = [
            (label_of(row), name) for name, row in self.rows.items()
            if row["type"] not in ("names", "numbers")
        ]  # fmt: skip
        parts.html(parts.GRID)
        with gr.Group(elem_classes="settings"):
            across = gr.Dropdown(
                names, value="style_weight", label="Setting of the columns", elem_id="grid-across"
            )
            these = gr.Textbox("5, 20, 80", label="Values of the columns", elem_id="grid-these")
            down = gr.Dropdown(
                names, value="statistic", label="Setting of the rows", elem_id="grid-down"
            )
            those = gr.Textbox("moments, gram", label="Values of the rows", elem_id="grid-those")
        with gr.Column(elem_classes="launch"):
            parts.html(parts.estimate("grid"))
            start = gr.Button(
                "Paint the grid", variant="primary", elem_id="start-grid", elem_classes="start"
            )
        sent = gr.Textbox(visible="hidden", label="sent")

        def begin(
            request: gr.Request, text: str, first: str, first_values: str, second: str,
            second_values: str, *values: Any,
        ) -> str:  # fmt: skip
            try:
                columns, lines = self._axes(first, first_values, second, second_values)
                asked = make_request(painting, json.loads(text), values)
                changes = [[{first: x, second: y} for x in columns] for y in lines]
                cells = _begin(jobs, asked, changes, session_of(request))
            except ImpastoError as error:
                return json.dumps({"error": " ".join(str(error).split())})
            return json.dumps({
                "across": [_head(first, each) for each in columns],
                "down": [_head(second, each) for each in lines], "cells": cells,
            })  # fmt: skip

        start.click(
            begin, [sent, across, these, down, those, *painting.components], sent,
            js="(...given) => [impasto.state('stylize'), ...given.slice(1)]",
            show_progress="hidden", api_visibility="private", queue=False,
        ).then(None, sent, js="(text) => impasto.grid(text)", queue=False)  # fmt: skip

    def _axes(
        self, first: str, first_values: str, second: str, second_values: str
    ) -> tuple[list[Any], list[Any]]:
        """Parse the values of both settings. Raises: SettingsError."""
        columns = values_of(self.rows[first], first_values)
        lines = values_of(self.rows[second], second_values)
        if first == second:
            raise SettingsError("choose two different settings for the grid")
        if len(columns) * len(lines) > _MOST:
            raise SettingsError(
                f"{len(columns)} x {len(lines)} pictures are more than {_MOST}; enter fewer values"
            )
        return columns, lines


def _begin(
    jobs: Jobs, asked: Request, grid: list[list[dict[str, Any]]], owner: str
) -> list[list[str]]:
    """Queue all pictures of a grid, or none of them."""
    begun: list[str] = []
    try:
        for changes in (each for row in grid for each in row):
            changed = replace(asked, settings={**asked.settings, **changes})
            begun.append(jobs.create(changed, owner, watched=True).id)
    except ImpastoError:
        for each in begun:
            jobs.cancel(each)
        raise
    width = len(grid[0])
    return [begun[at : at + width] for at in range(0, len(begun), width)]


def _head(name: str, value: Any) -> str:
    return f"{name.replace('_', ' ')} {show_value(value)}"


def values_of(row: dict[str, Any], text: str) -> list[Any]:
    """Parse a list of values of a setting. Raises: SettingsError."""
    items = [each.strip() for each in text.split(",") if each.strip()]
    if not items:
        raise SettingsError(f"{row['name']}: enter at least one value")
    kinds: dict[str, Callable[[str], Any]] = {
        "integer": int, "number": float, "number per style": float,
        "boolean": lambda item: {"on": True, "off": False, "true": True, "false": False}[
            item.lower()
        ],
    }  # fmt: skip
    try:
        return [kinds.get(row["type"], str)(each) for each in items]
    except (ValueError, KeyError) as error:
        words = {"integer": "whole numbers", "boolean": "on or off"}.get(row["type"], "numbers")
        raise SettingsError(
            f"{row['name']}: {text!r} cannot be read; enter {words}, separated by commas"
        ) from error
