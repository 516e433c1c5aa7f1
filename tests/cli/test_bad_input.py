"""What cannot be painted gets one clear line and exit 1, and nothing is written."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

import impasto
from helpers import Outcome, assert_clear_error, tree
from impasto.errors import ImageError, ImpastoError, MemoryLimitError, SettingsError, ShapeError
from impasto.pictures.files import load_image

SMALL = ("--long-side", 32, "--steps", 2, "--threads", 1)


def _drawn(height: int, width: int, path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    PillowImage.fromarray(pixels).save(path)
    return path


def _missing(folder: Path) -> Path:
    return folder / "bad.jpg"


def _directory(folder: Path) -> Path:
    (folder / "bad.jpg").mkdir()
    return folder / "bad.jpg"


def _empty(folder: Path) -> Path:
    (folder / "bad.jpg").touch()
    return folder / "bad.jpg"


def _truncated(folder: Path) -> Path:
    path = _drawn(64, 64, folder / "bad.jpg")
    path.write_bytes(path.read_bytes()[:-700])
    return path


def _text(folder: Path) -> Path:
    (folder / "bad.png").write_text("Dear diary,\n")
    return folder / "bad.png"


def _one_pixel(folder: Path) -> Path:
    return _drawn(1, 1, folder / "bad.png")


def _sliver(folder: Path) -> Path:
    return _drawn(2000, 3, folder / "bad.png")


def _bomb(folder: Path) -> Path:
    """A PNG of 300 KB that unpacks to 2.5 gigapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    side = 50_000
    squeeze = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    data = b"".join(squeeze.compress(row) for _ in range(side)) + squeeze.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path = folder / "bad.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path


def _not_a_number(folder: Path) -> Path:
    pixels = np.full((40, 40), 0.5, np.float32)
    pixels[3, 4] = np.nan
    PillowImage.fromarray(pixels).save(folder / "bad.tiff")
    return folder / "bad.tiff"


PICTURES = {
    _missing: ("no such file",),
    _directory: ("folder",),
    _empty: ("empty",),
    _truncated: ("cut short",),
    _text: ("not a picture",),
    _one_pixel: ("1 x 1 px", "at least 8 px"),
    _sliver: ("3 x 2000 px", "at least 8 px"),
    _bomb: ("2,500,000,000 pixels", "at most 200,000,000"),
    _not_a_number: ("not finite",),
}


CASES = [
    pytest.param(make, role, id=f"{make.__name__.strip('_')}-{role}")
    for make in PICTURES
    for role in ("content", "style", "second style", "init")
    if (make, role) not in ((_one_pixel, "init"), (_sliver, "init"))  # scaled to the picture
]


@pytest.mark.parametrize(("make", "role"), CASES)
def test_bad_pictures(make, role, command, photo_file, painting_file, tmp_path):
    bad = make(tmp_path)
    before = tree(tmp_path)
    pictures = {
        "content": (bad, painting_file),
        "style": (photo_file, bad),
        "second style": (photo_file, painting_file, bad),
        "init": (photo_file, painting_file, "--init", bad),
    }
    words = PICTURES[make] if (make, role) != (_missing, "init") else ("nor a file that exists",)
    outcome = command("stylize", *pictures[role], "-o", tmp_path / "new" / "out.png", *SMALL)
    assert_clear_error(outcome, bad.name, *words)
    assert tree(tmp_path) == before


TARGETS = {
    "a file as its folder": ("photo.png/out.png", "a part of its folder is a file"),
    "a folder": ("folder.png", "folder"),
    "an unknown suffix": ("out.pgn", "did you mean .png?"),
    "no suffix": ("out", "no suffix"),
    "a device without suffix": ("/dev/full", "no suffix"),
    "a file that exists": ("old.png", "exists already; --force replaces it"),
    "an input": ("photo.png", "inputs are never overwritten"),
    "a long name": ("x" * 300 + ".png", "name too long"),
}


@pytest.mark.parametrize("what", TARGETS)
def test_bad_targets(what, command, photo_file, painting_file, tmp_path):
    name, words = TARGETS[what]
    (tmp_path / "old.png").write_bytes(b"old")
    (tmp_path / "folder.png").mkdir()
    before = tree(tmp_path)
    outcome = command("stylize", photo_file, painting_file, "-o", tmp_path / name, *SMALL)
    assert_clear_error(outcome, Path(name).name[:50], words)
    assert tree(tmp_path) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk(command, photo_file, painting_file, tmp_path):
    (tmp_path / "out.png").symlink_to("/dev/full")
    outcome = command("stylize", photo_file, painting_file, "-qo", tmp_path / "out.png", *SMALL)
    assert_clear_error(outcome, "out.png", "No space left")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out.png", "painting.png", "photo.png",
    ]  # fmt: skip
    assert (tmp_path / "out.png").is_symlink()


OPTIONS = {
    "an unknown layer": (
        ("--style-layers", "relu1_1,relu4_9"),
        ("relu4_9: no such layer", "did you mean relu4_"),
    ),
    "a layer of the other network": (
        ("--network", "vgg16", "--content-layers", "relu4_4"),
        ("relu4_4", "vgg16"),
    ),
    "a negative weight": (("--style-weight", -1), ("style_weight", "-1", "≥ 0")),
    "a negative layer weight": (
        ("--style-layer-weights", "1,1,1,1,-1"),
        ("style_layer_weights", "-1", "≥ 0"),
    ),
    "no weight at all": (("--style-weight", 0, "--content-weight", 0), ("both 0",)),
    "only zeros for layers": (("--style-layer-weights", "0,0,0,0"), ("all 0",)),
    "a weight too few": (("--style-layer-weights", "1,2"), ("2 numbers for 4 layers",)),
    "no number": (("--style-layer-weights", "1,b,1"), ("'1,b,1' is not a list of numbers",)),
    "not a number": (("--tv-weight", "nan"), ("tv_weight: nan",)),
    "infinity": (("--tv-weight", "inf"), ("tv_weight: inf",)),
    "no steps": (("--steps", 0), ("steps: 0",)),
    "no size": (("--long-side", 0), ("long_side: 0",)),
    "an unknown network": (("--network", "vgg18"), ("vgg18", "did you mean vgg1")),
    "an unknown recipe": (("--recipe", "neural-stile"), ("did you mean neural-style?",)),
    "an unknown schedule": (("--schedule", "defalt"), ("did you mean default?",)),
    "a missing recipe file": (("--recipe", "none.toml"), ("none.toml", "No such file")),
    "an unknown start": (("--init", "contnt"), ("contnt", "did you mean content?")),
    "an unknown weights file": (("--weights", "none.pth"), ("none.pth",)),
    "an unknown device": (("--device", "tpu"), ("tpu", "auto, cpu, cuda or mps")),
    "a device too many": (("--device", "cpu:7"), ("cpu:7", "cpu:0")),
    "nonsense for a device": (("--device", "cpu:x"), ("cpu:x",)),
    "nonsense for a time": (("--time", "soon"), ("'soon' is not a time",)),
    "no time": (("--time", "0s"), ("'0s' is not a time",)),
    "other bits": (("--bits", 12), ("12", "8 or 16")),
}


@pytest.mark.parametrize("what", OPTIONS)
def test_bad_options(what, command, photo_file, painting_file, tmp_path, monkeypatch):
    options, words = OPTIONS[what]
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    outcome = command(
        "stylize", photo_file, painting_file, "-o", tmp_path / "new" / "out.png", *SMALL, *options
    )
    assert_clear_error(outcome, *words)
    assert tree(tmp_path) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(command, photo_file, painting_file, tmp_path):
    outcome = command(
        "stylize", photo_file, painting_file, "-o", tmp_path / "out.png", "--device", "cuda", *SMALL
    )
    assert_clear_error(outcome, "device cuda", "has none")


def test_16_bits_in_a_format_of_8(command, photo_file, painting_file, tmp_path):
    outcome = command(
        "stylize", photo_file, painting_file, "-o", tmp_path / "out.jpg", "--bits", 16, *SMALL
    )
    assert_clear_error(outcome, "out.jpg", "16 bits need .png or .tiff")


@pytest.mark.parametrize("option", ["--recipe", "--settings"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"steps = ", ("not a TOML file",)),
        (b"stepps = 3", ("stepps", "did you mean steps?")),
        (b"steps = 'many'", ("steps: 'many' is not a whole number",)),
        (b"\xff\xfe\x00", ("not text",)),
    ],
)
def test_bad_settings_files(option, text, words, command, photo_file, painting_file, tmp_path):
    (tmp_path / "my.toml").write_bytes(text)
    before = tree(tmp_path)
    outcome = command(
        "stylize", photo_file, painting_file, "-o", tmp_path / "out.png",
        option, tmp_path / "my.toml",
    )  # fmt: skip
    assert_clear_error(outcome, *words)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("my.pth", b"not a pickle"),
        ("my.pth", b""),
        ("my.h5", b"\x89HDF\r\n\x1a\n and no more"),
        ("my.safetensors", struct.pack("<Q", 1 << 40) + b"{}"),
        ("my.txt", b"hello"),
    ],
)
def test_corrupt_weights(name, data, command, photo_file, painting_file, tmp_path):
    (tmp_path / name).write_bytes(data)
    before = tree(tmp_path)
    outcome = command(
        "stylize", photo_file, painting_file, "-o", tmp_path / "new" / "out.png",
        "--weights", tmp_path / name, *SMALL,
    )  # fmt: skip
    assert_clear_error(outcome, name)
    assert tree(tmp_path) == before


def test_settings_files_are_not_replaced_either(command, photo_file, painting_file, tmp_path):
    (tmp_path / "my.toml").write_text("steps = 7\n")
    before = tree(tmp_path)
    outcome = command(
        "stylize", photo_file, painting_file, "-o", tmp_path / "out.png",
        "--save-settings", tmp_path / "my.toml", *SMALL,
    )  # fmt: skip
    assert_clear_error(outcome, "my.toml exists already")
    assert tree(tmp_path) == before


def test_too_short_a_time_gives_a_picture(command, photo_file, painting_file, tmp_path):
    outcome = command(
        "stylize", photo_file, painting_file, "-o", tmp_path / "out.png", "--time", "0.001s",
        "--long-side", 200, "--threads", 1,
    )  # fmt: skip
    assert outcome.code == 0
    assert "enlarged to 200 px with the photo's own detail" in outcome.err
    assert load_image(tmp_path / "out.png").shape[-1] == 200


def test_output_to_two_things_at_once(command, photo_file, painting_file):
    outcome = command("stylize", photo_file, painting_file, "-o", "-", "--json")
    assert_clear_error(outcome, "--json and -o - both write to stdout")


def test_bad_input_in_a_process_of_its_own(tmp_path, painting_file):
    """Once as a user meets it: no traceback, no warning, nothing but the line."""
    bad = _truncated(tmp_path)
    before = tree(tmp_path)
    done = _process(bad, painting_file, "-o", tmp_path / "out.png")
    assert_clear_error(done, "bad.jpg", "cut short")
    assert tree(tmp_path) == before


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v works on Linux only")
def test_too_little_memory(tmp_path, photo_file, painting_file):
    before = tree(tmp_path)

    done = _process(
        photo_file, painting_file, "-qo", tmp_path / "out.png",
        "--long-side", 2400, "--coarsest", 0, "--steps", 2, "--threads", 1,
        "--statistic", "sliced", "--content-weight", 0, kilobytes=2_000_000,
    )  # fmt: skip
    assert_clear_error(done, "2400 px", "memory", "--long-side 1200")
    assert tree(tmp_path) == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v works on Linux only")
def test_too_little_memory_for_a_whole_picture_is_enough_for_tiles(
    tmp_path, photo_file, painting_file
):
    shallow = ("--content-layers", "relu2_1", "--style-layers", "relu1_1,relu2_1")
    done = _process(
        photo_file, painting_file, "-qo", tmp_path / "out.png", *shallow,
        "--long-side", 1600, "--coarsest", 0, "--steps", 1, "--threads", 1, kilobytes=1_800_000,
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memo"
                     "ry: you tried to allocate 12 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)  # fmt: skip
def test_what_torch_says_without_memory_is_recognized(error):
    from impasto.cli.failures import memory_errors

    with (
        pytest.raises(MemoryLimitError, match=r"512 px do not fit.*--long-side 256"),
        memory_errors(512),
    ):
        raise error


def test_advice_names_a_flag_of_the_command(command, photo_file, painting_file, monkeypatch):
    """`texture` has no --long-side, and `recolor` has no tiles that a smaller --memory makes."""

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("impasto.variations.texture.plan_texture", fail)
    monkeypatch.setattr("impasto.pictures.colors.recolor", fail)
    texture = command("texture", painting_file, "-o", "texture.png", "--size", "64x48")
    assert_clear_error(texture, "64 px do not fit", "try a smaller --size, or a smaller --memory")
    recolor = command("recolor", photo_file, painting_file, "-o", "recolored.png")
    assert_clear_error(recolor, "do not fit", "try a smaller --long-side")
    assert "--memory" not in recolor.err


def test_unknown_errors_keep_their_traceback(command, photo_file, painting_file, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("impasto.painting.inputs.load_inputs", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        command("stylize", photo_file, painting_file, "-o", "out.png")


def _array(value: float = 0.5) -> np.ndarray:
    pixels = np.full((32, 40, 3), 0.5, np.float32)
    pixels[2, 3, 1] = value
    return pixels


BAD_SOURCES = [
    (_array(float("nan")), ImageError, "not finite"),
    (_array(float("inf")), ImageError, "not finite"),
    (torch.from_numpy(_array(float("nan"))).permute(2, 0, 1), ImageError, "not finite"),
    (_array(255), ImageError, r"floats must be in \[0, 1\]"),
    (_array()[..., :2], ShapeError, r"\(32, 40, 2\)"),
    (np.zeros((0, 4, 3), np.uint8), ShapeError, r"\(0, 4, 3\)"),
    (7, ImageError, "int"),
    ("nowhere.jpg", ImageError, "nowhere.jpg"),
]
TOO_SMALL = (np.zeros((1, 1, 3), np.uint8), ImageError, "at least 8 px")
NOTHING = (None, ImageError, "NoneType")


@pytest.mark.parametrize(("source", "error", "message"), [*BAD_SOURCES, TOO_SMALL, NOTHING])
def test_bad_content_and_styles_in_python(source, error, message):
    settings = impasto.Settings(long_side=32, steps=1)
    for content, styles in ((source, [_array()]), (_array(), source), (_array(), [source])):
        with pytest.raises(error, match=message):
            impasto.stylize(content, styles, settings)


@pytest.mark.parametrize(("source", "error", "message"), BAD_SOURCES)
def test_a_bad_start_in_python(source, error, message):
    settings = impasto.Settings(long_side=32, steps=1)
    with pytest.raises(error, match=message):
        impasto.stylize(_array(), _array(), settings, init=source)


def test_no_style():
    with pytest.raises(SettingsError, match="name at least one painting"):
        impasto.stylize(_array(), [], impasto.Settings(long_side=32, steps=1))


def test_all_errors_are_of_one_tree():
    names = [name for name in impasto.__all__ if name.endswith("Error")]
    assert len(names) >= 7
    assert all(issubclass(getattr(impasto, name), ImpastoError) for name in names)


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(0, "", "Error: bad.png is empty\n"),
        Outcome(1, "noise", "Error: bad.png is empty\n"),
        Outcome(1, "", "Error: bad.png is empty\nand more\n"),
        Outcome(1, "", "bad.png is empty\n"),
        Outcome(1, "", "Error: it is empty\n"),
        Outcome(1, "", ""),
    ],
)
def test_assert_clear_error_notices(outcome):
    with pytest.raises(AssertionError):
        assert_clear_error(outcome, "bad.png")


def _process(*words: object, kilobytes: int | None = None) -> Outcome:
    source = str(Path(impasto.__file__).parent.parent)
    limit = ["sh", "-c", f'ulimit -v {kilobytes} && exec "$@"', "sh"] if kilobytes else []
    done = subprocess.run(
        [*limit, sys.executable, "-m", "impasto", "stylize", *map(str, words)],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": source},
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)
