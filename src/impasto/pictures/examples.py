"""The bundled example pictures: photos, paintings and masks."""

from __future__ import annotations

from pathlib import Path

__all__ = ["EXAMPLES", "example_files"]

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"


def example_files() -> list[Path]:
    """List the bundled pictures by name."""
    return sorted(path for path in EXAMPLES.iterdir() if path.suffix in (".jpg", ".png"))
