"""The HTTP API: the same jobs as the page's, by documented endpoints."""

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
from impasto.studio.jobs import requests as kinds
from impasto.studio.jobs.jobs import RESULTS, Estimate, Job, Jobs, Upload, UploadedClip
from impasto.studio.jobs.limits import Busy, NoSuchThing
from impasto.studio.web.api_docs import reference_page
from impasto.studio.web.api_models import Failure, NewJob, Reproduction, Weights
from impasto.studio.web.guard import session_in

__all__ = ["build_api"]

T = TypeVar("T")

_ABOUT = """\
Paint pictures and clips in the style of others. What is painted is uploaded, a job is made of it
and of settings, and asked about until it has ended; then its result is there. What is wrong with a
request is said in the field `error` of a 4xx answer, in one sentence."""

_FAILURES: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure, "description": "Something about it is wrong; says what"},
    404: {"model": Failure, "description": "There is no such job, picture or file (any more)"},
    409: {"model": Failure, "description": "Not in the state that the job is in"},
    413: {"model": Failure, "description": "Too large"},
    422: {"model": Failure, "description": "Not of the form that is documented here"},
    429: {"model": Failure, "description": "queue full, or busy: try again later"},
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
    _add_views(app, jobs)
    _add_commands(app, jobs)
    _add_facts(app, jobs)
    return app


def _owner(request: Request) -> str:
    return session_in(request.headers)


Owner = Annotated[str, Depends(_owner)]
# Decoding takes memory and time: what does it waits in a line of its own, so that the threads that
# answer quick questions are never all taken.
_DECODERS = 2
_ASKERS = 4


async def _apart(limiter: anyio.CapacityLimiter, call: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(call, limiter=limiter)


def _add_pictures(app: FastAPI, jobs: Jobs) -> None:
    decoders = anyio.CapacityLimiter(_DECODERS)

    @app.post("/api/pictures", status_code=201, tags=["pictures"])
    async def upload_picture(file: Annotated[UploadFile, File()], owner: Owner) -> Upload:
        """Upload a picture file. Only its pixels are kept: no EXIF, no place."""
        # Read there, so that not many large files are in memory at once.
        return await _apart(
            decoders, lambda: jobs.upload(file.file.read(), file.filename or "", owner)
        )

    @app.get("/api/pictures/{picture}", tags=["pictures"], response_class=FileResponse)
    def get_picture(picture: str) -> Response:
        """Return an upload, as PNG."""
        return FileResponse(jobs.picture(picture), media_type="image/png")

    @app.get("/api/examples", tags=["pictures"])
    def list_examples() -> list[str]:
        """List the bundled pictures, for example:NAME."""
        return jobs.examples()


def _add_clips(app: FastAPI, jobs: Jobs) -> None:
    decoders = anyio.CapacityLimiter(_DECODERS)

    @app.post("/api/clips", status_code=201, tags=["clips"])
    async def upload_clip(file: Annotated[UploadFile, File()], owner: Owner) -> UploadedClip:
        """Upload a clip (MP4, MOV, WebM, Matroska, AVI, GIF …). It is never given out again."""
        return await _apart(
            decoders, lambda: jobs.upload_clip(file.file, file.filename or "", owner)
        )

    @app.get("/api/clips/{clip}", tags=["clips"], response_class=FileResponse)
    def get_clip(clip: str) -> Response:
        """Return the first frame of a clip, a JPEG."""
        return FileResponse(jobs.poster(clip), media_type="image/jpeg")


def _add_jobs(app: FastAPI, jobs: Jobs) -> None:
    decoders, askers = anyio.CapacityLimiter(_DECODERS), anyio.CapacityLimiter(_ASKERS)

    @app.post("/api/jobs", status_code=201, tags=["jobs"])
    async def create_job(body: NewJob, owner: Owner) -> Job:
        """Queue a job made of uploads, pictures in the request itself, or bundled ones."""
        return await _apart(decoders, lambda: jobs.create(_request(body, jobs, owner), owner))

    @app.post("/api/jobs/form", status_code=201, tags=["jobs"])
    async def create_job_from_files(
        owner: Owner,
        content: Annotated[UploadFile, File(description="The photo.")],
        styles: Annotated[list[UploadFile], File(description="The paintings.")],
        recipe: Annotated[str, Form()] = "default",
        settings: Annotated[str, Form(description="Changes to the recipe, as JSON.")] = "{}",
    ) -> Job:
        """Upload a photo and paintings and queue a job of the kind stylize, in one request."""

        def create() -> Job:
            changes = _parse_settings(settings)
            jobs.check_queue()
            photo, *paintings = [
                jobs.upload(each.file.read(), each.filename or "", owner).id
                for each in (content, *styles)
            ]
            pictures = {"content": photo, "styles": paintings}
            request = kinds.Request(pictures=pictures, recipe=recipe, settings=changes)
            return jobs.create(request, owner)

        return await _apart(decoders, create)

    @app.post("/api/estimate", tags=["jobs"])
    async def estimate_job(body: NewJob, owner: Owner) -> Estimate:
        """Tell what a job would take, before it is made: time, memory, sizes."""
        request = await _apart(decoders, lambda: _request(body, jobs, owner))
        return await _apart(askers, lambda: jobs.estimate(request))

    @app.get("/api/jobs", tags=["jobs"])
    def list_jobs(owner: Owner) -> list[Job]:
        """List the jobs of this session (its cookie), the newest first."""
        return jobs.history(owner)

    @app.get("/api/jobs/{job}", tags=["jobs"])
    def get_job(job: str) -> Job:
        """Return a job as it is now; ask as often as twice a second."""
        jobs.touch(job)
        return jobs.job(job)

    @app.delete("/api/jobs/{job}", status_code=204, tags=["jobs"])
    def delete_job(job: str) -> Response:
        """Delete a job that has ended, and its picture."""
        jobs.delete(job)
        return Response(status_code=204)


def _add_views(app: FastAPI, jobs: Jobs) -> None:
    decoders = anyio.CapacityLimiter(_DECODERS)

    @app.get("/api/jobs/{job}/losses", tags=["jobs"])
    def get_losses(job: str) -> list[dict[str, Any]]:
        """Return up to 200 points of the curves of its losses."""
        return jobs.losses(job)

    @app.get("/api/jobs/{job}/preview", tags=["jobs"], response_class=FileResponse)
    def get_preview(job: str) -> Response:
        """Return the picture, or a clip's present frame, as it is now, a JPEG; 404 before."""
        jobs.touch(job)
        path = jobs.preview(job)
        if path is None:
            raise NoSuchThing("there is no preview yet")
        return FileResponse(path, media_type="image/jpeg", headers={"cache-control": "no-cache"})

    @app.get("/api/jobs/{job}/result", tags=["jobs"], response_class=FileResponse)
    def get_result(
        job: str, format: Literal["png", "jpg", "tiff", "mp4"] | None = None
    ) -> Response:
        """Return the result: a clip as MP4; a picture as PNG, or in another form.

        Pictures have the settings in their metadata; TIFF has 16 bits a channel.
        """
        path = jobs.result(job, None if format is None else f".{format}")
        return _download(path, jobs.title(job), RESULTS[path.suffix])

    @app.get("/api/jobs/{job}/timelapse", tags=["jobs"], response_class=FileResponse)
    async def get_timelapse(job: str, format: Literal["webp", "gif", "mp4"] = "webp") -> Response:
        """Return a film of the job, made when first asked for."""
        path = await _apart(decoders, lambda: jobs.timelapse(job, f".{format}"))
        media = "video/mp4" if format == "mp4" else f"image/{format}"
        return _download(path, jobs.title(job), media)

    @app.get("/api/jobs/{job}/reproduction", tags=["jobs"])
    def get_reproduction(job: str) -> Reproduction:
        """Return the command line and the Python lines that make the same picture."""
        return Reproduction(command=jobs.command_line(job), python=jobs.python_lines(job))


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
        """Go on from the present picture with other weights."""
        given: Any = weights.style_weight
        return jobs.change(job, content_weight=weights.content_weight, style_weight=given)


def _add_facts(app: FastAPI, jobs: Jobs) -> None:
    @app.get("/api/queue", tags=["studio"])
    def get_queue() -> dict[str, int]:
        """Tell how many jobs wait and run, and how many may wait."""
        return jobs.queue()

    @app.get("/api/limits", tags=["studio"])
    def get_limits() -> dict[str, float]:
        """Tell what this studio allows."""
        return dataclasses.asdict(jobs.limits)

    @app.get("/api/recipes", tags=["studio"])
    def list_recipes() -> dict[str, dict[str, Any]]:
        """List the recipes: what for, from where, and all their settings."""
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
        """Describe all settings and options of a kind of job: type, range, default, help."""
        return kinds.describe_settings(kind, recipe)


def _request(body: NewJob, jobs: Jobs, owner: str) -> kinds.Request:
    """Upload the pictures that a request carries itself, and name all by their ids."""
    jobs.check_queue()

    def known(picture: str | None) -> str | None:
        if picture is None:
            return None
        scheme, colon, rest = picture.partition(":")
        if colon and scheme == "example":
            return jobs.example(rest, owner).id
        if colon and scheme == "data":
            return jobs.upload(_data_in(rest), "", owner).id
        return picture

    given = {role: getattr(body, role) for role in kinds.ROLES}
    bare = {role: value for role, value in given.items() if value not in (None, [])}
    request = kinds.Request(
        kind=body.kind, recipe=body.recipe, settings=body.settings, options=body.options,
        pictures=bare,
    )  # fmt: skip
    kinds.check_request(request, jobs.limits)  # before anything is decoded
    pictures = {
        role: [known(each) for each in value] if isinstance(value, list) else known(value)
        for role, value in bare.items() if role != "clip"
    }  # fmt: skip
    if "clip" in bare:  # which is uploaded before, and has an id
        pictures["clip"] = bare["clip"]
    return request.with_pictures(pictures)


def _data_in(rest: str) -> bytes:
    kind, comma, text = rest.partition(",")
    if not comma or not kind.endswith(";base64"):
        raise SettingsError("a picture's data: is to be data:image/…;base64,…")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SettingsError("a picture's data: is not base64") from error


def _parse_settings(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"settings are not JSON: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError('settings are to be a JSON object, like {"long_side": 512}')
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
    """Return a message on one line, without what UTF-8 cannot write."""
    return " ".join(text.encode("utf-8", "replace").decode().split())
