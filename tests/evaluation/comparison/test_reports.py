"""What people look at: the contact sheet, the report and the blind test."""

from __future__ import annotations

import pytest
import torch

from impasto.evaluation import METRICS, Scores
from impasto.evaluation.comparison.cases import Pair
from impasto.evaluation.comparison.contact_sheet import contact_sheet
from impasto.evaluation.comparison.measurements import Subject
from impasto.evaluation.comparison.results import Comparison, Result
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
