"""The exact command line and Python lines that make a job's picture, from a person's own files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from impasto.apps.studio.kinds import KINDS
from impasto.recipes import recipe_settings

__all__ = ["command_line", "python_lines"]


def command_line(request: Mapping[str, Any], names: Mapping[str, Any]) -> str:
    """Return the command.

    Args:
        request: as checked, see `kinds.Request`.
        names: file names by role.
    """
    kind, options = request["kind"], request["options"]
    words = ["impasto", kind]
    words += [names["content"]] if "content" in names else []
    words += names.get("styles", [])
    words += ["-o", _output(kind)]
    for role, flag in (("masks", "--mask"), ("style_masks", "--style-mask")):
        for name in names.get(role, []):
            words += [flag, name or "none"]
    words += ["--content-mask", names["content_mask"]] if "content_mask" in names else []
    words += ["--recipe", request["recipe"]] if request["recipe"] != "default" else []
    words += ["--init", names["init"]] if "init" in names else []
    changes = _changes(request)
    if "init" in names:
        changes.pop("init", None)
    for name, value in changes.items():
        words += _flag(name, value, len(names.get("styles", [])))
    if kind == "texture":
        words += ["--size", f"{options['width']}x{options['height']}"]
        words += ["--seamless"] if options["seamless"] else []
    elif kind == "recolor":
        words += ["--method", options["method"], "--strength", f"{options['strength']!r}"]
    elif kind == "reconstruct":
        words += ["--layer", options["layer"], *(["--style"] * (options["of"] == "style"))]
    return shlex.join(words)


def python_lines(request: Mapping[str, Any], names: Mapping[str, Any]) -> str:
    """Return the program; see `command_line`."""
    kind, options = request["kind"], request["options"]
    pictures = [repr(names["content"])] if "content" in names else []
    styles = names.get("styles", [])
    if styles:
        pictures.append(repr(styles[0] if len(styles) == 1 else styles))
    if kind == "recolor":
        call = f"impasto.recolor({', '.join(f'impasto.load_image({each})' for each in pictures)}"
        call += f", method={options['method']!r}, strength={options['strength']!r})"
        return f'import impasto\n\nimage = {call}\nimpasto.save_image(image, "{_output(kind)}")\n'
    changed = {**KINDS[kind].defaults, **_changes(request)}
    given = "".join(f", {name}={_tuple(value)!r}" for name, value in changed.items())
    lines = [
        "import impasto",
        "",
        f"settings = impasto.recipe_settings({request['recipe']!r}{given})",
    ]
    extra = ["settings"]
    if kind == "stylize":
        guides = [
            f"{role}={names[role]!r}" for role in ("masks", "style_masks", "content_mask")
            if role in names
        ]  # fmt: skip
        extra += [f"guidance=impasto.Guidance({', '.join(guides)})"] if guides else []
        extra += [f"init={names['init']!r}"] if "init" in names else []
    elif kind == "texture":
        extra = [f"({options['height']}, {options['width']})", "settings"]
        extra += ["seamless=True"] if options["seamless"] else []
    else:
        extra = [repr(options["layer"]), "settings", f"of={options['of']!r}"]
    lines.append(f"pastiche = impasto.{kind}({', '.join([*pictures, *extra])})")
    return "\n".join([*lines, f'pastiche.save("{_output(kind)}")', ""])


def _output(kind: str) -> str:
    return "pastiche.png" if kind == "stylize" else f"{kind}.png"


def _changes(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that differ from what the command begins with."""
    if request["kind"] == "recolor":
        return {}
    kind = KINDS[request["kind"]]
    base = recipe_settings(request["recipe"], **kind.defaults).to_dict()
    return {
        name: value for name, value in request["settings"].items()
        if value != base[name] and name in kind.settings
    }  # fmt: skip


def _flag(name: str, value: Any, styles: int) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if name in ("style_weight", "style_scale"):
        numbers: Sequence[Any] = value if isinstance(value, list) else [value] * max(styles, 1)
        return [word for each in numbers for word in (flag, repr(each))]
    if isinstance(value, list):
        return [flag, ",".join(map(str, value))]
    # With "=", what begins with a minus sign is not taken for a flag.
    return [f"{flag}={value}"] if str(value).startswith("-") else [flag, str(value)]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
