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

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import SettingsError, nearest_match
from impasto.pictures.picture import check_image

__all__ = [
    "LINEAR_MAPS",
    "check_recoloring",
    "content_in_color",
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
# Steps per unit for sorting pixels by whole numbers.
_STEPS = 2**24

Values = npt.NDArray[np.float64]

# ---- matching all colors ------------------------------------------------------------------------


def recolor(
    image: Tensor, palette: Tensor, *, method: str = "symmetric", strength: float = 1.0
) -> Tensor:
    """Give a picture the colors of another picture, and keep its shapes.

    >>> photo, painting = load_image("photo.jpg"), load_image("painting.jpg")  # doctest: +SKIP
    >>> save_image(recolor(photo, painting), "recolored.png")  # doctest: +SKIP

    Args:
        image: the picture to change, (1, 3, H, W), sRGB in [0, 1].
        palette: the picture with the new colors, (1, 3, h, w).
        method: "symmetric", "cholesky" or "pca", which match the mean and the covariance of the
            colors; or "histogram", which matches the distribution of each channel.
        strength: from 0, the unchanged picture, to 1, the full effect.

    Returns: (1, 3, H, W) in [0, 1], with the type and the device of `image`.

    Raises:
        ShapeError: a picture is not (1, 3, H, W).
        SettingsError: the method is unknown, or the strength is not in [0, 1].
    """
    check_recoloring(method, strength)
    matched = match_colors(image, palette, method)
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


def match_colors(image: Tensor, palette: Tensor, method: str) -> Tensor:
    """Match colors by the method with this name; float64 on the CPU, not clipped to [0, 1].

    Raises: as for `recolor`.
    """
    check_recoloring(method)
    for each in (image, palette):
        check_image(each)
    image, palette = (each.detach().cpu().double() for each in (image, palette))
    if method == "histogram":
        return match_histogram(image, palette)
    return match_linear(image, palette, LINEAR_MAPS[method])


def match_linear(
    image: Tensor, palette: Tensor, linear_map: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Give a picture the mean and the covariance of another one's colors.

    x′ = A (x − μ_S) + μ_C with A Σ_S Aᵀ = Σ_C

    U is an orthonormal basis of the directions in which the image varies, and the map is computed
    in its coordinates, A = U map(Uᵀ Σ_S U, Uᵀ Σ_C U) Uᵀ + 1 − U Uᵀ. So the mean is always exact,
    and the covariance is exact on the image's own range: a gray picture stays a line in color
    space, and a single color becomes the palette's mean.

    Args:    image, palette: (1, 3, H, W) and (1, 3, h, w), float64.
             linear_map: (Σ_S, Σ_C) → A, for a regular Σ_S; see LINEAR_MAPS.
    Returns: (1, 3, H, W), not clipped.
    Paper:   Gatys, Bethge, Hertzmann & Shechtman 2016, arXiv 1606.05897. Differs: they
             require a regular Σ_S.
    """
    mean, covariance = _moments(image)
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


def match_histogram(image: Tensor, palette: Tensor) -> Tensor:
    """Give each channel another picture's distribution: the n-th darkest pixel gets its n-th value.

    The mean of the 3 × 3 neighborhood orders pixels of the same value; without it, 256 values
    could not follow a distribution. Pixels with the same value and the same neighborhood mean
    share the mean of their new values, so flat areas stay flat.

    Args:    image, palette: (1, 3, H, W) and (1, 3, h, w), float64.
    Returns: (1, 3, H, W), within the palette's range.
    Paper:   Coltuc, Bolon & Chassery, Exact Histogram Specification, IEEE TIP 2006. Differs: one
             neighborhood instead of five, and pixels that remain equal get the same value.
    """
    around = functional.avg_pool2d(functional.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)
    # One whole number sorts by value, then by neighborhood. Its steps are far finer than those of
    # 16 bits, and far coarser than the rounding of sums, which must not decide the order.
    keys = (image * _STEPS).round().long() * (2 * _STEPS) + (around * _STEPS).round().long()
    planes = [
        _match_ranks(key.flatten().numpy(), wanted.flatten().numpy())
        for key, wanted in zip(keys[0], palette[0], strict=True)
    ]
    return torch.from_numpy(np.stack(planes)).reshape(image.shape)


def _match_ranks(keys: npt.NDArray[np.int64], wanted: Values) -> Values:
    """Give the n-th smallest key the n-th share of the wanted values; equal keys share the mean."""
    order = np.argsort(keys)
    ends = np.append(
        np.flatnonzero(np.diff(keys[order])) + 1, len(keys)
    )  # of the runs of equal keys
    starts = np.append(0, ends[:-1])
    count, others = len(keys), len(wanted)
    ranked = np.sort(wanted)
    first, last = ranked[starts * others // count], ranked[-(-ends * others // count) - 1]
    # The integral of the wanted quantile function from 0 gives its mean over any part.
    integral = np.append(0, np.cumsum(ranked)) / others
    shares = np.linspace(0, 1, others + 1)
    below, above = (np.interp(each / count, shares, integral) for each in (starts, ends))
    means = ((above - below) * count / (ends - starts)).clip(first, last)
    result = np.empty(count)
    result[order] = np.repeat(means, ends - starts)
    return result


def _moments(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean color, (3,), and the covariance of all pixels, (3, 3)."""
    pixels = image[0].flatten(1)  # (3, H·W)
    mean = pixels.mean(dim=1)
    centered = pixels - mean[:, None]
    return mean, centered @ centered.T / pixels.shape[1]


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


def match_luminance(style: Tensor, photo: Tensor) -> Tensor:
    """Return a painting's luminance with the mean and the deviation of the photo's.

    L_S′ = σ_C/σ_S · (L_S − μ_S) + μ_C

    Args:    style, photo: (1, 3, h, w) and (1, 3, H, W).
    Returns: (1, 1, h, w), float64 on the CPU, not clipped; a style of one luminance gets μ_C.
    Paper:   Gatys et al. 2016, arXiv 1606.05897.
    """
    for each in (style, photo):
        check_image(each)
    bright, wanted = (luminance(each.detach().cpu().double()) for each in (style, photo))
    variance = bright.var(correction=0)
    factor = (wanted.var(correction=0) / variance).sqrt() if variance > _NO_SPREAD else 1.0
    return factor * (bright - bright.mean()) + wanted.mean()


# ---- the colors of content and style ------------------------------------------------------------


def content_in_color(photo: Tensor, color: str) -> Tensor:
    """Return the photo for the content term: in grays if only its luminance is painted."""
    return luminance(photo).expand(-1, 3, -1, -1) if color == "luminance" else photo


def style_in_color(style: Tensor, photo: Tensor, color: str) -> Tensor:
    """Return a painting for the style term: with the photo's colors, unless color is "style".

    Args:
        style, photo: (1, 3, h, w) and (1, 3, H, W), sRGB in [0, 1].
        color: `Settings.color`.
    """
    if color == "style":
        return style
    if color == "luminance":
        return match_luminance(style, photo).clamp(0, 1).to(style).expand(-1, 3, -1, -1)
    return recolor(style, photo, method=color)
