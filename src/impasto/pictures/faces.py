"""A detector of faces: MTCNN, three small networks, each of which is stricter than the last.

The weights come from the package `mtcnn`, which `impasto[faces]` installs. The rest of that package
needs TensorFlow and is not used.

Paper: Zhang, Zhang, Li & Qiao, Joint Face Detection and Alignment using Multi-task Cascaded
Convolutional Networks, IEEE Signal Processing Letters 2016 (arXiv 1604.02878). Differs: faces
smaller than a twentieth of the photo are not searched for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from impasto.pictures.picture import Picture, fit_within, on_paper, resized

__all__ = ["find_faces", "has_detector"]

# The long side, in px, at which a photo is searched, and the side of the smallest face there.
_SEARCHED, _SMALLEST = 512, 24
# The ratio of successive sizes of the photo in the first stage.
_RATIO = 0.709
# Least score, in [0, 1], after each stage. docs/faces.md says what the last one finds and misses.
_SCORES = {"pnet": 0.6, "rnet": 0.7, "onet": 0.9}
# The sides of the max poolings that follow the first convolutions of each network.
_POOLS = {"pnet": (2,), "rnet": (3, 3), "onet": (3, 3, 2)}
_CONVOLUTIONS = {"pnet": 3, "rnet": 3, "onet": 4}

Weights = Mapping[str, Sequence[Tensor]]


def has_detector() -> bool:
    """Return whether the weights of the detector are installed, and can be read."""
    return _weights() is not None


@torch.no_grad()
def find_faces(photo: Picture) -> tuple[float, ...]:
    """Find the faces of a photo. `has_detector` must be true.

    Returns: four numbers for each face: left, top, width and height of its box, as shares of the
        photo's width and height. A box ends at the photo's borders.
    """
    height, width = fit_within(photo.size, _SEARCHED)
    image = on_paper(resized(photo, (height, width)))
    image = (image * 255 - 127.5) / 128  # as the networks were trained
    weights = _weights() or {}
    found = _proposals(weights["pnet"], image)
    for name, side in (("rnet", 24), ("onet", 48)):
        found = _refined(name, weights[name], image, found, side)
    limits = torch.tensor([width, height, width, height])
    faces: list[float] = []
    for box in (found.boxes / limits).clamp(0, 1).tolist():
        left, top, right, bottom = box
        if left < right and top < bottom:
            # Rounded, so that a person can read them; the picture is painted with these numbers.
            faces += [round(share, 4) for share in (left, top, right - left, bottom - top)]
    return tuple(faces)


class _Found(NamedTuple):
    """Boxes: left, top, right, bottom in px, (n, 4); and their scores, (n,)."""

    boxes: Tensor
    scores: Tensor


@functools.cache
def _weights() -> Weights | None:
    """Return the weights of each network, in the order of its layers; None: there are none."""
    spec = find_spec("mtcnn")  # an import of it would import TensorFlow
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "assets" / "weights"
    try:
        import joblib

        return {
            name: [torch.from_numpy(array) for array in joblib.load(folder / f"{name}.lz4")]
            for name in _POOLS
        }
    except (ImportError, OSError, ValueError, TypeError, EOFError):
        return None  # another version of the package


def _features(name: str, weights: Sequence[Tensor], images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the maps of a network's convolutions, and the weights of its further layers."""
    count, pools = _CONVOLUTIONS[name], _POOLS[name]
    for index in range(count):
        kernel, bias, slope = weights[3 * index : 3 * index + 3]
        images = functional.conv2d(images, kernel.permute(3, 2, 0, 1), bias)
        images = functional.prelu(images, slope.flatten())
        if index < len(pools):
            images = functional.max_pool2d(images, pools[index], stride=2, ceil_mode=True)
    return images, list(weights[3 * count :])


def _proposals(weights: Sequence[Tensor], image: Tensor) -> _Found:
    """Find candidates with the first network, which looks at every square of several sizes."""
    boxes, scores = [torch.empty(0, 4)], [torch.empty(0)]
    scale, shorter = 12 / _SMALLEST, min(image.shape[-2:])
    while shorter * scale >= 12:
        size = (math.ceil(image.shape[-2] * scale), math.ceil(image.shape[-1] * scale))
        maps, heads = _features("pnet", weights, functional.interpolate(image, size, mode="area"))
        maps = maps[0].permute(1, 2, 0)
        shifts = maps @ heads[0][0, 0] + heads[1]
        score = (maps @ heads[2][0, 0] + heads[3]).softmax(-1)[..., 1]
        rows, columns = (score > _SCORES["pnet"]).nonzero(as_tuple=True)
        corners = torch.stack([columns, rows, columns, rows], dim=1) * 2.0
        corners += torch.tensor([1.0, 1.0, 12.0, 12.0])
        found = _Found((corners + shifts[rows, columns] * 11) / scale, score[rows, columns])
        kept = _distinct(found, 0.5)
        boxes.append(kept.boxes)
        scores.append(kept.scores)
        scale *= _RATIO
    return _distinct(_Found(torch.cat(boxes), torch.cat(scores)), 0.7)


def _refined(
    name: str, weights: Sequence[Tensor], image: Tensor, found: _Found, side: int
) -> _Found:
    """Keep the boxes that the next network takes for faces, and correct their corners."""
    if len(found.boxes) == 0:
        return found
    boxes = _squares(found.boxes)
    maps, (dense, bias, slope, *heads) = _features(name, weights, _cut_out(image, boxes, side))
    flat = maps.permute(0, 3, 2, 1).flatten(1) @ dense + bias
    flat = torch.where(flat > 0, flat, flat * slope)
    shifts, scores = flat @ heads[0] + heads[1], (flat @ heads[-2] + heads[-1]).softmax(1)[:, 1]
    sides = (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)
    keep = scores > _SCORES[name]
    last = name == "onet"
    return _distinct(
        _Found((boxes + shifts * sides)[keep], scores[keep]), 0.4 if last else 0.7, last
    )


def _squares(boxes: Tensor) -> Tensor:
    """Return squares with the centers of boxes, as wide as their longer sides, in whole px."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([middle - half, middle + half], dim=1).round()


def _cut_out(image: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Cut squares out of an image, (n, 3, side, side); beyond its border it is gray."""
    height, width = image.shape[-2:]
    pieces = []
    for left, top, right, bottom in boxes.long().tolist():
        inner = image[..., max(top, 0) : max(bottom, 1), max(left, 0) : max(right, 1)]
        around = (max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0))
        pieces.append(
            functional.interpolate(functional.pad(inner, around), (side, side), mode="area")
        )
    return torch.cat(pieces)


def _distinct(found: _Found, limit: float, within: bool = False) -> _Found:
    """Keep the best of boxes that overlap by more than a share of their union.

    Args: within: a share of the smaller box, instead of the union.
    """
    order = found.scores.argsort(descending=True, stable=True)
    boxes = found.boxes[order]
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    free, kept = torch.ones(len(boxes), dtype=torch.bool), []
    for number in range(len(boxes)):
        if not free[number]:
            continue
        kept.append(number)
        low = torch.maximum(boxes[:, :2], boxes[number, :2])
        high = torch.minimum(boxes[:, 2:], boxes[number, 2:])
        common = (high - low).clamp(min=0).prod(1)
        smaller = torch.minimum(areas, areas[number])
        whole = smaller if within else areas + areas[number] - common
        free &= common <= limit * whole
    return _Found(boxes[kept], found.scores[order][kept])
