"""Levels grow to the size asked for and their steps add up."""

from __future__ import annotations

import pytest

from impasto.errors import SettingsError
from impasto.painting.pyramid import pyramid
from impasto.settings.pictures import Settings
from impasto.settings.recipes import recipe_settings


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


def test_level_steps_are_the_steps_of_each_level():
    settings = Settings(long_side=512, level_ratio=2.0, level_steps=(5, 3))
    assert settings.steps == 8
    levels = pyramid((512, 512), settings)
    assert [(level.long_side, level.steps) for level in levels] == [(128, 5), (256, 3)]
    with pytest.raises(
        SettingsError, match=r"4 numbers, but .* only 3 levels, of 128, 256, 512 px"
    ):
        pyramid((512, 512), settings.replace(level_steps=(1, 1, 1, 1)))


def test_new_steps_replace_level_steps():
    settings = Settings(level_steps=(5, 3))
    assert (settings.replace(steps=100).steps, settings.replace(steps=100).level_steps) == (100, ())
    assert settings.replace(seed=1).level_steps == (5, 3)
    assert recipe_settings("fast", level_steps=(7, 2)).steps == 9
    assert Settings.from_dict(settings.to_dict()) == settings
