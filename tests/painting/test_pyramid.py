"""Levels grow to the size asked for and their steps add up."""

from __future__ import annotations

import pytest

from impasto.errors import SettingsError
from impasto.painting.pyramid import pyramid, steps_within
from impasto.settings.pictures import Settings


def test_default_levels_of_a_512_px_picture():
    levels = pyramid((768, 1024), Settings(coarsest=256, steps=120, step_decay=1.0))
    assert [level.size for level in levels] == [(192, 256), (272, 362), (384, 512)]
    assert sum(level.steps for level in levels) == 120
    assert levels[0].steps > levels[1].steps > levels[2].steps


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 120, 1000])
@pytest.mark.parametrize("long_side", [64, 256, 300, 512, 1024, 4096])
def test_steps_add_up_and_sizes_grow(steps, long_side):
    levels = pyramid((300, 400), Settings(steps=steps, long_side=long_side))
    assert sum(level.steps for level in levels) == steps
    assert all(level.steps >= 1 for level in levels)
    sides = [level.long_side for level in levels]
    assert sides == sorted(set(sides))
    assert sides[-1] == long_side
    assert max(levels[-1].size) == long_side


def test_coarsest_zero_is_one_level():
    assert len(pyramid((300, 400), Settings(coarsest=0, long_side=1024))) == 1


def test_levels_too_small_for_the_network_are_left_out():
    settings = Settings(long_side=512, coarsest=64)
    assert all(min(level.size) >= 16 for level in pyramid((40, 1000), settings, smallest=16))
    assert len(pyramid((40, 1000), settings, smallest=16)) < len(pyramid((40, 1000), settings))


def test_steps_within_a_time():
    settings = Settings(long_side=512, coarsest=0)
    chosen = steps_within((512, 512), settings, seconds=60, seconds_per_megapixel=4)
    assert chosen.steps == int(60 / (4 * 512 * 512 / 1e6))


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (
            30,
            r"30 s is too short for 4096 px.*about 12 s; allow \d+ s, or try --long-side",
        ),
        (5, r"5 s is too short for 4096 px.*a step takes about 12 s; allow \d+ s$"),
    ],
)
def test_steps_within_too_short_a_time_says_what_would_do(seconds, message):
    with pytest.raises(SettingsError, match=message):
        steps_within((512, 512), Settings(long_side=4096), seconds=seconds, seconds_per_megapixel=4)
