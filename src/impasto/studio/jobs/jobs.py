"""What a browser or a program may do in the studio: the one door to store and worker.

Everything the page and the HTTP API offer is a method of `Jobs`; neither touches the store itself.
Methods are quick (but uploads and `estimate`, which may take seconds), safe to call from any
thread, and raise an ImpastoError whose message can be shown as it is. Whoever knows a job's id may
see and command it; ids cannot be guessed, and only a session's own are listed to it.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from impasto.settings.pictures import Settings
from impasto.studio.jobs import clip_uploads as clips, reproduce, uploads as pictures
from impasto.studio.jobs.limits import Busy, Limits, NoSuchThing, QueueFull, StudioError
from impasto.studio.jobs.requests import Request, check_request, check_size
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.tables.rows import (
    ALIVE,
    ENDED,
    PACES_LEARNED,
    Command,
    State,
    StoredClip,
    StoredJob,
    StoredPicture,
)
from impasto.studio.jobs.views import ClipProgress, Estimate, Job, Upload, UploadedClip

__all__ = ["RESULTS", "Estimate", "Job", "Jobs", "Upload", "UploadedClip"]

# Forms of a result: suffix → its media type. TIFF has 16 bits a channel.
RESULTS = {
    ".png": "image/png", ".jpg": "image/jpeg", ".tiff": "image/tiff", ".mp4": "video/mp4"
}  # fmt: skip
_CURVE = 200  # points are enough for a small one
_PATIENCE = 30.0  # seconds to wait for an estimate


class Jobs:
    """The studio's jobs.

    Args:
        store: where they are kept; a worker that looks into the same one paints them.
        limits: what is allowed.
    """

    def __init__(self, store: Store, limits: Limits) -> None:
        self.store = store
        self.limits = limits
        self._seen: dict[str, float] = {}  # when a page last asked for a job
        self._decoding = threading.Semaphore(2)  # large pictures at once, for memory's sake
        self._estimates: dict[str, Estimate] = {}

    # ---- pictures -------------------------------------------------------------------------------

    def upload(self, data: bytes, name: str, owner: str) -> Upload:
        """Keep a picture (a file's bytes), re-encoded and without its EXIF.

        Raises: TooLarge, ImageError.
        """
        with self._decoding:
            return _upload(pictures.add_upload(self.store, data, name, owner, self.limits))

    def example(self, name: str, owner: str) -> Upload:
        """Keep a bundled picture as if it had been uploaded; see `examples`."""
        with self._decoding:
            return _upload(pictures.add_example(self.store, name, owner, self.limits))

    def examples(self) -> list[str]:
        """List the names of the bundled pictures."""
        return pictures.example_names()

    def known(self, picture: str) -> Upload:
        """Tell what is known of an upload. Raises: NoSuchThing."""
        self.picture(picture)
        return _upload(self.store.pictures.get(picture))

    def picture(self, picture: str) -> Path:
        """Return the (re-encoded) PNG file of an upload. Raises: NoSuchThing."""
        path = self.store.pictures.file(self.store.pictures.get(picture))
        if not path.is_file():
            raise NoSuchThing("there is no such picture; it may have been cleaned up")
        return path

    # ---- clips ----------------------------------------------------------------------------------

    def upload_clip(self, file: BinaryIO, name: str, owner: str) -> UploadedClip:
        """Keep a clip, once it has been opened and its first frame read.

        Raises: TooLarge, VideoError.
        """
        with self._decoding:
            return _uploaded(clips.add_clip(self.store, file, name, owner, self.limits))

    def clip(self, clip: str) -> UploadedClip:
        """Tell what is known of a clip. Raises: NoSuchThing."""
        return _uploaded(self.store.clips.get(clip))

    def poster(self, clip: str) -> Path:
        """Return the file of a clip's first frame, a JPEG. Raises: NoSuchThing."""
        self.store.clips.get(clip)
        return self.store.clips.first_frame(clip)

    # ---- making jobs ----------------------------------------------------------------------------

    def create(self, request: Request, owner: str, *, watched: bool = False) -> Job:
        """Queue a job.

        Args:
            request: what is asked for; see `kinds.Request` and `kinds.describe_settings`.
            owner: the session it is listed to.
            watched: stop it when nobody has called `touch` for the grace time: for pages, which
                may be closed.

        Raises: SettingsError, TooLarge, NoSuchThing (a picture), QueueFull.
        """
        checked = self._checked(request)
        job = self.store.jobs.add(
            owner, checked.kind, checked.to_dict(), watched=watched, most=self.limits.queue
        )
        if job is None:
            raise _full(self.limits)
        self.touch(job.id)
        return self._shown(job)

    def check_queue(self) -> None:
        """Raise a QueueFull if no job can be taken on now: before pictures are decoded for it."""
        if self.store.jobs.count(State.QUEUED) >= self.limits.queue:
            raise _full(self.limits)

    def estimate(self, request: Request) -> Estimate:
        """Tell what a job would take: its time on this machine, memory, sizes.

        Raises: as `create`; MemoryLimitError: it does not fit; Busy: no answer in time.
        """
        checked = self._checked(request)
        sizes = [(row.width, row.height) for row in map(self.store.pictures.get, checked.ids)]
        known = {**checked.to_dict(), "pictures": None, "changes": None, "recipe": None}
        lessons = self.store.facts.get(PACES_LEARNED)
        key = json.dumps([lessons, known, sizes, [*checked.pictures], checked.clip], sort_keys=True)
        if key not in self._estimates:
            answer = self._ask(checked.to_dict())
            estimate = Estimate(**answer)
            if not estimate.measured:
                return estimate
            if len(self._estimates) > 500:
                self._estimates.clear()
            self._estimates[key] = estimate
        return self._estimates[key]

    def _checked(self, request: Request) -> Request:
        checked = check_request(request, self.limits)
        for each in checked.ids:
            self.picture(each)
        photo: StoredPicture | StoredClip | None = None
        if "content" in checked.pictures:
            photo = self.store.pictures.get(checked.pictures["content"])
        if checked.clip is not None:
            photo = self.store.clips.get(checked.clip)
            clips.check_part(photo, checked.options, self.limits)
        if photo is not None:
            settings = Settings.from_dict(checked.settings)
            size = (photo.width, photo.height)
            check_size(checked.kind, settings, checked.options, self.limits, size)
        return checked

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        question, end = self.store.questions.ask(request), time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            answer = self.store.questions.take_answer(question)
            if answer is not None:
                if "error" in answer:
                    raise StudioError(answer["error"])
                return answer
            time.sleep(0.05)
        self.store.questions.delete(question)
        raise Busy("no estimate in time: the worker is busy; try again in a while")

    # ---- looking --------------------------------------------------------------------------------

    def job(self, job: str) -> Job:
        """Return a job as it is now. Raises: NoSuchThing."""
        return self._shown(self.store.jobs.get(job))

    def history(self, owner: str) -> list[Job]:
        """List a session's jobs, the newest first."""
        return [self._shown(each) for each in reversed(self.store.jobs.find(owner=owner))]

    def touch(self, job: str) -> None:
        """Tell that somebody looks at a job, so that it does not stop for want of a page."""
        self._seen[job] = time.monotonic()

    def losses(self, job: str) -> list[dict[str, Any]]:
        """Return points for a curve, up to 200: step, level, seconds, content, style, tv, total."""
        self.store.jobs.get(job)
        steps = self.store.jobs.steps(job)
        every = max(1, len(steps) // _CURVE)
        return steps[::every] + (steps[-1:] if len(steps) % every != 1 and every > 1 else [])

    def preview(self, job: str) -> Path | None:
        """Return the file of the last preview, a JPEG; None: there is none yet."""
        self.store.jobs.get(job)
        path = self.store.jobs.folder(job) / "preview.jpg"
        return path if path.is_file() else None

    def result(self, job: str, suffix: str | None = None) -> Path:
        """Return the file of a result.

        Args: suffix: one of `RESULTS`: .mp4 for a clip, or one of the others for a picture, which
            have its metadata; None: .mp4 or .png.

        Raises: NoSuchThing: there is none (yet), or not in this form.
        """
        row = self.store.jobs.get(job)
        forms = _forms(row.kind)
        suffix = forms[0] if suffix is None else suffix
        path = self.store.jobs.folder(job) / f"result{suffix}"
        if row.state not in (State.DONE, State.STOPPED):
            raise NoSuchThing(f"there is no result{suffix}: the job is {row.state}")
        if suffix not in forms:
            raise NoSuchThing(f"there is no result{suffix}; there is {' or '.join(forms)}")
        if not path.is_file():
            raise NoSuchThing(f"there is no result{suffix}: {row.error or 'it was deleted'}")
        return path

    def timelapse(self, job: str, suffix: str = ".webp") -> Path:
        """Return a film of a job that has ended: .gif, .webp, or .mp4 with impasto[video].

        It is made when first asked for. Raises: NoSuchThing, ImageError, SettingsError.
        """
        from impasto.studio.jobs.timelapse import film_of

        row = self.store.jobs.get(job)
        if row.state not in ENDED:
            raise NoSuchThing(f"there is no time-lapse yet: the job is {row.state}")
        with self._decoding:
            return film_of(self.store.jobs.folder(job), suffix)

    def title(self, job: str) -> str:
        """Return a name for a job's files, without a suffix, of its photo and first painting."""
        row = self.store.jobs.get(job)
        names = self._names(row)
        parts = [names.get("content"), names.get("clip"), *names.get("styles", [])[:1]]
        stems = [each.rpartition(".")[0] or each for each in parts if each]
        plain = row.kind in ("stylize", "video")
        return "-".join(stems if plain else [*stems[:1], row.kind])

    def command_line(self, job: str) -> str:
        """Return the command that makes the same picture from the files that were uploaded."""
        row = self.store.jobs.get(job)
        return reproduce.command_line(_request(row), self._names(row))

    def python_lines(self, job: str) -> str:
        """Return the Python program that makes the same picture."""
        row = self.store.jobs.get(job)
        return reproduce.python_lines(_request(row), self._names(row))

    def queue(self) -> dict[str, int]:
        """Return how many jobs wait and run, and how many may wait."""
        return {
            "waiting": self.store.jobs.count(State.QUEUED),
            "running": self.store.jobs.count(State.RUNNING),
            "paused": self.store.jobs.count(State.PAUSED),
            "limit": self.limits.queue,
        }

    # ---- commands -------------------------------------------------------------------------------

    def pause(self, job: str) -> Job:
        """Pause a running job; one that waits for another meanwhile goes first."""
        return self._tell(job, Command.PAUSE, (State.RUNNING,))

    def resume(self, job: str) -> Job:
        """Let a paused job go on, or a failed one: from its last preview or finished frame.

        Raises: QueueFull: a failed job has to queue again.
        """
        if self.store.jobs.get(job).state == "failed":
            self.check_queue()
            self.store.jobs.reset_deaths(job)
            self.store.jobs.move(job, State.QUEUED, among=(State.FAILED,))
            self.touch(job)
            return self.job(job)
        return self._tell(job, Command.RESUME, (State.PAUSED, State.FAILED))

    def stop(self, job: str) -> Job:
        """End a running or paused job and keep the picture as it is."""
        return self._tell(job, Command.STOP, (State.RUNNING, State.PAUSED))

    def cancel(self, job: str) -> Job:
        """End a job and keep nothing."""
        if self.store.jobs.move(job, State.CANCELLED, among=(State.QUEUED,)):
            return self.job(job)
        return self._tell(job, Command.CANCEL, (State.RUNNING, State.PAUSED))

    def change(
        self, job: str, *, content_weight: float | None = None, style_weight: Any = None
    ) -> Job:
        """Go on from the present picture with other weights; style_weight may be one per style.

        Raises: SettingsError: the kind has no such weight, or not this value.
        """
        row = self.store.jobs.get(job)
        given = {"content_weight": content_weight, "style_weight": style_weight}
        given = {name: value for name, value in given.items() if value is not None}
        request = _request(row)
        if row.kind in ("video", "preview"):
            raise StudioError("the weights of a clip stay as they are: its frames would not match")
        changes = {**request["changes"], **given}
        before = Request(**{**request, "settings": changes, "changes": {}})
        check_request(before, self.limits)
        return self._tell(job, Command.CHANGE, (State.RUNNING, State.PAUSED), **given)

    def _tell(self, job: str, command: Command, among: tuple[State, ...], **details: Any) -> Job:
        row = self.store.jobs.get(job)
        if row.state not in among:
            raise StudioError(
                f"the job is {row.state}; only {' or '.join(among)} jobs can {command}"
            )
        self.store.commands.add(job, command, **details)
        return self._shown(row)

    def delete(self, job: str) -> None:
        """Delete a job that has ended, with its picture."""
        row = self.store.jobs.get(job)
        if row.state in ALIVE:
            raise StudioError(f"the job is {row.state}; cancel it first")
        self.store.jobs.delete(job)

    # ---- housekeeping ---------------------------------------------------------------------------

    def stop_unwatched(self) -> None:
        """Stop the jobs of closed pages: what is painted is kept, what waits is cancelled."""
        now = time.monotonic()
        for row in self.store.jobs.find(states=ALIVE):
            seen = self._seen.setdefault(row.id, now)  # after a restart pages get their time, too
            if not row.watched or now - seen < self.limits.grace:
                continue
            if not self.store.jobs.move(
                row.id, State.CANCELLED, among=(State.QUEUED,), error="its page closed"
            ):
                self.store.commands.add(row.id, Command.STOP, reason="its page was closed")

    def _has_result(self, row: StoredJob) -> bool:
        return (self.store.jobs.folder(row.id) / f"result{_forms(row.kind)[0]}").is_file()

    def _names(self, row: StoredJob) -> dict[str, Any]:
        def name(role: str, upload: str | None) -> str | None:
            if upload is None:
                return None
            known = self.store.clips.get if role == "clip" else self.store.pictures.get
            return known(upload).name

        return {
            role: [name(role, each) for each in given] if isinstance(given, list)
            else name(role, given)
            for role, given in row.request["pictures"].items()
        }  # fmt: skip

    def _shown(self, row: StoredJob) -> Job:
        facts = row.progress
        there = row.state in (State.DONE, State.STOPPED)
        return Job(
            id=row.id, kind=row.kind, state=row.state, position=self.store.jobs.position(row),
            created=row.created, started=row.started, ended=row.ended, error=row.error,
            step=facts.get("step", 0), count=facts.get("count", 0), level=facts.get("level", 0),
            levels=facts.get("levels", 0), width=facts.get("width", 0),
            height=facts.get("height", 0), losses=facts.get("losses", {}),
            clip=ClipProgress(**facts["clip"]) if "clip" in facts else None,
            seconds=facts.get("seconds", 0.0), remaining=facts.get("remaining"),
            reported=facts.get("reported"), previews=facts.get("previews", 0),
            request=_request(row), continued=facts.get("continued", []),
            has_result=there and self._has_result(row),
        )  # fmt: skip


def _forms(kind: str) -> list[str]:
    """Return the suffixes of a kind's results, the usual one first."""
    return [each for each in RESULTS if (each == ".mp4") == (kind == "video")]


def _full(limits: Limits) -> QueueFull:
    return QueueFull(f"queue full: {limits.queue} jobs wait already; try again in a while")


def _request(row: StoredJob) -> dict[str, Any]:
    """Return what was asked for, with the weights as they were last changed."""
    changed = row.progress.get("changed", {})
    return {
        **row.request,
        "settings": {**row.request["settings"], **changed},
        "changes": {**row.request["changes"], **changed},
    }


def _upload(picture: StoredPicture) -> Upload:
    fields = {each.name for each in dataclasses.fields(Upload)}
    return Upload(**{name: value for name, value in vars(picture).items() if name in fields})


def _uploaded(clip: StoredClip) -> UploadedClip:
    fields = {each.name for each in dataclasses.fields(UploadedClip)}
    known = {name: value for name, value in vars(clip).items() if name in fields}
    return UploadedClip(**{**known, "sound": bool(clip.sound)})
