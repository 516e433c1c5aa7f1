"""`--long-side 400000` ran for minutes before it said that this does not fit into memory."""

from __future__ import annotations

import pytest

from helpers import assert_clear_error, tree
from impasto.errors import MemoryLimitError
from impasto.objective import tiles
from impasto.objective.tiles import cut_for, largest_tile
from impasto.painting import memory_plan
from impasto.painting.memory_plan import workloads
from impasto.painting.pyramid import pyramid
from impasto.settings.pictures import Settings

MOST = 20_000  # tiles; the largest picture that fits into 4 GB has fewer


@pytest.fixture
def few_tiles(monkeypatch):
    """Fail where a picture would be cut into more tiles than any that fits has."""

    def counting(encoder, size, side, beyond=0):
        assert (size[0] // side) * (size[1] // side) <= MOST, f"{size} in tiles of {side} px"
        return cut_for(encoder, size, side, beyond)

    monkeypatch.setattr(memory_plan, "cut_for", counting)


@pytest.mark.parametrize("side", [30_000, 100_000, 500_000])
@pytest.mark.parametrize("shape", [(3, 4), (1, 30), (1, 1)])
def test_no_tiles_are_cut_in_vain(side, shape, toy_encoder, few_tiles):
    settings = Settings(long_side=side)
    levels = pyramid(shape, settings, smallest=16)
    with pytest.raises(
        MemoryLimitError, match=rf"{side} px need at least .* largest size that fits"
    ):
        workloads(levels, toy_encoder, settings, budget=2e9)


def test_the_command(command, photo_file, painting_file, tmp_path, few_tiles):
    words = ("stylize", photo_file, painting_file, "-o", tmp_path / "out.png")
    before = tree(tmp_path)
    outcome = command(*words, "--long-side", 400_000, "--memory", "2GB", "--threads", 1)
    assert_clear_error(outcome, "400000 px need at least", "the largest size that fits is")
    outcome = command(*words, "--long-side", 10**9)
    assert_clear_error(outcome, "long_side: 1000000000 is not between 1 and 500000")
    outcome = command(*words, "--print", "9000000x9000000cm")
    assert_clear_error(outcome, "long_side: ", " is not between 1 and 500000")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("size", [(1, 1), (15, 700), (513, 512), (1000, 37), (2049, 1023)])
@pytest.mark.parametrize("side", [1, 16, 100, 128, 512, 2048])
@pytest.mark.parametrize("beyond", [0, 40])
def test_the_largest_tile_is_that_of_the_cut(size, side, beyond, toy_encoder):
    parts = tiles.cut_for(toy_encoder, size, side, beyond)
    largest = max(tile.outer.area for tile in parts)
    assert largest_tile(toy_encoder, size, side, beyond) == largest
