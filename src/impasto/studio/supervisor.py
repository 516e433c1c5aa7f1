"""Keeps the worker alive: starts it, begins it anew when it dies, and says so; cleans up."""

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

_DEATHS = 3  # of workers by one job; what struck them down would strike again
_BEAT = 0.25  # seconds
_HOUSEKEEPING = 5.0
_TIDYING = 60.0  # looks at every file
_UPLOADS = 24 * 3600.0  # seconds for which an upload waits to be used
_FAREWELL = 10.0  # seconds in which the worker may finish its step


class Supervisor:
    """Runs the worker of a studio.

    Args: jobs: whose store the worker looks into.
    """

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.worker: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Take up what an earlier server left, and start the worker."""
        recover(self.jobs, "the studio was restarted")
        self._begin()
        self._thread.start()

    def stop(self) -> None:
        """End the worker: it notes how far it is, so that its job goes on next time."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        worker = self.worker
        if worker is None:
            return
        if worker.stdin is not None:
            worker.stdin.close()  # which is its sign to go
        try:
            worker.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()

    def _begin(self) -> None:
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
        kept_house, tidied, died = 0.0, 0.0, 0
        while not self._ending.wait(_BEAT):
            code = None if self.worker is None else self.worker.poll()
            if code is not None:
                died += 1
                how = f"signal {-code}" if code < 0 else f"code {code}"
                recover(self.jobs, f"the worker ended unexpectedly ({how})", blame=True)
                self._ending.wait(min(0.25 * died, 5.0))
                if not self._ending.is_set():
                    self._begin()
            if time.monotonic() - kept_house > _HOUSEKEEPING:
                self.jobs.stop_unwatched()
                kept_house, died = time.monotonic(), 0
            if time.monotonic() - tidied > _TIDYING:
                tidy(self.jobs)
                tidied = time.monotonic()
        self.jobs.store.close()


def recover(jobs: Jobs, reason: str, *, blame: bool = False) -> None:
    """Queue what nobody paints any more, to go on from its last preview.

    Args: blame: whether it may be the job's own fault; after three times, it is given up.
    """
    store = jobs.store
    for row in store.jobs.find(states=(State.RUNNING,)):
        if blame:
            store.jobs.count_death(row.id)
            if row.deaths + 1 >= _DEATHS:
                store.jobs.move(
                    row.id, State.FAILED, error=f"{reason}, {_DEATHS} times while it painted this"
                )
                continue
        store.jobs.move(row.id, State.QUEUED, among=(State.RUNNING,))


def tidy(jobs: Jobs) -> None:
    """Delete what is old, and the oldest of what is too much."""
    store, limits, now = jobs.store, jobs.limits, time.time()
    ended = store.jobs.find(states=ENDED)
    for row in ended:  # whose frames are a clip, or of no use any more, unless it is resumed
        if row.state == "failed":
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
        if name not in used and (now - each.created > _UPLOADS or total > limits.keep):
            if isinstance(each, StoredPicture):
                store.pictures.delete(each)
            else:
                store.clips.delete(name)
            total -= weights[name]
    for path in (store.folder / "clips").iterdir():  # of uploads that never came to an end
        if path.stem not in clips and now - _modified(path) > _UPLOADS:
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
    try:
        files = [path] if path.is_file() else list(path.rglob("*"))
        return sum(each.stat().st_size for each in files)
    except (OSError, NoSuchThing):  # deleted meanwhile
        return 0
