"""Weights of VGG-16 and VGG-19: from a bundled file, your own file, or a download.

The bundled files hold the original weights of Simonyan & Zisserman (ICLR 2015), without the
classifier: VGG-16 in float16, VGG-19 as 256 values per layer and an index for every weight.
`scripts/build_weights.py` makes them; NOTICE names their authors.

A network expects its input by one of two conventions, and a file seldom states its convention:

    "caffe"        BGR, 0…255, minus the mean color: VGG's own weights, by any converter
    "torchvision"  RGB, [0, 1], ImageNet mean and deviation: the weights that torchvision trained

This is the only module that downloads. `impasto.network.weight_formats` reads the files' contents.
"""

from __future__ import annotations

import http.client
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.hub
from torch import Tensor

from impasto.errors import SettingsError, WeightsError, nearest_match
from impasto.machine import cache_folder
from impasto.network.weight_formats import CONVENTIONS, Entry, decode_layer, match_layers, open_file
from impasto.settings.layers import conv_names
from impasto.storage import one_line, sha256_of

__all__ = [
    "VGGWeights",
    "load_mean_activations",
    "load_weights",
    "own_weights",
]

logger = logging.getLogger(__name__)

_ASSETS = Path(__file__).parents[1] / "assets"

# torchvision's IMAGENET1K_V1; the SHA-256 of a file begins with the eight hex digits in its name.
_OFFICIAL = {
    "vgg16": "https://download.pytorch.org/models/vgg16-397923af.pth",
    "vgg19": "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
}
# Files known by the first digits of their SHA-256: those two, and VGG's own weights as Justin
# Johnson converted them from Caffe (vgg16-00b39a1b.pth, vgg19-d01eb7cb.pth; the same kind of name).
_KNOWN_FILES = {
    "397923af": "torchvision",
    "dcbb9e9d": "torchvision",
    "00b39a1b": "caffe",
    "d01eb7cb": "caffe",
}

# The first filter of torchvision's weights, (3, 3, 3) in reading order, from public notebooks.
# The first filters of VGG's own are 0.4295, 0.3735, … (VGG-16; blue, top row) and
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
_NETWORK_TIMEOUT = 60.0  # s without a byte from the server

# The largest relative distance between a first layer and a known one that counts as the same.
# Rounding to float16 or to 256 values gives below 0.01; swapping red and blue gives 0.56.
_SAME_LAYER = 0.05


@dataclass(frozen=True, eq=False)
class VGGWeights:
    """The convolutions of one network.

    Attributes:
        network: "vgg16" or "vgg19".
        convention: "caffe" or "torchvision", see the module.
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
        convention: "auto"; or "caffe" or "torchvision" for a file that does not say.
        cache_dir: the folder for downloads; None: `impasto.machine.cache_folder`.
        last: decode no deeper than this convolution; None: decode all.

    Raises:
        SettingsError: the network, convention or layer is unknown (the message has the nearest
            match); or the bundled or torchvision's weights do not have this convention.
        WeightsError: the file is missing, damaged, for another network, or does not say its
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
            "a convention can be chosen only for your own file"
        )
    if source == "bundled":
        path = _ASSETS / f"{network}.safetensors"
    elif source == "torchvision":
        path = _official_file(network, cache_dir or cache_folder())
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
    """Return the name (without folders) and the SHA-256 of a user's weights file, for metadata.

    Returns: None for bundled and official weights; an SHA-256 of None for an unreadable file.
    """
    path = Path(weights)
    if os.fspath(weights) in ("bundled", "torchvision"):
        return None
    try:
        return {"name": path.name, "sha256": sha256_of(path, error=WeightsError)}
    except WeightsError:  # the file is gone, but the picture is painted
        return {"name": path.name, "sha256": None}


def load_mean_activations(network: str) -> dict[str, Tensor]:
    """Load each filter's mean activation over a set of photos, for normalized weights.

    `scripts/build_mean_activations.py` measured them on the bundled weights, after the ReLU.

    Returns: {"conv1_1": (C_out,), …}, shallow to deep, float32, all above 0.
    Raises:  SettingsError: an unknown network. WeightsError: the bundled file is damaged.
    """
    names = conv_names(network)
    path = _ASSETS / "mean_activations.safetensors"
    entries = open_file(path).entries
    missing = [name for name in names if f"{network}.{name}" not in entries]
    if missing:
        raise WeightsError(f"holds no mean activations of {', '.join(missing)}", path=path)
    return {name: entries[f"{network}.{name}"].read().clone() for name in names}


def _check_choice(word: str, choices: tuple[str, ...], what: str) -> None:
    if word not in choices:
        raise SettingsError(
            f"{word}: no such {what} (there are {', '.join(choices)}){nearest_match(word, choices)}"
        )


# ---- conventions --------------------------------------------------------------------------


def _recognize(entries: Mapping[str, Entry], network: str, path: Path) -> str:
    """Return a file's convention by its first layer, or raise a WeightsError that asks for it.

    The magnitude of the weights does not show the convention. torchvision trained from scratch, and
    its first layer has weights as large as VGG's own (VGG-16: −0.69…0.77 in the first filter,
    against −0.67…0.61 in all filters). So a file counts as VGG's own only if its whole first layer
    equals that of the bundled file, and as torchvision's only if its first filter is the published
    one. Otherwise, its SHA-256 decides. For weights that were trained further, or made for another
    input, this function does not guess.
    """
    weight, _ = decode_layer(entries, "conv1_1", path)
    own, _ = load_weights(network, last="conv1_1").layers["conv1_1"]
    first = torch.tensor(_TORCHVISION_FIRST_FILTER[network]).view(3, 3, 3)
    if _distance(weight, own) < _SAME_LAYER:
        return "caffe"
    if _distance(weight[0], first) < _SAME_LAYER:
        return "torchvision"
    if known := _KNOWN_FILES.get(sha256_of(path, error=WeightsError)[:8]):
        return known
    swapped = _distance(weight.flip(1), own) < _SAME_LAYER
    hint = " (its first layer is VGG's own with red and blue swapped)" if swapped else ""
    raise WeightsError(
        "does not say whether its network expects BGR in 0…255 minus the mean color, or RGB "
        f"normalized as torchvision does it{hint}: choose convention=caffe or "
        "convention=torchvision (--weights-convention)",
        path=path,
    )


def _distance(found: Tensor, reference: Tensor) -> float:
    return float((found - reference).norm() / reference.norm())


# ---- downloads ----------------------------------------------------------------------------


def _official_file(network: str, folder: Path) -> Path:
    """Return torchvision's file from the cache; download it if it is not there."""
    url = _OFFICIAL[network]
    path = folder / url.rpartition("/")[2]
    digest = path.stem.rpartition("-")[2]
    if not path.exists():
        _download(url, path, digest)
    elif not sha256_of(path, error=WeightsError).startswith(digest):
        path.unlink(missing_ok=True)
        raise WeightsError(
            f"was damaged (its SHA-256 does not begin with {digest}), so it was removed; run again "
            "to download it again",
            path=path,
        )
    return path


def _download(url: str, path: Path, digest: str) -> None:
    """Download a file. It gets its name only when it is complete and its SHA-256 matches."""
    logger.info("downloading %s to %s", url, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _network_timeout(_NETWORK_TIMEOUT):
            torch.hub.download_url_to_file(
                url, str(path), hash_prefix=digest, progress=sys.stderr.isatty()
            )
    except (OSError, http.client.HTTPException, RuntimeError) as error:  # URLError is an OSError
        cause = getattr(error, "reason", None) or error  # URLError wraps an error of the socket
        if isinstance(cause, TimeoutError):
            reason = f"the server sent nothing for {_NETWORK_TIMEOUT:g} s"
        elif isinstance(error, RuntimeError):  # torch's error for another hash, also of a part
            reason = f"the file is incomplete or wrong: its SHA-256 does not begin with {digest}"
        else:
            reason = cause if isinstance(cause, str) else one_line(cause)
        raise WeightsError(
            f"{url}: cannot be downloaded ({reason}); without a connection, put the file at "
            f"{path}, or use the bundled weights"
        ) from error


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """Give new connections a timeout; torch.hub's function has no argument for it."""
    former = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(former)
