"""`impasto studio` as a process of its own: used, struck down, and begun again."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import impasto
from impasto.pictures.files import read_metadata
from studio_harness import Server, clip_bytes, ended, installed, picture_bytes, wait_until

if not installed("gradio", "6."):
    pytest.skip("the studio needs impasto[studio]", allow_module_level=True)
if not Path("/proc/self/task").is_dir():
    pytest.skip("how processes are looked at here needs Linux", allow_module_level=True)

ROOT = Path(__file__).parents[2]
# What the studio says while it starts; nothing from a page or an API of anybody else.
WATCHMAN = """
import ipaddress, os, socket
def watched(name):
    original = getattr(socket.socket, name)
    def connect(self, address, *rest):
        if isinstance(address, tuple):
            try:
                inside = ipaddress.ip_address(address[0]).is_loopback
            except ValueError:
                inside = address[0] == "localhost"
            if not inside:
                with open(os.environ["WATCHED"], "a") as log:
                    log.write(f"{address}\\n")
                raise OSError("watched")
        return original(self, address, *rest)
    setattr(socket.socket, name, connect)
for each in ("connect", "connect_ex"):
    watched(each)
ask = socket.getaddrinfo
def asked(host, *rest, **options):
    if host not in (None, "localhost", "127.0.0.1", "::1", b"127.0.0.1"):
        with open(os.environ["WATCHED"], "a") as log:
            log.write(f"{host}\\n")
        raise OSError("watched")
    return ask(host, *rest, **options)
socket.getaddrinfo = asked
"""


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "data")
    yield server
    if server.process.poll() is None:
        server.end()


def went_on(job: dict) -> bool:
    """Whether a job was taken up again, and is further than it was."""
    return job["continued"] and job["step"] > job["continued"][-1]["step"]


def is_gone(process: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True


def curl_lines() -> list[list[str]]:
    """The lines of docs/studio.md."""
    text = (ROOT / "docs" / "studio.md").read_text(encoding="utf-8")
    return [shlex.split(each) for each in re.findall(r"^    (curl .*)$", text, flags=re.MULTILINE)]


@pytest.mark.slow
def test_page_and_api_are_used_and_no_request_leaves(tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WATCHMAN)
    log = tmp_path / "watched"
    monkeypatch.setenv("WATCHED", str(log))
    # On the way in front of the package, which Server puts first.
    monkeypatch.setattr("studio_harness.impasto.__file__", str(sources(tmp_path / "site")))
    server = Server(tmp_path / "data")
    try:
        page = server.call("GET", "/")[1].decode()
        assert "gradio_config" in page
        assert server.call("GET", "/config")[0] == 200
        assert server.call("GET", "/theme.css")[0] == 200
        for path in ("/gradio_api/file=/etc/passwd", f"/gradio_api/file={tmp_path}/data/studio.db"):
            assert server.call("GET", path)[0] in (403, 404)
        assert server.wait(server.create(), ended)["error"] == ""
        worker = server.worker_id()
        assert server.end() == 0
        wait_until(lambda: is_gone(worker), "the worker's end")
    finally:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)
    assert not log.exists(), log.read_text()
    assert server.said[0] == f"impasto studio: {server.address}/"
    assert server.said[-1] == "Stopped."


def sources(site: Path) -> Path:
    """A folder with sitecustomize and the package, as the parent of a file in the package."""
    package = Path(impasto.__file__).parent
    (site / "impasto").symlink_to(package)
    return site / "impasto" / "__init__.py"


def test_the_watchman_watches(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WATCHMAN)
    code = "import socket\ntry: socket.create_connection(('192.0.2.1', 9))\nexcept OSError: pass"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "WATCHED": str(tmp_path / "log")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert "192.0.2.1" in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_the_client_and_the_curl_line(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("PHOTO").write_bytes(picture_bytes(1, (96, 80)))
    Path("PAINTING").write_bytes(picture_bytes(2, (90, 96)))
    client = [sys.executable, ROOT / "examples" / "studio_client.py", "PHOTO", "PAINTING", "a.png"]
    done = subprocess.run([*client, server.address], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert read_metadata("a.png")["settings"]["steps"] == 10
    Path("CLIP").write_bytes(clip_bytes(36))
    clip, answers = "", []
    for line in curl_lines():
        words = [each.replace("http://127.0.0.1:7860", server.address) for each in line]
        words = [each.replace('"ID"', f'"{clip}"') for each in words]
        words = [each.replace('"start": 2, "end": 5', '"start": 2.8') for each in words]
        done = subprocess.run([*words, "--silent"], capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout))
        clip = answers[-1]["id"]
    assert [each.get("state", "")[:1] in "qr" for each in answers] == [True] * 3
    assert [each.get("kind") for each in answers] == ["stylize", None, "video"]
    assert answers[1]["frames"] == 36


@pytest.mark.slow
def test_under_a_little_load():
    source = str(Path(impasto.__file__).parent.parent)
    options = ["--seconds", "3", "--clients", "5", "--jobs", "7", "--steps", "2"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "load.py", *options],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": source},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["jobs"], figures["done"], figures["errors"]) == (7, 7, {})


@pytest.mark.slow
def test_a_killed_workers_job_goes_on_and_the_next_is_painted(server):
    job = server.create(steps=100_000)
    following = server.create()
    before = server.wait(job, lambda found: found["step"] >= 3)
    worker = server.kill_worker()
    after = server.wait(job, went_on)
    assert after["state"] == "running"
    assert after["continued"][0]["step"] >= before["step"]
    assert server.worker_id() != worker
    assert server.call("POST", f"/api/jobs/{job}/stop")[0] == 202
    assert server.wait(job, ended)["state"] == "stopped"
    assert server.wait(following, ended)["state"] == "done"
    assert server.call("GET", f"/api/jobs/{job}/result")[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize("struck", ["worker", "server"])
def test_a_clip_goes_on_from_its_last_finished_frame(tmp_path, struck):
    av = pytest.importorskip("av", reason="clips need impasto[video]")
    server = Server(tmp_path / "data")
    try:
        job = server.create_clip(12, frame_steps=40)
        before = server.wait(
            job, lambda found: found["clip"] is not None and found["clip"]["frame"] >= 3
        )
        if struck == "worker":
            server.kill_worker()
        else:
            worker = server.worker_id()
            server.end(signal.SIGKILL)
            wait_until(lambda: is_gone(worker), "the worker's end")
            server = Server(tmp_path / "data")
        after = server.wait(job, lambda found: found["continued"])
        assert after["continued"][0]["frame"] >= before["clip"]["frame"]
        done = server.wait(job, ended)
        assert (done["state"], done["error"]) == ("done", "")
        assert done["clip"]["frame"] == 12
        made = server.get(f"/api/jobs/{job}/result")
        with av.open(io.BytesIO(made)) as clip:
            assert sum(1 for _ in clip.decode(video=0)) == 12
    finally:
        if server.process.poll() is None:
            server.end()


@pytest.mark.slow
def test_a_job_that_kills_every_worker_fails_and_the_next_is_painted(server):
    job = server.create(steps=100_000)
    following = server.create()
    killed: set[int] = set()
    while len(killed) < 3:
        server.wait(job, lambda found: found["state"] == "running")
        killed.add(server.kill_worker())
        wait_until(lambda: server.worker_id() not in {0, *killed}, "a new worker")
    found = server.wait(job, ended)
    assert found["state"] == "failed"
    assert "the worker ended unexpectedly (signal 9), 3 times" in found["error"]
    assert server.wait(following, ended)["state"] == "done"


@pytest.mark.slow
def test_a_killed_server_is_begun_again(tmp_path):
    server = Server(tmp_path / "data")
    try:
        finished = server.create()
        cookie = server_session(server, finished)
        assert server.wait(finished, ended)["state"] == "done"
        running, waiting = server.create(steps=100_000), server.create()
        before = server.wait(running, lambda found: found["step"] >= 2)
        worker = server.worker_id()
    finally:
        server.end(signal.SIGKILL)
    wait_until(lambda: is_gone(worker), "the worker's end")
    again = Server(tmp_path / "data")
    try:
        assert again.get(f"/api/jobs/{finished}")["has_result"]
        assert again.call("GET", f"/api/jobs/{finished}/result")[0] == 200
        assert again.call("GET", "/api/jobs", headers={"cookie": cookie})[0] == 200
        after = again.wait(running, went_on)
        assert after["continued"][0]["step"] >= before["step"]
        again.call("POST", f"/api/jobs/{running}/stop")
        assert again.wait(running, ended)["state"] == "stopped"
        assert again.wait(waiting, ended)["state"] == "done"
    finally:
        again.end()


def server_session(server: Server, job: str) -> str:
    import sqlite3

    folder = server.process.args[server.process.args.index("--data") + 1]
    with sqlite3.connect(f"file:{folder}/studio.db?mode=ro", uri=True) as database:
        owner = database.execute("SELECT owner FROM jobs WHERE id = ?", (job,)).fetchone()[0]
    database.close()
    return f"impasto_session={owner}"


def test_a_port_that_is_taken(command, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        outcome = command("studio", "--port", port, "--data", tmp_path / "data")
    assert outcome.code == 1
    assert outcome.err == (
        f"Error: port {port} of 127.0.0.1 is taken; choose another with --port, or 0 for any free "
        "one\n"
    )
    assert not (tmp_path / "data").exists()


def test_another_host_wants_a_key(command, tmp_path):
    outcome = command("studio", "--host", "0.0.0.0", "--data", tmp_path / "data")
    assert outcome.code == 1
    assert "give --auth USER:PASSWORD or --token TOKEN" in outcome.err
    outcome = command("studio", "--host", "not a host", "--token", "x" * 16)
    assert outcome.code == 1
    assert "Error: --host not a host" in outcome.err


@pytest.mark.slow
def test_the_page_opens_no_file_and_no_address_for_anybody(tmp_path):
    """A page with a file in it, in a process of its own: Gradio looks at its environment."""
    (tmp_path / "secret").write_text("a secret")
    code = SECRETS.format(folder=str(tmp_path))
    source = str(Path(impasto.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, str(ROOT / "tests")])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "a secret" not in done.stdout
    assert done.stdout.splitlines()[-1] == "uploads are read: yes"


SECRETS = """
from pathlib import Path
import gradio as gr
from fastapi.testclient import TestClient
from impasto.studio import server
from impasto.studio.web.guard import Keys
from studio_harness import make_jobs
def build(jobs):
    with gr.Blocks() as page:
        file, text = gr.File(), gr.Textbox()
        gr.Button().click(lambda path: Path(path).read_text(), file, text, api_name="show")
    return page
folder = Path({folder!r})
jobs = make_jobs(folder / "data")
import impasto.studio.web.page as page_module
page_module.build_page = build
app = server.build_app(jobs, Keys())
with TestClient(app, base_url="http://127.0.0.1:7860") as client:
    def show(path):
        data = {{"path": path, "meta": {{"_type": "gradio.FileData"}}}}
        answer = client.post("/gradio_api/run/show", json={{"data": [data]}})
        print(answer.status_code, answer.text[:300])
        return answer
    sent = client.post("/gradio_api/upload", files={{"files": ("x.txt", b"mine")}})
    own = sent.json()[0]
    assert own.startswith(str(folder / "data" / "gradio")), own
    for name in (folder / "secret", folder / "data" / "studio.db", "/etc/passwd",
                 "http://127.0.0.1:9/x", "file:///etc/passwd"):
        assert show(str(name)).status_code != 200
    print("uploads are read:", "yes" if "mine" in show(own).text else "no")
"""
