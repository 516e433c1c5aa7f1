"""Warping: exact whole shifts, interpolated fractions of a pixel, repeated edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from impasto.errors import SettingsError, ShapeError
from impasto.video.motion.warp import points_outside, warp


def picture(height: int = 9, width: int = 11, *, channels: int = 3) -> Tensor:
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(1))


def uniform(dx: float, dy: float, height: int = 9, width: int = 11) -> Tensor:
    return (
        torch.tensor([float(dx), float(dy)])
        .view(1, 2, 1, 1)
        .expand(1, 2, height, width)
        .contiguous()
    )


def reference(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Bilinear in float64, the coordinates clamped to the picture: (C, H, W)."""
    channels, height, width = image.shape
    result = np.empty((channels, height, width))
    for row in range(height):
        for column in range(width):
            x = min(max(column + flow[0, row, column], 0), width - 1)
            y = min(max(row + flow[1, row, column], 0), height - 1)
            left, top = min(int(x), width - 2), min(int(y), height - 2)
            a, b = x - left, y - top
            result[:, row, column] = (1 - b) * (
                (1 - a) * image[:, top, left] + a * image[:, top, left + 1]
            ) + b * ((1 - a) * image[:, top + 1, left] + a * image[:, top + 1, left + 1])
    return result


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_no_flow_changes_nothing(interpolation):
    image = picture()
    done = warp(image, uniform(0, 0), interpolation=interpolation)
    torch.testing.assert_close(done, image, rtol=0, atol=1e-5)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_whole_shifts(interpolation):
    image = picture()
    done = warp(image, uniform(3, -2), interpolation=interpolation)
    torch.testing.assert_close(done[..., 2:, :-3], image[..., :-2, 3:], rtol=0, atol=1e-5)


def test_the_border_is_continued():
    image = picture()
    done = warp(image, uniform(100, -100))
    torch.testing.assert_close(done, image[..., :1, -1:].expand_as(image), rtol=0, atol=1e-6)


def test_parts_of_a_pixel_are_as_a_plain_loop_has_them():
    generator = torch.Generator().manual_seed(2)
    image, flow = picture(), 6 * torch.rand(1, 2, 9, 11, generator=generator) - 3
    expected = torch.from_numpy(reference(image[0].numpy(), flow[0].numpy()))[None]
    torch.testing.assert_close(warp(image, flow).double(), expected, rtol=0, atol=1e-5)


def test_bicubic_keeps_what_bilinear_blurs():
    columns = torch.arange(32.0)  # waves of 5 px: strokes
    image = (0.5 + 0.5 * torch.sin(1.26 * columns)).expand(1, 3, 32, 32).contiguous()
    soft, sharp = image, image
    for time in range(8):
        there = uniform(0.5 if time % 2 else -0.5, 0, 32, 32)
        soft = warp(soft, there)
        sharp = warp(sharp, there, interpolation="bicubic")
    inner = (..., slice(8, -8), slice(8, -8))
    assert (sharp - image)[inner].square().mean() < 0.5 * (soft - image)[inner].square().mean()


def test_a_batch_is_its_pictures():
    images, flows = torch.cat([picture(), 1 - picture()]), torch.cat([uniform(1, 0), uniform(0, 2)])
    done = warp(images, flows)
    for index in range(2):
        alone = warp(images[index : index + 1], flows[index : index + 1])
        torch.testing.assert_close(done[index : index + 1], alone)
    torch.testing.assert_close(warp(images, flows[:1])[1:], warp(images[1:], flows[:1]))


def test_a_single_row_and_a_single_pixel():
    row = picture(1, 5)
    torch.testing.assert_close(warp(row, uniform(1, 0, 1, 5))[..., :4], row[..., 1:])
    dot = picture(1, 1)
    torch.testing.assert_close(warp(dot, uniform(4, 4, 1, 1)), dot)


def test_gradients():
    image = picture(4, 5, channels=1).double().requires_grad_()
    flow = (0.3 + 0.4 * torch.rand(1, 2, 4, 5, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(warp, (image, flow))


def test_what_leaves_the_picture():
    outside = points_outside(uniform(2, -1))[0, 0]
    expected = torch.zeros(9, 11, dtype=torch.bool)
    expected[:1], expected[:, -2:] = True, True
    assert torch.equal(outside, expected)
    assert not points_outside(uniform(0, 0)).any()


@pytest.mark.parametrize(
    ("image", "flow", "complaint"),
    [
        (
            picture(),
            uniform(0, 0, 9, 10),
            r"the flow is float32 \(1, 2, 9, 10\); .* \(1, 2, 9, 11\)",
        ),
        (picture(), uniform(0, 0)[0], "the flow is"),
        (picture(), uniform(0, 0).long(), "the flow is int64"),
        (picture(), torch.cat([uniform(0, 0)] * 2), "the flow is"),
        (picture()[0], uniform(0, 0), r"warp takes an image \(B, C, H, W\), not \(3, 9, 11\)"),
    ],
)
def test_shapes_that_do_not_fit(image, flow, complaint):
    with pytest.raises(ShapeError, match=complaint):
        warp(image, flow)


def test_an_unknown_interpolation():
    with pytest.raises(
        SettingsError, match=r"bicubik: no such interpolation.*did you mean bicubic"
    ):
        warp(picture(), uniform(0, 0), interpolation="bicubik")
