"""Writes frames to a video file with the clip's own timing, colors, aspect and sound tracks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch.nn import functional

from impasto.errors import ShapeError, VideoError
from impasto.pictures.picture import Image
from impasto.storage import check_results, check_target, temporary_beside
from impasto.video.io.clips import Clip, av_library, ffmpeg_reason, to_fraction
from impasto.video.io.codecs import Container, codec_for, container_for, encoder_options
from impasto.video.io.folders import FolderWriter
from impasto.video.io.pixels import from_image
from impasto.video.io.priority import priority_kept
from impasto.video.io.sound_tracks import SoundTracks, cannot_hold

__all__ = ["ClipWriter", "write_clip"]


def write_clip(
    path: str | Path,
    like: Clip,
    *,
    size: tuple[int, int] | None = None,
    start: float | None = None,
    end: float | None = None,
    codec: str | None = None,
    crf: int | None = None,
    sound: bool = True,
    overwrite: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> ClipWriter:
    """Return a writer of frames to a file, or to a folder if the path has no suffix.

    Use it in a `with` block.

    The file appears only if the block ends without an error. Entering the block raises the errors
    that can be found before the first frame.

    H.264 and H.265 need even sides. A frame of an odd width or height is padded: its last column or
    row is repeated. `ClipWriter.notes` and the comment in the file say so.

    Args:
        like: the clip whose frames were painted; timing, colors, aspect and sound come from it.
        size: (H, W) of the frames; None: that of the clip.
        start, end: seconds; the part of the clip that the frames are from. The sound is cut to this
            part, and the first frame is shown from the beginning.
        codec: a name in CODECS; None: H.264, or VP9 in .webm. With `Clip.keep_hdr`, H.265, or AV1
            in .webm.
        crf: the quality, lower is better; None: the codec's default, which is good.
        sound: whether to copy the clip's sound tracks.
        metadata: texts for the file, such as a title or a comment.
        overwrite: whether a file, or frames in a folder, may be replaced.

    Raises:
        VideoError: the codec is unknown, crf has a value that is not allowed, the file cannot be
            written, or cannot hold the codec or the sound; or PyAV is missing.
        SettingsError: the path is that of the clip `like`, or of one of its frames.
    """
    return ClipWriter(
        Path(path),
        like,
        size=like.size if size is None else size,
        start=None if start is None else to_fraction(start),
        end=None if end is None else to_fraction(end),
        codec=codec,
        crf=crf,
        sound=sound,
        overwrite=overwrite,
        metadata=metadata or {},
    )


class ClipWriter:
    """Writes frames one after the other. `write_clip` makes it and describes the arguments.

    Attributes:
        size: (H, W) of the frames, px.
        stored_size: (H, W) of the pictures in the file: size, padded if the codec needs that.
        notes: one line for each way in which the file differs from the frames.
    """

    def __init__(
        self,
        path: Path,
        like: Clip,
        *,
        size: tuple[int, int],
        start: Fraction | None,
        end: Fraction | None,
        codec: str | None,
        crf: int | None,
        sound: bool,
        overwrite: bool,
        metadata: Mapping[str, str],
    ) -> None:
        self.path, self.like, self.size = path, like, size
        self.start, self.end = start, end
        self.overwrite, self.metadata = overwrite, metadata
        self.with_sound = sound and like.has_sound
        self.is_folder = path.is_dir() or not path.suffix
        self.count = 0
        self._shift: Fraction | None = None
        self._last: int | None = None
        self._durations: dict[int, int] = {}  # Start → duration of frames in the encoder, ticks.
        self._end = 0  # End of the frame that is shown last, ticks.
        self._first: int | None = None  # pts - dts of the first packet, ticks.
        self.stored_size = size
        self.notes: tuple[str, ...] = ()
        if not self.is_folder:
            self._codec = codec_for(path, codec, hdr=like.keep_hdr)
            stated = like.mastering if like.keep_hdr else None
            self._options = encoder_options(self._codec, crf, stated)
            if self._codec.needs_even_sides:
                self.stored_size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
                self.notes = _padding_notes(self._codec.title, size)
        elif codec is not None or crf is not None:
            raise VideoError(
                "is a folder of PNG files, which has no codec and no crf; leave both out", path=path
            )

    def __enter__(self) -> Self:
        read = [("the clip", path) for path in (self.like.path, *self.like.files)]
        check_results(read, [("the result", self.path)])
        if self.is_folder:
            self._folder = FolderWriter(self.path, overwrite=self.overwrite)
            return self
        self._av = av_library()
        check_target(self.path, overwrite=self.overwrite, error=VideoError)
        self._target = Path(os.path.realpath(self.path))
        self._temporary = temporary_beside(self._target)
        self._sound: SoundTracks | None = None
        try:
            self._begin()
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.is_folder:
            return
        try:
            if kind is None:
                self._finish()
        finally:
            self._abandon()

    def write(self, image: Image, time: Fraction, duration: Fraction | None = None) -> None:
        """Add a frame.

        Args:
            image: (1, 3, H, W) in [0, 1], as `Frame.image`.
            time: seconds since the beginning of the clip, as `Frame.time`; the times must rise.
            duration: seconds; only the last frame's is used. None: by the clip's rate.

        Raises:
            ShapeError: the frame has another size.
            VideoError: the times do not rise, or the file cannot be written.
        """
        if tuple(image.shape) != (1, 3, *self.size):
            raise ShapeError(
                f"the frame is {tuple(image.shape)}; for this clip it must be {(1, 3, *self.size)}"
            )
        self.count += 1
        signal = self.like.signal
        if self.like.keep_hdr:
            image = signal.from_working(image)
        if self.is_folder:
            self._folder.write(signal.to_srgb(image) if self.like.keep_hdr else image)
            return
        if self._shift is None:
            self._shift = Fraction(0) if self.start is None else time
            if self._sound is not None:
                self._sound.begin(self._shift)
        base = self.like.time_base
        ticks = round((time - self._shift) / base)
        if self._last is not None and ticks <= self._last:
            raise VideoError(f"a frame at {float(time):.3f} s is not later than the one before")
        self._last = ticks
        below, right = (a - b for a, b in zip(self.stored_size, self.size, strict=True))
        padded = functional.pad(image, (0, right, 0, below), "replicate")
        kind = self._stream.codec_context.pix_fmt
        frame = from_image(padded, self.like.written_colors, kind, self._av)
        frame.pts, frame.time_base = ticks, base
        length = 1 / self.like.rate if duration is None else duration
        frame.duration = self._durations[ticks] = round(length / base)
        self._encode(frame)

    def _begin(self) -> None:
        """Open file, encoder and sound, and write the header. This finds most errors."""
        kind = container_for(self.path)
        if kind.is_quicktime:  # The index is in front, so that a player can begin early.
            scale = max(1000, self.like.time_base.denominator)
            options = {"movflags": "+faststart", "movie_timescale": str(scale)}
        else:  # Sound may begin before 0, and FFmpeg would then shift the pictures, too.
            options = {"avoid_negative_ts": "disabled"}
        self._output = self._av.open(
            str(self._temporary), "w", format=kind.value, container_options=options
        )
        self._output.metadata.update(_with_notes(self.metadata, self.notes))
        if self.like.aspect != 1 and not (kind.is_quicktime or self._codec.tells_aspect):
            raise VideoError(
                f"cannot be written: the pixels of {self.like.path} are not square "
                f"({self.like.aspect}), and {self._codec.title} in {self.path.suffix} cannot store "
                "that; write .mp4 or .mov, or H.264 or H.265",
                path=self.path,
            )
        self._stream = self._open_encoder(kind)
        if self.with_sound:
            self._sound = SoundTracks(self.like, self._output, self.start, self.end)
        try:
            self._output.start_encoding()
        except (self._av.error.FFmpegError, ValueError) as error:
            if self._sound is not None:
                raise VideoError(
                    cannot_hold(" and ".join(self.like.sounds), self._output), path=self.like.path
                ) from error
            raise self._unwritten(error) from error

    def _open_encoder(self, kind: Container) -> Any:
        """Return the stream that is written, with its encoder open."""
        os.environ.setdefault("SVT_LOG", "1")  # AV1's encoder logs on stderr otherwise.
        codec, like = self._codec, self.like
        try:
            stream = self._output.add_stream(codec.encoder, rate=like.rate)
        except (self._av.error.FFmpegError, ValueError) as error:
            raise VideoError(
                f"this build of FFmpeg has no encoder for {codec.title} ({codec.encoder}); "
                "choose another codec"
            ) from error
        encoder = stream.codec_context
        self._configure(encoder)
        if codec.tag is not None and kind.is_quicktime:
            encoder.codec_tag = codec.tag
        try:
            with priority_kept():
                encoder.open()
        except self._av.error.FFmpegError as error:
            raise VideoError(
                f"{codec.title} cannot be written at {self.size[1]} x {self.size[0]} px: "
                f"{ffmpeg_reason(error)}"
            ) from error
        stream.time_base = like.time_base
        return stream

    def _configure(self, encoder: Any) -> None:
        colors = self.like.written_colors
        encoder.height, encoder.width = self.stored_size
        encoder.pix_fmt = self._codec.formats[self.like.bits > 8 or self.like.keep_hdr]
        encoder.time_base = self.like.time_base
        encoder.sample_aspect_ratio = self.like.aspect
        encoder.color_range = 2 if colors.full else 1  # FFmpeg's JPEG and MPEG.
        encoder.colorspace = colors.matrix
        encoder.color_primaries = colors.primaries
        encoder.color_trc = colors.transfer
        encoder.options = self._options

    def _encode(self, frame: Any) -> None:
        """Encode a frame, and write the sound up to it; None: write the encoder's last packets."""
        try:
            packets = self._stream.codec_context.encode(frame)
            is_last = frame is None and container_for(self.path).is_quicktime
            for packet in packets:
                packet.stream = self._stream
                packet.duration = self._durations.pop(packet.pts)  # Not every encoder sets it.
                self._end = max(self._end, packet.pts + packet.duration)
                if self.count < 3:  # Too few frames to be reordered; x265 does not set their dts.
                    packet.dts = packet.pts
                if self._first is None:
                    self._first = packet.pts - packet.dts
                if is_last and packet is packets[-1]:
                    # MP4 has durations in the order of decoding, and FFmpeg adds them up. So the
                    # packet that is decoded last lasts to the end of the frame that is shown last.
                    packet.duration = max(self._end - self._first - packet.dts, 1)
                until = packet.dts * packet.time_base
                self._output.mux(packet)
                if self._sound is not None:
                    self._sound.mux(self._output, until)
        except self._av.error.FFmpegError as error:
            raise self._unwritten(error) from error

    def _finish(self) -> None:
        if self.count == 0:
            raise VideoError("is not written: it has no frame", path=self.path)
        self._encode(None)
        try:
            if self._sound is not None:
                self._sound.mux(self._output, None)
                self.notes += _damage_notes(self._sound.damaged)
            self._output.close()
            self._close_sound()
            self._temporary.replace(self._target)
        except (OSError, self._av.error.FFmpegError) as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: Exception) -> VideoError:
        reason = ffmpeg_reason(error)
        if self.with_sound and not isinstance(error, OSError):  # OSError: the disk is full
            reason += "; if the clip's sound is damaged, leave it out: --no-sound (sound=False)"
        return VideoError(f"cannot be written: {reason}", path=self.path)

    def _abandon(self) -> None:
        """Close and delete an unfinished file."""
        self._close_sound()
        output = getattr(self, "_output", None)
        if output is not None:
            with contextlib.suppress(OSError, ValueError, self._av.error.FFmpegError):
                output.close()
        self._temporary.unlink(missing_ok=True)

    def _close_sound(self) -> None:
        if self._sound is not None:
            self._sound.close()


def _damage_notes(packets: int) -> tuple[str, ...]:
    if not packets:
        return ()
    return (f"the clip's sound is damaged: {packets} of its packets are left out",)


def _padding_notes(codec: str, size: tuple[int, int]) -> tuple[str, ...]:
    """Say which edges of frames of this (H, W) are repeated to make both sides even."""
    edges = [name for name, side in zip(("row", "column"), size, strict=True) if side % 2]
    if not edges:
        return ()
    height, width = (side + side % 2 for side in size)
    return (
        f"{codec} needs even sides: the last {' and '.join(edges)} of every frame "
        f"{'are' if len(edges) > 1 else 'is'} repeated once, so {size[1]} x {size[0]} px become "
        f"{width} x {height}",
    )


def _with_notes(metadata: Mapping[str, str], notes: tuple[str, ...]) -> dict[str, str]:
    """Append the notes to the comment of a file."""
    if not notes:
        return dict(metadata)
    comment = metadata.get("comment")
    return {**metadata, "comment": "; ".join([*([comment] if comment else []), *notes])}
