"""Painting clips: temporal consistency, resumed runs, masks and styles over time, and errors."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console  # noqa: TID251  (the bars are tried on one)
from torch import Tensor

import impasto
from helpers import assert_clear_error, assert_close, psnr
from impasto.cli.clip_progress import reporting_clip
from impasto.errors import ImpastoError, SettingsError, TruncatedClip, VideoError
from impasto.optimize.loop import Step
from impasto.painting import faces
from impasto.painting.guidance import Guidance
from impasto.painting.level_targets import StyleTargets
from impasto.pictures.files import load_image, read_metadata, save_image
from impasto.pictures.picture import Picture
from impasto.settings.clips import VideoSettings
from impasto.settings.pictures import Settings
from impasto.video.clip_run import VideoStep
from impasto.video.frame_store import FrameStore
from impasto.video.io.clips import probe
from impasto.video.io.frames import open_clip, read_frames, write_clip
from impasto.video.keyframes import interpolate
from impasto.video.motion.motion import Motion, PaintedFrame, chain, predict
from impasto.video.motion.scene_cuts import is_cut
from impasto.video.preview import contact_sheet, preview_frames
from impasto.video.remaining_time import RemainingTime
from impasto.video.styling import blend_at
from impasto.video.stylize_video import plan_video, stylize_video
from impasto.video.temporal import TemporalTerm, temporal_loss

av = pytest.importorskip("av")
pytest.importorskip("cv2")

SIZE = (36, 48)
SETTINGS = Settings(long_side=48, steps=4, coarsest=0)
VIDEO = VideoSettings(frame_steps=2)
SMALL = ("--long-side", 48, "--steps", 3, "--frame-steps", 2, "--threads", 1)


pytestmark = pytest.mark.usefixtures("small_network")


# ---- clips made here ----------------------------------------------------------------------------


def texture(seed: int = 0, size: tuple[int, int] = (60, 120)) -> Tensor:
    """Smooth noise with detail that a flow can follow, (1, 3, h, w)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((1, 3, size[0] // 4, size[1] // 4), generator=generator)
    image = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic")
    return image.clamp(0, 1)


def pan(count: int, *, seed: int = 0, step: int = 1) -> list[Tensor]:
    """Frames of a camera that moves over a texture."""
    picture = texture(seed)
    return [picture[..., 5 : 5 + SIZE[0], t * step : t * step + SIZE[1]] for t in range(count)]


def folder_of(frames: list[Tensor], folder: Path) -> Path:
    for number, image in enumerate(frames, 1):
        save_image(image, folder / f"photo-{number:03d}.png")
    return folder


def clip_of(frames: list[Tensor], path: Path) -> Path:
    """Write frames as a clip of 24 frames per second."""
    like = open_clip(folder_of(frames, path.with_suffix("")))
    with write_clip(path, like, crf=4) as writer:
        for index, image in enumerate(frames):
            writer.write(image, Fraction(index, 24))
    return path


@pytest.fixture
def clip(tmp_path) -> Path:
    return clip_of(pan(6), tmp_path / "clip.mp4")


def frames_in(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("frame-*.png"))]


def images_in(folder: Path) -> list[Tensor]:
    return [load_image(path) for path in sorted(folder.glob("frame-*.png"))]


# ---- the temporal term --------------------------------------------------------------------------


def test_temporal_loss_against_numpy():
    generator = torch.Generator().manual_seed(1)
    image, target = (torch.rand((1, 3, 5, 7), generator=generator) for _ in range(2))
    trust = torch.rand((1, 1, 5, 7), generator=generator)
    a, b, c = (each.numpy().astype(np.float64) for each in (image, target, trust))
    assert_close(temporal_loss(image, target, trust), (c * (a - b) ** 2).mean(), relative=1e-6)
    assert float(temporal_loss(image, image, trust)) == 0
    assert float(temporal_loss(image, target, torch.zeros_like(trust))) == 0


def test_the_objective_has_one_more_term():
    image, target = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    trust = torch.ones(1, 1, 4, 4)
    term = TemporalTerm(target, trust, 50.0)
    assert term.name == term.name.kind == "temporal"
    gradient = torch.zeros_like(image)
    loss = term.evaluate(image, gradient)
    assert loss == pytest.approx(50 * float((image - target).square().mean()), rel=1e-6)
    assert_close(gradient, 100 * (image - target) / image.numel(), relative=1e-6)


def still_motion(reliable: Tensor) -> Motion:
    return Motion(torch.zeros(1, 2, *reliable.shape[-2:]), reliable)


def test_farther_frames_fill_what_nearer_ones_do_not_show():
    """c_long of Ruder et al.: max(c of the farther one − Σ c of the nearer ones, 0)."""
    photo, near, far = (torch.full((1, 3, 2, 3), value) for value in (0.1, 0.5, 0.9))
    sees = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])[None, None]
    saw = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])[None, None]
    carried = predict(
        photo,
        [
            (PaintedFrame(photo, near), still_motion(sees)),
            (PaintedFrame(photo, far), still_motion(saw)),
        ],
    )
    expected = torch.tensor([[0.5, 0.5, 0.9], [0.5, 0.9, 0.1]])
    assert torch.equal(carried.image[0, 0], expected)
    assert torch.equal(carried.trust[0, 0], torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]))
    assert carried.holes == pytest.approx(1 / 6)


def test_motion_is_joined_from_frame_to_frame():
    good = torch.ones(1, 1, 4, 8)
    near = Motion(torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 8), good)
    far = Motion(torch.tensor([2.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 8), good.clone())
    far.reliable[..., 4] = 0
    both = chain(near, far)
    assert torch.equal(both.flow[:, 0], torch.full((1, 4, 8), 3.0))
    assert both.reliable[0, 0, 0].tolist() == [1, 1, 1, 0, 1, 0, 0, 0]  # 4 hidden, 5 on outside


# ---- scenes -------------------------------------------------------------------------------------


def test_a_cut_is_found_and_a_pan_is_none(tmp_path, painting_file):
    """Two scenes in one clip: the second starts without the first."""
    folder = folder_of([*pan(3), *pan(3, seed=9)], tmp_path / "photos")
    film = stylize_video(folder, painting_file, tmp_path / "out", SETTINGS, VIDEO)
    assert film.scenes == (1, 4)
    notes = [read_metadata(tmp_path / "out" / f"frame-{n:06d}.png")["frame"] for n in range(1, 7)]
    assert [note["begins"] for note in notes] == [True, False, False, True, False, False]
    assert ["temporal" in note["losses"] for note in notes] == [False, True, True] * 2


def test_nothing_is_carried_over_a_cut(tmp_path, painting_file, monkeypatch):
    counts = []
    monkeypatch.setattr(
        "impasto.video.sequential.predict",
        lambda photo, past: counts.append(len(past)) or predict(photo, past),
    )
    folder = folder_of([*pan(3), *pan(3, seed=9)], tmp_path / "photos")
    stylize_video(folder, painting_file, tmp_path / "out", SETTINGS, VIDEO)
    assert counts == [1, 2, 1, 2]


def test_a_later_pass_goes_back_and_holds_frames_to_their_neighbors(tmp_path, painting_file):
    photos = folder_of([*pan(3), *pan(2, seed=9)], tmp_path / "photos")
    seen: dict[int, list[int]] = {1: [], 2: []}
    held = set()

    def watch(step) -> None:
        if step.step.index == 1:
            seen[step.stage].append(step.frame)
        if step.stage == 2 and "temporal" in step.step.losses:
            held.add(step.frame)

    video = VIDEO.replace(passes=2)
    film = stylize_video(photos, painting_file, tmp_path / "out", SETTINGS, video, on_step=watch)
    assert seen == {1: [1, 2, 3, 4, 5], 2: [5, 4, 3, 2, 1]}
    assert held == {4, 2, 1}  # but not the last of a scene, from which the way back begins
    assert film.scenes == (1, 4)
    assert [path.name for path in (tmp_path / "out").glob("stage-*")] == []


def test_no_cut_where_the_light_goes_on():
    from impasto.video.motion.motion import find_motion

    dark, bright = pan(1)[0] * 0.5, pan(1)[0] * 0.5 + 0.3
    motion, _ = find_motion(bright, dark, VIDEO)
    assert not is_cut(dark, bright, motion)
    other = pan(1, seed=5)[0]
    motion, _ = find_motion(other, dark, VIDEO)
    assert is_cut(dark, other, motion)


def test_cuts_need_not_be_looked_for(tmp_path, painting_file):
    folder = folder_of([*pan(2), *pan(1, seed=9)], tmp_path / "photos")
    video = VIDEO.replace(cuts=False)
    assert stylize_video(folder, painting_file, tmp_path / "out", SETTINGS, video).scenes == (1,)


# ---- flicker ------------------------------------------------------------------------------------


def test_a_still_clip_stays_still(tmp_path, painting_file):
    """In a clip that repeats one photo, the pastiche hardly changes after the first frame."""
    folder = folder_of(pan(1) * 4, tmp_path / "photos")
    settings = SETTINGS.replace(steps=20)
    video = VIDEO.replace(frame_steps=20, temporal_weight=10_000.0)
    stylize_video(folder, painting_file, tmp_path / "held", settings, video)
    held = images_in(tmp_path / "held")
    stylize_video(
        folder, painting_file, tmp_path / "free", settings, video.replace(temporal_weight=0.0)
    )
    free = images_in(tmp_path / "free")
    assert psnr(free[-1], free[0]) < 60  # it goes on, where nothing holds it
    assert psnr(held[-1], held[-2]) > 35
    assert psnr(held[-1], held[0]) > psnr(free[-1], free[0]) + 3


# ---- stopped and taken up again -----------------------------------------------------------------

WAYS = {
    "onward": (SETTINGS, VIDEO),
    "draft": (SETTINGS, VIDEO.replace(draft=True, key_every=3)),
    "passes": (SETTINGS, VIDEO.replace(passes=2)),
    "luminance": (SETTINGS.replace(color="luminance"), VIDEO),
    "recolored": (SETTINGS.replace(color="cholesky"), VIDEO),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_was_stopped_paints_the_same_frames(way, clip, painting_file, tmp_path):
    settings, video = WAYS[way]
    whole = tmp_path / "whole"
    stylize_video(clip, painting_file, tmp_path / "a.mp4", settings, video, frames=whole)
    parts = tmp_path / "parts"
    resumed = []
    for _ in range(30):
        plan = plan_video(
            clip, painting_file, tmp_path / "b.mp4", settings, video, frames=parts, overwrite=False
        )
        resumed.append(plan.run.store.resumed)
        steps = plan.steps()
        first = next(steps, None)
        for step in steps:  # stopped within the next frame but one
            if (step.stage, step.frame) != (first.stage, first.frame):
                break
        else:
            break
        steps.close()
    film = plan.finish()
    assert film.frames == 6
    assert len(resumed) >= 3
    assert resumed == sorted(resumed)
    assert frames_in(parts) == frames_in(whole)
    assert len(frames_in(whole)) == 6
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("way", [{}, {"passes": 2}, {"draft": True, "key_every": 2}])
def test_a_run_that_was_stopped_is_kept_as_far_as_it_is(way, clip, painting_file, tmp_path):
    video = VideoSettings(frame_steps=2, **way)
    plan = plan_video(clip, painting_file, tmp_path / "out.mp4", SETTINGS, video)
    assert plan.finished == 0
    with pytest.raises(VideoError, match="no frames are painted yet"):
        plan.finish(partly=True)
    for step in plan.steps():
        if step.done >= 3:
            break
    count = plan.finished
    assert 3 <= count < 6
    with pytest.raises(VideoError, match="not all frames are painted yet"):
        plan.finish()
    film = plan.finish(partly=True)
    assert film.frames == count
    assert len(list(read_frames(open_clip(film.path)))) == count
    assert not plan.folder.exists()


def test_sound_ends_where_a_stopped_run_does(painting_file, tmp_path):
    from clip_samples import make_clip

    clip = make_clip(tmp_path / "clip.mp4", sounds=("aac",))
    plan = plan_video(clip, painting_file, tmp_path / "out.mp4", SETTINGS, VIDEO)
    for step in plan.steps():
        if step.done == 3:
            break
    whole = open_clip(clip).duration
    plan.finish(partly=True)
    with av.open(str(tmp_path / "out.mp4")) as made:
        assert float(made.streams.audio[0].duration * made.streams.audio[0].time_base) < whole / 2


def test_only_the_containers_that_are_named_are_opened(clip, tmp_path):
    """FFmpeg takes a playlist as a container, and opens the files that it names."""
    with av.open(str(clip)) as source, av.open(str(tmp_path / "part.ts"), "w") as made:
        stream = made.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\npart.ts\n#EXT-X-ENDLIST\n")
    assert probe(playlist).size == SIZE  # it would be followed
    for path in (playlist, tmp_path / "part.ts"):
        with pytest.raises(VideoError, match="is not a video of an allowed format: mov, avi"):
            probe(path, ("mov", "avi"))
    assert probe(clip, ("mov", "avi")).size == SIZE


@pytest.mark.slow
def test_killed_and_run_again(clip, painting_file, tmp_path):
    """A real process is killed with SIGKILL while it paints."""
    source = str(Path(impasto.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": source}

    def arguments(output: Path) -> list[str]:
        words = ["video", clip, painting_file, "-o", output, *SMALL, "--frame-steps", 40]
        return [sys.executable, "-m", "impasto", *map(str, words), "--frames", f"{output}.kept"]

    subprocess.run(arguments(tmp_path / "a.mp4"), env=environment, check=True, capture_output=True)
    kept = tmp_path / "b.mp4.kept"
    with subprocess.Popen(
        arguments(tmp_path / "b.mp4"), env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert any("frame 4/6" in line for line in process.stderr)  # Waits for such a line.
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert 3 <= len(frames_in(kept)) < 6
    assert not (tmp_path / "b.mp4").exists()
    again = subprocess.run(
        arguments(tmp_path / "b.mp4"), env=environment, check=True, capture_output=True, text=True
    )
    assert "Resuming the run" in again.stderr
    assert frames_in(kept) == frames_in(tmp_path / "a.mp4.kept")


def test_another_run_in_the_folder_is_noticed(clip, painting_file, tmp_path):
    plan = plan_video(clip, painting_file, tmp_path / "out.mp4", SETTINGS, VIDEO)
    next(plan.steps())
    assert plan.folder == tmp_path / "out.mp4.frames"
    other = SETTINGS.replace(style_weight=7.0)
    with pytest.raises(VideoError, match=r"style_weight was 20\.0, is 7\.0"):
        plan_video(clip, painting_file, tmp_path / "out.mp4", other, VIDEO)
    changed = VIDEO.replace(frame_steps=3)
    with pytest.raises(VideoError, match="frame_steps was 2, is 3"):
        plan_video(clip, painting_file, tmp_path / "out.mp4", SETTINGS, changed)
    again = plan_video(clip, painting_file, tmp_path / "out.mp4", other, VIDEO, overwrite=True)
    assert again.run.store.resumed == 0


def test_frames_that_are_no_run_are_not_touched(clip, painting_file, tmp_path):
    save_image(torch.zeros(1, 3, 4, 4), tmp_path / "out" / "frame-000001.png")
    with pytest.raises(VideoError, match="has frames already"):
        plan_video(clip, painting_file, tmp_path / "out", SETTINGS, VIDEO)


def test_the_clip_is_never_overwritten(clip, painting_file):
    with pytest.raises(SettingsError, match="never overwritten"):
        plan_video(clip, painting_file, clip, SETTINGS, VIDEO, overwrite=True)
    folder = clip.with_suffix("")
    with pytest.raises(SettingsError, match="never overwritten"):
        plan_video(folder, painting_file, folder, SETTINGS, VIDEO, overwrite=True)


# ---- styles and masks over time -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (0.0, (1.0, 0.0, 0.0)),
        (1.0, (1.0, 0.0, 0.0)),
        (2.0, (0.5, 0.0, 0.5)),
        (3.0, (0.0, 0.0, 1.0)),
        (3.5, (0.0, 0.5, 0.5)),
        (9.0, (0.0, 1.0, 0.0)),
    ],
)
def test_one_style_gives_way_to_the_other(time, expected):
    assert blend_at((1.0, 4.0, 3.0), time) == pytest.approx(expected)


def test_styles_that_change_over_time(clip, painting_file, photo_file, tmp_path):
    """The clip starts with one painting alone and ends with the statistics of the other."""

    def run(styles: list[Path], name: str, **options) -> list[Tensor]:
        stylize_video(clip, styles, tmp_path / name, SETTINGS, VIDEO, **options)
        return images_in(tmp_path / name)

    both = run([painting_file, photo_file], "both", style_times=[0.0, 5 / 24])
    first = run([painting_file], "first")
    assert torch.equal(both[0], first[0])
    assert not torch.equal(both[-1], first[-1])
    plan = plan_video(
        clip, [painting_file, photo_file], tmp_path / "p", SETTINGS, VIDEO, style_times=[0.0, 0.2]
    )
    painter = plan.run.painter
    inputs = painter.styling.inputs(Picture(pan(1)[0]), 0)
    stylizer = painter.stylizer
    styles = StyleTargets(stylizer.encoder, inputs, stylizer.settings, painter.work)
    apart = [
        styles.for_layout(inputs.layout, painter.work.level, blend)[0]
        for blend in ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5))
    ]
    for name in apart[0].layers:
        a, b, middle = (each.layers[name] for each in apart)
        assert_close(middle, (a + b) / 2, relative=1e-5)
    assert [each.weight for each in apart] == pytest.approx([20.0] * 3)


@pytest.mark.parametrize(
    ("times", "complaint"),
    [((0.0,), "1 time for 2 styles"), ((1.0, 1.0), "each style needs a different time")],
)
def test_times_that_make_no_sense(times, complaint, clip, painting_file, tmp_path):
    with pytest.raises(SettingsError, match=complaint):
        plan_video(
            clip, [painting_file] * 2, tmp_path / "out.mp4", SETTINGS, VIDEO, style_times=times
        )


def test_clips_are_not_searched_for_faces(clip, painting_file, tmp_path, monkeypatch):
    """Found faces would come and go; boxes that are named stay."""

    def fail(*_: object) -> None:
        raise AssertionError("a frame is searched")

    monkeypatch.setattr(faces, "has_detector", lambda: True)
    monkeypatch.setattr(faces, "find_faces", fail)
    words = (clip, painting_file, tmp_path / "out.mp4")
    other = (clip, painting_file, tmp_path / "other.mp4")
    for settings in (SETTINGS, SETTINGS.replace(protect="none")):
        plan = plan_video(*words, settings, VIDEO)
        assert plan.run.painter.stylizer.settings.protect == "none"
    named = SETTINGS.replace(faces=(0.1, 0.1, 0.5, 0.5))
    assert plan_video(*other, named, VIDEO).run.painter.stylizer.settings.faces == named.faces
    with pytest.raises(SettingsError, match="protect: clips are not searched for faces; name"):
        plan_video(*words, SETTINGS.replace(protect="faces"), VIDEO)


def mask_of(columns: slice, path: Path) -> Path:
    mask = torch.zeros(1, 3, *SIZE)
    mask[..., columns] = 1
    save_image(mask, path)
    return path


def test_a_mask_for_each_frame(tmp_path, painting_file):
    photos = folder_of(pan(3), tmp_path / "photos")
    masks = tmp_path / "masks"
    for number in range(2):
        mask_of(slice(0, 24 + 12 * number), masks / f"mask-{number}.png")
    save_image(torch.zeros(1, 3, *SIZE), masks / "mask-2.png")  # nothing in the last one
    guidance = Guidance(masks=[str(masks)])
    numbers = set()
    film = stylize_video(
        photos, painting_file, tmp_path / "out", SETTINGS, VIDEO, guidance=guidance,
        on_step=lambda step: numbers.add(step.frame),
    )  # fmt: skip
    assert film.frames == 3
    assert numbers == {1, 2}
    painted, originals = (
        images_in(tmp_path / "out"),
        [load_image(p) for p in sorted(photos.iterdir())],
    )
    for number, edge in enumerate((24, 36)):
        changed = (painted[number] - originals[number]).abs().amax((0, 1, 2)) > 0
        assert not changed[edge:].any()
        assert changed[:edge].float().mean() > 0.9
    assert torch.equal(painted[2], originals[2])


def test_too_few_masks(tmp_path, painting_file):
    photos = folder_of(pan(3), tmp_path / "photos")
    mask_of(slice(0, 24), tmp_path / "masks" / "one.png")
    guidance = Guidance(masks=[str(tmp_path / "masks")])
    with pytest.raises(VideoError, match="has 1 mask, and none for frame 2"):
        stylize_video(photos, painting_file, tmp_path / "out", SETTINGS, VIDEO, guidance=guidance)


# ---- drafts and previews ------------------------------------------------------------------------


def test_a_draft_paints_key_frames_and_carries_them_along(tmp_path, painting_file):
    photos = folder_of(pan(9), tmp_path / "photos")
    video = VIDEO.replace(draft=True, key_every=4, temporal_weight=10_000.0)
    counts: dict[int, int] = {}

    def count(step) -> None:
        counts[step.frame] = counts.get(step.frame, 0) + 1

    stylize_video(photos, painting_file, tmp_path / "out", SETTINGS, video, on_step=count)
    assert counts.pop(1) == SETTINGS.steps
    assert (counts.pop(5), counts.pop(9)) == (2, 2)
    painted = images_in(tmp_path / "out")
    assert len(painted) == 9
    # What is carried along is the key frame's, moved by the pan's one pixel a frame.
    assert psnr(painted[1][..., 4:-8, 8:-12], painted[0][..., 4:-8, 9:-11]) > 30


def test_a_frame_between_is_nearer_to_the_nearer_key_frame():
    photo = torch.full((1, 3, 2, 2), 0.5)
    everywhere = still_motion(torch.ones(1, 1, 2, 2))
    half = still_motion(torch.tensor([[1.0, 0.0], [0.0, 0.0]])[None, None])
    old, new = (
        PaintedFrame(photo, torch.zeros(1, 3, 2, 2)),
        PaintedFrame(photo, torch.ones(1, 3, 2, 2)),
    )
    blended = interpolate(photo, [(old, everywhere), (new, everywhere)], 0.25)
    assert torch.allclose(blended.image, torch.full((1, 3, 2, 2), 0.25))
    one = interpolate(photo, [(old, half), (new, everywhere)], 0.25)
    # Where the old one is not reliable, the new one alone counts, but for a trace.
    assert torch.allclose(one.image[0, 0], torch.tensor([[0.25, 1.0], [1.0, 1.0]]), atol=0.01)
    assert one.holes == 0
    lost = PaintedFrame(
        photo + 0.4, torch.zeros(1, 3, 2, 2)
    )  # what it shows there is something else
    hole = interpolate(photo, [(lost, everywhere), (lost, everywhere)], 0.5)
    assert hole.holes == 1
    assert torch.equal(hole.image, photo)


def test_a_preview_has_every_tenth_frame(tmp_path, painting_file):
    photos = folder_of(pan(1) * 21, tmp_path / "photos")
    frames = list(preview_frames(photos, painting_file, SETTINGS))
    assert [frame.index for frame, _ in frames] == [0, 10, 20]
    sheet = contact_sheet(frames)
    assert sheet.shape[-1] > 3 * SIZE[1]
    assert sheet.shape[-2] < 2 * SIZE[0]


# ---- progress ------------------------------------------------------------------------------------


def test_the_time_that_is_left():
    """The first frame takes longer and does not count; without a length there is no estimate."""
    step = Step(torch.zeros(1, 3, 2, 2), {}, 1, 1)

    def at(done: int, seconds: float, frames: int | None = 10) -> VideoStep:
        return VideoStep(step, frame=done + 1, frames=frames, done=done, seconds=seconds)

    time_left = RemainingTime()
    assert time_left.remaining(at(0, 5.0)) is None
    assert time_left.remaining(at(1, 30.0)) == 9 * 30  # all that is known by then
    assert time_left.remaining(at(2, 32.0)) == 8 * 2
    assert time_left.remaining(at(2, 33.0)) == 8 * 2 - 1
    assert time_left.remaining(at(4, 40.0)) == 6 * 3  # two frames in 8 s
    assert RemainingTime().remaining(at(3, 1.0, frames=None)) is None


def test_bars_on_a_terminal(monkeypatch):
    terminal = Console(force_terminal=True, width=80, file=io.StringIO())
    monkeypatch.setattr(terminal.file, "isatty", lambda: True, raising=False)
    with reporting_clip(terminal, quiet=False) as report:
        step = Step(torch.zeros(1, 3, 2, 2), {"style": 0.5}, 3, 30)
        report(VideoStep(step, frame=2, frames=24, done=1, stage=1, stages=2, seconds=61.0))
    shown = terminal.file.getvalue()
    for words in ("pass 1/2", "frame 2/24", "step 3/30", "1:01 elapsed", "style 0.5"):
        assert words in shown


# ---- the command --------------------------------------------------------------------------------


@pytest.fixture
def video(command, clip, painting_file, tmp_path):
    def call(*words, styles=(painting_file,), output=tmp_path / "out.mp4", source=clip):
        return command("video", source, *styles, "-o", output, *SMALL, *words)

    return call


def test_a_clip_from_the_command_line(video, tmp_path):
    outcome = video("--json", "--end", "0.12s")
    assert outcome.code == 0, outcome.err
    summary = json.loads(outcome.out)
    assert (summary["frames"], summary["width"], summary["height"]) == (3, 48, 36)
    assert summary["video"]["frame_steps"] == 2
    assert set(summary["losses"]) == {"content", "style", "tv", "temporal"}
    assert len(summary["clip"]["sha256"]) == 64
    assert str(tmp_path) not in json.dumps(summary["styles"])
    lines = outcome.err.splitlines()
    assert lines[0].startswith("3 frames of 48 x 36 px, 2 steps for each, 3 for the first of")
    assert any("frame 3/3  step 2/2" in line and "left" in line for line in lines)
    assert lines[-1].startswith(f"Wrote {tmp_path}/out.mp4: 3 frames of 48 x 36 px")
    assert not (tmp_path / "out.mp4.frames").exists()
    assert open_clip(tmp_path / "out.mp4").frames == 3


@pytest.mark.parametrize(("name", "size"), [("out.mp4", (36, 48)), ("out", (35, 47))])
def test_a_film_says_that_odd_sizes_were_padded(name, size, tmp_path, painting_file):
    photos = folder_of([frame[..., :35, :47] for frame in pan(2)], tmp_path / "photos")
    film = stylize_video(photos, painting_file, tmp_path / name, SETTINGS.replace(long_side=47))
    assert film.size == open_clip(film.path).size == size
    padded = (
        "the last row and column of every frame are repeated once, so 47 x 35 px become 48 x 36"
    )
    assert film.notes == ((f"H.264 needs even sides: {padded}",) if size == (36, 48) else ())
    if film.notes:
        with av.open(str(film.path)) as container:
            comment = container.metadata["comment"]
        assert comment == f"painted by impasto {impasto.__version__}; {film.notes[0]}"


def test_the_command_says_that_odd_sizes_were_padded(command, tmp_path, painting_file):
    photos = folder_of([frame[..., :35, :48] for frame in pan(2)], tmp_path / "photos")
    target = tmp_path / "out.mp4"
    outcome = command("video", photos, painting_file, "-o", target, *SMALL, "--json")
    assert outcome.code == 0, outcome.err
    summary = json.loads(outcome.out)
    note = "H.264 needs even sides: the last row of every frame is repeated once, so "
    assert outcome.err.splitlines()[-1].startswith(note)
    assert summary["notes"] == [f"{note}48 x 35 px become 48 x 36"]
    assert (summary["height"], summary["width"]) == (36, 48)


def test_styles_at_times_from_the_command_line(video, painting_file, photo_file):
    outcome = video(
        "--style-at", "0s", painting_file, "--style-at", "0.2s", photo_file, "--json", styles=()
    )
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["style_times"] == [0.0, 0.2]


def test_a_preview_alone(command, clip, painting_file, tmp_path):
    sheet = tmp_path / "sheet.jpg"
    outcome = command("video", clip, painting_file, "--preview", sheet, *SMALL)
    assert outcome.code == 0, outcome.err
    assert load_image(sheet).shape[-1] >= 48
    assert [path.name for path in tmp_path.glob("*.mp4*")] == ["clip.mp4"]


def test_a_draft_says_what_it_trades(video):
    outcome = video("--draft", "--end", "0.12s")
    assert outcome.code == 0, outcome.err
    assert "changes of light appear suddenly" in outcome.err


def test_ctrl_c_says_how_to_go_on(video, monkeypatch, tmp_path):
    from impasto.video.frame_painter import FramePainter

    def stop(*words) -> Iterator:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(FramePainter, "onward", stop)
    outcome = video()
    assert outcome.code == 130
    assert f"finished frames are kept in {tmp_path}/out.mp4.frames" in outcome.err
    assert f"To resume: impasto video {tmp_path}/clip.mp4" in outcome.err
    assert len(frames_in(tmp_path / "out.mp4.frames")) == 1
    assert not (tmp_path / "out.mp4").exists()
    monkeypatch.undo()


def test_a_truncated_clip_is_finished_as_far_as_it_goes(video, tmp_path):
    whole = clip_of(pan(30), tmp_path / "long.mp4").read_bytes()
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(whole[: len(whole) * 6 // 10])
    outcome = video(source=torn)
    assert outcome.code == 1, outcome.err
    assert "Warning:" in outcome.err
    assert "all frames that could be read are painted" in outcome.err
    made = list(read_frames(open_clip(tmp_path / "out.mp4")))
    assert 2 <= len(made) < 30


def test_a_truncated_clip_from_python(tmp_path, painting_file):
    whole = clip_of(pan(30), tmp_path / "long.mp4").read_bytes()
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.raises(TruncatedClip) as caught:
        stylize_video(torn, painting_file, tmp_path / "out", SETTINGS, VIDEO)
    assert caught.value.frames == len(frames_in(tmp_path / "out")) > 1


def test_sound_comes_along_packet_by_packet(tmp_path, painting_file):
    from clip_samples import make_clip

    source = make_clip(tmp_path / "clip.mp4", sounds=("aac",))
    target = tmp_path / "out.mp4"
    stylize_video(source, painting_file, target, SETTINGS, VIDEO.replace(frame_steps=1))

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(each) for each in container.demux(audio=0) if each.size]

    assert packets(target) == packets(source)
    assert packets(target)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--codec", "h266"), "no such codec"),
        (("--codec", "vp9", "--crf", "999"), "crf"),
        (("--start", "90s"), "at or after 90 s"),
        (("--start", "soon"), "not a time"),
        (("--frame-steps", "0"), "frame_steps"),
        (("--flow", "guess"), "not one of dis"),
        (("--flow", "raft"), "weights"),
        (("--draft", "--passes", "2"), "set passes to 1"),
        (("--distances", "0"), "distances"),
        (("--mask", "missing.png"), "missing.png"),
    ],
)
def test_bad_options_write_nothing(words, complaint, video, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    assert_clear_error(video("-q", *words), complaint)
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_clips_write_nothing(video, photo_file, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for source in (tmp_path / "text.mp4", tmp_path / "empty", photo_file, tmp_path / "gone.mp4"):
        assert_clear_error(video("-q", source=source), source.name)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_line_wants_styles_and_a_result(command, clip, painting_file):
    assert command("video", clip, "-o", "out.mp4").code == 2
    assert command("video", clip, painting_file).code == 2
    outcome = command("video", clip, painting_file, "-o", "o.mp4", "--style-at", "0s", "a.jpg")
    assert_clear_error(outcome, "--style-at")


def test_a_result_that_exists_is_kept(video, tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"mine")
    assert_clear_error(video("-q"), "exists already")
    assert (tmp_path / "out.mp4").read_bytes() == b"mine"


def test_video_settings_are_checked():
    with pytest.raises(SettingsError, match="distances"):
        VideoSettings(distances=())
    with pytest.raises(ImpastoError, match="did you mean frame_steps"):
        VideoSettings().replace(frame_step=3)


def test_a_run_of_an_earlier_version_with_former_names_is_resumed(tmp_path):
    record = {"about": {"settings": Settings().to_dict()}, "size": [4, 4]}
    store = FrameStore(tmp_path / "frames", record)
    former = {"normalized": "normalised", "neighbors": "neighbours"}
    about = json.loads((store.folder / "run.json").read_text())
    stored = about["about"]["settings"]
    about["about"]["settings"] = {former.get(name, name): each for name, each in stored.items()}
    del about["about"]["settings"]["resampling"]  # then there was only one filter
    (store.folder / "run.json").write_text(json.dumps(about))
    assert FrameStore(tmp_path / "frames", record).folder == store.folder
    with pytest.raises(VideoError, match="other inputs"):
        FrameStore(tmp_path / "frames", {**record, "size": [5, 4]})
