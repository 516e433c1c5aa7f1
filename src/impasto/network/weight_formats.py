"""Files of weights: their formats, and a network's layers in them.

file → tensors by the file's names → tensors by layer names → one decoded convolution

Three formats can be read: safetensors, also with the two encodings of the bundled files; torch's
.pth with torchvision's names, which VGG's own weights converted from Caffe have too; and Keras'
.h5.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from impasto.errors import WeightsError, nearest_match
from impasto.settings.layers import CONVOLUTIONS, conv_names, layer_names
from impasto.storage import one_line

__all__ = [
    "CONVENTIONS",
    "CONV_LAYERS",
    "Entry",
    "File",
    "decode_layer",
    "match_layers",
    "open_file",
    "read_tensors",
]

CONVENTIONS = ("caffe", "torchvision")  # of a network's input: see impasto.network.weights

# {"vgg16": (("conv1_1", 64), ("conv1_2", 64), …), …}, shallow to deep
CONV_LAYERS: dict[str, tuple[tuple[str, int], ...]] = {
    network: tuple((name, blocks[int(name[4]) - 1][1]) for name in conv_names(network))
    for network, blocks in CONVOLUTIONS.items()
}

_TITLES = {"vgg16": "VGG-16", "vgg19": "VGG-19"}


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: its shape, and how to read it as (C_out, C_in, 3, 3) or (C_out,)."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


@dataclass(frozen=True)
class File:
    """A file's tensors by name, such as "conv1_1.weight" or "features.0.weight", not yet decoded.

    Attributes:
        convention: one of `CONVENTIONS`, if the file names it.
    """

    entries: Mapping[str, Entry]
    convention: str | None = None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a .pth or .safetensors file. No code in the file is run.

    Raises: WeightsError: the file is missing or damaged, or does not hold one tensor per name.
    """
    return {name: entry.read() for name, entry in open_file(path).entries.items()}


# ---- file formats -------------------------------------------------------------------------


def open_file(path: Path) -> File:
    """Open a file of any known format. The content determines the format, not the name.

    Raises: WeightsError: the file is missing, cannot be read, is damaged, or has another format.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
    except FileNotFoundError:
        raise WeightsError(
            "cannot be read: there is no such file (weights are bundled, torchvision or a path)"
            f"{nearest_match(str(path), ('bundled', 'torchvision'))}",
            path=path,
        ) from None
    except OSError as error:
        raise WeightsError(f"cannot be read: {error.strerror}", path=path) from error
    if start.startswith(b"\x89HDF"):
        return _open_keras(path)
    if start[8:] == b"{":  # safetensors: eight bytes of length, then JSON
        return _open_safetensors(path)
    return _open_torch(path)


def _open_safetensors(path: Path) -> File:
    """Open a safetensors file with our encodings or plain tensors.

    It is mapped into memory, so that each tensor is read only when it is needed.
    """
    try:
        stored: Any = safe_open(path, framework="pt")
        convention = (stored.metadata() or {}).get("convention")
        shapes = {key: tuple(stored.get_slice(key).get_shape()) for key in stored.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"is damaged, or not a safetensors file ({one_line(error)})", path=path
        ) from error

    def codebook(name: str) -> Tensor:
        table, indices = stored.get_tensor(f"{name}.table"), stored.get_tensor(f"{name}.indices")
        if indices.dtype != torch.uint8 or table.shape != (256,):
            raise WeightsError(
                f"is damaged: {name} is not one byte per weight and a table of 256", path=path
            )
        # NumPy takes bytes as indices; torch would first convert each to eight bytes.
        return torch.from_numpy(table.numpy().take(indices.numpy()))

    entries: dict[str, Entry] = {}
    for key, shape in shapes.items():
        name, _, part = key.rpartition(".")
        if part == "indices" and f"{name}.table" in shapes:
            entries[f"{name}.weight"] = Entry(shape, partial(codebook, name))
        elif part != "table" or f"{name}.indices" not in shapes:
            entries[key] = Entry(shape, partial(stored.get_tensor, key))
    return File(entries, convention if convention in CONVENTIONS else None)


def _open_torch(path: Path) -> File:
    """Open a state dict. No code in its pickle is run."""
    try:
        # Only torch's newer, zipped format can be mapped; the official files have the older one.
        mapped = zipfile.is_zipfile(path)
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged pickle can raise any exception
        # torch's own message advises to switch this safety off.
        raise WeightsError(_refusal(error), path=path) from error
    if not isinstance(stored, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in stored.items()
    ):
        raise WeightsError(
            "is not a state dict, which is a dictionary of names and tensors", path=path
        )
    return File(
        {key: Entry(tuple(x.shape), partial(Tensor.detach, x)) for key, x in stored.items()}
    )


def _refusal(error: Exception) -> str:
    """Say why torch does not load a file."""
    foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and foreign:
        return (
            f"holds a Python object ({foreign[1]}) besides tensors; such files can run code and "
            "are not read: save only the tensors, with torch.save(model.state_dict(), FILE)"
        )
    return "is damaged, or not a file of weights (.pth, .h5 or .safetensors)"


def _open_keras(path: Path) -> File:
    """Read a Keras file: kernels are (3, 3, C_in, C_out), in groups such as block1_conv1."""
    try:
        import h5py
    except ImportError:
        raise WeightsError(
            "is a Keras file, which only h5py can read: pip install h5py", path=path
        ) from None
    entries: dict[str, Entry] = {}

    def visit(key: str, node: object) -> None:
        layer = re.search(r"block(\d)_conv(\d)", key)
        if layer is None or not isinstance(node, h5py.Dataset):
            return
        values = torch.from_numpy(node[()])
        values = values.permute(3, 2, 0, 1) if values.ndim == 4 else values
        part = "weight" if values.ndim == 4 else "bias"
        entries[f"conv{layer[1]}_{layer[2]}.{part}"] = Entry(
            tuple(values.shape), partial(Tensor.detach, values)
        )

    try:
        with h5py.File(path, "r") as stored:
            stored.visititems(visit)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"is damaged, or not a Keras file ({one_line(error)})", path=path
        ) from error
    return File(entries)


# ---- a network's layers in a file ---------------------------------------------------------


def match_layers(entries: Mapping[str, Entry], network: str, path: Path) -> dict[str, Entry]:
    """Return the file's tensors under the names "conv1_1.weight" and so on.

    Raises: WeightsError: the file does not hold exactly this network; the message lists problems.
    """
    renamed, problems = _compare(entries, network)
    if not problems:
        return renamed
    for other in CONV_LAYERS:
        if not _compare(entries, other)[1]:
            raise WeightsError(
                f"holds the weights of {_TITLES[other]}, not of {_TITLES[network]}",
                path=path,
            )
    raise WeightsError(
        f"does not hold the convolutions of {_TITLES[network]}: {'; '.join(problems)}", path=path
    )


def _compare(
    entries: Mapping[str, Entry], network: str
) -> tuple[dict[str, Entry], tuple[str, ...]]:
    """Rename tensors for a network; list missing and unexpected ones, and wrong shapes."""
    order = layer_names(network)  # torchvision numbers convolutions, ReLUs and poolings together
    numbers = {str(order.index(name)): name for name in conv_names(network)}
    renamed: dict[str, Entry] = {}
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
    return renamed, tuple(f"{problem}: {_some(keys)}" for problem, keys in problems if keys)


def _some(names: list[str], limit: int = 6) -> str:
    """List the first names, and the number of the others."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def decode_layer(entries: Mapping[str, Entry], name: str, path: Path) -> tuple[Tensor, Tensor]:
    """Decode one convolution. The result shares no memory with the file.

    Returns: weight (C_out, C_in, 3, 3) and bias (C_out,), float32.
    Raises:  WeightsError: one of them is not floating point, or not finite.
    """

    def decode(key: str) -> Tensor:
        values = entries[key].read()
        if not values.is_floating_point():
            raise WeightsError(
                f"has {key} in {values.dtype}; it must be in floating point", path=path
            )
        values = values.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        if not all(bound.isfinite() for bound in values.aminmax()):  # both are NaN if any value is
            raise WeightsError(f"has numbers in {key} that are not finite", path=path)
        return values

    return decode(f"{name}.weight"), decode(f"{name}.bias")
