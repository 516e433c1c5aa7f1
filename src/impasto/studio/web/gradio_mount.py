"""Mounts the Gradio page behind the guard; disables downloads from URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr
from fastapi.staticfiles import StaticFiles
from gradio import processing_utils

from impasto.pictures.examples import EXAMPLES
from impasto.studio.jobs.clip_uploads import known_clip
from impasto.studio.jobs.limits import StudioError
from impasto.studio.jobs.uploads import known_picture
from impasto.studio.jobs.views import Upload, UploadedClip
from impasto.studio.web.page import build_page
from impasto.studio.web.theme import FOLDER, HEAD, theme

if TYPE_CHECKING:
    from fastapi import FastAPI

    from impasto.studio.jobs.jobs import Jobs

__all__ = ["mount_page"]


# Seconds between two deletions of files that browsers sent to Gradio, and their age in seconds.
_CLEANED, _KEPT = 600, 86400


def mount_page(app: FastAPI, jobs: Jobs) -> None:
    """Mount the page at the root of the app, after the routes that the app already has."""
    _fetch_nothing()
    _add_files(app, jobs)
    page = build_page(jobs)
    page.delete_cache = (_CLEANED, _KEPT)
    gr.mount_gradio_app(
        app, page, path="/", footer_links=[], run_history=False, ssr_mode=False, pwa=False,
        mcp_server=False, enable_monitoring=False, max_file_size=jobs.limits.max_bytes,
        theme=theme(), head=HEAD, favicon_path=str(FOLDER / "icon.svg"),
    )  # fmt: skip
    # Gradio checks that a browser may only refer to files that it uploaded, but only on a page that
    # Gradio launched itself. Without this line, a browser could read any file of this machine.
    page.has_launched = True


def _add_files(app: FastAPI, jobs: Jobs) -> None:
    """Serve the files of the page, and the facts about uploads that its scripts need."""

    @app.get("/look/pictures/{picture}", include_in_schema=False)
    def tell_of_picture(picture: str) -> Upload:
        return known_picture(jobs.store, picture)

    @app.get("/look/clips/{clip}", include_in_schema=False)
    def tell_of_clip(clip: str) -> UploadedClip:
        return known_clip(jobs.store, clip)

    app.mount("/look/examples", StaticFiles(directory=EXAMPLES))
    app.mount("/look", StaticFiles(directory=FOLDER))


def _fetch_nothing() -> None:
    """Disable Gradio's downloads: a browser could send a URL instead of a file."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise StudioError("the studio downloads nothing from other servers")

    for name in (
        "save_url_to_cache", "ssrf_protected_download", "async_ssrf_protected_download",
        "async_ssrf_protected_get", "unsafe_download",
    ):  # fmt: skip
        if hasattr(processing_utils, name):
            setattr(processing_utils, name, refuse)
