"""Color transfer: keep the photo's colors in a painting, or give a photo a painting's colors.

There are two ways to keep the photo's colors (Gatys et al. 2016). The first is to paint only the
luminance, and to keep the photo's color differences (`luminance`, `match_luminance`, and the canvas
in `impasto.painting`). The second is to give the style the photo's colors before the style is
measured (`recolor`). `recolor` can also give a photo the colors of a painting.

Means and covariances are computed in float64. A picture of one color, or of grays only, does not
vary in some directions of color space. Such directions stay unchanged, to avoid a division by 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import SettingsError, nearest_match
from impasto.pictures.picture import Picture, check_image, no_visible_pixel, strips

__all__ = [
    "LINEAR_MAPS",
    "check_recoloring",
    "content_in_color",
    "gray_image",
    "is_gray",
    "luminance",
    "match_colors",
    "match_histogram",
    "match_linear",
    "match_luminance",
    "recolor",
    "style_in_color",
]

# Y of YIQ, from gamma-encoded red, green and blue (NTSC 1953, ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)
# The variance of rounding to 8 bits, (1/255)² / 12: a smaller variance does not count.
_NO_SPREAD = (1 / 255) ** 2 / 12
# How far the channels of a gray differ at most: rounding of profiles, and of a clip's color planes.
_GRAY = 2 / 255
# Steps per unit for sorting pixels by whole numbers.
_STEPS = 2**24

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Colors:
    """The colors of a picture, and how much each of them counts.

    Attributes:
        image: (1, 3, H, W), float64 on the CPU.
        weights: (H·W,), float64, at least one above 0; None: all are equal.
    """

    image: Tensor
    weights: Tensor | None = None

    @classmethod
    def of(cls, picture: Tensor | Picture) -> _Colors:
        """Read the colors; a pixel counts in proportion to its alpha."""
        image, alpha = _planes(picture)
        check_image(image, alpha)
        weights = None if alpha is None else alpha.detach().cpu().double().flatten()
        if weights is not None and not bool(weights.any()):
            weights = None
        return cls(image.detach().cpu().double(), weights)


def _planes(picture: Tensor | Picture) -> tuple[Tensor, Tensor | None]:
    """Return the image of a picture, and its alpha."""
    return (picture.image, picture.alpha) if isinstance(picture, Picture) else (picture, None)


# ---- matching all colors ------------------------------------------------------------------------


def recolor(
    image: Tensor | Picture,
    palette: Tensor | Picture,
    *,
    method: str = "symmetric",
    strength: float = 1.0,
) -> Tensor:
    """Give a picture the colors of another picture, and keep its shapes.

    If both pictures are gray, the result is exactly gray.

    >>> photo, painting = load_picture("photo.jpg"), load_picture("painting.jpg")  # doctest: +SKIP
    >>> save_image(recolor(photo, painting), "recolored.png")  # doctest: +SKIP

    Args:
        image: the picture to change: a Picture, or (1, 3, H, W), sRGB in [0, 1]. The colors of a
            Picture count in proportion to its alpha.
        palette: the picture with the new colors: a Picture, or (1, 3, h, w).
        method: "symmetric", "cholesky" or "pca", which match the mean and the covariance of the
            colors; or "histogram", which matches the distribution of each channel.
        strength: from 0, the unchanged picture, to 1, the full effect.

    Returns: (1, 3, H, W) in [0, 1], with the type and the device of `image`.

    Raises:
        ShapeError: a picture is not (1, 3, H, W).
        SettingsError: the method is unknown, or the strength is not in [0, 1].
        ImageError: the palette is transparent everywhere.
    """
    check_recoloring(method, strength)
    if isinstance(palette, Picture) and palette.alpha is not None and not palette.alpha.any():
        raise no_visible_pixel(palette)
    matched = match_colors(image, palette, method)
    gray = is_gray(image) and is_gray(palette)
    if gray or (method != "histogram" and is_gray(palette)):
        # A linear map to grays gives grays, which rounding must not tint.
        matched = matched.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    image = gray_image(_planes(image)[0]) if gray else _planes(image)[0]
    # Each color moves along a straight line to its new value. With "symmetric", this is also a path
    # between the two distributions, because the map is the optimal transport.
    return image.double().cpu().lerp(matched, strength).clamp(0, 1).to(image)


def check_recoloring(method: str, strength: float = 1.0) -> None:
    """Raise a SettingsError for an unknown method or a strength outside [0, 1]."""
    methods = (*LINEAR_MAPS, "histogram")
    if method not in methods:
        raise SettingsError(
            f"method: {method!r} is not one of {', '.join(methods)}{nearest_match(method, methods)}"
        )
    if not 0 <= strength <= 1:
        raise SettingsError(f"strength: {strength} is not between 0 and 1")


def match_colors(image: Tensor | Picture, palette: Tensor | Picture, method: str) -> Tensor:
    """Match colors by a method's name; (1, 3, H, W), float64 on the CPU, not clipped to [0, 1].

    Args, Raises: as `recolor`.
    """
    check_recoloring(method)
    source, wanted = _Colors.of(image), _Colors.of(palette)
    if method == "histogram":
        return match_histogram(source, wanted)
    return match_linear(source, wanted, LINEAR_MAPS[method])


def match_linear(
    source: _Colors, palette: _Colors, linear_map: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Give a picture the mean and the covariance of another one's colors.

    x′ = A (x − μ_S) + μ_C with A Σ_S Aᵀ = Σ_C

    U is an orthonormal basis of the directions in which the image varies, and the map is computed
    in its coordinates, A = U map(Uᵀ Σ_S U, Uᵀ Σ_C U) Uᵀ + 1 − U Uᵀ. So the mean is always exact,
    and the covariance is exact on the image's own range: a gray picture stays a line in color
    space, and a single color becomes the palette's mean.

    Args:    linear_map: (Σ_S, Σ_C) → A, for a regular Σ_S; see LINEAR_MAPS.
    Returns: (1, 3, H, W), not clipped.
    Paper:   Gatys, Bethge, Hertzmann & Shechtman 2016, arXiv 1606.05897. Differs: they
             require a regular Σ_S.
    """
    image = source.image
    mean, covariance = _moments(source)
    wanted_mean, wanted = _moments(palette)
    spreads, directions = torch.linalg.eigh(covariance)
    varies = spreads > _NO_SPREAD
    # The basis is red, green and blue if all directions vary: Cholesky depends on the basis.
    basis = torch.eye(3).to(image) if bool(varies.all()) else directions[:, varies]  # (3, rank)
    matrix = torch.eye(3).to(image) - basis @ basis.T
    if basis.shape[1]:
        inner = linear_map(basis.T @ covariance @ basis, basis.T @ wanted @ basis)
        matrix = matrix + basis @ inner @ basis.T
    centered = image[0].flatten(1) - mean[:, None]  # (3, H·W)
    return (matrix @ centered + wanted_mean[:, None]).reshape(image.shape)


def cholesky_map(source: Tensor, target: Tensor) -> Tensor:
    """Map by triangular factors: A = L_C L_S⁻¹ with Σ = L Lᵀ. It depends on the order of channels.

    Paper: Gatys et al. 2016, arXiv 1606.05897; 2017, arXiv 1611.07865.
    """
    inverse: Tensor = torch.linalg.inv(_triangular(source))
    return _triangular(target) @ inverse


def pca_map(source: Tensor, target: Tensor) -> Tensor:
    """Map by symmetric roots: A = Σ_C^½ Σ_S^−½.

    Paper: Hertzmann et al., Image Analogies, 2001; Gatys et al. 2016, arXiv 1606.05897.
    """
    inverse: Tensor = torch.linalg.inv(_root(source))
    return _root(target) @ inverse


def symmetric_map(source: Tensor, target: Tensor) -> Tensor:
    """Map by Monge and Kantorovich: the symmetric map, which changes the colors least.

    A = Σ_S^−½ (Σ_S^½ Σ_C Σ_S^½)^½ Σ_S^−½

    Paper: Pitié & Kokaram, The linear Monge-Kantorovitch linear color mapping, CVMP 2007.
    """
    root = _root(source)
    inverse: Tensor = torch.linalg.inv(root)
    return inverse @ _root(root @ target @ root) @ inverse


LINEAR_MAPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "symmetric": symmetric_map,
    "cholesky": cholesky_map,
    "pca": pca_map,
}


def match_histogram(source: _Colors, palette: _Colors) -> Tensor:
    """Give each channel another picture's distribution: the n-th darkest pixel gets its n-th value.

    The mean of the 3 × 3 neighborhood orders pixels of the same value; without it, 256 values
    could not follow a distribution. Pixels with the same value and the same neighborhood mean
    share the mean of their new values, so flat areas stay flat.

    Returns: (1, 3, H, W), within the palette's range.
    Paper:   Coltuc, Bolon & Chassery, Exact Histogram Specification, IEEE TIP 2006. Differs: one
             neighborhood instead of five, and pixels that remain equal get the same value.
    """
    image = source.image
    around = functional.avg_pool2d(functional.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)
    # One whole number sorts by value, then by neighborhood. Its steps are far finer than those of
    # 16 bits, and far coarser than the rounding of sums, which must not decide the order.
    keys = (image * _STEPS).round().long() * (2 * _STEPS) + (around * _STEPS).round().long()
    planes = [
        _match_ranks(
            key.flatten().numpy(), wanted.flatten().numpy(),
            _numbers(source.weights), _numbers(palette.weights),
        )
        for key, wanted in zip(keys[0], palette.image[0], strict=True)
    ]  # fmt: skip
    return torch.from_numpy(np.stack(planes)).reshape(image.shape)


def _numbers(weights: Tensor | None) -> Values | None:
    return None if weights is None else weights.numpy()


def _match_ranks(
    keys: npt.NDArray[np.int64], wanted: Values, weights: Values | None, shares: Values | None
) -> Values:
    """Give the n-th smallest key the n-th share of the wanted values; equal keys share the mean.

    Args:
        weights: of the keys; a key with the weight 0 gets the value at its rank. None: all are 1.
        shares: the weights of the wanted values, some above 0; None: all are 1.
    """
    order, ranked = np.argsort(keys), np.argsort(wanted)
    last = np.append(np.flatnonzero(np.diff(keys[order])), len(keys) - 1)  # of runs of equal keys
    ends = _running_sum(weights, order)[last + 1]
    ends /= ends[-1]
    starts = np.append(0, ends[:-1])
    values, edges = wanted[ranked], _running_sum(shares, ranked)
    edges /= edges[-1]  # value n covers the ranks from edge n to edge n + 1
    below = values[np.searchsorted(edges, starts, side="right").clip(max=len(values)) - 1]
    above = values[np.searchsorted(edges, ends, side="left").clip(min=1) - 1]
    # The integral of the wanted quantile function from 0 gives its mean over any part.
    integral = np.append(0, np.cumsum(values * np.diff(edges)))
    width = ends - starts
    parts = np.interp(ends, edges, integral) - np.interp(starts, edges, integral)
    means = np.divide(parts, width, out=below.copy(), where=width > 0)
    result = np.empty(len(keys))
    counts = np.diff(np.append(-1, last))
    result[order] = np.repeat(means.clip(below, np.maximum(below, above)), counts)
    return result


def _running_sum(weights: Values | None, order: npt.NDArray[np.intp]) -> Values:
    """Return the sums of the first n weights in an order, for n from 0 to their number."""
    if weights is None:
        return np.arange(len(order) + 1, dtype=np.float64)
    return np.append(0, np.cumsum(weights[order]))


def _moments(colors: _Colors) -> tuple[Tensor, Tensor]:
    """Return the mean color, (3,), and the covariance of all pixels, (3, 3)."""
    pixels, weights = colors.image[0].flatten(1), colors.weights  # (3, H·W)
    if weights is None:
        mean = pixels.mean(dim=1)
        centered = pixels - mean[:, None]
        return mean, centered @ centered.T / pixels.shape[1]
    mean = pixels @ weights / weights.sum()
    centered = pixels - mean[:, None]
    return mean, centered * weights @ centered.T / weights.sum()


def _root(matrix: Tensor) -> Tensor:
    """Return the symmetric root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


def _triangular(matrix: Tensor) -> Tensor:
    """Return the lower triangular L with L Lᵀ = matrix, also for a singular matrix."""
    upper: Tensor = torch.linalg.qr(_root(matrix)).R
    signs = torch.where(upper.diagonal() < 0, -1.0, 1.0).to(matrix)
    return upper.T * signs


# ---- luminance only -----------------------------------------------------------------------------


def luminance(image: Tensor) -> Tensor:
    """Return the luma of each pixel, Y of YIQ: (B, 3, H, W) → (B, 1, H, W)."""
    weights = torch.tensor(_LUMA, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    return (image * weights).sum(dim=1, keepdim=True)


def match_luminance(style: Tensor | Picture, photo: Tensor | Picture) -> Tensor:
    """Return a painting's luminance with the mean and the deviation of the photo's.

    L_S′ = σ_C/σ_S · (L_S − μ_S) + μ_C

    Args:    style, photo: Pictures, or (1, 3, h, w) and (1, 3, H, W). The pixels of a Picture count
             in proportion to its alpha.
    Returns: (1, 1, h, w), float64 on the CPU, not clipped; a style of one luminance gets μ_C.
    Paper:   Gatys et al. 2016, arXiv 1606.05897.
    """
    colors = [_Colors.of(each) for each in (style, photo)]
    bright, wanted = (luminance(each.image) for each in colors)
    (mean, variance), (wanted_mean, wanted_variance) = (
        _mean_and_variance(plane.flatten(), each.weights)
        for plane, each in zip((bright, wanted), colors, strict=True)
    )
    factor = (wanted_variance / variance).sqrt() if variance > _NO_SPREAD else 1.0
    return factor * (bright - mean) + wanted_mean


def _mean_and_variance(values: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    if weights is None:
        return values.mean(), values.var(correction=0)
    mean = values @ weights / weights.sum()
    return mean, (values - mean).square() @ weights / weights.sum()


# ---- grays --------------------------------------------------------------------------------------


def is_gray(picture: Tensor | Picture) -> bool:
    """Tell whether a picture shows only grays: red, green and blue differ by at most 2 of 255.

    Args: picture: (1, 3, H, W), or a Picture, whose transparent pixels do not count.
    """
    whole = picture if isinstance(picture, Picture) else Picture(picture)
    row = 0
    for strip in strips(whole):
        spread = strip.amax(1, keepdim=True) - strip.amin(1, keepdim=True)
        if whole.alpha is not None:
            spread = spread * whole.alpha[..., row : row + strip.shape[2], :].to(spread)
        if bool(spread.max() > _GRAY + 1e-6):
            return False
        row += strip.shape[2]
    return True


def gray_image(image: Tensor) -> Tensor:
    """Return an image, (1, 3, H, W), in grays: itself if its channels are equal, or its luma."""
    if bool((image == image[:, :1]).all()):
        return image
    return luminance(image).expand(-1, 3, -1, -1).contiguous()


# ---- the colors of content and style ------------------------------------------------------------


def content_in_color(photo: Tensor, color: str) -> Tensor:
    """Return the photo for the content term: in grays if only its luminance is painted."""
    return luminance(photo).expand(-1, 3, -1, -1) if color == "luminance" else photo


def style_in_color(style: Tensor | Picture, photo: Tensor | Picture, color: str) -> Tensor:
    """Return a painting for the style term: with the photo's colors, unless color is "style".

    Args:
        style, photo: Pictures, or (1, 3, h, w) and (1, 3, H, W), sRGB in [0, 1]. The colors of a
            Picture count in proportion to its alpha.
        color: `Settings.color`.
    """
    image = _planes(style)[0]
    if color == "style":
        return image
    if color == "luminance":
        return match_luminance(style, photo).clamp(0, 1).to(image).expand(-1, 3, -1, -1)
    return recolor(style, photo, method=color)
