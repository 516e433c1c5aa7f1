"""What people look at: the contact sheet, the report and the blind test."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch

from impasto.evaluation import METRICS, Scores
from impasto.evaluation.comparison.cases import Pair
from impasto.evaluation.comparison.contact_sheet import contact_sheet
from impasto.evaluation.comparison.measurements import Subject
from impasto.evaluation.comparison.plot import plot, ticks
from impasto.evaluation.comparison.report import report
from impasto.evaluation.comparison.results import Comparison, Result, summary
from impasto.evaluation.comparison.statistics import Interval, Summary
from impasto.pictures.files import save_image

RED, GREEN, BLUE, GRAY = (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0.5, 0.5)


@pytest.fixture
def flat(tmp_path):
    """Write a picture of one color, and return its path."""

    def call(color, size=(24, 30)):
        path = tmp_path / f"{color}{size}.jpg"
        save_image(
            torch.tensor(color, dtype=torch.float32)[None, :, None, None].expand(1, 3, *size), path
        )
        return path

    return call


def compared(flat, names=("a", "b"), pairs=("town", "sea"), missing=()):
    """Methods on pairs with invented scores; the first method has more of the photo."""
    cases = [Pair(name, flat(RED), flat(GREEN)) for name in pairs]
    results = {}
    for row, pair in enumerate(cases):
        for column, name in enumerate(names):
            if (pair.name, name) in missing:
                continue
            picture = flat((0, 0, 1 - column / 4), (30, 24))
            values = {
                metric: 0.1 + row / 10 + (column if each.group == "content" else -column) / 20
                for metric, each in METRICS.items() if metric != "lpips"
            }  # fmt: skip
            subject = Subject(pair, name, picture, (30, 24), None, (str(column), "c", "s"))
            scores = Scores(values, {}, "vgg16", None, (30, 24))
            results[pair.name, name] = Result(subject, scores, picture)
    known = {pair for pair, _ in results}
    inputs = {pair.name: (pair.content, pair.style) for pair in cases if pair.name in known}
    return Comparison(cases, list(names), results, inputs, "vgg16")


def test_the_sheet_has_a_row_per_pair_and_a_box_per_picture(flat):
    sheet = contact_sheet(compared(flat, missing={("sea", "a")}))
    gap, caption, side = 8, 18, 30  # the box holds 24 × 30 and 30 × 24
    assert sheet.shape == (1, 3, gap + 2 * (side + caption + gap), gap + 4 * (side + gap))

    def middle(row, column):
        y = gap + row * (side + caption + gap) + side // 2
        return sheet[0, :, y, gap + column * (side + gap) + side // 2]

    missing = (0.9, 0.9, 0.9)
    for row, colors in enumerate(
        [(RED, GREEN, BLUE, (0, 0, 0.75)), (RED, GREEN, missing, (0, 0, 0.75))]
    ):
        for column, color in enumerate(colors):
            torch.testing.assert_close(
                middle(row, column), torch.tensor(color).float(), atol=0.02, rtol=0
            )
    assert (sheet[0, :, gap + 1, gap : gap + side] > 0.98).all()  # white above the wide photo


def test_no_result_gives_no_sheet(flat):
    everything = {(pair, name) for pair in ("town", "sea") for name in "ab"}
    assert contact_sheet(compared(flat, missing=everything)) is None


def test_many_pairs_get_smaller_pictures(flat, monkeypatch):
    monkeypatch.setattr("impasto.evaluation.comparison.contact_sheet._PIXELS", 8 * 50**2)
    big = compared(flat)
    for pair, paths in big.inputs.items():
        big.inputs[pair] = tuple(flat(GRAY, (90, 90)) for _ in paths)
    assert contact_sheet(big).shape[-1] == 8 + 4 * (50 + 8)


HOSTILE = "</td><script>alert('1')</script> & \"x\" onload='y'"


class Elements(HTMLParser):
    """The elements of a page, with their attributes and the text inside."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += f" {data}"


def test_the_report_has_the_numbers_of_the_summary(flat):
    comparison = compared(flat, missing={("sea", "b")}, pairs=("town", "sea", "face"))
    page = report(comparison, sheet=True)
    numbers = [float(facts["value"]) for tag, facts in Elements(page).found if tag == "data"]
    expected = []
    for each in summary(comparison)["metrics"].values():
        for facts in each["methods"].values():
            expected += [facts["mean"], *facts["interval"]]
            if facts["difference"] is not None:
                expected += [facts["difference"], *facts["difference_interval"]]
    assert numbers == expected
    assert len(numbers) == (len(METRICS) - 1) * (3 + 6)


def row(page, metric, method):
    """The HTML of a row; the row of the first method begins with the metric."""
    body = page.partition(f">{metric}<small>")[2].partition("</tbody>")[0]
    return re.search(f'class="method">{method}</th>.*?</tr>', body)[0]


def test_the_report_marks_what_is_better(flat):
    page = report(compared(flat), sheet=True)
    # a has more of the photo, b more of the painting; edges and diversity are better if higher.
    assert 'class="worse">worse' in row(page, "features", "b")
    assert 'class="better">better' in row(page, "gram", "b")
    assert 'class="better">better' in row(page, "edges", "b")
    assert 'class="worse">worse' in row(page, "diversity", "b")
    assert "reference" in row(page, "gram", "a")
    bold = re.findall(r'<tr class="best">.*?class="method">(.)<', page)
    assert bold[:4] == ["a", "b", "b", "b"]  # features, edges, gram, gaussian
    assert "not measured" in page.partition(">lpips<small>")[2].partition("</tbody>")[0]


def test_one_pair_gives_no_interval_and_no_verdict(flat):
    page = report(compared(flat, pairs=("town",)), sheet=True)
    assert "needs two pairs" in page
    assert 'class="bar"' not in page
    assert "<span" not in page


def test_names_are_escaped(flat):
    names = (HOSTILE, "b<&>")
    comparison = compared(flat, names=names, pairs=(HOSTILE, "sea"))
    comparison = replace(comparison, notes=[HOSTILE], problems=[f"{HOSTILE}: broken"])
    page = report(comparison, sheet=True)
    elements = Elements(page)
    assert not [tag for tag, _ in elements.found if tag in ("script", "base")]
    assert not [key for _, facts in elements.found for key in facts if key.startswith("on")]
    assert HOSTILE in elements.text
    assert "b<&>" in elements.text


def test_the_report_asks_for_no_file_elsewhere(flat):
    found = Elements(report(compared(flat), sheet=True)).found
    links = {facts[key] for _, facts in found for key in ("href", "src") if key in facts}
    assert links == {"scores.csv", "summary.json", "sheet.png"}
    assert "sheet.png" not in report(compared(flat), sheet=False)


def test_the_plot_shows_means_intervals_and_the_front():
    def point(x, y):
        return tuple(Summary(v, Interval(v - 0.1, v + 0.2), None, None, 3) for v in (x, y))

    points = {"a": point(0.0, 1.0), "b": point(1.0, 0.0), "c": point(1.0, 1.0)}
    svg = plot(points, ["b", "a"], across="content", up="style <")
    circles = {
        name: (kind, float(x), float(y)) for kind, x, y, name in re.findall(
            r'<circle class="(\w+)" cx="(.*?)" cy="(.*?)" r="5"><title>(.)<', svg
        )
    }  # fmt: skip
    (_, ax, ay), (_, bx, by), c = (circles[name] for name in "abc")
    assert c == ("other", bx, ay)
    assert ax < bx
    assert ay < by  # a larger value is farther up
    assert f'points="{ax:.1f},{ay:.1f} {bx:.1f},{by:.1f}"' in svg  # from left to right
    low, high = map(float, re.search(rf'class="bar" d="M(.*?) {ay}H(.*?)M', svg).groups())
    assert (ax - low) / (bx - ax) == pytest.approx(0.1, abs=0.002)
    assert (high - ax) / (bx - ax) == pytest.approx(0.2, abs=0.002)
    assert "style &lt;" in svg


@pytest.mark.parametrize("center", [0.0, 0.3, -5.0, 4e5])
def test_a_plot_of_equal_points_has_a_scale(center):
    one = Summary(center, None, None, None, 1)
    svg = plot({"a": (one, one), "b": (one, one)}, ["a", "b"], across="x", up="y")
    assert "nan" not in svg
    labels = [float(y) for y in re.findall(r'class="label" x=".*?" y="(.*?)"', svg)]
    assert abs(labels[0] - labels[1]) >= 15  # one does not lie on the other


def test_ticks_are_round_and_inside():
    assert ticks(0.26, 1.39) == [0.4, 0.6, 0.8, 1.0, 1.2]
    assert ticks(-0.021, 0.021) == [-0.02, -0.01, 0.0, 0.01, 0.02]
    assert ticks(1e5, 4e5) == [1e5, 1.5e5, 2e5, 2.5e5, 3e5, 3.5e5, 4e5]
