"""Gradio, put to what this product wants of it: below our guard, and deaf to the world outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr
from fastapi.staticfiles import StaticFiles
from gradio import processing_utils

from impasto.cli.commands.examples import EXAMPLES
from impasto.studio.jobs.limits import StudioError
from impasto.studio.jobs.views import Upload, UploadedClip
from impasto.studio.web.page import build_page
from impasto.studio.web.theme import FOLDER, HEAD, theme

if TYPE_CHECKING:
    from fastapi import FastAPI

    from impasto.studio.jobs.jobs import Jobs

__all__ = ["mount_page"]


# Seconds between two clean-ups of what browsers have sent to Gradio, and for which it is kept.
_CLEANED, _KEPT = 600, 86400


def mount_page(app: FastAPI, jobs: Jobs) -> None:
    """Put the page at the root of the app, behind the routes that it has already."""
    _fetch_nothing()
    _add_files(app, jobs)
    page = build_page(jobs)
    page.delete_cache = (_CLEANED, _KEPT)
    gr.mount_gradio_app(
        app, page, path="/", footer_links=[], run_history=False, ssr_mode=False, pwa=False,
        mcp_server=False, enable_monitoring=False, max_file_size=jobs.limits.max_bytes,
        theme=theme(), head=HEAD, favicon_path=str(FOLDER / "icon.svg"),
    )  # fmt: skip
    # Gradio checks that a file that a browser names was uploaded by it, but only in a page that it
    # has launched itself; without this, any file of this machine could be named.
    page.has_launched = True


def _add_files(app: FastAPI, jobs: Jobs) -> None:
    """Serve what the page is made of, and what its scripts want besides the API."""

    @app.get("/look/pictures/{picture}", include_in_schema=False)
    def tell_of_picture(picture: str) -> Upload:
        return jobs.known(picture)

    @app.get("/look/clips/{clip}", include_in_schema=False)
    def tell_of_clip(clip: str) -> UploadedClip:
        return jobs.clip(clip)

    app.mount("/look/examples", StaticFiles(directory=EXAMPLES))
    app.mount("/look", StaticFiles(directory=FOLDER))


def _fetch_nothing() -> None:
    """Refuse what Gradio would do for a browser that names a URL in the place of a file."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise StudioError("the studio fetches nothing from elsewhere")

    for name in (
        "save_url_to_cache", "ssrf_protected_download", "async_ssrf_protected_download",
        "async_ssrf_protected_get", "unsafe_download",
    ):  # fmt: skip
        if hasattr(processing_utils, name):
            setattr(processing_utils, name, refuse)
