"""A set of options: declared once, checked, and turned into text.

A set is a frozen dataclass of `option` fields: `impasto.Settings`, those of clips and sounds, and
those of a run. Flags, settings files, metadata, forms and docs/options.md are made from the fields.

This module does not import torch, so that `--help` is fast.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from impasto.errors import SettingsError, counted, nearest_match

__all__ = [
    "Options",
    "PerStyle",
    "check_pairs",
    "flag_name",
    "option",
    "option_types",
    "options_of",
    "show_default",
    "show_value",
    "without_none",
]

# One number for all paintings, or one for each, in their order.
PerStyle = float | tuple[float, ...]


def option(
    default: Any,
    help: str,
    *,
    half: str = "",
    low: float = -math.inf,
    high: float = math.inf,
    unit: str = "",
    source: str = "",
    common: bool = False,
    flag: str = "",
    short: str = "",
    metavar: str = "",
    shown_default: str = "",
    switch: bool = False,
    repeated: bool = False,
    parse: Callable[[str], Any] | None = None,
    suggest: Callable[[], Sequence[str]] | None = None,
    method: str = "",
) -> Any:
    """Declare a field with everything that flags, forms and documentation need.

    Args:
        help: the effect of the option, in one or two sentences.
        half: the half of a recipe, or the group, that lists the option; "": the general group.
        low, high: the closed range of a number, or of each number in a list.
        unit: the unit of a number: "px".
        source: the paper or program that the option or its default comes from.
        common: whether `--help` shows the option. `--help-all` shows all options.
        flag: the flag's name, if it is not the field's: "print" for `--print`.
        short: the flag's short form: "-f".
        metavar: the word for a value in the help; "": by the field's type.
        shown_default: the default in words, for a field whose default is None.
        switch: a true or false option without a `--no-` form.
        repeated: a list whose flag is given once for each item.
        parse: turns the text of the flag into the field's value.
        suggest: returns the words that a shell completes.
        method: in Python, an object that has this method is a value as well.
    """
    metadata = {
        "help": help,
        "half": half,
        "low": low,
        "high": high,
        "unit": unit,
        "source": source,
        "common": common,
        "flag": flag,
        "short": short,
        "metavar": metavar,
        "shown_default": shown_default,
        "switch": switch,
        "repeated": repeated,
        "parse": parse,
        "suggest": suggest,
        "method": method,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Options:
    """A set of options. It is checked when it is created, and does not change afterwards.

    Attributes:
        renamed: former name → present name. Files that hold a former name can still be read.
        added: option → its value in records that were made before the option existed.

    Raises: SettingsError: a value has the wrong type, is out of its range, or is unknown.
    """

    renamed: ClassVar[Mapping[str, str]] = types.MappingProxyType({})
    added: ClassVar[Mapping[str, Any]] = types.MappingProxyType({})

    def __post_init__(self) -> None:
        kinds = option_types(type(self))
        for option in dataclasses.fields(self):
            value = _checked(option, kinds[option.name], getattr(self, option.name))
            object.__setattr__(self, option.name, value)

    def replace(self, **changes: Any) -> Self:
        """Return a copy of these options with some values changed.

        Raises: SettingsError: a name is unknown (the message has the nearest match), or a value
            is not allowed.
        """
        return dataclasses.replace(self, **self.known(changes))

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, as plain values that JSON can hold."""
        names = [option.name for option in dataclasses.fields(self)]
        return {name: _plain(getattr(self, name)) for name in names}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a set from plain values. The options that are not given have their defaults.

        Raises: SettingsError: a name is unknown (the message has the nearest match), or a value
            is not allowed.
        """
        return cls(**cls.known(values))

    @classmethod
    def present_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values with present names in the place of former ones.

        Raises: SettingsError: an option is given under its former and its present name.
        """
        for name in values:
            if cls.renamed.get(name) in values:
                raise SettingsError(
                    f"{name}: this is the former name of {cls.renamed[name]}, which is given, too; "
                    "give only one"
                )
        return {cls.renamed.get(name, name): value for name, value in values.items()}

    @classmethod
    def recorded(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all values of a record, also of an earlier version, under present names."""
        return {**cls.added, **cls.present_names(values)}

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return some values under present names, each checked by itself.

        Raises: SettingsError: a name is unknown, or a value has the wrong type or is out of range.
        """
        kinds, fields = option_types(cls), {each.name: each for each in dataclasses.fields(cls)}
        return {
            name: _checked(fields[name], kinds[name], value)
            for name, value in cls.known(values).items()
        }

    @classmethod
    def known(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values under the present names of their options.

        Raises: SettingsError: a name is not an option; the message has the nearest match.
        """
        values = cls.present_names(values)
        names = [option.name for option in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise SettingsError(f"{name}: no such setting{nearest_match(name, names)}")
        return values


def option_types(options: type[Options]) -> Mapping[str, Any]:
    """Return the type of each field by its name."""
    return types.MappingProxyType(typing.get_type_hints(options))


def options_of(kind: type[Options], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values whose names are options of a set."""
    return {name: value for name, value in values.items() if name in option_types(kind)}


def without_none(kind: Any) -> Any:
    """Return X for the type X | None, and any other type as it is."""
    kinds = typing.get_args(kind)
    if type(None) not in kinds:
        return kind
    (other,) = (member for member in kinds if member is not type(None))
    return other


# ---- options as text ----------------------------------------------------------------------------


def flag_name(option: dataclasses.Field[Any]) -> str:
    """Return the long flag of a field: "--style-weight"."""
    return "--" + (option.metadata["flag"] or option.name.replace("_", "-"))


def show_value(value: Any, unit: str = "") -> str:
    """Write a value as a person would type it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        value = f"{value:g}"
    return f"{value} {unit}".strip()


def show_default(option: dataclasses.Field[Any]) -> str:
    """Write the default of a field; "": there is none to show."""
    facts = option.metadata
    if facts["shown_default"]:
        return str(facts["shown_default"])
    if option.default is None or facts["switch"] or facts["repeated"]:
        return ""
    return show_value(option.default, facts["unit"])


# ---- checks -------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return f"{type(value).__module__}.{type(value).__qualname__}"  # an object: only its name


def _checked(option: dataclasses.Field[Any], kind: Any, value: Any) -> Any:
    """Return the value converted to the field's type, or raise a SettingsError."""
    value = _builtin(value)
    if value is None and without_none(kind) is not kind:
        return None
    kind = without_none(kind)
    if kind == PerStyle:
        if not isinstance(value, list | tuple):
            return _checked_item(option, float, value)
        numbers = tuple(_checked_item(option, float, number) for number in value)
        if not numbers:
            raise SettingsError(f"{option.name}: the list is empty; give at least one number")
        return numbers if len(numbers) > 1 else numbers[0]
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise SettingsError(f"{option.name}: {value!r} is not a list")
        return tuple(_checked_item(option, item, element) for element in value)
    return _checked_item(option, kind, value)


def _builtin(value: Any) -> Any:
    """Turn a number or list of NumPy, or a tensor, into Python's own; return others unchanged.

    NumPy is not imported for this: its values are recognized by their attributes.
    """
    if not (hasattr(value, "dtype") and hasattr(value, "tolist")):
        return value
    plain = value.tolist()
    return plain if isinstance(plain, bool | int | float | str | list) else value


_TYPE_NAMES = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path",
}  # fmt: skip


_LARGEST = 10**300  # whole numbers above it cannot be compared with floating-point ones


def _checked_item(option: dataclasses.Field[Any], kind: Any, value: Any) -> Any:
    method = option.metadata["method"]
    if method and hasattr(value, method) and not isinstance(value, type):
        return value
    value = _builtin(value)
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            match = nearest_match(value, choices) if isinstance(value, str) else ""
            raise SettingsError(
                f"{option.name}: {value!r} is not one of {', '.join(choices)}{match}"
            )
        return value
    if kind in (int, float) and isinstance(value, int) and abs(value) > _LARGEST:
        allowed = _range_text(option.metadata["low"], option.metadata["high"])
        raise SettingsError(f"{option.name}: the number is too large; it must be {allowed}")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    if type(value) is not kind:
        raise SettingsError(f"{option.name}: {value!r} is not {_TYPE_NAMES[kind]}")
    if kind in (int, float):
        low, high = option.metadata["low"], option.metadata["high"]
        if not low <= value <= high or not math.isfinite(value):
            raise SettingsError(f"{option.name}: {value} is not {_range_text(low, high)}")
    return value


def _range_text(low: float, high: float) -> str:
    if math.isinf(high):
        return "a finite number" if math.isinf(low) else f"a finite number ≥ {low:g}"
    return f"between {low:g} and {high:g}"


def check_pairs(kind: str, given: Sequence[str], styles: Sequence[str]) -> None:
    """Raise a SettingsError that names the pairs unless there is one value for each style.

    Args:
        kind: the option's name.
        given, styles: the values and the paintings, as the message shows them.
    """
    if len(given) == len(styles):
        return
    longest = max(len(given), len(styles))
    pairs = ", ".join(
        f"{styles[i] if i < len(styles) else 'no style'} with "
        f"{given[i] if i < len(given) else f'no {kind}'}"
        for i in range(longest)
    )
    count = counted(len(styles), "style")
    raise SettingsError(
        f"{len(given)} × {kind} for {count} ({pairs}): give one for each style, in their order; "
        "write none for a style without one"
    )
