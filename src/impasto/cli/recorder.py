"""The making of a picture: intermediate pictures, a film of the run, and its losses as curves.

It looks at steps from outside; the core knows nothing of it.
"""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.errors import ImageError, SettingsError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from impasto.optimize.loop import Step

__all__ = ["MakingOf", "plot_library", "plot_losses"]

_EVERY = 10
_PLOTS = (".png", ".svg", ".pdf")
_FRAME = re.compile(r"step-\d+\.png")
_NO_TERMS = ("step", "level", "seconds", "layers")
# A term's dashes and colors: names in matplotlib.
_LINES = {"content": ("--", "Oranges"), "style": ("-", "viridis"), "tv": (":", "Purples")}
# A film is for a screen: larger pictures are filmed at this long side, in px.
_FILM_SIDE = 1080


@dataclass(frozen=True, kw_only=True)
class MakingOf:
    """What of a run is to be kept beside its result.

    Attributes:
        every: how many steps from one kept picture to the next; None: 10.
        frames: a folder for them.
        timelapse: a film of them: .gif, .webp or .mp4.
        plot: the losses as curves: .png, .svg or .pdf.
    """

    every: int | None = None
    frames: Path | None = None
    timelapse: Path | None = None
    plot: Path | None = None

    @property
    def files(self) -> list[Path]:
        """The files that are written once."""
        return [path for path in (self.timelapse, self.plot) if path is not None]

    def check(self, *, overwrite: bool) -> None:
        """Find what is wrong before the run.

        Raises:
            SettingsError: options that contradict each other, or an extra that is not installed.
            ImageError: something cannot be written.
        """
        from impasto.pictures.files import check_writable
        from impasto.pictures.films import check_film
        from impasto.storage import check_target

        if self.every is not None and self.frames is None and self.timelapse is None:
            raise SettingsError("--every says how often; add --frames FOLDER or --timelapse FILE")
        if self.timelapse is not None:
            check_film(self.timelapse.suffix, str(self.timelapse))
        if self.plot is not None:
            if self.plot.suffix.lower() not in _PLOTS:
                raise ImageError(f"{self.plot}: curves are drawn as {', '.join(_PLOTS)}")
            plot_library()
        for path in self.files:
            check_target(path, overwrite=overwrite)
        if self.frames is not None:
            if not overwrite and frames_in(self.frames):
                raise ImageError(f"{self.frames} has frames already; --force replaces them")
            check_writable(self.frames / "step-0.png")

    def begin(self, size: tuple[int, int]) -> Recorder:
        """Return what watches a run whose result has this size, (H, W)."""
        return Recorder(self, size)


def frames_in(folder: Path) -> list[Path]:
    """List the frames that a run has left in a folder; files of other names are not ours."""
    return [path for path in folder.glob("step-*.png") if _FRAME.fullmatch(path.name)]


class Recorder:
    """Watches a run, step by step, and writes down what it was told to.

    Args:
        making: what to keep.
        size: (H, W) of the result; pictures of coarser levels are enlarged to it.
    """

    def __init__(self, making: MakingOf, size: tuple[int, int]) -> None:
        self.making = making
        self.size = size
        self.frames: list[npt.NDArray[np.uint8]] = []

    def watch(self, step: Step) -> None:
        """Keep this step's picture if it is its turn: every n-th, the first and the last."""
        every = self.making.every or _EVERY
        if step.index % every and step.index not in (1, step.count):
            return
        if self.making.frames is None and self.making.timelapse is None:
            return
        from impasto.pictures.files import save_image
        from impasto.pictures.films import as_frame
        from impasto.pictures.picture import fit, resize

        image = resize(step.image.detach().cpu().clamp(0, 1), self.size)
        if self.making.frames is not None:
            if step.index == 1:  # not sooner: a run that fails at once replaces nothing
                remove_frames(self.making.frames)
            number = str(step.index).zfill(len(str(step.count)))
            save_image(image, self.making.frames / f"step-{number}.png")
        if self.making.timelapse is not None:
            size = fit(self.size, min(max(self.size), _FILM_SIDE))
            self.frames.append(as_frame(resize(image, size)))

    def finish(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write the film and the curves, also of a run that was interrupted."""
        from impasto.pictures.films import film
        from impasto.storage import write_file

        making = self.making
        if making.timelapse is not None:
            write_file(making.timelapse, film(self.frames, making.timelapse.suffix))
        if making.plot is not None:
            write_file(making.plot, plot_losses(history, making.plot.suffix))


def remove_frames(folder: Path) -> None:
    """Delete an older run's frames: of another length, they would play among the new ones.

    Raises: ImageError: one cannot be deleted.
    """
    for path in frames_in(folder):
        try:
            path.unlink()
        except OSError as error:
            raise ImageError(f"{path} cannot be replaced: {error.strerror}") from error


def plot_library() -> Any:
    """Return matplotlib's figures, or raise a SettingsError that says how to get them."""
    try:
        from matplotlib import figure
    except ModuleNotFoundError as error:
        raise SettingsError("--plot needs matplotlib: pip install impasto[plot]") from error
    return figure


def plot_losses(history: Sequence[Mapping[str, Any]], suffix: str = ".png") -> bytes:
    """Draw the curves of every term, and below them of every layer, on a logarithmic scale.

    Args:
        history: per step its numbers, as a pastiche has them.
        suffix: ".png", ".svg" or ".pdf".

    Raises: SettingsError: matplotlib is not installed.
    """
    figure = plot_library().Figure(figsize=(9, 8), dpi=120, layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    terms = [{name: loss for name, loss in row.items() if name not in _NO_TERMS} for row in history]
    _draw(above, terms, history)
    _draw(below, [row["layers"] for row in history], history)
    above.set(ylabel="weighted loss, by term")
    below.set(ylabel="weighted loss, by layer", xlabel="step")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix.lower().removeprefix("."))
    return buffer.getvalue()


def _draw(
    axes: Any, losses: Sequence[Mapping[str, float]], history: Sequence[Mapping[str, Any]]
) -> None:
    """Draw curves over the steps with their names at the side; those of 0 have no logarithm.

    Where a layer was not looked at, its curve has a gap.
    """
    known = dict.fromkeys(itertools.chain.from_iterable(losses))
    names = [name for name in known if any(row.get(name, 0) > 0 for row in losses)]
    looks = _looks(names)
    for name in names:
        values = [row[name] if row.get(name, 0) > 0 else math.nan for row in losses]
        axes.plot([row["step"] for row in history], values, label=name, **looks[name])
    for before, after in itertools.pairwise(history):
        if after["level"] != before["level"]:  # losses at two sizes are not the same quantity
            axes.axvline(after["step"] - 0.5, color="0.8", linewidth=0.8, zorder=0)
    axes.set(yscale="log")
    axes.legend(
        frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), ncols=1 + len(names) // 20,
        fontsize="small",
    )  # fmt: skip


def _looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Choose lines: a term has its dashes and its scale of colors, from shallow layers to deep."""
    from matplotlib import colormaps

    looks: dict[str, dict[str, Any]] = {}
    kinds = {name: name.split()[0] for name in names}
    for name, kind in kinds.items():
        dashes, scale = _LINES.get(kind, ("-", "Grays"))
        alike = [each for each in names if kinds[each] == kind]
        color = colormaps[scale](0.8 - 0.6 * alike.index(name) / len(alike))
        looks[name] = {"color": color, "linestyle": dashes, "linewidth": 1.3}
    return looks
