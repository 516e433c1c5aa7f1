"""What every set of options has in common: each is declared once, checked, and turned into text.

A set is a frozen dataclass, made of `option` fields: `impasto.Settings`, and those of moving
pictures beside it. Flags, settings files, metadata and docs/options.md follow from the fields.

Free of torch, so that `--help` is instant.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from impasto.errors import SettingsError, nearest_match

__all__ = ["Options", "PerStyle", "check_pairs", "option", "option_types"]

# One number for all paintings, or one for each, in their order.
PerStyle = float | tuple[float, ...]


def option(
    default: Any,
    help: str,
    *,
    half: str,
    low: float = -math.inf,
    high: float = math.inf,
    unit: str = "",
    source: str = "",
    common: bool = False,
) -> Any:
    """Declare a field with all that flags, forms and documents are made of.

    Args:
        half: of a recipe, or the group it is listed in.
        low, high: the closed range of a number (or of each number in a list).
        source: where the default comes from.
        common: listed in `--help`; the rest is in `--help-all`.
    """
    metadata = {
        "help": help,
        "half": half,
        "low": low,
        "high": high,
        "unit": unit,
        "source": source,
        "common": common,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Options:
    """A set of options. Checked when made; never changes.

    Attributes:
        renamed: former name → present name. Files that hold a former name can still be read.

    Raises: SettingsError: a value of the wrong type, out of its range, or unknown.
    """

    renamed: ClassVar[Mapping[str, str]] = types.MappingProxyType({})

    def __post_init__(self) -> None:
        kinds = option_types(type(self))
        for each in dataclasses.fields(self):
            value = _checked(each, kinds[each.name], getattr(self, each.name))
            object.__setattr__(self, each.name, value)

    def replace(self, **changes: Any) -> Self:
        """Return these options with some of them changed.

        Raises: SettingsError: an unknown name (with the nearest match) or value.
        """
        return dataclasses.replace(self, **self.known(changes))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON and TOML have them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make them from plain values; what is not named has its default.

        Raises: SettingsError: an unknown name (with the nearest match) or value.
        """
        return cls(**cls.known(values))

    @classmethod
    def known(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values by present names.

        Raises: SettingsError: a name that is not an option.
        """
        values = {cls.renamed.get(name, name): value for name, value in values.items()}
        names = [each.name for each in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise SettingsError(f"{name}: no such setting{nearest_match(name, names)}")
        return values


def option_types(options: type[Options]) -> Mapping[str, Any]:
    """Return field name → type, with the annotations' strings resolved."""
    return types.MappingProxyType(typing.get_type_hints(options))


def _checked(option: dataclasses.Field[Any], kind: Any, value: Any) -> Any:
    """Return the value as the field's type has it, or raise a SettingsError."""
    if kind == PerStyle:
        if not isinstance(value, list | tuple):
            return _checked_item(option, float, value)
        numbers = tuple(_checked_item(option, float, each) for each in value)
        if not numbers:
            raise SettingsError(f"{option.name}: no number is given")
        return numbers if len(numbers) > 1 else numbers[0]
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise SettingsError(f"{option.name}: {value!r} is not a list")
        return tuple(_checked_item(option, item, each) for each in value)
    return _checked_item(option, kind, value)


def _checked_item(option: dataclasses.Field[Any], kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            match = nearest_match(value, choices) if isinstance(value, str) else ""
            raise SettingsError(
                f"{option.name}: {value!r} is not one of {', '.join(choices)}{match}"
            )
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        article = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        raise SettingsError(f"{option.name}: {value!r} is not {article[kind]}")
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
    count = f"{len(styles)} style{'s' if len(styles) > 1 else ''}"
    raise SettingsError(
        f"{len(given)} × {kind} for {count} ({pairs}): give one for each style, in their order; "
        "none skips a style"
    )
