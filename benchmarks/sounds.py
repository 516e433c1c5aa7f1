#!/usr/bin/env python3
"""Measure how much style a sound takes on and how much content it keeps; print a table.

benchmarks/sounds.py FOLDER [CONTENT+STYLE ...] [--set filters=0 ...] [--keep OUT]

FOLDER contains CONTENT.wav and STYLE.wav. Without pairs, every file gets the style of the next
file, in the order of their names. Distances are ‖G − G*‖² / ‖G*‖² from the style, with 4096 random
filters of another seed than that of the run.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from impasto import AudioSettings, load_sound, plan_sound
from impasto.audio.files import Sound, resample
from impasto.audio.random_filters import RandomFilters
from impasto.audio.transfer import SoundObjective, SoundTransfer

OTHER_SEED = 12345
ENVELOPE = 0.05  # s


def envelope(sound: Sound) -> torch.Tensor:
    """Return the root mean square of every 50 ms, over all channels."""
    length = round(sound.rate * ENVELOPE)
    power = sound.samples.square().mean(dim=0)
    return power[: len(power) // length * length].reshape(-1, length).mean(dim=1).sqrt()


def correlation(one: Sound, other: Sound) -> float:
    """Return Pearson's r of the envelopes of two sounds."""
    return float(torch.corrcoef(torch.stack([envelope(one), envelope(other)]))[0, 1])


def strangers(transfer: SoundTransfer) -> SoundObjective:
    """Return the same objective with filters that the run did not use."""
    filters = RandomFilters(transfer.transform.bins, filters=4096, taps=11, seed=OTHER_SEED)
    maps = [transfer.spectrogram(each) for each in (transfer.working, transfer.style)]
    return SoundObjective(*maps, filters, 0.0)


def measure(content: Path, style: Path, settings: AudioSettings, keep: Path | None) -> str:
    """Stylize one sound and return its row of the table."""
    start = time.perf_counter()
    transfer = plan_sound(content, style, settings)
    for step in transfer.steps():
        image = step.image
    result = transfer.finish(image)
    seconds = time.perf_counter() - start
    if keep is not None:
        result.save(keep / f"{content.stem}+{style.stem}.wav")
    other = strangers(transfer)
    saved = resample(result.sound, transfer.working.rate)
    found = [other.style_distance(each) for each in (
        transfer.spectrogram(transfer.working), image.squeeze(2),
        transfer.spectrogram(saved, result.level), transfer.spectrogram(saved),
    )]  # fmt: skip
    own = result.distances["content"] / result.distances["result"]
    cells = [
        content.stem, style.stem, f"{found[0]:.3f}", f"{found[1]:.4f}", f"{found[2]:.4f}",
        *(f"{found[0] / each:.0f}" for each in found[1:]), f"{own:.0f}",
        f"{correlation(result.sound, load_sound(content)):.2f}",
        f"{correlation(result.sound, _cut(load_sound(style), result.sound)):.2f}",
        f"{seconds:.0f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _cut(style: Sound, result: Sound) -> Sound:
    """Cut a sound to the result's length, or pad it with silence."""
    length = round(result.seconds * style.rate)
    samples = torch.nn.functional.pad(style.samples, (0, length))[:, :length]
    return replace(style, samples=samples)


def main() -> None:
    """Measure the pairs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("pairs", nargs="*", metavar="CONTENT+STYLE")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--keep", type=Path, help="a folder for the results")
    given = parser.parse_args()
    names = sorted(path.stem for path in given.folder.glob("*.wav"))
    following = zip(names, names[1:] + names[:1], strict=True)
    pairs = [pair.split("+") for pair in given.pairs] or [list(each) for each in following]
    changes = {}
    for each in given.set:
        name, _, value = each.partition("=")
        kind = type(getattr(AudioSettings(), name))
        changes[name] = kind(value)
    settings = AudioSettings(**changes)
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
    head = (
        "content", "style", "before", "optimized", "saved", "falls, optimized", "falls, saved",
        "falls, equally loud", "falls, own filters", "r, content", "r, style", "s",
    )  # fmt: skip
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for content, style in pairs:
        files = [given.folder / f"{name}.wav" for name in (content, style)]
        print(measure(*files, settings, given.keep), flush=True)


if __name__ == "__main__":
    main()
