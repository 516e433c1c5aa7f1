"""The HTTP API. It can do everything that the page can do."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeVar

import anyio
from fastapi import Depends, FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from impasto._version import __version__
from impasto.errors import ImpastoError, SettingsError
from impasto.settings.recipes import RECIPES, recipe_settings
from impasto.studio.jobs import clip_uploads, requests, results, uploads
from impasto.studio.jobs.jobs import Jobs
from impasto.studio.jobs.limits import Busy, NoSuchThing
from impasto.studio.jobs.views import Estimate, Job, Upload, UploadedClip
from impasto.studio.web.api_docs import reference_page
from impasto.studio.web.api_models import Failure, NewJob, Reproduction, Weights
from impasto.studio.web.guard import session_in

__all__ = ["build_api"]

T = TypeVar("T")

_ABOUT = """\
Paints pictures and clips in the style of other pictures. First upload your pictures. Then create a
job with them, request the job repeatedly until it has ended, and download its result. If a request
is wrong, the answer has a status of 4xx, and its field `error` gives the reason in one sentence."""

_FAILURES: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure, "description": "The request is wrong; the error gives the reason"},
    404: {
        "model": Failure,
        "description": "There is no such job, picture or file, or it was deleted",
    },
    409: {"model": Failure, "description": "This is not possible in the present state of the job"},
    413: {"model": Failure, "description": "The upload or the result is too large"},
    422: {"model": Failure, "description": "The request does not have the documented form"},
    429: {
        "model": Failure,
        "description": "The queue is full, or the studio is busy: try again later",
    },
}


def build_api(jobs: Jobs) -> FastAPI:
    """Make the API of a studio."""
    app = FastAPI(
        title="impasto studio", version=__version__, description=_ABOUT, docs_url=None,
        redoc_url=None, openapi_url="/api/openapi.json", responses=_FAILURES,
    )  # fmt: skip
    app.add_exception_handler(ImpastoError, _explain)
    app.add_exception_handler(RequestValidationError, _explain_form)

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(reference_page(app.openapi()))

    _add_pictures(app, jobs)
    _add_clips(app, jobs)
    _add_jobs(app, jobs)
    _add_estimates(app, jobs)
    _add_lists(app, jobs)
    _add_views(app, jobs)
    _add_commands(app, jobs)
    _add_facts(app, jobs)
    return app


def _owner(request: Request) -> str:
    return session_in(request.headers)


Owner = Annotated[str, Depends(_owner)]
# Requests that decode pictures take long. Limiters keep them from taking all the threads, so that
# quick requests are answered immediately.
_DECODERS = 2
_ASKERS = 4


async def _apart(limiter: anyio.CapacityLimiter, call: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(call, limiter=limiter)


def _add_pictures(app: FastAPI, jobs: Jobs) -> None:
    decoders = anyio.CapacityLimiter(_DECODERS)

    @app.post("/api/pictures", status_code=201, tags=["pictures"])
    async def upload_picture(file: Annotated[UploadFile, File()], owner: Owner) -> Upload:
        """Upload a picture file. Its EXIF data, such as the location of a photo, is not stored."""
        # Files are read inside the limiter, so that few large files are in memory at once.
        return await _apart(decoders, lambda: _upload(jobs, file, owner))

    @app.get("/api/pictures/{picture}", tags=["pictures"], response_class=FileResponse)
    def get_picture(picture: str) -> Response:
        """Return an uploaded picture, as PNG."""
        return FileResponse(uploads.picture_file(jobs.store, picture), media_type="image/png")

    @app.get("/api/examples", tags=["pictures"])
    def list_examples() -> list[str]:
        """List the names of the bundled pictures; requests refer to them as example:NAME."""
        return uploads.example_names()


def _add_clips(app: FastAPI, jobs: Jobs) -> None:
    decoders = anyio.CapacityLimiter(_DECODERS)

    @app.post("/api/clips", status_code=201, tags=["clips"])
    async def upload_clip(file: Annotated[UploadFile, File()], owner: Owner) -> UploadedClip:
        """Upload a clip (MP4, MOV, WebM, Matroska, AVI, GIF …). Nobody can download it again."""
        return await _apart(
            decoders,
            lambda: clip_uploads.add_clip(
                jobs.store, file.file, file.filename or "", owner, jobs.limits
            ),
        )

    @app.get("/api/clips/{clip}", tags=["clips"], response_class=FileResponse)
    def get_clip(clip: str) -> Response:
        """Return the first frame of a clip, as JPEG."""
        return FileResponse(clip_uploads.poster_file(jobs.store, clip), media_type="image/jpeg")


def _add_jobs(app: FastAPI, jobs: Jobs) -> None:
    decoders = anyio.CapacityLimiter(_DECODERS)

    @app.post("/api/jobs", status_code=201, tags=["jobs"])
    async def create_job(body: NewJob, owner: Owner) -> Job:
        """Queue a job. Its pictures are uploads, bundled pictures, or parts of the request."""
        return await _apart(decoders, lambda: jobs.create(_request(body, jobs, owner), owner))

    @app.post("/api/jobs/form", status_code=201, tags=["jobs"])
    async def create_job_from_files(
        owner: Owner,
        content: Annotated[UploadFile, File(description="The photo.")],
        styles: Annotated[list[UploadFile], File(description="The paintings.")],
        recipe: Annotated[str, Form()] = "default",
        settings: Annotated[str, Form(description="Changes to the recipe, as JSON.")] = "{}",
    ) -> Job:
        """Upload a photo and paintings, and queue a job of the kind stylize, in one request."""

        def create() -> Job:
            changes = _parse_settings(settings)
            jobs.check_queue()
            photo, *paintings = [_upload(jobs, each, owner).id for each in (content, *styles)]
            pictures = {"content": photo, "styles": paintings}
            request = requests.Request(pictures=pictures, recipe=recipe, settings=changes)
            return jobs.create(request, owner)

        return await _apart(decoders, create)


def _add_estimates(app: FastAPI, jobs: Jobs) -> None:
    decoders, askers = anyio.CapacityLimiter(_DECODERS), anyio.CapacityLimiter(_ASKERS)

    @app.post("/api/estimate", tags=["jobs"])
    async def estimate_job(body: NewJob, owner: Owner) -> Estimate:
        """Estimate time, memory and sizes of a job, without creating it."""
        request = await _apart(decoders, lambda: _request(body, jobs, owner))
        return await _apart(askers, lambda: jobs.estimate(request))


def _add_lists(app: FastAPI, jobs: Jobs) -> None:
    @app.get("/api/jobs", tags=["jobs"])
    def list_jobs(owner: Owner) -> list[Job]:
        """List the jobs of this session, the newest first. A cookie identifies the session."""
        return jobs.history(owner)

    @app.get("/api/jobs/{job}", tags=["jobs"])
    def get_job(job: str) -> Job:
        """Return the present state of a job. You may request it twice per second."""
        jobs.touch(job)
        return jobs.job(job)

    @app.delete("/api/jobs/{job}", status_code=204, tags=["jobs"])
    def delete_job(job: str) -> Response:
        """Delete a job that has ended, with its picture."""
        jobs.delete(job)
        return Response(status_code=204)


def _add_views(app: FastAPI, jobs: Jobs) -> None:
    decoders = anyio.CapacityLimiter(_DECODERS)

    @app.get("/api/jobs/{job}/losses", tags=["jobs"])
    def get_losses(job: str) -> list[dict[str, Any]]:
        """Return the losses of all steps; of 400 or more steps, only those of 200 to 300."""
        return results.losses(jobs.store, job)

    @app.get("/api/jobs/{job}/preview", tags=["jobs"], response_class=FileResponse)
    def get_preview(job: str) -> Response:
        """Return the present picture, or the present frame of a clip, as JPEG; 404: none yet."""
        jobs.touch(job)
        path = results.preview_file(jobs.store, job)
        if path is None:
            raise NoSuchThing("there is no preview yet")
        return FileResponse(path, media_type="image/jpeg", headers={"cache-control": "no-cache"})

    @app.get("/api/jobs/{job}/result", tags=["jobs"], response_class=FileResponse)
    def get_result(
        job: str, format: Literal["png", "jpg", "tiff", "mp4"] | None = None
    ) -> Response:
        """Return the result: a clip as MP4, a picture as PNG or in another format.

        Pictures have the settings in their metadata. TIFF has 16 bits per channel.
        """
        path = results.result_file(jobs.store, job, None if format is None else f".{format}")
        return _download(path, results.title(jobs.store, job), results.RESULTS[path.suffix])

    @app.get("/api/jobs/{job}/timelapse", tags=["jobs"], response_class=FileResponse)
    async def get_timelapse(job: str, format: Literal["webp", "gif", "mp4"] = "webp") -> Response:
        """Return a time-lapse of the job. The first request creates it, which takes time."""
        path = await _apart(decoders, lambda: results.timelapse_file(jobs.store, job, f".{format}"))
        media = "video/mp4" if format == "mp4" else f"image/{format}"
        return _download(path, results.title(jobs.store, job), media)

    @app.get("/api/jobs/{job}/reproduction", tags=["jobs"])
    def get_reproduction(job: str) -> Reproduction:
        """Return a command and a Python program that make the same picture."""
        return Reproduction(
            command=results.command_line(jobs.store, job),
            python=results.python_lines(jobs.store, job),
        )


def _add_commands(app: FastAPI, jobs: Jobs) -> None:
    def add(name: str, call: Callable[[str], Job]) -> None:
        def command(job: str) -> Job:
            return call(job)

        command.__name__ = f"{name}_job"
        command.__doc__ = (call.__doc__ or "").partition("\n")[0]
        app.post(f"/api/jobs/{{job}}/{name}", status_code=202, tags=["commands"])(command)

    for name in ("pause", "resume", "stop", "cancel"):
        add(name, getattr(jobs, name))

    @app.patch("/api/jobs/{job}", status_code=202, tags=["commands"])
    def change_job(job: str, weights: Weights) -> Job:
        """Continue from the current picture with other weights."""
        given: Any = weights.style_weight
        return jobs.change(job, content_weight=weights.content_weight, style_weight=given)


def _add_facts(app: FastAPI, jobs: Jobs) -> None:
    @app.get("/api/queue", tags=["studio"])
    def get_queue() -> dict[str, int]:
        """Return the numbers of waiting, running and paused jobs, and the most that may wait."""
        return jobs.queue()

    @app.get("/api/limits", tags=["studio"])
    def get_limits() -> dict[str, float]:
        """Return the limits of this studio."""
        return dataclasses.asdict(jobs.limits)

    @app.get("/api/recipes", tags=["studio"])
    def list_recipes() -> dict[str, dict[str, Any]]:
        """List the recipes with their purpose, source, and all settings."""
        return {
            name: {
                "purpose": each.purpose,
                "source": each.source,
                "settings": recipe_settings(name).to_dict(),
            }
            for name, each in RECIPES.items()
        }

    @app.get("/api/settings", tags=["studio"])
    def describe_settings(kind: str = "stylize", recipe: str = "default") -> list[dict[str, Any]]:
        """Describe all settings and options of a kind: type, range, default, help."""
        return requests.describe_settings(kind, recipe)


def _upload(jobs: Jobs, file: UploadFile, owner: str) -> Upload:
    return uploads.add_picture(
        jobs.store, file.file.read(), file.filename or "", owner, jobs.limits
    )


def _request(body: NewJob, jobs: Jobs, owner: str) -> requests.Request:
    """Return a request with the ids of all pictures; store those that are part of the body."""
    jobs.check_queue()

    def known(picture: str | None) -> str | None:
        if picture is None:
            return None
        scheme, colon, rest = picture.partition(":")
        if colon and scheme == "example":
            return uploads.add_example(jobs.store, rest, owner, jobs.limits).id
        if colon and scheme == "data":
            return uploads.add_picture(jobs.store, _data_in(rest), "", owner, jobs.limits).id
        return picture

    given = {role: getattr(body, role) for role in requests.ROLES}
    bare = {role: value for role, value in given.items() if value not in (None, [])}
    request = requests.Request(
        kind=body.kind, recipe=body.recipe, settings=body.settings, options=body.options,
        pictures=bare,
    )  # fmt: skip
    requests.check_request(request, jobs.limits)  # before decoding pictures
    pictures = {
        role: [known(each) for each in value] if isinstance(value, list) else known(value)
        for role, value in bare.items() if role != "clip"
    }  # fmt: skip
    if "clip" in bare:  # always the id of an upload
        pictures["clip"] = bare["clip"]
    return request.with_pictures(pictures)


def _data_in(rest: str) -> bytes:
    kind, comma, text = rest.partition(",")
    if not comma or not kind.endswith(";base64"):
        raise SettingsError("the data of a picture must look like this: data:image/…;base64,…")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SettingsError("the data of a picture is not valid base64") from error


def _parse_settings(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"the settings are not JSON: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError('the settings must be a JSON object, like {"long_side": 512}')
    return values


def _download(path: Any, title: str, media: str) -> FileResponse:
    name = f"{title}{PurePath(path).suffix}"
    return FileResponse(path, media_type=media, filename=name)


async def _explain(_: Request, error: Exception) -> JSONResponse:
    status = getattr(error, "status", 400)
    headers = {"retry-after": "10"} if isinstance(error, Busy) else None
    return JSONResponse({"error": _plain(str(error))}, status_code=status, headers=headers)


async def _explain_form(_: Request, error: Exception) -> JSONResponse:
    details: list[Mapping[str, Any]] = list(getattr(error, "errors", list)())
    lines = [f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in details]
    return JSONResponse({"error": _plain("; ".join(lines))}, status_code=422)


def _plain(text: str) -> str:
    """Return a message on one line, without characters that UTF-8 cannot encode."""
    return " ".join(text.encode("utf-8", "replace").decode().split())
