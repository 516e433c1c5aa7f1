"""Record a run: intermediate pictures, a film, and a plot of the losses.

It watches the steps from outside; the core does not know it.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.cli.task import frames_in
from impasto.errors import ImageError, SettingsError, install_hint
from impasto.settings.command_flags import RecordOptions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    from impasto.optimize.loop import Step

__all__ = ["Recorder", "check_record", "plot_library", "plot_losses"]

_EVERY = 10
_PLOTS = (".png", ".svg", ".pdf")
_NO_TERMS = ("step", "level", "seconds", "layers")
# A term's dashes and colors: names in matplotlib.
_LINES = {"content": ("--", "Oranges"), "style": ("-", "viridis"), "tv": (":", "Purples")}
# A film is for a screen: larger pictures are filmed at this long side, in px.
_FILM_SIDE = 1080


def check_record(record: RecordOptions, *, overwrite: bool) -> None:
    """Find errors before the run.

    Raises:
        SettingsError: options contradict each other, or an extra is not installed.
        ImageError: a file cannot be written.
    """
    from impasto.pictures.files import check_writable
    from impasto.pictures.films import check_film
    from impasto.storage import check_target

    if record.every is not None and record.frames is None and record.timelapse is None:
        raise SettingsError(
            "--every has an effect only with --frames FOLDER or --timelapse FILE; add one of them"
        )
    if record.timelapse is not None:
        check_film(record.timelapse.suffix, str(record.timelapse))
    if record.plot is not None:
        if record.plot.suffix.lower() not in _PLOTS:
            raise ImageError(
                f"cannot be written: plots are written as {', '.join(_PLOTS)}", path=record.plot
            )
        plot_library()
    for path in record.files:
        check_target(path, overwrite=overwrite)
    if record.frames is not None:
        if not overwrite and frames_in(record.frames):
            raise ImageError("has frames already; --force replaces them", path=record.frames)
        check_writable(record.frames / "step-0.png")


class Recorder:
    """Watches a run, step by step, and keeps the pictures that the options ask for.

    Args:
        record: the options.
        size: (H, W) of the result; pictures of coarser levels are enlarged to it.
        alpha: the transparency of the result, (1, 1, h, w); None: it is opaque.
    """

    def __init__(
        self, record: RecordOptions, size: tuple[int, int], alpha: Tensor | None = None
    ) -> None:
        self.record = record
        self.size = size
        self.alpha = alpha
        self.frames: list[npt.NDArray[np.uint8]] = []

    def watch(self, step: Step) -> None:
        """Keep the picture of every n-th step, of the first and of the last."""
        every = self.record.every or _EVERY
        if step.index % every and step.index not in (1, step.count):
            return
        if self.record.frames is None and self.record.timelapse is None:
            return
        from impasto.pictures.files import save_image
        from impasto.pictures.films import as_frame
        from impasto.pictures.picture import Picture, fit_within, resize, resized

        image = resize(step.image.detach().cpu().clamp(0, 1), self.size)
        alpha = None if self.alpha is None else resize(self.alpha, self.size)
        if self.record.frames is not None:
            if step.index == 1:  # a run that fails at once replaces nothing
                remove_frames(self.record.frames)
            number = str(step.index).zfill(len(str(step.count)))
            save_image(image, self.record.frames / f"step-{number}.png", alpha=alpha)
        if self.record.timelapse is not None:
            size = fit_within(self.size, _FILM_SIDE)
            small = resized(Picture(image, alpha), size)
            self.frames.append(as_frame(small.image, small.alpha))

    @property
    def notes(self) -> tuple[str, ...]:
        """A line about the transparency that the film cannot hold; (): it holds all."""
        from impasto.pictures.files import transparency_note

        film = self.record.timelapse
        return () if film is None else transparency_note(film, self.alpha)

    def finish(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write the film and the plot, also of an interrupted run."""
        from impasto.pictures.films import film
        from impasto.storage import write_file

        record = self.record
        if record.timelapse is not None:
            write_file(record.timelapse, film(self.frames, record.timelapse.suffix))
        if record.plot is not None:
            write_file(record.plot, plot_losses(history, record.plot.suffix))


def remove_frames(folder: Path) -> None:
    """Delete an older run's frames, which would mix with the new ones.

    Raises: ImageError: one cannot be deleted.
    """
    for path in frames_in(folder):
        try:
            path.unlink()
        except OSError as error:
            raise ImageError(f"cannot be replaced: {error.strerror}", path=path) from error


def plot_library() -> Any:
    """Return matplotlib's figures, or raise a SettingsError that says how to install them."""
    try:
        from matplotlib import figure
    except ModuleNotFoundError as error:
        raise SettingsError(f"--plot needs matplotlib: {install_hint('plot')}") from error
    return figure


def plot_losses(history: Sequence[Mapping[str, Any]], suffix: str = ".png") -> bytes:
    """Plot the losses of the terms, and below them of the layers, on a logarithmic scale.

    Args:
        history: the numbers of each step, as in a pastiche.
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
    """Draw named curves over the steps. Losses of 0 are left out, because they have no logarithm.

    A curve has a gap at steps that skipped its layer.
    """
    known = dict.fromkeys(itertools.chain.from_iterable(losses))
    names = [name for name in known if any(row.get(name, 0) > 0 for row in losses)]
    looks = _looks(names)
    for name in names:
        values = [row[name] if row.get(name, 0) > 0 else math.nan for row in losses]
        axes.plot([row["step"] for row in history], values, label=name, **looks[name])
    for before, after in itertools.pairwise(history):
        if after["level"] != before["level"]:  # losses of two sizes cannot be compared
            axes.axvline(after["step"] - 0.5, color="0.8", linewidth=0.8, zorder=0)
    axes.set(yscale="log")
    axes.legend(
        frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), ncols=1 + len(names) // 20,
        fontsize="small",
    )  # fmt: skip


def _looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Choose dashes by term, and colors by term and layer, from shallow to deep."""
    from matplotlib import colormaps

    looks: dict[str, dict[str, Any]] = {}
    kinds = {name: name.split()[0] for name in names}
    for name, kind in kinds.items():
        dashes, scale = _LINES.get(kind, ("-", "Grays"))
        alike = [each for each in names if kinds[each] == kind]
        color = colormaps[scale](0.8 - 0.6 * alike.index(name) / len(alike))
        looks[name] = {"color": color, "linestyle": dashes, "linewidth": 1.3}
    return looks
