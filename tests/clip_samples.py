"""Clips for tests: drawn frames and tones, written by PyAV without impasto's writer."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from impasto.video.io.pixels import Colors, from_image

av = pytest.importorskip("av")

HEIGHT, WIDTH, COUNT = 48, 64, 12
SMALL = Colors(6, False, 6, 6)  # BT.601, as small clips are
SHARES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def drawing(index: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> torch.Tensor:
    """A smooth picture, different in every corner, that moves with the index."""
    height, width = size
    y = torch.linspace(0, 1, height)[:, None].expand(height, width)
    x = torch.linspace(0, 1, width)[None].expand(height, width)
    phase = 0.3 * index
    red = 0.5 + 0.4 * torch.sin(3 * x + phase)
    green = 0.2 + 0.6 * y
    blue = 0.5 + 0.3 * torch.cos(2 * x + 3 * y + phase)
    return torch.stack([red, green, blue])[None]


def tone(container: Any, codec: str, count: int) -> list[Any]:
    """Add a sound track to a container; return its packets, to mux after the header."""
    stream = container.add_stream(codec, rate=48000)
    stream.codec_context.layout = "stereo"
    size = 960 if "opus" in codec else 1024
    packets = []
    for index in range(count):
        time = np.arange(index * size, (index + 1) * size) / 48000
        wave = (0.3 * np.sin(2 * math.pi * 440 * time)).astype(np.float32)
        kind = stream.codec_context.format.name
        stereo = np.stack([wave, 0.5 * wave])
        values = stereo if kind.endswith("p") else stereo.T.reshape(1, -1)
        if kind.startswith("s16"):
            values = (values * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(values), kind, layout="stereo")
        frame.sample_rate, frame.pts = 48000, index * size
        frame.time_base = Fraction(1, 48000)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def make_clip(
    path: Path,
    *,
    codec: str = "libx264",
    format: str = "yuv420p",
    colors: Colors = SMALL,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    ticks: list[int] | None = None,
    base: Fraction = Fraction(1, 600),
    sounds: tuple[str, ...] = (),
    aspect: Fraction = Fraction(1),
    turn: int = 0,
    options: dict[str, str] | None = None,
    container: str | None = None,
    tagged: bool = True,
    fast: bool = True,
) -> Path:
    """Write a clip by PyAV, without impasto's writer."""
    ticks = [25 * index for index in range(COUNT)] if ticks is None else ticks
    length = ticks[1] - ticks[0] if len(ticks) > 1 else 25
    front = {"movflags": "+faststart"} if fast and path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", format=container, container_options=front) as output:
        stream = output.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], format
        context = stream.codec_context
        context.time_base = base
        context.sample_aspect_ratio = aspect
        if tagged:
            context.color_range = 2 if colors.full else 1
            context.colorspace, context.color_trc = colors.matrix, colors.transfer
            context.color_primaries = colors.primaries
        context.options = options or {"qp": "4", "threads": "1"} | (
            {"x265-params": "log-level=none:qp=4:pools=1"} if codec == "libx265" else {}
        )
        if turn:
            stream.set_display_rotation(turn)
        packets = list(itertools.chain.from_iterable(tone(output, each, 30) for each in sounds))
        pictures = []
        for index, tick in enumerate(ticks):
            frame = from_image(drawing(index, size), colors, format, av)
            frame.pts, frame.time_base, frame.duration = tick, base, length
            pictures += stream.encode(frame)
        pictures += stream.encode(None)
        for packet in sorted(
            pictures + packets, key=lambda each: (each.dts * each.time_base, each.stream_index)
        ):
            if packet.stream is stream:
                packet.duration = length
            output.mux(packet)
    return path
