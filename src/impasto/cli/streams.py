"""Text for streams that cannot hold every character, such as a pipe on Windows."""

from __future__ import annotations

import codecs
import sys

__all__ = ["tolerate_encodings"]

# Characters of our own texts, and how they are written where they are missing.
_PLAIN = {
    "≥": ">=", "≤": "<=", "≈": "~", "×": "x", "·": "*", "→": "->", "←": "<-", "⇄": "<->",
    "−": "-", "–": "-", "—": "-", "…": "...", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'",
    "∂": "d", "Σ": "sum ", "√": "sqrt ", "±": "+-", "²": "^2", "³": "^3", "α": "alpha",
    "β": "beta", "γ": "gamma", "μ": "mu", "σ": "sigma", "₁": "1", "₂": "2", "°": " degrees",
}  # fmt: skip


def tolerate_encodings() -> None:
    """Let stdout and stderr write any text: what their encoding lacks is written in other words.

    Python uses the encoding of the system for a pipe, on Windows often cp1252, and would end the
    program at the first character that it lacks.
    """
    codecs.register_error("impasto", _in_other_words)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # else it is no file, or the shell has closed it
            reconfigure(errors="impasto")


def _in_other_words(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace what an encoding lacks; bytes of a file name that are no text stay these bytes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    if all("\udc80" <= letter <= "\udcff" for letter in missing):
        return bytes(ord(letter) - 0xDC00 for letter in missing), error.end
    words = "".join(_PLAIN.get(letter, "?") for letter in missing)
    # The encoding may lack these, too, if it is not one that extends ASCII.
    return words, error.end
