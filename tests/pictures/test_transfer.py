"""Transfer functions, primaries and the tone curve, against the figures of the standards."""

from __future__ import annotations

import math

import pytest
import torch

from impasto.pictures.transfer import (
    HLG,
    PQ,
    Signal,
    compressed,
    expanded,
    from_srgb,
    hlg_to_light,
    in_gamut,
    light_to_hlg,
    light_to_pq,
    light_to_srgb,
    luminance_shares,
    pq_to_light,
    primaries_matrix,
    srgb_to_light,
)


def pixel(red: float, green: float, blue: float) -> torch.Tensor:
    return torch.tensor([red, green, blue], dtype=torch.float64).reshape(1, 3, 1, 1)


def gray(value: float) -> torch.Tensor:
    return pixel(value, value, value)


def ramp() -> torch.Tensor:
    """Every combination of 9 values in three channels, (1, 3, 27, 27)."""
    values = torch.linspace(0, 1, 9, dtype=torch.float64)
    return torch.stack(torch.meshgrid(values, values, values, indexing="ij")).reshape(1, 3, 27, 27)


# BT.2408-7, table 1: reference levels of PQ and HLG.
@pytest.mark.parametrize(
    ("light", "signal"), [(203, 0.581), (100, 0.508), (1000, 0.752), (10_000, 1.0), (26, 0.38)]
)
def test_pq_has_the_levels_of_the_standard(light, signal):
    found = float(light_to_pq(torch.tensor(light, dtype=torch.float64)))
    assert found == pytest.approx(signal, abs=6e-4)
    assert float(pq_to_light(torch.tensor(found, dtype=torch.float64))) == pytest.approx(light)


@pytest.mark.parametrize(("light", "signal"), [(203, 0.75), (1000, 1.0), (26, 0.38)])
def test_hlg_has_the_levels_of_the_standard(light, signal):
    assert float(light_to_hlg(gray(light)).mean()) == pytest.approx(signal, abs=6e-3)
    assert float(hlg_to_light(gray(0.75)).mean()) == pytest.approx(203, abs=0.5)
    assert float(hlg_to_light(gray(1.0)).mean()) == pytest.approx(1000, rel=1e-6)


def test_hlg_applies_the_ootf_to_the_luminance_not_to_each_channel():
    """A red of BT.2100: E = (3 E')⁻¹…, F = 1000 Y^0.2 E, with Y = 0.2627 E."""
    scene = (
        0.6**2 / 3 if 0.6 <= 0.5 else (math.exp((0.6 - 0.55991073) / 0.17883277) + 0.28466892) / 12
    )
    expected = 1000 * (0.2627 * scene) ** 0.2 * scene
    found = hlg_to_light(pixel(0.6, 0, 0))
    assert float(found[0, 0]) == pytest.approx(expected, rel=1e-4)
    assert float(found[0, 1:].abs().max()) == 0


def test_both_ways_of_every_transfer_function_meet():
    image = ramp()
    assert torch.allclose(light_to_srgb(srgb_to_light(image)), image, atol=1e-6)
    assert torch.allclose(light_to_pq(pq_to_light(image)), image, atol=1e-6)
    assert torch.allclose(light_to_hlg(hlg_to_light(image)), image, atol=1e-6)


def test_primaries_are_those_of_bt_2087():
    expected = torch.tensor(
        [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
        dtype=torch.float64,
    )
    assert torch.allclose(primaries_matrix(9, 1), expected, atol=6e-5)
    assert torch.allclose(primaries_matrix(1, 1), torch.eye(3, dtype=torch.float64), atol=1e-12)
    assert luminance_shares(9) == pytest.approx((0.2627, 0.6780, 0.0593), abs=5e-5)
    assert luminance_shares(1) == pytest.approx((0.2126, 0.7152, 0.0722), abs=5e-5)


@pytest.mark.parametrize("source", [4, 8, 10, 11])
def test_white_stays_white_if_the_white_points_differ(source):
    white = primaries_matrix(source, 1) @ torch.ones(3, dtype=torch.float64)
    assert torch.allclose(white, torch.ones(3, dtype=torch.float64), atol=1e-9)


def hermite(light: float, peak: float) -> float:
    """BT.2390-11, section 5.4.1, word by word, with the black level 0."""
    top, most = (float(light_to_pq(torch.tensor(x, dtype=torch.float64))) for x in (peak, 203))
    value, most = float(light_to_pq(torch.tensor(light, dtype=torch.float64))) / top, most / top
    knee = 1.5 * most - 0.5
    if value >= knee:
        t = (value - knee) / (1 - knee)
        value = (
            (2 * t**3 - 3 * t**2 + 1) * knee
            + (t**3 - 2 * t**2 + t) * (1 - knee)
            + (-2 * t**3 + 3 * t**2) * most
        )
    return float(pq_to_light(torch.tensor(value * top, dtype=torch.float64)))


@pytest.mark.parametrize("peak", [400.0, 1000.0, 4000.0, 10_000.0])
def test_the_tone_curve_is_that_of_bt_2390(peak):
    for light in (0.01, 1, 50, 90, 120, 203, 350, peak / 2, peak):
        if light <= peak:
            found = float(compressed(gray(light), peak).mean())
            assert found == pytest.approx(hermite(light, peak), rel=1e-6)
    assert float(compressed(gray(peak), peak).mean()) == pytest.approx(203)
    assert float(compressed(gray(2 * peak), peak).mean()) == pytest.approx(203)


def test_the_tone_curve_keeps_hues_and_can_be_undone():
    light = 1000 * ramp()
    back = expanded(compressed(light, 1000), 1000)
    assert torch.allclose(back, light, rtol=1e-4, atol=1e-6)
    red = compressed(pixel(800, 400, 200), 1000)
    assert float(red[0, 0] / red[0, 2]) == pytest.approx(4)


def test_colors_outside_keep_their_luminance():
    light = pixel(1.2, -0.1, 0.3)
    found = in_gamut(light)
    shares = torch.tensor(luminance_shares(1), dtype=torch.float64).reshape(1, 3, 1, 1)
    assert float(found.min()) == pytest.approx(0, abs=1e-12)
    assert float((found * shares).sum()) == pytest.approx(float((light * shares).sum()))
    inside = pixel(0.2, 0.7, 0.1)
    assert torch.equal(in_gamut(inside), inside)


@pytest.mark.parametrize("signal", [Signal(9, PQ), Signal(9, HLG), Signal(12, PQ, 4000.0)])
def test_a_painting_keeps_its_colors_in_a_signal_of_high_dynamic_range(signal):
    """Brought there and shown at 203 cd/m², it has the light that it has as sRGB."""
    painting = ramp()
    there = signal.from_working(from_srgb(painting, signal))
    light = pq_to_light(there) if signal.transfer == PQ else hlg_to_light(there)
    matrix = primaries_matrix(1, signal.primaries)
    expected = 203 * torch.einsum("ij,bjhw->bihw", matrix, srgb_to_light(painting))
    assert torch.allclose(light, expected, atol=0.05)


@pytest.mark.parametrize("signal", [Signal(9, PQ), Signal(9, HLG)])
def test_a_frame_survives_the_way_there_and_back(signal):
    values = ramp() * (0.7518 if signal.transfer == PQ else 1)
    assert torch.allclose(signal.from_working(signal.to_working(values)), values, atol=2e-4)


@pytest.mark.parametrize("signal", [Signal(9, PQ), Signal(9, HLG)])
def test_a_gray_of_high_dynamic_range_stays_gray_and_rises(signal):
    values = torch.linspace(0, 1, 64, dtype=torch.float64).expand(1, 3, 1, 64)
    found = signal.to_srgb(values)
    assert float((found - found.mean(1, keepdim=True)).abs().max()) < 1e-5
    assert bool((found[0, 0, 0].diff() >= -1e-9).all())
    assert float(found[..., 0].max()) == 0
    assert float(found[..., -1].min()) == pytest.approx(1, abs=1e-6)


def test_reference_white_is_bright_and_dark_tones_are_exact():
    """50 cd/m² of a white of 203 are 0.246 of it, linear; white has 0.9 of sRGB's range."""
    dark = Signal(9, PQ).to_srgb(light_to_pq(gray(50)))
    assert float(dark.mean()) == pytest.approx(
        float(light_to_srgb(gray(50 / 203)).mean()), abs=1e-5
    )
    white = Signal(9, PQ).to_srgb(light_to_pq(gray(203)))
    assert float(white.mean()) == pytest.approx(0.9, abs=0.01)


def test_signals_of_standard_range_stay_as_they_are():
    image = ramp()
    for primaries, transfer in ((1, 1), (2, 2), (6, 6), (5, 6), (1, 13), (2, 1)):
        assert Signal(primaries, transfer).to_srgb(image) is image


def test_wide_primaries_of_standard_range_become_srgb():
    found = Signal(9, 14).to_srgb(pixel(0.5, 0.5, 0.5))
    assert torch.allclose(found, pixel(0.5, 0.5, 0.5), atol=1e-6)
    srgb = pixel(0.8, 0.3, 0.2)
    wide = light_to_srgb(torch.einsum("ij,bjhw->bihw", primaries_matrix(1, 9), srgb_to_light(srgb)))
    assert torch.allclose(Signal(9, 14).to_srgb(wide), srgb, atol=1e-6)


def test_linear_light_becomes_srgb():
    assert torch.allclose(Signal(1, 8).to_srgb(srgb_to_light(gray(0.5))), gray(0.5), atol=1e-6)


@pytest.mark.parametrize(
    ("transfer", "signal", "light"),
    [  # ITU-T H.273, table 3
        (4, 0.5, 0.5**2.2),
        (5, 0.5, 0.5**2.8),
        (9, 0.5, 0.1),
        (10, 0.6, 0.1),
        (17, (48 / 52.37 * 0.2) ** (1 / 2.6), 0.2),
    ],
)
def test_other_transfer_functions_of_standard_range(transfer, signal, light):
    expected = light_to_srgb(gray(light))
    assert torch.allclose(Signal(1, transfer).to_srgb(gray(signal)), expected, atol=1e-6)
    assert float(Signal(1, transfer).to_srgb(gray(0)).abs().max()) == 0
    assert float(Signal(1, transfer).to_srgb(gray(1)).min()) == pytest.approx(1)
