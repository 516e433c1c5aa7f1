"""The paintings and masks of a clip, which may change over time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from impasto.errors import SettingsError, TruncatedClip, VideoError, counted
from impasto.painting.guidance import Guidance, Layout, as_list, lay_out
from impasto.painting.inputs import Inputs, load_inputs
from impasto.pictures.colors import gray_image, is_gray
from impasto.pictures.files import Source, load_picture
from impasto.pictures.masks import NOT_PREFIX
from impasto.pictures.picture import Image, Picture
from impasto.settings.pictures import Settings
from impasto.video.io.clips import Frame
from impasto.video.io.folders import open_folder

__all__ = ["Styling", "blend_at", "check_times", "mask_folders", "read_styling"]


@dataclass(eq=False)
class Styling:
    """The paintings of a clip and their masks.

    Attributes:
        paintings: at least one, with their transparent margins.
        shown: the visible parts of the paintings; see `visible_part`.
        guidance: the masks; a folder instead of a picture holds one mask for each frame.
        times: for each painting, the time in seconds at which it is the only one; None: all
            paintings apply at all times.
        init: a picture from which the first frame of a scene starts; None: as the settings say.
        gray: whether the result is gray; see `Inputs`.
    """

    paintings: tuple[Picture, ...]
    shown: tuple[Picture, ...]
    guidance: Guidance | None = None
    times: tuple[float, ...] | None = None
    init: Picture | None = None
    gray: bool = False

    def __post_init__(self) -> None:
        self._folders = mask_folders(self.guidance)
        self._still: Layout | None = None

    def inputs(self, photo: Picture, index: int) -> Inputs:
        """Return the inputs of a frame.

        Args: index: the number of the frame, from 0.

        Raises:
            VideoError: a folder has no mask for the frame.
            ImageError: a mask cannot be read.
        """
        return Inputs(photo, self.shown, self._layout(photo, index), self.init, self.gray)

    def photo(self, frame: Frame) -> Frame:
        """Return a frame as it is painted: exactly gray, if the result is gray."""
        return replace(frame, image=gray_image(frame.image)) if self.gray else frame

    def mapped(self, convert: Callable[[Image], Image]) -> Styling:
        """Return the styling with every picture's colors converted; masks stay."""

        def converted(picture: Picture) -> Picture:
            return replace(picture, image=convert(picture.image))

        return replace(
            self,
            paintings=tuple(map(converted, self.paintings)),
            shown=tuple(map(converted, self.shown)),
            init=None if self.init is None else converted(self.init),
        )

    def blend(self, time: Fraction) -> tuple[float, ...] | None:
        """Return the share of each painting at a time of the clip; None: `times` is None."""
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
    frames: Iterable[Frame] = (),
) -> tuple[Styling, dict[str, Any]]:
    """Read paintings and masks, and check them on the first frame.

    Args: frames: all frames. If nothing else has color, they are read until one of them has.

    Returns: the styling, and the identities of paintings and masks for the record of the run.

    Raises:
        VideoError: a folder has no masks.
        Everything that `load_inputs` raises.
    """
    many = [load_picture(style) for style in as_list(styles)]
    inputs = load_inputs(first, many, settings)
    if times is not None:
        check_times(times, len(many))
        guidance = _for_all(guidance, len(many))
    exact = None if times is None else tuple(map(float, times))
    gray = inputs.gray and _is_gray_clip(frames)
    styling = Styling(tuple(many), inputs.paintings, guidance, exact, inputs.init, gray)
    known = {
        name: each
        for name, each in styling.inputs(first, 0).identities.items()
        if name != "content"
    }
    if exact:
        known["style_times"] = list(exact)
    for folder, files in mask_folders(guidance).items():
        known.setdefault("masks_by_frame", {})[Path(folder).resolve().name] = [
            each.name for each in files
        ]
    return styling, known


def _is_gray_clip(frames: Iterable[Frame]) -> bool:
    """Tell whether no readable frame has color."""
    with contextlib.suppress(TruncatedClip):
        return all(is_gray(frame.picture) for frame in frames)
    return True


def _for_all(guidance: Guidance | None, styles: int) -> Guidance | None:
    """Repeat a single mask for every style, since the styles replace one another over time."""
    many = [] if guidance is None else as_list(guidance.masks)
    if guidance is None or len(many) != 1:
        return guidance
    return replace(guidance, masks=many * styles)


def blend_at(times: Sequence[float], time: float) -> tuple[float, ...]:
    """Return the share of each painting at a time of the clip; the shares add up to 1.

    Between two times, the shares change linearly from one painting to the next.

    Args:
        times: for each painting, the time in seconds at which it is the only one.
        time: seconds.

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
    """Raise a SettingsError unless all styles have different times, and no time is below 0."""
    if len(times) != styles:
        raise SettingsError(
            f"{counted(len(times), 'time')} for {counted(styles, 'style')}: "
            "give one time for each style"
        )
    if len(set(times)) != len(times) or min(times) < 0:
        shown = ", ".join(f"{each:g} s" for each in times)
        raise SettingsError(f"styles at {shown}: each style needs a different time, not below 0")


def mask_folders(guidance: Guidance | None) -> dict[str, tuple[Path, ...]]:
    """Return the masks of every folder in a guidance, in order: {folder: files}.

    Raises: VideoError: a folder has no pictures.
    """
    if guidance is None:
        return {}
    given = [guidance.content_mask, *as_list(guidance.masks)]
    folders = [name for name in map(_folder, given) if name is not None]
    return {name: open_folder(Path(name), 24).files for name in folders}


def _folder(source: Any) -> str | None:
    """Return the path of a folder, without the prefix "not:", or None for anything else."""
    if not isinstance(source, str | os.PathLike):
        return None
    name = os.fspath(source).removeprefix(NOT_PREFIX)
    return name if os.path.isdir(name) else None  # noqa: PTH112  (False for names that are too long)


def _of_frame(guidance: Guidance, folders: Mapping[str, tuple[Path, ...]], index: int) -> Guidance:
    """Return the guidance of one frame, with a picture instead of each folder."""

    def chosen(source: Any) -> Any:
        folder = _folder(source)
        if folder is None:
            return source
        files = folders[folder]
        if index >= len(files):
            raise VideoError(
                f"has {counted(len(files), 'mask')}, and none for frame {index + 1}; it needs one "
                "mask for every frame, in order",
                path=folder,
            )
        inverted = os.fspath(source).startswith(NOT_PREFIX)
        return f"{NOT_PREFIX if inverted else ''}{files[index]}"

    pick: Callable[[Any], Any] = chosen
    return replace(
        guidance,
        masks=[pick(each) for each in as_list(guidance.masks)],
        content_mask=pick(guidance.content_mask),
    )
