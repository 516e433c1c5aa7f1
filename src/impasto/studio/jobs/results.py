"""The files and facts of a job: curves, preview, result, time-lapse, and how to reproduce it.

All functions take the store and the id of a job, and raise NoSuchThing if there is no such job.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from impasto.studio.jobs import reproduce
from impasto.studio.jobs.limits import NoSuchThing
from impasto.studio.jobs.requests import without_flags
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.tables.rows import ENDED, State, StoredJob
from impasto.studio.jobs.uploads import DECODING

__all__ = [
    "RESULTS",
    "command_line",
    "has_result",
    "losses",
    "preview_file",
    "python_lines",
    "result_file",
    "timelapse_file",
    "title",
]

# Suffixes of results and their media types. TIFF has 16 bits per channel.
RESULTS = {
    ".png": "image/png", ".jpg": "image/jpeg", ".tiff": "image/tiff", ".mp4": "video/mp4"
}  # fmt: skip
_CURVE = 200  # a curve with more points keeps at least this many


def losses(store: Store, job: str) -> list[dict[str, Any]]:
    """Return step, level, seconds and losses of all steps; of 400 or more, only of 200 to 300."""
    store.jobs.get(job)
    steps = store.jobs.steps(job)
    every = max(1, len(steps) // _CURVE)
    return steps[::every] + (steps[-1:] if len(steps) % every != 1 and every > 1 else [])


def preview_file(store: Store, job: str) -> Path | None:
    """Return the file of the last preview, a JPEG; None: there is none yet."""
    store.jobs.get(job)
    path = store.jobs.folder(job) / "preview.jpg"
    return path if path.is_file() else None


def result_file(store: Store, job: str, suffix: str | None = None) -> Path:
    """Return the file of a result.

    Args: suffix: .mp4 for a clip; for a picture one of the other `RESULTS`, whose files contain
        the metadata; None: .mp4 or .png.

    Raises: NoSuchThing: there is no result (yet), or not in this format.
    """
    row = store.jobs.get(job)
    suffixes = _suffixes(row.kind)
    suffix = suffixes[0] if suffix is None else suffix
    path = store.jobs.folder(job) / f"result{suffix}"
    if row.state not in (State.DONE, State.STOPPED):
        raise NoSuchThing(f"there is no result{suffix}: the job is {row.state}")
    if suffix not in suffixes:
        raise NoSuchThing(
            f"there is no result{suffix}; the result of this job is {' or '.join(suffixes)}"
        )
    if not path.is_file():
        reason = without_flags(row.error, row.kind) or "it was deleted"
        raise NoSuchThing(f"there is no result{suffix}: {reason}")
    return path


def has_result(store: Store, row: StoredJob) -> bool:
    """Return whether a job has a result."""
    path = store.jobs.folder(row.id) / f"result{_suffixes(row.kind)[0]}"
    return row.state in (State.DONE, State.STOPPED) and path.is_file()


def _suffixes(kind: str) -> list[str]:
    """Return the suffixes of the results of a kind, the default first."""
    return [each for each in RESULTS if (each == ".mp4") == (kind == "video")]


def timelapse_file(store: Store, job: str, suffix: str = ".webp") -> Path:
    """Return a time-lapse of a job that has ended. The first call creates the file.

    Args: suffix: .gif, .webp, or .mp4 with impasto[video].

    Raises: NoSuchThing: the job has not ended, or it has no frames; ImageError, SettingsError: as
        for `films.check_film`.
    """
    from impasto.pictures.files import load_picture
    from impasto.pictures.films import as_frame, check_film, film
    from impasto.storage import write_file

    row = store.jobs.get(job)
    if row.state not in ENDED:
        raise NoSuchThing(f"there is no time-lapse yet: the job is {row.state}")
    check_film(suffix, "the time-lapse")
    path = store.jobs.folder(job) / f"timelapse{suffix}"
    with DECODING:
        if not path.is_file():
            kept = sorted((store.jobs.folder(job) / "frames").glob("*.[jp][pn]g"))
            pictures = [load_picture(each) for each in kept]
            frames = [as_frame(each.image, each.alpha) for each in pictures]
            if not frames:
                raise NoSuchThing("there is no time-lapse: the job has no frames")
            write_file(path, film(frames, suffix))
    return path


def title(store: Store, job: str) -> str:
    """Return a name for a job's files, without a suffix, made from the names of its inputs."""
    row = store.jobs.get(job)
    names = _names(store, row)
    parts = [names.get("content"), names.get("clip"), *names.get("styles", [])[:1]]
    stems = [each.rpartition(".")[0] or each for each in parts if each]
    plain = row.kind in ("stylize", "video")
    return "-".join(stems if plain else [*stems[:1], row.kind])


def command_line(store: Store, job: str) -> str:
    """Return the command that makes the same picture from the uploaded files."""
    row = store.jobs.get(job)
    return reproduce.command_line(row.current_request, _names(store, row))


def python_lines(store: Store, job: str) -> str:
    """Return the Python program that makes the same picture from the uploaded files."""
    row = store.jobs.get(job)
    return reproduce.python_lines(row.current_request, _names(store, row))


def _names(store: Store, row: StoredJob) -> dict[str, Any]:
    """Return the names of a job's uploads by role."""

    def name(role: str, upload: str | None) -> str | None:
        if upload is None:
            return None
        table = store.clips if role == "clip" else store.pictures
        return table.get(upload).name

    return {
        role: [name(role, each) for each in given] if isinstance(given, list)
        else name(role, given)
        for role, given in row.request["pictures"].items()
    }  # fmt: skip
