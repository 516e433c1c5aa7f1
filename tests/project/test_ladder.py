"""The import ladder of docs/architecture.md, held over the syntax trees: import only rightwards.

apps → dreaming → variations | video | metrics | pacing → stylizer | audio
     → planning | surface | palette | deferral → pastiche → inputs → pyramid | optimize
     → tiles | optimizers → losses | tiled_targets → targets → encoder | statistics | guidance
     → convolution | distributions | regions → kernel | correlations → films | sounds
     → files → images | color | weights | recipes | cuts | warping | spectrogram | filters
     → machine | weight_files → settings | audio_settings → options | layers → errors

Siblings joined by | do not import each other, nobody imports apps, and the names at the top of the
package, which lead anywhere, are for users only.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import impasto

PACKAGE = Path(impasto.__file__).parent
LADDER = (
    ("apps",),
    ("dreaming",),
    ("variations", "video", "metrics", "pacing"),
    ("stylizer", "audio"),
    ("planning", "surface", "palette", "deferral"),
    ("pastiche",),
    ("inputs",),
    ("pyramid", "optimize"),
    ("tiles", "optimizers"),
    ("losses", "tiled_targets"),
    ("targets",),
    ("encoder", "statistics", "guidance"),
    ("convolution", "distributions", "regions"),  # in the back of those three
    ("kernel", "correlations"),
    ("films", "sounds"),
    ("files",),
    ("images", "color", "weights", "recipes", "cuts", "warping", "spectrogram", "filters"),
    ("machine", "weight_files"),
    ("_codecs",),  # in the back of files
    ("_deep_color",),
    ("settings", "audio_settings"),
    ("options", "layers"),
    ("errors",),
)
RUNG = {room: rung for rung, rooms in enumerate(LADDER) for room in rooms}
PICTURES = ("files", "images", "_codecs", "_deep_color")
# Who alone may import what, besides for type annotations.
RESERVED = {
    **dict.fromkeys(("typer", "click", "rich", "tqdm", "gradio", "fastapi", "ray"), ("apps",)),
    "PIL": (*PICTURES, "films"),
    "av": ("films", "video"),
    **dict.fromkeys(("pyvips", "pillow_heif"), PICTURES),
    "cv2": ("video",),
    **dict.fromkeys(("soundfile", "soxr"), ("sounds",)),
    # weights asks, and the studio in apps answers.
    **dict.fromkeys(("urllib", "http", "socket", "requests"), ("weights", "apps")),
    "uvicorn": ("apps",),
    **dict.fromkeys(("impasto.pictures.codecs", "impasto.pictures.profiles"), PICTURES),
}
# Read by `--help`, so that it answers at once.
LIGHT = ("errors", "layers", "options", "settings", "audio_settings", "recipes")


def modules() -> dict[str, str]:
    """Every module's dotted name below the package, and its source."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path.read_text(encoding="utf-8")
        for path in PACKAGE.rglob("*.py")
        if path.parent != PACKAGE or path.name not in ("__init__.py", "__main__.py")
    }


def imports(source: str) -> Iterator[tuple[str, bool]]:
    """Every imported name, and whether it is for type annotations only."""
    tree = ast.parse(source)
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [".import_module"]
        else:
            continue
        yield from ((name, id(node) in for_types) for name in names)


def violations(module: str, source: str) -> list[str]:
    """What is wrong with the imports of a module."""
    room = module.split(".")[0]
    if room not in RUNG:
        return [f"{module} has no place on the ladder"]
    wrong = []
    for name, for_types in imports(source):
        top, _, rest = name.partition(".")
        if name.startswith("."):
            wrong.append(f"{module} hides an import: {name}")
        elif top == "impasto":
            wrong += _upward(module, room, rest)
        elif room in LIGHT and top not in sys.stdlib_module_names and not for_types:
            wrong.append(f"{module} imports {top}: `--help` waits for it")
        allowed = next((RESERVED[each] for each in _prefixes(name) if each in RESERVED), None)
        if allowed is not None and room not in allowed and not for_types:
            wrong.append(f"{module} imports {name}, which is for {', '.join(allowed)}")
    return wrong


def _upward(module: str, room: str, rest: str) -> list[str]:
    target = rest.split(".")[0]
    if target in ("__version__", room):  # the rooms of a package know each other
        return []
    if target not in RUNG:
        return [f"{module} imports impasto.{rest} by the front door"]
    if RUNG[target] < RUNG[room]:
        return [f"{module} imports {target}: upwards"]
    if RUNG[target] == RUNG[room]:
        return [f"{module} imports {target}: sideways"]
    return []


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def test_every_rung_exists():
    assert {name.split(".")[0] for name in modules()} == set(RUNG)


@pytest.mark.parametrize("module", modules())
def test_imports_go_rightwards(module):
    assert violations(module, modules()[module]) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        (
            "errors",
            "from impasto.settings.pictures import Settings",
            "errors imports settings: upwards",
        ),
        ("errors", "import impasto.settings.pictures", "errors imports settings: upwards"),
        ("errors", "from impasto import settings", "errors imports settings: upwards"),
        (
            "images",
            "from impasto.painting.stylizer import stylize",
            "images imports stylizer: upwards",
        ),
        ("stylizer", "from impasto.cli.main import app", "stylizer imports apps: upwards"),
        ("stylizer", "def f():\n  import impasto.cli.main", "stylizer imports apps: upwards"),
        (
            "settings",
            "from impasto.settings.recipes import RECIPES",
            "settings imports recipes: upwards",
        ),
        (
            "images",
            "if TYPE_CHECKING:\n  from impasto.network.encoder import Encoder",
            "images imports encoder: upwards",
        ),
        ("pyramid", "from impasto.optimize.loop import Step", "pyramid imports optimize: sideways"),
        (
            "images",
            "from impasto.network.weights import load_weights",
            "images imports weights: sideways",
        ),
        (
            "images",
            "from impasto.pictures.files import load_image",
            "images imports files: upwards",
        ),
        ("weight_files", "import http.client", "weight_files imports http.client, which is"),
        ("losses", "from impasto import stylize", "losses imports impasto.stylize by the front"),
        ("losses", "import impasto", "losses imports impasto. by the front door"),
        ("losses", "from .targets import Targets", "losses hides an import: .targets.Targets"),
        ("losses", "importlib.import_module(name)", "losses hides an import"),
        (
            "metrics",
            "from impasto.video.motion.flow import reliable",
            "metrics imports video: sideways",
        ),
        ("metrics", "import cv2", "metrics imports cv2, which is for video"),
        ("misc", "", "misc has no place on the ladder"),
        ("stylizer", "import typer", "stylizer imports typer, which is for apps"),
        ("optimize", "from rich.progress import track", "optimize imports rich.progress.track"),
        ("weights", "import PIL.Image", "weights imports PIL.Image, which is for files"),
        ("losses", "def f():\n  import pyvips", "losses imports pyvips, which is for files"),
        ("images", "import urllib.request", "images imports urllib.request, which is for weights"),
        (
            "encoder",
            "from impasto import _codecs",
            "encoder imports impasto.pictures.codecs, which is",
        ),
        ("settings", "import torch", "settings imports torch: `--help` waits for it"),
        ("recipes", "import numpy as np", "recipes imports numpy: `--help` waits for it"),
    ],
)
def test_violations_are_noticed(module, source, complaint):
    found = violations(module, source)
    assert any(each.startswith(complaint) for each in found), found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "if TYPE_CHECKING:\n  from torch import Tensor"),
        ("stylizer", "if typing.TYPE_CHECKING:\n  import PIL.Image"),
        ("stylizer", "from impasto import __version__"),
        ("stylizer", "from impasto.errors import ImageError"),
        ("apps.cli", "from impasto.cli.setting_flags import flag\nimport typer"),
        ("images", "from impasto import _codecs\nimport PIL"),
        ("video.flow", "from impasto.video.motion.raft import Raft\nimport cv2"),
    ],
)
def test_what_is_allowed(module, source):
    assert violations(module, source) == []
