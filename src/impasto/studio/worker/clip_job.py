"""A clip as a job: planned by the library, watched frame by frame, and kept as far as it is.

The frames of a run are in the job's folder until they are a clip: so whatever ends a worker, the
next one goes on at the frame where it was, and a clip that is stopped is a clip.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from impasto.cli.clip_progress import Pace
from impasto.cli.setting_flags import options_of
from impasto.errors import DivergenceError, VideoError
from impasto.painting.guidance import Guidance
from impasto.pictures.picture import Picture
from impasto.settings.clips import VideoSettings
from impasto.settings.pictures import Settings
from impasto.studio.jobs.clip_uploads import frames_of, named, read_clip
from impasto.studio.jobs.limits import Limits, StudioError
from impasto.studio.jobs.rows import StoredJob
from impasto.studio.jobs.store import Store
from impasto.studio.jobs.uploads import read_stored
from impasto.studio.worker.interrupts import Leaving, Manners
from impasto.studio.worker.job_log import Logbook
from impasto.video.clip_run import VideoStep
from impasto.video.io.frames import Clip, open_clip, read_frames
from impasto.video.preview import contact_sheet, preview_frames, preview_step
from impasto.video.stylize_video import VideoPlan, plan_video

__all__ = ["Footage", "gather", "paint_film", "paint_sheet"]

_RESULT = "result.mp4"
_TELLING = 4  # part of a frame's steps from which on its time can be told


@dataclass(frozen=True, eq=False, kw_only=True)
class Footage:
    """What a clip's job is made of, read.

    Attributes:
        clip: and its file's own name,
        name: which the messages have.
        start, end: in seconds, which part of it; None: from or to its own.
        frames: how many that are; None: unknown.
        sound: whether the sound track is kept.
    """

    clip: Clip
    name: str
    styles: Sequence[Picture]
    settings: Settings
    video: VideoSettings
    guidance: Guidance | None
    start: float | None
    end: float | None
    frames: int | None
    sound: bool


def gather(request: Mapping[str, Any], store: Store) -> Footage:
    """Read what a checked request names.

    Raises: NoSuchThing: it was cleaned up; ImageError, VideoError: it cannot be read.
    """
    pictures, options = request["pictures"], request["options"]
    row = store.clip(pictures["clip"])

    def read(role: str) -> list[Picture | None]:
        given = pictures.get(role, [])
        many = given if isinstance(given, list) else [given]
        return [None if each is None else read_stored(store, each) for each in many]

    masks = {role: read(role) for role in ("masks", "style_masks") if role in pictures}
    content_mask = next(iter(read("content_mask")), None)
    guidance = None
    if masks or content_mask is not None:
        guidance = Guidance(**masks, content_mask=content_mask)  # type: ignore[arg-type]
    path = store.clip_file(row.id)
    with named(path, row.name):
        clip = read_clip(path)
    return Footage(
        clip=clip, name=row.name, styles=[each for each in read("styles") if each is not None],
        settings=Settings.from_dict(request["settings"]),
        video=VideoSettings.from_dict(options_of(VideoSettings, options)), guidance=guidance,
        start=options["start"] or None, end=options["end"] or None,
        frames=frames_of(row, options), sound=options.get("sound", True),
    )  # fmt: skip


# ---- the clip -----------------------------------------------------------------------------------


def paint_film(store: Store, row: StoredJob, manners: Manners, limits: Limits) -> None:
    """Paint a clip to its end, or as far as it may go.

    Raises: ImpastoError: it cannot be painted.
    """
    logbook = manners.logbook
    if (logbook.folder / _RESULT).is_file():  # the worker that wrote it did not come to say so
        store.move(row.id, "done")
        return
    footage = gather(row.request, store)
    with named(footage.clip.path, footage.name):
        plan = _plan(footage, logbook.folder)
        _check_size(plan, limits)
        watch = _Watch(logbook, plan)
        state, error = _paint(plan, watch, manners, limits)
        if state in ("done", "stopped"):
            state, error = _keep(plan, watch, footage.name, state, error)
    if state != "queued":
        store.move(row.id, state, error=error)  # type: ignore[arg-type]
        shutil.rmtree(store.frames_folder(row.id), ignore_errors=True)


def _plan(footage: Footage, folder: Path) -> VideoPlan:
    """Plan a clip. Raises: StudioError: MP4, which browsers play, cannot hold its sound."""
    try:
        return _planned(footage, folder)
    except VideoError as error:
        if footage.sound and footage.clip.has_sound:
            _planned(replace(footage, sound=False), folder)  # if that is wrong, too, it is not that
            codecs = " and ".join(footage.clip.sounds)
            raise StudioError(
                f"the sound of {footage.name} is {codecs}, which MP4 cannot hold; paint it without "
                "its sound"
            ) from error
        raise


def _planned(footage: Footage, folder: Path) -> VideoPlan:
    return plan_video(
        footage.clip, footage.styles, folder / _RESULT, footage.settings, footage.video,
        guidance=footage.guidance, start=footage.start, end=footage.end, sound=footage.sound,
        overwrite=True,
    )  # fmt: skip


def _check_size(plan: VideoPlan, limits: Limits) -> None:
    height, width = plan.run.painter.work.level.size
    if height * width > limits.max_pixels:
        raise StudioError(
            f"{width} x {height} px are more than the {limits.max_pixels} px that the studio allows"
        )


def _paint(plan: VideoPlan, watch: _Watch, manners: Manners, limits: Limits) -> tuple[str, str]:
    """Return the state that the job is left in, "queued" if it is to be taken up again."""
    try:
        for step in plan.steps():
            if step.frame > limits.max_frames:  # where the file did not tell how many there are
                reason = f"stopped at the {limits.max_frames} frames that the studio allows"
                raise Leaving("stop", reason=reason)
            watch.see(step)
            manners.attend()
    except DivergenceError as diverged:
        if not plan.finished:
            raise
        return "stopped", str(diverged)
    except Leaving as leaving:
        if leaving.how in ("go", "park"):
            watch.put_down()
            return "queued", ""
        if leaving.how == "cancel":
            watch.put_down()
            return "cancelled", ""
        return "stopped", leaving.reason
    return "done", ""


def _keep(plan: VideoPlan, watch: _Watch, name: str, state: str, error: str) -> tuple[str, str]:
    """Encode what is painted; return state and error of the job."""
    if state == "stopped" and not plan.finished:
        watch.put_down()
        return "stopped", error or "stopped before its first frame was finished"
    watch.encode()
    film = plan.finish(partly=state == "stopped")
    first = next(read_frames(open_clip(film.path))).image
    watch.finish(film.frames, first)
    if film.truncated is not None:
        film.truncated.path = name
        return state, f"{film.truncated}; what could be read is painted"
    return state, error


class _Watch:
    """Tells of a clip that is painted: which frame, which step, how long it will take.

    Args: logbook: that is told.
    """

    def __init__(self, logbook: Logbook, plan: VideoPlan) -> None:
        self.logbook = logbook
        self.store, self.draft = plan.run.store, plan.run.video.draft
        self.last: VideoStep | None = None
        self.pace = Pace()
        self.begun = 0.0  # when the first frame was finished, and looking for motion began
        expected = plan.run.expected
        if self.store.resumed:
            logbook.note("an interruption", step=0, frame=self.store.resumed + 1)
        stages = plan.run.video.passes
        self._tell(frame=0, frames=expected, done=0, stage=1, stages=stages, encoding=False)

    def see(self, step: VideoStep) -> None:
        """Note a step; when it is time, its picture, too."""
        before, self.last = self.last, step
        remaining = self._remaining(replace(step, seconds=self.logbook.seconds))
        if before is not None and before.done < step.done:
            self._note_frame(before)
        self.logbook.facts |= {
            "step": step.step.index, "count": step.step.count, "level": step.step.level,
            "levels": step.step.levels, "losses": dict(step.step.losses), "remaining": remaining,
        }  # fmt: skip
        if self.logbook.is_time:
            self.put_down()

    def _remaining(self, step: VideoStep) -> float | None:
        """Return the seconds that are left; None: not known yet."""
        left = self.pace.remaining(step)
        if self.pace.frames == 0:
            self.begun = step.seconds
        if self.pace.frames != 1 or step.frames is None or self.draft:
            return left
        # A scene's first frame takes what the others do not: so by the steps of the second.
        index, count = step.step.index, step.step.count
        if index * _TELLING < count:
            return None
        spent = step.seconds - self.begun
        return spent / index * count * (step.frames * step.stages - step.done) - spent

    def put_down(self) -> None:
        """Tell of the last step."""
        step = self.last
        if step is not None:
            self.logbook.hang(step.image)
            self._tell(
                frame=step.frame, frames=step.frames, done=step.done, stage=step.stage,
                stages=step.stages,
            )  # fmt: skip
        self.logbook.report()

    def encode(self) -> None:
        """Tell that the file is written."""
        if self.last is not None:
            self._note_frame(self.last)
        self.put_down()
        self.logbook.facts["remaining"] = None
        self._tell(encoding=True)
        self.logbook.report()

    def finish(self, frames: int, first: Any) -> None:
        """Tell that it is there, with its first frame, (1, 3, H, W), as the preview."""
        self.logbook.hang(first)
        self._tell(frame=frames, frames=frames, done=frames, encoding=False)
        self.logbook.facts["remaining"] = 0.0
        self.logbook.report()

    def _note_frame(self, step: VideoStep) -> None:
        numbers = {"step": step.frame, "level": 1, "seconds": round(self.logbook.seconds, 3)}
        self.logbook.new.append({**numbers, **step.step.losses, "total": step.step.total})

    def _tell(self, **facts: Any) -> None:
        self.logbook.facts["clip"] = {**self.logbook.facts.get("clip", {}), **facts}


# ---- the sheet ----------------------------------------------------------------------------------


def paint_sheet(store: Store, row: StoredJob, manners: Manners) -> None:
    """Paint some frames of a clip, small, and lay them out on a sheet, which grows.

    Raises: ImpastoError: they cannot be painted.
    """
    logbook, footage = manners.logbook, gather(row.request, store)
    painted: list[Any] = []
    state, error = "done", ""
    with named(footage.clip.path, footage.name):
        frames = preview_frames(
            footage.clip, footage.styles, footage.settings, guidance=footage.guidance,
            start=footage.start, end=footage.end,
        )  # fmt: skip
        try:
            for each in frames:
                painted.append(each)
                _show(logbook, painted, footage)
                manners.attend()
        except Leaving as leaving:
            if leaving.how in ("go", "park"):
                return
            if leaving.how == "cancel":
                store.move(row.id, "cancelled")
                return
            state, error = "stopped", leaving.reason
    logbook.save(contact_sheet(painted))
    logbook.facts["remaining"] = 0.0
    logbook.report()
    store.move(row.id, state, error=error)  # type: ignore[arg-type]


def _show(logbook: Logbook, painted: Sequence[Any], footage: Footage) -> None:
    done = len(painted)
    count = None if footage.frames is None else -(-footage.frames // preview_step(footage.clip))
    logbook.hang(contact_sheet(painted))
    logbook.facts |= {
        "clip": {"frame": done, "frames": count, "done": done}, "step": 1, "count": 1,
        "remaining": None if count is None else logbook.seconds / done * max(count - done, 0),
    }  # fmt: skip
    logbook.report()
