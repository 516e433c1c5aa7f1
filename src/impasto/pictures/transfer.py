"""From signals to light and back: transfer functions, primaries, high dynamic range to sRGB.

signal → light → light with other primaries → tone curve → sRGB

The numbers of primaries and transfer functions are those of ITU-T H.273; PNG's cICP chunk, the
nclx boxes of AVIF, HEIC and MP4, and the headers of video codecs hold the same numbers. Images are
(…, 3, H, W) of any float type. Light is in cd/m². Where the light of a picture is not absolute, as
in sRGB, white has 203 cd/m², the reference white of ITU-R BT.2408.

The tone curve is the EETF of ITU-R BT.2390-11, section 5.4.1, from the peak of the source to 203
cd/m². It does not change light below its knee, which is at 88 cd/m² for a peak of 1000. It is
applied to the largest of the three channels. The other two are scaled by the same factor, so hues
do not change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

__all__ = [
    "HLG",
    "PEAK",
    "PQ",
    "PRIMARIES",
    "WHITE",
    "Chromaticities",
    "Signal",
    "compressed",
    "expanded",
    "from_srgb",
    "hlg_to_light",
    "in_gamut",
    "light_to_hlg",
    "light_to_pq",
    "light_to_srgb",
    "luminance_shares",
    "pq_to_light",
    "primaries_matrix",
    "srgb_to_light",
    "with_primaries",
]

PQ, HLG = 16, 18  # the numbers of the transfer functions of ITU-R BT.2100
WHITE = 203.0  # cd/m²
PEAK = 1000.0  # cd/m²; HLG's nominal peak, and PQ's where the file states none

# x and y of red, green, blue and white.
Chromaticities = tuple[
    tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]
]
_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
PRIMARIES: dict[int, Chromaticities] = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),  # BT.709, sRGB
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),  # BT.470 System M
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),  # BT.601, 625 lines
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),  # BT.601, 525 lines
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),  # SMPTE 240M
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),  # film
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),  # BT.2020, BT.2100
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1 / 3, 1 / 3)),  # CIE XYZ
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),  # DCI-P3
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),  # Display P3
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),  # EBU Tech 3213
}


# ---- transfer functions -------------------------------------------------------------------------


def srgb_to_light(signal: Tensor) -> Tensor:
    """Return light with white at 1 from sRGB in [0, 1]. IEC 61966-2-1."""
    dark = signal / 12.92
    return torch.where(signal <= 0.04045, dark, ((signal.clamp_min(0) + 0.055) / 1.055) ** 2.4)


def light_to_srgb(light: Tensor) -> Tensor:
    """Return sRGB in [0, 1] from light with white at 1, clamped to [0, 1]. IEC 61966-2-1."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


# ITU-R BT.2100-2, table 4.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def pq_to_light(signal: Tensor) -> Tensor:
    """Return light, 0 to 10,000 cd/m², from a PQ signal in [0, 1]: the EOTF of BT.2100."""
    power = signal.clamp(0, 1) ** (1 / _M2)
    return 10_000 * ((power - _C1).clamp_min(0) / (_C2 - _C3 * power)) ** (1 / _M1)


def light_to_pq(light: Tensor) -> Tensor:
    """Return the PQ signal, in [0, 1], of light in cd/m²: the inverse EOTF of BT.2100."""
    power = (light / 10_000).clamp(0, 1) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


# ITU-R BT.2100-2, table 5.
_A = 0.17883277
_B, _C0 = 1 - 4 * _A, 0.5 - _A * math.log(4 * _A)


def hlg_to_light(signal: Tensor, *, primaries: int = 9, peak: float = PEAK) -> Tensor:
    """Return the light of a display, cd/m², from an HLG signal: inverse OETF and OOTF of BT.2100.

    Args:
        signal: (…, 3, H, W) in [0, 1].
        primaries: their number. They determine the luminance, on which the OOTF depends.
        peak: the light of the display's white, cd/m². It determines the gamma of the OOTF: 1.2 for
            1000 cd/m².
    """
    signal = signal.clamp(0, 1)
    scene = torch.where(signal <= 0.5, signal**2 / 3, (((signal - _C0) / _A).exp() + _B) / 12)
    luminance = _luminance(scene, primaries)
    return peak * scene * luminance ** (_gamma(peak) - 1)


def light_to_hlg(light: Tensor, *, primaries: int = 9, peak: float = PEAK) -> Tensor:
    """Return the HLG signal, in [0, 1], that a display shows as this light, cd/m².

    Args: as for `hlg_to_light`.
    """
    gamma = _gamma(peak)
    light = light.clamp_min(0) / peak
    luminance = _luminance(light, primaries).clamp_min(1e-12)
    scene = light * luminance ** ((1 - gamma) / gamma)
    bright = _A * (12 * scene - _B).clamp_min(1e-12).log() + _C0
    return torch.where(scene <= 1 / 12, (3 * scene).sqrt(), bright).clamp(0, 1)


def _gamma(peak: float) -> float:
    return 1.2 + 0.42 * math.log10(peak / 1000)


def _log_to_light(signal: Tensor, decades: float) -> Tensor:
    """Return light with white at 1 from a signal that is its logarithm; 0 is black."""
    return torch.where(signal > 0, 10 ** (decades * (signal - 1)), 0.0)


# Transfer functions of standard range that are not read as sRGB's, by number: signal in [0, 1] →
# light with white at 1. ITU-T H.273, table 3.
_CURVES: dict[int, Callable[[Tensor], Tensor]] = {
    4: lambda signal: signal**2.2,
    5: lambda signal: signal**2.8,
    8: lambda signal: signal,
    9: partial(_log_to_light, decades=2),
    10: partial(_log_to_light, decades=2.5),
    17: lambda signal: 52.37 / 48 * signal**2.6,  # digital cinema, where white is not the maximum
}


# ---- primaries ----------------------------------------------------------------------------------


def luminance_shares(primaries: int | Chromaticities) -> tuple[float, float, float]:
    """Return the shares of red, green and blue in the luminance of white; their sum is 1."""
    red, green, blue = _to_xyz(primaries)[1].tolist()
    return red, green, blue


def _luminance(image: Tensor, primaries: int) -> Tensor:
    """Return the luminance, (…, 1, H, W), of an image (…, 3, H, W)."""
    shares = torch.tensor(luminance_shares(primaries), dtype=image.dtype, device=image.device)
    return (image * shares[:, None, None]).sum(-3, keepdim=True)


def primaries_matrix(source: int | Chromaticities, target: int | Chromaticities) -> Tensor:
    """Return the matrix, (3, 3) float64, from light with some primaries to that with others.

    White becomes white, by Bradford's adaptation.

    Args: the numbers of ITU-T H.273, keys of PRIMARIES; or chromaticities.
    """
    bradford = torch.tensor(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]],
        dtype=torch.float64,
    )
    read, write = _to_xyz(source), _to_xyz(target)
    before, after = (bradford @ matrix.sum(1) for matrix in (read, write))
    adapted = bradford.inverse() @ torch.diag(after / before) @ bradford
    return write.inverse() @ adapted @ read


def _to_xyz(primaries: int | Chromaticities) -> Tensor:
    """Return the matrix, (3, 3) float64, from R, G, B to X, Y, Z, with Y = 1 for white."""
    known = PRIMARIES[primaries] if isinstance(primaries, int) else primaries
    points = torch.tensor([[x, y, 1 - x - y] for x, y in known], dtype=torch.float64)  # (4, 3)
    *colors, white = points
    columns = torch.stack(colors, dim=1)
    amounts = torch.linalg.solve(columns, white / white[1])
    matrix: Tensor = columns * amounts
    return matrix


def with_primaries(light: Tensor, source: int | Chromaticities, target: int) -> Tensor:
    """Return the same light, (…, 3, H, W), with other primaries.

    Colors outside the gamut of the new primaries have negative channels.
    """
    matrix = primaries_matrix(source, target).to(light)
    return torch.einsum("ij,...jhw->...ihw", matrix, light)


def in_gamut(light: Tensor, primaries: int = 1) -> Tensor:
    """Move colors toward the gray of their luminance until no channel is negative."""
    gray = _luminance(light, primaries).clamp_min(0)
    lowest = light.amin(-3, keepdim=True).clamp_max(0)
    share = gray / (gray - lowest).clamp_min(1e-12)
    return torch.where(lowest < 0, gray + share * (light - gray), light).clamp_min(0)


# ---- the tone curve -----------------------------------------------------------------------------


def compressed(light: Tensor, peak: float) -> Tensor:
    """Compress light from [0, peak] to [0, 203] cd/m².

    In light above the peak, the largest channel becomes 203 cd/m². Above the knee, BT.2390's curve
    is a Hermite spline. With its coefficients, it is the cubic KS + (1 − KS) (1 − (1 − T)³) / 3.
    """
    if peak <= WHITE:
        return light.clamp(0, WHITE)
    top, knee = _knee(peak)
    largest = light.amax(-3, keepdim=True).clamp_min(1e-9)
    value = (light_to_pq(largest) / top).clamp_max(1)
    rest = (1 - value).clamp(0, 1 - knee) / (1 - knee)  # 1 − T
    curve = pq_to_light(top * (knee + (1 - knee) * (1 - rest**3) / 3))
    return torch.where(value <= knee, light, light * (curve / largest)).clamp(0, WHITE)


def expanded(light: Tensor, peak: float) -> Tensor:
    """Undo `compressed`: expand light from [0, 203] to [0, peak] cd/m²."""
    if peak <= WHITE:
        return light.clamp(0, WHITE)
    top, knee = _knee(peak)
    largest = light.amax(-3, keepdim=True).clamp_min(1e-9)
    value = light_to_pq(largest) / top
    rest = (1 - 3 * (value - knee) / (1 - knee)).clamp(0, 1) ** (1 / 3)
    curve = pq_to_light(top * (1 - rest * (1 - knee)))
    return torch.where(value <= knee, light, light * (curve / largest)).clamp(0, peak)


def _knee(peak: float) -> tuple[float, float]:
    """Return the PQ signal of the peak, and the knee KS as a share of this signal."""
    top, white = light_to_pq(torch.tensor([peak, WHITE], dtype=torch.float64)).tolist()
    return top, 1.5 * white / top - 0.5


# ---- whole signals ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signal:
    """What the values of a picture or a clip mean.

    Attributes:
        primaries, transfer: the numbers of ITU-T H.273, where 2 means unspecified. The transfer
            functions of cameras, such as BT.709's, are read as sRGB's, as most players do.
        peak: the brightest light, cd/m², of a signal of high dynamic range.
    """

    primaries: int = 1
    transfer: int = 1
    peak: float = PEAK

    @property
    def is_hdr(self) -> bool:
        """Whether the signal is PQ or HLG."""
        return self.transfer in (PQ, HLG)

    @property
    def is_srgb(self) -> bool:
        """Whether the values count as sRGB without a conversion.

        BT.601's primaries are so near to sRGB's that most players do not distinguish them.
        """
        near = self.primaries in (1, 5, 6, 7, 22) or self.primaries not in PRIMARIES
        return near and not self.is_hdr and self.transfer not in _CURVES

    @property
    def known_primaries(self) -> int:
        """The primaries; if unspecified, BT.2020's for high dynamic range, else BT.709's."""
        if self.primaries in PRIMARIES:
            return self.primaries
        return 9 if self.is_hdr else 1

    def to_srgb(self, image: Tensor) -> Tensor:
        """Return the image, (…, 3, H, W) in [0, 1], as sRGB.

        In standard range, colors outside sRGB are clipped, as by color profiles. In high dynamic
        range, such colors are frequent, and keep their luminance.
        """
        if self.is_srgb:
            return image
        light = with_primaries(self._light(image), self.known_primaries, 1)
        light = in_gamut(light) if self.is_hdr else light
        return light_to_srgb(compressed(light, self._highest) / WHITE)

    def to_working(self, image: Tensor) -> Tensor:
        """Convert an image of high dynamic range to standard range, and keep its primaries.

        Light is compressed by the tone curve and encoded like sRGB. `from_working` undoes this.
        """
        return light_to_srgb(compressed(self._light(image), self._highest) / WHITE)

    def from_working(self, image: Tensor) -> Tensor:
        """Return the signal of an image that `to_working` or `from_srgb` has made."""
        light = expanded(WHITE * srgb_to_light(image), self._highest)
        if self.transfer == HLG:
            return light_to_hlg(light, primaries=self.known_primaries, peak=self.peak)
        return light_to_pq(light)

    @property
    def _highest(self) -> float:
        return self.peak if self.is_hdr else WHITE

    def _light(self, image: Tensor) -> Tensor:
        if self.transfer == PQ:
            return pq_to_light(image)
        if self.transfer == HLG:
            return hlg_to_light(image, primaries=self.known_primaries, peak=self.peak)
        return WHITE * _CURVES.get(self.transfer, srgb_to_light)(image.clamp(0, 1))


def from_srgb(image: Tensor, signal: Signal) -> Tensor:
    """Convert an sRGB picture, (…, 3, H, W), to the form of `Signal.to_working`.

    Its white has 203 cd/m². So a painting can be combined with the frames of a clip of high dynamic
    range.
    """
    light = WHITE * with_primaries(srgb_to_light(image), 1, signal.known_primaries)
    top = signal.peak if signal.is_hdr else WHITE
    return light_to_srgb(compressed(in_gamut(light, signal.known_primaries), top) / WHITE)
