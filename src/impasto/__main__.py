"""Run the command line: `python -m impasto`, and the `impasto` script."""

from __future__ import annotations


def main() -> None:
    """Start the command line."""
    try:
        from impasto.cli.main import run

        run()
    except KeyboardInterrupt:  # while it is still being loaded
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
