"""Whole files: written completely or not at all, and errors of the caller's own class."""

from __future__ import annotations

import hashlib
import pickle

import pytest

from helpers import tree
from impasto.errors import ImageError, ImpastoError, SoundError, TruncatedClip, VideoError
from impasto.storage import check_target, one_line, read_file, sha256_of, write_file


def test_files_are_written_whole_or_not_at_all(tmp_path):
    write_file(tmp_path / "a" / "x.bin", b"123")
    assert tree(tmp_path)["a/x.bin"] == b"123"
    with pytest.raises(ImpastoError, match="exists already"):
        write_file(tmp_path / "a" / "x.bin", b"4", overwrite=False)
    with pytest.raises(ImpastoError, match="it is a folder"):
        write_file(tmp_path / "a", b"4")
    assert tree(tmp_path)["a/x.bin"] == b"123"


@pytest.mark.parametrize("kind", [ImageError, SoundError, VideoError])
def test_errors_are_of_the_callers_class_and_hold_the_path(kind, tmp_path):
    missing, old = tmp_path / "missing", tmp_path / "old"
    old.write_bytes(b"precious")
    for call, path in (
        (lambda: read_file(missing, "a picture", error=kind), missing),
        (lambda: read_file(tmp_path, "a picture", error=kind), tmp_path),
        (lambda: sha256_of(missing, error=kind), missing),
        (lambda: write_file(old, b"new", overwrite=False, error=kind), old),
        (lambda: check_target(old, overwrite=False, error=kind), old),
        (lambda: check_target(old / "deeper", error=kind), old / "deeper"),
        (lambda: write_file(tmp_path, b"new", error=kind), tmp_path),
    ):
        with pytest.raises(kind) as caught:
            call()
        assert caught.value.path == str(path)
        assert str(caught.value).startswith(f"{path} ")
    assert tree(tmp_path) == {"old": b"precious"}


def test_the_sum_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"123").hexdigest()


def test_a_message_begins_with_the_path_that_the_error_has():
    error = ImageError("is empty", path="/secret/0815.png")
    assert str(error) == "/secret/0815.png is empty"
    error.path = "cat.png"
    assert str(error) == "cat.png is empty"
    assert str(pickle.loads(pickle.dumps(error))) == "cat.png is empty"
    assert str(ImageError("a whole sentence")) == "a whole sentence"
    torn = TruncatedClip("ends early", 3, path="a.mp4")
    assert (str(torn), torn.frames) == ("a.mp4 ends early", 3)


def test_reasons_are_on_one_line():
    assert one_line(OSError(28, "No space left on device")) == "No space left on device"
    assert one_line(ValueError("two\n  lines")) == "two lines"
    assert one_line(KeyError()) == "KeyError"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("image file is truncated (3 bytes not processed)",) * 2,
        ("Image size (9 pixels) exceeds limit of 8 pixels, could be a bomb.",) * 2,
        (
            "Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK",
            "the library gives no reason",
        ),
        ("broken data stream. Set ImageFile.LOAD_TRUNCATED_IMAGES = True.", "broken data stream."),
        ("Weights only load failed. Please file an issue.", "Weights only load failed."),
        ("Bad file; use weights_only=False", "Bad file"),
        ("Unknown format. See https://example.org/formats", "Unknown format."),
        ("cannot identify image file <_io.BytesIO object at 0x7f3a>", "cannot identify image file"),
        ("pngload_buffer: libspng read error\nVipsPng: bad crc",
         "pngload_buffer: libspng read error VipsPng: bad crc"),
    ],
)  # fmt: skip
def test_advice_of_libraries_is_left_out(told, said):
    assert one_line(ValueError(told)) == said
