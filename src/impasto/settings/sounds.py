"""Every knob that changes a styled sound, once: `AudioSettings`, beside `Settings` of pictures.

Free of torch, so that `--help` is instant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from impasto.settings.options import Options, option

__all__ = ["AudioSettings"]

StartName = Literal["content", "noise"]
_THEIRS = "Ulyanov & Lebedev 2016"


@dataclass(frozen=True, kw_only=True)
class AudioSettings(Options):
    """What determines a styled sound besides its sounds. Checked when made; never changes.

    Raises: SettingsError: a value of the wrong type, out of its range, or unknown.
    """

    content_weight: float = option(
        0.25,
        "How much the content counts, of a style that counts 1.",
        half="objective",
        low=0,
        common=True,
    )
    filters: int = option(
        0,
        "Random filters that listen, 4096 in the paper; 0: infinitely many, in closed form, which "
        "is better and much faster.",
        half="objective",
        low=0,
        high=65536,
        source="Cho & Saul 2009",
        common=True,
    )
    taps: int = option(
        11, "How many frames a filter hears at once.", half="objective", low=1, high=256,
        source=_THEIRS,
    )  # fmt: skip
    window: float = option(
        93.0,
        "Length of a frame, brought to the nearest power of two in samples: short for the rhythm, "
        "long for the pitch.",
        half="objective",
        low=2,
        high=1000,
        unit="ms",
        source="Ulyanov & Lebedev 2016: 2048 samples at 22.05 kHz",
    )
    overlap: int = option(
        4, "How many frames hear the same moment.", half="objective", low=2, high=16, source=_THEIRS
    )
    rate: int = option(
        48000,
        "Highest sampling rate to work at; a content of a higher one is brought back to its own.",
        half="objective",
        low=4000,
        high=384_000,
        unit="Hz",
    )
    init: StartName = option(
        "content", "Sound to start from.", half="schedule", common=True
    )  # fmt: skip
    steps: int = option(
        50, "Evaluations of the objective and its gradient.", half="schedule", low=1, common=True
    )
    history: int = option(
        20, "How many past steps L-BFGS remembers.", half="schedule", low=1, high=1000
    )
    phase_steps: int = option(
        100,
        "Rounds of Griffin and Lim's algorithm, which looks for a sound that has the spectrogram.",
        half="schedule",
        low=0,
        high=100_000,
    )
    phase_momentum: float = option(
        0.99,
        "How far each of these rounds goes beyond the last; 0: as Griffin and Lim have it.",
        half="schedule",
        low=0,
        high=2,
        source="Perraudin, Balazs & Søndergaard 2013",
    )
    seed: int = option(
        0, "Seed of the filters and of the noise.", half="schedule", low=0, high=2**63 - 1,
        common=True,
    )  # fmt: skip
