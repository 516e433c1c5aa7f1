"""Blends of styles: a row of two, a grid of four."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from helpers import assert_clear_error
from impasto.cli.sheets import blend_shares
from impasto.errors import counted
from impasto.painting.stylizer import stylize
from impasto.pictures.files import load_image, read_metadata, save_image
from impasto.pictures.films import sheet
from impasto.pictures.picture import Picture, on_paper
from impasto.settings.pictures import Settings

SMALL = ("--long-side", 40, "--coarsest", 0, "--steps", 3, "--threads", 1)
QUICK = Settings(long_side=40, coarsest=0, steps=3)


def test_shares_go_from_all_of_one_to_all_of_another():
    (row,) = blend_shares(2, 5)
    assert row[0] == (1, 0)
    assert row[1] == (0.75, 0.25)
    assert row[-1] == (0, 1)
    grid = blend_shares(4, 3)
    assert (grid[0][0], grid[0][2], grid[2][0], grid[2][2]) == tuple(
        tuple(map(float, corner)) for corner in np.eye(4)
    )
    assert grid[1][1] == (0.25,) * 4
    assert all(sum(shares) == pytest.approx(1) for line in grid for shares in line)


def test_the_ends_of_a_row_are_the_styles_alone(
    command, photo_file, painting_file, photo, tmp_path
):
    out = tmp_path / "row.png"
    words = ("blend", photo_file, painting_file, photo_file, "-o", out, "--count", 3, *SMALL)
    outcome = command(*words, "--json")
    assert outcome.code == 0, outcome.err
    assert "2/3  50:50" in outcome.err
    alone = [stylize(photo_file, style, QUICK).image for style in (painting_file, photo_file)]
    mixed = stylize(photo_file, [painting_file, photo_file], QUICK).image
    captions = ("100:0", "50:50", "0:100")
    expected = sheet([list(zip(captions, (alone[0], mixed, alone[1]), strict=True))])
    found = load_image(out)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1 / 255 + 1e-6
    noted = read_metadata(out)
    assert noted["made"] == {"command": "blend", "count": 3}
    assert len(noted["styles"]) == 2
    assert json.loads(outcome.out)["steps"] == 9


def test_four_styles_make_a_grid(command, photo_file, painting_file, tmp_path):
    out = tmp_path / "grid.png"
    styles = (painting_file, photo_file, photo_file, painting_file)
    outcome = command("blend", photo_file, *styles, "-o", out, "--count", 2, *SMALL, "--quiet")
    assert outcome.code == 0, outcome.err
    height, width = load_image(out).shape[-2:]
    one = sheet([[("", torch.zeros(1, 3, 32, 40))]]).shape
    assert (height, width) > (2 * 32, 2 * 40)
    assert (height, width) > tuple(one[-2:])


def test_other_counts_of_styles(command, photo_file, painting_file, tmp_path):
    out = tmp_path / "row.png"
    for styles in ([painting_file], [painting_file] * 3):
        outcome = command("blend", photo_file, *styles, "-o", out)
        given = counted(len(styles), "style")
        assert_clear_error(outcome, f"{given} given; a blend needs two styles (a row) or four")
    assert not out.exists()


def test_what_is_transparent_is_white_on_a_sheet(command, photo, painting_file, tmp_path):
    alpha = torch.ones(1, 1, 32, 40)
    alpha[..., :20] = 0
    save_image(photo, tmp_path / "cut.png", alpha=alpha)
    out = tmp_path / "row.png"
    words = ("blend", tmp_path / "cut.png", painting_file, painting_file, "-o", out, "--count", 2)
    outcome = command(*words, *SMALL, "--quiet")
    assert outcome.code == 0, outcome.err
    shown = load_image(out)[..., 8:40, 8:48]
    assert float(shown[..., :20].min()) == 1
    assert float(shown[..., 20:].mean()) < 0.9


def test_an_opaque_picture_is_the_same_on_paper(photo):
    assert on_paper(Picture(photo)) is photo
