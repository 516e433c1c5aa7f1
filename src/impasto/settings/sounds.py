"""`AudioSettings`: every option that changes a styled sound.

This module does not import torch, so that `--help` is fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from impasto.settings.options import Options, option

__all__ = ["AudioSettings"]

StartName = Literal["content", "noise"]
_ULYANOV = "Ulyanov & Lebedev 2016"


@dataclass(frozen=True, kw_only=True)
class AudioSettings(Options):
    """The options that determine a styled sound, besides the two sounds.

    They are checked when the object is created, and do not change afterwards.

    Raises: SettingsError: a value has the wrong type, is out of its range, or is unknown.
    """

    content_weight: float = option(
        0.25,
        "Weight of the content loss, while the style loss has weight 1; larger values keep the "
        "sound closer to the content.",
        half="objective",
        low=0,
        common=True,
    )
    filters: int = option(
        0,
        "Number of random filters that describe a sound; Ulyanov and Lebedev use 4096. 0 means "
        "infinitely many filters, in closed form: the result is better, does not depend on random "
        "filters, and is computed much faster.",
        half="objective",
        low=0,
        high=65536,
        source="Cho & Saul 2009",
        common=True,
    )
    taps: int = option(
        11,
        "Length of a filter in frames; larger values capture longer patterns.",
        half="objective",
        low=1,
        high=256,
        source=_ULYANOV,
    )
    window: float = option(
        93.0,
        "Length of a frame, rounded to the nearest power of two in samples. Short frames capture "
        "the rhythm, long frames the pitch.",
        half="objective",
        low=2,
        high=1000,
        unit="ms",
        source="Ulyanov & Lebedev 2016: 2048 samples at 22.05 kHz",
    )
    overlap: int = option(
        4,
        "Number of overlapping frames that contain each moment; larger values take more time.",
        half="objective",
        low=2,
        high=16,
        source=_ULYANOV,
    )
    rate: int = option(
        48000,
        "Highest sampling rate at which the sound is computed; the result always has the "
        "content's own rate.",
        half="objective",
        low=4000,
        high=384_000,
        unit="Hz",
    )
    init: StartName = option(
        "content", "Sound to start from: the content, or noise.", half="schedule", common=True
    )
    steps: int = option(
        50,
        "Number of steps, each with one evaluation of the objective and its gradient; more steps "
        "take more time and come closer to the style.",
        half="schedule",
        low=1,
        common=True,
    )
    history: int = option(
        20,
        "Number of past steps from which L-BFGS estimates the curvature of the objective; larger "
        "values need more memory.",
        half="schedule",
        low=1,
        high=1000,
    )
    phase_steps: int = option(
        100,
        "Number of iterations of Griffin and Lim's algorithm, which finds a sound for the "
        "optimized spectrogram; more iterations take more time and match it better.",
        half="schedule",
        low=0,
        high=100_000,
    )
    phase_momentum: float = option(
        0.99,
        "Momentum of Griffin and Lim's algorithm; larger values go further beyond the result of "
        "each iteration. 0 is the original algorithm.",
        half="schedule",
        low=0,
        high=2,
        source="Perraudin, Balazs & Søndergaard 2013",
    )
    seed: int = option(
        0,
        "Seed of the filters and of the noise.",
        half="schedule",
        low=0,
        high=2**63 - 1,
        common=True,
    )
