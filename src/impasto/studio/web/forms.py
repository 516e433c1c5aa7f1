"""The forms: the settings and options of a kind of job as Gradio components."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from impasto.errors import SettingsError
from impasto.studio.jobs.requests import describe_settings
from impasto.studio.web import html as parts

__all__ = ["Form", "label_of"]

# Settings with a slider instead of a number field: from, to, step.
_SLIDERS: Mapping[str, tuple[float, float, float]] = {
    "long_side": (16, 4096, 16),
    "steps": (1, 2000, 1),
    "style_scale": (0.1, 4, 0.05),
    "strength": (0, 1, 0.05),
    "frame_steps": (1, 500, 1),
}
# The most important settings, in the order of the form.
_FIRST = (
    "start", "end", "long_side", "frame_steps", "draft", "sound", "temporal_weight", "steps",
    "style_weight", "content_weight", "style_scale", "color", "statistic", "feather",
)  # fmt: skip
# Settings that the form does not show.
_LEFT_OUT = ("weights", "weights_convention", "flow_weights")
_TITLES = {
    "video": "Frames", "objective": "Photo and style", "schedule": "Size and steps",
}  # fmt: skip
# Settings that come later in the forms of these kinds.
_LATER: Mapping[str, tuple[str, ...]] = {"video": ("flow",), "preview": ("feather",)}
# Labels of settings that differ from their names.
_CLIP_LABELS = {"steps": "Steps for the first frame"}
_LABELS = {
    "long_side": "Size", "style_scale": "Stroke size", "color": "Colors",
    "statistic": "Compare style by",
    "feather": "Soft edge of masks", "tv_weight": "Smoothness", "init": "Start from", "of": "Show",
    "start": "Start", "frame_steps": "Steps per frame", "temporal_weight": "Steadiness",
    "flow": "Find motion by", "cuts": "Find scene cuts",
    "keep_hdr": "Keep HDR",
}  # fmt: skip


class Form:
    """A Gradio component for each setting and option of a kind.

    Args: kind: see `requests.KINDS`.

    Attributes:
        rows: the rows of `describe_settings`.
        components: the components in the same order.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        rows = [row for row in describe_settings(kind) if row["name"] not in _LEFT_OUT]
        first = [row for row in rows if _is_first(row, kind)]
        first.sort(key=_place)
        rest = [row for row in rows if row not in first]
        self.rows: list[dict[str, Any]] = []
        self.components: list[Any] = []
        with gr.Group(elem_classes="settings"):
            self._lay_out(first)
        if rest:
            with gr.Accordion("More settings", open=False, elem_classes="more"):
                for half, title in _TITLES.items():
                    group = [row for row in rest if row["half"] == half]
                    if group:
                        parts.html(f"<h3>{title}</h3>")
                        with gr.Group(elem_classes="settings"):
                            self._lay_out(group)

    def _lay_out(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            self.rows.append(row)
            self.components.append(_component(row, self.kind))

    def values(
        self, recipe: str, settings: Mapping[str, Any], options: Mapping[str, Any]
    ) -> list[Any]:
        """Return the values of the components for a recipe with these changes."""
        base = {row["name"]: row["default"] for row in describe_settings(self.kind, recipe)}
        return [_shown(row, {**base, **settings, **options}[row["name"]]) for row in self.rows]

    def read(self, recipe: str, values: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the settings that differ from a recipe, and all options.

        Raises: SettingsError: a text is not a list of numbers.
        """
        base = {row["name"]: row["default"] for row in describe_settings(self.kind, recipe)}
        settings, options = {}, {}
        for row, value in zip(self.rows, values, strict=True):
            default = base[row["name"]]
            untouched = value == _shown(row, default)
            parsed = default if untouched else _parsed(row, value, default)
            if row["of"] == "options":
                options[row["name"]] = parsed
            elif parsed != default:
                settings[row["name"]] = parsed
        return settings, options


def _place(row: Mapping[str, Any]) -> int:
    return _FIRST.index(row["name"]) if row["name"] in _FIRST else -1


def _is_first(row: Mapping[str, Any], kind: str) -> bool:
    if row["name"] in _LATER.get(kind, ()):
        return False
    return row["common"] if row["of"] == "options" else row["name"] in _FIRST


def _help(row: Mapping[str, Any], kind: str) -> str:
    """Return the help of a setting, with labels instead of command-line flags."""

    def called(flag: re.Match[str]) -> str:
        return f"“{label_of({'name': flag[1].replace('-', '_')}, kind)}”"

    return re.sub(r"--([a-z-]+)", called, row["help"])


def label_of(row: Mapping[str, Any], kind: str = "") -> str:
    """Return the label of a setting in the form of a kind."""
    name = row["name"]
    if kind == "video" and name in _CLIP_LABELS:
        return _CLIP_LABELS[name]
    return _LABELS.get(name) or name.replace("_", " ").capitalize().replace("Tv", "TV")


def _component(row: Mapping[str, Any], of: str) -> Any:
    unit = f" ({row['unit']})" if row["unit"] else ""
    facts: dict[str, Any] = {
        "label": f"{label_of(row, of)}{unit}", "info": _help(row, of),
        "value": _shown(row, row["default"]), "elem_id": f"{of}-{row['name']}", "interactive": True,
        "min_width": 220,
    }  # fmt: skip
    kind = row["type"]
    if row["name"] in _SLIDERS:
        low, high, step = _SLIDERS[row["name"]]
        return gr.Slider(low, high, step=step, buttons=[], **facts)
    if kind == "choice":
        return gr.Dropdown(row["choices"], filterable=False, **facts)
    if kind == "boolean":
        return gr.Checkbox(**facts)
    if kind in ("integer", "number", "number per style"):
        precision = 0 if kind == "integer" else None
        return gr.Number(precision=precision, step=1 if kind == "integer" else 0.1, **facts)
    return gr.Textbox(max_lines=1, **facts)


def _shown(row: Mapping[str, Any], value: Any) -> Any:
    if row["type"] in ("numbers", "names"):
        return ", ".join(map(str, value))
    if row["type"] == "number per style" and isinstance(value, list | tuple):
        return max(value)
    # 1.41421, not 1.4142135623730951. `read` turns unchanged values back into the exact default.
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _parsed(row: Mapping[str, Any], value: Any, base: Any) -> Any:
    kind = row["type"]
    if value is None:
        return base
    if kind in ("numbers", "names"):
        items = [each.strip() for each in str(value).split(",") if each.strip()]
        if kind == "names":
            return items
        try:
            return [int(each) if each.isdecimal() else float(each) for each in items]
        except ValueError as error:
            raise SettingsError(
                f"{row['name']}: {value!r} is not a list of numbers; write it like 1, 0.5, 2"
            ) from error
    if kind == "integer":
        return int(value)
    if kind in ("number", "number per style"):
        return float(value)
    return value
