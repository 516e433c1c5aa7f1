"""Sound tracks, carried from clip to clip packet by packet: nothing is decoded."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator
from fractions import Fraction
from typing import Any

from impasto.errors import VideoError
from impasto.video.io.clips import Clip, av_library, open_file

__all__ = ["Sound", "unfit"]

# Seconds before the start at which reading begins: a file's sound may lie before its picture.
_LEAD = 2


class Sound:
    """The sound tracks of a clip on their way into another file, never ahead of the picture.

    Args:
        clip: where they come from.
        output: PyAV's container that they go to; its header is not yet written.
        start, end: seconds; packets that begin outside are left out.

    Raises: VideoError: the container cannot hold a track.
    """

    def __init__(
        self, clip: Clip, output: Any, start: Fraction | None, end: Fraction | None
    ) -> None:
        self.clip, self.start, self.end = clip, start, end
        self.files = contextlib.ExitStack()
        self.source = self.files.enter_context(open_file(clip.path))
        self.tracks = {each: _track(output, each, clip) for each in self.source.streams.audio}
        self.shift = clip.origin
        self.packets = self._read()
        self.waiting: Any = next(self.packets, None)

    def begin(self, time: Fraction) -> None:
        """Say at which of the clip's times, in seconds, the result begins."""
        self.shift = self.clip.origin + time

    def mux(self, output: Any, until: Fraction | None) -> None:
        """Write the packets up to a time of the result, in seconds; None: all that are left."""
        while self.waiting is not None:
            packet = self.waiting
            track = self.tracks[packet.stream]
            ticks = round(self.shift / packet.time_base)
            moment = _moment(packet)
            if until is not None and (moment - ticks) * packet.time_base > until:
                return
            self.waiting = next(self.packets, None)
            if self.start is not None and moment < ticks:
                continue  # between start and the first frame
            packet.pts = None if packet.pts is None else packet.pts - ticks
            packet.dts = None if packet.dts is None else packet.dts - ticks
            packet.stream = track
            output.mux(packet)

    def close(self) -> None:
        """Close the clip; once more does no harm."""
        self.packets.close()
        self.files.close()

    def _read(self) -> Generator[Any]:
        """Read the packets between start and end; a file that ends early has said so already."""
        error = av_library().error.FFmpegError
        if self.start:
            with contextlib.suppress(error):
                begin = self.start + self.clip.origin - _LEAD
                self.source.seek(math.floor(max(begin, Fraction(0)) * 1_000_000))
        done: set[int] = set()
        packets = self.source.demux(*self.tracks)
        with contextlib.suppress(error):
            for packet in packets:
                if _moment(packet) is None or packet.is_corrupt:  # the end, or a torn packet
                    continue
                time = _moment(packet) * packet.time_base - self.clip.origin
                if self.end is not None and time >= self.end:
                    done.add(packet.stream_index)
                    if len(done) == len(self.tracks):
                        return
                elif self.start is None or time >= self.start:
                    yield packet


def _moment(packet: Any) -> Any:
    return packet.dts if packet.pts is None else packet.pts


def _track(output: Any, stream: Any, clip: Clip) -> Any:
    """Make a track like one of the clip's, with its language and title."""
    try:
        track = output.add_stream_from_template(stream, opaque=True)
    except (ValueError, av_library().error.FFmpegError) as error:
        name = "an unknown codec" if stream.codec_context is None else stream.codec_context.name
        raise VideoError(unfit(name, output), path=clip.path) from error
    track.metadata.update(
        {key: value for key, value in stream.metadata.items() if key in ("language", "title")}
    )
    return track


def unfit(codec: str, output: Any) -> str:
    """Return the message for sound that a container cannot hold."""
    return (
        f"has sound that is {codec}, which {output.format.name} files cannot hold: "
        "write .mkv, which holds any, or a file of the clip's own kind"
    )
