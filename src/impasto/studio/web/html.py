"""The parts of the page as HTML; their scripts are in static/*.js."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from impasto.settings.recipes import RECIPES
from impasto.studio.jobs.requests import KINDS

__all__ = [
    "DIALOGS",
    "EASEL",
    "GRID",
    "HEADER",
    "HISTORY",
    "estimate",
    "html",
    "missing",
    "pictures",
    "purpose",
    "recipes",
]  # fmt: skip

HEADER = """
<a class="skip" href="#work">Skip to the settings</a>
<header class="masthead">
  <svg viewBox="0 0 48 48" width="38" height="38" aria-hidden="true">
    <path d="M6 34c8-20 20-25 36-26-7 5-7 10-14 14 5 0 7-1 10-3-5 12-17 19-32 15z" class="dab"/>
    <path d="M10 40c8-1 18-3 28-1" class="line"/>
  </svg>
  <div><h1>impasto</h1><p>your photo, in the style of a painting</p></div>
  <nav aria-label="About this page">
    <span id="queue-note" role="status"></span>
    <a href="/docs">HTTP API</a>
    <button type="button" id="tone" aria-label="Switch between light and dark">◐</button>
  </nav>
</header>
"""

EASEL = """
<section aria-label="The picture" class="easel" data-state="empty">
  <div class="canvas">
    <div class="empty"><p class="big">Your picture appears here</p>
      <p class="of-pictures">Choose a photo and a painting, then press
      <b>Paint</b>.<br>No photo at hand? Choose one from the gallery.</p>
      <p class="of-clips">Choose a clip and a painting, then press
      <b>Paint the clip</b>.<br>A preview sheet shows beforehand how the clip will look.</p></div>
    <img class="after" alt="" hidden>
    <img class="before" alt="The original photo" hidden>
    <video class="film" controls loop playsinline hidden aria-label="The painted clip"></video>
    <div class="divider" hidden aria-hidden="true"><span>⇔</span></div>
    <input class="wipe" type="range" min="0" max="100" value="50" hidden
      aria-label="Before and after: how much of the original photo to show">
  </div>
  <div class="grid-view" hidden></div>
  <div class="status" hidden>
    <p class="state" role="status"></p>
    <progress max="1" value="0" aria-label="Progress of the picture"></progress>
    <dl class="facts"></dl>
    <figure class="curve" hidden><svg viewBox="0 0 300 80" preserveAspectRatio="none" role="img"
      aria-label="Curves of the losses, on a logarithmic scale"></svg>
      <figcaption><span class="k content">content</span> <span class="k style">style</span>
      <span class="note">losses (log scale)</span></figcaption></figure>
    <p class="notes"></p>
    <p class="message" role="alert"></p>
    <div class="controls" role="group" aria-label="The job">
      <button type="button" data-do="pause">Pause</button>
      <button type="button" data-do="resume">Resume</button>
      <button type="button" data-do="stop">Stop and keep</button>
      <button type="button" data-do="cancel">Cancel</button>
      <button type="button" data-do="compare" aria-pressed="false">Before / after</button>
      <button type="button" data-do="again">Use these settings again</button>
      <button type="button" data-do="delete">Delete</button>
    </div>
    <details class="steer"><summary>Change the weights while painting</summary>
      <label>Photo <input type="range" name="content_weight" min="-2" max="2" step="0.1">
        <output></output></label>
      <label>Painting <input type="range" name="style_weight" min="-2" max="2" step="0.1">
        <output></output></label>
    </details>
    <div class="keep" hidden>
      <div class="downloads" role="group" aria-label="Download"></div>
      <details class="redo"><summary>Make this picture without the studio</summary>
        <h4>Command line</h4><div class="code"><pre tabindex="0" data-code="command"></pre>
        <button type="button" data-copy="command">Copy</button></div>
        <h4>Python</h4><div class="code"><pre tabindex="0" data-code="python"></pre>
        <button type="button" data-copy="python">Copy</button></div></details>
    </div>
  </div>
</section>
"""

HISTORY = """
<section class="history" aria-label="Your pictures" hidden>
  <h2>Your pictures</h2><div class="strip"></div>
</section>
"""

GRID = """
<p class="purpose">Paint the same picture with several values of two settings, and compare the
results. All other settings come from the tab Paint. A small size saves time.</p>
"""

DIALOGS = """
<dialog id="gallery" aria-labelledby="gallery-title"><form method="dialog">
  <header><h2 id="gallery-title">Gallery</h2><button aria-label="Close">✕</button></header>
  <div class="tiles"></div></form></dialog>
<dialog id="camera" aria-labelledby="camera-title"><form method="dialog">
  <header><h2 id="camera-title">Camera</h2><button aria-label="Close">✕</button></header>
  <video autoplay muted playsinline></video>
  <footer><button type="button" class="primary" data-snap>Take a photo</button></footer>
</form></dialog>
<dialog id="masks" aria-labelledby="masks-title">
  <header><h2 id="masks-title">Masks</h2>
    <button type="button" data-mask="close" aria-label="Close without changes">✕</button></header>
  <p class="explain"></p>
  <div class="board"><img alt=""><canvas aria-label="The mask" tabindex="0"></canvas></div>
  <div class="tools">
    <fieldset class="swatches"><legend>Brush</legend></fieldset>
    <label>Width <input type="range" id="brush-width" min="2" max="40" value="10"></label>
    <label>Soft edge <input type="range" id="feather" min="0" max="60" value="0">
      <output></output></label>
    <button type="button" data-mask="undo">Undo</button>
    <button type="button" data-mask="clear">Clear</button>
    <label class="button">Upload<input type="file" accept="image/*" data-mask-file></label>
    <button type="button" data-mask="download">Download</button>
  </div>
  <footer><button type="button" data-mask="none">Remove the mask</button>
    <button type="button" class="primary" data-mask="use">Use this mask</button></footer>
</dialog>
"""


def html(text: str, **options: Any) -> gr.HTML:
    """Put HTML into the page without Gradio's default CSS for prose."""
    return gr.HTML(text, apply_default_css=False, js_on_load=None, **options)


def purpose(kind: str) -> str:
    """Return a line with the purpose of a kind of job, and the pictures that it needs."""
    words = {
        "styles": " You only need paintings.", "content": " You only need a photo."
    }  # fmt: skip
    also = words.get(" ".join(KINDS[kind].needs), "")
    return f'<p class="purpose">{escape(KINDS[kind].purpose)}{also}</p>'


def missing(words: str) -> str:
    """Return a note with the command that installs the libraries for a tab."""
    what, _, line = words.partition(": ")
    return f"""
<p class="purpose">{escape(KINDS["video"].purpose)}</p>
<div class="missing"><p>{escape(what[0].upper() + what[1:])}, which are not installed here:</p>
<div class="code"><pre tabindex="0">{escape(line)}</pre></div>
<p>Then stop the studio with Ctrl-C and start it again.</p></div>"""


def pictures(names: Sequence[str]) -> str:
    """Return the fields for photo, clip and paintings: drop, paste, choose a file, or camera."""
    listed = [name for name in names if "_mask" not in name]
    return f"""
<div class="pickers" data-examples="{escape(" ".join(listed))}">
  <section class="picker" data-role="content" aria-labelledby="content-title">
    <h2 id="content-title">Photo</h2>{_drop("content", "the photo")}</section>
  <section class="picker" data-role="clip" aria-labelledby="clip-title">
    <h2 id="clip-title">Clip</h2>{_drop("clip", "the clip")}</section>
  <section class="picker" data-role="styles" aria-labelledby="styles-title">
    <h2 id="styles-title">Paintings</h2><div class="styles"></div>
    {_drop("styles", "a painting")}</section>
</div><p class="message" id="message-pictures" role="alert"></p>
"""


def _drop(role: str, what: str) -> str:
    files, words = "image/*,.heic,.avif,.tif,.tiff", "or paste it, or choose a file"
    sources = f"""<div class="sources">
    <button type="button" data-gallery="{role}">Gallery</button>
    <button type="button" data-camera="{role}">Camera</button></div>"""
    if role == "clip":
        files, words, sources = "video/*,.mkv,.gif,.ts,.m2ts", "or choose a file", ""
    return f"""
<div class="drop" data-role="{role}">
  <div class="shown"></div>
  <label class="choose"><input type="file" accept="{files}"
    data-role="{role}" aria-label="Choose {what}" {"multiple" if role == "styles" else ""}>
    <span><b>Drop {what} here</b><br>{words}</span></label>
  {sources}
</div>"""


def recipes(kind: str) -> str:
    """Return the recipes as cards to choose from."""
    cards = "".join(
        f'<label class="card"><input type="radio" name="recipe-{kind}" value="{name}"'
        f"{' checked' if name == 'default' else ''}>"
        f'<img src="/look/recipes/{name}.jpg" alt="" width="192" height="128" loading="lazy">'
        f"<span><b>{name}</b><small>{escape(each.purpose)}</small></span></label>"
        for name, each in RECIPES.items()
    )
    return f'<fieldset class="cards"><legend>Recipe</legend><div>{cards}</div></fieldset>'


def estimate(kind: str) -> str:
    """Return the lines that show the estimate of a job, and errors."""
    return (
        f'<p class="estimate" id="shown-estimate-{kind}" role="status"></p>'
        f'<p class="message" id="message-{kind}" role="alert"></p>'
    )
