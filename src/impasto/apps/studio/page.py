"""The page: what people see of the studio. Built on `Jobs`, as the HTTP API is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from impasto.apps.studio.guard import session_in

if TYPE_CHECKING:
    from impasto.apps.studio.jobs import Jobs

__all__ = ["build_page", "session_of"]


def session_of(request: gr.Request) -> str:
    """Return the session, the `owner` of its jobs and pictures, of who looks at the page."""
    return session_in(request.headers)


def build_page(jobs: Jobs) -> gr.Blocks:
    """Lay out the page."""
    page: gr.Blocks
    with gr.Blocks(title="impasto", analytics_enabled=False) as page:
        gr.Markdown("# impasto")
        queue = jobs.queue()
        gr.Markdown(f"{queue['limit']} jobs may wait.")
    return page
