"""A settings file with a byte order mark was called "not a TOML file"."""

from __future__ import annotations

import codecs

import numpy as np
import pytest
import torch

from helpers import assert_clear_error
from impasto.errors import SettingsError
from impasto.settings.pictures import Settings
from impasto.settings.recipes import read_settings_file, recipe_settings, settings_file

TEXT = '# größer\r\nlong_side = 96\r\nsteps = 7\r\ncolor = "luminance"\r\n'


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    ],
    ids=["plain", "UTF-8", "UTF-16, little endian", "UTF-16, big endian"],
)
def test_byte_order_marks(data, tmp_path, command):
    path = tmp_path / "mine.toml"
    path.write_bytes(data)
    assert read_settings_file(path) == {"long_side": 96, "steps": 7, "color": "luminance"}
    assert recipe_settings(path).steps == 7
    assert recipe_settings(str(path)) == recipe_settings(path)
    assert recipe_settings(schedule=path).steps == 7
    assert "  steps                  7\n" in command("recipes", path).out


def test_all_settings_with_a_mark(tmp_path):
    path = tmp_path / "all.toml"
    path.write_text(settings_file(recipe_settings("gatys")), encoding="utf-8-sig")
    assert recipe_settings(path) == recipe_settings("gatys")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"long_side = 0", "long_side: 0 is not between 1"),
        (b"steps = 1.5", "steps: 1.5 is not a whole number"),
        (b'style_layers = ["relu9_9"]', "relu9_9"),
        (b"style_layer_weights = [1, 2]", "style_layer_weights has 2 numbers for 4 layers"),
        (b"content_weight = 0\nstyle_weight = 0", "both 0"),
        (b"glitter = 1", "glitter: no such setting"),
        (b"normalised = true\nnormalized = false", "give only one"),
        (b"steps = ", "not a TOML file"),
        (b"steps = " + b"[" * 100_000, "nested too deeply"),
        (b"steps = " + b"1" * 10_000, "not a TOML file"),
        (b"\xff\xfe\x00", "it is not text"),
        (b"steps = 1 # \xff", "it is not text"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_name(data, said, tmp_path, command):
    path = tmp_path / "mine.toml"
    path.write_bytes(data)
    stylize = ("stylize", "a.jpg", "b.jpg", "-o", tmp_path / "out.png")
    for words in (("--settings", path), ("--recipe", path), ("--schedule", path)):
        if words[0] == "--schedule" and b"style" in data:
            continue  # not of the schedule's half
        assert_clear_error(command(*stylize, *words), f"Error: {path}: ", said)
    assert_clear_error(command("recipes", path), f"Error: {path}: ", said)


def test_an_error_of_a_flag_does_not_blame_the_file(tmp_path, command):
    path = tmp_path / "mine.toml"
    path.write_text("steps = 7")
    words = ("stylize", "a.jpg", "b.jpg", "-o", tmp_path / "out.png", "--steps", 0)
    for flag in ("--settings", "--recipe", "--schedule"):
        outcome = command(*words, flag, path)
        assert_clear_error(outcome, "steps: 0 is not")
        assert str(path) not in outcome.err


def test_numbers_of_numpy_and_torch_are_numbers():
    settings = Settings(
        long_side=np.int64(96), content_weight=np.float32(0.5), clamp=np.bool_(False),
        style_weight=np.array([1.0, 2.0]), style_layers=np.array(["relu1_1", "relu2_1"]),
        style_layer_weights=[np.float64(1), np.int32(2)], tv_weight=torch.tensor(0.25),
        color=np.str_("luminance"), steps=np.array(7),
    )  # fmt: skip
    plain = Settings(
        long_side=96, content_weight=0.5, clamp=False, style_weight=(1.0, 2.0),
        style_layers=("relu1_1", "relu2_1"), style_layer_weights=(1.0, 2.0), tv_weight=0.25,
        color="luminance", steps=7,
    )  # fmt: skip
    assert settings == plain
    assert [type(value) for value in settings.to_dict().values()] == [
        type(value) for value in plain.to_dict().values()
    ]
    assert recipe_settings(long_side=np.uint16(64)).long_side == 64
    for wrong in ({"steps": np.float64(1.5)}, {"steps": np.array([1, 2])}, {"steps": np.nan}):
        with pytest.raises(SettingsError, match="steps: "):
            Settings(**wrong)


def test_the_former_and_the_present_name_together():
    with pytest.raises(SettingsError, match=r"normalised: .* former name of normalized.* only one"):
        Settings.from_dict({"normalized": True, "normalised": False})
    with pytest.raises(SettingsError, match="give only one"):
        recipe_settings(neighbours=1, neighbors=2)
    assert Settings.from_dict({"normalised": True}).normalized
