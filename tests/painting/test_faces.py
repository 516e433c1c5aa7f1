"""Protected faces: where the mask lies, what is recorded, and what happens without a detector."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers import assert_close
from impasto.errors import SettingsError
from impasto.objective.laplacian_term import LaplacianTerm, measure_laplacians
from impasto.optimize.loop import Step
from impasto.painting import faces as faces_module
from impasto.painting.faces import face_note, with_faces
from impasto.painting.stylizer import Stylizer, stylize
from impasto.pictures.faces import find_faces, has_detector
from impasto.pictures.files import load_picture
from impasto.pictures.masks import face_mask
from impasto.pictures.picture import Picture
from impasto.settings.pictures import Settings
from impasto.settings.recipes import RECIPES, recipe_settings

SMALL = Settings(
    long_side=40, steps=4, coarsest=0, content_layers=("relu1_1",),
    style_layers=("relu1_1", "relu2_1"),
)  # fmt: skip
BOX = (0.25, 0.25, 0.25, 0.5)
needs_detector = pytest.mark.skipif(not has_detector(), reason="impasto[faces] is not installed")


@pytest.fixture
def found(monkeypatch):
    """Let a detector find these faces, and count the photos it is shown."""
    shown = []

    def install(*faces: float, present: bool = True) -> list[Picture]:
        monkeypatch.setattr(faces_module, "has_detector", lambda: present)
        monkeypatch.setattr(faces_module, "find_faces", lambda photo: shown.append(photo) or faces)
        return shown

    return install


# ---- the mask -----------------------------------------------------------------------------------


def test_a_mask_is_an_ellipse_around_the_box():
    mask = face_mask((0.2, 0.1, 0.4, 0.6), (200, 100))[0, 0].numpy()
    assert mask.shape == (200, 100)
    y, x = np.mgrid[:200, :100] + 0.5
    radius = np.hypot((x - 40) / (20 * 1.25), (y - 80) / (60 * 1.15))
    assert (mask[radius <= 0.75] == 1).all()
    assert (mask[radius >= 1.25] == 0).all()
    soft = (radius > 0.8) & (radius < 1.2)
    assert ((mask[soft] > 0) & (mask[soft] < 1)).all()
    ramp = (1.25 - radius[soft]) / 0.5
    assert_close(torch.from_numpy(mask[soft]), ramp**2 * (3 - 2 * ramp), relative=1e-4)
    # The whole box's height and width are inside, or soft.
    for row, column in ((80, 20), (80, 59), (21, 40), (138, 40)):
        assert mask[row, column] > 0.3


def test_several_faces_make_one_mask():
    boxes = ((0.1, 0.1, 0.2, 0.3), (0.5, 0.4, 0.3, 0.4), (0.6, 0.5, 0.2, 0.2))
    both = face_mask(sum(boxes, ()), (60, 80))
    each = torch.stack([face_mask(box, (60, 80)) for box in boxes]).amax(0)
    assert torch.equal(both, each)
    assert not face_mask((), (60, 80)).any()


def test_a_face_at_the_border_and_a_mask_of_another_size():
    assert face_mask((0.0, 0.0, 0.3, 0.3), (50, 50))[0, 0, 0, 0] > 0
    small, large = (face_mask(BOX, size) for size in ((30, 40), (120, 160)))
    averaged = torch.nn.functional.avg_pool2d(large, 4)
    assert_close(small, averaged, relative=0.05)


def first_step(photo, painting, settings: Settings, tile: int | None = None) -> Step:
    """The losses of the painting itself, stretched over the photo."""
    settings = settings.replace(init="style", steps=1)
    (step,) = Stylizer(settings, tile=tile).steps(photo, painting)
    return step


def test_the_outlines_of_faces_have_a_weight_of_their_own(photo, painting):
    settings = SMALL.replace(faces=BOX, face_weight=7.0)
    step = first_step(photo, painting, settings)
    mask = face_mask(BOX, (photo.shape[-2], photo.shape[-1]))
    term = LaplacianTerm(7.0, measure_laplacians(photo, mask))
    assert step.layers["content faces"] == pytest.approx(float(term.loss(step.image)), rel=1e-5)
    assert step.layers["content faces"] > 0
    free = first_step(photo, painting, settings.replace(protect="none"))
    assert step.losses["content"] == pytest.approx(
        free.losses["content"] + step.layers["content faces"], rel=1e-5
    )
    both = first_step(photo, painting, settings.replace(laplacian_weight=3.0))
    assert both.layers["content faces"] == step.layers["content faces"]
    assert both.layers["content laplacian"] > 0


def test_a_protected_face_keeps_its_outlines(photo, painting):
    mask = face_mask(BOX, (photo.shape[-2], photo.shape[-1]))
    term = LaplacianTerm(1.0, measure_laplacians(photo, mask))
    settings = SMALL.replace(steps=20, faces=BOX, face_weight=100.0)
    kept, free = (
        float(term.loss(stylize(photo, painting, each).image))
        for each in (settings, settings.replace(protect="none"))
    )
    assert kept < 0.5 * free


# ---- what a run searches and records ------------------------------------------------------------


def test_found_faces_are_settings_of_the_picture(found, photo, painting):
    shown = found(*BOX)
    made = stylize(photo, painting, SMALL)
    assert made.settings.protect == "faces"
    assert made.settings.faces == BOX
    assert made.metadata["settings"]["faces"] == list(BOX)
    assert len(shown) == 1
    free = stylize(photo, painting, SMALL.replace(protect="none"))
    assert len(shown) == 1
    assert not torch.equal(made.image, free.image)


def test_a_picture_is_the_same_again_without_a_detector(found, photo, painting):
    found(*BOX)
    made = stylize(photo, painting, SMALL)
    found(present=False)
    again = stylize(photo, painting, Settings.from_dict(made.metadata["settings"]))
    assert torch.equal(again.image, made.image)
    assert again.settings == made.settings


def test_without_faces_or_without_a_detector_nothing_changes(found, photo, painting):
    free = stylize(photo, painting, SMALL.replace(protect="none"))
    for present in (True, False):
        found(present=present)
        made = stylize(photo, painting, SMALL)
        assert torch.equal(made.image, free.image)
        assert made.settings == free.settings


def test_none_ignores_faces_that_are_named(found, photo, painting):
    found(*BOX)
    free = stylize(photo, painting, SMALL.replace(protect="none"))
    ignored = stylize(photo, painting, SMALL.replace(protect="none", faces=BOX))
    assert torch.equal(free.image, ignored.image)


def test_named_faces_are_not_searched_for(found, photo, painting):
    shown = found(0.5, 0.5, 0.2, 0.2)
    made = stylize(photo, painting, SMALL.replace(faces=BOX))
    assert not shown
    assert made.settings.faces == BOX


def test_faces_need_a_detector_if_they_are_asked_for(found, photo, painting):
    found(present=False)
    with pytest.raises(
        SettingsError,
        match=r"^protect: faces needs a detector.*to install it: pip install .*\[faces\]",
    ):
        stylize(photo, painting, SMALL.replace(protect="faces"))


def test_one_line_says_what_was_found():
    def note(before: Settings, *faces: float) -> str:
        return face_note(before, before.replace(faces=faces))

    auto, asked = Settings(), Settings(protect="faces")
    one = "Found 1 face: it is protected; --protect none turns this off."
    two = "Found 2 faces: they are protected; --protect none turns this off."
    assert note(auto, *BOX) == note(asked, *BOX) == one
    assert note(auto, *BOX, *BOX) == two
    assert note(auto) == ""
    assert note(asked) == "No face was found, so none is protected."
    assert face_note(auto.replace(faces=BOX), auto.replace(faces=BOX)) == ""
    assert face_note(asked.replace(faces=BOX), asked.replace(faces=BOX)) == ""


@pytest.mark.parametrize("faces", [(0.1,), (0.1, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)])
def test_a_box_has_four_numbers(faces):
    with pytest.raises(SettingsError, match="give four for each face: left, top, width and height"):
        Settings(faces=faces)


def test_other_programs_recipes_protect_nothing():
    for name in RECIPES:
        ours = name in ("default", "fast", "print", "strokes")
        assert recipe_settings(name).protect == ("auto" if ours else "none"), name


def test_records_of_earlier_versions_protect_nothing():
    """So a picture is the same again, and a clip that was begun goes on."""
    now = Settings(protect="none").to_dict()
    added = ("protect", "faces", "face_weight", "laplacian_weight")
    earlier = {name: value for name, value in now.items() if name not in added}
    assert Settings.recorded(earlier) == now


def test_tiles_use_the_faces(photo, painting):
    settings = SMALL.replace(faces=BOX)
    whole, tiled = (first_step(photo, painting, settings, tile) for tile in (None, 16))
    for name, loss in whole.layers.items():
        assert tiled.layers[name] == pytest.approx(loss, rel=1e-4), name


def test_faces_without_a_weight_are_not_searched_for(found, photo, painting):
    shown = found(*BOX)
    stylize(photo, painting, SMALL.replace(face_weight=0.0))
    assert not shown


# ---- the detector -------------------------------------------------------------------------------


@needs_detector
def test_the_face_of_a_portrait_is_found(examples):
    photo = load_picture(examples / "astronaut.jpg")
    (left, top, width, height) = find_faces(photo)
    # Her eyes, nose and mouth are in the box, and the box is not much larger.
    for x, y in ((0.40, 0.22), (0.48, 0.22), (0.44, 0.26), (0.44, 0.31)):
        assert left < x < left + width
        assert top < y < top + height
    assert 0.1 < width < 0.25
    assert 0.15 < height < 0.3
    settings = with_faces(Settings(), photo)
    assert settings.faces == (left, top, width, height)


@needs_detector
def test_no_face_is_found_where_there_is_none(examples, photo):
    for name in ("neuschwanstein.jpg", "kingfisher.jpg", "church_at_auvers_van_gogh.jpg"):
        assert find_faces(load_picture(examples / name)) == ()
    assert find_faces(Picture(photo)) == ()
    assert find_faces(Picture(torch.rand(1, 3, 8, 300))) == ()
