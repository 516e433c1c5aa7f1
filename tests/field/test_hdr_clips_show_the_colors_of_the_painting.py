"""A phone's HLG clip was painted in pale colors: sRGB strokes in an 8-bit file tagged as HLG."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from clip_samples import make_clip
from impasto.errors import VideoError
from impasto.pictures.files import save_image
from impasto.settings.clips import VideoSettings
from impasto.settings.pictures import Settings
from impasto.video.io.frames import open_clip, read_frames, write_clip
from impasto.video.io.pixels import Colors

av = pytest.importorskip("av")
pytest.importorskip("cv2")

SIZE = (48, 64)
TICKS = [0, 25, 50]
HLG, PQ = Colors(9, False, 9, 18), Colors(9, False, 9, 16)
DEEP = {"codec": "libx265", "format": "yuv420p10le"}
LIGHT = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)"
# Flat colors of the painting, sRGB.
PAINTS = ((200, 40, 30), (20, 90, 180), (240, 220, 60), (255, 255, 255), (30, 30, 30))


def decoded(path: Path, index: int = 1) -> tuple[np.ndarray, object]:
    """The R'G'B' of a frame, (H, W, 3) in float64, by the equations of H.273; and the frame.

    Chroma is repeated, which is exact in flat areas.
    """
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame = [*container.decode(stream)][index]
        bits = frame.format.components[0].bits
        kind = np.uint8 if bits == 8 else np.uint16
        planes = [
            np.frombuffer(bytes(p), kind).reshape(p.height, -1)[:, : p.width].astype(float)
            for p in frame.planes
        ]
    step = 2 ** (bits - 8)
    if frame.color_range == 2:
        y, scale = planes[0] / (2**bits - 1), 2**bits - 1
    else:
        y, scale = (planes[0] - 16 * step) / (219 * step), 224 * step
    height, width = y.shape
    cb, cr = (
        ((p - 128 * step) / scale)
        .repeat(height // p.shape[0], axis=0)
        .repeat(width // p.shape[1], axis=1)
        for p in planes[1:]
    )
    red, blue = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[int(frame.colorspace)]
    r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
    return np.stack([r, (y - red * r - blue * b) / (1 - red - blue), b], axis=-1), frame


def linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def encoded(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def pq_light(signal: np.ndarray) -> np.ndarray:
    """BT.2100, table 4, cd/m²."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = np.clip(signal, 0, 1) ** (1 / m2)
    return 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def hlg_light(signal: np.ndarray) -> np.ndarray:
    """BT.2100, table 5, for a display of 1000 cd/m²."""
    e = np.clip(signal, 0, 1)
    scene = np.where(e <= 0.5, e**2 / 3, (np.exp((e - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    y = scene @ np.array([0.2627, 0.6780, 0.0593])
    return 1000 * scene * y[..., None] ** 0.2


TO_709 = np.array(  # BT.2087
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)


def stripes() -> torch.Tensor:
    """The painting: vertical stripes of flat colors, (1, 3, 48, 60)."""
    row = torch.tensor(PAINTS).float().repeat_interleave(12, 0) / 255
    return row.T[None, :, None].expand(1, 3, 48, 60).contiguous()


def colors_of_stripes(image: np.ndarray) -> np.ndarray:
    """The mean color of the middle of each stripe."""
    width = image.shape[1] / len(PAINTS)
    middles = [slice(int((n + 0.3) * width), int((n + 0.7) * width)) for n in range(len(PAINTS))]
    return np.stack([image[8:-8, each].mean((0, 1)) for each in middles])


@pytest.fixture
def copying(monkeypatch):
    """Instead of painting, show the painting as the painter sees it."""
    from impasto.pictures.picture import resize
    from impasto.video.frame_painter import FramePainter

    def show(self, frame, *rest):
        return resize(self.styling.paintings[0].image, frame.image.shape[-2:])
        yield

    monkeypatch.setattr(FramePainter, "first", show)
    monkeypatch.setattr(FramePainter, "onward", show)


@pytest.fixture
def small_network(monkeypatch, toy):
    from impasto.network.encoder import Encoder

    monkeypatch.setattr(
        "impasto.painting.stylizer.Encoder",
        lambda layers, **options: Encoder(layers, **{**options, "weights": toy}),
    )


@pytest.fixture
def video(command, copying, small_network, tmp_path):
    save_image(stripes(), tmp_path / "stripes.png")

    def call(source, name="out.mp4", *words):
        return command(
            "video", source, tmp_path / "stripes.png", "-o", tmp_path / name, "--json",
            "--long-side", 64, "--steps", 2, "--threads", 1, *words,
        )  # fmt: skip

    return call


@pytest.mark.parametrize(
    ("colors", "coding"),
    [
        (HLG, DEEP),
        (PQ, DEEP),
        (Colors(9, True, 9, 18), DEEP),
        (Colors(9, False, 9, 14), DEEP),  # BT.2020 of standard range
        (Colors(1, False, 12, 1), {}),  # Display P3
        (HLG, {}),  # 8 bits
        (Colors(1, False, 1, 1), {}),
        (Colors(1, True, 1, 1), {}),
        (Colors(6, False, 6, 6), {}),
        (Colors(6, False, 2, 2), {}),  # it says nothing
    ],
)
def test_the_result_has_the_colors_of_the_painting(colors, coding, video, tmp_path):
    source = make_clip(tmp_path / "clip.mp4", colors=colors, ticks=TICKS, **coding)
    outcome = video(source, "out.mp4", "--crf", 4)
    assert outcome.code == 0, outcome.err
    image, frame = decoded(tmp_path / "out.mp4")
    assert np.abs(colors_of_stripes(image) * 255 - PAINTS).max() < 3
    assert int(frame.color_trc) not in (16, 18)
    assert int(frame.color_primaries) in (1, 2, 6)
    converted = colors.primaries in (9, 12)
    notes = json.loads(outcome.out)["notes"]
    assert len(notes) == converted
    assert outcome.err.count("BT.709") == converted


@pytest.mark.parametrize("codec", [None, "av1", "prores"])
@pytest.mark.parametrize("colors", [HLG, PQ])
def test_a_kept_range_has_the_light_of_the_painting(colors, codec, video, tmp_path):
    """Its white has 203 cd/m², and its other colors are in proportion to this."""
    source = make_clip(tmp_path / "clip.mp4", colors=colors, ticks=TICKS, **DEEP)
    name = "out.mov" if codec == "prores" else "out.mp4"
    words = ["--codec", codec] if codec else []
    words += [] if codec == "prores" else ["--crf", 4]
    outcome = video(source, name, "--keep-hdr", *words)
    assert outcome.code == 0, outcome.err
    image, frame = decoded(tmp_path / name)
    assert frame.format.components[0].bits == 10
    assert (int(frame.color_primaries), int(frame.color_trc)) == (9, colors.transfer)
    assert int(frame.colorspace) == 9
    light = (hlg_light if colors.transfer == 18 else pq_light)(colors_of_stripes(image))
    found = encoded(np.clip(light @ TO_709.T / 203, 0, 1)) * 255
    assert np.abs(found - PAINTS).max() < 6
    (note,) = json.loads(outcome.out)["notes"]
    assert "10 bits" in note
    assert note in outcome.err


def test_light_levels_are_passed_on(video, tmp_path):
    options = {"x265-params": f"log-level=none:qp=4:pools=1:max-cll=1600,320:{LIGHT}"}
    source = make_clip(tmp_path / "clip.mp4", colors=PQ, ticks=TICKS, options=options, **DEEP)
    clip = open_clip(source)
    assert (clip.mastering.brightest, clip.mastering.average) == (1600, 320)
    assert clip.mastering.luminance == pytest.approx((0.005, 4000))
    assert clip.signal.peak == 1600
    for codec in ("h265", "av1"):
        outcome = video(source, f"{codec}.mp4", "--keep-hdr", "--codec", codec)
        assert outcome.code == 0, outcome.err
        found = open_clip(tmp_path / f"{codec}.mp4").mastering
        assert (found.brightest, found.average) == (1600, 320)
        assert found.luminance == pytest.approx(clip.mastering.luminance, rel=1e-3)
        assert np.allclose(found.display, clip.mastering.display, atol=1e-4)


def test_the_kept_photo_survives(tmp_path):
    """The conversion to the standard range is undone exactly, also for highlights above white."""
    for colors in (HLG, PQ):
        source = make_clip(tmp_path / "clip.mp4", colors=colors, ticks=TICKS, **DEEP)
        clip = open_clip(source, keep_hdr=True)
        with write_clip(tmp_path / "out.mp4", clip, crf=2) as writer:
            for frame in read_frames(clip):
                writer.write(frame.image, frame.time, frame.duration)
        before, after = decoded(source)[0], decoded(tmp_path / "out.mp4")[0]
        inside = before.max(-1) < 0.75  # PQ above 1000 cd/m² is cut off
        assert np.abs(after - before)[inside].mean() < 0.004


def test_the_photo_looks_as_it_did(tmp_path):
    """Grays of 10 to 88 cd/m² keep their light; 203, the white of the standards, is at 0.9."""
    for signal, colors in ((0.45, PQ), (0.38, HLG), (0.5, HLG)):
        light = float((pq_light if colors is PQ else hlg_light)(np.full((1, 3), signal))[0, 0])
        if light > 88:
            continue
        image = gray_frame(tmp_path, signal, colors)
        assert image == pytest.approx(float(encoded(np.array(light / 203))), abs=0.006)
    assert gray_frame(tmp_path, 0.75, HLG) == pytest.approx(0.90, abs=0.01)
    assert gray_frame(tmp_path, 0.5807, PQ) == pytest.approx(0.90, abs=0.01)
    assert gray_frame(tmp_path, 1.0, HLG) == pytest.approx(1, abs=0.01)


def gray_frame(folder: Path, signal: float, colors: Colors) -> float:
    from impasto.video.io.pixels import from_image

    path = folder / "gray.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv444p10le"
        context = stream.codec_context
        context.colorspace, context.color_range = colors.matrix, 1
        context.color_primaries, context.color_trc = colors.primaries, colors.transfer
        frame = from_image(torch.full((1, 3, 16, 16), signal), colors, "yuv444p10le", av)
        frame.pts = 0
        output.mux([*stream.encode(frame), *stream.encode(None)])
    image = next(read_frames(open_clip(path))).image
    assert float(image.std()) < 1e-3
    return float(image.mean())


@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_eight_bits_do_not_hold_high_dynamic_range(codec, video, tmp_path):
    source = make_clip(tmp_path / "clip.mp4", colors=HLG, ticks=TICKS, **DEEP)
    outcome = video(source, "out.mp4", "--keep-hdr", "--codec", codec)
    assert outcome.code == 1
    assert "high dynamic range needs 10" in outcome.err
    assert not (tmp_path / "out.mp4").exists()


def test_suffixes_choose_a_codec_of_ten_bits(video, tmp_path):
    source = make_clip(tmp_path / "clip.mp4", colors=HLG, ticks=TICKS, **DEEP)
    for name, codec in (("a.mov", "hevc"), ("a.mkv", "hevc"), ("a.webm", "av1")):
        assert video(source, name, "--keep-hdr").code == 0
        with av.open(str(tmp_path / name)) as container:
            assert codec in container.streams.video[0].codec_context.name


def test_pictures_of_frames_have_the_standard_range(video, tmp_path):
    source = make_clip(tmp_path / "clip.mp4", colors=HLG, ticks=TICKS, **DEEP)
    for words in (("folder", "--keep-hdr"), ("a.mp4", "--keep-hdr", "--frames", tmp_path / "f")):
        outcome = video(source, *words)
        assert outcome.code == 1
        assert "not kept as PNG" in outcome.err
    assert video(source, "folder").code == 0
    from impasto.pictures.files import load_image

    image = load_image(tmp_path / "folder" / "frame-000002.png")[0].permute(1, 2, 0).numpy()
    assert np.abs(colors_of_stripes(image) * 255 - PAINTS).max() < 2


def test_keep_hdr_says_if_there_is_none(video, tmp_path):
    source = make_clip(tmp_path / "clip.mp4", ticks=TICKS)
    outcome = video(source, "out.mp4", "--keep-hdr")
    assert outcome.code == 0, outcome.err
    assert "clip.mp4 is not of high dynamic range: --keep-hdr changes nothing" in outcome.err
    assert decoded(tmp_path / "out.mp4")[1].format.name == "yuv420p"


def test_a_run_of_a_kept_range_can_be_resumed(video, tmp_path, monkeypatch):
    """Its frames are stored with 16 bits."""
    from impasto.video.stylize_video import plan_video

    source = make_clip(tmp_path / "clip.mp4", colors=PQ, ticks=TICKS, **DEEP)
    plan = plan_video(
        source, tmp_path / "stripes.png", tmp_path / "out.mp4", Settings(long_side=64, steps=2),
        VideoSettings(keep_hdr=True),
    )  # fmt: skip
    for _ in plan.steps():
        pass
    data = plan.run.store.path(0).read_bytes()
    assert data[24] == 16  # bits in PNG's header
    again = plan_video(
        source, tmp_path / "stripes.png", tmp_path / "out.mp4", Settings(long_side=64, steps=2),
        VideoSettings(keep_hdr=True),
    )  # fmt: skip
    assert again.run.store.resumed == 3
    for _ in again.steps():
        pass
    assert again.finish().frames == 3


@pytest.mark.parametrize(("matrix", "name"), [(10, "constant luminance"), (14, "ICtCp")])
def test_matrices_that_are_not_read_are_named(matrix, name, tmp_path):
    """They were read as BT.2020 or BT.601 without a warning."""
    source = make_clip(tmp_path / "clip.mkv", colors=Colors(9, False, 9, 16), ticks=TICKS, **DEEP)
    with av.open(str(source)) as container:
        frame = next(container.decode(video=0))
        context = container.streams.video[0].codec_context
        frame.colorspace = matrix
        from impasto.video.io.pixels import colors_of

        with pytest.raises(VideoError, match=name):
            colors_of(frame, context)


def test_green_and_orange(tmp_path):
    """YCgCo by the equations 57 to 60 of H.273."""
    from impasto.video.io.pixels import Orientation, to_image

    rng = np.random.default_rng(1)
    r, g, b = rng.random((3, 8, 32))
    y, cg, co = 0.5 * g + 0.25 * (r + b), 0.5 * g - 0.25 * (r + b), 0.5 * (r - b)
    frame = av.VideoFrame(32, 8, "yuv444p10le")
    values = (219 * y + 16, 224 * cg + 128, 224 * co + 128)
    for plane, each in zip(frame.planes, values, strict=True):
        rows = np.zeros((8, plane.line_size // 2), "<u2")
        rows[:, :32] = (4 * each).round()
        plane.update(rows.tobytes())
    found = to_image(frame, Colors(8), Orientation())[0].numpy()
    assert np.abs(found - np.stack([r, g, b])).max() < 0.003


def test_every_line_about_the_result_is_printed_once(video, tmp_path):
    """The line about the range came twice, instead of the one about an odd size."""
    source = make_clip(tmp_path / "clip.mp4", colors=HLG, ticks=TICKS, **DEEP)
    outcome = video(source, "out.mp4", "--long-side", 62)
    assert outcome.code == 0, outcome.err
    notes = json.loads(outcome.out)["notes"]
    assert len(notes) == 2
    assert [outcome.err.count(note) for note in notes] == [1, 1]
    assert "the last row of every frame is repeated once" in outcome.err
