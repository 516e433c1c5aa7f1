"""Helpers for the studio's tests: small pictures, a worker in this process, a real server."""

from __future__ import annotations

import atexit
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import impasto
from impasto.studio.jobs import clip_uploads, uploads
from impasto.studio.jobs.jobs import Jobs
from impasto.studio.jobs.limits import Limits
from impasto.studio.jobs.requests import Request
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.views import Upload, UploadedClip

PLACE = "+48.8566+002.3522/"  # the location where a clip was filmed, ISO 6709
SMALL = {"long_side": 32, "steps": 4, "coarsest": 0}
# Seconds. A busy machine may slow every process down, so a test gives up only after this long.
PATIENCE = 180.0


def picture_bytes(seed: int = 0, size: tuple[int, int] = (40, 32), **options: Any) -> bytes:
    """Make a PNG file of colored noise, (W, H)."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, options.pop("format", "png"), **options)
    return buffer.getvalue()


def clip_bytes(
    count: int = 4, *, size: tuple[int, int] = (48, 36), sound: bool = False, suffix: str = "mp4",
    place: bool = False,
) -> bytes:  # fmt: skip
    """Make a clip of a camera that moves over a texture, (W, H), 12 frames a second."""
    import av

    width, height = size
    coarse = np.random.default_rng(3).integers(0, 256, (height // 4, width, 3), dtype=np.uint8)
    wall = np.asarray(Image.fromarray(coarse).resize((width * 4, height), Image.Resampling.BICUBIC))
    buffer = io.BytesIO()
    buffer.name = f"clip.{suffix}"
    with av.open(buffer, "w", container_options={"movflags": "use_metadata_tags"}) as made:
        if place:
            made.metadata.update({"location": PLACE, "com.apple.quicktime.location.ISO6709": PLACE})
        pictures = made.add_stream("gif" if suffix == "gif" else "libx264", rate=12)
        pictures.width, pictures.height = width, height
        pictures.pix_fmt = "rgb8" if suffix == "gif" else "yuv420p"
        noise = made.add_stream("aac", rate=48000) if sound else None
        for index in range(count):
            values = np.ascontiguousarray(wall[:, index : index + width])
            made.mux(pictures.encode(av.VideoFrame.from_ndarray(values, format="rgb24")))
        made.mux(pictures.encode())
        if noise is not None:
            for index in range(count * 4):
                values = np.zeros((1, 1000), np.float32) + 0.1
                frame = av.AudioFrame.from_ndarray(values, format="fltp", layout="mono")
                frame.rate, frame.pts = 48000, index * 1000
                made.mux(noise.encode(frame))
            made.mux(noise.encode())
    return buffer.getvalue()


def make_jobs(folder: Path, **limits: Any) -> Jobs:
    return Jobs(Store(folder), Limits(**limits))


def upload_picture(jobs: Jobs, data: bytes, name: str = "picture.png", owner: str = "me") -> Upload:
    return uploads.add_picture(jobs.store, data, name, owner, jobs.limits)


def upload_clip(jobs: Jobs, data: bytes, name: str = "clip.mp4", owner: str = "me") -> UploadedClip:
    return clip_uploads.add_clip(jobs.store, io.BytesIO(data), name, owner, jobs.limits)


def small_request(jobs: Jobs, owner: str = "me", **settings: Any) -> Request:
    """A request for a tiny picture, its pictures uploaded."""
    photo = upload_picture(jobs, picture_bytes(1), "photo.png", owner).id
    painting = upload_picture(jobs, picture_bytes(2, (36, 34)), "painting.png", owner).id
    return Request(
        pictures={"content": photo, "styles": [painting]}, settings={**SMALL, **settings}
    )


def clip_request(jobs: Jobs, count: int = 4, kind: str = "video", **options: Any) -> Request:
    """A request for a tiny clip, it and its painting uploaded."""
    clip = upload_clip(jobs, clip_bytes(count), "clip.mp4", "me").id
    painting = upload_picture(jobs, picture_bytes(2, (36, 34)), "painting.png", "me").id
    given = {"frame_steps": 2, **options} if kind == "video" else options
    return Request(
        kind=kind, pictures={"clip": clip, "styles": [painting]},
        settings={"long_side": 48, "steps": 3, "coarsest": 0}, options=given,
    )  # fmt: skip


# Notified when a worker in this process has changed a job or a fact.
CHANGED = threading.Condition()


def announcing(store: Store) -> Store:
    """Let a worker's store notify CHANGED."""

    def announced(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            result = change(*args, **options)
            with CHANGED:
                CHANGED.notify_all()
            return result

        return call

    for table, names in ((store.jobs, ("take", "move", "report")), (store.facts, ("set",))):
        for name in names:
            setattr(table, name, announced(getattr(table, name)))
    return store


@contextmanager
def working(jobs: Jobs) -> Iterator[threading.Event]:
    """Run a worker in a thread of this process until the block ends."""
    from impasto.studio.worker.worker import work

    going = threading.Event()

    def run() -> None:
        store = announcing(Store(jobs.store.folder))
        try:
            work(store, going, jobs.limits)
        finally:
            store.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield going
    finally:
        going.set()
        thread.join(PATIENCE)
    assert not thread.is_alive(), "the worker did not end"


def wait_for_change(condition: Callable[[], Any], what: str) -> Any:
    """Return the first true value of a condition on what a worker in this process changes."""
    end = time.monotonic() + PATIENCE
    with CHANGED:  # so that no change is missed between a look and the wait
        while not (found := condition()):
            if not CHANGED.wait(end - time.monotonic()):
                raise AssertionError(f"in vain: {what}")
    return found


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Return the first true value of a condition on another process or a browser."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE:.0f} s in vain for {what}")


def wait_for_state(jobs: Jobs, job: str, *states: str) -> Any:
    def reached() -> Any:
        found = jobs.job(job)
        return found if found.state in states else None

    return wait_for_change(reached, f"{' or '.join(states)}; it is {jobs.job(job)}")


def wait_for_step(jobs: Jobs, job: str, step: int = 1) -> Any:
    def reached() -> Any:
        found = jobs.job(job)
        return found if found.step >= step else None

    return wait_for_change(reached, f"step {step}")


def installed(name: str, version: str) -> bool:
    """Tell whether a package is installed in such a version, without importing it."""
    try:
        return metadata.version(name).startswith(version)
    except metadata.PackageNotFoundError:
        return False


class Server:
    """`impasto studio` in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        source = Path(impasto.__file__).parent.parent
        environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        # A file, not a pipe: a full pipe would block the server while nobody reads.
        self._log = folder.with_name(f"{folder.name}-{time.monotonic_ns()}.txt")
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "impasto", "studio", "--port", "0", "--data", str(folder),
                 *options],
                stderr=log, env=environment,
            )  # fmt: skip
        # Even if this or a test fails, no server stays behind and takes the cores of other tests.
        atexit.register(self.process.kill)
        self.address = wait_until(self._found_address, f"a studio to start: {self._log}")

    @property
    def said(self) -> list[str]:
        """The lines that the server has written."""
        return self._log.read_text().splitlines()

    def _found_address(self) -> str | None:
        if self.process.poll() is not None:
            raise AssertionError(f"the studio did not start: {self.said}")
        found = [line for line in self.said if "http://" in line]
        return found[0].split()[-1].rstrip("/") if found else None

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send JSON or bytes; return the status and the answer, parsed if it is JSON."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"content-type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.address + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, _parsed(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _parsed(error)

    def get(self, path: str) -> Any:
        status, answer = self.call("GET", path)
        assert status == 200, (status, answer)
        return answer

    def create(self, **settings: Any) -> str:
        body = {
            "content": "example:neuschwanstein.jpg",
            "styles": ["example:church_at_auvers_van_gogh.jpg"],
            "settings": {"long_side": 64, "steps": 4, "coarsest": 0, **settings},
        }
        status, job = self.call("POST", "/api/jobs", body)
        assert status == 201, job
        return str(job["id"])

    def upload_clip(self, data: bytes, name: str = "clip.mp4") -> str:
        head = f'Content-Disposition: form-data; name="file"; filename="{name}"'
        body = b"--x\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n--x--\r\n"
        kind = {"content-type": "multipart/form-data; boundary=x"}
        status, clip = self.call("POST", "/api/clips", body, kind)
        assert status == 201, clip
        return str(clip["id"])

    def create_clip(self, count: int, **options: Any) -> str:
        body = {
            "kind": "video", "clip": self.upload_clip(clip_bytes(count)),
            "styles": ["example:church_at_auvers_van_gogh.jpg"],
            "settings": {"long_side": 48, "steps": 3, "coarsest": 0}, "options": options,
        }  # fmt: skip
        status, job = self.call("POST", "/api/jobs", body)
        assert status == 201, job
        return str(job["id"])

    def wait(self, job: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        def reached() -> Any:
            found = self.get(f"/api/jobs/{job}")
            return found if condition(found) else None

        return wait_until(reached, f"job {job}")

    def worker_id(self) -> int:
        """The process id of the server's worker; 0 if there is none."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = [int(each) for task in children.parent.parent.iterdir()
                 for each in (task / "children").read_text().split()]  # fmt: skip
        return found[0] if found else 0

    def kill_worker(self) -> int:
        """Kill the worker and return its process id."""
        worker = self.worker_id()
        assert worker, "there is no worker"  # os.kill(0) would kill this process group
        os.kill(worker, signal.SIGKILL)
        return worker

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def _parsed(answer: Any) -> Any:
    body = answer.read()
    return json.loads(body) if "json" in answer.headers.get("content-type", "") else body


def ended(job: dict[str, Any]) -> bool:
    return job["state"] not in ("queued", "running", "paused")
