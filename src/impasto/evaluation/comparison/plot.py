"""A plot of two metrics as SVG: a point with error bars for each method, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from impasto.evaluation.comparison.statistics import Summary

__all__ = ["plot", "ticks"]

_WIDTH, _HEIGHT = 560, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 120, 16, 52  # px around the plot; labels stand on the right
_LINE = 15  # px between two labels

_Scale = Callable[[float], float]  # value → px


def plot(
    points: Mapping[str, tuple[Summary, Summary]],
    front: Sequence[str],
    *,
    across: str,
    up: str,
) -> str:
    """Return an SVG element.

    Args:
        points: method → the summaries of both metrics.
        front: the methods that no other one dominates; a line joins them.
        across, up: the labels of the axes.
    """
    x = _scale([each[0] for each in points.values()], _LEFT, _WIDTH - _RIGHT)
    y = _scale([each[1] for each in points.values()], _HEIGHT - _BOTTOM, _TOP)
    places = {name: (x[0](a.mean), y[0](b.mean)) for name, (a, b) in points.items()}
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in sorted(places[name] for name in front))
    parts = [_axes(x, y, across, up), f'<polyline class="front" points="{line}"/>']
    parts += [_bars(a, b, x[0], y[0]) for a, b in points.values()]
    parts += [
        f'<circle class="{"best" if name in front else "other"}" cx="{a:.1f}" cy="{b:.1f}" r="5">'
        f"<title>{escape(name)}</title></circle>"
        for name, (a, b) in places.items()
    ]
    parts += _labels(places)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(f"{up} against {across}")}">{"".join(parts)}</svg>'
    )


def ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers between two limits.

    >>> ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def _scale(
    summaries: Sequence[Summary], begin: float, end: float
) -> tuple[_Scale, Sequence[float]]:
    """Return the scale of an axis from px `begin` to px `end`, and its ticks."""
    values = [each.mean for each in summaries]
    for each in summaries:
        values += [each.interval.low, each.interval.high] if each.interval else []
    room = (max(values) - min(values)) * 0.08 or abs(values[0]) * 0.1 or 1.0
    low, high = min(values) - room, max(values) + room
    return lambda value: begin + (value - low) / (high - low) * (end - begin), ticks(low, high)


def _axes(
    x: tuple[_Scale, Sequence[float]], y: tuple[_Scale, Sequence[float]], across: str, up: str
) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [
        f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>',
        f'<text class="name" x="{(_LEFT + right) / 2}" y="{_HEIGHT - 12}" text-anchor="middle">'
        f"{escape(across)}</text>",
        f'<text class="name" transform="translate(14 {(_TOP + bottom) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(up)}</text>',
    ]
    for value in x[1]:
        place = x[0](value)
        parts.append(f'<path class="grid" d="M{place:.1f} {_TOP}V{bottom}"/>')
        parts.append(
            f'<text x="{place:.1f}" y="{bottom + 18}" text-anchor="middle">{value:g}</text>'
        )
    for value in y[1]:
        place = y[0](value)
        parts.append(f'<path class="grid" d="M{_LEFT} {place:.1f}H{right}"/>')
        parts.append(
            f'<text x="{_LEFT - 8}" y="{place + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    return "".join(parts)


def _bars(across: Summary, up: Summary, x: _Scale, y: _Scale) -> str:
    """Return the intervals of a point as lines."""
    path = ""
    if across.interval:
        low, high = x(across.interval.low), x(across.interval.high)
        path += f"M{low:.1f} {y(up.mean):.1f}H{high:.1f}"
    if up.interval:
        low, high = y(up.interval.low), y(up.interval.high)
        path += f"M{x(across.mean):.1f} {low:.1f}V{high:.1f}"
    return f'<path class="bar" d="{path}"/>' if path else ""


def _labels(places: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return the methods' names, to the right of the points; a name moves down if one is there."""
    parts: list[str] = []
    taken: list[tuple[float, float]] = []
    for name, (a, b) in sorted(places.items(), key=lambda each: each[1][1]):
        top = b - 8
        while any(abs(a - x) < _RIGHT and abs(top - y) < _LINE for x, y in taken):
            top += 1
        taken.append((a, top))
        short = name if len(name) <= 16 else f"{name[:15]}…"
        parts.append(
            f'<text class="label" x="{a + 9:.1f}" y="{top:.1f}">{escape(short)}'
            f"<title>{escape(name)}</title></text>"
        )
    return parts
