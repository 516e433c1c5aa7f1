"""The options of a run: checked, turned into plain values and back, free of torch."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from impasto.errors import SettingsError
from impasto.settings import command_flags, masks
from impasto.settings.command_flags import (
    PartOptions,
    RecordOptions,
    RunOptions,
    TimeOptions,
)
from impasto.settings.masks import BlendMaskOptions, MaskOptions, RegionOptions
from impasto.settings.options import Options, flag_name
from impasto.settings.pictures import Settings
from impasto.settings.recipes import DREAM, RECONSTRUCTION, TEXTURE, USED_SETTINGS

SETS = [getattr(module, name) for module in (command_flags, masks) for name in module.__all__]


@pytest.mark.parametrize("kind", SETS)
def test_every_option_says_what_it_is(kind):
    assert issubclass(kind, Options)
    for option in dataclasses.fields(kind):
        assert option.metadata["help"][0].isalnum()
        assert option.metadata["help"].endswith(".")
        assert flag_name(option).startswith("--")


@pytest.mark.parametrize("kind", SETS)
def test_plain_values_and_back(kind):
    assert kind.from_dict(kind().to_dict()) == kind()


def test_paths_and_nothing():
    record = RecordOptions(plot="a.png", every=3)
    assert record.plot == Path("a.png")
    assert record.to_dict()["plot"] == "a.png"
    assert record.files == [Path("a.png")]
    assert RecordOptions(plot=None).plot is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"threads": 0}, "threads: 0 is not between 1 and 256"),
        ({"threads": "many"}, "threads: 'many' is not a whole number"),
        ({"memory": 10}, "memory: 10.0 is not a finite number ≥ 5e\\+07"),
        ({"quiet": 1}, "quiet: 1 is not true or false"),
        ({"device": None}, "device: None is not text"),
    ],
)
def test_wrong_values(values, words):
    with pytest.raises(SettingsError, match=words):
        RunOptions(**values)


def test_a_path_is_not_a_number():
    with pytest.raises(SettingsError, match="plot: 3 is not a path"):
        RecordOptions(plot=3)


def test_masks_are_arguments_of_guidance():
    both = MaskOptions(mask=("a.png", "none"), content_mask="c.png")
    assert both.guides == {
        "masks": ["a.png", None], "style_masks": [], "content_mask": "c.png"
    }  # fmt: skip
    assert RegionOptions(regions="r.png").guides["regions"] == "r.png"
    assert BlendMaskOptions(mask=("a.png",)).guides_for(2)["masks"] == ["a.png", "a.png"]


def test_options_that_exclude_each_other():
    with pytest.raises(SettingsError, match="--time and --steps"):
        TimeOptions(time=4.0).check({"steps": 3})
    TimeOptions().check({"steps": 3})
    with pytest.raises(SettingsError, match="end: 1 s is not after the start, 2 s"):
        PartOptions(start=2.0, end=1.0)


def test_the_variations_read_settings_that_exist():
    names = {option.name for option in dataclasses.fields(Settings)}
    assert set(USED_SETTINGS) == {"stylize", "texture", "reconstruct", "dream"}
    assert set(USED_SETTINGS["stylize"].names) == names
    defaults = {"texture": TEXTURE, "reconstruct": RECONSTRUCTION, "dream": DREAM}
    for name, values in defaults.items():
        used = USED_SETTINGS[name]
        assert used.defaults == values
        assert set(used.names) < names
        assert set(used.helps) <= set(used.names)
        Settings().replace(**values)


def test_settings_import_no_heavy_library():
    code = (
        "import sys, impasto.settings.command_flags, impasto.settings.sounds\n"
        "print(sorted({'torch', 'numpy', 'typer', 'PIL'} & set(sys.modules)))"
    )
    source = Path(command_flags.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(source)},
    )  # fmt: skip
    assert done.stdout == "[]\n"
