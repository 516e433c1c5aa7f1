"""The API's own OpenAPI description, turned against it: whatever is sent, no answer is a 5xx."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings

from impasto.apps.studio import jobs as jobs_module
from impasto.apps.studio.guard import Keys
from impasto.apps.studio.server import build_app
from studio import make_jobs, small_request

pytest.importorskip("fastapi", reason="the studio needs impasto[studio]")
schemathesis = pytest.importorskip("schemathesis", reason="the fuzzing needs schemathesis")

HERE = {"host": "127.0.0.1:7860"}
KNOWN: dict[str, list[str]] = {}


@pytest.fixture
def api(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs_module, "_PATIENCE", 0.01)  # there is no worker to wait for
    jobs = make_jobs(tmp_path, queue=50)
    request = small_request(jobs)
    made = [jobs.create(request, "me").id for _ in range(3)]
    jobs.store.take()
    jobs.cancel(made[2])
    KNOWN["job"], KNOWN["picture"] = made, request.ids
    app = build_app(jobs, Keys(), page=False)
    return schemathesis.openapi.from_asgi("/api/openapi.json", app, headers=HERE)


schema = schemathesis.pytest.from_fixture("api")


@pytest.mark.slow
@schema.parametrize()
@settings(
    max_examples=25, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_no_answer_is_a_server_error(case):
    for name, known in KNOWN.items():
        if name in (case.path_parameters or {}) and len(str(case.path_parameters[name])) % 2:
            case.path_parameters[name] = known[len(repr(case.body)) % len(known)]
    answer = case.call(headers=HERE)
    assert answer.status_code < 500, answer.text
    assert answer.status_code != 403, answer.text
