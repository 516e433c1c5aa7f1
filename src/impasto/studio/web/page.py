"""The page of the studio.

Gradio makes the layout and the forms. The scripts in static/ show pictures, masks, the easel and
the history, and use the HTTP API. So files are uploaded unchanged, a preview is one small request,
and everything is still there after the page is reloaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import gradio as gr

from impasto.errors import ImpastoError
from impasto.settings.options import options_of
from impasto.studio.jobs.clip_uploads import missing_extra
from impasto.studio.jobs.requests import KINDS, Request
from impasto.studio.jobs.uploads import example_names
from impasto.studio.web import html as parts
from impasto.studio.web.forms import Form
from impasto.studio.web.grid_tab import Grid
from impasto.studio.web.guard import session_in

if TYPE_CHECKING:
    from impasto.studio.jobs.jobs import Jobs

__all__ = ["build_page", "make_request", "session_of"]

_TABS = {
    "stylize": "Paint", "video": "Video", "texture": "Texture", "recolor": "Recolor",
    "reconstruct": "Reconstruct",
}  # fmt: skip
_STARTS = {"texture": "Paint the texture", "video": "Paint the clip"}


def session_of(request: gr.Request) -> str:
    """Return the session of a visitor: the `owner` of jobs and pictures."""
    return session_in(request.headers)


def build_page(jobs: Jobs) -> gr.Blocks:
    """Build the page."""
    page: gr.Blocks
    with gr.Blocks(title="impasto studio", analytics_enabled=False, fill_width=True) as page:
        parts.html(parts.HEADER, elem_id="top")
        with gr.Row(elem_id="desk"):
            with gr.Column(scale=5, min_width=320, elem_id="work"):
                parts.html(parts.pictures(example_names()), elem_id="pictures")
                with gr.Tabs(elem_id="kinds"):
                    for kind, title in _TABS.items():
                        with gr.Tab(title, id=kind, elem_id=f"tab-{kind}"):
                            if kind == "video" and missing_extra():
                                parts.html(parts.missing(missing_extra()))
                                continue
                            form = _lay_out_kind(kind, jobs)
                            if kind == "stylize":
                                painting = form
                    with gr.Tab("Grid", id="grid", elem_id="tab-grid"):
                        Grid(painting, jobs, session_of, make_request)
            with gr.Column(scale=7, min_width=320, elem_id="wall"):
                parts.html(parts.EASEL, elem_id="easel")
                parts.html(parts.HISTORY, elem_id="history")
        parts.html(parts.DIALOGS, elem_id="dialogs")
    return page


def _lay_out_kind(kind: str, jobs: Jobs) -> Form:
    parts.html(parts.purpose(kind))
    if KINDS[kind].recipes:
        parts.html(parts.recipes(kind), elem_id=f"recipes-{kind}")
    form = Form(kind)
    with gr.Column(elem_classes="launch"):
        parts.html(parts.estimate(kind))
        starts = {}
        with gr.Row(elem_classes="starts"):
            if kind == "video":
                starts["preview"] = _start("preview", "Preview sheet", "secondary")
            starts[kind] = _start(kind, _STARTS.get(kind, _TABS[kind]), "primary")
    _connect(form, starts, jobs)
    return form


def _start(kind: str, words: str, variant: Literal["primary", "secondary"]) -> gr.Button:
    return gr.Button(words, variant=variant, elem_id=f"start-{kind}", elem_classes="start")


def _connect(form: Form, starts: Mapping[str, gr.Button], jobs: Jobs) -> None:
    """Connect a form: start jobs, ask for estimates, show the settings of a recipe or a job.

    Args: starts: start buttons by the kind of job that they start.
    """
    kind = form.kind
    sent = gr.Textbox(visible="hidden", label="sent")
    asks = gr.Button(visible="hidden", elem_id=f"estimate-{kind}")
    sets = gr.Button(visible="hidden", elem_id=f"set-{kind}")
    state = f"(...given) => [impasto.state('{kind}'), ...given.slice(1)]"
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}

    def beginning(kind: str) -> Callable[..., str]:
        def begin(request: gr.Request, text: str, *values: Any) -> str:
            def create() -> dict[str, Any]:
                asked = make_request(form, json.loads(text), values, kind)
                return {"job": jobs.create(asked, session_of(request), watched=True).id}

            return _answered(create)

        return begin

    def tell(text: str, *values: Any) -> str:
        return _answered(lambda: vars(jobs.estimate(make_request(form, json.loads(text), values))))

    def fill(text: str) -> list[Any]:
        given = json.loads(text)
        return form.values(given["recipe"], given.get("settings", {}), given.get("options", {}))

    begun = f"(text) => impasto.begun('{kind}', text)"
    for name, start in starts.items():
        start.click(beginning(name), [sent, *form.components], sent, js=state, **quiet).then(
            None, sent, js=begun, queue=False
        )
    estimated = f"(text) => impasto.estimated('{kind}', text)"
    answer = gr.Textbox(visible="hidden", label="answer")
    gr.on(
        [asks.click, *(each.change for each in form.components)], tell,
        [sent, *form.components], answer, js=state, trigger_mode="always_last",
        show_progress="hidden", api_visibility="private", concurrency_limit=4,
        concurrency_id="estimates",
    ).then(None, answer, js=estimated, queue=False)  # fmt: skip
    sets.click(fill, sent, form.components, js=f"() => impasto.wanted('{kind}')", **quiet)


def _answered(call: Callable[[], Mapping[str, Any]]) -> str:
    """Return the result of a call, or its error, as JSON."""
    try:
        return json.dumps(call())
    except ImpastoError as error:
        return json.dumps({"error": _sentence(error)})


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())


def make_request(
    form: Form, given: Mapping[str, Any], values: Any, name: str | None = None
) -> Request:
    """Return a request with the pictures and the recipe of the page and the settings of a form.

    Args:
        given: the pictures by role; the recipe; and the shares, which are a factor of the style
            weight for each painting.
        values: values of the form's components.
        name: kind of job; None: the kind of the form.

    Raises: SettingsError: a text of the form is not a list of numbers.
    """
    name = name or form.kind
    kind = KINDS[name]
    recipe = given["recipe"] if kind.recipes else "default"
    settings, options = form.read(recipe, values)
    options = options_of(kind.options, options)
    roles = (*kind.needs, *kind.takes)
    pictures = {role: each for role, each in given["pictures"].items() if role in roles and each}
    if form.kind == "recolor" and "styles" in pictures:
        pictures["styles"] = pictures["styles"][:1]
    shares = given.get("shares", [])
    weights = [row["name"] for row in form.rows]
    if "styles" in pictures and len(set(shares)) > 1 and "style_weight" in weights:
        weight = values[weights.index("style_weight")]
        settings["style_weight"] = [weight * each for each in shares]
    return Request(kind=name, pictures=pictures, recipe=recipe, settings=settings, options=options)
