"""Sound files to Sounds and back: the only module that imports soundfile and soxr.

Read: one to eight channels at 4 to 384 kHz, in every format of the installed libsndfile (WAV,
FLAC, OGG, MP3 and others). Written: WAV and FLAC at 16 or 24 bits, with metadata in the comment.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from impasto.errors import SettingsError, ShapeError, SoundError, install_hint, nearest_match
from impasto.storage import check_target, read_file, write_file

__all__ = [
    "FORMATS",
    "Sound",
    "check_sound_target",
    "load_sound",
    "resample",
    "save_sound",
    "sound_of",
    "true_peak",
]

FORMATS = {".wav": "WAV", ".flac": "FLAC"}
_BITS = {16: "PCM_16", 24: "PCM_24"}
_MOST_CHANNELS = 8  # FLAC's limit
_RATES = (4_000, 384_000)
_MOST_SAMPLES = 500_000_000  # 2 GB as float32; three hours of mono at 44.1 kHz
# Peaks between samples are searched at this multiple of the rate (ITU-R BS.1770-4, annex 2).
_OVERSAMPLING = 4

Source = str | os.PathLike[str]


@dataclass(frozen=True, eq=False, repr=False)
class Sound:
    """The samples of a sound, their rate, and the name and checksum of its file.

    Attributes:
        samples: (C, N) float32. Full scale is [-1, 1]; samples of floating-point files may exceed
            it.
        rate: the sampling rate, in samples per second.
        name: the name of the file, without folders; None: the sound has no name.
        sha256: the SHA-256 of the file's bytes, in hex; None: the sound was not read from a
            file.
    """

    samples: Tensor
    rate: int
    name: str | None = None
    sha256: str | None = None

    @property
    def seconds(self) -> float:
        """The duration, in seconds."""
        return self.samples.shape[-1] / self.rate

    @property
    def label(self) -> str:
        """The name of the sound in messages."""
        return self.name or "the sound"

    def __repr__(self) -> str:
        channels = self.samples.shape[0]
        return f"<Sound, {self.seconds:.2f} s, {channels} × {self.rate} Hz>"


def _missing(library: str) -> SettingsError:
    return SettingsError(f"sounds need {library}, which is not installed: {install_hint('audio')}")


def _soundfile() -> Any:
    try:
        import soundfile
    except (ModuleNotFoundError, OSError) as error:  # OSError: libsndfile itself is missing
        raise _missing("soundfile") from error
    return soundfile


def _soxr() -> Any:
    try:
        import soxr
    except ModuleNotFoundError as error:
        raise _missing("soxr") from error
    return soxr


def load_sound(source: Source) -> Sound:
    """Read a sound file.

    Raises:
        SoundError: the file does not exist, is not a sound, or is damaged. Or the sound has no
            samples, more than 500,000,000 samples, a sample that is not finite, more than 8
            channels, or a rate outside 4 to 384 kHz.
        SettingsError: `impasto[audio]` is not installed.
    """
    data = read_file(source, "a sound", error=SoundError)
    if (share := _present(data)) < 1:
        raise SoundError(
            f"is cut short: it holds {100 * share:.0f} % of the sound that it states; "
            "save it again with an audio program",
            path=source,
        )
    with _opened(data, source) as file:
        if file.frames * file.channels > _MOST_SAMPLES:
            raise SoundError(
                f"lasts {file.frames / file.samplerate / 3600:.1f} h; at most "
                f"{_MOST_SAMPLES:,} samples are allowed in all channels together",
                path=source,
            )
        try:
            samples = torch.from_numpy(file.read(dtype="float32", always_2d=True).T.copy())
        except _soundfile().LibsndfileError as error:
            raise SoundError(f"is damaged: {_reason(error)}", path=source) from error
        sha256 = hashlib.sha256(data).hexdigest()
        sound = Sound(samples, file.samplerate, Path(source).name, sha256)
    return sound_of(sound)


def sound_of(sound: Sound) -> Sound:
    """Check a sound, and return it.

    Raises:
        SoundError: the sound has no samples, a sample that is not finite, more than 8 channels, or
            a rate outside 4 to 384 kHz.
        ShapeError: the samples are not (C, N).
    """
    name, samples = sound.label, sound.samples
    if samples.ndim != 2:
        raise ShapeError(f"samples are (C, N), not {tuple(samples.shape)}")
    if 0 in samples.shape:
        raise SoundError("holds no samples", path=name)
    if samples.shape[0] > _MOST_CHANNELS:
        raise SoundError(
            f"has {samples.shape[0]} channels; up to {_MOST_CHANNELS} are allowed", path=name
        )
    if not _RATES[0] <= sound.rate <= _RATES[1]:
        raise SoundError(
            f"has {sound.rate} samples per second; {_RATES[0]} to {_RATES[1]} are allowed",
            path=name,
        )
    if not bool(torch.isfinite(samples).all()):
        raise SoundError("has samples that are not finite (NaN or infinity)", path=name)
    return sound


def save_sound(
    sound: Sound,
    path: Source,
    *,
    bits: int = 16,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = True,
) -> None:
    """Write a WAV or FLAC file. An existing file is replaced only after the new one is complete.

    Samples beyond full scale are clipped.

    Args:
        path: the file; its suffix, .wav or .flac, names the format.
        bits: bits per sample, 16 or 24.
        metadata: JSON values that are written into the file's comment.
        overwrite: whether an existing file may be replaced.

    Raises:
        SoundError: the file cannot be written, its suffix is not .wav or .flac, or the sound
            has no samples, a sample that is not finite, more than 8 channels, or a rate outside 4
            to 384 kHz.
        ShapeError: the samples are not (C, N).
        SettingsError: bits is neither 16 nor 24, or `impasto[audio]` is not installed.
    """
    suffix = check_format(path, bits)
    buffer = io.BytesIO()
    samples = sound_of(sound).samples.detach().clamp(-1, 1)
    with _soundfile().SoundFile(
        buffer, "w", sound.rate, len(samples), _BITS[bits], format=FORMATS[suffix]
    ) as file:
        if metadata:
            file.comment = json.dumps(metadata, ensure_ascii=True)
        file.write(samples.T.contiguous().numpy())
    write_file(path, buffer.getvalue(), overwrite=overwrite, error=SoundError)


def check_sound_target(path: Source, *, bits: int = 16, overwrite: bool = True) -> None:
    """Check before a long run that `save_sound` can write there, and make missing folders.

    Raises: as for `save_sound`.
    """
    check_format(path, bits)
    _soundfile()
    check_target(path, overwrite=overwrite, error=SoundError)


def check_format(path: Source, bits: int) -> str:
    """Return the suffix of a file that can be written, in lower case.

    Raises: SoundError: the suffix is not .wav or .flac; SettingsError: bits is neither 16 nor 24.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise SoundError(
            f"cannot be written: sounds are written as {' or '.join(FORMATS)}"
            f"{nearest_match(suffix, FORMATS)}",
            path=path,
        )
    if bits not in _BITS:
        raise SettingsError(f"bits: {bits} is not one of {', '.join(map(str, _BITS))}")
    return suffix


def resample(sound: Sound, rate: int) -> Sound:
    """Return the sound at another rate, without the frequencies that are too high for this rate.

    The length is rounded to whole samples.

    Raises: SettingsError: `impasto[audio]` is not installed.
    """
    if rate == sound.rate:
        return sound
    changed = _soxr().resample(sound.samples.T.numpy(), sound.rate, rate, quality="VHQ")
    return replace(sound, samples=torch.from_numpy(changed.T.copy()), rate=rate)


def true_peak(sound: Sound) -> float:
    """Return the largest magnitude at and between samples; between them, a player can clip, too.

    Paper: ITU-R BS.1770-4, annex 2.
    """
    between = resample(sound, sound.rate * _OVERSAMPLING)
    return max(float(each.samples.abs().max()) for each in (sound, between))


def _opened(data: bytes, source: Source) -> Any:
    library = _soundfile()
    try:
        return library.SoundFile(_Bytes(data))
    except (library.LibsndfileError, TypeError) as error:
        raise SoundError(
            "is not a sound in a format that can be read, such as WAV, FLAC, OGG or MP3",
            path=source,
        ) from error


_SLACK = 1024  # bytes that may be missing: programs count padding and tags in different ways


def _present(data: bytes) -> float:
    """Return the share of its stated sound that a WAV, AIFF or MP3 file really contains; 1: all.

    libsndfile reads such a file as a shorter sound. Programs that write into a pipe state 0 or the
    largest number, which means nothing.
    """
    if data[:4] in (b"RIFF", b"FORM"):
        is_wav = data[:4] == b"RIFF"
        begin, stated = _chunk(data, b"data", "little") if is_wav else _chunk(data, b"SSND", "big")
    else:
        begin, stated = _mp3(data)
    there = len(data) - begin
    if not 0 < stated < 0x7FFF_FF00 or there + _SLACK >= stated:
        return 1.0
    return there / stated


def _chunk(data: bytes, kind: bytes, order: Literal["little", "big"]) -> tuple[int, int]:
    """Return where a chunk of a RIFF or an AIFF file begins, and its stated size; (0, 0): none."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], order)
        if data[at : at + 4] == kind:
            return at + 8, size
        at += 8 + size + size % 2
    return 0, 0


def _mp3(data: bytes) -> tuple[int, int]:
    """Return where an MP3 stream begins, and the size that its Xing header states; (0, 0): none."""
    begin = 0
    if data[:3] == b"ID3" and len(data) > 10:  # a tag before the stream, with 7 bits a byte
        begin = 10 + sum(byte << 7 * place for place, byte in enumerate(data[9:5:-1]))
    head = data[begin : begin + 200]
    for name in (b"Xing", b"Info"):
        at = head.find(name)
        if 0 < at < len(head) - 16 and head[:1] == b"\xff" and head[at + 7] & 2:
            field = at + 8 + 4 * (head[at + 7] & 1)
            return begin, int.from_bytes(head[field : field + 4])
    return 0, 0


class _Bytes(io.BytesIO):
    """A stream in memory that ignores a seek to a place before its beginning.

    libsndfile seeks to the places that damaged files state. An exception cannot pass through its C
    code, so Python would print it.
    """

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Seek as BytesIO does, and ignore a place before the beginning."""
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or getattr(error, "error_string", None) or str(error)
    return str(text).rstrip(".")
