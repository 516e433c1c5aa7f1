"""The transform and the search for phases, against float64 frame by frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers import assert_close
from impasto.audio.spectrogram import Transform, griffin_lim
from impasto.errors import ShapeError
from sound_samples import melody, rattle, reference_samples, reference_spectrum

TRANSFORM = Transform(128, 32)


@pytest.mark.parametrize("length", [128, 1000, 1024, 4097])
def test_the_transform_is_the_reference(length):
    samples = rattle(1.0).samples[:, :length]
    ours = TRANSFORM.analyze(samples)
    expected = reference_spectrum(samples[0], 128, 32)
    assert ours.shape == (1, TRANSFORM.bins, TRANSFORM.frames(length))
    assert_close(ours[0].real, expected.real, relative=1e-5)
    assert_close(ours[0].imag, expected.imag, relative=1e-5)


def test_the_inverse_is_the_reference_also_of_what_no_sound_has():
    spectrum = torch.randn((65, 40), dtype=torch.complex64, generator=torch.Generator())
    spectrum[0] = spectrum[0].real + 0j
    spectrum[-1] = spectrum[-1].real + 0j
    ours = TRANSFORM.synthesize(spectrum[None], 1200)
    expected = reference_samples(spectrum.to(torch.complex128).numpy(), 128, 32, 1200)
    assert_close(ours[0], expected, relative=1e-4)


def test_there_and_back():
    samples = torch.cat([melody().samples, rattle(1.0).samples])
    assert_close(TRANSFORM.synthesize(TRANSFORM.analyze(samples), 8000), samples, relative=1e-5)


def test_a_full_scale_sine_has_a_magnitude_of_512_in_any_window():
    for window in (128, 512):
        sine = torch.sin(2 * torch.pi * 1000 * torch.arange(8000) / 8000)[None]
        assert_close(Transform(window, 32).analyze(sine).abs().max(), 512.0, relative=1e-3)


@pytest.mark.parametrize(
    ("rate", "window"), [(22050, 2048), (44100, 4096), (48000, 4096), (16000, 2048), (8000, 512)]
)
def test_a_window_lasts_about_as_long_at_every_rate(rate, window):
    expected = window if rate != 8000 else 512
    found = Transform.of(rate, milliseconds=93.0, overlap=4)
    assert found.window in (expected, 2 * expected, expected // 2)
    assert abs(np.log2(found.window / (rate * 0.093))) <= 0.5
    assert found.hop == found.window // 4


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_griffin_lim_is_the_reference(momentum):
    samples = melody(0.3).samples
    magnitude = TRANSFORM.analyze(samples).abs()
    phase = 2 * torch.pi * torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(1))
    length = samples.shape[1]
    ours = griffin_lim(magnitude, phase, TRANSFORM, length, steps=4, momentum=momentum)

    wanted = magnitude[0].double().numpy()
    spectrum, last = wanted * np.exp(1j * phase[0].double().numpy()), None
    for _ in range(4):
        sound = reference_samples(spectrum, 128, 32, length)
        possible = reference_spectrum(torch.from_numpy(sound), 128, 32)
        further = possible if last is None else possible + momentum * (possible - last)
        spectrum, last = wanted * np.exp(1j * np.angle(further)), possible
    assert_close(ours[0], reference_samples(spectrum, 128, 32, length), relative=1e-2)


def test_griffin_lim_comes_nearer_and_with_momentum_nearer_still():
    samples = melody(0.5).samples
    magnitude = TRANSFORM.analyze(samples).abs()
    phase = 2 * torch.pi * torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(1))

    def error(steps: int, momentum: float = 0.0) -> float:
        found = griffin_lim(magnitude, phase, TRANSFORM, 4000, steps=steps, momentum=momentum)
        return float((TRANSFORM.analyze(found).abs() - magnitude).norm() / magnitude.norm())

    assert error(30) < error(5) < error(0)
    assert error(30, 0.99) < error(30)


def test_griffin_lim_leaves_a_sound_with_its_own_phases_alone():
    samples = rattle(0.5).samples
    spectrum = TRANSFORM.analyze(samples)
    found = griffin_lim(spectrum.abs(), spectrum.angle(), TRANSFORM, 4000, steps=3, momentum=0.99)
    assert_close(found, samples, relative=1e-3)


def test_samples_of_another_shape():
    with pytest.raises(ShapeError, match=r"samples are \(C, N\), not \(5,\)"):
        TRANSFORM.analyze(torch.zeros(5))
