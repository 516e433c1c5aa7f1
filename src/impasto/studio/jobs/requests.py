"""The kinds of jobs, and requests, which are checked before they are queued.

Imports no torch, so that the server needs none. The settings that a kind reads are those that the
command of the same name reads: `impasto.settings.recipes.USED_SETTINGS`.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from impasto.errors import SettingsError, counted, nearest_match
from impasto.settings.layers import check_layer
from impasto.settings.options import Options, PerStyle, option_types
from impasto.settings.pictures import Settings
from impasto.settings.recipes import DRAFT_SCHEDULE, RECIPES, USED_SETTINGS, recipe_settings
from impasto.studio.jobs.kind_options import (
    ClipOptions,
    PartOptions,
    RecolorOptions,
    ReconstructOptions,
    TextureOptions,
)
from impasto.studio.jobs.limits import Limits, TooLarge

__all__ = [
    "KINDS",
    "ROLES",
    "Kind",
    "Request",
    "check_request",
    "check_size",
    "describe_settings",
    "schedule_of",
    "without_flags",
]

# The roles of a job's pictures. A plural role may have several.
ROLES = ("content", "styles", "masks", "style_masks", "content_mask", "init", "clip")
_MANY = ("styles", "masks", "style_masks")
_MOST_STYLES = 8
# Settings that can name files, and the values allowed here: no path from a request may reach the
# file system, and no request may start a download.
_NAMES_ONLY: Mapping[str, tuple[str, ...]] = {
    "weights": ("bundled",),
    "init": ("content", "style", "noise"),
    "flow": ("dis", "farneback"),
    "flow_weights": ("none",),
}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of job.

    Attributes:
        purpose: its result, in one line.
        needs: the roles that a request must have.
        takes: the roles that a request may have.
        settings: the fields of `Settings` that the kind reads.
        defaults: the kind's own defaults, if they differ from those of a recipe.
        options: the class of the kind's other options.
        recipes: whether a request can choose a recipe.
    """

    purpose: str
    needs: tuple[str, ...]
    takes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    options: type[Options] = Options
    recipes: bool = False


KINDS: Mapping[str, Kind] = MappingProxyType({
    "stylize": Kind(
        purpose="Paint the content in the style of one painting or several.",
        needs=("content", "styles"),
        takes=("masks", "style_masks", "content_mask", "init"),
        settings=USED_SETTINGS["stylize"].names,
        recipes=True,
    ),
    "texture": Kind(
        purpose="Paint only the style of one painting or several, in any size.",
        needs=("styles",),
        settings=USED_SETTINGS["texture"].names,
        defaults=USED_SETTINGS["texture"].defaults,
        options=TextureOptions,
    ),
    "recolor": Kind(
        purpose="Give the content the colors of a painting.",
        needs=("content", "styles"),
        options=RecolorOptions,
    ),
    "reconstruct": Kind(
        purpose="Paint a picture again from noise, as one layer of the network describes it.",
        needs=("content",),
        settings=USED_SETTINGS["reconstruct"].names,
        defaults=USED_SETTINGS["reconstruct"].defaults,
        options=ReconstructOptions,
    ),
    "video": Kind(
        purpose="Paint a clip without flicker: the brush strokes move with the objects.",
        needs=("clip", "styles"),
        takes=("masks", "style_masks", "content_mask"),
        settings=USED_SETTINGS["stylize"].names,
        options=ClipOptions,
        recipes=True,
    ),
    "preview": Kind(
        purpose="Paint every 10th frame of a clip, at most 60 frames, small and independently of "
        "each other, on one sheet.",
        needs=("clip", "styles"),
        takes=("masks", "style_masks", "content_mask"),
        settings=USED_SETTINGS["stylize"].names,
        options=PartOptions,
        recipes=True,
    ),
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request for a job. It has plain values only, because it is stored as JSON.

    Attributes:
        kind: a name in `KINDS`.
        pictures: role (see `ROLES`) → id of an upload, or a list of ids for a plural role. None in
            a list of masks means everywhere. The role "clip" has the id of a clip.
        recipe: the name of the recipe.
        settings: changes to the recipe; after the check, all settings.
        options: the kind's other options; after the check, all of them.
        changes: after the check, the settings that the request has changed.
    """

    kind: str = "stylize"
    pictures: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """The ids of all its pictures."""
        pictures = [each for role, each in self.pictures.items() if role != "clip"]
        many = [each if isinstance(each, list) else [each] for each in pictures]
        return [each for group in many for each in group if each is not None]

    @property
    def clip(self) -> str | None:
        """The id of its clip, if it has one."""
        return self.pictures.get("clip")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)

    def with_pictures(self, pictures: Mapping[str, Any]) -> Request:
        """Return the same request for other pictures."""
        return dataclasses.replace(self, pictures=pictures)


def check_request(request: Request, limits: Limits) -> Request:
    """Return the complete request, with the values of all settings and options.

    Raises:
        SettingsError: a name is unknown, or a value is not allowed.
        TooLarge: the result would be larger than the studio allows.
    """
    kind = _kind(request.kind)
    pictures = _checked_roles(request, kind)
    options = _checked_options(request, kind)
    changes = Settings.present_names(request.settings)
    for name in changes:
        if name not in kind.settings:
            hint = nearest_match(name, kind.settings)
            raise SettingsError(f"{name}: no such setting of the kind {request.kind}{hint}")
    _check_names(changes)
    if not kind.recipes and request.recipe != "default":
        raise SettingsError(f"recipe: the kind {request.kind} has only the recipe default")
    _check_recipe(request.recipe)
    schedule = schedule_of(options, request.recipe, changes)
    settings = recipe_settings(request.recipe, schedule=schedule, **{**kind.defaults, **changes})
    for name in ("style_weight", "style_scale"):
        settings.per_style(name, len(pictures.get("styles", ())) or 1)
    if "layer" in options:
        check_layer(options["layer"], settings.network)
    check_size(request.kind, settings, options, limits, None)
    return Request(
        kind=request.kind, pictures=pictures, recipe=request.recipe, settings=settings.to_dict(),
        options=options, changes=changes,
    )  # fmt: skip


def schedule_of(options: Mapping[str, Any], recipe: str, changes: Mapping[str, Any]) -> str | None:
    """Return the schedule for a draft's first frames; None: the request determines it."""
    is_draft = bool(options.get("draft")) and recipe == "default" and "steps" not in changes
    return DRAFT_SCHEDULE if is_draft else None


def _check_names(given: Mapping[str, Any]) -> None:
    """Raise a SettingsError for a value that names a file."""
    for name, value in given.items():
        if name in _NAMES_ONLY and value not in _NAMES_ONLY[name]:
            raise SettingsError(
                f"{name}: {value!r} is not one of {', '.join(_NAMES_ONLY[name])}; the studio "
                "opens no files and downloads nothing"
            )


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise SettingsError(
            f"kind: {name!r} is not one of {', '.join(KINDS)}{nearest_match(name, KINDS)}"
        )
    return KINDS[name]


def _check_recipe(name: str) -> None:
    """Raise a SettingsError unless this is a recipe's name. Only the command line reads files."""
    if name not in RECIPES:
        raise SettingsError(
            f"recipe: {name!r} is not one of {', '.join(RECIPES)}{nearest_match(name, RECIPES)}"
        )


def _checked_roles(request: Request, kind: Kind) -> dict[str, Any]:
    pictures: dict[str, Any] = {}
    for role, given in request.pictures.items():
        if role not in (*kind.needs, *kind.takes):
            allowed = ", ".join((*kind.needs, *kind.takes))
            raise SettingsError(f"pictures: the kind {request.kind} takes {allowed}, not {role!r}")
        if role in _MANY:
            many = list(given) if isinstance(given, list | tuple) else [given]
            if any(each is not None for each in many):
                pictures[role] = many
        elif given is not None:
            pictures[role] = given
    for role in kind.needs:
        if role not in pictures:
            raise SettingsError(f"pictures: the kind {request.kind} needs {role}")
    styles = pictures.get("styles", [])
    most = 1 if request.kind == "recolor" else _MOST_STYLES
    if len(styles) > most:
        raise SettingsError(
            f"styles: {len(styles)} are given, and the kind {request.kind} takes at most {most}"
        )
    if None in styles:
        raise SettingsError("styles: null is not allowed; give a picture for each style")
    for role in ("masks", "style_masks"):
        if role in pictures and len(pictures[role]) != len(styles):
            raise SettingsError(
                f"{role}: {len(pictures[role])} for {counted(len(styles), 'style')}; give one for "
                "each, in their order; null means everywhere"
            )
    for each in [*Request(pictures=pictures).ids, pictures.get("clip", "")]:
        if not isinstance(each, str):
            raise SettingsError(f"pictures: {each!r} is not the id of a picture")
    return pictures


def _checked_options(request: Request, kind: Kind) -> dict[str, Any]:
    known = option_types(kind.options)
    for name in request.options:
        if name not in known:
            raise SettingsError(
                f"{name}: no such option of the kind {request.kind}{nearest_match(name, known)}"
            )
    _check_names(request.options)
    return kind.options.from_dict(request.options).to_dict()


def check_size(
    kind: str,
    settings: Settings,
    options: Mapping[str, Any],
    limits: Limits,
    photo: tuple[int, int] | None,
) -> None:
    """Raise a TooLarge for a result of more pixels than allowed.

    Args: photo: width and height of the content, or of a clip; None: not known yet.
    """
    pixels = 0
    if kind == "texture":
        pixels = options["width"] * options["height"]
    elif photo is not None and kind not in ("recolor", "preview"):  # these have their own sizes
        pixels = round(settings.long_side**2 * min(photo) / max(photo))
    if pixels > limits.max_pixels:
        raise TooLarge(
            f"the result has {pixels / 1e6:.1f} megapixels, and the studio allows "
            f"{limits.max_pixels / 1e6:g}; choose a smaller size"
        )


def without_flags(text: str, kind: str) -> str:
    """Return a sentence that names options as requests do (keep_hdr), not as the command line does.

    Args: kind: the kind of job that the sentence is about.
    """
    if "--" not in text:
        return text
    known = {*option_types(_kind(kind).options), *_kind(kind).settings}

    def named(flag: re.Match[str]) -> str:
        name = flag[1].replace("-", "_")
        if name.removeprefix("no_") in known:
            return name if name in known else f"{name[3:]}=False"
        return flag[0]

    plain = re.sub(r"(?<![\w-])--([a-z][a-z-]*)", named, text)
    return re.sub(r"(\S+) \(\1\)", r"\1", plain)  # keep_hdr (--keep-hdr)


# ---- forms --------------------------------------------------------------------------------------


def describe_settings(kind: str = "stylize", recipe: str = "default") -> list[dict[str, Any]]:
    """Describe the settings and options of a kind, for forms.

    Returns: a dictionary for each: name, of ("settings" or "options"), type ("choice", "boolean",
        "integer", "number", "text", "numbers", "names", or "number per style"), default, help,
        unit, low and high (None: no bound), choices, half, common.
    """
    known = _kind(kind)
    _check_recipe(recipe)
    base = {**known.options().to_dict(), **recipe_settings(recipe, **known.defaults).to_dict()}
    groups = (("options", known.options), ("settings", Settings))
    return [
        {"of": of, **_describe(each, options), "default": base[each.name]}
        for of, options in groups for each in dataclasses.fields(options)
        if of == "options" or each.name in known.settings
    ]  # fmt: skip


# The names of plain types in forms.
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "text"}


def _describe(option: dataclasses.Field[Any], options: type[Options]) -> dict[str, Any]:
    facts, kind = option.metadata, option_types(options)[option.name]
    choices: Sequence[str] = _NAMES_ONLY.get(option.name, ())
    if not choices and typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
    if choices:
        name = "choice"
    elif kind == PerStyle:
        name = "number per style"
    elif typing.get_origin(kind) is tuple:
        name = "names" if typing.get_args(kind)[0] is str else "numbers"
    else:
        name = _TYPES[kind]
    return {
        "name": option.name, "type": name,
        "help": facts["help"], "unit": facts["unit"], "low": _finite(facts["low"]),
        "high": _finite(facts["high"]), "choices": list(choices), "half": facts["half"],
        "common": facts["common"],
    }  # fmt: skip


def _finite(number: float) -> float | None:
    return number if abs(number) < float("inf") else None
