"""The API's own OpenAPI description, turned against it: whatever is sent, no answer is a 5xx."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from impasto.studio.jobs import jobs as jobs_module
from impasto.studio.server import build_app
from impasto.studio.web.guard import Keys
from studio_harness import clip_request, make_jobs, small_request

pytest.importorskip("fastapi", reason="the studio needs impasto[studio]")
pytest.importorskip("av", reason="clips need impasto[video]")
schemathesis = pytest.importorskip("schemathesis", reason="the fuzzing needs schemathesis")

HERE = {"host": "127.0.0.1:7860"}
SETTINGS = settings(
    max_examples=50, deadline=None, derandomize=True, database=None,
    phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
)  # fmt: skip
KNOWN: dict[str, list[str]] = {}


@pytest.fixture
def api(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs_module, "_PATIENCE", 0.01)  # there is no worker to wait for
    jobs = make_jobs(tmp_path, queue=50)
    request = small_request(jobs)
    made = [jobs.create(request, "me").id for _ in range(3)]
    jobs.store.jobs.take()
    jobs.cancel(made[2])
    KNOWN["job"], KNOWN["picture"] = made, request.ids
    clip = clip_request(jobs)
    KNOWN["clip"] = [str(clip.clip)]
    made.append(jobs.create(clip, "me").id)
    app = build_app(jobs, Keys(), page=False)
    return schemathesis.openapi.from_asgi("/api/openapi.json", app, headers=HERE)


@pytest.mark.slow
def test_no_answer_is_a_server_error(api):
    """By hand over all operations: schemathesis's own pytest plugin lags behind pytest."""
    seen: Counter[int] = Counter()
    operations = [each.ok() for each in api.get_all_operations()]
    assert len(operations) > 15
    for operation in operations:

        @given(case=operation.as_strategy())
        @SETTINGS
        def fuzz(case):
            for name, known in KNOWN.items():
                if name in (case.path_parameters or {}) and len(str(case.path_parameters)) % 2:
                    case.path_parameters[name] = known[len(repr(case.body)) % len(known)]
            if isinstance(case.body, dict) and "settings" in case.body and len(repr(case.body)) % 2:
                # Else hardly any request would come as far as its settings.
                content, *styles = KNOWN["picture"]
                case.body = {
                    "content": content,
                    "styles": styles,
                    "settings": case.body["settings"],
                }
                if len(repr(case.body)) % 3 == 0:
                    kind = ["video", "preview"][len(repr(case.body)) % 2]
                    clip = {"clip": KNOWN["clip"][0], "content": None, "kind": kind}
                    case.body |= clip
            answer = case.call(headers=HERE)
            seen[answer.status_code] += 1
            assert answer.status_code < 500, (case.as_curl_command(), answer.text)
            assert answer.status_code != 403, answer.text  # the guard would hide the rest

        fuzz()
    assert {200, 201, 202, 400, 404, 409, 422} <= set(seen), seen
