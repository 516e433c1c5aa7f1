"""Redo: a picture's own file is enough to paint it again, in its size or another."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from helpers import assert_clear_error, psnr, tree
from impasto.painting.stylizer import stylize
from impasto.pictures.files import load_image, load_picture, read_metadata, save_image
from impasto.settings.pictures import Settings

SMALL = ("--long-side", 40, "--coarsest", 32, "--steps", 4, "--threads", 1, "--quiet")
CALM = ("--threads", 1, "--quiet")


@pytest.fixture
def painted(command, photo_file, painting_file, tmp_path):
    """A picture that the command line has painted, beside what it was made from."""

    def call(*words):
        out = tmp_path / "out.png"
        outcome = command("stylize", photo_file, painting_file, "-o", out, *SMALL, *words)
        assert outcome.code == 0, outcome.err
        return out

    return call


def rewrite(path, change):
    """Change what a picture's file says."""
    noted = read_metadata(path)
    change(noted)
    save_image(load_image(path), path, metadata=noted)


def test_the_same_pixels(command, painted, tmp_path):
    out = painted("--init", "noise", "--seed", 7)
    outcome = command("redo", out, *CALM)
    assert outcome.code == 0, outcome.err
    assert torch.equal(load_image(tmp_path / "out-redo.png"), load_image(out))
    assert read_metadata(tmp_path / "out-redo.png") == read_metadata(out)


def test_how_the_network_was_run_is_not_done_again(command, painted, tmp_path):
    """The next machine may have nothing to compile with, and needs nothing."""
    out = painted()
    rewrite(out, lambda noted: noted["settings"].update(compiled=True))
    assert command("redo", out, *CALM).code == 0
    assert read_metadata(tmp_path / "out-redo.png")["settings"]["compiled"] is False


def test_an_unfinished_picture_is_painted_to_its_end(command, painted, tmp_path):
    out = painted()
    assert "finished" not in read_metadata(out)
    rewrite(out, lambda noted: noted.update(finished=False, steps=3))
    words = ("redo", out, "--threads", 1)
    outcome = command(*words)
    assert outcome.code == 0, outcome.err
    said = [line for line in outcome.err.splitlines() if str(out) in line]
    assert said == [f"{out} was stopped after 3 of its 4 steps; now all steps are painted"]
    assert "finished" not in read_metadata(tmp_path / "out-redo.png")
    assert command(*words, "--force", "--quiet").err == ""
    rewrite(out, lambda noted: noted.update(steps="many"))
    assert "was stopped before its last step" in command(*words, "--force").err


def test_masks_are_recorded_and_found(command, painted, tmp_path):
    mask = np.zeros((32, 40), np.uint8)
    mask[:, :20] = 255
    for name in ("mask.png", "face.png", "what.png"):
        PillowImage.fromarray(mask[:, ::-1] if name == "face.png" else mask).save(tmp_path / name)
    style_mask = np.zeros((36, 32), np.uint8)
    style_mask[:20] = 255
    PillowImage.fromarray(style_mask).save(tmp_path / "what.png")
    out = painted(
        "--mask", f"not:{tmp_path / 'mask.png'}", "--style-mask", tmp_path / "what.png",
        "--content-mask", tmp_path / "face.png", "--feather", 3,
    )  # fmt: skip
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("mask.png", "face.png", "what.png"):
        shutil.move(tmp_path / name, folder / f"renamed {name}")
    assert_clear_error(command("redo", out, *CALM), "mask.png", "face.png", "what.png")
    assert command("redo", out, "--look-in", folder, *CALM).code == 0
    assert torch.equal(load_image(tmp_path / "out-redo.png"), load_image(out))


def test_maps_of_regions_are_recorded_and_found(command, painted, tmp_path):
    colors = np.zeros((32, 40, 3), np.uint8)
    colors[:, :20] = (255, 0, 0)
    PillowImage.fromarray(colors).save(tmp_path / "photo map.png")
    PillowImage.new("RGB", (32, 36), "red").save(tmp_path / "painting map.png")
    maps = (tmp_path / "photo map.png", tmp_path / "painting map.png")
    out = painted("--regions", maps[0], "--style-regions", maps[1])
    assert command("redo", out, *CALM).code == 0
    assert torch.equal(load_image(tmp_path / "out-redo.png"), load_image(out))
    maps[1].unlink()
    assert_clear_error(command("redo", out, *CALM, "-f"), "painting map.png")


def test_a_redone_enlarged_picture_can_itself_be_redone(command, painted, tmp_path):
    out = painted("--feather", 2)
    large, again = tmp_path / "large.png", tmp_path / "again.png"
    assert command("redo", out, "-o", large, "--long-side", 60, *CALM).code == 0
    assert read_metadata(large)["settings"]["feather"] == 3
    assert command("redo", large, "-o", again, *CALM).code == 0
    assert torch.equal(load_image(again), load_image(large))


def test_a_picture_to_start_from_is_recorded_and_found(command, painted, tmp_path):
    start = tmp_path / "start.png"
    PillowImage.new("RGB", (30, 24), (250, 10, 10)).save(start)
    out = painted("--init", start)
    noted = read_metadata(out)
    assert noted["init"]["name"] == "start.png"
    assert len(noted["init"]["sha256"]) == 64
    new = tmp_path / "new.png"
    assert command("redo", out, "-o", new, *CALM).code == 0
    assert torch.equal(load_image(new), load_image(out))
    start.unlink()
    assert_clear_error(command("redo", out, *CALM, "-f"), "start.png", noted["init"]["sha256"])


def test_a_start_in_python_is_recorded_too(photo_file, painting_file):
    settings = Settings(long_side=32, steps=1, coarsest=0)
    pastiche = stylize(photo_file, painting_file, settings, init=painting_file)
    assert pastiche.metadata["init"]["name"] == "painting.png"
    assert "init" not in stylize(photo_file, painting_file, settings).metadata


def test_inputs_are_found_by_their_contents(command, painted, photo_file, painting_file, tmp_path):
    out = painted()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(photo_file, elsewhere / "renamed.png")
    photo_file.write_bytes(b"another file of that name")
    words = ("redo", out, "-o", tmp_path / "new.png", *CALM)
    digest = read_metadata(out)["content"]["sha256"]
    assert_clear_error(command(*words), "photo.png", digest, str(tmp_path), "--look-in")
    assert command(*words, "--look-in", elsewhere).code == 0
    assert torch.equal(load_image(tmp_path / "new.png"), load_image(out))


def test_weights_are_found_by_their_contents(command, painted, examples, tmp_path):
    weights = tmp_path / "my.safetensors"
    shutil.copyfile(examples.parent / "vgg16.safetensors", weights)
    out = painted("--network", "vgg16", "--weights", weights)
    noted = read_metadata(out)
    assert noted["weights"] == {
        "name": "my.safetensors",
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    new = tmp_path / "new.png"
    assert command("redo", out, "-o", new, *CALM).code == 0  # beside the picture
    assert torch.equal(load_image(new), load_image(out))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(weights, elsewhere / "renamed.safetensors")
    words = ("redo", out, "-fo", new, *CALM)
    assert_clear_error(command(*words), "my.safetensors", noted["weights"]["sha256"], "--look-in")
    outcome = command(*words, "--look-in", elsewhere)
    assert outcome.code == 0, outcome.err
    assert torch.equal(load_image(new), load_image(out))


def test_all_missing_inputs_are_named(command, painted, photo_file, painting_file):
    out = painted()
    photo_file.unlink()
    painting_file.unlink()
    sums = [
        each["sha256"] for each in (read_metadata(out)["content"], *read_metadata(out)["styles"])
    ]
    assert_clear_error(command("redo", out, *CALM), "photo.png", "painting.png", *sums)


def test_larger_it_starts_from_the_picture(command, painted, tmp_path):
    out = painted("--init", "noise", "--seed", 2)
    new = tmp_path / "large.png"
    assert command("redo", out, "-o", new, "--long-side", 80, "--steps", 2, *CALM).code == 0
    assert load_picture(new).size == (64, 80)
    assert psnr(load_image(new, long_side=40), load_image(out)) > 15  # the composition stays
    noted = read_metadata(new)
    assert noted["init"]["name"] == "out.png"
    assert noted["settings"]["coarsest"] == 40
    again = tmp_path / "smaller.png"
    assert command("redo", out, "-o", again, "--long-side", 24, *CALM).code == 0
    assert load_picture(again).size == (19, 24)


@pytest.mark.parametrize("side", [80, 24])
def test_another_size_shares_the_steps_of_a_time_anew(side, command, painted, tmp_path):
    """A run with --time records its steps for each level, and another size has other levels."""
    out = painted("--long-side", 128, "--coarsest", 32, "--level-steps", "3,1,1")
    new = tmp_path / "new.png"
    outcome = command("redo", out, "-o", new, "--long-side", side, *CALM)
    assert outcome.code == 0, outcome.err
    noted = read_metadata(new)["settings"]
    assert (max(load_picture(new).size), noted["steps"], noted["level_steps"]) == (side, 5, [])


def test_a_print(command, painted, tmp_path):
    out = painted()
    new = tmp_path / "print.png"
    assert command("redo", out, "-o", new, "--print", "2x1cm", "--dpi", 100, "--steps", 1,
                   *CALM).code == 0  # fmt: skip
    assert load_picture(new).size == (39, 49)  # 1 cm high, of the photo's 5 : 4
    assert load_picture(new).dpi == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
def test_dots_per_inch_are_written(suffix, command, photo_file, painting_file, tmp_path):
    out = tmp_path / f"out{suffix}"
    words = ("--print", "8x8mm", "--dpi", 150, "--steps", 1, "--threads", 1, "--quiet")
    assert command("stylize", photo_file, painting_file, "-o", out, *words).code == 0
    picture = load_picture(out)
    assert max(picture.size) == 47
    assert picture.dpi == pytest.approx(150, abs=0.1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda noted: noted.clear(), "does not say how it was made"),
        (lambda noted: noted.pop("settings"), "holds no settings"),
        (lambda noted: noted.pop("content"), "does not name the pictures"),
        (lambda noted: noted.update(styles=[]), "does not name the pictures"),
        (lambda noted: noted.update(styles="x"), "does not name the pictures"),
        (lambda noted: noted.update(init=[3]), "does not name the pictures"),
        (lambda noted: noted.update(weights="x"), "does not name the pictures"),
        (lambda noted: noted.update(masks=["x"]), "does not name the pictures"),
        (lambda noted: noted.update(content_mask=5), "does not name the pictures"),
        (lambda noted: noted["content"].update(sha256=None), "SHA-256 unknown"),
        (lambda noted: noted["content"].update(sha256=["x"]), "does not name the pictures"),
        (
            lambda noted: (noted["settings"].update(glitter=3), noted.update(impasto="9.9")),
            "made by impasto 9.9, and this version does not know its settings: glitter",
        ),
        (lambda noted: noted["settings"].update(steps=-1), "steps"),
        (lambda noted: noted.update(made={"command": "dream"}), "made by `impasto dream`"),
    ],
)
def test_pictures_that_cannot_be_redone(change, said, command, painted, tmp_path):
    out = painted()
    rewrite(out, change)
    before = tree(tmp_path)
    assert_clear_error(command("redo", out, *CALM), said)
    assert tree(tmp_path) == before


def test_a_recolored_picture(command, photo_file, painting_file, tmp_path):
    out = tmp_path / "out.png"
    assert command("recolor", photo_file, painting_file, "-o", out).code == 0
    assert_clear_error(command("redo", out, *CALM), "was made by `impasto recolor`; only pictures")


def test_bad_input(command, painted, photo_file, tmp_path):
    out = painted()
    before = tree(tmp_path)
    for words, said in (
        ((tmp_path / "missing.png",), "no such file"),
        ((photo_file,), "does not say how it was made"),
        ((out, "--look-in", tmp_path / "nowhere"), "there is no such folder"),
        ((out, "-o", out), "never overwritten"),
        ((out, "-o", tmp_path / "new.xyz"), "the suffix .xyz"),
        ((out, "--print", "huge"), "is not a size"),
        ((out, "--print", "4x3cm", "--long-side", 50), "both determine the size"),
    ):
        assert_clear_error(command("redo", *words, *CALM), said)
    assert tree(tmp_path) == before


def test_json(command, painted, tmp_path):
    out = painted()
    summary = json.loads(command("redo", out, "--json", *CALM).out)
    assert summary["output"] == str(tmp_path / "out-redo.png")
    assert np.isfinite(summary["losses"]["total"])
