"""The wheel paints in an environment that has nothing else, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from PIL import Image as PillowImage

ROOT = Path(__file__).parents[2]
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # pip may have a slow network


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, *PIP, "wheel", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    (path,) = folder.glob("impasto-*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The Python of an environment that has only the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    path = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    constraints = ROOT / "constraints.txt"
    subprocess.run([path, *PIP, "install", "-c", constraints, wheel], check=True)
    return path


def without_network(command):
    """Run a command in a new network namespace, from which nothing can be reached."""
    unshare = ["unshare", "--net", "--map-root-user"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare cannot make a network namespace here")
    return subprocess.run([*unshare, *command], capture_output=True, text=True, check=False)


def test_wheel_is_small_and_whole(wheel):
    assert wheel.stat().st_size < 60e6
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("vgg16.safetensors", "vgg19.safetensors", "mean_activations.safetensors"):
        assert f"impasto/assets/{name}" in names
    for name in ("py.typed", "__init__.pyi", "kernels/kernels.c", "studio/web/static/studio.js"):
        assert f"impasto/{name}" in names
    assert not [name for name in names if name.startswith(("tests/", "scripts/"))]
    assert [name for name in names if name.endswith("licenses/NOTICE")]


def test_there_is_no_network_in_the_namespace(python):
    probe = "import urllib.request as u; u.urlopen('http://127.0.0.1:9', timeout=2)"
    run = without_network([python, "-c", probe])
    assert run.returncode == 1
    assert "Network is unreachable" in run.stderr


@pytest.mark.parametrize("network", ["vgg19", "vgg16"])
def test_wheel_paints_without_a_network(network, python, tmp_path):
    target = tmp_path / "pastiche.png"
    size = ["--long-side", "64", "--steps", "4", "--network", network]
    run = without_network([python, "-m", "impasto", "demo", "-o", target, *size])
    assert run.returncode == 0, run.stderr
    with PillowImage.open(target) as picture:
        assert picture.size == (64, 43)


def test_console_script_is_installed(python):
    script = Path(python).with_name("impasto")
    run = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("impasto 0.")
