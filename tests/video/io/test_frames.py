"""Reading and writing clips and folders of frames: what is preserved exactly, and errors."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from clip_samples import COUNT, HEIGHT, SHARES, WIDTH, drawing, make_clip, tone
from helpers import psnr
from impasto.errors import ShapeError, TruncatedClip, VideoError, install_hint
from impasto.pictures.files import save_image
from impasto.video.io.frames import (
    CODECS,
    Clip,
    open_clip,
    read_frames,
    write_clip,
)
from impasto.video.io.pixels import Colors, Orientation, from_image, to_image

av = pytest.importorskip("av")


def copy_clip(source: Path, target: Path, **options: Any) -> Clip:
    """Read a clip and write it again, unpainted."""
    clip = open_clip(source)
    part = {key: options[key] for key in ("start", "end") if key in options}
    side = options.pop("long_side", None)
    size = next(read_frames(clip, long_side=side)).image.shape[-2:]
    with write_clip(target, clip, size=tuple(size), **options) as writer:
        for frame in read_frames(clip, long_side=side, **part):
            writer.write(frame.image, frame.time, frame.duration)
    return open_clip(target)


def sound_of(path: Path) -> list[list[tuple[Fraction, str]]]:
    """The start time of each packet and a digest of its bytes, for each sound track."""
    with av.open(str(path)) as container:
        tracks: dict[int, list[tuple[Fraction, str]]] = {
            each.index: [] for each in container.streams.audio
        }
        for packet in container.demux(*container.streams.audio):
            if packet.size:
                digest = hashlib.sha256(bytes(packet)).hexdigest()
                tracks[packet.stream_index].append((packet.pts * packet.time_base, digest))
    return list(tracks.values())


def times_of(path: Path) -> list[Fraction]:
    return [frame.time for frame in read_frames(open_clip(path))]


# ---- colors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_planes_are_what_the_standards_say(matrix, full, bits):
    """Against the equations of BT.601, BT.709 and BT.2020, in float64."""
    rng = np.random.default_rng(0)
    format = "yuv444p" if bits == 8 else "yuv444p10le"
    image = torch.from_numpy(rng.random((1, 3, 6, 70), dtype=np.float32))
    frame = from_image(image, Colors(matrix, full), format, av)
    red, green, blue = image[0].double().numpy()
    share_red, share_blue = SHARES[matrix]
    y = share_red * red + (1 - share_red - share_blue) * green + share_blue * blue
    cb, cr = (blue - y) / (2 - 2 * share_blue), (red - y) / (2 - 2 * share_red)
    step, top = 2 ** (bits - 8), 2**bits - 1
    if full:
        planes = [y * top, cb * top + 128 * step, cr * top + 128 * step]
    else:
        planes = [(219 * y + 16) * step, (224 * cb + 128) * step, (224 * cr + 128) * step]
    for plane, expected in zip(frame.planes, planes, strict=True):
        kind = np.uint8 if bits == 8 else np.uint16
        stored = np.frombuffer(bytes(plane), kind).reshape(6, -1)[:, :70]
        assert np.abs(stored - expected.clip(0, top)).max() <= 0.501
    back = to_image(frame, Colors(matrix, full), Orientation())
    assert (back - image).abs().max() < 2.1 / 2**bits


@pytest.mark.parametrize("format", ["yuv420p", "yuv422p", "nv12", "yuyv422", "p010le"])
def test_halved_chroma_stays_where_it_is(format):
    """A picture that is stored and read repeatedly keeps its place and its colors."""
    image = drawing(3)
    first = None
    for _ in range(4):
        planar = "yuv422p" if "422" in format else "yuv420p10le" if "10" in format else "yuv420p"
        frame = from_image(image, Colors(6), planar, av)
        if format != planar:
            frame = frame.reformat(format=format)
            frame.colorspace, frame.color_range = 6, 1
        image = to_image(frame, Colors(6), Orientation())
        first = image if first is None else first
    assert (first - drawing(3)).abs().max() < 0.03
    assert (image - first).abs().mean() < 0.003


@pytest.mark.parametrize(
    ("format", "codec", "suffix"),
    [
        ("yuv420p", "libx264", ".mp4"),
        ("yuv444p", "libx264", ".mp4"),
        ("yuv420p10le", "libx265", ".mp4"),
        ("yuv422p10le", "prores_ks", ".mov"),
    ],
)
@pytest.mark.parametrize("full", [False, True])
def test_frames_are_read_in_their_colors(tmp_path, format, codec, suffix, full):
    if codec == "prores_ks" and full:
        pytest.skip("ProRes has no full range")
    path = make_clip(tmp_path / f"a{suffix}", codec=codec, format=format, colors=Colors(1, full))
    clip = open_clip(path)
    assert clip.size == (HEIGHT, WIDTH)
    assert clip.bits == (10 if "10" in format else 8)
    assert (clip.colors.matrix, clip.colors.full) == (1, full)
    frames = list(read_frames(clip))
    assert [frame.index for frame in frames] == list(range(COUNT))
    for frame in frames:
        assert frame.image.dtype == torch.float32
        assert psnr(frame.image, drawing(frame.index)) > 36


@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
def test_gray_is_gray(tmp_path, codec):
    """Without a tag, FFmpeg's gray has the full range; with the tag, the limited range."""
    path = tmp_path / "gray.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray"
        stream.codec_context.color_range = 1 if codec == "libx264" else 2
        for index in range(3):
            frame = av.VideoFrame(WIDTH, HEIGHT, "gray")
            frame.planes[0].update(bytes([126]) * (frame.planes[0].line_size * HEIGHT))
            frame.pts = index
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    expected = (126 - 16) / 219 if codec == "libx264" else 126 / 255
    image = next(read_frames(open_clip(path))).image
    assert (image - expected).abs().max() < 0.006
    again = copy_clip(path, tmp_path / "again.mp4")
    assert (next(read_frames(again)).image - expected).abs().max() < 0.01


def test_rgb_and_palettes_are_read(tmp_path):
    for codec, format, name in (("ffv1", "bgr0", "a.mkv"), ("gif", "rgb8", "a.gif")):
        with av.open(str(tmp_path / name), "w") as output:
            stream = output.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, format
            picture = np.full((HEIGHT, WIDTH, 3), (255, 0, 85), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture).reformat(format=format)
            for index in range(3):
                frame.pts = index
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        clip = open_clip(tmp_path / name)
        image = next(read_frames(clip)).image
        assert (image.mean(dim=(2, 3))[0] - torch.tensor([1, 0, 1 / 3])).abs().max() < 0.02
        again = copy_clip(tmp_path / name, tmp_path / "again.mp4")
        image = next(read_frames(again)).image
        assert (image.mean(dim=(2, 3))[0] - torch.tensor([1, 0, 1 / 3])).abs().max() < 0.02
        assert again.colors.matrix == 1


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (47, 63), (720, 1280)])
def test_untagged_clips_are_taken_as_players_take_them(tmp_path, size):
    large = size[1] >= 1280
    colors = Colors(1 if large else 6)
    path = make_clip(
        tmp_path / "a.mkv", codec="ffv1", size=size, colors=colors, tagged=False, ticks=[0, 25]
    )
    clip = open_clip(path)
    assert clip.colors == Colors(colors.matrix, False, 2, 2)
    assert psnr(next(read_frames(clip)).image, drawing(0, size)) > 40


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1", "prores"])
@pytest.mark.parametrize("colors", [Colors(1, True, 1, 1), Colors(6, False, 6, 6)])
def test_color_tags_are_kept(tmp_path, codec, colors):
    if codec == "prores" and colors.full:
        pytest.skip("ProRes has no full range")
    suffix = ".mov" if codec == "prores" else ".mp4"
    path = make_clip(
        tmp_path / "a.mp4", codec="libx265", format="yuv420p10le", colors=colors, ticks=[0, 25, 50]
    )
    clip = copy_clip(path, tmp_path / f"b{suffix}", codec=codec)
    assert clip.colors == colors
    assert clip.bits == (10 if codec in ("h265", "av1", "prores") else 8)
    for frame in read_frames(clip):
        assert psnr(frame.image, drawing(frame.index)) > 32


# ---- timing, shape and sound --------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1", "prores"])
def test_variable_frame_rates_are_kept(tmp_path, codec):
    ticks = [0, 25, 30, 31, 90, 95, 200, 340, 341, 350, 500, 560]
    path = make_clip(tmp_path / "a.mp4", ticks=ticks)
    target = tmp_path / ("b.mov" if codec == "prores" else "b.mp4")
    clip = copy_clip(path, target, codec=codec)
    assert times_of(target) == [Fraction(tick, 600) for tick in ticks] == times_of(path)
    assert clip.frames == COUNT
    for a, b in itertools.pairwise(read_frames(clip)):
        assert a.time + a.duration == b.time


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_matroska_holds_whole_milliseconds(tmp_path, suffix):
    path = make_clip(tmp_path / "a.mp4")
    copy_clip(path, tmp_path / f"b{suffix}")
    for before, after in zip(times_of(path), times_of(tmp_path / f"b{suffix}"), strict=True):
        assert abs(before - after) <= Fraction(1, 2000)
    copy_clip(tmp_path / f"b{suffix}", tmp_path / "c.mp4")
    assert times_of(tmp_path / "c.mp4") == times_of(tmp_path / f"b{suffix}")


def test_broadcasts_do_not_begin_at_nought(tmp_path):
    path = make_clip(tmp_path / "a.ts", sounds=("aac",))
    clip = open_clip(path)
    assert clip.origin > 0
    times = times_of(path)
    assert times[0] < Fraction(1, 10)
    copy_clip(path, tmp_path / "b.mp4")
    assert times_of(tmp_path / "b.mp4") == times
    (before,), (after,) = sound_of(path), sound_of(tmp_path / "b.mp4")
    assert len(before) == len(after)
    for (time, _), (later, _) in zip(before, after, strict=True):
        assert abs(time - clip.origin - later) < Fraction(1, 10_000)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_turned_clips_are_read_and_written_upright(tmp_path, turn):
    """PyAV turns counterclockwise, as NumPy does."""
    path = make_clip(tmp_path / "a.mp4", turn=turn, aspect=Fraction(4, 3))
    clip = open_clip(path)
    assert clip.size == ((WIDTH, HEIGHT) if turn % 180 else (HEIGHT, WIDTH))
    assert clip.aspect == (Fraction(3, 4) if turn % 180 else Fraction(4, 3))
    upright = torch.rot90(drawing(0), turn // 90, (2, 3))
    assert psnr(next(read_frames(clip)).image, upright) > 36
    again = copy_clip(path, tmp_path / "b.mp4")
    assert (again.orientation, again.size, again.aspect) == (Orientation(), clip.size, clip.aspect)
    assert psnr(next(read_frames(again)).image, upright) > 34


@pytest.mark.parametrize(
    ("mirrored", "flipped"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_transposed_and_mirrored(mirrored, flipped):
    stored = torch.arange(6.0).reshape(1, 1, 2, 3)
    orientation = Orientation(True, mirrored, flipped)
    upright = orientation.upright(stored)
    assert upright.shape[-2:] == orientation.upright_size((2, 3)) == (3, 2)
    corner = upright[0, 0, -1 if flipped else 0, -1 if mirrored else 0]
    assert corner == stored[0, 0, 0, 0]


def test_a_display_matrix_that_mirrors(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.set_display_rotation(90, hflip=True)
        frame = from_image(drawing(0), Colors(6), "yuv420p", av)
        frame.pts = 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    image = next(read_frames(open_clip(path))).image
    turned = torch.rot90(drawing(0), 1, (2, 3)).flip(3)
    assert psnr(image, turned) > 30


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1", "prores"])
@pytest.mark.parametrize("size", [(47, 64), (48, 63), (47, 63), (48, 64)])
def test_odd_sizes(tmp_path, codec, size):
    """H.264 and H.265 need even sides: the last row or column is repeated, and a note says so."""
    path = make_clip(tmp_path / "a.mkv", codec="ffv1", size=size, ticks=[0, 25, 50])
    assert open_clip(path).size == size
    padded = codec in ("h264", "h265") and size != (48, 64)
    height, width = size
    stored = (48, 64) if padded else size
    for suffix in CODECS[codec].suffixes:
        target = tmp_path / f"b{suffix}"
        clip = copy_clip(path, target, codec=codec, metadata={"comment": "painted"})
        assert clip.size == stored
        images = [frame.image for frame in read_frames(clip)]
        assert len(images) == 3
        for index, image in enumerate(images):
            assert tuple(image.shape) == (1, 3, *stored)
            expected = functional.pad(
                drawing(index, size), (0, stored[1] - width, 0, stored[0] - height), "replicate"
            )
            assert psnr(image, expected) > 32
            edges = image[..., height:, :], image[..., width:]
            others = image[..., height - 1 : height, :], image[..., width - 1 : width]
            for edge, other in zip(edges, others, strict=True):
                if edge.numel():
                    assert psnr(edge, other) > 32
        with av.open(str(target)) as container:
            frame = next(container.decode(video=0))
            assert (frame.height, frame.width) == stored
            comment = container.metadata.get("comment", container.metadata.get("COMMENT"))
        with write_clip(target, open_clip(path), codec=codec) as writer:
            writer.write(drawing(0, size), Fraction(0))
        assert writer.stored_size == stored
        assert comment == "; ".join(["painted", *writer.notes])
        assert len(writer.notes) == padded
        if padded:
            title = CODECS[codec].title
            edge = {(47, 64): "row", (48, 63): "column"}.get(size, "row and column")
            assert writer.notes[0].startswith(f"{title} needs even sides: the last {edge} of every")
            assert writer.notes[0].endswith(f"{width} x {height} px become 64 x 48")


def test_notes_need_no_comment(tmp_path):
    path = make_clip(tmp_path / "a.mkv", codec="ffv1", size=(47, 64), ticks=[0])
    copy_clip(path, tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.metadata["comment"].startswith("H.264 needs even sides")


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_h265_has_the_name_that_quicktime_knows(tmp_path, codec, size):
    path = make_clip(tmp_path / "a.mov", codec="prores_ks", format="yuv444p10le", size=size)
    copy_clip(path, tmp_path / "b.mp4", codec=codec)
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].codec_tag == {"h264": "avc1", "h265": "hvc1"}[codec]
    data = (tmp_path / "b.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("source", "sounds", "target"),
    [
        (".mp4", ("aac",), ".mp4"),
        (".mp4", ("aac", "aac"), ".mov"),
        (".mp4", ("aac",), ".mkv"),
        (".mkv", ("libopus", "aac"), ".mp4"),
        (".mkv", ("libopus",), ".webm"),
        (".mov", ("pcm_s16le",), ".mkv"),
        (".mov", ("pcm_s16le",), ".mov"),
    ],
)
def test_sound_tracks_are_identical(tmp_path, source, sounds, target):
    path = make_clip(tmp_path / f"a{source}", sounds=sounds)
    clip = copy_clip(path, tmp_path / f"b{target}")
    assert len(clip.sounds) == len(sounds)
    assert clip.has_sound
    before, after = sound_of(path), sound_of(tmp_path / f"b{target}")
    assert len(before) == len(sounds)
    for a, b in zip(before, after, strict=True):
        assert [digest for _, digest in a] == [digest for _, digest in b]
        for (time, _), (later, _) in zip(a, b, strict=True):
            assert abs(time - later) <= (
                Fraction(1, 1000) if ".mkv" in (source, target) or target == ".webm" else 0
            )


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
@pytest.mark.parametrize("codec", CODECS)
def test_the_shape_of_a_pixel_is_kept_or_refused(tmp_path, codec, size):
    path = make_clip(
        tmp_path / "a.mov",
        codec="prores_ks",
        format="yuv444p10le",
        size=size,
        aspect=Fraction(8, 9),
    )
    clip = open_clip(path)
    assert clip.aspect == Fraction(8, 9)
    for suffix in CODECS[codec].suffixes:
        target = tmp_path / f"b{suffix}"
        if suffix in (".mkv", ".webm") and codec not in ("h264", "h265"):
            with (
                pytest.raises(VideoError, match="not square"),
                write_clip(target, clip, codec=codec),
            ):
                pass
        else:
            assert copy_clip(path, target, codec=codec).aspect == Fraction(8, 9)


def test_sound_can_be_left_out(tmp_path):
    path = make_clip(tmp_path / "a.mp4", sounds=("aac",))
    assert not copy_clip(path, tmp_path / "b.mp4", sound=False).has_sound


def test_a_part_has_its_part_of_the_sound(tmp_path):
    path = make_clip(tmp_path / "a.mp4", sounds=("aac",))
    clip = copy_clip(path, tmp_path / "b.mp4", start=0.1, end=0.4)
    times = [time for time in times_of(path) if Fraction(1, 10) <= time < Fraction(2, 5)]
    assert len(times) == 7
    assert times_of(tmp_path / "b.mp4") == [time - times[0] for time in times]
    assert clip.frames == 7
    inside = [
        (time - times[0], digest)
        for time, digest in sound_of(path)[0]
        if times[0] <= time < Fraction(2, 5)
    ]
    assert len(inside) > 10
    (after,) = sound_of(tmp_path / "b.mp4")
    assert [digest for _, digest in after] == [digest for _, digest in inside]
    for (time, _), (later, _) in zip(inside, after, strict=True):
        assert abs(time - later) < Fraction(1, 24_000)  # half a sample


def test_subtitles_are_passed_over(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        texts = output.add_mux_stream("subrip")
        output.start_encoding()
        packet = av.Packet(b"a line")
        packet.stream, packet.pts, packet.dts, packet.duration = texts, 0, 0, 100
        packet.time_base = Fraction(1, 1000)
        output.mux(packet)
        for index in range(3):
            frame = from_image(drawing(index), Colors(6), "yuv420p", av)
            frame.pts = index
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert len(container.streams.subtitles) == 1
    assert copy_clip(path, tmp_path / "b.mp4").frames == 3


def test_texts_come_along(tmp_path):
    path = make_clip(tmp_path / "a.mp4", ticks=[0])
    copy_clip(path, tmp_path / "b.mp4", metadata={"comment": "painted"})
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.metadata["comment"] == "painted"


# ---- parts of a clip ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_reading_from_the_middle_is_reading_all_and_leaving_out(tmp_path, suffix):
    options = {"qp": "4", "g": "5", "bf": "0" if suffix == ".avi" else "2", "threads": "1"}
    base = Fraction(1, 24) if suffix == ".avi" else Fraction(1, 600)
    ticks = list(range(COUNT)) if suffix == ".avi" else None
    path = make_clip(tmp_path / f"a{suffix}", options=options, base=base, ticks=ticks)
    clip = open_clip(path)
    whole = list(read_frames(clip))
    assert len(whole) == COUNT
    for cut in (1, 6, 11):
        part = list(read_frames(clip, start=float(whole[cut].time)))
        assert [frame.index for frame in part] == list(range(COUNT - cut))
        for frame, expected in zip(part, whole[cut:], strict=True):
            assert frame.time == expected.time
            assert torch.equal(frame.image, expected.image)
    some = list(read_frames(clip, start=float(whole[2].time), every=2))
    assert [frame.index for frame in some] == [0, 2, 4, 6, 8]
    assert [frame.time for frame in some] == [frame.time for frame in whole[2::2]]


def test_frames_are_made_smaller(tmp_path):
    clip = open_clip(make_clip(tmp_path / "a.mp4"))
    frame = next(read_frames(clip, long_side=32))
    assert tuple(frame.image.shape) == (1, 3, 24, 32)
    assert "32 x 24" in repr(frame)


def test_frames_are_read_only_when_asked_for(tmp_path, monkeypatch):
    """A frame is decoded only when the caller asks for it, however long the clip is."""
    made = []
    monkeypatch.setattr(
        "impasto.video.io.frames.to_image",
        lambda frame, *rest: made.append(frame.pts) or drawing(0),
    )
    frames = read_frames(open_clip(make_clip(tmp_path / "a.mp4")))
    for count in range(1, 4):
        next(frames)
        assert len(made) == count


# ---- folders ------------------------------------------------------------------------------------


def make_folder(folder: Path, names: list[str]) -> Path:
    for index, name in enumerate(names):
        save_image(drawing(index), folder / name)
    return folder


def test_folders_are_sorted_by_number(tmp_path):
    names = ["f1.png", "f2.jpg", "f10.tif", "f11.PNG"]
    folder = make_folder(tmp_path / "in", names)
    (folder / "notes.txt").write_text("not a frame")
    (folder / ".f3.png").write_bytes(b"hidden")
    clip = open_clip(folder, rate=Fraction(30000, 1001))
    assert [path.name for path in clip.files] == names
    assert (clip.size, clip.frames, clip.is_folder) == ((HEIGHT, WIDTH), 4, True)
    frames = list(read_frames(clip))
    assert [frame.time for frame in frames] == [Fraction(1001 * i, 30000) for i in range(4)]
    for frame in frames:
        assert psnr(frame.image, drawing(frame.index)) > 35
    assert open_clip(folder).rate == 24
    assert [frame.index for frame in read_frames(clip, start=0.05)] == [0, 1]


def test_a_folder_becomes_a_clip_and_a_clip_a_folder(tmp_path):
    folder = make_folder(tmp_path / "in", [f"{index}.png" for index in range(5)])
    clip = open_clip(folder, rate=Fraction(30000, 1001))
    with write_clip(tmp_path / "b.mp4", clip) as writer:
        for frame in read_frames(clip):
            writer.write(frame.image, frame.time, frame.duration)
    film = open_clip(tmp_path / "b.mp4")
    assert (film.rate, film.frames, film.colors) == (clip.rate, 5, Colors(1, False, 1, 1))
    assert times_of(tmp_path / "b.mp4") == [Fraction(1001 * i, 30000) for i in range(5)]
    target = tmp_path / "out"
    with write_clip(target, film) as writer:
        for frame in read_frames(film):
            writer.write(frame.image, frame.time)
    again = open_clip(target)
    assert [path.name for path in again.files] == [f"frame-{i:06d}.png" for i in range(1, 6)]
    for frame in read_frames(again):
        assert psnr(frame.image, drawing(frame.index)) > 34


def test_a_folder_of_frames_is_replaced_only_when_told(tmp_path):
    film = open_clip(make_clip(tmp_path / "a.mp4"))
    target = make_folder(tmp_path / "out", ["frame-000001.png", "frame-000777.png", "mine.png"])
    with pytest.raises(VideoError, match="--force"), write_clip(target, film, overwrite=False):
        pass
    with write_clip(target, film) as writer:
        writer.write(drawing(0), Fraction(0))
    assert sorted(path.name for path in target.iterdir()) == ["frame-000001.png", "mine.png"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: save_image(drawing(0, (20, 30)), folder / "3.png"), "one size"),
        (lambda folder: (folder / "3.png").write_bytes(b"torn"), r"3\.png is "),
    ],
)
def test_folders_that_are_no_clip(tmp_path, spoil, message):
    folder = make_folder(tmp_path / "in", ["1.png", "2.png", "3.png"])
    spoil(folder)
    clip = open_clip(folder)
    with pytest.raises(VideoError, match=message) as caught:
        list(read_frames(clip))
    assert caught.value.path == str(folder / "3.png")


def test_rates_and_empty_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="holds no frames"):
        open_clip(tmp_path / "empty")
    folder = make_folder(tmp_path / "in", ["1.png"])
    with pytest.raises(VideoError, match="the rate is 0"):
        open_clip(folder, rate=0)
    with pytest.raises(VideoError, match="has its own frame rate"):
        open_clip(make_clip(tmp_path / "a.mp4"), rate=12)


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.mp4", None, "there is no such file"),
        ("a.mp4", b"", "is not a video"),
        ("a.mp4", b"no clip at all" * 100, "is not a video"),
        ("a.txt", b"words that FFmpeg would draw\n" * 20, "is not a video"),
        ("a.mkv", bytes.fromhex("1a45dfa3") + bytes(60), "is not a video"),
    ],
)
def test_files_that_are_no_clip(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError, match=message) as caught:
        open_clip(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_picture_is_no_clip(tmp_path):
    for name in ("a.png", "a.jpg"):
        save_image(drawing(0), tmp_path / name)
        with pytest.raises(VideoError, match="is not a video but a picture"):
            open_clip(tmp_path / name)


def test_sound_alone_is_no_clip(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        for packet in tone(output, "aac", 10):
            output.mux(packet)
    with pytest.raises(VideoError, match="no video stream, only sound"):
        open_clip(tmp_path / "a.mp4")


def test_no_frame_is_no_clip(tmp_path):
    path = make_clip(tmp_path / "a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])
    with pytest.raises(VideoError, match="no frame that can be read"):
        open_clip(path)


@pytest.mark.parametrize(("start", "end"), [(7, None), (0.6, None), (2, 1), (-1, None), (1, 1)])
def test_parts_that_are_not_there(tmp_path, start, end):
    clip = open_clip(make_clip(tmp_path / "a.mp4"))
    with pytest.raises(VideoError, match=r"no frame at or after|the end must be after"):
        list(read_frames(clip, start=start, end=end))


def test_a_size_that_changes(tmp_path):
    """Two H.264 streams in one file, as in a recorded broadcast."""
    parts = [
        make_clip(tmp_path / f"{side}.h264", size=(side, 64), container="h264").read_bytes()
        for side in (48, 32)
    ]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(parts))
    clip = open_clip(path)
    frames: list[int] = []
    with pytest.raises(VideoError, match="changes its size from 64 x 48 to 64 x 32"):
        frames.extend(frame.index for frame in read_frames(clip))
    assert len(frames) == COUNT - 1  # The last one waits for the time of the next.
    assert len(list(read_frames(open_clip(tmp_path / "48.h264")))) == COUNT


def test_frames_without_times_follow_each_other(tmp_path):
    path = make_clip(tmp_path / "a.h264", container="h264")
    frames = list(read_frames(open_clip(path)))
    assert len(frames) == COUNT
    assert all(a.time < b.time for a, b in itertools.pairwise(frames))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
@pytest.mark.parametrize("share", [0.4, 0.7, 0.9])
@pytest.mark.parametrize("sounds", [(), ("aac",)])
def test_a_clip_that_ends_early(tmp_path, suffix, share, sounds):
    """All readable frames are read and written with their sound; the error comes last."""
    base, ticks = Fraction(1, 24), list(range(30))
    options = {"qp": "8", "bf": "0" if suffix == ".avi" else "2", "g": "10", "threads": "1"}
    whole = make_clip(
        tmp_path / f"whole{suffix}", base=base, ticks=ticks, options=options, sounds=sounds
    )
    count = len(list(read_frames(open_clip(whole))))  # does not complain
    assert count == 30
    data = whole.read_bytes()
    begin = data.index(b"mdat") if suffix in (".mp4", ".mov") else len(data) // 20
    torn = tmp_path / f"torn{suffix}"
    torn.write_bytes(data[: begin + round(share * (len(data) - begin))])
    clip = open_clip(torn)
    count = 0
    with write_clip(tmp_path / "b.mkv", clip) as writer:
        try:
            for frame in read_frames(clip):
                writer.write(frame.image, frame.time, frame.duration)
                count += 1
        except TruncatedClip as error:
            assert "ends early or is damaged" in str(error)  # noqa: PT017  (the block goes on)
            assert error.frames == count  # noqa: PT017
            said = True
        else:
            said = False
    assert said
    assert 3 < count < 30
    assert len(list(read_frames(open_clip(tmp_path / "b.mkv")))) == count
    assert list(read_frames(clip, end=0.1))  # what lies before the tear is whole


def test_a_torn_clip_begun_beyond_its_end(tmp_path):
    path = make_clip(tmp_path / "a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2])
    with pytest.raises(VideoError, match="no frame at or after"):
        list(read_frames(open_clip(path), start=0.48))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("b.gif", {}, "clips are written as .mp4"),
        ("b.mp4", {"codec": "h266"}, "no such codec.*h26"),
        ("b.webm", {"codec": "h264"}, "cannot hold H.264; use .mp4"),
        ("b.mp4", {"codec": "prores"}, "cannot hold ProRes; use .mov"),
        ("b.mp4", {"crf": 52}, "from 0 to 51"),
        ("b.webm", {"crf": -1}, "from 0 to 63"),
        ("b.mov", {"codec": "prores", "crf": 1}, "no crf"),
        ("out", {"crf": 20}, "a folder of PNG files"),
    ],
)
def test_targets_that_cannot_be(tmp_path, name, options, message):
    clip = open_clip(make_clip(tmp_path / "a.mp4"))
    with pytest.raises(VideoError, match=message):
        write_clip(tmp_path / name, clip, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_other_names_of_codecs(tmp_path):
    path = make_clip(tmp_path / "a.mp4", ticks=[0])
    for asked, name, stored in (("HEVC", "b.mp4", "hevc"), ("avc", "c.MP4", "h264")):
        copy_clip(path, tmp_path / name, codec=asked)
        with av.open(str(tmp_path / name)) as container:
            assert container.streams.video[0].codec_context.name == stored


def test_sound_that_a_file_cannot_hold(tmp_path):
    clip = open_clip(make_clip(tmp_path / "a.mp4", sounds=("aac",)))
    message = r"the codec aac, which webm files cannot hold: write \.mkv"
    with pytest.raises(VideoError, match=message), write_clip(tmp_path / "b.webm", clip):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_codec_that_is_missing(tmp_path, monkeypatch):
    clip = open_clip(make_clip(tmp_path / "a.mp4"))
    monkeypatch.setitem(CODECS, "h264", dataclasses.replace(CODECS["h264"], encoder="libnone"))
    message = r"no encoder for H\.264 \(libnone\)"
    with pytest.raises(VideoError, match=message), write_clip(tmp_path / "b.mp4", clip):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_without_pyav(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(VideoError, match=re.escape(install_hint("video"))):
        open_clip(path)


def write_two(writer: Any, apart: int, *, fail: bool = False) -> None:
    writer.write(drawing(0), Fraction(0))
    if fail:
        raise RuntimeError
    writer.write(drawing(1), Fraction(apart))


def test_nothing_half_written(tmp_path):
    clip = open_clip(make_clip(tmp_path / "a.mp4", sounds=("aac",)))
    target = tmp_path / "b.mp4"
    target.write_bytes(b"older")
    with pytest.raises(RuntimeError), write_clip(target, clip) as writer:
        write_two(writer, 0, fail=True)
    with (
        pytest.raises(VideoError, match="is not written: it has no frame"),
        write_clip(target, clip),
    ):
        pass
    with (
        pytest.raises(ShapeError, match="for this clip it must be"),
        write_clip(target, clip) as writer,
    ):
        writer.write(drawing(0, (10, 10)), Fraction(0))
    with (
        pytest.raises(VideoError, match="is not later than"),
        write_clip(target, clip) as writer,
    ):
        write_two(writer, 0)
    with pytest.raises(VideoError, match="--force"), write_clip(target, clip, overwrite=False):
        pass
    assert target.read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_the_same_frames_make_the_same_file(tmp_path):
    path = make_clip(tmp_path / "a.mp4")
    for name in ("b.mp4", "c.mp4"):
        copy_clip(path, tmp_path / name)
    assert (tmp_path / "b.mp4").read_bytes() == (tmp_path / "c.mp4").read_bytes()


def test_x264_makes_the_same_file_each_time(tmp_path):
    """With x264's AVX-512, every second file of this size differs."""
    like = open_clip(make_clip(tmp_path / "a.mp4"))
    frames = [functional.interpolate(each.image, size=(50, 64)) for each in read_frames(like)]
    files = set()
    for size in range(30):
        with write_clip(tmp_path / "b.mp4", like, size=(50, 64)) as writer:
            for index, image in enumerate(frames):
                torch.randn(1000 + 37 * size)  # so that memory is another one each time
                writer.write(image, index / like.rate)
        files.add((tmp_path / "b.mp4").read_bytes())
    assert len(files) == 1
