"""Faces that are protected: the settings of a run get the boxes of the faces in its photo."""

from __future__ import annotations

from impasto.errors import SettingsError, counted, install_hint
from impasto.pictures.faces import find_faces, has_detector
from impasto.pictures.picture import Picture
from impasto.settings.pictures import Settings

__all__ = ["face_note", "with_faces"]


def with_faces(settings: Settings, photo: Picture) -> Settings:
    """Search a photo for faces if the settings ask for it, and return settings that name them.

    The returned settings paint the same picture where no detector is installed: `protect` is
    "faces" and `faces` has their boxes, or `protect` is "none".

    Raises: SettingsError: `protect` is "faces", and no detector is installed.
    """
    if settings.protect == "none" or settings.faces or settings.face_weight == 0:
        return settings
    if not has_detector():
        if settings.protect == "auto":
            return settings.replace(protect="none")
        raise SettingsError(
            "protect: faces needs a detector, which is not installed; to install it: "
            f"{install_hint('faces')}"
        )
    faces = find_faces(photo)
    return settings.replace(protect="faces" if faces else "none", faces=faces)


def face_note(before: Settings, after: Settings) -> str:
    """Describe in one line which faces `with_faces` found; "": nothing needs to be said."""
    if after.faces == before.faces:
        searched = before.protect == "faces" and not before.faces
        return "No face was found, so none is protected." if searched else ""
    count = len(after.faces) // 4
    verb = "it is" if count == 1 else "they are"
    return f"Found {counted(count, 'face')}: {verb} protected; --protect none turns this off."
