"""Style transfer for clips, from top to bottom: a clip and paintings in, a painted clip out.

photos → frames, each painted from its prediction → PNG files in the frame store → a clip

Paper: Ruder, Dosovitskiy & Brox, arXiv 1604.08610 and 1708.04538.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from impasto.errors import SettingsError, TruncatedClip, VideoError
from impasto.network.weights import own_weights
from impasto.painting.guidance import Guidance
from impasto.painting.stylizer import Stylizer
from impasto.pictures.files import Source, transparency_note
from impasto.pictures.picture import fit, on_paper
from impasto.pictures.transfer import from_srgb
from impasto.settings.clips import VideoSettings
from impasto.settings.pictures import Settings
from impasto.storage import check_results
from impasto.video.clip_run import ClipRun, VideoStep
from impasto.video.dynamic_range import check_no_pictures, range_notes
from impasto.video.frame_painter import FramePainter
from impasto.video.frame_store import FINAL, FrameStore, clip_identity, stage_folder
from impasto.video.io.folders import shape_note
from impasto.video.io.frames import Clip, open_clip, read_frames, write_clip
from impasto.video.keyframes import paint_key_frames
from impasto.video.motion.motion import find_motion
from impasto.video.multipass import paint_in_passes
from impasto.video.run_files import files_read, files_written, frames_folder
from impasto.video.sequential import paint_sequentially
from impasto.video.styling import read_styling

__all__ = ["Film", "VideoPlan", "VideoStep", "plan_video", "stylize_video"]

_CORNER = 64  # px; the side of the corner on which `plan_video` tries the optical flow.


@dataclass(frozen=True)
class Film:
    """A painted clip.

    Attributes:
        path: the file, or the folder of frames.
        size: (H, W) of the pictures in it, px.
        frames: the number of frames.
        resumed: the number of frames that an earlier, interrupted run had painted.
        scenes: the numbers of the frames, from 1, at which scenes begin.
        losses: the loss of each term, as a mean over the frames that have the term.
        truncated: the error, if the clip that was painted ends early; None: it is complete.
        about: all inputs that determine the frames: the settings, and the names and SHA-256 sums of
            clip and pictures.
        notes: one line for each way in which the file differs from the clip or the painted frames.
    """

    path: Path
    size: tuple[int, int]
    frames: int
    resumed: int
    scenes: tuple[int, ...]
    losses: Mapping[str, float]
    truncated: TruncatedClip | None
    about: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(eq=False, repr=False, kw_only=True)
class VideoPlan:
    """A clip whose inputs are read and checked, ready to be painted.

    Attributes:
        run: the frames, their painter and their store.
        output: the result: a clip, or a folder of frames.
        keeps_frames: whether the folder of frames stays.
        encode: opens the writer of the result; None: the result is the folder of frames.
        notes: one line if the colors of the clip are converted, and one if its frames are kept as
            pictures but its pixels are not square.
    """

    run: ClipRun
    output: Path
    keeps_frames: bool
    encode: Callable[[], Any] | None
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder of the frame store."""
        return self.run.store.folder

    def steps(self) -> Iterator[VideoStep]:
        """Paint the frames, and yield after every evaluation of a frame's objective.

        Every finished frame is on disk, so that an interrupted run can be resumed.

        Raises:
            VideoError: a frame cannot be read.
            DivergenceError: the optimization of a frame failed.
        """
        if self.run.video.draft:
            yield from paint_key_frames(self.run)
        elif self.run.video.passes > 1:
            yield from paint_in_passes(self.run)
        else:
            yield from paint_sequentially(self.run)

    def finish(self, *, partly: bool = False) -> Film:
        """Encode the painted frames with the clip's sound, and delete temporary files.

        Args:
            partly: whether some frames may be missing. If so, only the frames before the first
                missing one are encoded.

        Raises: VideoError: a frame that is needed is not painted, or the result cannot be written.
        """
        run, store = self.run, self.run.store
        folders = list(self._folders()) if partly else [FINAL] * (run.count or 0)
        if not folders or not store.has(len(folders) - 1, folders[-1]):
            raise VideoError(
                f"cannot be encoded: {'no' if partly else 'not all'} frames are painted yet",
                path=store.folder,
            )
        frames = [store.info(index, folder) for index, folder in enumerate(folders)]
        size, notes = run.painter.work.level.size, dict.fromkeys(self.notes)
        if self.encode is not None:
            until = {"end": float(frames[-1].time + frames[-1].duration)} if partly else {}
            with self.encode(**until) as writer:
                for frame, folder in zip(frames, folders, strict=True):
                    picture = store.load_picture(frame.index, folder)
                    notes |= dict.fromkeys(transparency_note(self.output, picture.alpha))
                    writer.write(on_paper(picture), frame.time, frame.duration)
            size, notes = writer.stored_size, notes | dict.fromkeys(writer.notes)
        store.clear_stages()
        if not self.keeps_frames:
            store.remove()
        return Film(
            path=self.output,
            size=size,
            frames=len(frames),
            resumed=store.resumed,
            scenes=tuple(frame.index + 1 for frame in frames if frame.starts_scene),
            losses=_means([frame.losses for frame in frames]),
            truncated=run.truncated,
            about=store.record["about"],
            notes=tuple(notes),
        )

    @property
    def finished(self) -> int:
        """The number of frames, up to the first gap, that at least one pass has painted."""
        return sum(1 for _ in self._folders())

    def _folders(self) -> Iterator[str]:
        """Yield, for each frame up to the first gap, the folder that holds its last pass."""
        store, stages = self.run.store, self.run.video.passes
        folders = [stage_folder(stage, stages) for stage in range(stages, 0, -1)]
        for index in itertools.count():
            found = next((folder for folder in folders if store.has(index, folder)), None)
            if found is None:
                return
            yield found


def _means(losses: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return each term's mean over the frames that have it."""
    names = dict.fromkeys(name for each in losses for name in each)
    values = {name: [each[name] for each in losses if name in each] for name in names}
    return {name: sum(each) / len(each) for name, each in values.items()}


def plan_video(
    clip: str | os.PathLike[str] | Clip,
    styles: Source | Sequence[Source],
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    video: VideoSettings | None = None,
    *,
    guidance: Guidance | None = None,
    style_times: Sequence[float] | None = None,
    start: float | None = None,
    end: float | None = None,
    rate: float | None = None,
    frames: str | os.PathLike[str] | None = None,
    codec: str | None = None,
    crf: int | None = None,
    sound: bool = True,
    overwrite: bool = False,
    device: str | torch.device | None = None,
    memory: float | None = None,
) -> VideoPlan:
    """Read and check the inputs of a clip, and return a plan that can be painted.

    If the folder of frames holds an unfinished run of the same inputs, the plan's `steps` resumes
    it.

    Args: as for `stylize_video`. Its options are arguments here.

    Raises: as for `stylize_video`, except TruncatedClip and DivergenceError: only painting raises
        these.
    """
    settings, video = _with_known_faces(settings or Settings()), video or VideoSettings()
    source = clip if isinstance(clip, Clip) else open_clip(Path(clip), rate=rate)
    source = replace(source, keep_hdr=video.keep_hdr and source.signal.is_hdr)
    target = Path(output)
    kept = None if frames is None else Path(frames)
    reads = files_read(source, styles, guidance, settings, video)
    check_results(reads, files_written(target, kept))
    folder = frames_folder(target, kept)
    keeps = kept is not None or folder == target
    check_no_pictures(source, keeps_frames=keeps)
    first = next(read_frames(
        source, start=start, end=end, long_side=settings.long_side, resampling=settings.resampling
    )).picture  # fmt: skip
    styling, known = read_styling(
        replace(first, name=source.path.name), styles, settings,
        guidance=guidance, times=style_times, frames=read_frames(source, start=start, end=end),
    )  # fmt: skip
    if source.keep_hdr:
        styling = styling.mapped(partial(from_srgb, signal=source.signal))
    # Missing libraries or weights for the flow raise here, not after the first frame is painted.
    corner = first.image[..., :_CORNER, :_CORNER]
    find_motion(corner, corner, video)
    size = fit(source.size, settings.long_side)
    encode = None
    if folder != target:
        encode = partial(
            write_clip, target, source, size=size, start=start, end=end, codec=codec, crf=crf,
            sound=sound, overwrite=overwrite, metadata={"comment": f"painted by {_maker()}"},
        )  # fmt: skip
        _try_writer(encode)
    elif codec is not None or crf is not None:
        raise VideoError(
            "is a folder of PNG files, which has no codec and no crf; leave both out", path=target
        )
    stylizer = Stylizer(settings, device=device, memory=memory)
    painter = FramePainter(stylizer, styling, size, video.frame_steps)
    record = {
        "about": _about(source, settings, video) | known,
        "start": start, "end": end, "rate": str(source.rate), "size": list(size),
    }  # fmt: skip
    bits = 16 if source.keep_hdr else 8
    store = FrameStore(folder, record, overwrite=overwrite, bits=bits)
    run = ClipRun(clip=source, painter=painter, video=video, store=store, start=start, end=end)
    notes = range_notes(source, video) + (shape_note(source) if keeps else ())
    return VideoPlan(run=run, output=target, keeps_frames=keeps, encode=encode, notes=notes)


def _with_known_faces(settings: Settings) -> Settings:
    """Return settings that do not search frames for faces: found ones would come and go."""
    if settings.protect == "faces" and not settings.faces:
        raise SettingsError(
            "protect: clips are not searched for faces; name their boxes as faces, or give a "
            "content mask"
        )
    return settings if settings.faces else settings.replace(protect="none")


def _about(clip: Clip, settings: Settings, video: VideoSettings) -> dict[str, Any]:
    """Return all inputs that determine the frames of a run, except paintings and masks."""
    weights = own_weights(settings.weights)
    bare = {name: Path(getattr(settings, name)).name for name in ("init", "weights")}
    return {
        "impasto": _maker().split()[-1],
        "settings": settings.to_dict() | bare,
        "video": video.to_dict() | {"flow_weights": Path(video.flow_weights).name},
        "clip": clip_identity(clip),
        **({"weights": weights} if weights else {}),
    }


def stylize_video(
    clip: str | os.PathLike[str] | Clip,
    styles: Source | Sequence[Source],
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    video: VideoSettings | None = None,
    *,
    on_step: Callable[[VideoStep], None] | None = None,
    **options: Any,
) -> Film:
    """Paint a clip in the style of one or more paintings.

    An interrupted call can be repeated: it resumes at the first frame that is missing, with the
    same result as an uninterrupted one.

    Args:
        clip: a video file, a folder of frames, or the result of `open_clip`.
        styles: a painting, or a list of paintings, as for `stylize`.
        output: a video file, or a folder (a name without suffix) for frames.
        settings: the settings of the pictures; the first frame of a scene is painted like a single
            picture. None: the defaults.
        video: the settings of the clip; None: the defaults.
        on_step: a function that is called after every evaluation.
        options:
            guidance: masks, as for `stylize`. A mask of the photo can also be a folder, which holds
                one mask for every frame.
            style_times: for each painting, the time in seconds at which it is the only one; between
                two times, the result changes gradually from one painting to the other.
            start, end: the part of the clip to paint, in seconds; None: the clip's start or end.
            rate: frames per second, for a folder of frames.
            frames: a folder that keeps the painted frames as PNG files; None: they are in a folder
                beside the output, which is deleted after the output is written.
            codec, crf, sound: as for `impasto.video.io.frames.write_clip`.
            overwrite: whether the output, and frames of another run, may be replaced.
            device, memory: as for `Stylizer`.

    Raises:
        VideoError: the clip cannot be read, the result cannot be written, or the folder of frames
            holds a run with other inputs.
        TruncatedClip: the clip ends early. Its readable frames are painted and written before this
            error is raised.
        All errors that `stylize` raises.
    """
    plan = plan_video(clip, styles, output, settings, video, **options)
    for step in plan.steps():
        if on_step is not None:
            on_step(step)
    film = plan.finish()
    if film.truncated is not None:
        raise TruncatedClip(
            f"{film.truncated}; {film.path} holds the frames before this point", film.frames
        )
    return film


class _TrialEnd(Exception):  # noqa: N818  (it reports no error)
    """Ends a trial of the writer, so that it writes no file."""


def _try_writer(encode: Callable[[], Any]) -> None:
    """Raise the errors that the writer can find before the first frame, and write nothing."""
    with contextlib.suppress(_TrialEnd), encode():
        raise _TrialEnd


def _maker() -> str:
    from impasto._version import __version__

    return f"impasto {__version__}"
