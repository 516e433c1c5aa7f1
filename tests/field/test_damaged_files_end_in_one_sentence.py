"""Damaged clips, sounds and pictures ended in tracebacks. `scripts/fuzz` found these."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clip_samples import make_clip
from helpers import assert_clear_error, saved
from impasto.errors import ImpastoError
from impasto.storage import one_line

ROOT = Path(__file__).parents[2]


def boxes(data: bytes, *path: bytes, first: int = 0, last: int | None = None) -> list[int]:
    """Where the boxes of an MP4 that lie at this path begin."""
    at, end, found = first, len(data) if last is None else last, []
    while at + 8 <= end:
        size = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == path[0]:
            if len(path) == 1:
                found.append(at)
            else:
                found += boxes(data, *path[1:], first=at + 8, last=at + size)
        at += max(size, 8)
    return found


@pytest.fixture
def clip(tmp_path) -> bytes:
    pytest.importorskip("av")
    ticks = [25 * number for number in range(8)]
    path = make_clip(tmp_path / "whole.mp4", ticks=ticks, sounds=("aac",))
    return path.read_bytes()


def read_all(path: Path) -> None:
    """Read a clip as `impasto video` does; only the program's own errors are allowed."""
    from impasto.video.io.frames import open_clip, read_frames

    with contextlib.suppress(ImpastoError):
        for frame in read_frames(open_clip(path), start=0.05):
            assert frame.time >= 0


@pytest.mark.parametrize("value", [0, 1, 2**31 - 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("track", [0, 1])
def test_a_clip_whose_tracks_have_no_time(value, track, clip, tmp_path):
    """mdhd's timescale and duration, and tkhd's duration: times were None or huge (TypeError)."""
    for name, offset in ((b"mdhd", 20), (b"mdhd", 24)):
        data = bytearray(clip)
        at = boxes(clip, b"moov", b"trak", b"mdia", name)[track]
        data[at + offset : at + offset + 4] = value.to_bytes(4)
        (tmp_path / "a.mp4").write_bytes(data)
        read_all(tmp_path / "a.mp4")


@pytest.mark.parametrize("name", [b"stts", b"stsz", b"stsc", b"stco", b"stss", b"ctts"])
def test_a_clip_with_damaged_tables(name, clip, tmp_path):
    """If a packet cannot be read, the frames that the decoder still holds have no time base."""
    found = boxes(clip, b"moov", b"trak", b"mdia", b"minf", b"stbl", name)
    for at in found:
        for offset in range(12, 44, 4):
            for value in (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x3D312E34):
                data = bytearray(clip)
                data[at + offset : at + offset + 4] = value.to_bytes(4)
                (tmp_path / "a.mp4").write_bytes(data)
                read_all(tmp_path / "a.mp4")


def test_damaged_sound_is_left_out(tmp_path):
    """The container refused a packet after the last frame was painted: av.InvalidDataError."""
    pytest.importorskip("av")
    from impasto.video.io.frames import open_clip, read_frames, write_clip

    path = make_clip(tmp_path / "whole.ts", sounds=("aac",))
    data = path.read_bytes()
    damaged = tmp_path / "damaged.ts"
    heard = 0
    for seed in range(12):
        changed = bytearray(data)
        rng = np.random.default_rng(seed)
        # Sync words of AAC's ADTS header, which the other container needs.
        places = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xf1"]
        changed[rng.choice(places)] = 0
        damaged.write_bytes(changed)
        clip = open_clip(damaged)
        with write_clip(tmp_path / "out.mkv", clip) as writer:
            for frame in read_frames(clip):
                writer.write(frame.image, frame.time, frame.duration)
        heard += any("sound is damaged" in note for note in writer.notes)
        assert open_clip(tmp_path / "out.mkv").has_sound
    assert heard


def test_a_damaged_sound_prints_nothing(command, tmp_path, capfd):
    """libsndfile seeks to before the beginning: "Exception ignored from cffi callback"."""
    soundfile = pytest.importorskip("soundfile")
    from impasto.audio.files import load_sound

    wave = 0.3 * np.sin(np.arange(4000) / 9)
    for suffix in ("wav", "aiff", "flac", "mp3"):
        path = tmp_path / f"a.{suffix}"
        soundfile.write(path, wave, 8000)
        data = path.read_bytes()
        for at in range(4, 60):
            for value in (0x00, 0x80, 0xFF):
                path.write_bytes(data[:at] + bytes([value] * 4) + data[at + 4 :])
                with contextlib.suppress(ImpastoError):
                    load_sound(path)
    assert "Traceback" not in capfd.readouterr().err


def test_a_long_message_of_a_library_is_cut():
    assert one_line(ValueError("a\n" * 5000)) == "a " * 150 + " …"
    assert one_line(ValueError("short")) == "short"


def test_the_given_damaged_clips(command, tmp_path):
    """A file that is no clip at all, an empty one, and one that ends within its header."""
    pytest.importorskip("av")
    style = saved(np.zeros((20, 20, 3), np.uint8), tmp_path / "style.png")
    for name, data in (
        ("a.mp4", b"ftyp"),
        ("b.mp4", b"\0\0\0\x08moov"),
        ("c.mkv", b"\x1aE\xdf\xa3"),
    ):
        (tmp_path / name).write_bytes(data)
        outcome = command("video", tmp_path / name, style, "-o", tmp_path / "out.mp4")
        assert_clear_error(outcome, name)


@pytest.mark.parametrize(
    "kind", ["pictures", "masks", "sounds", "clips", "settings", "metadata", "weights"]
)
def test_a_short_run_of_the_fuzzer(kind, tmp_path):
    """The seed determines the inputs; none of them causes a fault."""
    if kind in ("sounds", "clips"):
        pytest.importorskip({"sounds": "soundfile", "clips": "av"}[kind])
    words = [sys.executable, ROOT / "scripts" / "fuzz", "--only", kind, "--count", "40"]
    outcome = subprocess.run(
        [*words, "--keep", tmp_path / "kept"], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert outcome.stdout == f"{kind}: 40 inputs, 0 faults\n"
    assert not (tmp_path / "kept").exists()


def test_a_picture_without_its_palette(command, tmp_path):
    """Pillow's AssertionError reached the user."""
    from PIL import Image

    path = tmp_path / "a.png"
    Image.new("P", (9, 9), 1).save(path)
    data = path.read_bytes()
    at = data.index(b"PLTE") - 4
    size = int.from_bytes(data[at : at + 4])
    path.write_bytes(data[:at] + data[at + 12 + size :])
    outcome = command("recolor", path, path, "-o", tmp_path / "out.png")
    assert_clear_error(outcome, "a.png", "damaged")


def test_sound_that_is_refused_at_the_very_end(tmp_path, monkeypatch):
    """FFmpeg holds packets back, and found the damaged one when the file was closed."""
    pytest.importorskip("av")
    import av.error

    from impasto.errors import VideoError
    from impasto.video.io.frames import open_clip, read_frames, write_clip

    class Refusing:
        """An output container that cannot be closed."""

        def __init__(self, output):
            self.output = output

        def __getattr__(self, name):
            return getattr(self.output, name)

        def close(self):
            self.output.close()
            raise av.error.PatchWelcomeError(1163346256, "Not yet implemented in FFmpeg")

    clip = open_clip(make_clip(tmp_path / "a.mp4", sounds=("aac",)))

    def write():
        with write_clip(tmp_path / "out.mkv", clip) as writer:
            for frame in read_frames(clip):
                writer.write(frame.image, frame.time, frame.duration)
            writer._output = Refusing(writer._output)

    with pytest.raises(VideoError, match=r"not yet implemented.*--no-sound"):
        write()
    assert not (tmp_path / "out.mkv").exists()
    assert not list(tmp_path.glob(".impasto*"))
