"""Jobs as they are painted: every kind, commands, interruptions, estimates."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path

import pytest
import torch

import impasto
from impasto.errors import SettingsError
from impasto.optimize.loop import Step
from impasto.pictures.files import load_image, load_picture, read_metadata
from impasto.settings.pictures import Settings
from impasto.studio.jobs.limits import NoSuchThing, QueueFull, StudioError
from impasto.studio.jobs.requests import Request
from impasto.studio.jobs.results import (
    command_line,
    losses,
    preview_file,
    python_lines,
    result_file,
    timelapse_file,
)
from impasto.studio.jobs.tables.rows import PACES_LEARNED, State
from impasto.studio.jobs.uploads import picture_file
from impasto.studio.worker import paces
from impasto.studio.worker.checkpoints import (
    plan_run,
    read_checkpoint,
    write_checkpoint,
)
from impasto.studio.worker.interrupts import Cause, Interrupted, Outcome
from studio_harness import (
    SMALL,
    make_jobs,
    picture_bytes,
    small_request,
    upload_picture,
    wait_for_change,
    wait_for_state,
    wait_for_step,
    working,
)

LONG = {"steps": 100_000}


@pytest.fixture
def jobs(tmp_path):
    return make_jobs(tmp_path / "studio")


def own_files(folder: Path) -> Path:
    """The files that were uploaded, as their owner has them."""
    (folder / "photo.png").write_bytes(picture_bytes(1))
    (folder / "painting.png").write_bytes(picture_bytes(2, (36, 34)))
    return folder


def test_a_result_can_be_made_again_from_its_own_metadata(jobs, tmp_path, command):
    with working(jobs):
        job = jobs.create(small_request(jobs), "me")
        done = wait_for_state(jobs, job.id, "done", "failed")
    assert (done.state, done.error) == ("done", "")
    assert done.has_result
    assert (done.step, done.count, done.remaining) == (4, 4, 0.0)
    assert [row["step"] for row in losses(jobs.store, job.id)] == [1, 2, 3, 4]
    assert set(done.losses) == {"content", "style", "tv"}
    folder = own_files(tmp_path)
    result = result_file(jobs.store, job.id)
    assert read_metadata(result)["content"]["name"] == "photo.png"
    again = folder / "again.png"
    outcome = command("redo", result, "-o", again, "--look-in", folder)
    assert outcome.code == 0, outcome.err
    assert bool((load_image(again) == load_image(result)).all())
    for suffix in (".jpg", ".tiff"):
        assert read_metadata(result_file(jobs.store, job.id, suffix)) == read_metadata(result)
    assert not (jobs.store.jobs.folder(job.id) / "checkpoint.npz").exists()


KINDS = {
    "stylize": ({"content": 1, "styles": [2]}, SMALL, {}),
    "texture": ({"styles": [2]}, {"steps": 3}, {"width": 40, "height": 32}),
    "recolor": ({"content": 1, "styles": [2]}, {}, {"method": "pca", "strength": 0.5}),
    "reconstruct": ({"content": 1}, {"steps": 3, "long_side": 32}, {"layer": "relu2_1"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_and_the_python_lines_make_the_same_picture(
    jobs, tmp_path, monkeypatch, command, kind
):
    roles, settings, options = KINDS[kind]
    ids = {
        1: upload_picture(jobs, picture_bytes(1), "photo.png", "me").id,
        2: upload_picture(jobs, picture_bytes(2, (36, 34)), "painting.png", "me").id,
    }
    pictures = {
        role: [ids[each] for each in given] if isinstance(given, list) else ids[given]
        for role, given in roles.items()
    }
    request = Request(kind=kind, pictures=pictures, settings=settings, options=options)
    with working(jobs):
        job = jobs.create(request, "me").id
        done = wait_for_state(jobs, job, "done", "failed")
    assert done.error == ""
    result = load_image(result_file(jobs.store, job))
    monkeypatch.chdir(own_files(tmp_path))
    words = shlex.split(command_line(jobs.store, job))
    outcome = command(*words[1:])
    assert outcome.code == 0, outcome.err
    made = Path(words[words.index("-o") + 1])
    assert bool((load_image(made) == result).all())
    assert read_metadata(result_file(jobs.store, job)) == read_metadata(made)
    made.unlink()
    exec(compile(python_lines(jobs.store, job), "lines", "exec"), {})
    assert bool((load_image(made) == result).all())


def test_masks_keep_the_photo(jobs):
    import io

    from PIL import Image

    half = Image.new("L", (40, 32), 0)
    half.paste(255, (0, 0, 20, 32))
    buffer = io.BytesIO()
    half.save(buffer, "png")
    request = small_request(jobs)
    mask = upload_picture(jobs, buffer.getvalue(), "mask.png", "me").id
    request = request.with_pictures({**request.pictures, "masks": [mask]})
    request = Request(
        pictures=request.pictures, settings={"long_side": 40, "steps": 3, "coarsest": 0}
    )
    with working(jobs):
        job = jobs.create(request, "me").id
        assert wait_for_state(jobs, job, "done", "failed").error == ""
    result = load_image(result_file(jobs.store, job))
    photo = load_image(picture_file(jobs.store, request.pictures["content"]))
    assert bool((result[..., 20:] == photo[..., 20:]).all())
    assert not bool((result[..., :20] == photo[..., :20]).all())
    assert "--mask mask.png" in command_line(jobs.store, job)


def test_previews_follow_and_a_stop_keeps_the_picture(jobs):
    with working(jobs):
        job = jobs.create(small_request(jobs, **LONG), "me").id
        seen = set()

        def three() -> bool:
            now = jobs.job(job)
            seen.add(now.previews)
            return len(seen - {0}) >= 3

        wait_for_change(three, "three previews")
        preview = preview_file(jobs.store, job)
        assert preview is not None
        assert load_picture(preview).size == (26, 32)
        with pytest.raises(NoSuchThing, match="the job is running"):
            result_file(jobs.store, job)
        jobs.stop(job)
        done = wait_for_state(jobs, job, "stopped")
    assert done.has_result
    assert read_metadata(result_file(jobs.store, job))["finished"] is False
    film = timelapse_file(jobs.store, job, ".gif")
    assert film.read_bytes().startswith(b"GIF8")


def test_pause_and_resume_change_nothing(jobs, tmp_path):
    settings = {"steps": 15}
    with working(jobs):
        plain = jobs.create(small_request(jobs, **settings), "me").id
        wait_for_state(jobs, plain, "done")
        job = jobs.create(small_request(jobs, **settings), "me").id
        wait_for_state(jobs, job, "running")
        jobs.pause(job)
        paused = wait_for_state(jobs, job, "paused", "done")
        if paused.state == "paused":  # else it was quicker than the command
            assert jobs.job(job).step == wait_for_step(jobs, job).step
            jobs.resume(job)
        wait_for_state(jobs, job, "done")
    assert bool(
        (
            load_image(result_file(jobs.store, plain)) == load_image(result_file(jobs.store, job))
        ).all()
    )


def test_a_paused_job_makes_way_and_is_taken_up_again(jobs):
    with working(jobs):
        job = jobs.create(small_request(jobs, **LONG), "me").id
        wait_for_step(jobs, job)
        jobs.pause(job)
        wait_for_state(jobs, job, "paused")
        other = jobs.create(small_request(jobs), "me").id
        wait_for_state(jobs, other, "done")
        assert jobs.job(job).state == "paused"
        before = jobs.job(job).step
        jobs.resume(job)
        after = wait_for_step(jobs, job, before + 1)
        assert after.continued == [{"step": before, "after": "an interruption"}]
        jobs.stop(job)
        wait_for_state(jobs, job, "stopped")
    assert read_metadata(result_file(jobs.store, job))["continued"][0]["step"] == before


def test_a_paused_job_is_cancelled_while_another_is_painted(jobs):
    with working(jobs):
        job = jobs.create(small_request(jobs, **LONG), "me").id
        wait_for_step(jobs, job)
        jobs.pause(job)
        wait_for_state(jobs, job, "paused")
        other = jobs.create(small_request(jobs, **LONG), "me").id
        wait_for_step(jobs, other)
        jobs.cancel(job)
        wait_for_state(jobs, job, "cancelled")
        assert jobs.job(other).state == "running"
        jobs.cancel(other)
        wait_for_state(jobs, other, "cancelled")
    assert not jobs.job(job).has_result


def test_other_weights_go_on_from_the_present_picture(jobs):
    with working(jobs):
        job = jobs.create(small_request(jobs, **LONG), "me").id
        before = wait_for_step(jobs, job, 3)
        jobs.change(job, content_weight=0.5, style_weight=40.0)
        wait_for_change(lambda: jobs.job(job).continued, "a note of the change")
        after = wait_for_step(jobs, job, jobs.job(job).continued[0]["step"] + 1)
        jobs.stop(job)
        wait_for_state(jobs, job, "stopped")
    assert after.continued[0]["after"] == "a change"
    assert after.continued[0]["step"] >= before.step
    noted = read_metadata(result_file(jobs.store, job))
    assert noted["settings"]["content_weight"] == 0.5
    assert noted["settings"]["style_weight"] == 40.0
    assert "--content-weight 0.5" in command_line(jobs.store, job)
    with pytest.raises(
        StudioError, match="the job is stopped; the command change is only for running"
    ):
        jobs.change(job, style_weight=1.0)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"style_weight": -1.0}, "style_weight: -1"),
        ({"style_weight": "much"}, "'much' is not a number"),
        ({"style_weight": [1.0, 2.0]}, "2 numbers"),
        ({"style_weight": 0.0, "content_weight": 0.0}, "at least one must be above 0"),
    ],
)
def test_weights_that_are_refused(jobs, weights, words):
    job = jobs.create(small_request(jobs), "me").id
    jobs.store.jobs.take()
    with pytest.raises(SettingsError, match=words):
        jobs.change(job, **weights)
    assert jobs.store.commands.waiting(job) == []


def test_cancel_keeps_nothing(jobs):
    with working(jobs):
        job = jobs.create(small_request(jobs, **LONG), "me").id
        wait_for_step(jobs, job)
        jobs.cancel(job)
        done = wait_for_state(jobs, job, "cancelled")
        assert not done.has_result
        jobs.delete(job)
    assert not jobs.store.jobs.folder(job).exists()


def test_the_time_limit_keeps_the_picture(tmp_path):
    jobs = make_jobs(tmp_path, max_time=0.01)
    with working(jobs):
        job = jobs.create(small_request(jobs, **LONG), "me").id
        done = wait_for_state(jobs, job, "stopped")
    assert done.error == "stopped at the time limit of the studio, 0.01 s"
    assert done.has_result


def test_a_job_goes_on_from_its_last_preview(jobs):
    """A worker that goes leaves what the next one, or one after a crash, begins with."""
    with working(jobs):
        job = jobs.create(small_request(jobs, **LONG), "me").id
        wait_for_step(jobs, job, 3)
    left = jobs.job(job)
    assert left.state == "running"
    start = read_checkpoint(jobs.store.jobs.folder(job) / "checkpoint.npz")
    assert start is not None
    assert start.index == left.step
    jobs.store.jobs.move(job, "queued")
    with working(jobs):
        after = wait_for_step(jobs, job, left.step + 1)
        assert after.continued == [{"step": left.step, "after": "an interruption"}]
        assert after.seconds >= left.seconds
        jobs.stop(job)
        wait_for_state(jobs, job, "stopped")


def test_a_failed_job_is_resumed_from_its_last_preview(jobs):
    """And may strike down three workers again before it is given up."""
    job = jobs.create(small_request(jobs, steps=60), "me").id
    with working(jobs):
        wait_for_step(jobs, job, 3)
    jobs.store.jobs.count_death(job)
    jobs.store.jobs.move(job, "failed", error="struck down")
    left = jobs.job(job).step
    assert jobs.resume(job).position == 1
    assert (jobs.job(job).error, jobs.store.jobs.get(job).deaths) == ("", 0)
    with working(jobs):
        done = wait_for_state(jobs, job, "done", "failed")
    assert done.continued[0]["step"] == left
    with pytest.raises(StudioError, match="is done; the command resume is only for paused"):
        jobs.resume(job)


def test_a_failed_job_queues_as_others_do(tmp_path):
    jobs = make_jobs(tmp_path / "studio", queue=1)
    job = jobs.create(small_request(jobs), "me").id
    jobs.store.jobs.move(job, "failed")
    jobs.create(small_request(jobs), "me")
    with pytest.raises(QueueFull):
        jobs.resume(job)
    assert jobs.job(job).state == "failed"


def test_what_cannot_be_painted_fails_and_the_next_is_painted(jobs):
    tiny = upload_picture(jobs, picture_bytes(1, (4, 4)), "tiny.png", "me").id
    good = small_request(jobs)
    bad = good.with_pictures({**good.pictures, "content": tiny})
    lost = good.with_pictures({**good.pictures, "content": upload_picture(
jobs,         picture_bytes(5), "lost.png", "me").id})  # fmt: skip
    first, second, third = (jobs.create(each, "me").id for each in (bad, lost, good))
    picture_file(jobs.store, lost.pictures["content"]).unlink()
    with working(jobs):
        assert "tiny.png: 4 x 4 px" in wait_for_state(jobs, first, "failed").error
        assert wait_for_state(jobs, second, "failed").error == "the picture lost.png was deleted"
        wait_for_state(jobs, third, "done")


def test_estimates(jobs):
    request = small_request(jobs)
    with working(jobs):
        found = jobs.estimate(request)
        assert found.measured
        assert (found.width, found.height) == (32, 26)
        assert found.seconds > 0
        assert found.memory > 1e8
        assert [row["steps"] for row in found.levels] == [4]
        assert jobs.estimate(request) is found  # the page asks whenever a slider moves
        job = jobs.create(small_request(jobs, **LONG), "me").id
        wait_for_step(jobs, job)
        other = small_request(jobs, statistic="gram")
        assert not jobs.estimate(other).measured  # what is painted comes first
        jobs.cancel(job)
        wait_for_state(jobs, job, "cancelled")
        tiny = upload_picture(jobs, picture_bytes(1, (4, 4)), "tiny.png", "me").id
        with pytest.raises(StudioError, match="is too small"):
            jobs.estimate(request.with_pictures({**request.pictures, "content": tiny}))


def test_what_a_job_took_replaces_what_was_measured_on_a_busy_machine(jobs, monkeypatch):
    monkeypatch.setattr(paces, "_SHORTEST", 0.0)
    request = small_request(jobs, steps=20)
    settings = Settings.from_dict(jobs.create(request, "nobody").request["settings"])
    jobs.cancel(jobs.history("nobody")[0].id)
    for name in (paces._name(settings), paces._LATEST):  # as a starved machine measures
        jobs.store.facts.set(name, {"fixed": 10.0, "step": 1e-3, "forward": 1e-3})
    with working(jobs):
        before = jobs.estimate(request)
        assert before.measured
        assert before.seconds > 200
        job = jobs.create(request, "me").id
        wait_for_state(jobs, job, "done")
        wait_for_change(lambda: jobs.store.facts.get(PACES_LEARNED), "a lesson")
        after = jobs.estimate(request)
    assert after.seconds < before.seconds / 5
    pace = jobs.store.facts.get(paces._LATEST)
    assert pace["fixed"] / pace["step"] == pytest.approx(1e4)


def test_what_was_interrupted_teaches_nothing(jobs, monkeypatch):
    monkeypatch.setattr(paces, "_SHORTEST", 0.0)
    jobs.store.facts.set(paces._LATEST, {"fixed": 10.0, "step": 1e-3, "forward": 1e-3})
    with working(jobs):
        stopped = jobs.create(small_request(jobs, **LONG), "me").id
        wait_for_step(jobs, stopped)
        jobs.stop(stopped)
        wait_for_state(jobs, stopped, "stopped")
    assert jobs.store.facts.get(PACES_LEARNED) is None


# ---- going on -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["stylize", "texture"])
def test_steps_of_a_run_that_is_gone_on_with_are_numbered_on(jobs, kind):
    request = small_request(jobs, long_side=64, steps=9, coarsest=32)
    if kind == "texture":
        styles = {"styles": request.pictures["styles"]}
        request = Request(
            kind=kind, pictures=styles, settings={"steps": 9, "coarsest": 32},
            options={"width": 64, "height": 48},
        )  # fmt: skip
    run = plan_run(jobs.create(request, "me").request, jobs.store)
    whole = list(run.steps(None))
    assert len(run.levels) > 1
    middle = whole[4]
    rest = list(run.steps(middle))
    assert [each.index for each in rest] == [6, 7, 8, 9]
    assert [each.level for each in rest] == [each.level for each in whole[5:]]
    assert {(each.count, each.levels) for each in rest} == {(9, len(run.levels))}


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [
        (Cause.SHUTDOWN, Outcome(None)),
        (Cause.PREEMPTED, Outcome(None)),
        (Cause.CANCEL, Outcome(State.CANCELLED)),
        (Cause.STOP, Outcome(State.STOPPED, "its page was closed")),
    ],
)
def test_how_an_interruption_ends_a_job(cause, outcome):
    assert Interrupted(cause, reason="its page was closed").outcome == outcome


def test_a_damaged_checkpoint_is_none(tmp_path):
    path = tmp_path / "checkpoint.npz"
    assert read_checkpoint(path) is None
    write_checkpoint(path, Step(torch.rand(1, 3, 8, 8), {}, 3, 9, level=1, seconds=2.5))
    found = read_checkpoint(path)
    assert found is not None
    assert (found.index, found.level, found.seconds) == (3, 1, 2.5)
    path.write_bytes(path.read_bytes()[:100])
    assert read_checkpoint(path) is None


def test_a_job_is_painted_by_one_worker_only(jobs):
    """Two workers on one store, as when one outlives its server for a moment."""
    request = small_request(jobs)
    ids = [jobs.create(request, "me").id for _ in range(4)]
    with working(jobs), working(jobs):
        for each in ids:
            assert wait_for_state(jobs, each, "done", "failed").error == ""
    assert threading.active_count() < 10
    assert impasto.__version__
