"""Create .venv in the project folder and install impasto with the tested versions."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
VENV = ROOT / ".venv"


def set_up(extras: str = "") -> Path:
    """Install impasto in editable mode; return the environment's Python.

    Does nothing if pyproject.toml, constraints.txt and the extras are the same as last time.

    Args: extras: such as "dev,heic".
    """
    if sys.version_info < (3, 11):  # noqa: UP036  (clearer than pip's message)
        sys.exit(f"impasto needs Python 3.11 or later; this is {sys.version.split()[0]}")
    folder = "Scripts" if sys.platform == "win32" else "bin"
    python = VENV / folder / "python"
    asked = "\n".join(
        [extras] + [(ROOT / name).read_text() for name in ("pyproject.toml", "constraints.txt")]
    )
    stamp = VENV / "impasto-installed.txt"
    if stamp.is_file() and stamp.read_text() == asked:
        return python
    if not python.exists():
        print("Creating .venv …", flush=True)
        venv.create(VENV, with_pip=True)
    print("Installing impasto and its dependencies …", flush=True)
    package = f"{ROOT}[{extras}]" if extras else str(ROOT)
    constraints = ROOT / "constraints.txt"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "-c", constraints, "-e", package], check=True
    )
    stamp.write_text(asked)
    return python
