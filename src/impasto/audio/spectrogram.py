"""Samples to spectrum and back: the short-time Fourier transform, and the search for phases."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.errors import ShapeError

__all__ = ["Transform", "griffin_lim"]

_SMALLEST = 64  # samples in a window
# A full-scale sine has this magnitude in its bin, for every window. So a window of 2048 samples
# equals Ulyanov & Lebedev's transform, and log(1 + magnitude) bends at the same level.
_FULL_SCALE = 512.0


@dataclass(frozen=True)
class Transform:
    """The short-time Fourier transform of one window length, and its inverse.

    Silence surrounds the sound on both sides; frame t is centered on sample t · hop. The inverse
    is the sound whose spectrum is nearest by least squares, so `synthesize(analyze(x)) = x`.

    Args:
        window: samples in a frame, with Hann weights.
        hop: samples from frame to frame.

    Paper: Griffin & Lim, IEEE Trans. ASSP 32, 1984, equation 6.
    """

    window: int
    hop: int

    @classmethod
    def of(cls, rate: int, *, milliseconds: float, overlap: int) -> Transform:
        """Choose the power of two nearest to a duration, and the hop for a number of overlaps."""
        samples = max(rate * milliseconds / 1000, _SMALLEST)
        window = 2 ** round(torch.tensor(samples).log2().item())
        return cls(window, max(window // overlap, 1))

    @property
    def bins(self) -> int:
        """The number of frequencies, from 0 to half the sampling rate."""
        return self.window // 2 + 1

    def frames(self, length: int) -> int:
        """Return the number of frames for this number of samples."""
        return length // self.hop + 1

    def shape(self) -> Tensor:
        """Return the Hann window, scaled so that a sine of amplitude 1 has a magnitude of 512."""
        window = torch.hann_window(self.window)
        return window * (2 * _FULL_SCALE / window.sum())

    def analyze(self, samples: Tensor) -> Tensor:
        """Return the spectrum, (C, bins, frames) complex, of samples, (C, N).

        Raises: ShapeError: samples is not 2-D.
        """
        if samples.ndim != 2:
            raise ShapeError(f"samples are (C, N), not {tuple(samples.shape)}")
        return torch.stft(
            samples, self.window, self.hop, window=self.shape(), pad_mode="constant",
            return_complex=True,
        )  # fmt: skip

    def synthesize(self, spectrum: Tensor, length: int) -> Tensor:
        """Return the samples, (C, length), whose spectrum is nearest to (C, bins, frames)."""
        return torch.istft(
            spectrum, self.window, self.hop, window=self.shape(), length=length
        )  # fmt: skip


def griffin_lim(
    magnitude: Tensor,
    phase: Tensor,
    transform: Transform,
    length: int,
    *,
    steps: int,
    momentum: float = 0.0,
) -> Tensor:
    """Find samples whose spectrum has these magnitudes, as nearly as possible.

    Frames overlap, so not every array of magnitudes is the spectrum of a sound. Each step takes
    the spectrum of the sound nearest to the last one, and replaces its magnitudes by the given
    ones. With momentum α, c + α (c − the last c) replaces each spectrum c.

    Args:
        magnitude: (C, bins, frames), ≥ 0.
        phase: the first phases, in radians, of the same shape.
        length: the number of samples.

    Returns: (C, length).
    Papers: Griffin & Lim 1984; with momentum: Perraudin, Balazs & Søndergaard, WASPAA 2013.
    """
    spectrum = torch.polar(magnitude, phase)
    last: Tensor | None = None
    for _ in range(steps):
        possible = transform.analyze(transform.synthesize(spectrum, length))
        further = possible if last is None else possible + momentum * (possible - last)
        spectrum = torch.polar(magnitude, further.angle())
        last = possible
    return transform.synthesize(spectrum, length)
