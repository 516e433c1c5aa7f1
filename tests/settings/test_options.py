"""An option is declared once, in its set; help, flags and page are made from there."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path

import pytest

from impasto.settings import options
from impasto.settings.clips import VideoSettings
from impasto.settings.command_flags import RecolorOptions, RunOptions, TimeOptions
from impasto.settings.options import show_value
from impasto.settings.pictures import Settings
from impasto.settings.recipes import RECIPES
from impasto.settings.sounds import AudioSettings

ROOT = Path(__file__).parents[2]
FIELDS = dataclasses.fields(Settings)
GENERATE = "out of date: run scripts/options_page.py"


def squeezed(text: str) -> str:
    """The text as one line: help is wrapped anywhere."""
    return re.sub(r"- (?=[a-z])", "-", " ".join(text.split()))


def entry(text: str, flag: str) -> str | None:
    """What a help text says of a flag, up to the next flag."""
    found = re.search(
        rf"^  (?:-\w, )?{flag}(?![\w-])(.*?)(?=^  -|^\S|\Z)", text, re.MULTILINE | re.DOTALL
    )
    return squeezed(found[1]) if found else None


@pytest.fixture
def options_page():
    spec = importlib.util.spec_from_file_location(
        "options_page", ROOT / "scripts" / "options_page.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("command_name", ["stylize", "demo"])
def test_help_all_has_every_setting_with_its_default(command_name, command):
    text = command(command_name, "--help-all").out
    for option in FIELDS:
        said = entry(text, "--" + option.name.replace("_", "-"))
        assert said is not None, option.name
        assert said.replace(" ", "").endswith(
            f"[default:{show_value(option.default, option.metadata['unit'])}]".replace(" ", "")
        ), said
        assert squeezed(option.metadata["help"]) in said


def test_help_has_the_common_ones_only(command):
    text = command("stylize", "--help").out
    for option in FIELDS:
        said = entry(text, "--" + option.name.replace("_", "-"))
        assert (said is not None) is option.metadata["common"], option.name


@pytest.mark.parametrize("kind", [Settings, VideoSettings])
def test_the_command_video_has_both_sets_of_options(kind, command):
    common, whole = command("video", "--help").out, command("video", "--help-all").out
    for option in dataclasses.fields(kind):
        flag = "--" + option.name.replace("_", "-")
        assert squeezed(option.metadata["help"]) in (entry(whole, flag) or ""), option.name
        assert (entry(common, flag) is not None) is option.metadata["common"], option.name


def test_entry_notices_what_is_missing():
    text = "Options:\n  --steps-x N  Other.\n  -o, --out X  Where\n      to. [default: 3]\nMore:\n"
    assert entry(text, "--steps") is None
    assert entry(text, "--out") == "X Where to. [default: 3]"


OTHERS = [*dataclasses.fields(AudioSettings), *dataclasses.fields(VideoSettings)]


@pytest.mark.parametrize("option", [*FIELDS, *OTHERS], ids=lambda option: option.name)
def test_every_setting_says_what_it_is(option):
    facts = option.metadata
    assert facts["help"][0].isupper()
    assert facts["help"].endswith(".")
    assert facts["half"] in ("objective", "schedule", "video")
    assert facts["low"] < facts["high"]


def test_the_page_is_up_to_date(options_page):
    assert options_page.PAGE.read_text(encoding="utf-8") == options_page.page(), GENERATE


def test_the_page_has_every_setting_with_its_default():
    text = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    for option in (*FIELDS, *OTHERS):
        default = show_value(option.default, option.metadata["unit"])
        assert f"| `{option.name}` | `{default}` |" in text, GENERATE
    for recipe in RECIPES:
        assert f"`{recipe}`: " in text, GENERATE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Framing(RunOptions):
    """How a picture is framed."""

    wood: str = options.option("oak", "Wood of the frame.", short="-w", metavar="NAME")
    width: int | None = options.option(
        None, "Its width.", low=1, high=9, unit="cm", shown_default="none"
    )


def test_an_option_added_to_a_set_has_its_row(options_page):
    table = options_page.flags_table(Framing)
    assert table.splitlines()[2:] == [
        "| `--wood`, `-w` | `oak` | `NAME` | Wood of the frame. |",
        "| `--width` | none | whole number, 1 to 9 | Its width. |",
    ]


def test_the_page_names_the_commands_that_take_a_set(options_page):
    sets = options_page.flag_sets()
    assert sets[TimeOptions] == ["stylize", "demo", "redo"]
    assert sets[RecolorOptions] == ["recolor"]
    text = options_page.page()
    assert "Flags of `stylize`, `demo`, `redo`." in text
    for kind in sets:
        for name in vars(kind)["__annotations__"]:
            flag = options_page.flag_name(kind.__dataclass_fields__[name])
            assert f"| `{flag}`" in text


def test_a_page_that_is_not_up_to_date_is_noticed(options_page, tmp_path, monkeypatch):
    monkeypatch.setattr(options_page, "PAGE", tmp_path / "options.md")
    monkeypatch.setattr("sys.argv", ["options_page.py", "--check"])
    with pytest.raises(SystemExit, match=r"options\.md is out of date"):
        options_page.main()
    (tmp_path / "options.md").write_text(options_page.page()[:-1], encoding="utf-8")
    with pytest.raises(SystemExit, match=r"options\.md is out of date"):
        options_page.main()
    monkeypatch.setattr("sys.argv", ["options_page.py"])
    options_page.main()
    monkeypatch.setattr("sys.argv", ["options_page.py", "--check"])
    options_page.main()


def test_values_are_shown_as_typed():
    shown = [show_value(each) for each in (1e4, 0.02, True, False, (), ("a", "b"), 3, "x")]
    assert shown == ["10000", "0.02", "on", "off", "none", "a,b", "3", "x"]
    assert show_value(512, "px") == "512 px"
