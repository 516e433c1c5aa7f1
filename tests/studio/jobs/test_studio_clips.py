"""Clips in the studio: what is taken and refused, painted, interrupted, kept, and made again."""

from __future__ import annotations

import errno
import io
import re
import shlex
import sqlite3
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from impasto.errors import ImageError, SettingsError, TruncatedClip, VideoError, install_hint
from impasto.pictures.files import load_image
from impasto.settings.recipes import recipe_settings
from impasto.studio.jobs import clip_uploads as clips_module, reproduce
from impasto.studio.jobs.clip_uploads import known_clip, named, poster_file
from impasto.studio.jobs.limits import Limits, NoSuchThing, StudioError, TooLarge
from impasto.studio.jobs.requests import Request, check_request
from impasto.studio.jobs.results import (
    command_line,
    losses,
    preview_file,
    python_lines,
    result_file,
    timelapse_file,
)
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.tables.database import new_id
from impasto.studio.jobs.tables.rows import PACES_LEARNED
from impasto.studio.jobs.uploads import example_names
from impasto.studio.server import build_app
from impasto.studio.supervisor import tidy
from impasto.studio.web.guard import Keys
from impasto.studio.worker import paces
from impasto.video.stylize_video import VideoPlan
from studio_harness import (
    PLACE,
    clip_bytes,
    clip_request,
    make_jobs,
    picture_bytes,
    small_request,
    upload_clip,
    upload_picture,
    wait_for_change,
    wait_for_state,
    working,
)

av = pytest.importorskip("av", reason="clips need impasto[video]")
pytest.importorskip("cv2", reason="clips need impasto[video]")

LONG = {"frame_steps": 100_000}


@pytest.fixture
def jobs(tmp_path):
    return make_jobs(tmp_path / "studio", max_clip_bytes=200_000, max_frames=60)


def files_in(jobs) -> list[Path]:
    return [*(jobs.store.folder / "clips").iterdir()]


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def wait_for_frame(jobs, job: str, frame: int):
    def reached():
        found = jobs.job(job)
        return found if found.clip is not None and found.clip.frame >= frame else None

    return wait_for_change(reached, f"frame {frame}")


# ---- uploads ------------------------------------------------------------------------------------


def test_what_is_known_of_a_clip(jobs):
    clip = upload_clip(jobs, clip_bytes(6, sound=True), "../holiday.mp4")
    assert (clip.name, clip.width, clip.height) == ("holiday.mp4", 48, 36)
    assert (clip.frames, clip.rate, clip.sound) == (6, 12.0, True)
    assert clip.seconds == pytest.approx(0.5, abs=0.05)
    assert load_image(poster_file(jobs.store, clip.id)).shape == (1, 3, 36, 48)
    assert known_clip(jobs.store, clip.id) == clip
    assert {each.name for each in files_in(jobs)} == {f"{clip.id}.clip", f"{clip.id}.jpg"}
    assert upload_clip(jobs, clip_bytes(suffix="gif"), "").name == "clip"


def test_unknown_clips(jobs):
    for name in (new_id(), "", "../../etc/passwd"):
        with pytest.raises(NoSuchThing):
            known_clip(jobs.store, name)
        with pytest.raises(NoSuchThing):
            poster_file(jobs.store, name)
    request = clip_request(jobs)
    for each in files_in(jobs):
        each.unlink()
    with pytest.raises(NoSuchThing, match="there is no such clip"):
        jobs.create(request, "me")


def only_sound() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as made:
        stream = made.add_stream("aac", rate=48000)
        silence = np.zeros((1, 1024), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.rate, frame.pts = 48000, 0
        made.mux(stream.encode(frame))
        made.mux(stream.encode())
    return buffer.getvalue()


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{target}\n#EXT-X-ENDLIST\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    '<AdaptationSet><Representation id="0" mimeType="video/mp4"><BaseURL>{target}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>"
)
NAMING = {
    "hls": HLS,
    "hls of a URL": HLS.replace("{target}", "http://127.0.0.1:1/x.ts"),
    "concat": "ffconcat version 1.0\nfile {target}\n",
    "dash": DASH,
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "reference": "[Reference]\nRef1={target}\n",
    "subtitles": "1\n00:00:00,000 --> 00:00:01,000\nwords\n",
}


@pytest.mark.parametrize("kind", NAMING)
def test_files_that_name_others_are_not_opened(jobs, tmp_path, kind):
    """Whatever they are called; and nothing of them stays."""
    own = tmp_path / "secret.ts"
    own.write_bytes(clip_bytes(suffix="ts"))
    text = NAMING[kind].replace("{target}", str(own))
    for name in ("clip.mp4", "clip.m3u8"):
        with pytest.raises(VideoError, match=f"^{name} is not a video of an allowed format: mov"):
            upload_clip(jobs, text.encode(), name)
    assert files_in(jobs) == []


def test_every_kind_that_is_taken_is_one_file():
    """Nobody adds a demuxer that opens what a file names."""
    naming = ("hls", "concat", "dash", "imf", "sdp", "rtsp", "webm_dash_manifest", "image2")
    assert not set(naming) & set(clips_module.CONTAINERS)
    assert set(clips_module.CONTAINERS) <= set(av.formats_available)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"", VideoError, "^clip.mp4 is empty$"),
        (b"no clip at all", VideoError, "^clip.mp4 is not a video of an allowed format"),
        (picture_bytes(), VideoError, "^clip.mp4 is not a video of an allowed format"),
        (only_sound, VideoError, "^clip.mp4 has no video stream, only sound$"),
        (bytes(300_000), TooLarge, "^clip.mp4 has more than the 0.2 MB that the studio allows"),
        (
            lambda: clip_bytes(1, size=(128, 96)), TooLarge,
            "^clip.mp4 has frames of 128 x 96 px; the studio allows 0.01 megapixels$",
        ),
    ],
)  # fmt: skip
def test_uploads_that_are_refused(tmp_path, data, error, words):
    jobs = make_jobs(tmp_path, max_clip_bytes=200_000, max_pixels=10_000)
    with pytest.raises(error, match=words):
        upload_clip(jobs, data() if callable(data) else data, "../clip.mp4")
    assert files_in(jobs) == []
    assert jobs.store.clips.all() == []


def test_without_the_extra(jobs, monkeypatch):
    monkeypatch.setattr(clips_module, "find_spec", lambda name: None if name == "cv2" else name)
    with pytest.raises(VideoError, match=re.escape(install_hint("video"))):
        upload_clip(jobs, clip_bytes())


# ---- requests -----------------------------------------------------------------------------------

PICTURES = {"clip": "c", "styles": ["s"]}


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(kind="video", pictures={"clip": "c"}), "the kind video needs styles"),
        (Request(kind="video", pictures={"styles": ["s"]}), "the kind video needs clip"),
        (Request(kind="video", pictures={**PICTURES, "content": "c"}), "takes clip, styles"),
        (Request(kind="video", pictures={"clip": 3, "styles": ["s"]}), "3 is not the id"),
        (Request(kind="video", pictures=PICTURES, options={"end": 1, "start": 2}), "end: 1 s is"),
        (Request(kind="video", pictures=PICTURES, options={"start": -1}), "start: -1"),
        (Request(kind="video", pictures=PICTURES, options={"flow": "raft"}), "opens no files"),
        (
            Request(kind="video", pictures=PICTURES, options={"flow_weights": "/etc/passwd"}),
            "opens no files",
        ),
        (
            Request(kind="video", pictures=PICTURES, options={"draft": True, "passes": 2}),
            "set passes to 1",
        ),
        (Request(kind="preview", pictures=PICTURES, options={"passes": 2}), "no such option"),
    ],
)
def test_requests_that_are_refused(request_, words):
    with pytest.raises(SettingsError, match=words):
        check_request(request_, Limits())


def test_parts_of_a_clip_that_are_refused(jobs):
    request = clip_request(jobs, 72)
    with pytest.raises(TooLarge, match=r"72 frames are more than the 60 .* with start and end"):
        jobs.create(request, "me")
    part = Request(**{**vars(request), "options": {"start": 1.0}})
    assert jobs.create(part, "me").state == "queued"
    late = Request(**{**vars(request), "options": {"start": 9.0}})
    with pytest.raises(
        SettingsError, match=r"start: 9 s is not before the end of clip.mp4, 6.00 s"
    ):
        jobs.create(late, "me")


def test_a_drafts_first_frames_have_the_schedule_that_the_command_gives_them():
    fast = recipe_settings(schedule="fast").to_dict()
    draft = Request(kind="video", pictures=PICTURES, options={"draft": True})
    assert check_request(draft, Limits()).settings == fast
    names = {"clip": "a.mp4", "styles": ["b.jpg"]}

    def line(**settings) -> str:
        request = Request(**{**vars(draft), "settings": settings})
        return reproduce.command_line(check_request(request, Limits()).to_dict(), names)

    assert line() == "impasto video a.mp4 b.jpg -o painted.mp4 --draft"
    assert line(style_weight=5) == f"{line()[:-8]} --style-weight 5.0 --draft"
    usual = recipe_settings().steps
    assert line(steps=usual) == f"{line()[:-8]} --steps {usual} --draft"  # since it is asked for
    checked = check_request(draft, Limits()).to_dict()
    assert "recipe_settings('default', schedule='fast')" in reproduce.python_lines(checked, names)


# ---- painting -----------------------------------------------------------------------------------


def own_files(folder: Path, clip: bytes) -> Path:
    """The files that were uploaded, as their owner has them."""
    (folder / "clip.mp4").write_bytes(clip)
    (folder / "painting.png").write_bytes(picture_bytes(2, (36, 34)))
    return folder


WAYS = {
    "video": ("video", {}),
    "draft": ("video", {"draft": True, "key_every": 2, "sound": False}),
    "part": ("video", {"start": 0.05, "end": 0.2, "distances": [1]}),
    "sheet": ("preview", {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_command_and_the_python_lines_make_the_same(jobs, tmp_path, monkeypatch, command, way):
    kind, options = WAYS[way]
    data = clip_bytes(4, sound=True)
    clip = upload_clip(jobs, data).id
    painting = upload_picture(jobs, picture_bytes(2, (36, 34)), "painting.png", "me").id
    request = Request(
        kind=kind, pictures={"clip": clip, "styles": [painting]},
        settings={"long_side": 48, "steps": 3, "coarsest": 0},
        options=options if kind == "preview" else {"frame_steps": 2, **options},
    )  # fmt: skip
    with working(jobs):
        job = jobs.create(request, "me").id
        done = wait_for_state(jobs, job, "done", "failed")
    assert done.error == ""
    assert done.has_result
    result = result_file(jobs.store, job)
    monkeypatch.chdir(own_files(tmp_path, data))
    words = shlex.split(command_line(jobs.store, job))
    outcome = command(*words[1:])
    assert outcome.code == 0, outcome.err
    made = Path(words[words.index("--preview" if kind == "preview" else "-o") + 1])
    assert made.read_bytes() == result.read_bytes()
    made.unlink()
    exec(compile(python_lines(jobs.store, job), "lines", "exec"), {})
    assert made.read_bytes() == result.read_bytes()


def test_frames_are_told_of_one_by_one_and_the_clip_is_whole(jobs):
    request = clip_request(jobs, 5, frame_steps=30)
    with working(jobs):
        job = jobs.create(request, "me").id
        seen, left = set(), set()

        def watched() -> bool:
            now = jobs.job(job)
            if now.clip is not None and now.state == "running":
                seen.add(now.clip.frame)
                left.add(now.remaining)
                assert now.clip.frames == 5
            return now.state != "running" and now.state != "queued"

        wait_for_change(watched, "the end")
    done = jobs.job(job)
    assert (done.state, done.error) == ("done", "")
    assert len(seen - {0}) >= 2
    assert min(left - {None}) >= 0
    assert (done.clip.frame, done.clip.done, done.clip.encoding) == (5, 5, False)
    assert [row["step"] for row in losses(jobs.store, job)] == [1, 2, 3, 4, 5]
    assert frames_in(result_file(jobs.store, job)) == 5
    assert load_image(preview_file(jobs.store, job)).shape == (1, 3, 36, 48)
    assert not jobs.store.jobs.frames_folder(job).exists()
    for suffix in (".png", ".gif"):
        with pytest.raises(NoSuchThing, match=f"no result{suffix}; the result of this job is .mp4"):
            result_file(jobs.store, job, suffix)
    with pytest.raises(NoSuchThing, match="no time-lapse"):
        timelapse_file(jobs.store, job, ".gif")


def test_a_result_does_not_say_where_the_clip_was_taken(jobs):
    data = clip_bytes(3, place=True, sound=True)
    assert PLACE.encode() in data
    request = clip_request(jobs)
    clip = upload_clip(jobs, data).id
    with working(jobs):
        job = jobs.create(request.with_pictures({**request.pictures, "clip": clip}), "me").id
        wait_for_state(jobs, job, "done")
    made = result_file(jobs.store, job).read_bytes()
    assert b"8566" not in made
    assert b"location" not in made
    with av.open(io.BytesIO(made)) as container:
        assert set(container.metadata) <= {
            "major_brand", "minor_version", "compatible_brands", "encoder", "comment"
        }  # fmt: skip
        assert len(container.streams.audio) == 1
    assert PLACE.encode() not in poster_file(jobs.store, clip).read_bytes()


def test_a_clip_goes_on_from_its_last_finished_frame_and_is_the_same(jobs):
    """A worker that goes leaves what the next one, or one after a crash, begins with."""
    request = clip_request(jobs, 5, frame_steps=12)
    with working(jobs):
        whole = jobs.create(request, "me").id
        wait_for_state(jobs, whole, "done")
    job = jobs.create(request, "me").id
    with working(jobs):
        wait_for_frame(jobs, job, 3)
    left = jobs.job(job)
    assert left.state == "running"
    there = len([*jobs.store.jobs.frames_folder(job).glob("frame-*.png")])
    assert there >= 2
    jobs.store.jobs.move(job, "queued")
    with working(jobs):
        done = wait_for_state(jobs, job, "done", "failed")
    assert done.error == ""
    assert done.continued == [{"step": 0, "after": "an interruption", "frame": there + 1}]
    assert done.seconds > left.seconds
    assert result_file(jobs.store, job).read_bytes() == result_file(jobs.store, whole).read_bytes()


def test_a_clip_whose_worker_did_not_come_to_say_that_it_is_done(jobs):
    job = jobs.create(clip_request(jobs), "me").id
    jobs.store.jobs.folder(job).mkdir()
    (jobs.store.jobs.folder(job) / "result.mp4").write_bytes(clip_bytes())
    with working(jobs):
        assert wait_for_state(jobs, job, "done", "failed").has_result


def test_a_clip_that_cannot_be_written_keeps_its_frames_and_is_resumed(jobs, monkeypatch):
    request = clip_request(jobs)
    with working(jobs):
        whole = jobs.create(request, "me").id
        wait_for_state(jobs, whole, "done")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(VideoPlan, "finish", full)
        job = jobs.create(request, "me").id
        with working(jobs):
            failed = wait_for_state(jobs, job, "failed", "done")
    assert failed.error == "the disk is full; free some space, then resume the job"
    tidy(jobs)
    assert len([*jobs.store.jobs.frames_folder(job).glob("frame-*.png")]) == 4
    assert jobs.resume(job).state == "queued"
    with working(jobs):
        done = wait_for_state(jobs, job, "failed", "done")
    assert (done.state, done.error) == ("done", "")
    assert done.continued == [{"step": 0, "after": "an interruption", "frame": 5}]  # of 4
    assert result_file(jobs.store, job).read_bytes() == result_file(jobs.store, whole).read_bytes()
    tidy(jobs)
    assert not jobs.store.jobs.frames_folder(job).exists()


def test_a_paused_clip_makes_way_and_is_taken_up_again(jobs):
    with working(jobs):
        job = jobs.create(clip_request(jobs, **LONG), "me").id
        wait_for_frame(jobs, job, 2)
        jobs.pause(job)
        wait_for_state(jobs, job, "paused")
        other = jobs.create(small_request(jobs), "me").id
        wait_for_state(jobs, other, "done")
        assert jobs.job(job).state == "paused"
        jobs.resume(job)
        wait_for_change(lambda: jobs.job(job).continued, "a note of the interruption")
        assert wait_for_frame(jobs, job, 2).continued[0]["frame"] == 2
        jobs.cancel(job)
        assert not wait_for_state(jobs, job, "cancelled").has_result
    assert not jobs.store.jobs.frames_folder(job).exists()


def test_what_is_stopped_is_a_clip_of_the_frames_that_are_finished(jobs):
    with working(jobs):
        job = jobs.create(clip_request(jobs, 6, **LONG), "me").id
        wait_for_frame(jobs, job, 2)
        jobs.stop(job)
        done = wait_for_state(jobs, job, "stopped", "failed")
    assert done.error == ""
    assert done.has_result
    assert frames_in(result_file(jobs.store, job)) == 1
    assert (done.clip.frame, done.clip.frames) == (1, 1)


def test_a_clip_that_is_stopped_before_its_first_frame(jobs):
    request = clip_request(jobs)
    request = Request(**{**vars(request), "settings": {**request.settings, "steps": 100_000}})
    with working(jobs):
        job = jobs.create(request, "me").id
        wait_for_frame(jobs, job, 1)
        jobs.stop(job)
        done = wait_for_state(jobs, job, "stopped")
    assert done.error == "stopped before its first frame was finished"
    assert not done.has_result
    with pytest.raises(NoSuchThing, match="before its first frame"):
        result_file(jobs.store, job)


def test_the_limits_of_time_and_frames_keep_what_is_there(tmp_path):
    jobs = make_jobs(tmp_path, max_frames=2)
    request = clip_request(jobs, 4)
    connection = sqlite3.connect(tmp_path / "studio.db")
    with connection:  # as of a file that does not tell how long it is
        connection.execute("UPDATE clips SET frames = NULL, seconds = NULL")
    connection.close()
    with working(jobs):
        job = jobs.create(request, "me").id
        done = wait_for_state(jobs, job, "stopped", "failed")
    assert done.error == "stopped after 2 frames: the studio allows no more"
    assert frames_in(result_file(jobs.store, job)) == 2
    brief = make_jobs(tmp_path / "brief", max_time=0.01)
    with working(brief):
        job = brief.create(clip_request(brief, **LONG), "me").id
        done = wait_for_state(brief, job, "stopped", "failed")
    assert done.error == "stopped at the time limit of the studio, 0.01 s"


def test_a_clip_that_ends_early_is_painted_as_far_as_it_goes(jobs):
    data = clip_bytes(40, suffix="mkv")
    request = clip_request(jobs)
    clip = upload_clip(jobs, data[: len(data) * 2 // 3], "torn.mkv").id
    request = request.with_pictures({**request.pictures, "clip": clip})
    with working(jobs):
        job = jobs.create(request, "me").id
        done = wait_for_state(jobs, job, "done", "failed")
    assert done.state == "done"
    assert done.error.startswith("torn.mkv ends early")
    assert 1 <= frames_in(result_file(jobs.store, job)) < 40


def test_errors_about_a_kept_file_name_it_as_its_owner_does(tmp_path):
    kept = tmp_path / "0815.mp4"
    for raised, shown in (
        (VideoError("is not a video", path=kept), "holiday.mp4 is not a video"),
        (TruncatedClip("ends early", 3, path=kept), "holiday.mp4 ends early"),
        (ImageError("is empty", path="cat.png"), "cat.png is empty"),
        (SettingsError("steps: 0 is too small"), "steps: 0 is too small"),
    ):
        with pytest.raises(type(raised)) as caught, named(kept, "holiday.mp4"):
            raise raised
        assert str(caught.value) == shown


def test_what_fails_names_the_clip_as_its_owner_does(jobs):
    request = clip_request(jobs)
    job = jobs.create(request, "me").id
    jobs.store.clips.file(request.clip).write_bytes(b"nonsense")
    with working(jobs):
        failed = wait_for_state(jobs, job, "failed")
    assert failed.error.startswith("clip.mp4 is not a video")


def with_old_sound(data: bytes) -> bytes:
    """A clip in MOV, with sound that MP4 has no place for."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(buffer, "w", format="mov") as made:
        pictures = made.add_stream_from_template(source.streams.video[0], opaque=True)
        sound = made.add_stream("pcm_mulaw", rate=8000, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = pictures
                made.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate, frame.pts = 8000, 0
        made.mux([*sound.encode(frame), *sound.encode()])
    return buffer.getvalue()


def test_sound_that_mp4_cannot_hold(jobs):
    request = clip_request(jobs)
    clip = upload_clip(jobs, with_old_sound(clip_bytes()), "old.mov").id
    request = request.with_pictures({**request.pictures, "clip": clip})
    silent = Request(**{**vars(request), "options": {**request.options, "sound": False}})
    with working(jobs):
        job = jobs.create(request, "me").id
        failed = wait_for_state(jobs, job, "done", "failed")
        job = jobs.create(silent, "me").id
        assert wait_for_state(jobs, job, "done", "failed").error == ""
    assert failed.error == (
        "the sound of old.mov is pcm_mulaw, which MP4 cannot hold; paint the clip without its sound"
    )


@pytest.mark.parametrize("way", [{"suffix": "gif"}, {"size": (45, 35)}, {"suffix": "mkv"}])
def test_clips_of_other_kinds_and_odd_sizes(jobs, way):
    size = way.pop("size", (48, 36))
    request = clip_request(jobs)
    if size[0] % 2:  # H.264 pairs pixels, GIF does not
        way = {"suffix": "gif"}
    clip = upload_clip(jobs, clip_bytes(size=size, **way), "clip").id
    with working(jobs):
        job = jobs.create(request.with_pictures({**request.pictures, "clip": clip}), "me").id
        assert wait_for_state(jobs, job, "done", "failed").error == ""
    assert frames_in(result_file(jobs.store, job)) == 4


def test_a_result_that_differs_from_the_frames_has_a_note(jobs):
    request = clip_request(jobs)
    odd = Request(**{**vars(request), "settings": {**request.settings, "long_side": 47}})
    with working(jobs):
        even = wait_for_state(jobs, jobs.create(request, "me").id, "done", "failed")
        padded = wait_for_state(jobs, jobs.create(odd, "me").id, "done", "failed")
    assert (even.notes, even.error) == ([], "")
    assert padded.notes == [
        "H.264 needs even sides: the last row and column of every frame are repeated once, "
        "so 47 x 35 px become 48 x 36"
    ]
    assert (padded.state, padded.error) == ("done", "")


def test_masks_keep_the_clip(jobs):
    half = np.zeros((36, 48), np.uint8)
    half[:, :24] = 255
    buffer = io.BytesIO()
    PIL.Image.fromarray(half).save(buffer, "png")
    request = clip_request(jobs, 3, frame_steps=20)
    mask = upload_picture(jobs, buffer.getvalue(), "mask.png", "me").id
    request = request.with_pictures({**request.pictures, "masks": [mask]})
    with working(jobs):
        job = jobs.create(request, "me").id
        assert wait_for_state(jobs, job, "done", "failed").error == ""
    assert "--mask mask.png" in command_line(jobs.store, job)
    assert "guidance=impasto.Guidance(masks=['mask.png'])" in python_lines(jobs.store, job)
    result, own = result_file(jobs.store, job), jobs.store.clips.file(request.clip)
    changed = np.abs(pictures_in(result) - pictures_in(own))
    assert changed[:, :, 28:].mean() < changed[:, :, :20].mean() / 2


def pictures_in(path: Path) -> np.ndarray:
    with av.open(str(path)) as clip:
        return np.stack([each.to_ndarray(format="rgb24").astype(float) for each in
                         clip.decode(video=0)])  # fmt: skip


def test_a_sheet_grows(jobs):
    with working(jobs):
        job = jobs.create(clip_request(jobs, 25, kind="preview"), "me").id
        done = wait_for_state(jobs, job, "done", "failed")
        stopped = jobs.create(clip_request(jobs, 60, kind="preview"), "me").id
        wait_for_frame(jobs, stopped, 1)
        jobs.stop(stopped)
        assert wait_for_state(jobs, stopped, "stopped", "done").has_result
    assert done.error == ""
    assert (done.clip.frame, done.clip.frames) == (3, 3)
    assert load_image(result_file(jobs.store, job)).shape[-1] == 3 * (48 + 8) + 8
    assert result_file(jobs.store, job, ".jpg").is_file()


def test_the_weights_of_a_clip_stay(jobs):
    job = jobs.create(clip_request(jobs), "me").id
    jobs.store.jobs.take()
    with pytest.raises(StudioError, match="the weights of a clip cannot be changed"):
        jobs.change(job, style_weight=3.0)


def test_estimates(jobs):
    request = clip_request(jobs, 25)
    sheet = Request(**{**vars(request), "kind": "preview", "options": {}})
    half = Request(**{**vars(request), "options": {"frame_steps": 2, "end": 1.0}})
    with working(jobs):
        found, part = jobs.estimate(request), jobs.estimate(half)
        assert found.measured
        assert (found.width, found.height, found.frames) == (48, 36, 25)
        assert (part.frames, part.seconds < found.seconds) == (12, True)
        assert found.memory > 1e8
        assert jobs.estimate(request) is found
        assert jobs.estimate(sheet).frames == 25
        job = jobs.create(clip_request(jobs, **LONG), "me").id
        wait_for_frame(jobs, job, 1)
        slow = {"frame_steps": 2, "flow": "farneback"}
        assert not jobs.estimate(Request(**{**vars(request), "options": slow})).measured
        jobs.cancel(job)
        wait_for_state(jobs, job, "cancelled")


def test_what_a_clip_took_replaces_what_was_measured_on_a_busy_machine(jobs, monkeypatch):
    monkeypatch.setattr(paces, "_SHORTEST", 0.0)
    request = clip_request(jobs, 12)
    with working(jobs):
        jobs.estimate(request)
        for name in facts(jobs, "pace", "the latest pace", "motion"):
            known = jobs.store.facts.get(name)
            slow = {key: value * 100 for key, value in known.items()} if isinstance(known, dict) \
                else known * 100  # fmt: skip
            jobs.store.facts.set(name, slow)
        before = make_jobs(jobs.store.folder).estimate(request)
        job = jobs.create(request, "me").id
        wait_for_state(jobs, job, "done")
        wait_for_change(lambda: jobs.store.facts.get(PACES_LEARNED), "a lesson")
        after = jobs.estimate(request)
    assert after.seconds < before.seconds / 5
    assert after.measured


def facts(jobs, *beginnings: str) -> list[str]:
    connection = sqlite3.connect(jobs.store.folder / "studio.db")
    names = [row[0] for row in connection.execute("SELECT name FROM facts")]
    connection.close()
    return [name for name in names if name.startswith(beginnings)]


# ---- keeping ------------------------------------------------------------------------------------


def test_clips_and_frames_count_and_go(tmp_path, monkeypatch):
    jobs = make_jobs(tmp_path, keep=100_000)
    request = clip_request(jobs)
    lost, torn = upload_clip(jobs, clip_bytes(), "lost.mp4").id, jobs.store.clips.file(new_id())
    torn.write_bytes(b"the server was killed meanwhile")
    job = jobs.create(request, "me").id
    jobs.store.jobs.take()
    frames = jobs.store.jobs.frames_folder(job)
    frames.mkdir(parents=True)
    (frames / "frame-000001.png").write_bytes(bytes(200_000))
    jobs.store.jobs.move(job, "cancelled")
    tidy(jobs)
    assert not frames.exists()
    assert known_clip(jobs.store, request.clip).frames == 4
    assert known_clip(jobs.store, lost).frames == 4
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)
    tidy(jobs)
    assert known_clip(jobs.store, request.clip).frames == 4
    with pytest.raises(NoSuchThing):
        known_clip(jobs.store, lost)
    assert not torn.exists()
    jobs.store.clips.file(request.clip).write_bytes(bytes(200_000))
    tidy(jobs)  # too much: the job goes, and what only it used
    assert jobs.history("me") == []
    assert files_in(jobs) == []


OLD = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, kind TEXT NOT NULL, request TEXT NOT NULL,
    state TEXT NOT NULL, created REAL NOT NULL, started REAL, ended REAL,
    progress TEXT NOT NULL DEFAULT '{}', error TEXT NOT NULL DEFAULT '',
    deaths INTEGER NOT NULL DEFAULT 0, watched INTEGER NOT NULL DEFAULT 0
);
INSERT INTO jobs (id, owner, kind, request, state, created, progress) VALUES (
    'AAAAAAAAAAAAAAAAAAAAAAAA', 'me', 'stylize', '{"kind": "stylize", "pictures": {"content": "x",
    "styles": ["y"]}, "recipe": "default", "settings": {}, "options": {}, "changes": {}}', 'done',
    1.0, '{"step": 3, "count": 3, "previews": 1, "seconds": 2.0}'
);
"""


def test_a_database_of_the_version_before_opens(tmp_path):
    (tmp_path / "studio").mkdir()
    connection = sqlite3.connect(tmp_path / "studio" / "studio.db")
    connection.executescript(OLD)
    connection.close()
    jobs = make_jobs(tmp_path / "studio")
    (old,) = jobs.history("me")
    assert (old.step, old.clip) == (3, None)
    assert jobs.create(clip_request(jobs), "me").state == "queued"
    assert isinstance(Store(tmp_path / "studio"), Store)


# ---- the API ------------------------------------------------------------------------------------


@pytest.fixture
def client(jobs):
    TestClient = pytest.importorskip("fastapi.testclient").TestClient
    with TestClient(build_app(jobs, Keys(), page=False), base_url="http://127.0.0.1:7860") as made:
        yield made


def send(client, data: bytes, name: str = "clip.mp4"):
    return client.post("/api/clips", files={"file": (name, data)})


def test_a_clip_from_its_upload_to_its_result(client, jobs):
    answer = send(client, clip_bytes(4, sound=True))
    assert answer.status_code == 201
    clip = answer.json()
    assert clip["frames"] == 4
    assert client.get(f"/api/clips/{clip['id']}").headers["content-type"] == "image/jpeg"
    painting = next(each for each in example_names() if "gogh" in each)
    body = {
        "kind": "video", "clip": clip["id"], "styles": [f"example:{painting}"],
        "settings": {"long_side": 48, "steps": 2, "coarsest": 0}, "options": {"frame_steps": 1},
    }  # fmt: skip
    created = client.post("/api/jobs", json=body)
    assert created.status_code == 201, created.text
    path = f"/api/jobs/{created.json()['id']}"
    assert client.patch(path, json={"style_weight": 3}).status_code == 409
    with working(jobs):
        wait_for_state(jobs, created.json()["id"], "done", "failed")
    found = client.get(path).json()
    assert found["error"] == ""
    assert found["clip"] == {
        "frame": 4, "frames": 4, "done": 4, "stage": 1, "stages": 1, "encoding": False
    }  # fmt: skip
    for query in ("", "?format=mp4"):
        made = client.get(f"{path}/result{query}")
        assert made.headers["content-type"] == "video/mp4"
        assert 'filename="clip-' in made.headers["content-disposition"]
    part = client.get(f"{path}/result", headers={"range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)  # as players ask
    assert client.get(f"{path}/result?format=png").status_code == 404
    assert "impasto video clip.mp4" in client.get(f"{path}/reproduction").json()["command"]


def test_what_the_api_refuses(client, jobs):
    assert client.get("/api/limits").json()["max_clip_bytes"] == 200_000
    assert client.get("/api/limits").json()["max_frames"] == 60
    answer = send(client, HLS.encode())
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("clip.mp4 is not a video of an allowed format")
    assert send(client, bytes(300_000)).status_code == 413
    assert client.post("/api/clips", content=bytes(5_000_000)).status_code == 413  # unread
    assert client.get(f"/api/clips/{new_id()}").status_code == 404
    assert client.get("/api/clips/..%2F..%2Fstudio.db").status_code == 404
    long = send(client, clip_bytes(72)).json()["id"]
    body = {"kind": "video", "clip": long, "styles": [f"example:{example_names()[0]}"]}
    answer = client.post("/api/jobs", json=body)
    assert answer.status_code == 413
    assert "choose a part of clip.mp4" in answer.json()["error"]
    body["clip"] = "file:///etc/passwd"
    answer = client.post("/api/jobs", json=body)
    assert (answer.status_code, "no such clip" in answer.json()["error"]) == (404, True)


def test_clips_may_be_larger_than_pictures(tmp_path):
    TestClient = pytest.importorskip("fastapi.testclient").TestClient
    jobs = make_jobs(tmp_path, max_bytes=1000, max_clip_bytes=30_000_000)
    with TestClient(build_app(jobs, Keys(), page=False), base_url="http://127.0.0.1:7860") as made:
        assert made.post("/api/pictures", content=bytes(9_000_000)).status_code == 413
        answer = send(made, bytes(9_000_000))
        assert (answer.status_code, "is not a video" in answer.text) == (400, True)


def test_options_of_clips_are_described(client):
    rows = {row["name"]: row for row in client.get("/api/settings?kind=video").json()}
    assert rows["frame_steps"]["of"] == "options"
    assert rows["flow"]["choices"] == ["dis", "farneback"]
    assert rows["distances"]["default"] == [1, 2, 4]
    assert rows["end"]["unit"] == "s"
    assert rows["long_side"]["of"] == "settings"
    assert set(rows) - {"sound"} > {
        row["name"] for row in client.get("/api/settings?kind=preview").json()
    }
