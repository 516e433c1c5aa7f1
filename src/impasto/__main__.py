"""Run the command line: `python -m impasto`, and the `impasto` script."""

from __future__ import annotations


def main() -> None:
    """Start the command line."""
    from impasto.apps.cli import run

    run()


if __name__ == "__main__":
    main()
