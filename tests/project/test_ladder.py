"""The import ladder: a module imports only what stands to the right of it.

    cli → studio → variations | video | evaluation → painting → objective
        → network | style | pictures | audio → optimize → kernels
        → settings | machine | storage → errors → _version

These are the packages, and the modules beside them; docs/architecture.md shows the same drawing.
`INSIDE` below has one such line for the inside of each package. Every module has its place there.
Modules joined by | do not import each other. A package's own `__init__` may import all of its
package, and nothing in the package imports that `__init__`. No module imports the public names
from the top, `impasto`: they are for users.

The test reads the syntax trees, so an import inside a function counts, and one for type annotations
counts too. `python tests/project/test_ladder.py` prints the size of the import graph.
"""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "impasto"
DRAWING = (__doc__ or "").split("\n\n")[1]
INSIDE = {
    "settings": """
        command_flags → recipes → pictures | clips | sounds | masks → options → layers | units""",
    "pictures": """
        films | masks | examples | faces → files | regions | colors → codecs → tiff | png | boxes
        → samples | tiff_pages → picture | profiles | transfer""",
    "kernels": "products → kernel → threads",
    "network": "encoder → convolution | weights → weight_formats",
    "style": "correlations | distributions → statistic",
    "objective": """
        deferred_layers → objective → targets | content_term | variation_term | guides
        → style_term | layer_weights | laplacian_term → terms → tiles""",
    "optimize": "loop → lbfgs | adam → method",
    "painting": """
        timing → stylizer → canvas | level_targets | picture_plan | faces
        → inputs | time_budget → memory_plan | pastiche | progress → guidance | pyramid""",
    "variations": "texture | reconstruction | dream",
    "evaluation": """
        comparison → scores → views → metrics → content | styles | artifacts | perceptual""",
    "evaluation.comparison": """
        report | blind → contact_sheet | pages | plot → results → measurements
            → cases | statistics""",
    "audio": "transfer → files | spectrogram | random_filters",
    "video": """
        stylize_video | preview | remaining_time → keyframes | multipass | run_files
        → sequential → clip_run → frame_painter | frame_store
        → styling | temporal | dynamic_range → motion | io""",
    "video.io": """
        frames → writer → folders | sound_tracks → clips
        → pixels | codecs | priority | truncation → mastering""",
    "video.motion": "flicker | scene_cuts → motion → flow → raft | warp",
    "cli": """
        main → commands → sheets | run | clip_progress | input_files | comparing
        → output | recorder | measuring | arguments | typer_flags → run_steps
        → failures | progress | help | streams → task""",
    "cli.commands": """
        audio | blend | compare | demo | evaluate | examples | layers | plan | recipes | recolor
        | redo | studio | stylize | variations | video""",
    "studio": "server → web | worker | supervisor → jobs",
    "studio.jobs": """
        jobs → results | clip_uploads → uploads | reproduce → store | views | requests
        → tables | kind_options → limits""",
    "studio.jobs.tables": "jobs | messages | uploads → database | rows",
    "studio.worker": """
        worker → picture_job | clip_job | estimates → checkpoints | clip_estimates | interrupts
        → job_log | footage | paces""",
    "studio.web": """
        api | gradio_mount → page | api_docs | api_models → grid_tab → forms
        → html | guard | theme""",
}
# Which packages or modules alone may import a library, besides for type annotations.
RESERVED = {
    **dict.fromkeys(("typer", "click", "rich", "tqdm", "matplotlib"), ("cli",)),
    **dict.fromkeys(("gradio", "fastapi", "starlette", "uvicorn", "pydantic"), ("studio",)),
    **dict.fromkeys(("sqlite3", "webbrowser"), ("studio",)),
    "ray": ("batch",),
    **dict.fromkeys(("PIL", "pyvips", "pillow_heif"), ("pictures",)),
    "av": ("pictures.films", "video"),
    **dict.fromkeys(("cv2", "torchvision"), ("video.motion",)),
    **dict.fromkeys(("soundfile", "soxr"), ("audio.files",)),
    **dict.fromkeys(("safetensors", "h5py"), ("network",)),
    "platformdirs": ("machine",),
    **dict.fromkeys(("joblib", "mtcnn"), ("pictures.faces",)),
    "ctypes": ("machine", "kernels.kernel"),
    "lpips": ("evaluation.perceptual",),
    # weights downloads, and the studio serves.
    **dict.fromkeys(("urllib", "http", "socket", "requests"), ("network.weights", "studio")),
    **dict.fromkeys(("impasto.pictures.codecs", "impasto.pictures.profiles"), ("pictures",)),
}
# `--help` reads these: they import only the standard library, so that it answers at once.
LIGHT = ("_version", "errors", "settings")
INIT = "__init__"


def rungs(drawing: str) -> dict[str, int]:
    """Each name of a drawing, and the number of its rung from the left."""
    parts = [rung.split("|") for rung in " ".join(drawing.split()).split("→")]
    return {name.strip(): number for number, names in enumerate(parts) for name in names}


RUNGS = {"": rungs(DRAWING), **{package: rungs(line) for package, line in INSIDE.items()}}


@functools.cache
def modules() -> dict[str, str]:
    """Every module's dotted name below the package, and its source; a package is its `__init__`."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path.read_text(encoding="utf-8")
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent != PACKAGE or path.name not in ("__init__.py", "__main__.py")
    }


def place(name: str) -> list[str]:
    """The module on the ladder in which a dotted name is found; [] if there is none.

    place("video.io.frames.open_clip") is ["video", "io", "frames"], and place("style.STATISTICS")
    is ["style", "__init__"].
    """
    found: list[str] = []
    for part in name.split("."):
        table = RUNGS.get(".".join(found))
        if table is None or part not in table:
            break
        found.append(part)
    return [*found, INIT] if ".".join(found) in INSIDE else found


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
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("import_module", "__import__")
        ):
            names = [f".{ast.unparse(node.func).rpartition('.')[2]}"]
        else:
            continue
        yield from ((name, id(node) in for_types) for name in names)


def violations(module: str, source: str) -> list[str]:
    """What is wrong with the imports of a module."""
    if ".".join(place(module)) != module:
        return [f"{module} has no place on the ladder"]
    wrong = []
    for name, for_types in imports(source):
        top, _, rest = name.partition(".")
        if name.startswith("."):
            wrong.append(f"{module} hides an import: {name}")
        elif top == "impasto":
            wrong += _direction(module, rest)
        elif _within(module, LIGHT) and top not in sys.stdlib_module_names and not for_types:
            wrong.append(f"{module} imports {top}: `--help` waits for it")
        allowed = next((RESERVED[each] for each in _prefixes(name) if each in RESERVED), None)
        if allowed is not None and not _within(module, allowed) and not for_types:
            wrong.append(f"{module} imports {name}, which is for {', '.join(allowed)}")
    return list(dict.fromkeys(wrong))


def _direction(module: str, name: str) -> list[str]:
    """What is wrong with the direction in which a module imports a name of the package."""
    target, own = place(name), module.split(".")
    if not target:
        return [f"{module} imports impasto.{name} by the front door"]
    depth = next((at for at, (a, b) in enumerate(zip(own, target, strict=False)) if a != b), None)
    if depth is None:
        return [f"{module} imports itself"]
    table = RUNGS[".".join(own[:depth])]
    here, there = table.get(own[depth], -1), table.get(target[depth], -1)  # -1: an __init__
    if there > here:
        return []
    shown = ".".join(part for part in target if part != INIT)
    return [f"{module} imports {shown}: {'upward' if there < here else 'sideways'}"]


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _within(module: str, packages: tuple[str, ...]) -> bool:
    return any(each in packages for each in _prefixes(module))


# ---- the size of the graph ----------------------------------------------------------------------


def arrows(level: int | None = 1) -> dict[str, set[str]]:
    """What imports what: packages at level 1, single modules at level None."""
    graph = defaultdict(set)
    for module, source in modules().items():
        for name, _ in imports(source):
            if name.startswith("impasto."):
                here, there = module.split("."), place(name.removeprefix("impasto."))
                if there and here[:level] != there[:level]:
                    graph[".".join(here[:level])].add(".".join(there[:level]))
    return dict(graph)


def floors(graph: Mapping[str, set[str]]) -> int:
    """How many names the longest chain of imports has. Raises ValueError for a circle."""
    heights: dict[str, int] = {}

    def height(name: str, above: tuple[str, ...] = ()) -> int:
        if name in above:
            raise ValueError(" → ".join((*above[above.index(name) :], name)))
        if name not in heights:
            below = [height(each, (*above, name)) for each in sorted(graph.get(name, ()))]
            heights[name] = 1 + max(below, default=0)
        return heights[name]

    return max(height(name) for name in sorted(graph))


def report() -> str:
    """The size of the import graph, between packages and between all modules; and violations."""
    lines = []
    for title, level in (("packages", 1), ("modules", None)):
        graph = arrows(level)
        try:
            chain = f"{floors(graph)} floors"
        except ValueError as circle:
            chain = f"a circle: {circle}"
        lines.append(f"{title}: {sum(map(len, graph.values()))} arrows, {chain}")
    wrong = [each for module, source in modules().items() for each in violations(module, source)]
    return "\n  ".join(["\n".join([*lines, f"violations: {len(wrong)}"]), *wrong]) + "\n"


# ---- tests --------------------------------------------------------------------------------------


def test_every_place_is_a_module():
    places = {
        ".".join(filter(None, (package, name)))
        for package, table in RUNGS.items()
        for name in table
    }
    files = {name.removesuffix(f".{INIT}") for name in modules()}
    assert sorted(places - files) == []  # a place without a module
    assert sorted(files - places) == []  # a module without a place


@pytest.mark.parametrize("module", modules())
def test_imports_go_rightward(module):
    assert violations(module, modules()[module]) == []


def test_the_documentation_shows_this_ladder():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    if " ".join(DRAWING.split()) not in " ".join(page.split()):
        pytest.fail(f"docs/architecture.md lacks this block:\n\n```\n{DRAWING}\n```")


def loaded_by(code: str) -> list[str]:
    """The modules that a fresh Python has loaded after it ran some code."""
    code += "\nimport sys\nprint(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    return done.stdout.split()


def test_reading_a_picture_loads_no_network(photo_file):
    code = f"from impasto.pictures.files import load_picture\nload_picture({str(photo_file)!r})"
    packages = {name.split(".")[1] for name in loaded_by(code) if name.startswith("impasto.")}
    assert "pictures" in packages
    below = {name for name, rung in RUNGS[""].items() if rung > RUNGS[""]["pictures"]}
    assert sorted(packages - below - {"pictures"}) == []


def test_settings_load_neither_torch_nor_numpy():
    names = [name.removesuffix(f".{INIT}") for name in modules() if _within(name, LIGHT)]
    loaded = loaded_by("\n".join(f"import impasto.{name}" for name in names))
    assert "impasto.settings.recipes" in loaded
    assert sorted({"torch", "numpy", "PIL", "typer", "rich"} & set(loaded)) == []


# ---- the checker itself -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        (
            "errors",
            "from impasto.settings.pictures import Settings",
            "imports settings.pictures: up",
        ),
        ("errors", "import impasto.settings.pictures", "imports settings.pictures: upward"),
        ("errors", "from impasto import settings", "imports settings: upward"),
        ("_version", "from impasto.errors import ImageError", "imports errors: upward"),
        ("objective.tiles", "from impasto.cli.main import app", "imports cli.main: upward"),
        ("objective.tiles", "def f():\n  import impasto.cli.main", "imports cli.main: upward"),
        ("audio.files", "from impasto.painting import pastiche", "imports painting.pastiche: up"),
        ("studio.jobs.jobs", "from impasto.cli import main", "imports cli.main: upward"),
        (
            "pictures.picture",
            "if TYPE_CHECKING:\n  from impasto.objective.objective import Objective",
            "imports objective.objective: upward",
        ),
        # siblings
        ("pictures.files", "from impasto.network import encoder", "imports network.encoder: side"),
        ("storage", "from impasto.machine import device", "imports machine: sideways"),
        (
            "video.io.clips",
            "from impasto.video.motion.flow import f",
            "video.motion.flow: sideways",
        ),
        ("cli.commands.redo", "from impasto.cli.commands import plan", "cli.commands.plan: sidew"),
        # inside a package
        ("painting.pyramid", "from impasto.painting import stylizer", "painting.stylizer: upward"),
        ("painting.pyramid", "from impasto.painting.guidance import f", "painting.guidance: si"),
        ("video.styling", "from impasto.video import clip_run", "imports video.clip_run: upward"),
        ("video.io.pixels", "import impasto.video.io.writer", "imports video.io.writer: upward"),
        ("video.io.pixels", "from impasto.video import styling", "imports video.styling: upward"),
        ("studio.worker.job_log", "import impasto.studio.web.api", "studio.web.api: sideways"),
        ("style.statistic", "from impasto.style import STATISTICS", "imports style: upward"),
        ("style.statistic", "import impasto.style.statistic", "imports itself"),
        # places
        ("misc", "", "has no place on the ladder"),
        ("painting.misc", "", "has no place on the ladder"),
        ("video.misc.__init__", "", "has no place on the ladder"),
        # the front door, and hidden imports
        ("objective.tiles", "from impasto import stylize", "imports impasto.stylize by the front"),
        ("objective.tiles", "import impasto", "imports impasto. by the front door"),
        ("objective.tiles", "from impasto.misc import f", "imports impasto.misc.f by the front"),
        ("objective.tiles", "from .targets import f", "hides an import: .targets.f"),
        ("objective.tiles", "from . import targets", "hides an import: ..targets"),
        ("objective.tiles", "importlib.import_module(name)", "hides an import: .import_module"),
        ("objective.tiles", "__import__(name)", "hides an import: .__import__"),
        # libraries
        ("painting.stylizer", "import typer", "imports typer, which is for cli"),
        ("optimize.loop", "from rich.progress import track", "imports rich.progress.track, which"),
        ("cli.main", "import fastapi", "imports fastapi, which is for studio"),
        ("network.weight_formats", "import http.client", "imports http.client, which is for netw"),
        ("network.weights", "import PIL.Image", "imports PIL.Image, which is for pictures"),
        ("painting.inputs", "def f():\n  import pyvips", "imports pyvips, which is for pictures"),
        ("pictures.files", "import urllib.request", "imports urllib.request, which is for netw"),
        ("pictures.files", "import av", "imports av, which is for pictures.films, video"),
        ("video.io.clips", "import cv2", "imports cv2, which is for video.motion"),
        ("audio.transfer", "import soxr", "imports soxr, which is for audio.files"),
        ("painting.inputs", "from impasto.pictures import codecs", "which is for pictures"),
        ("settings.pictures", "import torch", "imports torch: `--help` waits for it"),
        ("settings.recipes", "def f():\n  import numpy as np", "imports numpy: `--help` waits"),
        ("settings.__init__", "import torch", "imports torch: `--help` waits for it"),
        ("errors", "import numpy", "imports numpy: `--help` waits for it"),
    ],
)
def test_violations_are_noticed(module, source, complaint):
    found = violations(module, source)
    assert any(each.startswith(module) and complaint in each for each in found), found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "if TYPE_CHECKING:\n  from torch import Tensor"),
        ("painting.pastiche", "if typing.TYPE_CHECKING:\n  import PIL.Image"),
        ("painting.stylizer", "from impasto._version import __version__"),
        ("painting.stylizer", "from impasto.painting.inputs import gather\nimport torch"),
        ("cli.commands.redo", "from impasto.cli.typer_flags import flag\nimport typer"),
        ("pictures.files", "from impasto.pictures import codecs\nimport PIL"),
        ("video.motion.flow", "from impasto.video.motion.raft import Raft\nimport cv2"),
        ("video.stylize_video", "from impasto.video.io.frames import open_clip"),
        ("style.__init__", "from impasto.style.correlations import Gram"),
        ("objective.targets", "from impasto.style import STATISTICS"),
        ("studio.worker.worker", "from impasto.studio.jobs import store\nimport sqlite3"),
    ],
)
def test_what_is_allowed(module, source):
    assert violations(module, source) == []


def test_floors_are_counted():
    assert floors({"a": {"b", "c"}, "b": {"d"}, "d": {"c"}}) == 4
    with pytest.raises(ValueError, match="b → d → b"):
        floors({"a": {"b"}, "b": {"d"}, "d": {"b"}})


if __name__ == "__main__":
    sys.stdout.write(report())
