"""What people look at: the contact sheet, the report and the blind test."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch

from impasto.evaluation import METRICS, Scores
from impasto.evaluation.comparison.blind import blind_test
from impasto.evaluation.comparison.cases import Pair
from impasto.evaluation.comparison.contact_sheet import contact_sheet
from impasto.evaluation.comparison.measurements import Subject
from impasto.evaluation.comparison.plot import plot, ticks
from impasto.evaluation.comparison.report import report
from impasto.evaluation.comparison.results import Comparison, Result, summary
from impasto.evaluation.comparison.statistics import Interval, Summary
from impasto.pictures.files import save_image

CHROMIUM = shutil.which("chromium")
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
            scores = Scores(values, {"lpips": "no <lpips>"}, "vgg16", None, (30, 24))
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
    assert (
        "not measured: no &lt;lpips&gt;"
        in page.partition(">lpips<small>")[2].partition("</tbody>")[0]
    )


def test_one_pair_gives_no_interval_and_no_verdict(flat):
    page = report(compared(flat, pairs=("town",)), sheet=True)
    assert "needs two pairs" in page
    assert 'class="bar"' not in page
    assert "<span" not in page


def test_few_pairs_get_a_warning(flat):
    warning = "too narrow"
    assert warning in report(compared(flat, pairs=[str(number) for number in range(9)]), sheet=True)
    assert warning not in report(compared(flat, pairs=[*"0123456789"]), sheet=True)


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
    assert links == {"scores.csv", "summary.json", "sheet.png", "blind.html"}
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


# ---- the blind test -----------------------------------------------------------------------------


def data(page):
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1]
    )


def test_the_blind_test_asks_for_every_two_results_of_a_pair(flat):
    page = data(blind_test(compared(flat, names=("a", "b", "c"), missing={("sea", "b")})))
    asked = [(each["pair"], each["methods"]) for each in page["questions"]]
    assert asked == [("town", [0, 1]), ("town", [0, 2]), ("town", [1, 2]), ("sea", [0, 2])]
    first = page["questions"][0]
    pictures = [page["pictures"][index] for index in first["inputs"] + first["pictures"]]
    expected = [flat(RED), flat(GREEN), flat((0, 0, 1.0), (30, 24)), flat((0, 0, 0.75), (30, 24))]
    for uri, path in zip(pictures, expected, strict=True):
        assert base64.b64decode(uri.removeprefix("data:image/jpeg;base64,")) == path.read_bytes()


def test_equal_results_are_not_asked_for(flat):
    comparison = compared(flat, pairs=("town",))
    (first, second) = comparison.results.values()
    comparison.results["town", "b"] = replace(second, thumbnail=first.thumbnail)
    assert data(blind_test(comparison))["questions"] == []


def test_the_source_of_the_blind_test_names_no_method(flat):
    page = blind_test(compared(flat, names=("Rembrandt", "Vermeer <&>")))
    assert "Rembrandt" not in page
    assert "Vermeer" not in page
    names = [base64.b64decode(each).decode() for each in data(page)["methods"]]
    assert names == ["Rembrandt", "Vermeer <&>"]


def test_the_policy_of_the_blind_test_permits_its_own_script_only(flat):
    page = blind_test(compared(flat, pairs=(HOSTILE, "sea")))
    found = Elements(page).found
    (policy,) = [facts["content"] for tag, facts in found if "http-equiv" in facts]
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert not [
        key for _, facts in found for key in facts if key.startswith("on") or key == "style"
    ]
    assert not [facts for _, facts in found if "href" in facts or "src" in facts]
    assert data(page)["questions"][0]["pair"] == HOSTILE


@pytest.fixture
def visit(tmp_path):
    """Open a page in a real browser; a fault in its script, or a request, fails the test."""
    if not CHROMIUM and not os.environ.get("IMPASTO_DEMAND_BROWSER"):
        pytest.skip("no chromium (apt-get install chromium)")
    api = pytest.importorskip("playwright.sync_api", reason="no playwright (impasto[dev])")
    faults, requests = [], []
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=arguments)

        def call(name, text):
            (tmp_path / name).write_bytes(text.encode())
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", lambda message: faults.append(message.text))
            page.on("request", lambda request: requests.append(request.url))
            page.goto((tmp_path / name).as_uri())
            return page

        yield call
        browser.close()
    assert faults == []
    assert {url.partition(":")[0] for url in requests} <= {"file", "data", "blob"}


@pytest.mark.browser
@pytest.mark.flaky(reruns=1, only_rerun=["TargetClosedError"])
def test_the_blind_test_in_a_browser(flat, visit, tmp_path):
    names, pairs = ("plain", "<b>dark é</b>"), ("town", "sea", "sky", "face")
    comparison = compared(flat, names=names, pairs=pairs)
    page = visit("blind.html", blind_test(comparison))
    known = data(blind_test(comparison))
    dark = known["pictures"][known["questions"][0]["pictures"][1]]

    def side_of_dark():
        left, right = (
            page.locator(f"#{each}-picture").get_attribute("src") for each in ("left", "right")
        )
        assert left != right
        return "left" if left == dark else "right"

    assert page.locator("#count").inner_text() == "1 of 4"
    assert "plain" not in page.inner_text("body")
    # The dark one twice, by mouse and by key; back and again; equal; then the plain one.
    page.click(f"#{side_of_dark()}")
    page.keyboard.press("ArrowLeft" if side_of_dark() == "left" else "ArrowRight")
    page.keyboard.press("Backspace")
    assert page.locator("#count").inner_text() == "2 of 4"
    page.keyboard.press("ArrowLeft" if side_of_dark() == "left" else "ArrowRight")
    page.keyboard.press("Space")
    assert page.locator("#count").inner_text() == "4 of 4"
    page.keyboard.press("ArrowRight" if side_of_dark() == "left" else "ArrowLeft")
    rows = [row.split() for row in page.locator("#wins tr").all_inner_texts()]
    assert rows == [
        ["<b>dark", "é</b>", "2", "1", "1", "63", "%"],
        ["plain", "1", "1", "2", "38", "%"],
    ]
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "answers.json")
    found = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    assert [each["hung"] for each in found["answers"]] == [names[1], names[1], None, names[0]]
    assert {each["pair"] for each in found["answers"]} == set(pairs)
    assert all({each["left"], each["right"]} == set(names) for each in found["answers"])
    assert found["methods"][0] == {
        "method": names[1], "hung": 2, "equal": 1, "not_hung": 1, "share": 0.625
    }  # fmt: skip


@pytest.mark.browser
@pytest.mark.flaky(reruns=1, only_rerun=["TargetClosedError"])
def test_the_order_is_random_in_a_browser(flat, visit):
    text = blind_test(compared(flat, pairs=[f"p{number}" for number in range(24)]))
    dark = data(text)["pictures"][data(text)["questions"][0]["pictures"][1]]
    page = visit("blind.html", text)
    left = 0
    for _ in range(24):
        left += page.locator("#left-picture").get_attribute("src") == dark
        page.keyboard.press("Space")
    assert 0 < left < 24  # by chance it fails once in 8 million runs


@pytest.mark.browser
@pytest.mark.flaky(reruns=1, only_rerun=["TargetClosedError"])
def test_pages_in_a_browser_that_have_nothing_to_ask_or_only_text(flat, visit, tmp_path):
    comparison = compared(flat, names=(HOSTILE,))
    page = visit("blind.html", blind_test(comparison))
    assert "Nothing to choose" in page.inner_text("body")
    save_image(contact_sheet(comparison), tmp_path / "sheet.png")
    page = visit("report.html", report(comparison, sheet=True))
    assert page.evaluate("document.images[0].naturalWidth") > 0
    assert (
        page.evaluate("getComputedStyle(document.querySelector('table')).borderCollapse")
        == "collapse"
    )
