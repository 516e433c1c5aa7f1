"""The method for moving pictures, read top to bottom: a clip and paintings in, a painted clip out.

photos → each frame from the last pastiche, carried along → PNG files in a folder → a clip

Ruder, Dosovitskiy & Brox, arXiv 1604.08610 and 1708.04538.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from impasto.errors import SettingsError, TruncatedClip, VideoError
from impasto.network.weights import own_weights
from impasto.painting.guidance import Guidance
from impasto.painting.stylizer import Stylizer
from impasto.pictures.files import Source
from impasto.pictures.picture import Picture, fit
from impasto.settings.clips import VideoSettings
from impasto.settings.pictures import Settings
from impasto.video.clip_run import Reel, VideoStep
from impasto.video.frame_painter import FramePainter
from impasto.video.frame_store import Run, clip_identity
from impasto.video.io.frames import Clip, open_clip, read_frames, write_clip
from impasto.video.keyframes import paint_draft
from impasto.video.motion.motion import find_motion
from impasto.video.multipass import paint_in_passes
from impasto.video.sequential import paint_onward
from impasto.video.styling import read_styling

__all__ = ["Film", "VideoPlan", "VideoStep", "plan_video", "stylize_video"]

_CORNER = 64  # px


@dataclass(frozen=True)
class Film:
    """A painted clip.

    Attributes:
        path: the file, or the folder of frames.
        size: (H, W) of the pictures in it, px.
        frames: number of frames.
        resumed: number of frames that an earlier, interrupted run had painted.
        scenes: the numbers of the frames, from 1, at which scenes begin.
        losses: loss by term, a mean over the frames that have the term.
        truncated: the damage, if the source ends early; None: it is complete.
        about: all inputs that determine the frames: settings, identities of clip and pictures.
        notes: one line for each way in which the file differs from the painted frames.
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
    """A clip that is planned: read and checked, nothing painted yet.

    Attributes:
        reel: its frames, what paints them, and where they are kept.
        output: the result: a clip, or a folder of frames.
        keeps_frames: whether the folder of frames stays.
        encode: opens the writer of the result.
    """

    reel: Reel
    output: Path
    keeps_frames: bool
    encode: Callable[[], Any] | None

    @property
    def folder(self) -> Path:
        """Where frames are kept meanwhile."""
        return self.reel.run.folder

    def steps(self) -> Iterator[VideoStep]:
        """Paint, and yield after every evaluation of a frame's objective.

        Every finished frame is on disk; whoever stops here can go on later.

        Raises:
            VideoError: a frame cannot be read.
            DivergenceError: the optimization of a frame failed.
        """
        video = self.reel.video
        if video.draft:
            yield from paint_draft(self.reel)
        elif video.passes > 1:
            yield from paint_in_passes(self.reel)
        else:
            yield from paint_onward(self.reel)

    def finish(self, *, partly: bool = False) -> Film:
        """Encode the painted frames with the clip's sound, and clear up.

        Args: partly: whether it may end before the clip does, where the first frame is missing.

        Raises: VideoError: not all frames are painted, or none; or the result cannot be written.
        """
        reel, run = self.reel, self.reel.run
        folders = list(self._folders()) if partly else [""] * (reel.count or 0)
        if not folders or not run.has(len(folders) - 1, folders[-1]):
            raise VideoError(
                f"{run.folder}: {'no' if partly else 'not all'} frames are painted yet"
            )
        frames = [run.note(index, folder) for index, folder in enumerate(folders)]
        size, notes = reel.painter.work.level.size, ()
        if self.encode is not None:
            until = {"end": float(frames[-1].time + frames[-1].duration)} if partly else {}
            with self.encode(**until) as writer:
                for frame, folder in zip(frames, folders, strict=True):
                    writer.write(run.load(frame.index, folder), frame.time, frame.duration)
            size, notes = writer.stored_size, writer.notes
        run.clear_stages()
        if not self.keeps_frames:
            run.remove()
        return Film(
            path=self.output,
            size=size,
            frames=len(frames),
            resumed=run.resumed,
            scenes=tuple(frame.index + 1 for frame in frames if frame.begins),
            losses=_means([frame.losses for frame in frames]),
            truncated=reel.truncated,
            about=run.record["about"],
            notes=notes,
        )

    @property
    def finished(self) -> int:
        """How many frames are painted, in whatever pass, from the first one to the first gap."""
        return sum(1 for _ in self._folders())

    def _folders(self) -> Iterator[str]:
        """Name, for each frame up to the first gap, the folder of the run with its last pass."""
        run, last = self.reel.run, self.reel.video.passes
        folders = ["", *(f"stage-{stage}" for stage in range(last - 1, 0, -1))]
        for index in itertools.count():
            there = [folder for folder in folders if run.has(index, folder)]
            if not there:
                return
            yield there[0]


def _means(losses: Sequence[Mapping[str, float]]) -> dict[str, float]:
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
    """Read and check what a clip is to be painted from; see `stylize_video` for the arguments.

    If its folder of frames holds a part of the same run, that is continued.
    """
    settings, video = settings or Settings(), video or VideoSettings()
    source = clip if isinstance(clip, Clip) else open_clip(Path(clip), rate=rate)
    target = Path(output)
    folder = _folder_of(source, target, None if frames is None else Path(frames))
    first = next(read_frames(source, start=start, end=end, long_side=settings.long_side)).image
    styling, known = read_styling(
        Picture(first, name=source.path.name), styles, settings,
        guidance=guidance, times=style_times,
    )  # fmt: skip
    # Now, and not after a first frame, if it cannot be found; a corner tells as much as the whole.
    corner = first[..., :_CORNER, :_CORNER]
    find_motion(corner, corner, video)
    size = fit(source.size, settings.long_side)
    encode = None
    if folder != target:
        encode = partial(
            write_clip, target, source, size=size, start=start, end=end, codec=codec, crf=crf,
            sound=sound, overwrite=overwrite, metadata={"comment": f"painted by {_maker()}"},
        )  # fmt: skip
        _try_out(encode)
    elif codec is not None or crf is not None:
        raise VideoError(f"{target} is a folder of PNG files: codec and crf are for clips")
    stylizer = Stylizer(settings, device=device, memory=memory)
    painter = FramePainter(stylizer, styling, size, video.frame_steps)
    record = {
        "about": _about(source, settings, video) | known,
        "start": start, "end": end, "rate": str(source.rate), "size": list(size),
    }  # fmt: skip
    run = Run(folder, record, overwrite=overwrite)
    reel = Reel(clip=source, painter=painter, video=video, run=run, start=start, end=end)
    keeps = frames is not None or folder == target
    return VideoPlan(reel=reel, output=target, keeps_frames=keeps, encode=encode)


def _about(clip: Clip, settings: Settings, video: VideoSettings) -> dict[str, Any]:
    """Return what determines the frames of a run, besides paintings and masks."""
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

    Stopped and called again, it goes on at the frame where it was, with the same result.

    Args:
        clip: a video file, or a folder of frames, or what `open_clip` has returned.
        styles: a painting, or a list of them, as for `stylize`.
        output: a video file, or a folder (a name without suffix) for frames.
        settings: of the pictures; a scene's first frame is painted by them as a picture is.
        video: what ties frames together.
        on_step: is called after every evaluation.
        options:
            guidance: masks; a folder in the place of a picture has one for every frame.
            style_times: for each painting the time, in seconds of the clip, at which it is the
                only one; between two times, one gives way to the other.
            start, end: seconds of the clip; None: its own.
            rate: frames a second of a folder, which does not know.
            frames: a folder to keep the painted frames in, as PNG files; None: they are kept
                beside the output until it is written.
            codec, crf, sound: as for `write_clip`.
            overwrite: whether output, and frames of another run, may be replaced.
            device, memory: as for `Stylizer`.

    Raises:
        VideoError: the clip cannot be read, the result not written, or there is an unfinished run
            of something else.
        TruncatedClip: after what could be read was painted and written.
        Everything that `stylize` raises.
    """
    plan = plan_video(clip, styles, output, settings, video, **options)
    for step in plan.steps():
        if on_step is not None:
            on_step(step)
    film = plan.finish()
    if film.truncated is not None:
        raise TruncatedClip(f"{film.truncated}; that much is in {film.path}", film.frames)
    return film


def _folder_of(clip: Clip, output: Path, frames: Path | None) -> Path:
    """Return the folder for frames, having made sure that nothing overwrites the clip."""
    is_folder = output.is_dir() or not output.suffix
    if is_folder and frames is not None:
        raise SettingsError(f"{output} is a folder of frames already; name a clip, or no frames")
    folder = output if is_folder else frames or output.with_name(output.name + ".frames")
    for path in (output, folder):
        if path.exists() and path.samefile(clip.path):
            raise VideoError(f"{path} is the clip itself; give the result another name")
    return folder


class _TriedOut(Exception):  # noqa: N818  (nothing went wrong)
    """Ends a writer that was only to be tried."""


def _try_out(encode: Callable[[], Any]) -> None:
    """Find what would keep the result from being written, before the long run."""
    with contextlib.suppress(_TriedOut), encode():
        raise _TriedOut


def _maker() -> str:
    from impasto._version import __version__

    return f"impasto {__version__}"
