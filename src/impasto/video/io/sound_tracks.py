"""Sound tracks, copied from clip to clip packet by packet: nothing is decoded."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator
from fractions import Fraction
from typing import Any

from impasto.errors import VideoError
from impasto.video.io.clips import Clip, av_library, open_container

__all__ = ["SoundTracks", "cannot_hold"]

# Reading begins this many seconds early, because sound can precede its pictures in a file.
_LEAD = 2


class SoundTracks:
    """Copies the sound tracks of a clip into another file, never ahead of its pictures.

    Args:
        clip: the source of the sound.
        output: the PyAV container to write to; its header is not yet written.
        start, end: seconds; packets that begin outside are left out.

    Attributes: damaged: the number of damaged packets that were left out.

    Raises: VideoError: the container cannot hold a track.
    """

    def __init__(
        self, clip: Clip, output: Any, start: Fraction | None, end: Fraction | None
    ) -> None:
        self.clip, self.start, self.end = clip, start, end
        self.files = contextlib.ExitStack()
        self.source = self.files.enter_context(open_container(clip.path))
        self.tracks = {each: _add_track(output, each, clip) for each in self.source.streams.audio}
        self.shift = clip.origin
        self.damaged = 0
        self.packets = self._read()
        self.waiting: Any = next(self.packets, None)

    def begin(self, time: Fraction) -> None:
        """Set the time of the clip, in seconds, at which the result begins."""
        self.shift = self.clip.origin + time

    def mux(self, output: Any, until: Fraction | None) -> None:
        """Write the packets up to a time of the result, in seconds; None: all that are left."""
        while self.waiting is not None:
            packet = self.waiting
            track = self.tracks[packet.stream]
            ticks = round(self.shift / packet.time_base)
            moment = _begins_at(packet)
            if until is not None and (moment - ticks) * packet.time_base > until:
                return
            self.waiting = next(self.packets, None)
            if self.start is not None and moment < ticks:
                continue  # The packet lies between start and the first frame.
            packet.pts = None if packet.pts is None else packet.pts - ticks
            packet.dts = None if packet.dts is None else packet.dts - ticks
            packet.stream = track
            try:
                output.mux(packet)
            except av_library().error.FFmpegError as error:
                if isinstance(error, OSError):  # for example, the disk is full
                    raise
                self.damaged += 1

    def close(self) -> None:
        """Close the clip; it may be called again."""
        self.packets.close()
        self.files.close()

    def _read(self) -> Generator[Any]:
        """Read the packets between start and end; `read_frames` reports a file that ends early."""
        error = av_library().error.FFmpegError
        if self.start:
            with contextlib.suppress(error):
                begin = self.start + self.clip.origin - _LEAD
                self.source.seek(math.floor(max(begin, Fraction(0)) * 1_000_000))
        done: set[int] = set()
        packets = self.source.demux(*self.tracks)
        with contextlib.suppress(error):
            for packet in packets:
                if _begins_at(packet) is None or packet.is_corrupt:  # The end, or a damaged packet.
                    continue
                time = _begins_at(packet) * packet.time_base - self.clip.origin
                if self.end is not None and time >= self.end:
                    done.add(packet.stream_index)
                    if len(done) == len(self.tracks):
                        return
                elif self.start is None or time >= self.start:
                    yield packet


def _begins_at(packet: Any) -> Any:
    """Return the time of a packet in ticks; None: it has none."""
    return packet.dts if packet.pts is None else packet.pts


def _add_track(output: Any, stream: Any, clip: Clip) -> Any:
    """Add a track with the codec, language and title of one of the clip's tracks."""
    try:
        track = output.add_stream_from_template(stream, opaque=True)
    except (ValueError, av_library().error.FFmpegError) as error:
        name = "an unknown codec" if stream.codec_context is None else stream.codec_context.name
        raise VideoError(cannot_hold(name, output), path=clip.path) from error
    track.metadata.update(
        {key: value for key, value in stream.metadata.items() if key in ("language", "title")}
    )
    return track


def cannot_hold(codec: str, output: Any) -> str:
    """Return the message for sound that a container cannot hold."""
    return (
        f"has sound in the codec {codec}, which {output.format.name} files cannot hold: write "
        ".mkv, which can hold any sound, write the clip's own format, or leave out the sound"
    )
