"""A painted MP4 was too short: players stopped before the end of its long last frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from clip_samples import drawing, make_clip
from impasto.video.io.frames import open_clip, read_frames, write_clip

av = pytest.importorskip("av")

CASES = [
    ("h264", ".mp4"), ("h264", ".mov"), ("h264", ".mkv"), ("h265", ".mp4"), ("h265", ".mkv"),
    ("vp9", ".mp4"), ("vp9", ".webm"), ("av1", ".mp4"), ("prores", ".mov"),
]  # fmt: skip


def stated(path: Path) -> tuple[Fraction | None, float]:
    """What FFmpeg's tools show: the durations of the video stream and of the file, seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        own = None if stream.duration is None else stream.duration * stream.time_base
        return own, container.duration / 1e6


@pytest.mark.parametrize(("codec", "suffix"), CASES)
@pytest.mark.parametrize(("count", "sounds"), [(1, ()), (2, ()), (4, ()), (30, ()), (30, ("aac",))])
def test_a_last_frame_that_stands_long(codec, suffix, count, sounds, tmp_path):
    ticks = [25 * number for number in range(count)]
    source = make_clip(tmp_path / "clip.mp4", ticks=ticks, sounds=sounds)
    clip, target = open_clip(source), tmp_path / f"out{suffix}"
    end = Fraction(ticks[-1], 600) + 5
    with write_clip(target, clip, codec=codec, sound=suffix != ".webm") as writer:
        for number, tick in enumerate(ticks):
            long = Fraction(5) if number == count - 1 else Fraction(25, 600)
            writer.write(drawing(number), Fraction(tick, 600), long)
    own, whole = stated(target)
    assert own is None or abs(own - end) < Fraction(1, 1000)
    assert whole == pytest.approx(float(end), abs=0.002 if not sounds else 0.05)
    again = list(read_frames(open_clip(target)))
    assert len(again) == count
    if own is not None:
        assert again[-1].time + again[-1].duration == pytest.approx(end, abs=1e-3)


@pytest.mark.parametrize(("codec", "suffix"), CASES)
def test_a_gap_before_the_last_frame(codec, suffix, tmp_path):
    ticks = [*(25 * number for number in range(14)), 3000]
    source = make_clip(tmp_path / "clip.mp4", ticks=ticks)
    clip, target = open_clip(source), tmp_path / f"out{suffix}"
    with write_clip(target, clip, codec=codec) as writer:
        for frame in read_frames(clip):
            writer.write(frame.image, frame.time, frame.duration)
    own, whole = stated(target)
    assert whole == pytest.approx(3025 / 600, abs=0.002)
    assert own is None or abs(own - Fraction(3025, 600)) < Fraction(1, 1000)
    times = [float(frame.time) for frame in read_frames(open_clip(target))]
    assert times == pytest.approx([tick / 600 for tick in ticks], abs=6e-4)


def test_a_copy_of_a_copy_lasts_as_long(tmp_path):
    """The end of a clip with reordered frames is stated for the whole stream only."""
    path = make_clip(tmp_path / "clip.mp4", ticks=[25 * number for number in range(20)])
    for name in ("a.mp4", "b.mp4", "c.mov"):
        clip = open_clip(path)
        frames = list(read_frames(clip))
        with write_clip(tmp_path / name, clip) as writer:
            for frame in frames[:-1]:
                writer.write(frame.image, frame.time, frame.duration)
            last = Fraction(3) if name == "a.mp4" else frames[-1].duration
            writer.write(frames[-1].image, frames[-1].time, last)
        path = tmp_path / name
        assert stated(path)[0] == Fraction(19, 24) + 3


def test_a_clip_that_is_cut_off_gets_no_long_last_frame(tmp_path):
    from impasto.errors import TruncatedClip

    whole = make_clip(tmp_path / "clip.mp4", ticks=[25 * number for number in range(60)])
    data = whole.read_bytes()
    (tmp_path / "torn.mp4").write_bytes(data[: len(data) * 6 // 10])
    frames = []
    reading = read_frames(open_clip(tmp_path / "torn.mp4"))
    with pytest.raises(TruncatedClip):
        frames.extend(reading)
    assert frames[-1].duration < Fraction(1, 10)
