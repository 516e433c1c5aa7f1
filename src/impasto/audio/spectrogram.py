"""Samples ⇄ spectrum: the short-time Fourier transform, its inverse, and the search for phases."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.errors import ShapeError

__all__ = ["Transform", "griffin_lim"]

_SMALLEST = 64  # samples in a window
# A full-scale sine has this magnitude in its bin, whatever the window: so a window of 2048 samples
# gives what Ulyanov & Lebedev's transform gave, and log(1 + magnitude) bends at the same level.
_FULL_SCALE = 512.0


@dataclass(frozen=True)
class Transform:
    """The short-time Fourier transform of one window length, and its inverse.

    The sound is thought to go on in silence on both sides; frame t is centerd on sample t · hop.
    The inverse is the one whose spectrum is nearest in the least squares' sense, so that
    `synthesise(analyze(x)) = x`.

    Args:
        window: samples a frame; hann-weighted.
        hop: samples from frame to frame.

    Paper: Griffin & Lim, IEEE Trans. ASSP 32, 1984, equation 6.
    """

    window: int
    hop: int

    @classmethod
    def of(cls, rate: int, *, milliseconds: float, overlap: int) -> Transform:
        """Choose the power of two nearest to a duration, and the hop that overlaps so often."""
        samples = max(rate * milliseconds / 1000, _SMALLEST)
        window = 2 ** round(torch.tensor(samples).log2().item())
        return cls(window, max(window // overlap, 1))

    @property
    def bins(self) -> int:
        """Frequencies, from 0 to half the sampling rate."""
        return self.window // 2 + 1

    def frames(self, length: int) -> int:
        """Return how many frames so many samples have."""
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

    def synthesise(self, spectrum: Tensor, length: int) -> Tensor:
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
    """Find samples whose spectrum has these magnitudes, as nearly as there are any.

    Not every array of magnitudes is the spectrum of a sound: frames overlap. Turn by turn the
    spectrum is replaced by that of the sound nearest to it, and its magnitudes by those wanted.
    With momentum α each spectrum c is followed by c + α (c − the last c).

    Args:
        magnitude: (C, bins, frames), ≥ 0.
        phase: to begin with, in radians, of the same shape.
        length: how many samples.

    Returns: (C, length).
    Papers: Griffin & Lim 1984; with momentum: Perraudin, Balazs & Søndergaard, WASPAA 2013.
    """
    spectrum = torch.polar(magnitude, phase)
    last: Tensor | None = None
    for _ in range(steps):
        possible = transform.analyze(transform.synthesise(spectrum, length))
        further = possible if last is None else possible + momentum * (possible - last)
        spectrum = torch.polar(magnitude, further.angle())
        last = possible
    return transform.synthesise(spectrum, length)
