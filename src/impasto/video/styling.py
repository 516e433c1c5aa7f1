"""What each frame of a clip aims at: content, and styles and masks that change over time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from impasto.errors import SettingsError, VideoError
from impasto.painting.guidance import Guidance, Layout, lay_out
from impasto.painting.inputs import Inputs, load_inputs
from impasto.pictures.files import Source
from impasto.pictures.picture import Image, Picture
from impasto.settings.pictures import Settings
from impasto.video.io.folders import open_folder

__all__ = ["Styling", "blend_at", "check_times", "mask_folders", "read_styling"]

_NOT = "not:"  # as in `Guidance`


@dataclass(eq=False)
class Styling:
    """The paintings of a clip, and where they go.

    Attributes:
        paintings: at least one.
        guidance: masks; a folder in the place of a picture holds one for each frame.
        times: when, in seconds of the clip, each painting is the only one; None: all are, always.
        init: a picture for a scene's first frame to start from.
    """

    paintings: tuple[Picture, ...]
    guidance: Guidance | None = None
    times: tuple[float, ...] | None = None
    init: Picture | None = None

    def __post_init__(self) -> None:
        self._folders = mask_folders(self.guidance)
        self._still: Layout | None = None

    def inputs(self, image: Image, index: int) -> Inputs:
        """Return what a frame is painted from.

        Raises: VideoError: a folder has no mask for it; ImageError: that cannot be read.
        """
        photo = Picture(image)
        return Inputs(photo, self.paintings, self._layout(photo, index), self.init)

    def blend(self, time: Fraction) -> tuple[float, ...] | None:
        """Return how much of each painting there is at a time of the clip; None: all there is."""
        return None if self.times is None else blend_at(self.times, float(time))

    def _layout(self, photo: Picture, index: int) -> Layout:
        if not self._folders:
            if self._still is None:
                self._still = lay_out(self.guidance, photo, self.paintings)
            return self._still
        guidance = _of_frame(self.guidance or Guidance(), self._folders, index)
        return lay_out(guidance, photo, self.paintings, may_be_empty=True)


def read_styling(
    first: Picture,
    styles: Source | Sequence[Source],
    settings: Settings,
    *,
    guidance: Guidance | None = None,
    times: Sequence[float] | None = None,
) -> tuple[Styling, dict[str, Any]]:
    """Read paintings and masks, and check them on the first frame.

    Returns: what frames aim at, and what paintings and masks are known by.
    Raises:  as `load_inputs`, and VideoError: a folder without masks.
    """
    many: list[Any] = list(styles) if isinstance(styles, list | tuple) else [styles]
    inputs = load_inputs(first, many, settings)
    if times is not None:
        check_times(times, len(many))
        guidance = _for_all(guidance, len(many))
    exact = None if times is None else tuple(map(float, times))
    styling = Styling(inputs.paintings, guidance, exact, inputs.init)
    known = {
        name: each
        for name, each in styling.inputs(first.image, 0).identities.items()
        if name != "content"
    }
    if exact:
        known["style_times"] = list(exact)
    for folder, files in mask_folders(guidance).items():
        known.setdefault("masks_by_frame", {})[folder_name(folder)] = [each.name for each in files]
    return styling, known


def folder_name(folder: str) -> str:
    """Return the bare name of a folder."""
    return Path(folder).resolve().name


def _for_all(guidance: Guidance | None, styles: int) -> Guidance | None:
    """Let one mask stand for all styles that give way to each other."""
    masks: Any = () if guidance is None else guidance.masks
    many = list(masks) if isinstance(masks, list | tuple) else [masks]
    if guidance is None or len(many) != 1:
        return guidance
    return replace(guidance, masks=many * styles)


def blend_at(times: Sequence[float], time: float) -> tuple[float, ...]:
    """Return how much of each of several paintings there is, from the times that each is alone.

    Between two times, one gives way to the next, linearly.

    >>> blend_at((0.0, 4.0), 1.0)
    (0.75, 0.25)
    """
    order = sorted(range(len(times)), key=lambda number: times[number])
    blend = [0.0] * len(times)
    before = max((each for each in order if times[each] <= time), key=order.index, default=order[0])
    after = next((each for each in order if times[each] > time), before)
    part = 0.0
    if after != before and time > times[before]:
        part = (time - times[before]) / (times[after] - times[before])
    blend[before] += 1 - part
    blend[after] += part
    return tuple(blend)


def check_times(times: Sequence[float], styles: int) -> None:
    """Raise a SettingsError unless there is a time for each style, each another and not below 0."""
    if len(times) != styles:
        raise SettingsError(f"{len(times)} times for {styles} styles: give one for each")
    if len(set(times)) != len(times) or min(times) < 0:
        shown = ", ".join(f"{each:g} s" for each in times)
        raise SettingsError(f"styles at {shown}: each needs a time of its own, not below 0")


def mask_folders(guidance: Guidance | None) -> dict[str, tuple[Path, ...]]:
    """Return folder → its masks in order, for every folder in a guidance.

    Raises: VideoError: a folder without pictures.
    """
    if guidance is None:
        return {}
    given: list[Any] = [guidance.content_mask]
    masks: Any = guidance.masks
    given += list(masks) if isinstance(masks, list | tuple) else [masks]
    folders = [name for name in map(_folder, given) if name is not None]
    return {name: open_folder(Path(name), 24).files for name in folders}


def _folder(source: Any) -> str | None:
    """Return the path of a folder, without "not:", or None for anything else."""
    if not isinstance(source, str | os.PathLike):
        return None
    name = os.fspath(source).removeprefix(_NOT)
    return name if os.path.isdir(name) else None  # noqa: PTH112  (false for names too long)


def _of_frame(guidance: Guidance, folders: Mapping[str, tuple[Path, ...]], index: int) -> Guidance:
    """Return the guidance of one frame, with a picture in the place of each folder."""

    def chosen(source: Any) -> Any:
        folder = _folder(source)
        if folder is None:
            return source
        files = folders[folder]
        if index >= len(files):
            raise VideoError(
                f"{folder} has {len(files)} masks, and none for frame {index + 1}: put one there "
                "for every frame, in order"
            )
        inverted = os.fspath(source).startswith(_NOT)
        return f"{_NOT if inverted else ''}{files[index]}"

    masks: Any = guidance.masks
    many = isinstance(masks, list | tuple)
    pick: Callable[[Any], Any] = chosen
    return replace(
        guidance,
        masks=[pick(each) for each in masks] if many else pick(masks),
        content_mask=pick(guidance.content_mask),
    )
