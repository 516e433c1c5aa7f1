"""Text for streams that cannot hold every character, such as a pipe on Windows."""

from __future__ import annotations

import codecs
import sys

__all__ = ["tolerate_encodings"]

# Characters in impasto's texts, and their replacements in encodings that lack them.
_PLAIN = {
    "≥": ">=", "≤": "<=", "≈": "~", "×": "x", "·": "*", "→": "->", "←": "<-", "⇄": "<->",
    "−": "-", "–": "-", "—": "-", "…": "...", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'",
    "∂": "d", "Σ": "sum ", "√": "sqrt ", "±": "+-", "²": "^2", "³": "^3", "α": "alpha",
    "β": "beta", "γ": "gamma", "μ": "mu", "σ": "sigma", "₁": "1", "₂": "2", "°": " degrees",
}  # fmt: skip


def tolerate_encodings() -> None:
    """Let stdout and stderr write any text: replace the characters that their encoding lacks.

    For a pipe, Python uses the encoding of the system, which is often cp1252 on Windows. It would
    end the program at the first character that this encoding lacks.
    """
    codecs.register_error("impasto", _in_other_words)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # otherwise it is not a file, or the shell has closed it
            reconfigure(errors="impasto")


def _in_other_words(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace characters that an encoding lacks.

    Bytes of a file name that are not text stay unchanged.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    if all("\udc80" <= letter <= "\udcff" for letter in missing):
        return bytes(ord(letter) - 0xDC00 for letter in missing), error.end
    words = "".join(_PLAIN.get(letter, "?") for letter in missing)
    # An encoding that does not extend ASCII may lack the replacements, too.
    return words, error.end
