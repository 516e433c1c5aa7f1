"""Folders for caches and data: those of the platform, unless the environment names others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from impasto.machine import cache_folder, data_folder

linux = pytest.mark.skipif(sys.platform != "linux", reason="other platforms have other folders")


def test_the_environment_chooses_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "a"))
    assert cache_folder() == tmp_path / "a"
    monkeypatch.setenv("IMPASTO_CACHE", "~/a")
    assert cache_folder() == Path.home() / "a"


@linux
@pytest.mark.parametrize(
    ("folder", "variable", "usual"),
    [
        (cache_folder, "XDG_CACHE_HOME", (".cache",)),
        (data_folder, "XDG_DATA_HOME", (".local", "share")),
    ],
)
def test_folders_follow_the_xdg_specification(folder, variable, usual, monkeypatch, tmp_path):
    monkeypatch.delenv("IMPASTO_CACHE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "xdg"))
    assert folder() == tmp_path / "xdg" / "impasto"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(variable, "not/absolute")
    assert folder() == tmp_path.joinpath(*usual) / "impasto"
    monkeypatch.delenv(variable)
    assert folder() == tmp_path.joinpath(*usual) / "impasto"
