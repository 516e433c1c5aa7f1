"""The page /docs: the OpenAPI description of the API as one HTML page that loads nothing else."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["reference_page"]

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; } code { font-family: ui-monospace, monospace; }
details { border: 1px solid #8886; border-radius: .5rem; padding: .5rem 1rem; margin: .5rem 0; }
summary { cursor: pointer; } summary b { display: inline-block; min-width: 4.5rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .25rem .5rem;
vertical-align: top; border-top: 1px solid #8884; }
"""


def reference_page(schema: Mapping[str, Any]) -> str:
    """Return an OpenAPI description as an HTML page."""
    groups: dict[str, list[str]] = {}
    for path, verbs in schema["paths"].items():
        for verb, operation in verbs.items():
            tag = (operation.get("tags") or ["other"])[0]
            groups.setdefault(tag, []).append(_operation(path, verb, operation))
    body = "".join(
        f"<h2>{html.escape(tag.capitalize())}</h2>{''.join(each)}" for tag, each in groups.items()
    )
    body += "<h2>Objects</h2>" + "".join(
        _object(name, each) for name, each in schema["components"]["schemas"].items()
    )
    info = schema["info"]
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{info['title']}: API</title>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<style>{_STYLE}</style><h1>{info['title']}: API</h1><p>{html.escape(info['description'])}"
        "</p><p>For programs, <a href='/api/openapi.json'>openapi.json</a> has the same facts.</p>"
        f"{body}</html>"
    )


def _operation(path: str, verb: str, operation: Mapping[str, Any]) -> str:
    rows = [
        _row(each["name"], each["in"], each["schema"], each.get("description", ""))
        for each in operation.get("parameters", [])
    ]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        rows.append(_row("body", media, content["schema"], ""))
    answers = "".join(
        f"<tr><td>{code}<td>{html.escape(each['description'])}"
        for code, each in operation["responses"].items()
    )
    given = f"<table><tr><th>Name<th>In<th>Type<th>Meaning{''.join(rows)}</table>" if rows else ""
    return (
        f"<details><summary><b>{verb.upper()}</b><code>{html.escape(path)}</code></summary>"
        f"<p>{html.escape(operation.get('description', ''))}</p>{given}"
        f"<table><tr><th>Answer<th>Meaning{answers}</table></details>"
    )


def _object(name: str, schema: Mapping[str, Any]) -> str:
    rows = [
        _row(field, "", each, each.get("description", ""))
        for field, each in schema.get("properties", {}).items()
    ]
    return (
        f"<details id='{html.escape(name)}'><summary><code>{html.escape(name)}</code></summary>"
        f"<p>{html.escape(schema.get('description', ''))}</p>"
        f"<table><tr><th>Name<th><th>Type<th>Meaning{''.join(rows)}</table></details>"
    )


def _row(name: str, place: str, schema: Mapping[str, Any], text: str) -> str:
    cells = (html.escape(name), html.escape(place), _type(schema), html.escape(text))
    return "<tr><td><code>" + "</code><td>".join(cells[:1]) + "</code><td>" + "<td>".join(cells[1:])


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = html.escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema:
        return html.escape(" or ".join(map(str, schema["enum"])))
    kind = str(schema.get("type", "anything"))
    bounds = [f"{sign} {schema[key]:g}" for key, sign in (("minimum", "≥"), ("maximum", "≤"))
              if key in schema]  # fmt: skip
    default = f", default {json.dumps(schema['default'])}" if "default" in schema else ""
    return html.escape(" ".join([kind, *bounds]) + default)
