"""One sound in the style of another: the method, and its command."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

import impasto
from helpers import assert_clear_error, assert_close, tree
from impasto.audio.files import Sound, load_sound, save_sound, true_peak
from impasto.audio.transfer import loudness, plan_sound, stylize_sound
from impasto.errors import (
    DivergenceError,
    MemoryLimitError,
    SettingsError,
    SoundError,
    install_hint,
)
from impasto.optimize.loop import Step
from impasto.settings.options import show_value
from impasto.settings.sounds import AudioSettings
from sound_samples import RATE, SMALL, melody, metadata_of, rattle

SETTINGS = AudioSettings(**SMALL)
FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]


@pytest.fixture
def files(tmp_path):
    """A folder with content.wav, mono, and style.wav, stereo at another rate."""
    save_sound(melody(), tmp_path / "content.wav")
    save_sound(rattle(rate=11025, channels=2), tmp_path / "style.wav")
    return tmp_path


@pytest.fixture
def audio(command, files):
    def call(*words, content="content.wav", style="style.wav", output="out.wav"):
        return command(
            "audio", files / content, files / style, "-o", files / output, "--threads=1",
            *FLAGS, *words,
        )  # fmt: skip

    return call


# ---- the objective ------------------------------------------------------------------------------


def test_the_losses_are_the_formulas():
    """With Gram matrices made outright, in float64."""
    transfer = plan_sound(melody(channels=2), rattle(), SETTINGS.replace(content_weight=0.3))
    weights = transfer.objective.filters.weights.double()

    def features(spectrogram):
        pieces = spectrogram.double().unfold(2, 3, 1).permute(3, 1, 0, 2).flatten(2).flatten(0, 1)
        return (weights @ pieces).relu()

    content, style = (transfer.spectrogram(each) for each in (transfer.working, transfer.style))
    image = content + 0.1 * torch.rand(content.shape, generator=torch.Generator().manual_seed(0))
    ours = transfer.objective(image.unsqueeze(2))
    f, p, s = (features(each) for each in (image, content, style))
    grams = [each @ each.T / each.shape[1] for each in (f, s)]
    expected = (grams[0] - grams[1]).square().sum() / grams[1].square().sum()
    assert_close(ours["style"], float(expected), relative=1e-4)
    expected = 0.3 * (f - p).square().sum() / p.square().sum()
    assert_close(ours["content"], float(expected), relative=1e-4)


@pytest.mark.parametrize("filters", [0, 16])
def test_the_terms_are_zero_at_their_own_targets(filters):
    transfer = plan_sound(melody(), rattle(), SETTINGS.replace(filters=filters))
    content, style = (transfer.spectrogram(each) for each in (transfer.working, transfer.style))
    assert abs(float(transfer.objective(content.unsqueeze(2))["content"])) < 1e-5
    assert abs(transfer.objective.style_distance(style)) < 1e-5
    assert transfer.objective.style_distance(content) > 0.1


# ---- the result ---------------------------------------------------------------------------------


@pytest.mark.parametrize("filters", [0, 64])
def test_the_style_comes_nearer_and_the_rhythm_stays(filters):
    settings = SETTINGS.replace(filters=filters, steps=30, phase_steps=30, content_weight=0.02)
    result = stylize_sound(melody(2.0), rattle(2.0), settings)
    assert result.distances["optimized"] < result.distances["content"] / 10
    assert result.distances["result"] < result.distances["content"] / 2
    envelopes = [
        each.samples[0].reshape(-1, RATE // 20).square().mean(1).sqrt()
        for each in (result.sound, melody(2.0))
    ]
    assert float(torch.corrcoef(torch.stack(envelopes))[0, 1]) > 0.4


def test_the_distances_are_those_of_what_is_written(files):
    result = stylize_sound(files / "content.wav", files / "style.wav", SETTINGS)
    result.save(files / "out.wav", bits=24)
    transfer = plan_sound(files / "content.wav", files / "style.wav", SETTINGS)
    written = transfer.objective.style_distance(
        transfer.spectrogram(load_sound(files / "out.wav"), result.level)
    )
    assert written == pytest.approx(result.distances["result"], rel=0.02)


def test_the_same_seed_gives_the_same_samples():
    results = [
        stylize_sound(melody(), rattle(), SETTINGS.replace(seed=seed)).sound.samples
        for seed in (1, 1, 2)
    ]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize(
    ("content", "style", "highest"),
    [
        (melody(0.5, rate=11025), rattle(rate=8000, channels=2), 48000),
        (melody(0.5, rate=16000, channels=2), rattle(rate=8000), 8000),
        (melody(0.5, channels=3), rattle(), 48000),
    ],
)
def test_rate_length_and_channels_are_the_contents(content, style, highest):
    result = stylize_sound(content, style, SETTINGS.replace(rate=highest))
    assert result.sound.rate == content.rate
    assert result.sound.samples.shape == content.samples.shape


def test_equal_channels_stay_equal_and_a_silent_one_silent():
    mono = melody().samples
    both = stylize_sound(Sound(mono.repeat(2, 1), RATE), rattle(), SETTINGS).sound.samples
    assert_close(both[0], both[1].numpy(), relative=1e-4)
    left = torch.cat([mono, torch.zeros_like(mono)])
    found = stylize_sound(Sound(left, RATE), rattle(channels=2), SETTINGS).sound.samples
    assert float(found[0].abs().max()) > 0.01
    assert float(found[1].abs().max()) < 1e-6


def test_each_channel_is_as_loud_as_the_contents():
    content = melody(channels=2)
    quiet = replace(content, samples=content.samples * 0.1)
    result = stylize_sound(quiet, rattle(), SETTINGS).sound
    assert_close(loudness(result.samples), loudness(quiet.samples).numpy(), relative=1e-4)


def test_how_loud_the_recordings_are_changes_nothing_else():
    content, style = melody(), rattle()
    soft = [replace(content, samples=content.samples * gain) for gain in (0.25, 0.0625)]
    louder = replace(style, samples=style.samples * 4)
    once = stylize_sound(soft[0], style, SETTINGS).sound.samples
    again = stylize_sound(soft[1], louder, SETTINGS).sound.samples
    assert_close(again * 4, once.numpy(), relative=1e-3)


def test_nothing_clips_even_between_samples():
    content = melody()
    loud = replace(content, samples=(content.samples * 50).clamp(-1, 1))
    result = stylize_sound(loud, rattle(), SETTINGS).sound
    assert true_peak(result) <= 10 ** (-1 / 20) + 1e-4


def test_noise_to_start_from_follows_the_seed():
    noise = [SETTINGS.replace(init="noise", seed=seed) for seed in (1, 1, 2)]
    starts = [next(plan_sound(melody(), rattle(), each).steps()).image for each in noise]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
    assert 0 < float(starts[0].max()) < 0.01


def test_what_it_was_made_with(files):
    result = stylize_sound(files / "content.wav", files / "style.wav", SETTINGS)
    result.save(files / "out.flac")
    noted = metadata_of(files / "out.flac")
    assert noted["impasto"] == impasto.__version__
    assert AudioSettings.from_dict(noted["audio_settings"]) == SETTINGS
    assert (noted["content"]["name"], noted["styles"][0]["name"]) == ("content.wav", "style.wav")
    assert set(noted["distances"]) == {"content", "optimized", "result"}
    assert "finished" not in noted
    assert str(files) not in json.dumps(noted)
    assert repr(result) == "<SoundPastiche of <Sound, 1.00 s, 1 × 8000 Hz>, 6 steps>"


def test_steps_are_told():
    seen: list[Step] = []
    result = stylize_sound(melody(), rattle(), SETTINGS, on_step=seen.append)
    assert [step.index for step in seen] == [1, 2, 3, 4, 5, 6]
    assert len(result.history) == 6
    assert set(seen[0].losses) == {"content", "style"}


# ---- bad input ----------------------------------------------------------------------------------


def test_sounds_that_cannot_be_used():
    silence = Sound(torch.full((1, 8000), 0.3), RATE, "still.wav")
    short = Sound(torch.ones(1, 80), RATE, "short.wav")
    for bad in (silence, short):
        for pair in ((bad, rattle()), (melody(), bad)):
            with pytest.raises(SoundError, match=f"{bad.name} (is silent|lasts 0.01 s; at least)"):
                plan_sound(*pair, SETTINGS)
    with pytest.raises(SoundError, match="not finite"):
        plan_sound(Sound(torch.full((1, 8000), torch.nan), RATE), rattle())


@pytest.mark.parametrize(("filters", "free"), [(0, 6e4), (16, 1.1e6)])
def test_a_sound_that_does_not_fit_into_memory(filters, free, monkeypatch):
    monkeypatch.setattr("impasto.audio.transfer.free_memory", lambda device: free)
    monkeypatch.setattr("impasto.audio.transfer.held_memory", lambda: 0.0)
    with pytest.raises(MemoryLimitError, match=r"melody\.wav lasts 1 s.*cut both to about \d+ %"):
        plan_sound(melody(), rattle(), SETTINGS.replace(filters=filters))


def test_bad_settings():
    with pytest.raises(SettingsError, match="taps: 0 is not between 1 and 256"):
        AudioSettings(taps=0)
    with pytest.raises(SettingsError, match="step: no such setting; did you mean steps"):
        AudioSettings.from_dict({"step": 3})


# ---- the command --------------------------------------------------------------------------------


def test_the_command(audio, files):
    outcome = audio("--plot", files / "plot.png")
    assert (outcome.code, outcome.out) == (0, "")
    first, *_, phases, end = outcome.err.splitlines()
    number = r"[\d.e+-]+"
    assert re.match(rf"1\.0 s  step 1/6  content {number}  style {number}  0:00 elapsed", first)
    assert phases == "Computing the sound from its spectrogram …"
    assert re.fullmatch(
        rf"Wrote {files}/out\.wav: 1\.0 s, mono, 8000 Hz; distance from the style "
        rf"{number} → {number}; \d+ s",
        end,
    )
    assert soundfile.info(files / "out.wav").subtype == "PCM_16"
    assert (files / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_json_and_quiet(audio):
    outcome = audio("--json", "--quiet", "--seed", 4, output="out.flac")
    assert (outcome.code, outcome.err) == (0, "")
    summary = json.loads(outcome.out)
    assert (summary["channels"], summary["rate"], summary["length"]) == (1, 8000, 1.0)
    assert summary["audio_settings"]["seed"] == 4
    assert set(summary["losses"]) == {"content", "style", "total"}
    assert (summary["finished"], summary["steps"]) == (True, 6)


def test_24_bits(audio, files):
    assert audio("--bits", 24).code == 0
    assert soundfile.info(files / "out.wav").subtype == "PCM_24"


def test_an_old_file_is_replaced_with_force_only(audio, files):
    (files / "out.wav").write_bytes(b"precious")
    assert_clear_error(audio(), "out.wav exists already; --force replaces it")
    assert (files / "out.wav").read_bytes() == b"precious"
    assert audio("--force").code == 0
    assert load_sound(files / "out.wav").rate == RATE


def test_bad_input_is_one_sentence_and_nothing_is_written(audio, files):
    soundfile.write(files / "still.wav", np.zeros(8000), RATE)
    soundfile.write(files / "short.wav", np.ones(80), RATE)
    soundfile.write(files / "nan.wav", np.full(8000, np.nan), RATE, subtype="FLOAT")
    (files / "text.wav").write_text("not a sound")
    (files / "empty.wav").touch()
    before = tree(files)
    for name, words in [
        ("still.wav", "still.wav is silent"), ("short.wav", "lasts 0.01 s; at least"),
        ("nan.wav", "not finite"), ("text.wav", "is not a sound in a format that can be read"),
        ("empty.wav", "is empty"), ("missing.wav", "there is no such file"),
    ]:  # fmt: skip
        assert_clear_error(audio(content=name), words)
        assert_clear_error(audio(style=name), words)
    assert_clear_error(audio(output="out.mp3"), "sounds are written as .wav or .flac")
    assert_clear_error(audio("--bits", 8), "bits: 8 is not one of 16, 24")
    assert_clear_error(audio("--steps", 0), "steps: 0 is not a finite number ≥ 1")
    assert_clear_error(audio("--plot", files / "plot.gif"), "plot.gif")
    assert_clear_error(audio("--plot", files / "out.wav"), "named for two results")
    assert tree(files) == before


@pytest.mark.parametrize("library", ["soundfile", "soxr", "matplotlib"])
def test_a_missing_library_is_named(library, audio, files, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    before = tree(files)
    extra = "plot" if library == "matplotlib" else "audio"
    words = ("--plot", files / "plot.png") if library == "matplotlib" else ()
    assert_clear_error(audio(*words), library, install_hint(extra))
    assert tree(files) == before


def test_ctrl_c_keeps_the_best_so_far(audio, files, monkeypatch):
    from impasto.audio.transfer import SoundTransfer

    steps = SoundTransfer.steps

    def interrupted(transfer):
        for step in steps(transfer):
            if step.index == 3:
                raise KeyboardInterrupt
            yield step

    monkeypatch.setattr(SoundTransfer, "steps", interrupted)
    outcome = audio()
    assert outcome.code == 130
    assert "Interrupted at step 2 of 6; wrote the best sound so far, " in outcome.err
    assert metadata_of(files / "out.wav")["finished"] is False
    monkeypatch.setattr(SoundTransfer, "steps", lambda transfer: _raise(KeyboardInterrupt))
    outcome = audio(output="none.wav")
    assert (outcome.code, outcome.err) == (130, "Interrupted: no sound written.\n")
    assert not (files / "none.wav").exists()


def test_divergence_keeps_the_last_good(audio, files, monkeypatch):
    from impasto.audio.transfer import SoundTransfer

    steps = SoundTransfer.steps

    def diverging(transfer):
        step = next(steps(transfer))
        yield step
        raise DivergenceError("the loss became inf", step.image)

    monkeypatch.setattr(SoundTransfer, "steps", diverging)
    outcome = audio()
    assert outcome.code == 1
    assert "Error: the loss became inf" in outcome.err
    assert "Wrote the last good sound, " in outcome.err
    assert load_sound(files / "out.wav").rate == RATE


def _raise(error):
    raise error


def test_help_has_every_setting_with_its_default(command):
    everything, common = (command("audio", word).out for word in ("--help-all", "--help"))
    for option in dataclasses.fields(AudioSettings):
        flag = "--" + option.name.replace("_", "-")
        assert flag in everything
        assert (flag + " " in common) is option.metadata["common"]
        default = show_value(option.default, option.metadata["unit"])
        assert f"[default:{default}]".replace(" ", "") in re.sub(r"\s", "", everything)
    assert "--long-side" not in everything
