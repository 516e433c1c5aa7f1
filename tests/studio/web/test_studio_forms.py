"""The page's forms: a component for every setting, and nothing lost between form and request."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import html
import warnings

import pytest

from impasto.errors import SettingsError, install_hint
from impasto.settings.pictures import Settings
from impasto.settings.recipes import RECIPES, recipe_settings
from impasto.studio.jobs.requests import KINDS
from studio_harness import installed

if not installed("gradio", "6."):
    pytest.skip("the page needs Gradio 6 (impasto[studio])", allow_module_level=True)

# What a page can neither show nor take: files of the server's own disk.
LEFT_OUT = {"weights", "weights_convention"}


@pytest.fixture(scope="module")
def forms():
    # Gradio makes event loops where it is imported and where a page is built, and leaves them open.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gradio = pytest.importorskip("gradio")
        from impasto.studio.jobs.requests import KINDS
        from impasto.studio.web.forms import Form

        with gradio.Blocks(analytics_enabled=False):
            made = {kind: Form(kind) for kind in KINDS}
        asyncio.set_event_loop(None)
        gc.collect()
    return made


def test_every_setting_has_a_labeled_component(forms):
    form = forms["stylize"]
    names = {row["name"] for row in form.rows}
    assert names == {each.name for each in dataclasses.fields(Settings)} - LEFT_OUT
    for row, component in zip(form.rows, form.components, strict=True):
        assert component.label
        assert component.info == row["help"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_touched_is_not_a_change(forms, kind):
    form = forms[kind]
    shown = [each.value for each in form.components]
    settings, options = form.read("default", shown)
    assert settings == {}
    assert set(options) == {row["name"] for row in form.rows if row["of"] == "options"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_shown_is_that_recipe(forms, recipe):
    form = forms["stylize"]
    assert form.read(recipe, form.values(recipe, {}, {}))[0] == {}
    from_default = form.read("default", form.values(recipe, {}, {}))[0]
    made = recipe_settings("default", **from_default).to_dict()
    wanted = recipe_settings(recipe).to_dict()
    assert {name: made[name] for name in wanted if name != "level_ratio"} == {
        name: wanted[name] for name in wanted if name != "level_ratio"
    }


def test_changes_are_read_as_what_they_are(forms):
    form = forms["stylize"]
    shown = form.values("default", {"style_layer_weights": [1, 2, 3, 4], "steps": 7}, {})
    settings, _ = form.read("default", shown)
    assert settings == {"style_layer_weights": [1.0, 2.0, 3.0, 4.0], "steps": 7}
    names = [row["name"] for row in form.rows]
    shown[names.index("style_layer_weights")] = "1, x"
    with pytest.raises(SettingsError, match="style_layer_weights: '1, x' is not a list of numbers"):
        form.read("default", shown)


def test_shares_of_the_paintings_multiply_the_style_weight(forms):
    from impasto.studio.web.page import make_request

    form = forms["stylize"]
    given = {
        "recipe": "default", "shares": [1, 0.5],
        "pictures": {"content": "a", "styles": ["b", "c"], "masks": None, "style_masks": None},
    }  # fmt: skip
    request = make_request(form, given, form.values("default", {}, {}))
    assert request.settings == {"style_weight": [20.0, 10.0]}
    assert request.pictures == {"content": "a", "styles": ["b", "c"]}
    given["shares"] = [1, 1]
    assert make_request(form, given, form.values("default", {}, {})).settings == {}


def test_a_clips_form_serves_its_sheet_too(forms):
    from impasto.studio.web.page import make_request

    form = forms["video"]
    assert {row["name"] for row in form.rows} >= {"start", "sound", "frame_steps", "long_side"}
    assert "flow_weights" not in {row["name"] for row in form.rows}
    labels = [each.label for each in form.components]
    assert len(labels) == len(set(labels))
    assert not any("--" in each.info for each in form.components)
    shown = form.values("default", {"long_side": 64}, {"end": 2.0, "distances": [1, 3]})
    given = {"recipe": "default", "pictures": {"clip": "a", "styles": ["b"], "content": "c"}}
    request = make_request(form, given, shown)
    assert (request.kind, request.pictures) == ("video", {"clip": "a", "styles": ["b"]})
    assert request.options["distances"] == [1, 3]
    assert request.settings == {"long_side": 64}
    sheet = make_request(form, given, shown, "preview")
    assert (sheet.kind, sheet.options) == ("preview", {"start": 0.0, "end": 2.0})
    assert sheet.settings == {"long_side": 64}


def test_values_of_a_grid(forms):
    from impasto.studio.web.grid_tab import values_of

    rows = {row["name"]: row for row in forms["stylize"].rows}
    assert values_of(rows["steps"], "5, 10") == [5, 10]
    assert values_of(rows["clamp"], "on, off") == [True, False]
    assert values_of(rows["statistic"], "gram") == ["gram"]
    with pytest.raises(SettingsError, match="steps: '5, x' cannot be read; enter whole numbers"):
        values_of(rows["steps"], "5, x")
    with pytest.raises(SettingsError, match="at least one"):
        values_of(rows["steps"], " , ")


def test_every_recipe_and_bundled_picture_has_a_small_picture():
    from impasto.studio.jobs.uploads import example_names
    from impasto.studio.web.theme import FOLDER

    stems = {name.rpartition(".")[0] for name in example_names() if "_mask" not in name}
    for folder, names in (("recipes", set(RECIPES)), ("gallery", stems)):
        files = [*(FOLDER / folder).iterdir()]
        assert {each.stem for each in files} == names
        assert max(each.stat().st_size for each in files) <= 15_000


def test_without_the_extra_the_tab_says_what_to_install(tmp_path, monkeypatch):
    from impasto.studio.jobs import clip_uploads as clips
    from impasto.studio.web import page
    from studio_harness import make_jobs

    monkeypatch.setattr(clips, "find_spec", lambda name: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        built = page.build_page(make_jobs(tmp_path))
        asyncio.set_event_loop(None)
        gc.collect()
    texts = [getattr(each, "value", None) for each in built.blocks.values()]
    shown = [each for each in texts if isinstance(each, str) and 'class="missing"' in each]
    assert len(shown) == 1
    assert "PyAV and OpenCV" in shown[0]
    assert html.escape(install_hint("video")) in shown[0]
    names = {getattr(each, "elem_id", None) for each in built.blocks.values()}
    assert "start-stylize" in names
    assert "start-video" not in names
