"""Measure a result by all metrics: read the pictures, choose network and sizes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from impasto.errors import ImageError, ImpastoError, SettingsError, ShapeError, WeightsError
from impasto.evaluation.metrics import METRICS
from impasto.evaluation.views import Subject, View
from impasto.machine import choose_device
from impasto.network.encoder import Encoder
from impasto.pictures.files import Source, load_picture, read_metadata
from impasto.pictures.picture import Picture, fit_within
from impasto.settings.pictures import NetworkName, Settings

__all__ = ["LONG_SIDE", "Scores", "evaluate", "held_out", "painter"]

LONG_SIDE = 512  # px; larger results are reduced to it before features are computed
_PROPORTIONS = 0.1  # a larger difference between the shapes of result and photo is an error


@dataclass(frozen=True)
class Scores:
    """The measures of one result.

    Attributes:
        values: metric → number, in the order of `METRICS`.
        missing: metric → the reason why there is no number.
        network: the network that measures: vgg16 or vgg19.
        painted_by: the network that painted the result, by its metadata; None: unknown.
        size: (H, W), in px, at which features, edges and colors are compared.
    """

    values: Mapping[str, float]
    missing: Mapping[str, str]
    network: str
    painted_by: str | None
    size: tuple[int, int]

    def __getitem__(self, metric: str) -> float:
        return self.values[metric]

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Scores:
        """Return the scores whose facts `to_dict` returned."""
        values = {name: value for name, value in facts["metrics"].items() if value is not None}
        size = (facts["height"], facts["width"])
        return cls(values, facts["missing"], facts["network"], facts["painted_by"], size)

    def to_dict(self) -> dict[str, Any]:
        """Return all facts as plain values. The value of a metric without a number is None."""
        return {
            "network": self.network,
            "painted_by": self.painted_by,
            "height": self.size[0],
            "width": self.size[1],
            "metrics": {name: self.values.get(name) for name in METRICS},
            "missing": dict(self.missing),
        }


@torch.no_grad()
def evaluate(
    result: Source,
    content: Source,
    styles: Source | Sequence[Source],
    *,
    long_side: int = LONG_SIDE,
    network: NetworkName | None = None,
    device: str | torch.device | None = None,
) -> Scores:
    """Measure a result by all `METRICS`.

    The photo is resized to the result's size, and the paintings are as large as in the run.
    Features come from the network that did not paint the result: see `held_out`.

    Args:
        result: a picture; only a path can give metadata.
        content: its photo.
        styles: its painting or paintings, in the order of the run.
        long_side: for features, edges and colors, a larger result is reduced to this long side,
            in px. Artifacts are measured at the result's own size.
        network: the network that measures; None: `held_out` chooses it. Only results that one
            network has measured can be compared.
        device: as for `impasto.stylize`.

    Raises:
        ImageError: a picture cannot be read, has no visible pixel, or result and photo have
            different proportions.
        SettingsError: there is no painting, long_side is below 1, or the device does not exist.
    """
    many: list[Any] = list(styles) if isinstance(styles, list | tuple) else [styles]
    if not many:
        raise SettingsError("no style given: name at least one painting")
    painted_by, scales = _recorded(result, len(many))
    picture, photo = load_picture(result), load_picture(content)
    _check_proportions(picture, photo)
    subject = Subject(picture, photo, [load_picture(each) for each in many], scales)
    network, own = network or held_out(painted_by), max(picture.size)
    size = fit_within(picture.size, long_side)
    sides = {"compared": max(size), "quarter": max(1, max(size) // 4), "own": own}
    layers = tuple({layer for metric in METRICS.values() for layer in metric.layers})
    encoder = Encoder(layers, network=network).to(choose_device(device))
    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    for kind, side in sides.items():
        view = View(subject, side, encoder)
        for name, metric in METRICS.items():
            if metric.size != kind:
                continue
            try:
                values[name] = metric.function(*view.seen_by(metric))
            except (ShapeError, SettingsError, WeightsError) as error:  # too small; no lpips
                missing[name] = str(error)
    ordered = {name: values[name] for name in METRICS if name in values}
    return Scores(ordered, missing, network, painted_by, size)


def held_out(painted_by: str | None) -> NetworkName:
    """Return the network that measures: the one that did not paint, or VGG-16 if it is unknown.

    A picture is optimized for the features of one network. So they look better in its own eyes than
    in those of any other network.
    """
    return "vgg19" if painted_by == "vgg16" else "vgg16"


def _check_proportions(result: Picture, photo: Picture) -> None:
    (height, width), (rows, columns) = result.size, photo.size
    ratio = (width * rows) / (height * columns)
    if max(ratio, 1 / ratio) > 1 + _PROPORTIONS:
        raise ImageError(
            f"has {width} x {height} px, but {photo.name or 'the photo'} has {columns} x {rows} "
            "px; both must have the same proportions",
            path=result.name or "the result",
        )


def painter(result: Source) -> NetworkName | None:
    """Return the network that painted a result, by its metadata; None: they do not say it.

    Raises: ImageError: the file cannot be read, or is not a picture.
    """
    settings = _settings_of(result)
    return None if settings is None else settings.network


def _recorded(result: Source, count: int) -> tuple[NetworkName | None, tuple[float, ...]]:
    """Return the network that painted a result, and the `style_scale` of each painting.

    Where the metadata do not say it, the network is None, and the scales are 1.
    """
    settings = _settings_of(result)
    try:
        if settings is not None:
            return settings.network, settings.per_style("style_scale", count)
    except SettingsError:  # for another number of paintings
        pass
    return None, (1.0,) * count


def _settings_of(result: Source) -> Settings | None:
    """Return the settings in the metadata; None: there are none that this version can read."""
    if not isinstance(result, str | os.PathLike):
        return None
    noted = read_metadata(result).get("settings")
    if not isinstance(noted, dict):
        return None
    try:
        return Settings.from_dict(Settings.recorded(noted))
    except ImpastoError:  # settings of another version
        return None
