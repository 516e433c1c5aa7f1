"""All kinds of runs, and the measurement of their pace, use the same terms."""

from __future__ import annotations

import pytest

from impasto.objective import style_term
from impasto.painting import timing
from impasto.painting.inputs import load_inputs
from impasto.painting.stylizer import Stylizer
from impasto.settings.pictures import Settings
from impasto.variations.texture import texture

SETTINGS = Settings(
    long_side=96, steps=1, coarsest=0, style_layers=("relu1_1", "relu2_1"),
    content_layers=("relu2_2",),
)  # fmt: skip


@pytest.fixture
def pictures(photo, painting):
    return photo.repeat(1, 1, 2, 3), painting.repeat(1, 1, 2, 2)


def first_style_losses(pictures, monkeypatch) -> dict[str, float]:
    """The first style loss of each kind of run, and of what `plan` and `--time` measure."""
    photo, painting = pictures
    measured = []
    whole = timing.paint_level

    def paint_level(*arguments):
        for step in whole(*arguments):
            measured.append(step.losses["style"])
            yield step

    monkeypatch.setattr(timing, "paint_level", paint_level)
    stylizer = Stylizer(SETTINGS)
    timing.measure_pace(stylizer, load_inputs(photo, painting, SETTINGS))
    return {
        "default": stylizer.stylize(photo, painting).history[0]["style"],
        "tiled": Stylizer(SETTINGS, tile=40).stylize(photo, painting).history[0]["style"],
        "texture": texture(painting, (64, 64), SETTINGS).history[0]["style"],
        "seamless": texture(painting, (64, 64), SETTINGS, seamless=True).history[0]["style"],
        "plan": measured[0],
    }


def test_a_changed_style_factor_shows_in_every_run(pictures, monkeypatch):
    before = first_style_losses(pictures, monkeypatch)
    factor = style_term.style_factor
    monkeypatch.setattr(style_term, "style_factor", lambda *words: 3 * factor(*words))
    after = first_style_losses(pictures, monkeypatch)
    for kind, loss in before.items():
        assert loss > 0, kind
        assert after[kind] == pytest.approx(3 * loss, rel=1e-4), kind
