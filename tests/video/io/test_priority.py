"""The AV1 encoder raises its caller's priority when root runs it; the clip writer undoes that."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from clip_samples import drawing, make_clip
from impasto.video.io.frames import open_clip, read_frames, write_clip
from impasto.video.io.priority import priority_kept

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir() or not hasattr(os, "sched_getscheduler"),
    reason="Linux tells the priority of each thread",
)


def policies() -> dict[int, int]:
    """The scheduling policy of each thread of this process."""
    threads = [int(path.name) for path in Path("/proc/self/task").iterdir()]
    return {thread: os.sched_getscheduler(thread) for thread in threads}


@contextmanager
def waiting_thread() -> Iterator[int]:
    """A thread that does nothing until the block ends; its id."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        yield thread.native_id
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize("codec", ["av1", "h264"])
def test_writing_a_clip_raises_no_priority(tmp_path, codec):
    """Only root may have a realtime priority: for anyone else this holds without the guard."""
    clip = open_clip(make_clip(tmp_path / "a.mp4", ticks=[0, 25]))
    assert set(policies().values()) == {os.SCHED_OTHER}
    with write_clip(tmp_path / "b.mp4", clip, codec=codec) as writer:
        for frame in read_frames(clip):
            writer.write(frame.image, frame.time, frame.duration)
            assert set(policies().values()) == {os.SCHED_OTHER}
    assert set(policies().values()) == {os.SCHED_OTHER}
    assert open_clip(tmp_path / "b.mp4").size == drawing(0).shape[-2:]


def test_the_caller_and_its_new_threads_get_the_former_policy_back():
    batch = (os.SCHED_BATCH, os.sched_param(0))  # a policy that anyone may take
    with ExitStack() as threads:
        older = threads.enter_context(waiting_thread())
        with priority_kept():
            os.sched_setscheduler(older, *batch)
            os.sched_setscheduler(0, *batch)
            newer = threads.enter_context(waiting_thread())
            assert os.sched_getscheduler(newer) == os.SCHED_BATCH  # inherited
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
        assert os.sched_getscheduler(newer) == os.SCHED_OTHER
        assert os.sched_getscheduler(older) == os.SCHED_BATCH  # whoever set it wants it
