"""HTML pages that contain their own style and script, and permit no other."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path

__all__ = ["page", "static"]


def page(title: str, body: str, *, style: str, script: str = "", images: str) -> str:
    """Return a page whose content security policy permits only its own style and script.

    Args:
        title: plain text.
        body: HTML.
        style, script: the text of the only style sheet and the only script; "": there is none.
        images: where the policy permits images from, such as "data:".
    """
    policy = f"default-src 'none'; img-src {images}; style-src '{_sum(style)}'"
    if script:
        policy += f"; script-src '{_sum(script)}'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}\n"
        f"{f'<script>{script}</script>' if script else ''}\n</body>\n</html>\n"
    )


def _sum(text: str) -> str:
    """Return the hash of an inline style or script for a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def static(name: str) -> str:
    """Return the text of a style sheet or script of this package."""
    text = (Path(__file__).parent / "static" / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")  # a browser hashes the text after the same change
