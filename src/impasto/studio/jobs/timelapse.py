"""Time-lapses of jobs, made from the pictures that the worker kept on the way."""

from __future__ import annotations

from pathlib import Path

from impasto.studio.jobs.limits import NoSuchThing

__all__ = ["film_of"]


def film_of(folder: Path, suffix: str) -> Path:
    """Return the film of a job's folder; made if it is not there yet.

    Raises: NoSuchThing: no picture was kept; ImageError, SettingsError: as `films.check_film`.
    """
    from impasto.pictures.files import load_image
    from impasto.pictures.films import as_frame, check_film, film
    from impasto.storage import write_file

    check_film(suffix, "the time-lapse")
    path = folder / f"timelapse{suffix}"
    if not path.is_file():
        kept = sorted((folder / "frames").glob("*.jpg"))
        frames = [as_frame(load_image(each)) for each in kept]
        if not frames:
            raise NoSuchThing("there is no time-lapse: no picture was kept on the way")
        write_file(path, film(frames, suffix))
    return path
