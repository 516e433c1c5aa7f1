"""Masks: what a mask file may be, and how masks are resized and softened."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers import assert_close, left_half, saved
from impasto.errors import ImageError
from impasto.pictures.masks import feathered, fitted, load_mask
from impasto.pictures.picture import Picture

HALF = (left_half()[0, 0].numpy() * 255).astype(np.uint8)

# ---- resizing and softening ---------------------------------------------------------------------


def test_masks_are_scaled_without_ringing():
    mask = left_half(33, 41)
    small, large = fitted(mask, (8, 10)), fitted(mask, (99, 123))
    for each in (small, large):
        assert float(each.min()) == 0
        assert float(each.max()) == 1
    assert torch.equal(large[..., : 3 * 19], torch.ones(1, 1, 99, 57))
    assert not large[..., 3 * 22 :].any()
    assert float(small.mean()) == pytest.approx(float(mask.mean()), abs=0.02)


def test_feathering_softens_the_edge_over_that_many_pixels_and_no_more():
    soft = feathered(left_half(), 4)
    row = soft[0, 0, 16]
    assert (row[:16] == 1).all()
    assert (row[24:] == 0).all()
    assert (row[16:23].diff() < 0).all()
    assert torch.equal(feathered(left_half(), 0), left_half())


def test_feathering_is_two_means_over_squares_as_numpy_has_them():
    mask = (torch.rand(1, 1, 20, 30, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    expected = mask[0, 0].double().numpy()
    for _ in range(2):
        padded = np.pad(expected, 3, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7))
        expected = windows.mean((2, 3))
    assert_close(feathered(mask, 6)[0, 0], expected, relative=1e-6)
    everywhere = feathered(mask, 1000)  # as quick as any other
    assert 0 < float(everywhere.min()) < float(everywhere.max()) < 1


# ---- reading ------------------------------------------------------------------------------------


KINDS = {
    "gray": HALF,
    "two levels": HALF > 0,
    "RGB": np.stack([HALF] * 3, -1),
    "16 bit": HALF.astype(np.uint16) * 257,
    "white with alpha": np.stack([np.full_like(HALF, 255)] * 3 + [HALF], -1),
    "a colored cut-out": np.stack([np.full_like(HALF, c) for c in (200, 90, 10)] + [HALF], -1),
    "twice the size": HALF.repeat(2, 0).repeat(2, 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_masks_that_are_read(kind, photo, tmp_path):
    mask, _ = load_mask(saved(KINDS[kind], tmp_path / "mask.png"), Picture(photo), "mask")
    assert torch.equal(fitted(mask, (32, 40)), left_half())


def test_a_jpeg_mask_and_one_of_half_the_size(photo, tmp_path):
    jpeg, _ = load_mask(saved(HALF, tmp_path / "mask.jpg"), Picture(photo), "mask")
    assert torch.equal(jpeg.round(), left_half())
    assert (jpeg[..., :8] == 1).all()
    assert (jpeg[..., 32:] == 0).all()
    small, _ = load_mask(saved(HALF[::2, ::2], tmp_path / "small.png"), Picture(photo), "mask")
    assert torch.equal(small, left_half(16, 20))


def test_a_mask_of_one_pixel(tmp_path):
    square = Picture(torch.rand(1, 3, 32, 32))
    white = saved(np.full((1, 1), 255, np.uint8), tmp_path / "white.png")
    mask, _ = load_mask(white, square, "mask")
    assert torch.equal(fitted(mask, (32, 32)), torch.ones(1, 1, 32, 32))
    with pytest.raises(ImageError, match=r"black.png is black everywhere"):
        load_mask(saved(np.zeros((1, 1), np.uint8), tmp_path / "black.png"), square, "mask")


BAD_MASKS = {
    "black": (HALF * 0, r"mask.png is black everywhere: it selects nothing"),
    "colored": (
        np.stack([HALF, HALF * 0, HALF], -1),
        r"mask.png is in color.*white selects.*regions",
    ),
    "another shape": (
        HALF[:, :30],
        r"mask.png is 30 x 32 px, which are not the proportions of .* 40 x 32",
    ),
}


@pytest.mark.parametrize("kind", BAD_MASKS)
def test_masks_that_are_refused(kind, photo, tmp_path):
    array, message = BAD_MASKS[kind]
    with pytest.raises(ImageError, match=message):
        load_mask(saved(array, tmp_path / "mask.png"), Picture(photo), "mask")


def test_an_empty_file_and_a_mask_that_is_white_inverted(photo, tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageError, match=r"empty.png is empty"):
        load_mask(str(tmp_path / "empty.png"), Picture(photo), "mask")
    white = saved(HALF * 0 + 255, tmp_path / "white.png")
    with pytest.raises(ImageError, match=r"white.png is white everywhere, and inverted to black"):
        load_mask("not:" + white, Picture(photo), "mask")
