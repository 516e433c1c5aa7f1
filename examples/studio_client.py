"""Paint with the studio's HTTP API: create a job, poll it, download the result.

Start `impasto studio` first. This program needs only Python itself:

studio_client.py PHOTO PAINTING OUT.png [ADDRESS]
"""

import base64
import json
import sys
import time
import urllib.request
from pathlib import Path

photo, painting, out = map(Path, sys.argv[1:4])
address = sys.argv[4] if len(sys.argv) > 4 else "http://127.0.0.1:7860"


def ask(path: str, body: object = None) -> bytes:
    """Send a GET request, or a POST request with JSON; return the answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def packed(path: Path) -> str:
    """Return a file as a data URL."""
    return "data:image/any;base64," + base64.b64encode(path.read_bytes()).decode()


settings = {"long_side": 96, "steps": 10}
job = json.loads(
    ask(
        "/api/jobs",
        {"content": packed(photo), "styles": [packed(painting)], "settings": settings},
    )
)
while job["state"] in ("queued", "running"):
    time.sleep(0.5)
    job = json.loads(ask(f"/api/jobs/{job['id']}"))
    print(f"{job['state']}: step {job['step']} of {job['count']}")
if job["state"] != "done":
    sys.exit(job["error"])
out.write_bytes(ask(f"/api/jobs/{job['id']}/result"))
