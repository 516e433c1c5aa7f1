"""The public names: a fixed list, documented, and loaded only when first used."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import impasto

PUBLIC = [
    "RECIPES",
    "STATISTICS",
    "AudioSettings",
    "DivergenceError",
    "Encoder",
    "Guidance",
    "ImageError",
    "ImpastoError",
    "MemoryLimitError",
    "Objective",
    "Pastiche",
    "Picture",
    "Recipe",
    "Settings",
    "SettingsError",
    "ShapeError",
    "Sound",
    "SoundError",
    "SoundPastiche",
    "SoundTransfer",
    "Statistic",
    "Step",
    "Stylizer",
    "TruncatedClip",
    "VideoError",
    "VideoSettings",
    "WeightsError",
    "__version__",
    "dream",
    "gram_matrix",
    "load_image",
    "load_picture",
    "load_sound",
    "plan_sound",
    "plan_video",
    "read_metadata",
    "recipe_settings",
    "recolor",
    "reconstruct",
    "save_image",
    "save_sound",
    "stylize",
    "stylize_sound",
    "stylize_video",
    "texture",
]
SOURCES = sorted(Path(impasto.__file__).parent.rglob("*.py"))


def run_python(code: str) -> str:
    """Run code in a new Python process and return what it prints."""
    source = str(Path(impasto.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": source},
    )  # fmt: skip
    return done.stdout.strip()


def test_the_public_names_are_locked():
    assert sorted(impasto.__all__) == sorted(PUBLIC)


def test_dir_lists_them():
    assert dir(impasto) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_is_there(name):
    assert getattr(impasto, name) is not None


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="stylise"):
        impasto.stylise  # noqa: B018  (the test is to ask for it)


def test_importing_is_light():
    heavy = "{'torch', 'numpy', 'PIL', 'pyvips', 'safetensors', 'typer', 'rich'}"
    code = f"import sys, impasto; impasto.Settings(); print(sorted({heavy} & set(sys.modules)))"
    assert run_python(code) == "[]"


def test_stylize_is_the_function_whatever_was_imported_first():
    code = "import impasto{}; print(callable(impasto.stylize), impasto.stylize.__module__)"
    for first in ("", ".painting.stylizer", ".cli.main"):
        assert run_python(code.format(first)) == "True impasto.painting.stylizer"


def test_no_module_hides_a_public_name():
    root = Path(impasto.__file__).parent
    names = {path.relative_to(root).with_suffix("").parts[0] for path in SOURCES}
    assert {"errors", "painting"} <= names
    assert not names & set(PUBLIC)


def undocumented(public: object) -> list[str]:
    """Return which of a function or class and its public methods lack a docstring."""
    missing = [] if inspect.getdoc(public) else [str(public)]
    if inspect.isclass(public):
        generated = f"{public.__name__}("  # a dataclass without a docstring gets its signature
        if (public.__doc__ or "").startswith(generated):
            missing.append(str(public))
        missing += [
            f"{public.__name__}.{name}"
            for name, member in vars(public).items()
            if not name.startswith("_")
            and (inspect.isfunction(member) or isinstance(member, property | classmethod))
            and not inspect.getdoc(member)
        ]
    return missing


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_is_documented(name):
    public = getattr(impasto, name)
    if inspect.isclass(public) or inspect.isfunction(public):
        assert undocumented(public) == []
        assert public.__module__.startswith("impasto.")


def test_missing_docstrings_are_noticed():
    class Silent:
        def speak(self) -> None: ...

    assert len(undocumented(Silent)) == 2
    assert undocumented(lambda: None)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_module_says_what_it_is_and_has_what_it_lists(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    parts = path.relative_to(SOURCES[0].parent).with_suffix("").parts
    module = importlib.import_module(".".join(["impasto", *parts]).removesuffix(".__init__"))
    assert [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)] == []
