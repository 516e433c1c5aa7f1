"""Pictures as numbers: arrays, tensors and Pictures, transparency and size.

array or tensor → Picture → Image tensor → Pillow image or array of whole numbers

Sizes are (H, W), as everywhere. `impasto.pictures.files` reads and writes files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import ImageError, SettingsError, ShapeError
from impasto.settings.pictures import ResamplingName

__all__ = [
    "Image",
    "Picture",
    "check_image",
    "check_pixel_count",
    "continued",
    "cover",
    "cropped",
    "fit",
    "fit_within",
    "from_array",
    "identity",
    "naming",
    "no_visible_pixel",
    "on_paper",
    "on_white",
    "picture_of",
    "quantize",
    "resize",
    "resized",
    "same_shape",
    "strips",
    "to_pillow",
    "unit",
    "with_long_side",
    "without_hidden_colors",
]

Image = Tensor  # (1, 3, H, W) float32, sRGB in [0, 1]

_STRIP = 1_000_000  # px in a strip
_ROUNDING = 1e-6  # how far rounding may take floats out of [0, 1]
# The left, upper, right and lower edge of a part, in px; None: the whole.
_Edges = tuple[float, float, float, float] | None
# Below this alpha, a resampled color is a quotient of two numbers near 0, which is not exact.
_FAINT = 0.1


class _Colors:
    """The field `Picture.image`: it keeps whole numbers, and returns them as floats."""

    def __get__(self, picture: Picture | None, kind: type[Picture]) -> Image:
        if picture is None:
            raise AttributeError  # the field has no default
        return unit(picture.pixels)

    def __set__(self, picture: Picture, pixels: Tensor) -> None:
        picture.__dict__["pixels"] = pixels


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """An image, its transparency, and facts about its file.

    A picture of 8 bits takes 3 bytes a pixel. Its attribute `image` takes 12 bytes a pixel, and is
    computed at each access. So functions that only resize a picture use `pixels`.

    Attributes:
        image: (1, 3, H, W) float32, sRGB in [0, 1], not premultiplied. It may be given as uint8 or
            uint16.
        pixels: the same image as it is kept: float32, or uint8 or uint16, whose largest number
            stands for 1.
        alpha: the transparency, (1, 1, H, W) float32 in [0, 1]: 0 is transparent, 1 is opaque.
            None: every pixel is opaque.
        name: the name of the file, without folders; None: the picture has no name.
        sha256: the SHA-256 of the file's bytes, in hex; None: the picture was not read from bytes.
        dpi: the dots per inch that the file states; None: it states none.
    """

    image: _Colors = _Colors()
    alpha: Tensor | None = None
    name: str | None = None
    sha256: str | None = None
    dpi: float | None = None

    @property
    def pixels(self) -> Tensor:
        """The colors as they are kept."""
        pixels: Tensor = self.__dict__["pixels"]
        return pixels

    @property
    def size(self) -> tuple[int, int]:
        """The size (H, W), in px."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    @property
    def is_one_plane(self) -> bool:
        """Whether it is gray and kept as one plane."""
        return self.pixels.stride(1) == 0

    def __repr__(self) -> str:
        height, width = self.size
        return f"<Picture {self.name or 'without a name'}, {width} x {height} px>"


def identity(picture: Picture) -> dict[str, str | None]:
    """Return the name (without folders) and the SHA-256 of a picture's file, for metadata."""
    return {"name": picture.name, "sha256": picture.sha256}


# ---- numbers → Picture --------------------------------------------------------------------------


def from_array(array: npt.NDArray[Any] | Tensor, max_pixels: int) -> Picture:
    """Read an (H, W[, C]) array or a ([1,] C, H, W) tensor of sRGB as a Picture.

    Args: array: values and channels as `impasto.pictures.files.load_picture` allows them.

    Raises:
        ShapeError: it has another shape.
        ImageError: it has more than max_pixels, another type, or values that are not in [0, 1].
    """
    if isinstance(array, Tensor):
        label, allowed = "the tensor", "(1, C, H, W) or (C, H, W)"
        plain = array[0] if array.ndim == 4 and array.shape[0] == 1 else array
        values = _channels_last(plain) if plain.ndim == 3 else None
    else:
        label, allowed = "the array", "(H, W) or (H, W, C)"
        values = array[..., None] if array.ndim == 2 else array
    if values is None or values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        raise ShapeError(
            f"{label} has the shape {tuple(array.shape)}; a picture is {allowed} with C = 1, 3 "
            "or 4 and at least one pixel"
        )
    with naming(label):
        check_pixel_count(values.shape[:2], max_pixels)
        return picture_of(values)


def check_pixel_count(size: tuple[int, int], max_pixels: int) -> None:
    """Raise an ImageError for a picture of more pixels than allowed."""
    if size[0] * size[1] > max_pixels:
        raise ImageError(
            f"has {size[0]} × {size[1]} = {size[0] * size[1]:,} pixels; "
            f"at most {max_pixels:,} are allowed"
        )


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Add a picture's name to every ImageError that has no name yet."""
    try:
        yield
    except ImageError as error:
        if error.path is None:
            error.path = name
        raise


def _channels_last(planes: Tensor) -> npt.NDArray[Any]:
    planes = planes.detach().cpu()
    if planes.is_floating_point():  # NumPy has no bfloat16
        planes = planes.float()
    array: npt.NDArray[Any] = planes.permute(1, 2, 0).numpy()
    return array


def picture_of(
    values: npt.NDArray[Any],
    name: str | None = None,
    sha256: str | None = None,
    dpi: float | None = None,
) -> Picture:
    """Make a Picture of (H, W, 1, 3 or 4) values of any allowed type. It copies the values."""
    planes = values.transpose(2, 0, 1)[None]  # (1, C, H, W)
    colors, alpha = planes[:, :3], None
    if values.dtype.name in ("uint8", "uint16"):
        pixels = torch.from_numpy(np.array(colors, values.dtype.name, order="C"))
    else:
        pixels = torch.from_numpy(_to_unit(colors))
    if planes.shape[1] == 4:
        alpha = torch.from_numpy(_to_unit(planes[:, 3:]))
    pixels = pixels.expand(-1, 3, -1, -1)  # gray is kept as one plane
    if pixels.is_floating_point():
        pixels = pixels.contiguous()
    return without_hidden_colors(Picture(pixels, alpha, name, sha256, dpi))


def unit(pixels: Tensor) -> Image:
    """Return colors as float32 in [0, 1]; return floats unchanged."""
    if pixels.is_floating_point():
        return pixels
    return torch.from_numpy(_to_unit(pixels.numpy()))


def strips(picture: Picture) -> Iterator[Image]:
    """Yield strips of rows, (1, 3, h, W) float32, so that only one of them is held as floats."""
    rows = max(1, _STRIP // picture.size[1])
    for start in range(0, picture.size[0], rows):
        yield unit(picture.pixels[..., start : start + rows, :])


def _to_unit(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return a float32 copy in [0, 1]. Whole numbers are scaled; floats must be in [0, 1]."""
    full = {"bool": 1, "uint8": 255, "uint16": 65535}.get(values.dtype.name)
    if full is not None:
        scaled = np.array(values, np.float32, order="C")
        scaled /= np.float32(full)
        return scaled
    if values.dtype.kind != "f":
        raise ImageError(
            f"holds {values.dtype.name}; the allowed types are uint8, uint16, bool, and floats in "
            "[0, 1]"
        )
    if not np.isfinite(values).all():
        raise ImageError("holds values that are not finite (NaN or infinity)")
    low, high = float(values.min()), float(values.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ImageError(f"holds values from {low:g} to {high:g}; floats must be in [0, 1]")
    return np.array(values, np.float32, order="C").clip(0, 1)


# ---- transparency and size ----------------------------------------------------------------------


def without_hidden_colors(picture: Picture) -> Picture:
    """Give the pixels whose alpha is 0 a smooth continuation of the visible colors.

    Returns: the picture; without alpha if all of it is opaque.
    """
    if picture.alpha is None:
        return picture
    if bool((picture.alpha == 1).all()):
        return replace(picture, image=picture.pixels, alpha=None)
    hidden = picture.alpha == 0
    if not bool(hidden.any()):
        return picture
    image = picture.image.clone() if picture.pixels.is_floating_point() else picture.image
    for at in range(3):  # one plane at a time, which takes less memory
        plane = image[:, at : at + 1]
        plane.copy_(torch.where(hidden, continued(plane, picture.alpha), plane))
    return picture if torch.equal(image, picture.image) else replace(picture, image=image)


def continued(image: Image, alpha: Tensor) -> Image:
    """Put a picture on a smooth continuation of its visible colors; mid-gray if it has none.

    Args: image, alpha: (1, 3, H, W) and (1, 1, H, W), both in [0, 1].
    """
    if not bool(alpha.any()):
        return torch.full_like(image, 0.5)
    return _push_pull(image * alpha, alpha).clamp(0, 1)


def _push_pull(premultiplied: Tensor, weight: Tensor) -> Tensor:
    """Return colors everywhere from colors that are known only where their weight is above 0.

    The picture is halved until no pixel is unknown. Then it is doubled repeatedly, and each time
    the known colors of that size are laid over the enlarged ones.

    Paper: Gortler, Grzeszczuk, Szeliski & Cohen, The Lumigraph, SIGGRAPH 1996, section 3.4.
    """
    if bool((weight > 0).all()):
        return premultiplied / weight
    coarse = [functional.avg_pool2d(plane, 2, ceil_mode=True) for plane in (premultiplied, weight)]
    below = functional.interpolate(
        _push_pull(*coarse), size=weight.shape[-2:], mode="bilinear", align_corners=False
    )
    return premultiplied + (1 - weight) * below


def no_visible_pixel(picture: Picture) -> ImageError:
    """Return the error about a picture that has no visible pixel."""
    return ImageError(
        "is transparent everywhere; it needs visible pixels",
        path=picture.name or "the picture",
    )


def on_white(image: Image, alpha: Tensor) -> Image:
    """Put a picture on a white background, for formats without alpha; clamp it to [0, 1].

    Raises: ShapeError: image is not (1, 3, H, W), or alpha not (1, 1, H, W).
    """
    check_image(image, alpha)
    opacity = alpha.to(image).clamp(0, 1)
    return image.clamp(0, 1) * opacity + (1 - opacity)


def on_paper(picture: Picture) -> Image:
    """Return a picture as it looks on white paper, (1, 3, H, W); an opaque one unchanged."""
    return picture.image if picture.alpha is None else on_white(picture.image, picture.alpha)


def resize(image: Tensor, size: tuple[int, int], resampling: ResamplingName = "lanczos") -> Tensor:
    """Resize every plane, antialiased, and clamp it to [0, 1].

    The filter is Pillow's, applied to float32, so nothing is rounded to 8 bits. The result has no
    gradient.

    Args:
        image: (B, C, H, W), float, in [0, 1]; or uint8 or uint16.
        size: (H, W) in px.
        resampling: the filter: "lanczos" (3 lobes), "bicubic", "bilinear" or "box". When a picture
            is reduced, the filter is wider by the ratio of the sizes.

    Returns: (B, C, *size). For floats, it has image's type and device, and is image itself if image
             has that size already. For whole numbers, it is float32 on the CPU.
    Raises:  ShapeError: image is not 4-D, or size is not at least 1 × 1.
    """
    if image.ndim != 4 or 0 in image.shape:
        raise ShapeError(f"resize takes (B, C, H, W), not {tuple(image.shape)}")
    height, width = size
    if min(height, width) < 1:
        raise ShapeError(f"resize to {height} × {width}: each side must be at least 1")
    if tuple(image.shape[-2:]) == (height, width):
        return unit(image)
    resampled = _resampled(image, size, resampling).clamp_(0, 1)
    return resampled.to(image) if image.is_floating_point() else resampled


def _resampled(
    image: Tensor, size: tuple[int, int], resampling: ResamplingName, box: _Edges = None
) -> Tensor:
    """Resample a part as `resize` does, without clamping; return float32 on the CPU."""
    height, width = size
    planes = image.detach().cpu().flatten(0, 1)  # (B·C, H, W)
    targets = [_resampled_plane(plane, (height, width), resampling, box) for plane in planes]
    return torch.stack(targets).reshape(*image.shape[:2], height, width)


def _resampled_plane(
    plane: Tensor, size: tuple[int, int], resampling: ResamplingName, box: _Edges
) -> Tensor:
    """Resample (H, W) to (h, w).

    Pillow filters rows, then columns. So rows can be filtered in strips, and only a strip of a
    large picture is held as floats. The result is the same bit for bit.
    """
    (height, width), (rows, columns) = plane.shape, size
    kernel = PIL.Image.Resampling[resampling.upper()]
    left, top, right, bottom = box or (0, 0, width, height)
    narrow = np.empty((height, columns), np.float32)
    step = max(1, _STRIP // width)
    for start in range(0, height, step):
        strip = np.ascontiguousarray(unit(plane[start : start + step]).float().numpy())
        part = PIL.Image.fromarray(strip)
        narrow[start : start + step] = np.asarray(
            part.resize((columns, len(strip)), kernel, (left, 0, right, len(strip)))
        )
    whole = PIL.Image.fromarray(narrow).resize((columns, rows), kernel, (0, top, columns, bottom))
    return torch.from_numpy(np.array(whole))


def resized(
    picture: Picture, size: tuple[int, int], resampling: ResamplingName = "lanczos"
) -> Picture:
    """Resize a picture as `resize` does, to (H, W), with its transparency.

    Each color counts in proportion to its alpha, because premultiplied colors are resampled.

    Raises: ShapeError: size is not at least 1 × 1.
    """
    if size == picture.size:
        return picture
    if picture.alpha is None:
        return replace(picture, image=resize(picture.pixels, size, resampling))
    return _resampled_picture(picture, size, resampling)


def _resampled_picture(
    picture: Picture, size: tuple[int, int], resampling: ResamplingName, box: _Edges = None
) -> Picture:
    image, pixels = _resampled(picture.pixels, size, resampling, box), picture.pixels
    if picture.alpha is None:
        return replace(picture, image=image.clamp_(0, 1))
    alpha = _resampled(picture.alpha, size, resampling, box)
    products = (unit(pixels[:, at : at + 1]) * picture.alpha for at in range(3))
    visible = torch.cat([_resampled(each, size, resampling, box) for each in products], dim=1)
    visible /= alpha.clamp(min=_FAINT)
    image = torch.where(alpha >= _FAINT, visible, image).clamp_(0, 1)
    return replace(picture, image=image, alpha=alpha.clamp_(0, 1))


def same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether two sizes (H, W) have the same proportions, up to one px of the first."""
    expected = fit(other, max(size))
    return all(abs(a - b) <= 1 for a, b in zip(size, expected, strict=True))


def cover(
    picture: Picture, size: tuple[int, int], resampling: ResamplingName = "lanczos"
) -> tuple[Picture, tuple[int, int]]:
    """Resize a picture without distortion until it covers a size, (H, W); crop it to its center.

    Args:    resampling: the filter, as for `resize`.
    Returns: the picture of this size; and the size (h, w) of the part that it shows, in px of the
             given picture.
    """
    height, width = picture.size
    if same_shape(picture.size, size) or same_shape(size, picture.size):
        return resized(picture, size, resampling), picture.size
    factor = max(size[0] / height, size[1] / width)
    tall, wide = min(size[0] / factor, height), min(size[1] / factor, width)
    top, left = (height - tall) / 2, (width - wide) / 2
    shown = _resampled_picture(picture, size, resampling, (left, top, left + wide, top + tall))
    return shown, (max(1, round(tall)), max(1, round(wide)))


def cropped(picture: Picture, box: tuple[int, int, int, int]) -> Picture:
    """Cut a picture to a box: its rows top ≤ row < bottom and its columns left ≤ column < right.

    Args: box: (top, bottom, left, right).
    """
    top, bottom, left, right = box

    def part(planes: Tensor) -> Tensor:
        return planes[..., top:bottom, left:right].contiguous()

    alpha = None if picture.alpha is None else part(picture.alpha)
    return replace(picture, image=part(picture.image), alpha=alpha)


def fit(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Return the (H, W) with the proportions of `size` whose longer side is `long_side`.

    The shorter side is rounded to the nearest px (a half is rounded up), and is at least 1.

    Raises: SettingsError: long_side is below 1.
    """
    if long_side < 1:
        raise SettingsError(f"long_side is {long_side}; it must be at least 1 px")
    longest = max(size)
    height, width = (max(1, (2 * side * long_side + longest) // (2 * longest)) for side in size)
    return height, width


def fit_within(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Return `fit` of a larger size, and a size that is not larger as it is.

    Raises: SettingsError: long_side is below 1.
    """
    return fit(size, min(long_side, max(size)))


def with_long_side(picture: Picture, long_side: int | None) -> Picture:
    """Resize a picture so that its longer side has long_side px; None keeps the size.

    Raises: SettingsError: long_side is below 1.
    """
    if long_side is None:
        return picture
    return resized(picture, fit(picture.size, long_side))


# ---- Picture → numbers --------------------------------------------------------------------------


def to_pillow(image: Image, alpha: Tensor | None = None) -> PIL.Image.Image:
    """Return an 8-bit Pillow image, RGB, or RGBA if there is alpha; values clamped and rounded.

    Raises:
        ShapeError: image is not (1, 3, H, W), or alpha not (1, 1, H, W).
        ImageError: a value is not finite.
    """
    return PIL.Image.fromarray(quantize(image, alpha, 8))


def quantize(image: Image, alpha: Tensor | None, bits: int) -> npt.NDArray[Any]:
    """Round to the nearest of 2^bits steps: (H, W, 3), or (H, W, 4) with alpha.

    Args: image: floats in [0, 1], or uint8 or uint16, whose largest number stands for 1.

    Raises:
        ShapeError: image is not (1, 3, H, W), or alpha not (1, 1, H, W).
        ImageError: a value is not finite.
    """
    check_image(image, alpha)
    kind = np.uint8 if bits == 8 else np.uint16
    result = np.empty((*image.shape[2:], 3 if alpha is None else 4), kind)
    rows = max(1, _STRIP // image.shape[3])  # so that only a strip is held as floats
    for start in range(0, len(result), rows):
        part = slice(start, start + rows)
        result[part, :, :3] = _steps(image[..., part, :], bits)
        if alpha is not None:
            result[part, :, 3:] = _steps(alpha[..., part, :], bits)
    return result


def _steps(image: Tensor, bits: int) -> npt.NDArray[np.float32]:
    """Return (1, C, H, W) as whole numbers of steps, (H, W, C)."""
    planes = unit(image.detach().cpu()).float()
    if not bool(torch.isfinite(planes).all()):
        raise ImageError("the image holds values that are not finite (NaN or infinity)")
    steps = (planes[0].permute(1, 2, 0).clamp(0, 1) * (2**bits - 1) + 0.5).floor()
    whole: npt.NDArray[np.float32] = steps.numpy()
    return whole


def check_image(image: Image, alpha: Tensor | None = None) -> None:
    """Raise a ShapeError unless image is (1, 3, H, W) and alpha (1, 1, H, W) or None."""
    if image.ndim != 4 or image.shape[:2] != (1, 3) or 0 in image.shape:
        raise ShapeError(f"an image is (1, 3, H, W), not {tuple(image.shape)}")
    if alpha is not None and alpha.shape != (1, 1, *image.shape[2:]):
        raise ShapeError(
            f"alpha is {tuple(alpha.shape)}; for this image it is {(1, 1, *image.shape[2:])}"
        )
