"""The HTTP API and what stands before it, in this process and without the page."""

from __future__ import annotations

import base64
import io
import json

import pytest
from PIL import Image

from impasto.errors import SettingsError
from impasto.settings.pictures import Settings
from impasto.settings.recipes import RECIPES
from impasto.studio.jobs.limits import StudioError
from impasto.studio.server import _check_keys, build_app
from impasto.studio.web.guard import Keys, is_loopback
from studio_harness import SMALL, make_jobs, picture_bytes, wait_for_state, working

TestClient = pytest.importorskip(
    "fastapi.testclient", reason="the studio needs impasto[studio]"
).TestClient


@pytest.fixture
def jobs(tmp_path):
    return make_jobs(tmp_path, queue=3, max_bytes=2_000_000, max_pixels=4_000_000)


def client_of(jobs, keys=None, **options):
    app = build_app(jobs, keys or Keys(), page=False, **options)
    return TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=True)


@pytest.fixture
def client(jobs):
    with client_of(jobs) as client:
        yield client


def data_uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def small_body(**changes):
    return {
        "content": data_uri(picture_bytes(1)), "styles": [data_uri(picture_bytes(2, (36, 34)))],
        "settings": SMALL, **changes,
    }  # fmt: skip


def test_a_job_from_its_upload_to_its_result(client, jobs):
    photo = client.post("/api/pictures", files={"file": ("photo.png", picture_bytes(1))})
    assert photo.status_code == 201
    assert photo.json() | {"id": ""} == {"id": "", "name": "photo.png", "width": 40, "height": 32}
    body = small_body(content=photo.json()["id"])
    created = client.post("/api/jobs", json=body)
    assert created.status_code == 201, created.text
    path = f"/api/jobs/{created.json()['id']}"
    assert client.get(path).json()["position"] == 1
    assert client.get(f"{path}/preview").status_code == 404
    assert client.get(f"{path}/result").json() == {
        "error": "there is no result.png: the job is queued"
    }
    with working(jobs):
        wait_for_state(jobs, created.json()["id"], "done")
    assert client.get(path).json()["state"] == "done"
    for format, kind in (("png", "PNG"), ("jpg", "JPEG"), ("tiff", "TIFF")):
        answer = client.get(f"{path}/result?format={format}")
        assert Image.open(io.BytesIO(answer.content)).format == kind
        assert f'filename="photo-picture.{format}"' in answer.headers["content-disposition"]
    assert client.get(f"{path}/preview").headers["content-type"] == "image/jpeg"
    assert client.get(f"{path}/timelapse?format=gif").content.startswith(b"GIF8")
    assert len(client.get(f"{path}/losses").json()) == 4
    lines = client.get(f"{path}/reproduction").json()
    assert lines["command"].startswith("impasto stylize photo.png picture -o pastiche.png")
    assert [each["id"] for each in client.get("/api/jobs").json()] == [created.json()["id"]]
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_files_and_settings_in_one_form(client):
    files = [
        ("content", ("photo.png", picture_bytes(1))),
        ("styles", ("one.png", picture_bytes(2))),
        ("styles", ("two.png", picture_bytes(3))),
    ]
    answer = client.post("/api/jobs/form", files=files, data={"settings": json.dumps(SMALL)})
    assert answer.status_code == 201, answer.text
    assert len(answer.json()["request"]["pictures"]["styles"]) == 2
    for text in ("[1]", "{", "nope", "[" * 100_000):
        answer = client.post("/api/jobs/form", files=files, data={"settings": text})
        assert answer.status_code == 400, text[:10]
        assert "JSON" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"styles": []}, 400, "the kind stylize needs styles"),
        ({"settings": {"stile_weight": 3}}, 400, "did you mean style_weight?"),
        ({"settings": {"steps": 0}}, 400, "steps: 0 is not a finite number ≥ 1"),
        ({"settings": {"long_side": 100_000}}, 413, "megapixels"),
        ({"content": "example:../../x"}, 404, "bundled pictures"),
        ({"content": "data:image/png;base64,!!"}, 400, "not valid base64"),
        ({"content": "data:image/png,xx"}, 400, "must look like this: data:image/…;base64,…"),
        ({"content": data_uri(b"x")}, 400, "not a picture"),
        ({"content": "http://127.0.0.1:1/x.png"}, 404, "no such picture"),
        ({"content": "file:///etc/passwd"}, 404, "no such picture"),
        ({"content": "/etc/passwd"}, 404, "no such picture"),
        ({"kind": "\ud800"}, 400, "is not one of"),
        ({"nonsense": 1}, 422, "nonsense"),
        ({"styles": "x"}, 422, "styles"),
    ],
)
def test_errors_say_what_was_wrong(client, body, status, words):
    sent = json.dumps(small_body(**body)).encode()
    answer = client.post("/api/jobs", content=sent, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]


def test_not_a_number(client):
    sent = json.dumps(small_body(settings={"style_weight": float("nan")})).encode()
    answer = client.post("/api/jobs", content=sent, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "style_weight: nan" in answer.json()["error"]


def test_the_queue_is_full(client):
    for _ in range(3):
        assert client.post("/api/jobs", json=small_body()).status_code == 201
    answer = client.post("/api/jobs", json=small_body())
    assert answer.status_code == 429
    assert answer.json()["error"].startswith("the queue is full: 3 jobs are waiting")
    assert answer.headers["retry-after"] == "10"


def test_commands_in_the_wrong_state(client):
    path = f"/api/jobs/{client.post('/api/jobs', json=small_body()).json()['id']}"
    for command in ("pause", "resume", "stop"):
        answer = client.post(f"{path}/{command}")
        assert answer.status_code == 409
        assert answer.json()["error"].startswith("the job is queued; the command")
    assert client.patch(path, json={"style_weight": 3}).status_code == 409
    assert client.patch(path, json={"style_weight": -3}).status_code == 400
    for empty in ({}, {"style_weight": None}):  # a change of nothing is a mistake
        answer = client.patch(path, json=empty)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("name a content_weight or a style_weight")
    assert client.delete(path).status_code == 409
    assert client.post(f"{path}/cancel").json()["state"] == "cancelled"
    assert client.delete(path).status_code == 204


def test_what_the_studio_says_of_itself(client, tmp_path):
    assert set(client.get("/api/recipes").json()) == set(RECIPES)
    rows = client.get("/api/settings").json()
    assert {row["name"] for row in rows} == set(Settings().to_dict())
    assert client.get("/api/settings?kind=nope").status_code == 400
    assert client.get("/api/settings?recipe=nope").status_code == 400
    (tmp_path / "own.toml").write_text("steps = 3")
    answer = client.get("/api/settings", params={"recipe": str(tmp_path / "own.toml")})
    assert answer.status_code == 400  # files are for the command line
    assert client.get("/api/queue").json()["limit"] == 3
    assert client.get("/api/limits").json()["max_pixels"] == 4_000_000
    assert "neuschwanstein.jpg" in client.get("/api/examples").json()


def test_the_reference_needs_nothing_from_elsewhere(client):
    page = client.get("/docs").text
    schema = client.get("/api/openapi.json").json()
    assert "//" not in page.replace("</", "")
    for path in schema["paths"]:
        assert path in page
    assert set(schema["components"]["schemas"]["NewJob"]["properties"]["settings"]["properties"]) \
        == set(Settings().to_dict())  # fmt: skip


# ---- safety -------------------------------------------------------------------------------------


def test_pictures_of_another_session(client, jobs):
    mine = client.post("/api/jobs", json=small_body()).json()["id"]
    with client_of(jobs) as other:
        assert other.get("/api/jobs").json() == []
        similar = mine[:-1] + ("B" if mine.endswith("A") else "A")
        assert other.get(f"/api/jobs/{similar}").status_code == 404
    assert len(client.get("/api/jobs").json()) == 1


@pytest.mark.parametrize(
    "path", ["/api/jobs/../../etc/passwd", "/api/jobs/..%2F..%2Fetc", "/api/pictures/%2e%2e%2fx"]
)
def test_no_path_from_outside(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.evil.example", ""])
def test_other_names_for_this_machine_are_refused(client, host):
    answer = client.get("/api/queue", headers={"host": host})
    assert answer.status_code == 403
    assert "localhost only" in answer.json()["error"]


@pytest.mark.parametrize("host", ["localhost", "localhost:7860", "127.0.0.1:80", "[::1]:7860"])
def test_its_own_names_are_not(client, host):
    assert client.get("/api/queue", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:7861"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_cannot_command(client, headers):
    for method in ("POST", "PATCH", "DELETE"):
        answer = client.request(method, "/api/jobs/x", headers=headers)
        assert answer.status_code == 403
        assert "other sites" in answer.json()["error"]
    own = {"origin": "http://127.0.0.1:7860", "sec-fetch-site": "same-origin"}
    assert client.post("/api/jobs", json=small_body(), headers=own).status_code == 201


def test_nothing_is_fetched_for_anybody(client):
    for path in ("/gradio_api/proxy=http://127.0.0.1:1/", "/gradio_api/file=http://127.0.0.1:1/"):
        assert client.get(path).status_code == 403


def test_large_bodies_are_refused_by_their_length_and_by_their_bytes(client):
    assert client.post("/api/jobs", content=bytes(8_000_000)).status_code == 413

    def pieces():
        for _ in range(16):
            yield bytes(500_000)

    with pytest.raises(Exception, match=r".*"):  # cut off, whatever it is called
        client.post("/api/pictures", content=pieces()).raise_for_status()


def test_the_token(jobs):
    with client_of(jobs, Keys(token="t" * 20), host="0.0.0.0") as client:
        assert client.get("/api/queue", headers={"host": "studio.example"}).status_code == 401
        for header in ("Bearer nope", "Bearer", "Basic ÿ", "Basic dDp0"):
            answer = client.get("/api/queue", headers={"authorization": header.encode("latin-1")})
            assert answer.status_code == 401
        good = {"authorization": f"Bearer {'t' * 20}"}
        assert client.get("/api/queue", headers=good).status_code == 200
        assert client.get(f"/docs?token={'u' * 20}").status_code == 401
        landed = client.get(f"/docs?token={'t' * 20}")
        assert landed.status_code == 200
        assert "token" not in str(landed.url)
        assert client.get("/api/queue").status_code == 200  # by its cookie


def test_user_and_password(jobs):
    with client_of(jobs, Keys(login="me:pass:word"), host="0.0.0.0") as client:
        answer = client.get("/api/queue")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
        assert client.get("/api/queue", auth=("me", "wrong")).status_code == 401
        assert client.get("/api/queue", auth=("me", "pass:word")).status_code == 200


@pytest.mark.parametrize(
    ("host", "keys", "words"),
    [
        ("0.0.0.0", Keys(), "lets other machines use"),
        ("192.168.1.2", Keys(), "--auth USER:PASSWORD or --token"),
        ("0.0.0.0", Keys(login="me"), "must be USER:PASSWORD"),
        ("0.0.0.0", Keys(token="short"), "at least 16 characters"),
    ],
)
def test_other_hosts_want_keys(host, keys, words):
    with pytest.raises(SettingsError, match=words):
        _check_keys(host, keys)


def test_this_machine_wants_none():
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.5"):
        _check_keys(host, Keys())
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("example.org")


def test_headers_keep_the_browser_from_loading_elsewhere(client):
    headers = client.get("/docs").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    cookie = client.cookies.jar._cookies["127.0.0.1"]["/"]["impasto_session"]
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert len(cookie.value) >= 32


def test_a_second_studio_in_the_same_folder(jobs):
    from impasto.studio.server import _lock

    lock = _lock(jobs.store)
    with pytest.raises(StudioError, match="another studio uses this folder"):
        _lock(jobs.store)
    lock.close()
    _lock(jobs.store).close()
