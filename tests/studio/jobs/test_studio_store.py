"""What the studio remembers, without a worker: jobs, commands, pictures, limits, clean-up."""

from __future__ import annotations

import io
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageCms

from impasto.errors import ImageError, SettingsError
from impasto.pictures.files import load_picture
from impasto.settings.pictures import Settings
from impasto.studio.jobs.jobs import Jobs
from impasto.studio.jobs.limits import (
    Limits,
    NoSuchThing,
    QueueFull,
    StudioError,
    TooLarge,
)
from impasto.studio.jobs.requests import KINDS, Request, check_request, describe_settings
from impasto.studio.jobs.results import command_line, losses, preview_file, result_file
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.tables.database import new_id
from impasto.studio.jobs.uploads import (
    add_example,
    bare_name,
    example_names,
    picture_file,
    read_picture,
)
from impasto.studio.supervisor import recover, tidy
from studio_harness import make_jobs, picture_bytes, small_request, upload_picture


def test_ids_cannot_be_guessed():
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(each) == 24 for each in ids)


def test_a_folder_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudioError, match="cannot be used for the studio's data"):
        Store(tmp_path / "file")


def test_jobs_are_taken_in_their_order(tmp_path):
    jobs = make_jobs(tmp_path)
    request = small_request(jobs)
    first, second = jobs.create(request, "me"), jobs.create(request, "me")
    assert (first.position, second.position) == (1, 2)
    assert jobs.store.jobs.take().id == first.id
    assert jobs.job(first.id).state == "running"
    assert jobs.job(second.id).position == 1
    assert jobs.store.jobs.take().id == second.id
    assert jobs.store.jobs.take() is None


def test_two_jobs_of_one_clock_tick_have_different_positions(tmp_path, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    jobs = make_jobs(tmp_path)
    request = small_request(jobs)
    first, second = jobs.create(request, "me"), jobs.create(request, "me")
    assert first.created == second.created
    assert [jobs.job(each.id).position for each in (first, second)] == [1, 2]
    assert jobs.store.jobs.take().id == first.id  # the order in which they are painted


def test_two_workers_never_take_the_same_job(tmp_path):
    jobs = make_jobs(tmp_path)
    request = small_request(jobs)
    for _ in range(20):
        jobs.create(request, "me")
    taken: list[str] = []

    def take() -> None:
        store = Store(tmp_path)
        while (row := store.jobs.take()) is not None:
            taken.append(row.id)
        store.close()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(taken) == len(set(taken)) == 20


def test_the_queue_is_limited_also_for_those_who_ask_at_once(tmp_path):
    jobs = make_jobs(tmp_path, queue=3)
    request, full = small_request(jobs), []

    def create() -> None:
        try:
            jobs.create(request, "me")
        except QueueFull as error:
            full.append(str(error))
        jobs.store.close()

    threads = [threading.Thread(target=create) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(full) == 5
    assert full[0].startswith("the queue is full: 3 jobs are waiting")
    assert jobs.queue() == {"waiting": 3, "running": 0, "paused": 0, "limit": 3}


def test_an_ended_job_never_changes(tmp_path):
    jobs = make_jobs(tmp_path)
    job = jobs.create(small_request(jobs), "me").id
    assert jobs.cancel(job).state == "cancelled"
    assert not jobs.store.jobs.move(job, "done")
    with pytest.raises(StudioError, match="the command cancel is only for running or paused"):
        jobs.cancel(job)
    assert jobs.store.jobs.take() is None


def test_everything_survives_a_restart(tmp_path):
    jobs = make_jobs(tmp_path)
    first = jobs.create(small_request(jobs), "me")
    jobs.store.jobs.take()
    jobs.store.jobs.report(
        first.id, {"step": 3, "count": 4, "losses": {"style": 1.0}}, [{"step": 3}]
    )
    jobs.store.close()
    again = make_jobs(tmp_path)
    recover(again, "the studio was restarted")
    assert again.history("me")[0].step == 3
    assert again.job(first.id).state == "queued"
    assert losses(again.store, first.id) == [{"step": 3}]


def test_a_job_that_strikes_down_every_worker_fails(tmp_path):
    jobs = make_jobs(tmp_path)
    job = jobs.create(small_request(jobs), "me").id
    for _ in range(3):
        assert jobs.store.jobs.take().id == job
        recover(jobs, "the worker ended unexpectedly (signal 9)", blame=True)
    assert jobs.job(job).state == "failed"
    assert jobs.job(job).error == (
        "the worker ended unexpectedly (signal 9), 3 times while it painted this job"
    )


def test_history_is_a_sessions_own(tmp_path):
    jobs = make_jobs(tmp_path)
    mine = jobs.create(small_request(jobs), "me").id
    jobs.create(small_request(jobs, "you"), "you")
    assert [each.id for each in jobs.history("me")] == [mine]
    assert jobs.history("nobody") == []


def test_a_closed_page_stops_its_jobs_and_no_others(tmp_path, monkeypatch):
    jobs = make_jobs(tmp_path, grace=60)
    request = small_request(jobs)
    running, waiting = (jobs.create(request, "me", watched=True).id for _ in range(2))
    other = jobs.create(request, "me").id
    assert jobs.store.jobs.take().id == running
    jobs.stop_unwatched()
    assert jobs.job(waiting).state == "queued"
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    jobs.stop_unwatched()
    assert jobs.job(waiting).state == "cancelled"
    assert jobs.store.commands.take(running) == ("stop", {"reason": "its page was closed"})
    assert jobs.job(other).state == "queued"


def test_after_a_restart_pages_have_time_to_come_back(tmp_path):
    jobs = make_jobs(tmp_path, grace=60)
    job = jobs.create(small_request(jobs), "me", watched=True).id
    again = make_jobs(tmp_path, grace=60)
    again.stop_unwatched()
    assert again.job(job).state == "queued"


def test_the_oldest_results_make_room(tmp_path):
    jobs = make_jobs(tmp_path, keep=100_000)
    request, ids = small_request(jobs), []
    for _ in range(3):
        ids.append(jobs.create(request, "me").id)
        jobs.store.jobs.take()
        jobs.store.jobs.folder(ids[-1]).mkdir()
        (jobs.store.jobs.folder(ids[-1]) / "result.png").write_bytes(bytes(40_000))
        jobs.store.jobs.move(ids[-1], "done")
    tidy(jobs)
    assert [each.id for each in jobs.history("me")] == [ids[2], ids[1]]
    assert not jobs.store.jobs.folder(ids[0]).exists()
    with pytest.raises(NoSuchThing):
        jobs.job(ids[0])
    tidy(jobs)
    assert len(jobs.history("me")) == 2


def test_old_results_and_unused_uploads_go(tmp_path, monkeypatch):
    jobs = make_jobs(tmp_path)
    job = jobs.create(small_request(jobs), "me")
    lost = upload_picture(jobs, picture_bytes(), "lost.png", "me").id
    used = job.request["pictures"]["content"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)
    tidy(jobs)
    with pytest.raises(NoSuchThing):
        picture_file(jobs.store, lost)
    assert picture_file(jobs.store, used).is_file()
    jobs.cancel(job.id)
    monkeypatch.setattr(time, "time", lambda: now + 40 * 86400)
    tidy(jobs)
    assert jobs.history("me") == []
    assert list((tmp_path / "pictures").iterdir()) == []


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 24 + "/", "ä" * 24, "." * 24, "x"])
def test_only_ids_lead_to_files(tmp_path, name):
    jobs = make_jobs(tmp_path)
    with pytest.raises(NoSuchThing):
        jobs.job(name)
    for look in (picture_file, preview_file, result_file, losses):
        with pytest.raises(NoSuchThing):
            look(jobs.store, name)
    with pytest.raises(NoSuchThing):
        jobs.store.jobs.folder(name)


# ---- uploads ------------------------------------------------------------------------------------


def with_place(data: bytes) -> bytes:
    """A JPEG of a picture with a camera, an orientation and a place in its EXIF."""
    exif = Image.Exif()
    exif[0x0110] = "a camera"
    exif[0x0112] = 6  # a quarter turn
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.9)  # GPS latitude
    exif.get_ifd(0x8825)[1] = "N"
    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).save(buffer, "jpeg", exif=exif, quality=95)
    return buffer.getvalue()


def test_nothing_but_pixels_is_kept_of_an_upload(tmp_path):
    jobs = make_jobs(tmp_path)
    data = with_place(picture_bytes(size=(40, 32)))
    assert b"a camera" in data
    upload = upload_picture(jobs, data, "photo.jpg", "me")
    assert (upload.width, upload.height) == (32, 40)  # upright
    kept = picture_file(jobs.store, upload.id).read_bytes()
    assert kept.startswith(b"\x89PNG")
    assert b"a camera" not in kept
    with Image.open(picture_file(jobs.store, upload.id)) as picture:
        assert not picture.getexif()
        assert not picture.getexif().get_ifd(0x8825)


def srgb_with(profile: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(profile)).tobytes()


@pytest.mark.parametrize("kind", ["jpeg", "png", "palette", "alpha", "deep", "profile"])
def test_what_is_read_of_it_is_the_same_to_the_last_bit(tmp_path, kind):
    jobs = make_jobs(tmp_path)
    values = np.random.default_rng(3).integers(0, 256, (20, 24, 4), dtype=np.uint8)
    picture, buffer = Image.fromarray(values), io.BytesIO()
    if kind == "jpeg":
        picture.convert("RGB").save(buffer, "jpeg")
    elif kind == "palette":
        picture.convert("RGB").quantize(16).save(buffer, "png")
    elif kind == "alpha":
        picture.save(buffer, "png")
    elif kind == "deep":
        deep = values[..., :1].astype(np.uint16)[..., 0] * 256 + 7
        Image.fromarray(deep).save(buffer, "png")
    elif kind == "profile":
        picture.convert("RGB").save(buffer, "jpeg", icc_profile=srgb_with("sRGB"))
    else:
        picture.convert("RGB").save(buffer, "png")
    own = tmp_path / "own.bin"
    own.write_bytes(buffer.getvalue())
    expected = load_picture(own)
    upload = upload_picture(jobs, buffer.getvalue(), "own.bin", "me")
    found = read_picture(jobs.store, upload.id)
    assert bool((found.image == expected.image).all())
    assert (found.name, found.sha256) == (expected.name, expected.sha256)
    if kind == "alpha":
        assert bool((found.alpha == expected.alpha).all())
    else:
        assert found.alpha is None


def test_a_picture_that_cannot_be_kept_exactly_is_known_by_what_is_kept(tmp_path):
    jobs = make_jobs(tmp_path)
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).random((20, 20), dtype=np.float32)).save(
        buffer, "tiff"
    )
    upload = upload_picture(jobs, buffer.getvalue(), "floats.tiff", "me")
    found, kept = (
        read_picture(jobs.store, upload.id),
        load_picture(picture_file(jobs.store, upload.id)),
    )
    assert found.sha256 == kept.sha256


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"no picture", ImageError, "evil.png is not a picture"),
        (b"", ImageError, "evil.png is empty"),
        (picture_bytes(size=(200, 200)), ImageError, "evil.png"),
        (bytes(1_000_001), TooLarge, "evil.png has 1.0 MB; the studio allows 1 MB"),
    ],
)
def test_uploads_that_are_refused(tmp_path, data, error, words):
    jobs = make_jobs(tmp_path, max_bytes=1_000_000, max_pixels=10_000)
    with pytest.raises(error, match=words):
        upload_picture(jobs, data, "../evil.png", "me")
    assert list((tmp_path / "pictures").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\photo.jpg", "photo.jpg"),
        ("a\r\nb\0.png", "ab.png"),
        ("..", "picture"),
        ("", "picture"),
        ("x" * 300 + ".jpeg", "x" * 75 + ".jpeg"),
        ('a"b<c>.png', "a_b_c_.png"),
        ("\ud800.png", "png"),
    ],
)
def test_names_are_no_paths(name, bare):
    assert bare_name(name) == bare
    assert len(bare_name(name)) <= 80


def test_bundled_pictures(tmp_path):
    jobs = make_jobs(tmp_path)
    assert "neuschwanstein.jpg" in example_names()
    assert add_example(jobs.store, "neuschwanstein.jpg", "me", jobs.limits).width == 1024
    with pytest.raises(NoSuchThing, match="bundled pictures"):
        add_example(jobs.store, "../vgg19.safetensors", "me", jobs.limits)


# ---- requests -----------------------------------------------------------------------------------

PICTURES = {"content": "c", "styles": ["s"]}


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(kind="stilize"), "kind: 'stilize' is not one of .*did you mean stylize"),
        (Request(pictures={"content": "c"}), "the kind stylize needs styles"),
        (Request(pictures={**PICTURES, "style": "s"}), "takes content, styles, masks"),
        (Request(pictures={**PICTURES, "masks": ["m", "m"]}), "masks: 2 for 1 style;"),
        (Request(pictures={"content": "c", "styles": ["s"] * 9}), "9 are given, .* at most 8"),
        (Request(pictures={"content": "c", "styles": [None, "s"]}), "null is not allowed"),
        (Request(pictures={"content": 3, "styles": ["s"]}), "3 is not the id of a picture"),
        (Request(pictures=PICTURES, recipe="nope"), "recipe: 'nope' is not one of"),
        (Request(pictures=PICTURES, settings={"stile_weight": 1}), "did you mean style_weight"),
        (Request(pictures=PICTURES, settings={"steps": "many"}), "'many' is not a whole number"),
        (Request(pictures=PICTURES, settings={"weights": "/etc/passwd"}), "opens no files"),
        (Request(pictures=PICTURES, settings={"weights": "torchvision"}), "downloads nothing"),
        (Request(pictures=PICTURES, settings={"init": "/etc/passwd"}), "opens no files"),
        (Request(pictures=PICTURES, settings={"init": ["x"]}), "opens no files"),
        (Request(pictures=PICTURES, settings={"style_weight": [1, 2]}), "2 numbers"),
        (Request(pictures=PICTURES, options={"seamless": True}), "no such option"),
        (
            Request(kind="texture", pictures={"styles": ["s"]}, settings={"color": "pca"}),
            "no such setting of the kind texture",
        ),
        (
            Request(kind="texture", pictures={"styles": ["s"]}, options={"width": 10**9}),
            "width: 1000000000 is not between",
        ),
        (Request(kind="recolor", pictures=PICTURES, options={"method": "x"}), "not one of"),
        (Request(kind="recolor", pictures=PICTURES, recipe="fast"), "has only the recipe default"),
        (
            Request(kind="reconstruct", pictures={"content": "c"}, options={"layer": "relu9_9"}),
            "relu9_9",
        ),
    ],
)
def test_requests_that_are_refused(request_, words):
    with pytest.raises(SettingsError, match=words):
        check_request(request_, Limits())


def test_a_checked_request_is_complete_and_can_be_checked_again():
    checked = check_request(Request(pictures=PICTURES, settings={"steps": 7}), Limits())
    assert checked.settings == Settings(steps=7).to_dict()
    assert checked.changes == {"steps": 7}
    again = check_request(replace(checked, changes={}), Limits())
    assert again.settings == checked.settings


def test_too_large_a_result(tmp_path):
    jobs = make_jobs(tmp_path, max_pixels=10_000)
    with pytest.raises(TooLarge, match="megapixels"):
        jobs.create(small_request(jobs, long_side=5000), "me")
    texture = Request(kind="texture", pictures={"styles": ["s"]}, options={"width": 512})
    with pytest.raises(TooLarge):
        check_request(texture, jobs.limits)


@pytest.mark.parametrize("kind", KINDS)
def test_forms_know_every_setting(kind):
    rows = describe_settings(kind)
    names = [row["name"] for row in rows if row["of"] == "settings"]
    assert set(names) == set(KINDS[kind].settings)
    if kind == "stylize":
        assert set(names) == set(Settings().to_dict())
    for row in rows:
        assert row["help"]
        if row["type"] == "choice":
            assert row["default"] in row["choices"]


@pytest.mark.parametrize("kind", ["texture", "recolor", "reconstruct", "video", "preview"])
def test_the_defaults_of_a_form_are_accepted(kind):
    rows = describe_settings(kind)
    given = {of: {row["name"]: row["default"] for row in rows if row["of"] == of}
             for of in ("settings", "options")}  # fmt: skip
    pictures = {role: ["s"] if role == "styles" else "c" for role in KINDS[kind].needs}
    checked = check_request(Request(kind=kind, pictures=pictures, **given), Limits())
    assert dict(checked.options) == given["options"]
    assert given["settings"].items() <= checked.settings.items()


def test_an_unknown_picture(tmp_path):
    jobs = make_jobs(tmp_path)
    request = Request(pictures={"content": new_id(), "styles": [new_id()]})
    with pytest.raises(NoSuchThing, match="there is no such picture"):
        jobs.create(request, "me")


def test_jobs_is_safe_to_make_twice(tmp_path):
    make_jobs(tmp_path)
    assert isinstance(make_jobs(tmp_path), Jobs)


def test_a_job_of_an_earlier_version_keeps_its_settings(tmp_path):
    """Its former names, as they lie in the database, are read as the present ones."""
    jobs = make_jobs(tmp_path)
    job = jobs.create(small_request(jobs, normalized=True, neighbors=300), "me").id
    jobs.store.jobs._database.run(
        "UPDATE jobs SET request = replace(replace(request, 'normalized\"', 'normalised\"'), "
        "'neighbors', 'neighbours')"
    )
    row = jobs.store.jobs.get(job)
    assert row.request["changes"]["normalized"] is True
    line = command_line(jobs.store, job)
    assert "--normalized" in line
    assert "--neighbors 300" in line
    request = small_request(jobs, normalised=True)
    assert check_request(request, Limits()).settings["normalized"] is True
