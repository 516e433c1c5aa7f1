"""One sound in the style of another: the same loop as for pictures, on a spectrogram.

sound → spectrogram (spectrogram.py) → features (random_filters.py) → content and style loss →
L-BFGS (optimize) → spectrogram → sound (Griffin & Lim).

Paper: Ulyanov & Lebedev, "Audio texture synthesis and style transfer", 2016.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from impasto.audio.files import Sound, load_sound, resample, save_sound, sound_of, true_peak
from impasto.audio.random_filters import Filters, choose_filters
from impasto.audio.spectrogram import Transform, griffin_lim
from impasto.errors import MemoryLimitError, SoundError, counted
from impasto.machine import free_memory, held_memory
from impasto.optimize.loop import Step, optimize, run_to_end
from impasto.settings.sounds import AudioSettings

__all__ = ["SoundObjective", "SoundPastiche", "SoundTransfer", "plan_sound", "stylize_sound"]

# Both sounds are scaled to this root mean square, −20 dB of full scale. So the loudness of a
# recording changes only the loudness of the result.
_LOUDNESS = 0.1
_SILENCE = 1e-5  # −100 dB: below the last bit of 16
_CEILING = 10 ** (-1 / 20)  # −1 dB true peak, as in EBU R 128
_NOISE = 1e-3  # amplitude of a start from noise / that of the louder sound (Ulyanov & Lebedev 2016)

SoundSource = str | os.PathLike[str] | Sound


class SoundObjective:
    """Log-magnitude spectrogram → {"content": …, "style": …}; their sum is minimized.

    style = ‖G − G*‖² / ‖G*‖²,  content = weight · Σ (F − P)² / Σ P²,  G = F Fᵀ / T

    with the features F of the spectrogram, P of the content's, and the Gram matrix G* of the
    style's. Differs: Ulyanov & Lebedev do not divide. The division makes a weight mean the same for
    every loudness, length and number of filters. The pieces of all channels share one Gram
    matrix, so the style comes from all channels, while each channel keeps its own content.

    Args:
        content, style: spectrograms, (C, bins, T) and (C', bins, T').
        filters: the features to compare.
        content_weight: weight of the content term.
    """

    def __init__(
        self, content: Tensor, style: Tensor, filters: Filters, content_weight: float
    ) -> None:
        self.filters = filters
        self.content_weight = content_weight
        self.content, self.style = filters.measure(content), filters.measure(style)
        self.style_norm = filters.overlap(self.style, self.style)
        self.content_squares = filters.products(self.content, self.content)

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms of (C, bins, 1, T), the shape that `optimize` works on."""
        heard = self.filters.measure(image.squeeze(2))
        return {"content": self._content(heard), "style": self._style(heard)}

    def style_distance(self, spectrogram: Tensor) -> float:
        """Return ‖G − G*‖² / ‖G*‖² of a spectrogram, (C, bins, T)."""
        with torch.no_grad():
            return float(self._style(self.filters.measure(spectrogram)))

    def _style(self, heard: Any) -> Tensor:
        own, shared = (self.filters.overlap(heard, each) for each in (heard, self.style))
        return (own - 2 * shared + self.style_norm) / self.style_norm

    def _content(self, heard: Any) -> Tensor:
        own, shared = (self.filters.products(heard, each) for each in (heard, self.content))
        distance = (own - 2 * shared + self.content_squares).mean()
        return self.content_weight * distance / self.content_squares.mean()


@dataclass(frozen=True, eq=False, repr=False)
class SoundPastiche:
    """A finished sound and how it was made.

    Attributes:
        sound: the result. It has the length, the rate and the number of channels of the content.
            It is as loud as the content, or softer if it would clip otherwise.
        settings: the settings of the run.
        history: for each step, its number, seconds and losses.
        inputs: names (without folders) and SHA-256 sums of the input files.
        distances: three distances to the style, ‖G − G*‖² / ‖G*‖²: of the content ("content"), of
            the optimized spectrogram ("optimized") and of the result ("result"). The last two
            differ, because usually no sound has exactly the optimized spectrogram.
        level: the root mean square that the result was scaled to before its distance was measured.
        finished: whether the run reached its last step.
    """

    sound: Sound
    settings: AudioSettings
    history: Sequence[Mapping[str, Any]] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    distances: Mapping[str, float] = field(default_factory=dict)
    level: float = _LOUDNESS
    finished: bool = True

    @property
    def metadata(self) -> dict[str, Any]:
        """The facts that are written into the file; they suffice to make the sound again."""
        from impasto._version import __version__

        ended = {} if self.finished else {"finished": False, "steps": len(self.history)}
        return {
            "impasto": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "audio_settings": self.settings.to_dict(),
            **self.inputs,
            "distances": {name: float(f"{value:.4g}") for name, value in self.distances.items()},
            **ended,
        }

    def save(self, path: str | os.PathLike[str], *, bits: int = 16, overwrite: bool = True) -> None:
        """Write a WAV or FLAC file, with the metadata in its comment.

        Raises: as for `save_sound`. If the file cannot be written, an existing file is unchanged.
        """
        save_sound(self.sound, path, bits=bits, metadata=self.metadata, overwrite=overwrite)

    def __repr__(self) -> str:
        return f"<SoundPastiche of {self.sound!r}, {counted(len(self.history), 'step')}>"


@dataclass(frozen=True, eq=False, repr=False)
class SoundTransfer:
    """A planned transfer: both sounds are read, checked and measured.

    Attributes:
        content: the content, as it was read.
        working: the content at the working rate and the common loudness.
        style: the style at the same rate and loudness.
        settings: the settings of the run.
        transform: converts samples to a spectrum, and a spectrum to samples.
        top: the largest log-magnitude of both sounds. Spectrograms are divided by it, so that the
            largest value is 1.
        objective: the objective to minimize.
        inputs: names (without folders) and SHA-256 sums of the input files.
    """

    content: Sound
    working: Sound
    style: Sound
    settings: AudioSettings
    transform: Transform
    top: float
    objective: SoundObjective
    inputs: Mapping[str, Any]

    def steps(self) -> Iterator[Step]:
        """Optimize the spectrogram, and yield a step after every evaluation of the objective.

        The image of a step is a spectrogram, (C, bins, 1, T), in [0, 1].

        Raises: DivergenceError: the optimization failed; the error holds the last good image.
        """
        return optimize(
            self._start().unsqueeze(2),
            self.objective,
            steps=self.settings.steps,
            history=self.settings.history,
        )

    def spectrogram(self, sound: Sound, level: float = _LOUDNESS) -> Tensor:
        """Return log(1 + |spectrum|) / top of a sound, (C, bins, T).

        Args: level: the root mean square that the sound is scaled to first.
        """
        return log_magnitude(_leveled(sound, level), self.transform) / self.top

    def decibels(self, sound: Sound) -> Tensor:
        """Return the mean power of the channels, (bins, T), in dB relative to the loudest bin."""
        power = self.transform.analyze(sound.samples).abs().square().mean(dim=0)
        return 10 * torch.log10(power / power.max().clamp_min(1e-20) + 1e-12)

    def finish(
        self, image: Tensor, history: Sequence[Mapping[str, Any]] = (), *, finished: bool = True
    ) -> SoundPastiche:
        """Find a sound whose spectrogram is close to this one.

        Its length and loudness are those of the content; see `SoundPastiche.sound`.

        Args:
            image: the image of a step, (C, bins, 1, T).
            history: the numbers of the steps so far, for the result.
            finished: whether the run reached its last step.
        """
        spectrogram = image.detach().squeeze(2)
        sound = self._with_spectrogram(spectrogram)
        made = _as_long(resample(sound, self.content.rate), self.content.samples.shape[1])
        made = _as_loud(made, self.content)
        heard = resample(made, self.working.rate)
        # The comparison is at the working loudness; in the file the loudness is the content's.
        level = _level(sound)
        distances = {
            "content": self.objective.style_distance(self.spectrogram(self.working)),
            "optimized": self.objective.style_distance(spectrogram),
            "result": self.objective.style_distance(self.spectrogram(heard, level)),
        }
        return SoundPastiche(
            made, self.settings, tuple(history), self.inputs, distances, level, finished
        )

    def _start(self) -> Tensor:
        content = self.spectrogram(self.working)
        if self.settings.init == "content":
            return content
        generator = torch.Generator().manual_seed(self.settings.seed)
        return _NOISE * torch.rand(content.shape, generator=generator)

    def _with_spectrogram(self, spectrogram: Tensor) -> Sound:
        magnitude = torch.expm1(spectrogram * self.top)
        # The search starts from the phases of the content, not from random ones. This keeps the
        # attacks and the stereo image of the content in place.
        phase = self.transform.analyze(self.working.samples).angle()
        samples = griffin_lim(
            magnitude,
            phase,
            self.transform,
            self.working.samples.shape[1],
            steps=self.settings.phase_steps,
            momentum=self.settings.phase_momentum,
        )
        return replace(self.working, samples=samples)


def plan_sound(
    content: SoundSource,
    style: SoundSource,
    settings: AudioSettings | None = None,
    *,
    memory: float | None = None,
) -> SoundTransfer:
    """Read, check and measure both sounds.

    Args:
        content, style: each a path of a file, or a Sound.
        settings: None takes the defaults.
        memory: the limit, in bytes, for the whole process; None: the free memory.

    Raises:
        SoundError: a sound cannot be read, is silent, or is too short for the filters.
        ShapeError: the samples of a Sound are not (C, N).
        SettingsError: `impasto[audio]` is not installed.
        MemoryLimitError: the sounds do not fit into memory; the message says to what share of
            their lengths both must be cut.
    """
    settings = settings or AudioSettings()
    sounds = [sound_of(each) if isinstance(each, Sound) else load_sound(each)
              for each in (content, style)]  # fmt: skip
    rate = min(sounds[0].rate, settings.rate)
    transform = Transform.of(rate, milliseconds=settings.window, overlap=settings.overlap)
    for sound in sounds:
        _check(sound, transform, rate, settings)
    working, styled = (_leveled(resample(sound, rate)) for sound in sounds)
    _check_memory(working, styled, transform, settings, memory)
    maps = [log_magnitude(sound, transform) for sound in (working, styled)]
    top = max(float(each.max()) for each in maps)
    filters = choose_filters(
        transform.bins, filters=settings.filters, taps=settings.taps, seed=settings.seed
    )
    objective = SoundObjective(maps[0] / top, maps[1] / top, filters, settings.content_weight)
    inputs = {"content": _identity(sounds[0]), "styles": [_identity(sounds[1])]}
    return SoundTransfer(
        sounds[0], working, styled, settings, transform, top, objective, inputs
    )  # fmt: skip


def stylize_sound(
    content: SoundSource,
    style: SoundSource,
    settings: AudioSettings | None = None,
    *,
    on_step: Callable[[Step], None] | None = None,
) -> SoundPastiche:
    """Make a sound with the events of the content and the timbre of the style.

    Args:
        content: a path of a file, or a Sound.
        style: a path of a file, or a Sound. Its length, rate and number of channels may differ from
            the content's.
        settings: None takes the defaults.
        on_step: a function that is called after every evaluation.

    Raises: as for `plan_sound`; DivergenceError: the optimization failed.
    """
    transfer = plan_sound(content, style, settings)
    return transfer.finish(*run_to_end(transfer.steps(), on_step))


def log_magnitude(sound: Sound, transform: Transform) -> Tensor:
    """Return log(1 + |spectrum|), (C, bins, T): Ulyanov & Lebedev's spectrogram."""
    return torch.log1p(transform.analyze(sound.samples).abs())


def loudness(samples: Tensor) -> Tensor:
    """Return the root mean square of each channel, (C), without its constant part."""
    return samples.std(dim=1, correction=0)


def _level(sound: Sound) -> float:
    """Return the root mean square of all channels together."""
    return float(loudness(sound.samples).square().mean().sqrt())


def _leveled(sound: Sound, level: float = _LOUDNESS) -> Sound:
    """Scale all channels by one factor to a loudness; silence stays silence."""
    return replace(sound, samples=sound.samples * (level / max(_level(sound), _SILENCE)))


def _as_long(sound: Sound, length: int) -> Sound:
    missing = max(length - sound.samples.shape[1], 0)
    return replace(sound, samples=functional.pad(sound.samples, (0, missing))[:, :length])


def _as_loud(sound: Sound, content: Sound) -> Sound:
    """Make each channel as loud as the content's. If they clip, make all softer by one factor."""
    aim, given = loudness(content.samples), loudness(sound.samples)
    louder = replace(sound, samples=sound.samples * (aim / given.clamp_min(1e-12))[:, None])
    peak = true_peak(louder)
    return replace(louder, samples=louder.samples * min(1.0, _CEILING / peak))


def _least_seconds(transform: Transform, settings: AudioSettings, rate: int) -> float:
    """Return how long a sound must be at least: as long as a filter."""
    return (transform.window + (settings.taps - 1) * transform.hop) / rate


def _check(sound: Sound, transform: Transform, rate: int, settings: AudioSettings) -> None:
    least = _least_seconds(transform, settings, rate)
    if sound.seconds < least:
        raise SoundError(
            f"lasts {sound.seconds:.3g} s; at least {least:.2g} s are needed, which is the length "
            f"of a filter of {counted(settings.taps, 'frame')} of {settings.window:g} ms",
            path=sound.label,
        )
    if float(loudness(sound.samples).max()) < _SILENCE:
        raise SoundError(
            "is silent; a channel must be louder than −100 dB of full scale", path=sound.label
        )


def _check_memory(
    content: Sound,
    style: Sound,
    transform: Transform,
    settings: AudioSettings,
    memory: float | None,
) -> None:
    """Raise a MemoryLimitError if the sounds do not fit into memory; the factors are estimates."""
    # The limit is for the whole process, which holds the libraries and both sounds already.
    budget = free_memory(torch.device("cpu")) if memory is None else memory
    pieces, others = (
        sound.samples.shape[0] * transform.frames(sound.samples.shape[1])
        for sound in (content, style)
    )
    heard, held = transform.bins * settings.taps, held_memory()
    fixed = 4 * settings.filters * heard
    if settings.filters:
        growing = 4.0 * (pieces + others) * (3 * heard + 6 * settings.filters)
    else:
        growing = 4.0 * 12 * max(pieces, others) ** 2
    if budget is None or held + fixed + growing <= budget:
        return
    share = max(budget - held - fixed, 0.0) / growing
    share = int(100 * (share if settings.filters else share**0.5)) / 100
    shortest = min(content.seconds, style.seconds) * share
    fits = shortest >= _least_seconds(transform, settings, content.rate)
    remedy = f"cut both to about {100 * share:.0f} % of that" if fits else "allow more"
    raise MemoryLimitError(
        f"{content.label} lasts {content.seconds:.0f} s, {style.label} {style.seconds:.0f} s: "
        f"together they need {(fixed + growing) / 1e9:.2g} GB of memory besides the program's own "
        f"{held / 1e9:.2g} GB, and {budget / 1e9:.2g} GB are free or allowed; {remedy}, or set a "
        "lower rate"
    )


def _identity(sound: Sound) -> dict[str, str | None]:
    return {"name": sound.name, "sha256": sound.sha256}
