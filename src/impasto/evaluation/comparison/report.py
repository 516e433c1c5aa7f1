"""The report of a comparison: one HTML page with tables, plots and the contact sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from impasto.errors import counted
from impasto.evaluation.comparison.pages import page, static
from impasto.evaluation.comparison.plot import plot
from impasto.evaluation.comparison.results import FRONTS, Comparison
from impasto.evaluation.comparison.statistics import LEVEL, Interval, Summary
from impasto.evaluation.metrics import GROUPS, METRICS

__all__ = ["report"]

_SHEET = "sheet.png"
_FEW = 10  # pairs; below, the intervals miss the mean more than twice as often as they should


def report(comparison: Comparison, *, sheet: bool) -> str:
    """Return the page. Its links are relative: the other files lie in the same folder.

    Args: sheet: there is a contact sheet, sheet.png.
    """
    parts = [_head(comparison)]
    parts += [_messages("Notes", comparison.notes), _messages("Left out", comparison.problems)]
    parts += [_plots(comparison)]
    parts += [_group(comparison, group) for group in GROUPS]
    if sheet:
        parts.append(
            f'<h2>Pictures</h2>\n<a href="{_SHEET}"><img src="{_SHEET}" '
            'alt="A row per pair: the photo, the painting, and the result of each method"></a>'
        )
    return page(
        f"Comparison of {', '.join(comparison.methods)}", "\n".join(filter(None, parts)),
        style=static("report.css"), images="'self' file:",
    )  # fmt: skip


def _head(comparison: Comparison) -> str:
    first = escape(comparison.methods[0])
    pairs = counted(len(comparison.pairs), "pair")
    few = (
        f" With fewer than {_FEW} pairs, all intervals are too narrow."
        if len(comparison.pairs) < _FEW
        else ""
    )
    return (
        f"<h1>Comparison of {escape(', '.join(comparison.methods))}</h1>\n"
        f"<p>{counted(len(comparison.methods), 'method')} on {pairs} of photo and painting, "
        f"measured by {escape(comparison.network.upper())}. An interval contains the mean of many "
        f"such pairs with a confidence of {LEVEL:.0%}; it comes from a bootstrap over the pairs."
        f"{few} A difference is the method minus <b>{first}</b>, pair by pair. If its interval "
        "does not contain 0, the table says better or worse. The best mean of each metric is bold. "
        "Each metric uses only the pairs for which all methods have a value.</p>\n"
        '<p>All numbers: <a href="scores.csv">scores.csv</a> (each result), '
        '<a href="summary.json">summary.json</a> (these tables). To judge by eye, without names: '
        '<a href="blind.html">blind.html</a>.</p>'
    )


def _messages(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h2>{title}</h2>\n<ul>{items}</ul>"


def _plots(comparison: Comparison) -> str:
    figures = []
    for content, style in FRONTS:
        points = comparison.points((content, style))
        if points:
            front = comparison.front((content, style))
            drawn = plot(points, front, across=_axis(content), up=_axis(style))
            names = escape(", ".join(front))
            figures.append(
                f"<figure>{drawn}<figcaption>Better is left and below. The line joins the methods "
                f"that no other method beats in both: {names}.</figcaption></figure>"
            )
    if not figures:
        return ""
    return f'<h2>Content against style</h2>\n<div class="plots">{"".join(figures)}</div>'


def _axis(metric: str) -> str:
    facts = METRICS[metric]
    return f"{facts.group}: {facts.meaning} ({metric})"


def _group(comparison: Comparison, group: str) -> str:
    """Return the table of a group of metrics."""
    bodies = []
    for metric, facts in METRICS.items():
        found = comparison.table[metric]
        if facts.group != group:
            continue
        head = f"{escape(metric)}<small>{escape(facts.meaning)}; {facts.better} is better</small>"
        if found:
            bodies.append(_body(found, head, facts.better))
        else:
            bodies.append(
                f'<tbody><tr><th scope="rowgroup">{head}</th>'
                f'<td class="reason" colspan="6">{escape(_reason(comparison, metric))}</td></tr>'
                "</tbody>"
            )
    columns = ("metric", "method", "mean", "interval", "difference", "interval", "pairs")
    heads = "".join(f'<th scope="col">{each}</th>' for each in columns)
    return (
        f"<h2>{group.capitalize()}: {escape(GROUPS[group])}</h2>\n"
        f'<div class="scroll"><table data-group="{group}"><thead><tr>{heads}</tr></thead>\n'
        + "\n".join(bodies)
        + "</table></div>"
    )


def _reason(comparison: Comparison, metric: str) -> str:
    """Return why a metric has no mean."""
    found = (each.scores.missing.get(metric) for each in comparison.results.values())
    reason = next(filter(None, found), "no pair has values of all methods")
    return f"not measured: {reason}"


def _body(found: Mapping[str, Summary], head: str, better: str) -> str:
    """Return the rows of a metric."""
    means = {each.mean for each in found.values()}
    best = (min if better == "lower" else max)(means) if len(means) > 1 else None
    rows = []
    for number, (name, each) in enumerate(found.items()):
        first = f'<th scope="rowgroup" rowspan="{len(found)}">{head}</th>' if not number else ""
        kind = ' class="best"' if each.mean == best else ""
        rows.append(
            f'<tr{kind}>{first}<th scope="row" class="method">{escape(name)}</th>'
            f'<td class="number">{_number(each.mean)}</td><td>{_interval(each.interval)}</td>'
            f"{_difference(each, better)}"
            f'<td class="number">{each.pairs}</td></tr>'
        )
    return f"<tbody>{''.join(rows)}</tbody>"


def _difference(found: Summary, better: str) -> str:
    """Return the cells of a difference and its interval."""
    if found.difference is None:
        return '<td class="number">reference</td><td></td>'
    word = ""
    if found.difference_interval and found.difference_interval.excludes(0):
        improves = (found.difference < 0) == (better == "lower")
        kind = "better" if improves else "worse"
        word = f' <span class="{kind}">{kind}</span>'
    return (
        f'<td class="number">{_number(found.difference, sign=True)}</td>'
        f"<td>{_interval(found.difference_interval, sign=True)}{word}</td>"
    )


def _interval(found: Interval | None, *, sign: bool = False) -> str:
    if found is None:
        return "needs two pairs"
    return f"{_number(found.low, sign=sign)} to {_number(found.high, sign=sign)}"


def _number(value: float, *, sign: bool = False) -> str:
    """Return a number, rounded for the eye; the element has all its digits."""
    shown = f"{value:{'+' if sign and value else ''}.3g}".replace("-", "−")
    return f'<data value="{value!r}">{shown}</data>'
