"""Drawn sounds for tests: tones, strokes, noise; nothing that was recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from impasto.audio.files import Sound

RATE = 8000
# Small enough for a test: frames of 128 samples, 16 filters of 3 frames.
SMALL = {"filters": 16, "taps": 3, "window": 16.0, "steps": 6, "phase_steps": 5}


def melody(seconds: float = 1.0, *, rate: int = RATE, channels: int = 1) -> Sound:
    """Four tones, one after the other, each struck and fading; on the right half as loud."""
    time = torch.arange(int(seconds * rate)) / rate
    number = (time * 4 / seconds).floor().clamp(max=3)
    since = time - number * seconds / 4
    pitch = 300 * 1.25**number
    mono = 0.5 * torch.sin(2 * torch.pi * pitch * time) * torch.exp(-12 * since / seconds)
    return Sound(torch.stack([mono / (1 + n) for n in range(channels)]), rate, "melody.wav")


def rattle(seconds: float = 0.7, *, rate: int = RATE, channels: int = 1) -> Sound:
    """Ten bursts of noise a second."""
    generator = torch.Generator().manual_seed(3)
    time = torch.arange(int(seconds * rate)) / rate
    noise = torch.randn((channels, len(time)), generator=generator)
    return Sound(0.2 * noise * torch.exp(-40 * (time % 0.1)), rate, "rattle.wav")


def reference_spectrum(samples: Tensor, window: int, hop: int) -> np.ndarray:
    """Frame by frame in float64, by the formula: (bins, frames) of (N,)."""
    x = np.pad(samples.double().numpy(), window // 2)
    n = np.arange(window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / window)
    hann *= 1024 / hann.sum()
    count = len(samples) // hop + 1
    return np.stack([np.fft.rfft(x[t * hop : t * hop + window] * hann) for t in range(count)], 1)


def reference_samples(spectrum: np.ndarray, window: int, hop: int, length: int) -> np.ndarray:
    """Overlap-add of windowed frames over the sum of squared windows (Griffin & Lim, eq. 6)."""
    n = np.arange(window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / window)
    hann *= 1024 / hann.sum()
    total = np.zeros(window + hop * (spectrum.shape[1] - 1))
    weight = np.zeros_like(total)
    for t in range(spectrum.shape[1]):
        part = slice(t * hop, t * hop + window)
        total[part] += np.fft.irfft(spectrum[:, t], window) * hann
        weight[part] += hann**2
    inside = slice(window // 2, window // 2 + length)
    result = np.zeros(length)
    found = total[inside] / np.maximum(weight[inside], 1e-30)
    result[: len(found)] = found
    return result


def metadata_of(path: Path) -> dict[str, Any]:
    """The metadata in a sound file's comment; {} if it has no comment."""
    with soundfile.SoundFile(path) as file:
        found: dict[str, Any] = json.loads(file.comment or "{}")
    return found
