"""Our objective against a program nobody here wrote: neural-style 0.5.7, loss by loss.

The figures were printed by that program; tests/fixtures/neural_style/README.md says how.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import impasto
from impasto.painting.inputs import load_inputs
from impasto.painting.stylizer import Stylizer
from impasto.pictures.files import load_image
from impasto.settings.recipes import recipe_settings

FIXTURES = Path(__file__).parents[1] / "fixtures" / "neural_style"
EXAMPLES = Path(impasto.__file__).parent / "assets" / "examples"
FIGURES = json.loads((FIXTURES / "figures.json").read_text(encoding="utf-8"))


def file_of(name: str) -> Path:
    return FIXTURES / name if (FIXTURES / name).exists() else EXAMPLES / name


@pytest.fixture(scope="module")
def stylizer():
    return Stylizer(recipe_settings("neural-style", long_side=96))


@pytest.mark.parametrize("case", FIGURES["cases"], ids=lambda case: case["name"])
def test_every_loss_agrees_within_a_hundredth_of_a_percent(case, stylizer):
    """Where the peer resizes pictures, it rounds them to 8 bits: then within a few thousandths."""
    content, image = load_image(file_of(case["content"])), load_image(file_of(case["init"]))
    long_side = case.get("long_side", max(content.shape[-2:]))
    relative = 1e-4 if max(content.shape[-2:]) == long_side else 2e-3
    settings = recipe_settings("neural-style", long_side=long_side)
    stylizer = stylizer.with_settings(settings)
    inputs = load_inputs(content, [file_of(case["style"])], settings)
    (work,) = stylizer.plan(inputs).works
    assert work.level.size == tuple(image.shape[-2:])
    objective = stylizer.objective(inputs, work)
    with torch.no_grad():
        ours = {name: float(loss) for name, loss in objective.by_layer(image).items()}

    theirs = case["losses"]
    for kind in ("content", "style"):
        for layer, loss in theirs[kind].items():
            assert ours[f"{kind} {layer}"] == pytest.approx(loss, rel=relative), f"{kind} {layer}"
    assert ours["tv"] == pytest.approx(theirs["tv"], rel=1e-4)
    assert sum(ours.values()) == pytest.approx(theirs["total"], rel=relative)


def test_first_step_starts_from_the_picture_given(stylizer):
    """The loop's first yield is the objective at the picture to start from, untouched."""
    case = FIGURES["cases"][0]
    stylizer = stylizer.with_settings(recipe_settings("neural-style", long_side=96, steps=1))
    names = (case["content"], case["style"], case["init"])
    content, style, init = (FIXTURES / name for name in names)
    (step,) = stylizer.steps(content, style, init=init)
    assert step.total == pytest.approx(case["losses"]["total"], rel=1e-4)
