"""The pictures of an evaluation at one size, and their features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from impasto.evaluation.metrics import METRICS, Metric
from impasto.network.encoder import Encoder, Features
from impasto.objective.guides import layer_masks
from impasto.painting.inputs import style_side
from impasto.pictures.masks import visible_mask, visible_part
from impasto.pictures.picture import Image, Picture, fit, on_paper, resize
from impasto.settings.layers import deepest

__all__ = ["Subject", "View"]


@dataclass(frozen=True)
class Subject:
    """The pictures of an evaluation, as they were read.

    Attributes: scales: the setting `style_scale` of each painting.
    """

    result: Picture
    photo: Picture
    paintings: Sequence[Picture]
    scales: Sequence[float]


class View:
    """A subject at one size. Features are computed when a metric first needs them.

    The photo has the size of the result. A painting has the size that it had beside the result in
    the run.

    Args: long_side: of the result, in px.
    """

    def __init__(self, subject: Subject, long_side: int, encoder: Encoder) -> None:
        size, own = fit(subject.result.size, long_side), max(subject.result.size)
        self._encoder = encoder
        self._features: dict[str, Features] = {}
        self._masks: list[Tensor | None] = []
        self._images: dict[str, list[Image]] = {
            "result": [resize(on_paper(subject.result), size)],
            "photo": [resize(on_paper(subject.photo), size)],
            "paintings": [],
        }
        for painting, scale in zip(subject.paintings, subject.scales, strict=True):
            part, mask = visible_part(painting), visible_mask(painting)
            side = max(1, round(style_side(part, own, scale) * long_side / own))
            reduced = fit(part.size, side)
            self._images["paintings"].append(resize(part.pixels, reduced))
            self._masks.append(None if mask is None else resize(mask, reduced).to(encoder.device))
        for images in self._images.values():
            images[:] = [each.to(encoder.device) for each in images]

    def seen_by(self, metric: Metric) -> tuple[Any, Any]:
        """Return what a metric compares: of the result and of its reference.

        Raises: ShapeError: a picture is too small for the network.
        """
        (result,), (photo,) = self._images["result"], self._images["photo"]
        if metric.layers:
            same = [each.layers for each in METRICS.values() if each.size == metric.size]
            last = deepest(tuple(name for names in same for name in names), self._encoder.network)
            own, other = (self._described(role, last) for role in ("result", metric.reference))
            return own, {name: other[name] for name in metric.layers}
        if metric.reference == "photo":
            return result, photo
        if metric.reference == "inputs":
            return result, [photo, *self._images["paintings"]]
        return result, self._side_by_side([{"": each} for each in self._images["paintings"]])[""]

    def _described(self, role: str, last: str) -> Features:
        """Return the features of the result, the photo or the paintings up to a layer."""
        if role not in self._features:
            found = [self._encoder(image, up_to=last) for image in self._images[role]]
            self._features[role] = self._side_by_side(found) if role == "paintings" else found[0]
        return self._features[role]

    def _side_by_side(self, found: Sequence[Features]) -> dict[str, Tensor]:
        """Return the visible positions of all paintings in one map, (1, C, 1, n).

        Args: found: layer → map of each painting; the layer "" has the grid of the picture.
        """
        parts: dict[str, list[Tensor]] = {name: [] for name in found[0]}
        for features, mask in zip(found, self._masks, strict=True):
            grids = {} if mask is None else self._grids(mask, features)
            for name, maps in features.items():
                flat = maps.flatten(2)
                parts[name].append(flat[..., grids[name]] if name in grids else flat)
        return {name: torch.cat(flats, -1)[:, :, None] for name, flats in parts.items()}

    def _grids(self, mask: Tensor, features: Features) -> dict[str, Tensor]:
        """Return which positions of each layer are visible, (n,); at least one always is."""
        layers = [name for name in features if name]
        masks = {"": mask, **layer_masks(mask, layers, network=self._encoder.network)}
        return {
            name: (grid >= grid.amax().clamp(max=0.5)).flatten() for name, grid in masks.items()
        }
