"""Settings check themselves, never change, and survive JSON and TOML."""

from __future__ import annotations

import dataclasses
import json
import tomllib

import pytest

from impasto.errors import SettingsError
from impasto.settings.pictures import Settings
from impasto.settings.recipes import RECIPES, read_settings_file, recipe_settings, settings_file


def test_frozen_and_keyword_only():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().steps = 3
    with pytest.raises(TypeError):
        Settings("vgg19")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"network": "vgg18"}, r"network: 'vgg18' is not one of vgg19, vgg16; did you mean vgg1"),
        ({"steps": 0}, r"steps: 0 is not a finite number ≥ 1"),
        ({"steps": 1.5}, r"steps: 1.5 is not a whole number"),
        ({"steps": True}, r"steps: True is not a whole number"),
        ({"style_weight": -1}, r"style_weight: -1.0 is not a finite number ≥ 0"),
        ({"tv_weight": float("nan")}, r"tv_weight: nan is not a finite number"),
        ({"tv_weight": float("inf")}, r"tv_weight: inf is not a finite number"),
        ({"averaging": 2.0}, r"averaging: 2.0 is not between 0 and 0.9999"),
        ({"clamp": 1}, r"clamp: 1 is not true or false"),
        ({"init": 3}, r"init: 3 is not text"),
        ({"style_layers": "relu1_1"}, r"style_layers: 'relu1_1' is not a list"),
        ({"style_layers": ("relu4_9",)}, r"relu4_9: no such layer in vgg19.*did you mean relu4_"),
        ({"network": "vgg16", "style_layers": ("relu3_4",)}, r"relu3_4: no such layer in vgg16"),
        ({"style_layers": ("relu1_1", "relu1_1")}, r"style_layers names a layer twice"),
        ({"style_layers": ()}, r"style_layers is empty, but style_weight is not 0"),
        ({"style_layer_weights": (1, 2)}, r"style_layer_weights has 2 numbers for 4 layers"),
        ({"style_layer_weights": (0,) * 4}, r"style_layer_weights are all 0"),
        ({"style_layer_weights": (1, 1, 1, -1)}, r"style_layer_weights: -1.0 is not"),
        ({"content_weight": 0, "style_weight": 0}, r"both 0; at least one must be above 0"),
        ({"stile_weight": 1}, r"stile_weight: no such setting; did you mean style_weight\?"),
    ],
)  # fmt: skip
def test_wrong_values_say_what_would_be_right(values, message):
    with pytest.raises(SettingsError, match=message):
        Settings.from_dict(values)


def test_whole_numbers_serve_as_numbers():
    assert Settings(style_weight=3).style_weight == 3.0


def test_replace_checks_too():
    assert Settings().replace(steps=3).steps == 3
    with pytest.raises(SettingsError, match="no such setting"):
        Settings().replace(stepz=3)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_json_and_toml(name, tmp_path):
    settings = recipe_settings(name)
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    path = tmp_path / "my.toml"
    path.write_text(settings_file(settings), encoding="utf-8")
    assert Settings.from_dict(read_settings_file(path)) == settings
    assert recipe_settings(str(path)) == settings


def test_awkward_text_survives_toml(tmp_path):
    settings = Settings(init='a "quoted" \\ Grüße ☂.png', weights="C:\\vgg.pth")
    (tmp_path / "my.toml").write_text(settings_file(settings), encoding="utf-8")
    assert Settings.from_dict(read_settings_file(tmp_path / "my.toml")) == settings


def test_all_layers_stay_all_of_another_network():
    text = settings_file(Settings(network="vgg19", style_layers=("all",)))
    values = tomllib.loads(text)
    assert values["style_layers"] == ["all"]
    assert values["content_layers"] == ["relu4_2"]
    assert len(Settings.from_dict(values | {"network": "vgg16"}).style_layers) == 13


def test_schedule_of_another_recipe():
    mixed = recipe_settings("neural-style", schedule="default", seed=7)
    assert mixed.tv_weight == recipe_settings("neural-style").tv_weight
    assert mixed.init == Settings().init
    assert mixed.clamp is Settings().clamp
    assert mixed.seed == 7


@pytest.mark.parametrize("name", RECIPES)
def test_halves_of_a_recipe_hold_their_own_fields(name):
    half = {option.name: option.metadata["half"] for option in dataclasses.fields(Settings)}
    assert all(half[field] == "objective" for field in RECIPES[name].objective)
    assert all(half[field] == "schedule" for field in RECIPES[name].schedule)


def test_unknown_recipe_has_a_nearest_match():
    with pytest.raises(SettingsError, match=r"defalt: no such recipe.*did you mean default\?"):
        recipe_settings("defalt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = ", "this is not a TOML file"),
        ("stepps = 3", r"my.toml: stepps: no such setting; did you mean steps\?"),
    ],
)
def test_bad_settings_file(text, message, tmp_path):
    (tmp_path / "my.toml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        recipe_settings(str(tmp_path / "my.toml"))


def test_missing_settings_file(tmp_path):
    with pytest.raises(SettingsError, match=r"toml: this settings file cannot be read: No such"):
        recipe_settings(str(tmp_path / "nowhere.toml"))


def test_all_layers_are_named():
    assert Settings(style_layers=("all",)).style_layers[-1] == "relu5_4"
    assert len(Settings(content_layers=("all",), network="vgg16").content_layers) == 13
    with pytest.raises(SettingsError, match="all: no such layer"):
        Settings(style_layers=("all", "relu1_1"))


def test_a_chain_has_two_layers():
    with pytest.raises(SettingsError, match="at least two style_layers"):
        Settings(statistic="chained", style_layers=("relu1_1",))
    with pytest.raises(SettingsError, match="style_layer_weights are all 0"):
        Settings(
            statistic="chained",
            style_layers=("relu1_1", "relu1_2"),
            style_layer_weights=(1.0, 0.0),
        )


@pytest.mark.parametrize("name", ["steps", "style_weight", "long_side", "tv_weight"])
def test_a_number_too_large_for_a_computer_is_refused(name):
    for value in (10**400, -(10**400)):
        with pytest.raises(SettingsError, match=f"{name}: the number is too large; it must be"):
            Settings(**{name: value})


def test_a_class_is_no_statistic():
    from impasto.style import STATISTICS, chosen_statistic

    with pytest.raises(SettingsError, match="is not one of gram"):
        Settings().replace(statistic=type(STATISTICS["gram"]))

    class Lookalike:
        def measure(self): ...

    settings = Settings().replace(statistic=Lookalike())
    with pytest.raises(SettingsError, match=r"Lookalike is not an impasto\.Statistic"):
        chosen_statistic(settings)
