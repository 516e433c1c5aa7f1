"""Measure a studio under load: 50 clients poll for 60 s, and 20 jobs are queued.

The benchmark starts its own studio on this machine and prints the response times. It fails if an
accepted job does not end exactly once, as done or failed, or if there is any error except "the
queue is full".
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

JOBS, CLIENTS, SECONDS, EVERY = 20, 50, 60.0, 0.5


def main() -> None:
    """Run the benchmark and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--steps", type=int, default=12)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        # The queue is shorter than the number of jobs, so "the queue is full" occurs, too.
        process, address = start(folder, queue=max(1, arguments.jobs - 5))
        usable = time.monotonic() - begin
        try:
            figures = load(address, arguments)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
    print(json.dumps({"seconds until usable": round(usable, 1), **figures}, indent=2))
    if figures["errors"] or figures["ended otherwise"]:
        sys.exit('failed: see "errors" and "ended otherwise"')


def start(folder: str, queue: int) -> tuple[subprocess.Popen[str], str]:
    """Start a studio; return its process and address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "impasto", "studio", "--port", "0", "--data", folder,
         "--queue", str(queue)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    line = process.stderr.readline()
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return process, line.split()[-1].rstrip("/")


def call(address: str, path: str, body: Any = None) -> tuple[int, Any, float]:
    """Send a request; return status, answer and seconds."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    begin = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read()), time.monotonic() - begin
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read()), time.monotonic() - begin


def load(address: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Queue the jobs, poll them from all clients, and wait for the last one."""
    body = {
        "content": "example:neuschwanstein.jpg",
        "styles": ["example:church_at_auvers_van_gogh.jpg"],
        "settings": {"long_side": 256, "steps": arguments.steps, "coarsest": 0},
    }
    # The first job is created before the clock starts: the studio loads its picture decoder.
    made: list[str] = [call(address, "/api/jobs", body)[1]["id"]]
    seen: dict[str, list[str]] = {}
    times: list[float] = []
    statuses: Counter[int] = Counter()
    lock, end = threading.Lock(), time.monotonic() + arguments.seconds

    def poll(number: int) -> None:
        time.sleep(EVERY * number / arguments.clients)
        while time.monotonic() < end:
            job = made[number % len(made)]
            status, found, took = call(address, f"/api/jobs/{job}")
            with lock:
                statuses[status] += 1
                times.append(took)
                note(job, found.get("state", "?"))
            time.sleep(EVERY)

    def note(job: str, state: str) -> None:
        states = seen.setdefault(job, [])
        if not states or states[-1] != state:
            states.append(state)

    clients = [threading.Thread(target=poll, args=(each,)) for each in range(arguments.clients)]
    for each in clients:
        each.start()
    full, creating = 0, []
    while len(made) < arguments.jobs:
        status, answer, took = call(address, "/api/jobs", body)
        if status == 201:
            made.append(answer["id"])
            creating.append(took)
        elif status == 429 and "the queue is full" in answer["error"]:
            full += 1
            time.sleep(1)
        else:
            statuses[status] += 1
            break
    for each in clients:
        each.join()
    waiting = set(made)
    while waiting:
        for job in list(waiting):
            status, found, _ = call(address, f"/api/jobs/{job}")
            note(job, found["state"])
            if status != 200 or found["ended"]:
                waiting.discard(job)
        time.sleep(0.5)
    ends = [
        [state for state in states if state not in ("queued", "running")]
        for states in seen.values()
    ]
    times.sort()
    return {
        "jobs": len(made),
        "done": sum(each == ["done"] for each in ends),
        "ended otherwise": [each for each in ends if each not in (["done"], ["failed"])],
        "status requests": len(times),
        "errors": {code: count for code, count in statuses.items() if code != 200},
        "the queue is full": full,
        "median ms": round(times[len(times) // 2] * 1000, 1),
        "p95 ms": round(times[int(len(times) * 0.95)] * 1000, 1),
        "longest ms": round(times[-1] * 1000, 1),
        "creating a job, median ms": round(sorted(creating)[len(creating) // 2] * 1000, 1),
    }


if __name__ == "__main__":
    main()
