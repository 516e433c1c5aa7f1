"""Measures of artifacts: what neither the photo nor a painting has.

Each measure subtracts what the inputs have, so a speckled painting excuses a speckled result. The
result is at its own size, because a reduced picture hides fine patterns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from impasto.objective.laplacian_term import laplacian
from impasto.pictures.colors import luminance
from impasto.pictures.picture import Image

__all__ = [
    "blown_out",
    "border_excess",
    "checkerboard",
    "chroma_noise",
    "chroma_speckle",
    "clipped_share",
    "grid_amplitude",
]

_LEAST_GRADIENT = 1e-3  # added to both means of a ratio; a quarter of a level of 8 bits
_WINDOW = 16  # px; within it, a checkerboard keeps its phase
_END = 0.5 / 255  # a channel that is nearer to 0 or 1 is 0 or 255 in a file of 8 bits


def border_excess(image: Image, photo: Image) -> float:
    """Return how much stronger the gradients at the border are than in the photo, as a ratio.

    The ratio divides the mean gradient magnitude in the outer 2 % by that in the band from 2 % to
    10 %. The photo's own ratio is subtracted. A comparison with the whole inside would be wrong:
    strokes in the flat sky of a photo would count as a frame.

    Range:     [0, ∞): 0 without a frame; 0.15 can be seen.
    Direction: smaller is better.
    Paper:     none; zero padding of networks causes such frames.
    """
    return max(0.0, _frame_ratio(image) - _frame_ratio(photo))


def _frame_ratio(image: Image) -> float:
    gray = image.mean(dim=1)[0]
    dy, dx = torch.gradient(gray)
    magnitude = (dx.square() + dy.square()).sqrt()
    height, width = gray.shape
    rows, columns = (torch.arange(n, device=gray.device) for n in (height, width))
    distance = torch.minimum(
        torch.minimum(rows, height - 1 - rows)[:, None],
        torch.minimum(columns, width - 1 - columns)[None],
    )
    edge, band = max(2, round(0.02 * max(height, width))), round(0.1 * max(height, width))
    frame, adjoining = distance < edge, (distance >= edge) & (distance < max(band, edge + 1))
    ratio = (magnitude[frame].mean() + _LEAST_GRADIENT) / (
        magnitude[adjoining].mean() + _LEAST_GRADIENT
    )
    return float(ratio)


def chroma_speckle(image: Image, inputs: Sequence[Image]) -> float:
    """Return how much more color noise a result has than any input: see `chroma_noise`.

    Range:     [0, 8]: 0 if an input has as much; 0.01 can be seen in a flat area.
    Direction: smaller is better.
    Paper:     none; the Laplacian as a measure of noise is that of Immerkær 1996.
    """
    return _excess(chroma_noise, image, inputs)


def checkerboard(image: Image, inputs: Sequence[Image]) -> float:
    """Return how much stronger a pattern of period 2 px is than in any input: `grid_amplitude`.

    Range:     [0, 1]: 0 if an input has as much; 0.01 for a pattern of ± 2.5 levels of 8 bits.
    Direction: smaller is better.
    Paper:     Odena, Dumoulin & Olah, Deconvolution and Checkerboard Artifacts, Distill 2016, for
               the artifact.
    """
    return _excess(grid_amplitude, image, inputs)


def blown_out(image: Image, inputs: Sequence[Image]) -> float:
    """Return how much larger the share of clipped pixels is than in any input: `clipped_share`.

    Range:     [0, 1]: 0 if an input has as many.
    Direction: smaller is better.
    Paper:     none.
    """
    return _excess(clipped_share, image, inputs)


def _excess(measure: Callable[[Image], float], image: Image, inputs: Sequence[Image]) -> float:
    return max(0.0, measure(image) - max(measure(each) for each in inputs))


def chroma_noise(image: Image) -> float:
    """Return the mean |Laplacian| of the two color-difference planes R − G and (R + G) / 2 − B."""
    red, green, blue = image[0]
    planes = torch.stack([red - green, (red + green) / 2 - blue])
    return float(laplacian(planes).abs().mean())


def grid_amplitude(image: Image) -> float:
    """Return the amplitude of the luminance at a 2 × 2 grid's own frequencies.

    These are the three patterns of period 2 px: columns, rows and a checkerboard. In each window of
    16 × 16 px, the luminance is multiplied by the pattern and averaged, so grain that does not
    keep the phase cancels out. A filter first removes slopes. The root of the mean square over
    windows and the sum of patterns is returned: a for a checkerboard of mean ± a.
    """
    luma = luminance(image)
    ones, edge = luma.new_ones(1, 1), luma.new_tensor([[-0.25, 0.5, -0.25]])
    total = luma.new_zeros(())
    for vertical, horizontal in ((ones, edge), (edge.T, ones), (edge.T, edge)):
        total = total + _coherent_power(luma, vertical, horizontal)
    return float(total.sqrt())


def _coherent_power(luma: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Return the mean square of the windows' amplitudes in the directions that are filtered."""
    filtered = functional.conv2d(luma, (vertical @ horizontal)[None, None])
    height, width = filtered.shape[-2:]
    signs = [
        (-1.0) ** torch.arange(count, device=luma.device) if kernel.numel() > 1
        else torch.ones(count, device=luma.device)
        for kernel, count in ((vertical, height), (horizontal, width))
    ]  # fmt: skip
    pattern = filtered * signs[0][:, None] * signs[1]
    window = min(_WINDOW, height, width)
    return functional.avg_pool2d(pattern, window).square().mean()


def clipped_share(image: Image) -> float:
    """Return the share of pixels that have a channel of 0 or 255 in a file of 8 bits."""
    return float(((image < _END) | (image > 1 - _END)).any(dim=1).float().mean())
