"""Weights of VGG-16 and VGG-19: name → bundled file, file of your own, or official download.

The bundled files hold the original weights of Simonyan & Zisserman (ICLR 2015), without the
classifier: VGG-16 in float16, VGG-19 as 256 values per layer and an index for every weight.
`scripts/build_weights.py` makes them, NOTICE says whose they are.

Two conventions for what a network sees exist, and a file seldom says which one is its own:

    "caffe"        BGR, 0…255, minus the mean color: VGG's own weights, wherever converted
    "torchvision"  RGB, [0, 1], ImageNet mean and deviation: weights trained anew by torchvision

This is the only module that downloads. `impasto.network.weight_files` reads the files' contents.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

import torch
from torch import Tensor

from impasto.errors import SettingsError, WeightsError, nearest_match
from impasto.network.weight_files import CONVENTIONS, Entry, decode_layer, match_layers, open_file
from impasto.settings.layers import conv_names

__all__ = [
    "VGGWeights",
    "default_cache_dir",
    "load_mean_activations",
    "load_weights",
    "own_weights",
]

logger = logging.getLogger(__name__)

_ASSETS = Path(__file__).parents[1] / "assets"

# torchvision's IMAGENET1K_V1; the eight hex digits in a name begin the SHA-256 of the file.
_OFFICIAL = {
    "vgg16": "https://download.pytorch.org/models/vgg16-397923af.pth",
    "vgg19": "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
}
# Files known by the begin of their SHA-256: those two, and VGG's own weights as converted from
# Caffe by Justin Johnson (vgg16-00b39a1b.pth, vgg19-d01eb7cb.pth), named by the same custom.
_KNOWN_FILES = {
    "397923af": "torchvision",
    "dcbb9e9d": "torchvision",
    "00b39a1b": "caffe",
    "d01eb7cb": "caffe",
}

# The first filter of torchvision's weights, (3, 3, 3) in reading order, as printed in public
# notebooks. The first filters of VGG's own are 0.4295, 0.3735, … (VGG-16; blue, top row) and
# 0.3406, 0.3406, … (VGG-19).
_TORCHVISION_FIRST_FILTER = {
    "vgg16": (
        *(-0.5537, 0.1427, 0.5290, -0.5831, 0.3566, 0.7657, -0.6902, -0.0480, 0.4841),
        *(0.1755, 0.0099, -0.0814, 0.0441, -0.0703, -0.2604, 0.1324, -0.1728, -0.1323),
        *(0.3130, -0.1659, -0.4275, 0.4752, -0.0827, -0.4870, 0.6320, 0.0193, -0.2775),
    ),
    "vgg19": (
        *(-0.053474, -0.049257, -0.067942, 0.015314, 0.045068, 0.0021444),
        *(0.036226, 0.019999, 0.019864, 0.017015, 0.055403, -0.0062293),
        *(0.14165, 0.22705, 0.13758, 0.12000, 0.20030, 0.092114),
        *(-0.044885, 0.012680, -0.014497, 0.059742, 0.13955, 0.054102),
        *(-0.00096141, 0.058304, -0.029663),
    ),
}
# How far, relative, a first layer may be from a known one and still be taken for it. Rounding to
# float16 or to 256 values costs below 0.01; swapping red and blue costs 0.56.
_SAME_LAYER = 0.05


@dataclass(frozen=True, eq=False)
class VGGWeights:
    """The convolutions of one network.

    Attributes:
        network: "vgg16" or "vgg19".
        convention: "caffe" or "torchvision": what the network sees (see the module).
        layers: {"conv1_1": (weight, bias), …}, shallow to deep; weight (C_out, C_in, 3, 3) and
            bias (C_out,), float32. Kernels are torch's (cross-correlation); conv1_1's input
            channels are in the order of the convention.
    """

    network: str
    convention: str
    layers: dict[str, tuple[Tensor, Tensor]]


def load_weights(
    network: str,
    weights: str | os.PathLike[str] = "bundled",
    *,
    convention: str = "auto",
    cache_dir: Path | None = None,
    last: str | None = None,
) -> VGGWeights:
    """Load a network's convolutions.

    Args:
        network: "vgg19" or "vgg16".
        weights: "bundled"; "torchvision" (downloaded once, some 550 MB); or a file: a .pth with
            torchvision's names (features.0.weight, …), a Keras .h5, or safetensors.
        convention: "auto", or "caffe" or "torchvision" for a file that does not tell.
        cache_dir: where downloads are kept; default_cache_dir() if None.
        last: decode no deeper than this convolution; all if None.

    Raises:
        SettingsError: an unknown network, convention or layer, with the nearest match; or a
            convention that the bundled or torchvision's weights do not have.
        WeightsError: the file is missing, damaged, for another network, or does not tell its
            convention; or the download failed.
    """
    names = conv_names(network)
    _check_choice(convention, ("auto", *CONVENTIONS), "convention of weights")
    if last is not None:
        _check_choice(last, names, f"convolution in {network}")
        names = names[: names.index(last) + 1]
    source = os.fspath(weights)
    known = {"bundled": "caffe", "torchvision": "torchvision"}.get(source)
    if known is not None and convention not in ("auto", known):
        raise SettingsError(
            f"the {source} weights are of the {known} convention, not {convention}; "
            "a convention can be chosen for a file of your own"
        )
    if source == "bundled":
        path = _ASSETS / f"{network}.safetensors"
    elif source == "torchvision":
        path = _official_file(network, cache_dir or default_cache_dir())
    else:
        path = Path(source)
    file = open_file(path)
    entries = match_layers(file.entries, network, path)
    if convention == "auto":
        convention = known or file.convention or _recognize(entries, network, path)
    return VGGWeights(
        network, convention, {name: decode_layer(entries, name, path) for name in names}
    )


def own_weights(weights: str | os.PathLike[str]) -> dict[str, str | None] | None:
    """Return what a weights file of one's own is known by: its bare name and its SHA-256.

    Returns: None for weights that are known by their name; without SHA-256 for an unreadable file.
    """
    path = Path(weights)
    if os.fspath(weights) in ("bundled", "torchvision"):
        return None
    try:
        return {"name": path.name, "sha256": _sha256(path)}
    except WeightsError:  # gone since it was loaded: no reason to lose the picture
        return {"name": path.name, "sha256": None}


def load_mean_activations(network: str) -> dict[str, Tensor]:
    """Load each filter's mean activation over a set of photos, for normalized weights.

    Measured on the bundled weights, behind the ReLU, by `scripts/build_mean_activations.py`.

    Returns: {"conv1_1": (C_out,), …}, shallow to deep, float32, all above 0.
    Raises:  SettingsError: an unknown network. WeightsError: the bundled file is damaged.
    """
    names = conv_names(network)
    path = _ASSETS / "mean_activations.safetensors"
    entries = open_file(path).entries
    missing = [name for name in names if f"{network}.{name}" not in entries]
    if missing:
        raise WeightsError(f"{path}: no mean activations of {', '.join(missing)}")
    return {name: entries[f"{network}.{name}"].read().clone() for name in names}


def default_cache_dir() -> Path:
    """Return where downloads are kept: $IMPASTO_CACHE, or a folder in the user's cache."""
    if chosen := os.environ.get("IMPASTO_CACHE"):
        return Path(chosen).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "impasto"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(local) / "impasto" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "impasto"
    return Path.home() / ".cache" / "impasto"


def _check_choice(word: str, choices: tuple[str, ...], what: str) -> None:
    if word not in choices:
        raise SettingsError(
            f"{word}: no such {what} (there are {', '.join(choices)}){nearest_match(word, choices)}"
        )


# ---- whose convention ---------------------------------------------------------------------


def _recognize(entries: Mapping[str, Entry], network: str, path: Path) -> str:
    """Tell a file's convention by its first layer, or raise a WeightsError that asks for it.

    Magnitudes do not tell: torchvision trained from scratch, and its first layer has weights as
    large as VGG's own (VGG-16: −0.69…0.77 in the first filter, against −0.67…0.61 in all). So a
    file is taken for VGG's own only if its whole first layer is that of the bundled file, and
    for torchvision's only if its first filter is the published one; else by its SHA-256. Weights
    that were trained further, or made for another input, are not guessed at.
    """
    weight, _ = decode_layer(entries, "conv1_1", path)
    own, _ = load_weights(network, last="conv1_1").layers["conv1_1"]
    first = torch.tensor(_TORCHVISION_FIRST_FILTER[network]).view(3, 3, 3)
    if _distance(weight, own) < _SAME_LAYER:
        return "caffe"
    if _distance(weight[0], first) < _SAME_LAYER:
        return "torchvision"
    if known := _KNOWN_FILES.get(_sha256(path)[:8]):
        return known
    swapped = _distance(weight.flip(1), own) < _SAME_LAYER
    hint = " (its first layer is VGG's own with red and blue swapped)" if swapped else ""
    raise WeightsError(
        f"{path}: cannot tell whether these weights see BGR in 0…255 minus the mean color or "
        f"RGB normalized as torchvision does{hint}: choose convention=caffe or "
        "convention=torchvision (--weights-convention)"
    )


def _distance(found: Tensor, reference: Tensor) -> float:
    return float((found - reference).norm() / reference.norm())


# ---- downloads ----------------------------------------------------------------------------


def _official_file(network: str, folder: Path) -> Path:
    """Return torchvision's file from the cache, downloading it if it is not there."""
    url = _OFFICIAL[network]
    path = folder / url.rpartition("/")[2]
    digest = path.stem.rpartition("-")[2]
    if not path.exists():
        _download(url, path, digest)
    elif not _sha256(path).startswith(digest):
        path.unlink(missing_ok=True)
        raise WeightsError(
            f"{path}: damaged (its SHA-256 does not begin with {digest}), so it was removed; "
            "run again to download it anew"
        )
    return path


def _download(url: str, path: Path, digest: str) -> None:
    """Download a file; it gets its name only when all of it is there and its SHA-256 matches."""

    def give_up(reason: object) -> NoReturn:
        raise WeightsError(
            f"{url}: cannot be downloaded ({reason}); without a connection, put the file at "
            f"{path}, or use the bundled weights"
        )

    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f"{path.name}.", suffix=".part", delete=False
        ) as stream:
            partial = Path(stream.name)
            logger.info("downloading %s to %s", url, path)
            with urllib.request.urlopen(url, timeout=60) as response:
                size = response.headers.get("Content-Length")
                found, length = _copy(response, stream)
        if size is not None and length != int(size):
            give_up(f"the connection broke after {length} of {size} bytes")
        if not found.startswith(digest):
            give_up(f"its SHA-256 begins with {found[:8]}, not {digest}")
        partial.replace(path)
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        give_up(getattr(error, "reason", None) or error)
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _copy(source: IO[bytes], target: IO[bytes]) -> tuple[str, int]:
    """Copy to the end; return the SHA-256 and the length of what was copied."""
    digest, length = hashlib.sha256(), 0
    while block := source.read(1 << 20):
        digest.update(block)
        target.write(block)
        length += len(block)
    return digest.hexdigest(), length


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
