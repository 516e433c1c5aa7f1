"""Optical flow of pictures with a known motion, and its mask of reliable pixels."""

from __future__ import annotations

import re
import sys

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import SettingsError, ShapeError, VideoError, install_hint
from impasto.video.motion.flow import (
    FLOWS,
    coverage,
    disagreement,
    optical_flow,
    reliable,
)
from impasto.video.motion.warp import warp


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """Fine and coarse noise, so that there is detail everywhere and at every scale."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.full((1, 3, height, width), 0.5)
    for size in (4, 16):
        cells = torch.rand(1, 3, height // size + 2, width // size + 2, generator=generator)
        smooth = functional.interpolate(cells, (height, width), mode="bicubic", align_corners=False)
        picture = picture + 0.4 * (smooth - 0.5)
    return picture.clamp(0, 1)


def shifted_pair(dx: int, dy: int) -> tuple[Tensor, Tensor]:
    """Two windows of one texture: the pixel p of the first is p + (dx, dy) in the second."""
    wide = texture(128, 160)
    return wide[..., 16:112, 16:144], wide[..., 16 - dy : 112 - dy, 16 - dx : 144 - dx]


def square_pair(step: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """A square that moves right over a still background, and the pixels that it hides."""
    ground, square = texture(96, 128), texture(40, 40, seed=1)
    first, second = ground.clone(), ground.clone()
    first[..., 28:68, 40:80] = square
    second[..., 28:68, 40 + step : 80 + step] = square
    hidden = torch.zeros(1, 1, 96, 128, dtype=torch.bool)
    hidden[..., 28:68, 80 : 80 + step] = True
    return first, second, hidden


def uniform(dx: float, dy: float, height: int = 24, width: int = 32) -> Tensor:
    return (
        torch.tensor([float(dx), float(dy)])
        .view(1, 2, 1, 1)
        .expand(1, 2, height, width)
        .contiguous()
    )


# ---- flow ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "shift", "tolerance"),
    [
        ("dis", (0, 0), 0.05),
        ("dis", (3, -2), 0.1),
        ("dis", (-7, 5), 0.1),
        ("farneback", (0, 0), 0.05),
        ("farneback", (3, -2), 0.3),
    ],
)
def test_whole_shifts(method, shift, tolerance):
    flow = optical_flow(*shifted_pair(*shift), method=method)
    assert flow.shape == (1, 2, 96, 128)
    assert flow.dtype == torch.float32
    inner = (flow - torch.tensor(shift).view(1, 2, 1, 1))[..., 12:-12, 12:-12]
    assert float(inner.norm(dim=1).quantile(0.98)) < tolerance


def test_a_flow_leads_to_where_the_picture_went():
    first, second = shifted_pair(5, 3)
    carried = warp(second, optical_flow(first, second))
    inner = (..., slice(12, -12), slice(12, -12))
    assert (carried - first)[inner].square().mean() < 1e-4
    assert (second - first)[inner].square().mean() > 1e-2


def test_odd_sizes():
    first, second = shifted_pair(2, 1)
    flow = optical_flow(first[..., :95, :127], second[..., :95, :127])
    assert flow.shape == (1, 2, 95, 127)


# ---- where it can be relied upon ----------------------------------------------------------------


def test_ways_that_meet_agree():
    assert not disagreement(uniform(3, -2), uniform(-3, 2)).any()
    assert disagreement(uniform(3, -2), uniform(-3, 0)).all()
    nearly = uniform(-3, 2.6)  # 0.36 apart, below 0.5 + 0.01 · (13 + 15.76)
    assert not disagreement(uniform(3, -2), nearly).any()


def test_coverage_counts_pixels():
    counts = coverage(uniform(2, 0))
    assert torch.equal(counts[..., :2], torch.zeros(1, 1, 24, 2))
    assert torch.equal(counts[..., 2:], torch.ones(1, 1, 24, 30))
    torch.testing.assert_close(coverage(uniform(0.25, 0))[..., 1:], torch.ones(1, 1, 24, 31))
    torch.testing.assert_close(coverage(uniform(0.25, 0))[..., :1], 0.75 * torch.ones(1, 1, 24, 1))


def test_a_moving_square_hides_what_is_before_it():
    first, second, hidden = square_pair()
    there, back = optical_flow(first, second), optical_flow(second, first)
    unsafe = reliable(there, back) == 0
    assert float(unsafe[hidden].float().mean()) > 0.85
    near = functional.max_pool2d(hidden.float(), 5, 1, 2) > 0
    assert float(near[unsafe].float().mean()) > 0.45
    assert float(unsafe[~near].float().mean()) < 0.03


def test_what_leaves_the_picture_is_not_reliable():
    found = reliable(uniform(5, 0), uniform(-5, 0))
    assert not found[..., -5:].any()
    assert found[..., :-6].all()
    assert set(found.unique().tolist()) == {0.0, 1.0}


def test_a_zoom_out_is_reliable():
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing="ij")
    centered = torch.stack([columns - 15.5, rows - 11.5])[None]
    found = reliable(centered * (0.8 - 1), centered * (1 / 0.8 - 1))
    assert float(found.mean()) > 0.9


# ---- bad input ----------------------------------------------------------------------------------


def test_an_unknown_method():
    with pytest.raises(
        SettingsError, match=r"farnebak: no such flow method.*did you mean farneback"
    ):
        optical_flow(*shifted_pair(0, 0), method="farnebak")


@pytest.mark.parametrize("method", sorted(set(FLOWS) - {"raft"}))
def test_weights_where_none_are_of_use(method):
    with pytest.raises(SettingsError, match=f"the flow {method} takes no weights"):
        optical_flow(*shifted_pair(0, 0), method=method, weights="raft.pth")


@pytest.mark.parametrize(
    ("first", "second", "complaint"),
    [
        (
            (1, 3, 32, 32),
            (1, 3, 32, 33),
            r"\(32, 32\) and \(32, 33\) px; the flow needs two pictures of",
        ),
        ((1, 3, 15, 32), (1, 3, 15, 32), r"\(15, 32\) px; the flow needs sides of at least"),
        ((3, 32, 32), (1, 3, 32, 32), r"an image is \(1, 3, H, W\), not \(3, 32, 32\)"),
        ((1, 1, 32, 32), (1, 1, 32, 32), "an image is"),
    ],
)
def test_pictures_that_have_no_flow(first, second, complaint):
    with pytest.raises(ShapeError, match=complaint):
        optical_flow(torch.zeros(first), torch.zeros(second))


@pytest.mark.parametrize("compare", [disagreement, reliable])
def test_flows_of_two_sizes(compare):
    with pytest.raises(ShapeError, match="the flow is"):
        compare(uniform(0, 0), uniform(0, 0, 24, 31))


def test_without_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(VideoError, match="needs OpenCV: " + re.escape(install_hint("video"))):
        optical_flow(*shifted_pair(0, 0))
