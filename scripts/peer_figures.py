#!/usr/bin/env python
"""Record the losses that another program, neural-style 0.5.7 from PyPI, computes.

    python scripts/peer_figures.py                                  # with the stored pictures
    python scripts/peer_figures.py --photo P.png --painting Q.jpg   # makes new pictures

The script installs the program into a separate environment and gives it our bundled VGG-19. The
program prints every loss at its start picture. tests/fixtures/neural_style/figures.json stores
these losses, so that the tests can compare our objective with independent numbers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from impasto.network.weights import load_weights

ROOT = Path(__file__).resolve().parents[1]
FIXTURE = ROOT / "tests" / "fixtures" / "neural_style"
EXAMPLES = ROOT / "src" / "impasto" / "assets" / "examples"  # larger pictures

PEER = "neural-style==0.5.7"
TORCH = "torch==2.13.0"
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")  # the peer's own default
CONTENT_LAYER = "relu4_2"  # likewise
CONVS_PER_BLOCK = (2, 2, 4, 4, 4)  # VGG-19
LAST_CONV = "conv5_1"  # the peer runs no deeper than its deepest loss

# The six transforms that the peer calls, as torchvision defines them, for tensors and 8-bit RGB
# pictures only. torchvision itself would install another version of torch.
TORCHVISION_STAND_IN = '''\
"""The six torchvision transforms that neural-style calls, for 8-bit RGB pictures."""
import numpy as np
import torch
from PIL import Image


class Compose:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, img):
        for t in self.transforms:
            img = t(img)
        return img


class Lambda:
    def __init__(self, lambd):
        self.lambd = lambd

    def __call__(self, img):
        return self.lambd(img)


class Resize:
    """size is (height, width); a picture that has it already is returned as it is."""

    def __init__(self, size):
        self.height, self.width = size

    def __call__(self, img):
        if img.size == (self.width, self.height):
            return img
        return img.resize((self.width, self.height), Image.BILINEAR)


class ToTensor:
    def __call__(self, pic):
        pixels = torch.from_numpy(np.array(pic, np.uint8, copy=True))
        return pixels.permute((2, 0, 1)).contiguous().to(torch.get_default_dtype()).div(255)


class Normalize:
    def __init__(self, mean, std):
        self.mean, self.std = mean, std

    def __call__(self, tensor):
        mean = torch.as_tensor(self.mean, dtype=tensor.dtype).view(-1, 1, 1)
        std = torch.as_tensor(self.std, dtype=tensor.dtype).view(-1, 1, 1)
        return tensor.clone().sub_(mean).div_(std)


class ToPILImage:
    def __call__(self, pic):
        return Image.fromarray(pic.mul(255).byte().permute(1, 2, 0).contiguous().numpy())
'''


@dataclass(frozen=True)
class Case:
    """A content, a style and a start picture, as names of fixture files or bundled pictures."""

    name: str
    content: str
    style: str
    init: str
    long_side: int  # the peer resizes a content or style of another size


CASES = (
    Case("half_painted", "content.png", "style.png", "half_painted.png", 96),
    Case("noisy", "content.png", "style.png", "noisy.png", 96),
    Case("odd", "content_odd.png", "style_odd.png", "half_painted_odd.png", 113),
    # The peer reduces both, the painting to a seventh of its size.
    Case("large", "neuschwanstein.jpg", "langlois_bridge_van_gogh.jpg", "half_painted.png", 96),
)
HALF = 15  # evaluations for a half-painted picture
TRACE = 20  # evaluations whose totals are stored

Printed = Mapping[str, float]  # {"Content 1": 12.3, "Style 1": 4.5, …, "Total": 67.8}


class Peer:
    """neural-style in a separate environment and a separate folder."""

    def __init__(self, build: Path) -> None:
        self.work = build / "work"
        self.bin = build / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.work.mkdir(parents=True, exist_ok=True)

    def install(self, more: Sequence[str] = ()) -> None:
        """Create or complete the environment; `more` are packages without dependencies."""
        if not (self.bin.parent / "pyvenv.cfg").exists():
            venv.create(self.bin.parent, symlinks=os.name != "nt", with_pip=True)
        pip = [self.bin / "python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, TORCH, "numpy", "Pillow"], check=True)
        # The peer's torchvision is replaced below.
        subprocess.run([*pip, "--no-deps", PEER, *more], check=True)
        where = "import sysconfig; print(sysconfig.get_path('purelib'))"
        stand_in = Path(self._python(where)) / "torchvision"
        (stand_in / "transforms").mkdir(parents=True, exist_ok=True)
        (stand_in / "__init__.py").write_text("", encoding="utf-8")
        target = stand_in / "transforms" / "__init__.py"
        target.write_text(TORCHVISION_STAND_IN, encoding="utf-8")

    def versions(self) -> dict[str, str]:
        """Return the versions of all packages that influence the figures."""
        code = (
            "import json, platform; from importlib.metadata import version as v; "
            "names = ('neural-style', 'torch', 'numpy', 'Pillow'); "
            "print(json.dumps({'python': platform.python_version(), **{n: v(n) for n in names}}))"
        )
        found: dict[str, str] = json.loads(self._python(code))
        return found

    def _python(self, code: str) -> str:
        run = [self.bin / "python", "-c", code]
        return subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()

    def write_weights(self) -> str:
        """Write our VGG-19 in the peer's format; return the SHA-256 sum of the layers it uses.

        The sum is over conv1_1 … conv5_1, each weight (OIHW, BGR in) and then its bias, as
        little-endian float32.
        """
        layers = load_weights("vgg19").layers
        digest, state, index = hashlib.sha256(), {}, 0
        for block, count in enumerate(CONVS_PER_BLOCK, start=1):
            for number in range(1, count + 1):
                name = f"conv{block}_{number}"
                if name <= LAST_CONV:
                    for kind, values in zip(("weight", "bias"), layers[name], strict=True):
                        tensor = torch.as_tensor(values).detach().to(torch.float32).contiguous()
                        state[f"features.{index}.{kind}"] = tensor.clone()
                        digest.update(tensor.numpy().astype("<f4").tobytes())
                index += 2  # the convolution and its ReLU
            index += 1  # the pooling
        torch.save(state, self.work / "vgg19.pth")
        return digest.hexdigest()

    def run(self, command: Sequence[str]) -> list[Printed]:
        """Run the peer; return its losses at each evaluation, first those of the start picture."""
        # One thread adds the same numbers in the same order in every run. The peer runs in its
        # own folder, because it recognizes a network by words anywhere in the weights' path.
        finished = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.work,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            sys.exit(f"{' '.join(command)}\n{finished.stdout}{finished.stderr}")
        blocks = re.split(r"^Iteration \d+ / \d+$", finished.stdout, flags=re.MULTILINE)[1:]
        loss = re.compile(r"^ +(Content \d+|Style \d+|Total) loss: (\S+)$", re.MULTILINE)
        return [{name: float(value) for name, value in loss.findall(b)} for b in blocks]


def file_of(name: str) -> Path:
    """Return the file of a picture, from the fixture or from the bundled ones."""
    return FIXTURE / name if (FIXTURE / name).exists() else EXAMPLES / name


def command_line(case: Case, evaluations: int, *more: str) -> list[str]:
    """Return a command whose first evaluation is at the start picture of the case."""
    return [
        *("neural-style", "-model_file", "vgg19.pth", "-disable_check", "-gpu", "c"),
        *("-content_image", case.content, "-style_image", case.style),
        *("-image_size", str(case.long_side), "-init", "image", "-init_image", case.init),
        *("-num_iterations", str(evaluations), "-print_iter", "1", "-save_iter", "0"),
        *more,
    ]


def measure(peer: Peer, case: Case) -> dict[str, object]:
    """Return the peer's losses at the start picture, and the commands that print them."""
    command = command_line(case, 1)
    # The peer does not print its total variation, and the difference from the total has few
    # digits. So a second run has only this term, and the result must fit the difference.
    alone = command_line(case, 1, "-content_weight", "0", "-style_weight", "0")
    first, variation = peer.run(command)[0], peer.run(alone)[0]["Total"]
    styles = {layer: first[f"Style {i}"] for i, layer in enumerate(STYLE_LAYERS, start=1)}
    rest = first["Total"] - first["Content 1"] - sum(styles.values())
    assert abs(rest - variation) <= 1e-6 * first["Total"], (rest, variation)
    return {
        "name": case.name,
        "content": case.content,
        "style": case.style,
        "init": case.init,
        "long_side": case.long_side,
        "command": " ".join(command),
        "command_tv": " ".join(alone),
        "losses": {
            "content": {CONTENT_LAYER: first["Content 1"]},
            "style": styles,
            "tv": variation,
            "total": first["Total"],
        },
    }


def make_pictures(peer: Peer, photo: Path, painting: Path) -> None:
    """Make the fixture's pictures: small inputs, a noisy one and two half-painted ones."""
    sizes = {"content.png": (96, 64), "content_odd.png": (113, 75), "style.png": (96, 71)}
    with Image.open(photo) as opened, Image.open(painting) as painted:
        sources = {"content": opened.convert("RGB"), "style": painted.convert("RGB")}
    for name, size in sizes.items():
        source = sources[name.removesuffix(".png").removesuffix("_odd")]
        source.resize(size, Image.Resampling.LANCZOS).save(FIXTURE / name, optimize=True)
    # The middle of the painting, in portrait format; its content is in landscape format.
    width, height = sources["style"].size
    upright = round(height * 90 / 113)
    left = (width - upright) // 2
    middle = sources["style"].crop((left, 0, left + upright, height))
    middle = middle.resize((90, 113), Image.Resampling.LANCZOS)
    middle.save(FIXTURE / "style_odd.png", optimize=True)

    with Image.open(FIXTURE / "content.png") as opened:
        pixels = np.asarray(opened, dtype=np.float64)
    noise = np.random.default_rng(0).normal(scale=64.0, size=pixels.shape)
    noisy = (pixels + noise).round().clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(FIXTURE / "noisy.png", optimize=True)

    for case in CASES:
        if case.init.startswith("half_painted"):
            for name in (case.content, case.style):
                (peer.work / name).write_bytes((FIXTURE / name).read_bytes())
            start = Case(case.name, case.content, case.style, case.content, case.long_side)
            peer.run(command_line(start, HALF, "-output_image", case.init))
            (FIXTURE / case.init).write_bytes((peer.work / case.init).read_bytes())


def main() -> None:
    """Install the peer, run it, write figures.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "peer")
    parser.add_argument("--photo", type=Path, help="make new pictures: the content")
    parser.add_argument("--painting", type=Path, help="make new pictures: the style")
    arguments = parser.parse_args()
    if (arguments.photo is None) != (arguments.painting is None):
        parser.error("--photo needs --painting, and --painting needs --photo")

    FIXTURE.mkdir(parents=True, exist_ok=True)
    peer = Peer(arguments.build.resolve())
    peer.install()
    digest = peer.write_weights()
    if arguments.photo is not None:
        make_pictures(peer, arguments.photo, arguments.painting)
    pictures = sorted({name for case in CASES for name in (case.content, case.style, case.init)})
    for name in pictures:
        (peer.work / name).write_bytes(file_of(name).read_bytes())

    cases = [measure(peer, case) for case in CASES]
    trace = command_line(CASES[0], TRACE)
    totals = [printed["Total"] for printed in peer.run(trace)]
    assert len(totals) == TRACE, len(totals)

    figures = {
        "made_by": "scripts/peer_figures.py",
        "versions": peer.versions(),
        "weights": {
            "network": "vgg19",
            "sha256": digest,
            "of": "conv1_1 … conv5_1, each weight (OIHW, BGR in) then bias, little-endian float32",
        },
        "objective": {
            "pixels": "256 * [0, 1], BGR, minus (103.939, 116.779, 123.68)",
            "network": "zero padding, max pooling",
            "content": "5 * mean((F - F_content)^2) at relu4_2",
            "style": "100 * mean((G - G_style)^2), G = F F^T / (C H W), at each of five layers",
            "tv": "0.001 * (sum |dx| + sum |dy|) of the pixels as above",
        },
        "pictures": {
            name: hashlib.sha256(file_of(name).read_bytes()).hexdigest() for name in pictures
        },
        "cases": cases,
        "trace": {"case": CASES[0].name, "command": " ".join(trace), "totals": totals},
    }
    text = json.dumps(figures, indent=2, ensure_ascii=False)
    (FIXTURE / "figures.json").write_text(text + "\n", encoding="utf-8")
    for case in cases:
        print(case["name"], json.dumps(case["losses"]))


if __name__ == "__main__":
    main()
