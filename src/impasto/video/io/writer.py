"""Frames into a video file, with the clip's own timing, colors, aspect and sound tracks."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch.nn import functional

from impasto.errors import ShapeError, VideoError
from impasto.pictures.files import check_target
from impasto.pictures.picture import Image
from impasto.video.io.clips import Clip, av_library, reason, to_fraction
from impasto.video.io.codecs import codec_for, container_for, quality
from impasto.video.io.cropping import cropped_template
from impasto.video.io.folders import FolderWriter
from impasto.video.io.pixels import Crop, from_image
from impasto.video.io.priority import priority_kept
from impasto.video.io.sound_tracks import Sound, unfit

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
    """Return what writes frames to a file, or a folder if path has no suffix; use it in `with`.

    The file appears only if the block ends without an error. What cannot be written is said on
    entering, before the first frame.

    Args:
        like: the clip whose frames have been painted: timing, colors, aspect and sound are its.
        size: (H, W) of the frames; None: as the clip's.
        start, end: seconds; which part of the clip the frames are: the sound is cut to it. The
            first frame is then shown at once.
        codec: a name in CODECS; None: H.264, in .webm VP9.
        crf: the quality to keep, lower is better; None: the codec's own, which is good.
        sound: whether the clip's sound tracks come along.
        metadata: texts for the file, such as a title or a comment.
        overwrite: whether a file, or frames in a folder, may be replaced.

    Raises:
        VideoError: no such codec or crf, a file that cannot hold codec or sound, or no PyAV.
        ImageError: the file cannot be written.
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
    """Writes frames, one after the other; made by `write_clip`, which describes the arguments."""

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
        self._lengths: dict[int, int] = {}  # of frames in the encoder, by when they begin; in ticks
        if not self.is_folder:
            self._codec = codec_for(path, codec)
            self._options = quality(self._codec, crf)
        elif codec is not None or crf is not None:
            raise VideoError(f"{path} is a folder of PNG files: codec and crf are for clips")

    def __enter__(self) -> Self:
        if self.is_folder:
            self._folder = FolderWriter(self.path, overwrite=self.overwrite)
            return self
        self._av = av_library()
        check_target(self.path, overwrite=self.overwrite)
        self._target = Path(os.path.realpath(self.path))
        self._temporary = self._target.with_name(f".impasto-{secrets.token_hex(8)}.tmp")
        self._files = contextlib.ExitStack()
        self._sound: Sound | None = None
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
            image: (1, 3, H, W), R'G'B' in [0, 1].
            time: seconds in the clip, as `Frame.time`; later than the frame before.
            duration: seconds; only the last frame's matters. None: as the clip's rate has it.

        Raises:
            ShapeError: the frame has another size.
            VideoError: the times do not rise, or the disk is full.
        """
        if tuple(image.shape) != (1, 3, *self.size):
            raise ShapeError(
                f"the frame is {tuple(image.shape)}; for this clip it is {(1, 3, *self.size)}"
            )
        self.count += 1
        if self.is_folder:
            self._folder.write(image)
            return
        if self._shift is None:
            self._shift = Fraction(0) if self.start is None else time
            if self._sound is not None:
                self._sound.begin(self._shift)
        base = self.like.time_base
        ticks = round((time - self._shift) / base)
        if self._last is not None and ticks <= self._last:
            raise VideoError(f"a frame at {float(time):.3f} s does not come after the one before")
        self._last = ticks
        padded = functional.pad(image, (0, self._crop.right, 0, self._crop.bottom), "replicate")
        frame = from_image(padded, self.like.colors, self._encoder.pix_fmt, self._av)
        frame.pts, frame.time_base = ticks, base
        length = 1 / self.like.rate if duration is None else duration
        frame.duration = self._lengths[ticks] = round(length / base)
        self._encode(frame)

    def _begin(self) -> None:
        """Open encoder, file and sound, and write the header, so that what is wrong shows now."""
        kind = container_for(self.path)
        if kind in ("mp4", "mov"):  # playable before it is all there; begins at exact times
            scale = max(1000, self.like.time_base.denominator)
            options = {"movflags": "+faststart", "movie_timescale": str(scale)}
        else:  # what an encoder of sound puts before 0 stays there, or all would be moved
            options = {"avoid_negative_ts": "disabled"}
        self._output = self._av.open(
            str(self._temporary), "w", format=kind, container_options=options
        )
        self._output.metadata.update(self.metadata)
        if self.like.aspect != 1 and kind in ("matroska", "webm") and not self._codec.tells_aspect:
            raise VideoError(
                f"{self.path}: the pixels of {self.like.path} are not square "
                f"({self.like.aspect}), which {self._codec.title} in {self.path.suffix} cannot "
                "tell: write .mp4 or .mov, or H.264 or H.265"
            )
        height, width = self.size
        even = self._codec.even
        self._crop = Crop(bottom=height % 2 if even else 0, right=width % 2 if even else 0)
        self._encoder, self._stream = self._open_encoder(kind)
        if self.with_sound:
            self._sound = Sound(self.like, self._output, self.start, self.end)
        try:
            self._output.start_encoding()
        except (self._av.error.FFmpegError, ValueError) as error:
            if self._sound is not None:
                raise VideoError(
                    unfit(self.like, " and ".join(self.like.sounds), self._output)
                ) from error
            raise VideoError(f"{self.path} cannot be written: {reason(error)}") from error

    def _open_encoder(self, kind: str) -> tuple[Any, Any]:
        """Return the encoder, open, and the stream of the file that it writes to."""
        os.environ.setdefault("SVT_LOG", "1")  # AV1's encoder talks on stderr otherwise
        codec, like = self._codec, self.like
        try:
            if self._crop == Crop():
                stream = self._output.add_stream(codec.encoder, rate=like.rate)
                encoder = stream.codec_context
            else:
                encoder = self._av.CodecContext.create(codec.encoder, "w")
                encoder.framerate = like.rate
                encoder.flags |= self._av.codec.context.Flags.global_header
        except (self._av.error.FFmpegError, ValueError) as error:
            raise VideoError(
                f"this build of FFmpeg has no encoder for {codec.title} ({codec.encoder}); "
                "choose another codec"
            ) from error
        self._configure(encoder)
        tag = codec.tag if kind in ("mp4", "mov") else None
        if tag is not None:
            encoder.codec_tag = tag
        try:
            with priority_kept():
                encoder.open()
        except self._av.error.FFmpegError as error:
            raise VideoError(
                f"{codec.title} cannot be written at {self.size[1]} x {self.size[0]} px: "
                f"{reason(error)}"
            ) from error
        if self._crop != Crop():
            template = self._files.enter_context(cropped_template(encoder, self._crop))
            stream = self._output.add_stream_from_template(template.streams.video[0], opaque=True)
            stream.codec_context.sample_aspect_ratio = like.aspect
            self._tag(stream.codec_context)
            if tag is not None:
                stream.codec_context.codec_tag = tag
        stream.time_base = like.time_base
        return encoder, stream

    def _configure(self, encoder: Any) -> None:
        encoder.width = self.size[1] + self._crop.right
        encoder.height = self.size[0] + self._crop.bottom
        encoder.pix_fmt = self._codec.formats[self.like.bits > 8]
        encoder.time_base = self.like.time_base
        encoder.sample_aspect_ratio = self.like.aspect
        self._tag(encoder)
        encoder.options = self._options

    def _tag(self, context: Any) -> None:
        colors = self.like.colors
        context.color_range = 2 if colors.full else 1  # FFmpeg's JPEG and MPEG
        context.colorspace = colors.matrix
        context.color_primaries = colors.primaries
        context.color_trc = colors.transfer

    def _encode(self, frame: Any) -> None:
        """Encode a frame, or with None what the encoder holds back, and let the sound follow."""
        try:
            for packet in self._encoder.encode(frame):
                packet.stream = self._stream
                packet.duration = self._lengths.pop(packet.pts)  # not every encoder passes it on
                if self.count < 3:  # too few to be reordered; x265 leaves their dts unset
                    packet.dts = packet.pts
                until = packet.dts * packet.time_base
                self._output.mux(packet)
                if self._sound is not None:
                    self._sound.mux(self._output, until)
        except self._av.error.FFmpegError as error:
            raise VideoError(f"{self.path} cannot be written: {reason(error)}") from error

    def _finish(self) -> None:
        if self.count == 0:
            raise VideoError(f"{self.path}: no frame was written")
        self._encode(None)
        try:
            if self._sound is not None:
                self._sound.mux(self._output, None)
            self._output.close()
            self._close_sound()
            self._temporary.replace(self._target)
        except OSError as error:  # FFmpeg's are such, too
            raise VideoError(f"{self.path} cannot be written: {reason(error)}") from error

    def _abandon(self) -> None:
        """Close and delete what is left of an unfinished file."""
        self._close_sound()
        output = getattr(self, "_output", None)
        if output is not None:
            with contextlib.suppress(OSError, ValueError):
                output.close()
        self._files.close()
        self._temporary.unlink(missing_ok=True)

    def _close_sound(self) -> None:
        if self._sound is not None:
            self._sound.close()
