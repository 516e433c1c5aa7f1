"""Weights of VGG-16 and VGG-19: name → bundled file, file of your own, or official download.

The bundled files hold the original weights of Simonyan & Zisserman (ICLR 2015), without the
classifier: VGG-16 in float16, VGG-19 as 256 values per layer and an index for every weight.
`scripts/build_weights.py` makes them, NOTICE says whose they are.

Two conventions for what a network sees exist, and a file seldom says which one is its own:

    "caffe"        BGR, 0…255, minus the mean color: VGG's own weights, wherever converted
    "torchvision"  RGB, [0, 1], ImageNet mean and deviation: weights trained anew by torchvision

This is the only module that downloads.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import re
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from impasto.errors import SettingsError, WeightsError, nearest_match
from impasto.layers import CONVOLUTIONS, conv_names, layer_names

__all__ = [
    "CONVENTIONS",
    "CONV_LAYERS",
    "VGGWeights",
    "default_cache_dir",
    "load_mean_activations",
    "load_weights",
    "own_weights",
    "read_tensors",
]

logger = logging.getLogger(__name__)

CONVENTIONS = ("caffe", "torchvision")

# {"vgg16": (("conv1_1", 64), ("conv1_2", 64), …), …}, shallow to deep
CONV_LAYERS: dict[str, tuple[tuple[str, int], ...]] = {
    network: tuple((name, blocks[int(name[4]) - 1][1]) for name in conv_names(network))
    for network, blocks in CONVOLUTIONS.items()
}

_ASSETS = Path(__file__).parent / "assets"
_TITLES = {"vgg16": "VGG-16", "vgg19": "VGG-19"}

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


@dataclass(frozen=True)
class _Entry:
    """One tensor of a file: its shape, and how to read it as (C_out, C_in, 3, 3) or (C_out,)."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


@dataclass(frozen=True)
class _File:
    """A file's tensors by name ("conv1_1.weight" or "features.0.weight"), nothing decoded yet."""

    entries: Mapping[str, _Entry]
    convention: str | None = None


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
    file = _open(path)
    entries = _match(file.entries, network, path)
    if convention == "auto":
        convention = known or file.convention or _recognise(entries, network, path)
    return VGGWeights(network, convention, {name: _layer(entries, name, path) for name in names})


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


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read every tensor of a .pth or .safetensors file, without running anything that it holds.

    Raises: WeightsError: the file is missing, damaged, or not a tensor for every name.
    """
    return {name: entry.read() for name, entry in _open(path).entries.items()}


def load_mean_activations(network: str) -> dict[str, Tensor]:
    """Load each filter's mean activation over a set of photos, for normalised weights.

    Measured on the bundled weights, behind the ReLU, by `scripts/build_mean_activations.py`.

    Returns: {"conv1_1": (C_out,), …}, shallow to deep, float32, all above 0.
    Raises:  SettingsError: an unknown network. WeightsError: the bundled file is damaged.
    """
    names = conv_names(network)
    path = _ASSETS / "mean_activations.safetensors"
    entries = _open(path).entries
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


# ---- files --------------------------------------------------------------------------------


def _open(path: Path) -> _File:
    """Look into a file of any known form; what is inside decides, not the name."""
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
    except FileNotFoundError:
        raise WeightsError(
            f"{path}: no such file (weights are bundled, torchvision or a path)"
            f"{nearest_match(str(path), ('bundled', 'torchvision'))}"
        ) from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    if start.startswith(b"\x89HDF"):
        return _open_keras(path)
    if start[8:] == b"{":  # behind eight bytes of length
        return _open_safetensors(path)
    return _open_torch(path)


def _open_safetensors(path: Path) -> _File:
    """Open our own forms, or torchvision's names; mapped into memory, so that reading is lazy."""
    try:
        stored: Any = safe_open(path, framework="pt")
        convention = (stored.metadata() or {}).get("convention")
        shapes = {key: tuple(stored.get_slice(key).get_shape()) for key in stored.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: damaged, or not a safetensors file ({error})") from error

    def codebook(name: str) -> Tensor:
        table, indices = stored.get_tensor(f"{name}.table"), stored.get_tensor(f"{name}.indices")
        if indices.dtype != torch.uint8 or table.shape != (256,):
            raise WeightsError(f"{path}: {name} is not one byte per weight and a table of 256")
        # NumPy looks up by bytes, where torch would first make eight of each.
        return torch.from_numpy(table.numpy().take(indices.numpy()))

    entries: dict[str, _Entry] = {}
    for key, shape in shapes.items():
        name, _, part = key.rpartition(".")
        if part == "indices" and f"{name}.table" in shapes:
            entries[f"{name}.weight"] = _Entry(shape, partial(codebook, name))
        elif part != "table" or f"{name}.indices" not in shapes:
            entries[key] = _Entry(shape, partial(stored.get_tensor, key))
    return _File(entries, convention if convention in CONVENTIONS else None)


def _open_torch(path: Path) -> _File:
    """Open a state dict, without running anything that its pickle holds."""
    try:
        # Only torch's newer, zipped form can be mapped; the official files are of the older one.
        mapped = zipfile.is_zipfile(path)
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # what a damaged pickle raises is anybody's guess
        reason = str(error).partition("\n")[0]
        raise WeightsError(
            f"{path}: damaged, or not a file of weights (.pth, .h5 or .safetensors): {reason}"
        ) from error
    if not isinstance(stored, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in stored.items()
    ):
        raise WeightsError(f"{path}: not a state dict, which is a tensor for every name")
    return _File(
        {key: _Entry(tuple(x.shape), partial(Tensor.detach, x)) for key, x in stored.items()}
    )


def _open_keras(path: Path) -> _File:
    """Read a Keras file: kernels are (3, 3, C_in, C_out), in groups named block1_conv1."""
    try:
        import h5py
    except ImportError:
        raise WeightsError(f"{path}: reading Keras files needs h5py (pip install h5py)") from None
    entries: dict[str, _Entry] = {}

    def visit(key: str, node: object) -> None:
        layer = re.search(r"block(\d)_conv(\d)", key)
        if layer is None or not isinstance(node, h5py.Dataset):
            return
        values = torch.from_numpy(node[()])
        values = values.permute(3, 2, 0, 1) if values.ndim == 4 else values
        part = "weight" if values.ndim == 4 else "bias"
        entries[f"conv{layer[1]}_{layer[2]}.{part}"] = _Entry(
            tuple(values.shape), partial(Tensor.detach, values)
        )

    try:
        with h5py.File(path, "r") as stored:
            stored.visititems(visit)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: damaged, or not a Keras file ({error})") from error
    return _File(entries)


# ---- what a file holds --------------------------------------------------------------------


def _match(entries: Mapping[str, _Entry], network: str, path: Path) -> dict[str, _Entry]:
    """Return the file's tensors as conv1_1.weight, …, or raise a WeightsError that names faults."""
    renamed, problems = _compare(entries, network)
    if not problems:
        return renamed
    for other in CONV_LAYERS:
        if not _compare(entries, other)[1]:
            raise WeightsError(f"{path}: this is a {_TITLES[other]} file; asked for {network}")
    raise WeightsError(f"{path}: not the convolutions of {network}: {'; '.join(problems)}")


def _compare(
    entries: Mapping[str, _Entry], network: str
) -> tuple[dict[str, _Entry], tuple[str, ...]]:
    """Rename tensors for a network; list what is missing, too much, or of a wrong shape."""
    order = layer_names(network)  # torchvision numbers convolutions, ReLUs and poolings alike
    numbers = {str(order.index(name)): name for name in conv_names(network)}
    renamed: dict[str, _Entry] = {}
    for key, entry in entries.items():
        parts = key.split(".")
        if parts[0] == "classifier":
            continue
        if len(parts) == 3 and parts[0] == "features" and parts[1] in numbers:
            key = f"{numbers[parts[1]]}.{parts[2]}"
        renamed[key] = entry
    expected: dict[str, tuple[int, ...]] = {}
    inputs = 3
    for name, outputs in CONV_LAYERS[network]:
        expected[f"{name}.weight"] = (outputs, inputs, 3, 3)
        expected[f"{name}.bias"] = (outputs,)
        inputs = outputs
    problems = (
        ("missing", [key for key in expected if key not in renamed]),
        ("not expected", [key for key in renamed if key not in expected]),
        (
            "wrong shape",
            [
                f"{key} {renamed[key].shape} instead of {shape}"
                for key, shape in expected.items()
                if key in renamed and renamed[key].shape != shape
            ],
        ),
    )
    return renamed, tuple(f"{what}: {_some(found)}" for what, found in problems if found)


def _some(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _layer(entries: Mapping[str, _Entry], name: str, path: Path) -> tuple[Tensor, Tensor]:
    """Decode one convolution; the result shares no memory with the file."""

    def decode(key: str) -> Tensor:
        values = entries[key].read()
        if not values.is_floating_point():
            raise WeightsError(f"{path}: {key} is {values.dtype}, not floating point")
        values = values.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        if not all(bound.isfinite() for bound in values.aminmax()):  # NaN wins both
            raise WeightsError(f"{path}: {key} holds numbers that are not finite")
        return values

    return decode(f"{name}.weight"), decode(f"{name}.bias")


def _recognise(entries: Mapping[str, _Entry], network: str, path: Path) -> str:
    """Tell a file's convention by its first layer, or raise a WeightsError that asks for it.

    Magnitudes do not tell: torchvision trained from scratch, and its first layer has weights as
    large as VGG's own (VGG-16: −0.69…0.77 in the first filter, against −0.67…0.61 in all). So a
    file is taken for VGG's own only if its whole first layer is that of the bundled file, and
    for torchvision's only if its first filter is the published one; else by its SHA-256. Weights
    that were trained further, or made for another input, are not guessed at.
    """
    weight, _ = _layer(entries, "conv1_1", path)
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
        f"RGB normalised as torchvision does{hint}: choose convention=caffe or "
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
