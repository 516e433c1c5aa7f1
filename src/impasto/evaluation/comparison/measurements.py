"""The scores of a comparison, kept on disk: a second run measures only what is missing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from impasto.errors import ImpastoError
from impasto.evaluation.comparison.cases import Pair
from impasto.evaluation.metrics import METRICS, VERSION
from impasto.evaluation.scores import LONG_SIDE, Scores, evaluate, held_out, painter
from impasto.pictures.files import load_picture, save_image
from impasto.pictures.picture import fit_within, on_paper, resize
from impasto.settings.pictures import NetworkName
from impasto.storage import read_file, replace_file

__all__ = ["Measurements", "Subject", "common_network", "common_side", "input_sums", "thumbnail"]

THUMBNAIL = 640  # px, long side


@dataclass(frozen=True)
class Subject:
    """A result that can be measured.

    Attributes:
        method: its name.
        path: the result's file.
        size: (H, W) of the result.
        painted_by: the network that painted it; None: unknown.
        sums: the SHA-256 sums of result, photo and painting.
    """

    pair: Pair
    method: str
    path: Path
    size: tuple[int, int]
    painted_by: NetworkName | None
    sums: tuple[str, str, str]

    @classmethod
    def read(cls, pair: Pair, method: str, path: Path, inputs: tuple[str, str]) -> Subject:
        """Read the facts of a result. `inputs` are the sums of photo and painting.

        Raises: ImageError: the result cannot be read.
        """
        picture = load_picture(path)
        return cls(pair, method, path, picture.size, painter(path), (str(picture.sha256), *inputs))


def input_sums(pair: Pair) -> tuple[str, str]:
    """Return the SHA-256 sums of photo and painting. Raises: ImageError: one cannot be read."""
    photo, painting = load_picture(pair.content), load_picture(pair.style)
    return str(photo.sha256), str(painting.sha256)


def common_network(painters: Iterable[NetworkName | None]) -> NetworkName:
    """Return the one network that measures all results: one that painted none, if there is one."""
    known = set(painters)
    return held_out("vgg19" if "vgg19" in known or "vgg16" not in known else "vgg16")


def common_side(subjects: Iterable[Subject]) -> int:
    """Return the long side, in px, at which all results of one pair are compared.

    It is that of the smallest result, because a smaller picture has other scores.
    """
    return min(LONG_SIDE, *(max(each.size) for each in subjects))


class Measurements:
    """Scores in a JSON file, found by the SHA-256 sums of the pictures.

    Args: path: the file; it does not have to exist.

    Attributes: measured: the number of results that were measured and not found.

    Raises: ImpastoError: the file cannot be read, or is not such a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.measured = 0
        self._known: dict[str, Scores] = {}
        if not path.exists():
            return
        try:
            stored = json.loads(read_file(path, "a file of scores"))
            self._known = {key: Scores.from_dict(facts) for key, facts in stored.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ImpastoError(
                "is not a file of scores; delete it to measure all results again", path=path
            ) from error

    def scores(
        self,
        subject: Subject,
        network: NetworkName,
        long_side: int,
        device: str | torch.device | None = None,
    ) -> Scores:
        """Return the scores of a result, and measure and keep them if they are not known.

        Raises: as for `evaluate`, or the file cannot be written.
        """
        key = _key(subject, network, long_side)
        if key not in self._known:
            pair = subject.pair
            self._known[key] = evaluate(
                subject.path, pair.content, pair.style, long_side=long_side, network=network,
                device=device,
            )  # fmt: skip
            self.measured += 1
            stored = {name: scores.to_dict() for name, scores in self._known.items()}
            replace_file(self.path, json.dumps(stored, indent=1).encode())
        return self._known[key]

    def knows(self, subject: Subject, network: NetworkName, long_side: int) -> bool:
        """Tell whether the scores of a result are known."""
        return _key(subject, network, long_side) in self._known


def _key(subject: Subject, network: NetworkName, long_side: int) -> str:
    """Return a sum of all that determines the scores."""
    facts = [VERSION, list(METRICS), network, long_side, *subject.sums]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def thumbnail(path: Path, digest: str, folder: Path) -> Path:
    """Return a small JPEG of a picture, on white, which is made if it does not exist.

    Its name is the start of the picture's SHA-256, so it does not tell the method.

    Raises: ImageError: the picture cannot be read, or the JPEG cannot be written.
    """
    small = folder / f"{digest[:20]}.jpg"
    if not small.exists():
        picture = load_picture(path)
        size = fit_within(picture.size, THUMBNAIL)
        save_image(resize(on_paper(picture), size), small)
    return small
