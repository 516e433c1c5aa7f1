"""Sounds in and out of files."""

from __future__ import annotations

import math
import re
import sys

import numpy as np
import pytest
import soundfile
import torch

from helpers import assert_close, tree
from impasto.audio.files import (
    Sound,
    check_sound_target,
    load_sound,
    resample,
    save_sound,
    true_peak,
)
from impasto.errors import SettingsError, ShapeError, SoundError, install_hint
from sound_samples import melody, metadata_of


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize(("suffix", "bits"), [(".wav", 16), (".wav", 24), (".flac", 24)])
def test_there_and_back(suffix, bits, channels, tmp_path):
    sound = melody(0.2, channels=channels)
    path = tmp_path / f"a{suffix}"
    save_sound(sound, path, bits=bits)
    found = load_sound(path)
    assert (found.rate, found.name, len(found.sha256)) == (sound.rate, f"a{suffix}", 64)
    assert found.samples.dtype == torch.float32
    assert float((found.samples - sound.samples).abs().max()) <= 2.0 ** (1 - bits)
    assert soundfile.info(path).subtype == f"PCM_{bits}"


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"), ("WAV", "FLOAT")],
)
def test_formats_that_are_read(kind, subtype, tmp_path):
    sound = melody(0.5, rate=22050, channels=2)
    path = tmp_path / "a.sound"  # the name does not matter
    soundfile.write(path, sound.samples.T.numpy(), 22050, format=kind, subtype=subtype)
    found = load_sound(path)
    assert (found.rate, found.samples.shape) == (22050, sound.samples.shape)
    correlation = np.corrcoef(found.samples.flatten(), sound.samples.flatten())[0, 1]
    assert correlation > 0.99


def test_what_is_too_loud_is_cut_off_and_not_wrapped(tmp_path):
    save_sound(Sound(torch.tensor([[0.0, 1.7, -1.7]]), 8000), tmp_path / "a.wav")
    assert_close(load_sound(tmp_path / "a.wav").samples, [[0, 1, -1]], relative=1e-4)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_metadata(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    save_sound(melody(0.1), path, metadata={"impasto": "1", "settings": {"name": "é"}})
    assert metadata_of(path) == {"impasto": "1", "settings": {"name": "é"}}
    save_sound(melody(0.1), path)
    assert metadata_of(path) == {}


def test_a_peak_between_samples():
    time = torch.arange(800)
    sound = Sound(torch.sin(math.pi / 2 * time + math.pi / 4)[None] * 0.9, 8000)
    assert float(sound.samples.abs().max()) < 0.64
    assert true_peak(sound) == pytest.approx(0.9, abs=0.1)


def test_resampling_keeps_pitch_and_length():
    time = torch.arange(16000) / 16000
    sound = Sound(torch.sin(2 * math.pi * 500 * time)[None], 16000)
    slower = resample(sound, 8000)
    assert (slower.rate, slower.samples.shape) == (8000, (1, 8000))
    expected = torch.sin(2 * math.pi * 500 * torch.arange(8000) / 8000)
    assert_close(slower.samples[0, 100:-100], expected[100:-100].numpy(), relative=1e-3)
    assert resample(sound, 16000) is sound


def write(path, samples, rate=8000):
    soundfile.write(path, samples, rate, format="WAV", subtype="FLOAT")


def test_what_is_no_sound(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is not a sound, whatever it is called")
    write(tmp_path / "none.wav", np.zeros((0, 1)))
    write(tmp_path / "nan.wav", np.array([0.0, np.nan]))
    write(tmp_path / "nine.wav", np.zeros((10, 9)))
    write(tmp_path / "slow.wav", np.zeros(10), rate=100)
    for name, complaint in [
        ("empty.wav", "is empty"),
        ("text.wav", "is not a sound in a format that can be read, such as WAV, FLAC, OGG or MP3"),
        ("none.wav", "holds no samples"),
        ("nan.wav", "has samples that are not finite"),
        ("nine.wav", "has 9 channels; up to 8 are allowed"),
        ("slow.wav", "has 100 samples per second; 4000 to 384000 are allowed"),
        ("missing.wav", "there is no such file"),
        (".", "is a folder, not a sound"),
    ]:
        with pytest.raises(SoundError, match=complaint):
            load_sound(tmp_path / name)


def test_a_sound_that_is_far_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr("impasto.audio.files._MOST_SAMPLES", 100)
    write(tmp_path / "a.wav", np.zeros(101))
    with pytest.raises(SoundError, match=r"lasts 0\.0 h; at most 100 samples are allowed"):
        load_sound(tmp_path / "a.wav")


def test_what_cannot_be_written(tmp_path):
    for check in (check_sound_target, lambda path, **more: save_sound(melody(0.1), path, **more)):
        with pytest.raises(
            SoundError, match=r"a\.mp3 cannot be written: sounds are written as \.wav or \.flac"
        ):
            check(tmp_path / "a.mp3")
        with pytest.raises(SettingsError, match="bits: 8 is not one of 16, 24"):
            check(tmp_path / "a.wav", bits=8)
        (tmp_path / "old.wav").write_bytes(b"precious")
        with pytest.raises(SoundError, match="exists already"):
            check(tmp_path / "old.wav", overwrite=False)
    assert tree(tmp_path) == {"old.wav": b"precious"}
    with pytest.raises(ShapeError, match="samples are"):
        save_sound(Sound(torch.zeros(5), 8000), tmp_path / "a.wav")


@pytest.mark.parametrize("library", ["soundfile", "soxr"])
def test_a_library_that_is_missing_is_named(library, tmp_path, monkeypatch):
    save_sound(melody(0.1), tmp_path / "a.wav")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SettingsError, match=f"{library}.*{re.escape(install_hint('audio'))}"):
        resample(load_sound(tmp_path / "a.wav"), 4000)


@pytest.mark.parametrize(
    ("suffix", "coding"),
    [("wav", "PCM_16"), ("wav", "FLOAT"), ("aiff", "PCM_24"), ("mp3", "MPEG_LAYER_III")],
)
def test_a_sound_that_is_cut_short_is_not_read_as_a_shorter_one(suffix, coding, tmp_path):
    """A download that broke off: half a second was lost without a word."""
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 44100)
    soundfile.write(whole, wave, 44100, coding, format=suffix.upper())
    assert load_sound(whole).samples.shape[1] == pytest.approx(44100, abs=1200)
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(SoundError, match=r"cut\.\w+ is cut short: it holds (49|50) % of the sound"):
        load_sound(cut)


@pytest.mark.parametrize("stated", [0, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFD0])
def test_a_wav_from_a_pipe_states_no_length(stated, tmp_path):
    """FFmpeg and SoX write such numbers if they cannot go back; all samples are read."""
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(8000), 8000, "PCM_16")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = stated.to_bytes(4, "little")
    path.write_bytes(data)
    if stated:
        assert load_sound(path).samples.shape == (1, 8000)
    else:
        with pytest.raises(SoundError, match="holds no samples"):
            load_sound(path)


def test_an_mp3_with_a_cover_is_whole(tmp_path):
    path = tmp_path / "a.mp3"
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 44100)
    soundfile.write(path, wave, 44100, "MPEG_LAYER_III", format="MP3")
    plain = load_sound(path).samples
    cover = b"\0image/png\0\3\0" + bytes(range(256)) * 100
    frame = b"APIC" + len(cover).to_bytes(4) + b"\0\0" + cover
    size = bytes(len(frame) >> 7 * place & 127 for place in (3, 2, 1, 0))
    path.write_bytes(b"ID3\3\0\0" + size + frame + path.read_bytes())
    assert torch.equal(load_sound(path).samples, plain)


@pytest.mark.parametrize("end", [4, 7, 8, 12, 16, 17])
def test_an_mp3_that_ends_in_its_header_is_no_sound(end, tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(
        b"\xff\xfb\x90\xc4" + bytes(32) + b"Info\0\0\0\x0f"[:end] + b"\xff" * (end - 8)
    )
    with pytest.raises(SoundError):
        load_sound(path)
