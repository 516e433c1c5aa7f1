"""The jobs of a studio: create, estimate, list and control them.

Methods are quick, except `estimate`, which may take seconds. They may be called from any thread.
They raise an ImpastoError whose message can be shown to people. Everyone who knows the id of a job
may see and control it. Nobody can guess an id, and a session lists only its own jobs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from impasto.errors import SettingsError
from impasto.settings.pictures import Settings
from impasto.studio.jobs.clip_uploads import check_part
from impasto.studio.jobs.limits import Busy, Limits, QueueFull, StudioError
from impasto.studio.jobs.requests import Request, check_request, check_size, without_flags
from impasto.studio.jobs.results import has_result
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.tables.rows import (
    ALIVE,
    PACES_LEARNED,
    Command,
    State,
    StoredClip,
    StoredJob,
    StoredPicture,
)
from impasto.studio.jobs.uploads import picture_file
from impasto.studio.jobs.views import ClipProgress, Estimate, Job

__all__ = ["Jobs"]

_PATIENCE = 30.0  # seconds to wait for an estimate
_MOST_ESTIMATES = 500  # estimates that are remembered


class Jobs:
    """The jobs of a studio.

    Args:
        store: the store of the jobs. A worker that uses the same store paints them.
        limits: the limits of the studio.
    """

    def __init__(self, store: Store, limits: Limits) -> None:
        self.store = store
        self.limits = limits
        self._seen: dict[str, float] = {}  # job → time when a page last asked for it
        self._estimates: dict[str, Estimate] = {}

    # ---- creating -------------------------------------------------------------------------------

    def create(self, request: Request, owner: str, *, watched: bool = False) -> Job:
        """Queue a job.

        Args:
            request: see `requests.Request` and `requests.describe_settings`.
            owner: the session that will list the job.
            watched: stop the job when nobody has called `touch` for the grace time. This is for
                pages, because people may close them.

        Raises: SettingsError, TooLarge, NoSuchThing (a picture), QueueFull.
        """
        checked = _checked(request, self.store, self.limits)
        job = self.store.jobs.add(
            owner, checked.kind, checked.to_dict(), watched=watched, most=self.limits.queue
        )
        if job is None:
            raise _queue_full(self.limits)
        self.touch(job.id)
        return _view(job, self.store)

    def check_queue(self) -> None:
        """Raise a QueueFull if the queue is full. Call this before decoding pictures for a job."""
        if self.store.jobs.count(State.QUEUED) >= self.limits.queue:
            raise _queue_full(self.limits)

    def estimate(self, request: Request) -> Estimate:
        """Return the time on this machine, the memory and the sizes of a job.

        Raises: as for `create`; MemoryLimitError: the job does not fit into memory; Busy: the
            worker did not answer in time.
        """
        checked = _checked(request, self.store, self.limits)
        sizes = [(row.width, row.height) for row in map(self.store.pictures.get, checked.ids)]
        known = {**checked.to_dict(), "pictures": None, "changes": None, "recipe": None}
        learned = self.store.facts.get(PACES_LEARNED)
        key = json.dumps([learned, known, sizes, [*checked.pictures], checked.clip], sort_keys=True)
        if key not in self._estimates:
            estimate = Estimate(**_ask_worker(self.store, checked.to_dict()))
            if not estimate.measured:
                return estimate
            if len(self._estimates) > _MOST_ESTIMATES:
                self._estimates.clear()
            self._estimates[key] = estimate
        return self._estimates[key]

    # ---- looking --------------------------------------------------------------------------------

    def job(self, job: str) -> Job:
        """Return the present state of a job. Raises: NoSuchThing."""
        return _view(self.store.jobs.get(job), self.store)

    def history(self, owner: str) -> list[Job]:
        """Return the jobs of a session, the newest first."""
        return [_view(each, self.store) for each in reversed(self.store.jobs.find(owner=owner))]

    def touch(self, job: str) -> None:
        """Note that a page shows a job, so that the job is not stopped."""
        self._seen[job] = time.monotonic()

    def queue(self) -> dict[str, int]:
        """Return the numbers of waiting, running and paused jobs, and the most that may wait."""
        count = self.store.jobs.count
        return {
            "waiting": count(State.QUEUED), "running": count(State.RUNNING),
            "paused": count(State.PAUSED), "limit": self.limits.queue,
        }  # fmt: skip

    # ---- commands -------------------------------------------------------------------------------

    def pause(self, job: str) -> Job:
        """Pause a running job. While it is paused, waiting jobs are painted."""
        return self._command(job, Command.PAUSE, (State.RUNNING,))

    def resume(self, job: str) -> Job:
        """Resume a paused or failed job from its last checkpoint or its last finished frame.

        Raises: QueueFull: a failed job has to queue again.
        """
        if self.store.jobs.get(job).state is State.FAILED:
            self.check_queue()
            self.store.jobs.reset_deaths(job)
            self.store.jobs.move(job, State.QUEUED, among=(State.FAILED,))
            self.touch(job)
            return self.job(job)
        return self._command(job, Command.RESUME, (State.PAUSED, State.FAILED))

    def stop(self, job: str) -> Job:
        """Stop a running or paused job, and keep the picture as it is."""
        return self._command(job, Command.STOP, (State.RUNNING, State.PAUSED))

    def cancel(self, job: str) -> Job:
        """Stop a job, and do not keep its picture."""
        if self.store.jobs.move(job, State.CANCELLED, among=(State.QUEUED,)):
            return self.job(job)
        return self._command(job, Command.CANCEL, (State.RUNNING, State.PAUSED))

    def change(
        self, job: str, *, content_weight: float | None = None, style_weight: Any = None
    ) -> Job:
        """Continue from the current picture with other weights.

        Args: style_weight: one number, or one for each style.

        Raises: SettingsError: the kind has no such weight, or the value is not allowed.
        """
        row = self.store.jobs.get(job)
        given = {"content_weight": content_weight, "style_weight": style_weight}
        given = {name: value for name, value in given.items() if value is not None}
        if not given:
            raise SettingsError("name a content_weight or a style_weight; nothing else can change")
        request = row.current_request
        if row.kind in ("video", "preview"):
            raise StudioError(
                "the weights of a clip cannot be changed: its frames would no longer match"
            )
        changes = {**request["changes"], **given}
        check_request(Request(**{**request, "settings": changes, "changes": {}}), self.limits)
        return self._command(job, Command.CHANGE, (State.RUNNING, State.PAUSED), **given)

    def _command(self, job: str, command: Command, among: tuple[State, ...], **details: Any) -> Job:
        row = self.store.jobs.get(job)
        if row.state not in among:
            raise StudioError(
                f"the job is {row.state}; the command {command} is only for "
                f"{' or '.join(among)} jobs"
            )
        self.store.commands.add(job, command, **details)
        return _view(row, self.store)

    def delete(self, job: str) -> None:
        """Delete a job that has ended, with its files."""
        row = self.store.jobs.get(job)
        if row.state in ALIVE:
            raise StudioError(f"the job is {row.state}; cancel it first")
        self.store.jobs.delete(job)

    def stop_unwatched(self) -> None:
        """Stop the running jobs of closed pages and keep their pictures; cancel the queued ones."""
        now = time.monotonic()
        for row in self.store.jobs.find(states=ALIVE):
            seen = self._seen.setdefault(row.id, now)  # pages get the grace time after a restart
            if not row.watched or now - seen < self.limits.grace:
                continue
            reason = "its page was closed"
            among = (State.QUEUED,)
            if not self.store.jobs.move(row.id, State.CANCELLED, among=among, error=reason):
                self.store.commands.add(row.id, Command.STOP, reason=reason)


def _checked(request: Request, store: Store, limits: Limits) -> Request:
    """Check a request and its uploads, and return the complete request."""
    checked = check_request(request, limits)
    for each in checked.ids:
        picture_file(store, each)
    photo: StoredPicture | StoredClip | None = None
    if "content" in checked.pictures:
        photo = store.pictures.get(checked.pictures["content"])
    if checked.clip is not None:
        photo = store.clips.get(checked.clip)
        check_part(photo, checked.options, limits)
    if photo is not None:
        settings = Settings.from_dict(checked.settings)
        size = (photo.width, photo.height)
        check_size(checked.kind, settings, checked.options, limits, size)
    return checked


def _ask_worker(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an `Estimate`. Raises: StudioError, Busy."""
    question, end = store.questions.ask(request), time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        answer = store.questions.take_answer(question)
        if answer is not None:
            if "error" in answer:
                raise StudioError(answer["error"])
            return answer
        time.sleep(0.05)
    store.questions.delete(question)
    raise Busy("no estimate yet: the worker is busy; try again later")


def _view(row: StoredJob, store: Store) -> Job:
    """Return the facts about a job that pages and programs see."""
    facts = row.progress
    return Job(
        id=row.id, kind=row.kind, state=row.state, position=store.jobs.position(row),
        created=row.created, started=row.started, ended=row.ended,
        error=without_flags(row.error, row.kind),
        notes=[without_flags(note, row.kind) for note in facts.get("notes", [])],
        step=facts.get("step", 0), count=facts.get("count", 0), level=facts.get("level", 0),
        levels=facts.get("levels", 0), width=facts.get("width", 0),
        height=facts.get("height", 0), losses=facts.get("losses", {}),
        clip=ClipProgress(**facts["clip"]) if "clip" in facts else None,
        seconds=facts.get("seconds", 0.0), remaining=facts.get("remaining"),
        reported=facts.get("reported"), previews=facts.get("previews", 0),
        request=row.current_request, continued=facts.get("continued", []),
        has_result=has_result(store, row),
    )  # fmt: skip


def _queue_full(limits: Limits) -> QueueFull:
    are = "job is" if limits.queue == 1 else "jobs are"
    return QueueFull(f"the queue is full: {limits.queue} {are} waiting; try again later")
