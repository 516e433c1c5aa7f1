"""The command line and the Python program that repeat a job with a person's own files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from impasto.settings.clips import VideoSettings
from impasto.settings.options import options_of
from impasto.settings.recipes import recipe_settings
from impasto.studio.jobs.requests import KINDS, schedule_of

__all__ = ["command_line", "python_lines"]


def command_line(request: Mapping[str, Any], names: Mapping[str, Any]) -> str:
    """Return the command.

    Args:
        request: a checked request, see `requests.Request`.
        names: file names by role.
    """
    kind, options = request["kind"], request["options"]
    words = ["impasto", "video" if kind == "preview" else kind]
    words += [names[role] for role in ("content", "clip") if role in names]
    words += names.get("styles", [])
    words += ["--preview" if kind == "preview" else "-o", _output(kind)]
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
    else:
        for name, value in _chosen(request).items():
            words += _flag(name, value, 0)
    return shlex.join(words)


def python_lines(request: Mapping[str, Any], names: Mapping[str, Any]) -> str:
    """Return the program; see `command_line`."""
    kind, options = request["kind"], request["options"]
    sources = [repr(names[role]) for role in ("content", "clip") if role in names]
    styles = names.get("styles", [])
    if styles:
        sources.append(repr(styles[0] if len(styles) == 1 else styles))
    if kind == "recolor":
        photo, style = sources
        given = f"method={options['method']!r}, strength={options['strength']!r}"
        return "\n".join([
            "import impasto",
            "",
            f"photo = impasto.load_picture({photo})",
            f"image = impasto.recolor(photo, impasto.load_picture({style}), {given})",
            f'impasto.save_image(image, "{_output(kind)}", alpha=photo.alpha)\n',
        ])  # fmt: skip
    schedule = _schedule(request)
    shortcut = f", schedule={schedule!r}" if schedule else ""
    changed = {**KINDS[kind].defaults, **_changes(request)}
    settings = (
        f"settings = impasto.recipe_settings({request['recipe']!r}{shortcut}{_given(changed)})"
    )
    guides = [
        f"{role}={names[role]!r}" for role in ("masks", "style_masks", "content_mask")
        if role in names
    ]  # fmt: skip
    guidance = [f"guidance=impasto.Guidance({', '.join(guides)})"] if guides else []
    if kind in ("video", "preview"):
        return _clip_lines(request, settings, sources, guidance)
    extra = ["settings"]
    if kind == "stylize":
        extra += guidance
        extra += [f"init={names['init']!r}"] if "init" in names else []
    elif kind == "texture":
        extra = [f"({options['height']}, {options['width']})", "settings"]
        extra += ["seamless=True"] if options["seamless"] else []
    else:
        extra = [repr(options["layer"]), "settings", f"of={options['of']!r}"]
    painting = f"pastiche = impasto.{kind}({', '.join([*sources, *extra])})"
    return "\n".join(["import impasto", "", settings, painting, _saving("pastiche.save(", kind)])


def _clip_lines(
    request: Mapping[str, Any], settings: str, sources: list[str], guidance: list[str]
) -> str:
    """Return the program that paints a clip, or a sheet of it."""
    kind, chosen = request["kind"], _chosen(request)
    part = _given({name: chosen[name] for name in ("start", "end") if name in chosen})
    also = "".join(f", {each}" for each in guidance) + part
    if kind == "preview":
        return "\n".join([
            "import impasto",
            "from impasto.video.preview import contact_sheet, preview_frames",
            "",
            settings,
            f"frames = list(preview_frames({', '.join(sources)}, settings{also}))",
            _saving("impasto.save_image(contact_sheet(frames), ", kind),
        ])  # fmt: skip
    also += _given({name: chosen[name] for name in ("sound",) if name in chosen})
    video = _given(options_of(VideoSettings, chosen))[2:]
    sources.append(repr(_output(kind)))
    return "\n".join([
        "import impasto",
        "",
        settings,
        f"video = impasto.VideoSettings({video})",
        f"impasto.stylize_video({', '.join(sources)}, settings, video{also})",
        "",
    ])  # fmt: skip


def _saving(call: str, kind: str) -> str:
    return f'{call}"{_output(kind)}")\n'


def _output(kind: str) -> str:
    """Return a file name for the result of a kind of job."""
    return {"stylize": "pastiche.png", "video": "painted.mp4"}.get(kind, f"{kind}.png")


def _given(values: Mapping[str, Any]) -> str:
    """Write values as a call's further arguments."""
    return "".join(f", {name}={_tuple(value)!r}" for name, value in values.items())


def _chosen(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that differ from the command's defaults."""
    own = KINDS[request["kind"]].options().to_dict()
    return {name: value for name, value in request["options"].items() if value != own[name]}


def _schedule(request: Mapping[str, Any]) -> str | None:
    """Return the schedule that the command chooses without a flag, if the job used it."""
    schedule = schedule_of(request["options"], request["recipe"], {})
    if schedule is None:
        return None
    steps = recipe_settings(request["recipe"], schedule=schedule).steps
    return schedule if request["settings"]["steps"] == steps else None


def _changes(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that differ from the command's own."""
    if request["kind"] == "recolor":
        return {}
    kind = KINDS[request["kind"]]
    schedule = _schedule(request)
    base = recipe_settings(request["recipe"], schedule=schedule, **kind.defaults).to_dict()
    # If the command would choose a schedule, only named steps prevent it.
    own = schedule is None and schedule_of(request["options"], request["recipe"], {}) is not None
    return {
        name: value for name, value in request["settings"].items()
        if name in kind.settings and (value != base[name] or (own and name == "steps"))
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
    # With "=", a value that begins with a minus sign is not taken for a flag.
    return [f"{flag}={value}"] if str(value).startswith("-") else [flag, str(value)]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
