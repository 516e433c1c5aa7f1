"""Loading a PNG of one color, with 39 megapixels and 126 kB, took 2.2 GB and 15 s.

Memory is compared with the picture's own size, because a test must not depend on a machine.
"""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest
import torch

from impasto.pictures import picture as pictures
from impasto.pictures.colors import is_gray
from impasto.pictures.files import load_picture, save_image
from impasto.pictures.masks import load_mask
from impasto.pictures.picture import Picture, quantize, resize, resized

HEIGHT, WIDTH = 1500, 2000


def drawn(channels: int = 3, kind: str = "u1") -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [(x * (each + 2) + y * 7) % 251 for each in range(channels)]
    return (np.stack(planes, axis=-1) * (1 if kind == "u1" else 257)).astype(kind)


def file_of(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(values.squeeze()).save(file, "png")
    return file.getvalue()


def peak(work: Callable[[], object]) -> float:
    """The peak number of bytes of NumPy and Python, divided by the number of pixels."""
    work()  # what is loaded once
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / (HEIGHT * WIDTH)
    finally:
        tracemalloc.stop()


def test_a_picture_keeps_the_bytes_of_its_file() -> None:
    picture = load_picture(io.BytesIO(file_of(drawn())))
    assert picture.pixels.dtype == torch.uint8
    assert picture.image.dtype == torch.float32
    assert torch.equal(picture.image[0].permute(1, 2, 0) * 255, torch.from_numpy(drawn()).float())
    gray = load_picture(io.BytesIO(file_of(drawn(1))))
    assert gray.pixels.untyped_storage().nbytes() == HEIGHT * WIDTH
    assert gray.image.is_contiguous()
    deep = load_picture(drawn(3, "u2"))
    assert deep.pixels.dtype == torch.uint16
    assert torch.equal(deep.image, picture.image)


def test_reading_holds_few_bytes_a_pixel() -> None:
    data = file_of(drawn())
    assert peak(lambda: load_picture(io.BytesIO(data))) < 9  # 12 for floats alone
    assert peak(lambda: load_picture(io.BytesIO(data), long_side=64)) < 12


def test_another_size_is_made_without_all_floats() -> None:
    picture, gray = load_picture(drawn()), load_picture(drawn(1))
    assert peak(lambda: resized(picture, (48, 64))) < 4
    assert peak(lambda: save_image(picture.pixels, io.BytesIO())) < 16
    assert peak(lambda: load_mask(gray, picture, "mask")) < 10


@pytest.mark.parametrize("box", [None, (3.5, 1.25, 180.0, 150.5)])
@pytest.mark.parametrize("size", [(31, 20), (300, 411), (160, 20), (31, 200), (160, 200)])
@pytest.mark.parametrize("strip", [1, 999, 1_000_000])
def test_strips_are_resampled_like_the_whole(
    monkeypatch: pytest.MonkeyPatch, strip: int, size: tuple, box: tuple | None
) -> None:
    monkeypatch.setattr(pictures, "_STRIP", strip)
    values = drawn()[:160, :200]
    floats = values.astype(np.float32) / np.float32(255)
    for given in (values, floats):
        tensor = torch.from_numpy(given.transpose(2, 0, 1).copy())[None]
        result = pictures._resampled(tensor, size, "lanczos", box)
        for at in range(3):
            plane = PIL.Image.fromarray(np.ascontiguousarray(floats[..., at]))
            whole = plane.resize(size[::-1], PIL.Image.Resampling.LANCZOS, box)
            assert np.array_equal(result[0, at].numpy(), np.asarray(whole))


def test_whole_numbers_are_resized_and_written_like_floats(monkeypatch) -> None:
    monkeypatch.setattr(pictures, "_STRIP", 3000)
    for kind in ("u1", "u2"):
        picture = load_picture(drawn(4, kind)[:90, :120])
        floats = Picture(picture.image, picture.alpha)
        small, expected = (resized(each, (33, 44)) for each in (picture, floats))
        assert torch.equal(small.image, expected.image)
        assert torch.equal(small.alpha, expected.alpha)
        assert torch.equal(resize(picture.pixels, (33, 44)), resize(floats.image, (33, 44)))
        for bits in (8, 16):
            assert np.array_equal(
                quantize(picture.pixels, picture.alpha, bits),
                quantize(floats.image, floats.alpha, bits),
            )
        assert is_gray(picture) == is_gray(floats) is False


def test_gray_in_strips_is_gray_only_if_all_strips_are(monkeypatch) -> None:
    monkeypatch.setattr(pictures, "_STRIP", 500)
    values = np.repeat(drawn(1)[:90, :100], 3, axis=2)
    assert is_gray(load_picture(values))
    values[80, 50, 1] ^= 64
    assert not is_gray(load_picture(values))
    alpha = np.full((90, 100, 1), 255, np.uint8)
    alpha[80, 50] = 0
    assert is_gray(load_picture(np.concatenate([values, alpha], axis=2)))
