"""Starts the worker, restarts it after a crash, and deletes old files."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from impasto.studio.jobs.jobs import Jobs
from impasto.studio.jobs.limits import NoSuchThing
from impasto.studio.jobs.requests import Request
from impasto.studio.jobs.tables.rows import ENDED, State, StoredJob, StoredPicture

__all__ = ["Supervisor", "recover", "tidy"]

_MOST_DEATHS = 3  # workers that may die while they paint the same job
_WATCH_EVERY = 0.25  # seconds
_CHECK_PAGES_EVERY = 5.0  # seconds
_TIDY_EVERY = 60.0  # seconds; tidying looks at every file
_KEEP_UNUSED = 24 * 3600.0  # seconds for which an unused upload is kept
_END_TIME = 10.0  # seconds in which the worker may finish its step


class Supervisor:
    """Runs the worker of a studio.

    Args: jobs: the worker uses their store.
    """

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.worker: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Queue the jobs that an earlier server left running, and start the worker."""
        recover(self.jobs, "the studio was restarted")
        self._start_worker()
        self._thread.start()

    def stop(self) -> None:
        """End the worker. It saves a checkpoint, so that the next worker resumes its job."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        worker = self.worker
        if worker is None:
            return
        if worker.stdin is not None:
            worker.stdin.close()  # tells it to end
        try:
            worker.wait(_END_TIME)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()

    def _start_worker(self) -> None:
        store, limits = self.jobs.store, self.jobs.limits
        with Path(store.folder / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(
                [
                    sys.executable, "-m", "impasto.studio.worker.worker", str(store.folder),
                    json.dumps(dataclasses.asdict(limits)),
                ],
                stdin=subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip

    def _watch(self) -> None:
        checked, tidied, died = 0.0, 0.0, 0
        while not self._ending.wait(_WATCH_EVERY):
            code = None if self.worker is None else self.worker.poll()
            if code is not None:
                died += 1
                how = f"signal {-code}" if code < 0 else f"code {code}"
                recover(self.jobs, f"the worker ended unexpectedly ({how})", blame=True)
                self._ending.wait(min(0.25 * died, 5.0))
                if not self._ending.is_set():
                    self._start_worker()
            if time.monotonic() - checked > _CHECK_PAGES_EVERY:
                self.jobs.stop_unwatched()
                checked, died = time.monotonic(), 0
            if time.monotonic() - tidied > _TIDY_EVERY:
                tidy(self.jobs)
                tidied = time.monotonic()
        self.jobs.store.close()


def recover(jobs: Jobs, reason: str, *, blame: bool = False) -> None:
    """Queue the running jobs whose worker has ended; the next worker resumes them.

    Args: blame: whether a job may have caused the crash. After three crashes, the job fails.
    """
    store = jobs.store
    for row in store.jobs.find(states=(State.RUNNING,)):
        if blame:
            store.jobs.count_death(row.id)
            if row.deaths + 1 >= _MOST_DEATHS:
                store.jobs.move(
                    row.id,
                    State.FAILED,
                    error=f"{reason}, {_MOST_DEATHS} times while it painted this job",
                )
                continue
        store.jobs.move(row.id, State.QUEUED, among=(State.RUNNING,))


def tidy(jobs: Jobs) -> None:
    """Delete old results and uploads, and the oldest ones if all together take too much space."""
    store, limits, now = jobs.store, jobs.limits, time.time()
    ended = store.jobs.find(states=ENDED)
    for row in ended:
        if row.state is State.FAILED:  # it may be resumed from its frames
            continue
        shutil.rmtree(store.jobs.frames_folder(row.id), ignore_errors=True)
    sizes = {row.id: _size(store.jobs.folder(row.id)) for row in ended}
    pictures = {each.id: each for each in store.pictures.all()}
    weights = {name: _size(store.pictures.file(each)) for name, each in pictures.items()}
    clips = {each.id: each for each in store.clips.all()}
    weights |= {name: _size(store.clips.file(name)) for name in clips}
    total = sum(sizes.values()) + sum(weights.values())
    for row in ended:
        if total > limits.keep or now - (row.ended or now) > limits.keep_days * 86400:
            store.jobs.delete(row.id)
            total -= sizes[row.id]
    used = _used(store.jobs.find())
    for name, each in (pictures | clips).items():
        if name not in used and (now - each.created > _KEEP_UNUSED or total > limits.keep):
            if isinstance(each, StoredPicture):
                store.pictures.delete(each)
            else:
                store.clips.delete(name)
            total -= weights[name]
    for path in store.clips.folder.iterdir():  # files of unfinished uploads
        if path.stem not in clips and now - _modified(path) > _KEEP_UNUSED:
            path.unlink(missing_ok=True)


def _used(rows: list[StoredJob]) -> set[str | None]:
    requests = [Request(pictures=row.request["pictures"]) for row in rows]
    return {each for request in requests for each in (*request.ids, request.clip)}


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # deleted meanwhile
        return float("inf")


def _size(path: Path) -> int:
    """Return the bytes in a file, or in all files of a folder; 0: it no longer exists."""
    try:
        files = [path] if path.is_file() else list(path.rglob("*"))
        return sum(each.stat().st_size for each in files)
    except (OSError, NoSuchThing):  # deleted meanwhile
        return 0
