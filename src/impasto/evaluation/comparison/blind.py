"""The blind test of a comparison: an HTML page that asks which of two results one would hang."""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path
from typing import Any

from impasto.errors import ImageError
from impasto.evaluation.comparison.pages import page, static
from impasto.evaluation.comparison.results import Comparison
from impasto.storage import read_file

__all__ = ["blind_test"]

_BODY = """<main>
<noscript><p>This page needs JavaScript.</p></noscript>
<section id="question" hidden>
<h1>Which one would you hang?</h1>
<div id="inputs">
<figure><img id="photo" alt="The photo"><figcaption>photo</figcaption></figure>
<figure><img id="painting" alt="The painting"><figcaption>painting</figcaption></figure>
</div>
<div id="results">
<button type="button" id="left"><img id="left-picture" alt="The left result"></button>
<button type="button" id="right"><img id="right-picture" alt="The right result"></button>
</div>
<p><button type="button" id="equal">Equal</button>
<button type="button" id="back">Back</button>
<button type="button" id="end">End now</button>
<span id="count" role="status"></span></p>
<p>Keys: <kbd>←</kbd> left, <kbd>→</kbd> right, <kbd>space</kbd> equal, <kbd>backspace</kbd> back.
</p>
</section>
<section id="answer" hidden>
<h1 id="heading" tabindex="-1">Result</h1>
<p id="total"></p>
<table><thead><tr><th scope="col">method</th><th scope="col">hung</th><th scope="col">equal</th>
<th scope="col">not hung</th><th scope="col">share</th></tr></thead>
<tbody id="wins"></tbody></table>
<p>Share: how often the method was hung, where equal counts half.</p>
<p><button type="button" id="download">Download the answers (JSON)</button></p>
</section>
<section id="nothing" hidden><h1>Nothing to choose</h1>
<p>A blind test needs a pair with different results of two methods.</p></section>
</main>"""


def blind_test(comparison: Comparison) -> str:
    """Return the page. It contains all pictures, so it works wherever it is copied.

    It shows two results of one pair at a time, in random order. It shows the names of the methods
    at the end only; in its source, they are coded in Base64. Two equal pictures are not shown.

    Raises: ImageError: a thumbnail cannot be read.
    """
    # "<" cannot end the element then.
    data = json.dumps(_data(comparison)).replace("<", "\\u003c")
    return page(
        "Which one would you hang?",
        f'{_BODY}\n<script type="application/json" id="data">{data}</script>',
        style=static("blind.css"), script=static("blind.js"), images="data:",
    )  # fmt: skip


def _data(comparison: Comparison) -> dict[str, Any]:
    """Return what the script needs: pictures, coded names, and all questions."""
    pictures: dict[Path, int] = {}

    def number(path: Path) -> int:
        return pictures.setdefault(path, len(pictures))

    questions = []
    for pair in comparison.pairs:
        found = {
            index: result.thumbnail
            for index, name in enumerate(comparison.methods)
            if (result := comparison.results.get((pair.name, name)))
        }
        for first, second in itertools.combinations(found, 2):
            if found[first] != found[second]:
                questions.append(
                    {
                        "pair": pair.name,
                        "inputs": [number(path) for path in comparison.inputs[pair.name]],
                        "methods": [first, second],
                        "pictures": [number(found[first]), number(found[second])],
                    }
                )
    return {
        "methods": [_coded(name) for name in comparison.methods],
        "questions": questions,
        "pictures": [_data_uri(path) for path in pictures],
    }


def _coded(name: str) -> str:
    return base64.b64encode(name.encode(errors="backslashreplace")).decode()


def _data_uri(path: Path) -> str:
    """Return a JPEG as a URI."""
    data = read_file(path, "a thumbnail", error=ImageError)
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
