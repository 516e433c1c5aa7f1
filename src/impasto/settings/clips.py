"""Every knob of a clip beside those of its pictures, once: `VideoSettings`.

Free of torch, so that `--help` is instant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from impasto.errors import SettingsError
from impasto.settings.options import Options, option

__all__ = ["VideoSettings"]

FlowName = Literal["dis", "farneback", "raft"]

_RUDER = "Ruder, Dosovitskiy & Brox 2016, arXiv 1604.08610"


@dataclass(frozen=True, kw_only=True)
class VideoSettings(Options):
    """What determines a painted clip besides its pictures and `Settings`. Checked when made.

    Raises: SettingsError: a value of the wrong type, out of its range, or unknown.
    """

    temporal_weight: float = option(
        100.0,
        "How much a frame is to be the one before, carried along; 0: only its start is.",
        half="video",
        low=0,
        source=_RUDER,
        common=True,
    )
    frame_steps: int = option(
        30,
        "Evaluations for every frame after a scene's first, which has --steps.",
        half="video",
        low=1,
        common=True,
    )
    distances: tuple[int, ...] = option(
        (1, 2, 4),
        "How many frames back the earlier ones lie that a frame is held against, each where nearer "
        "ones do not show the pixel.",
        half="video",
        low=1,
        high=100,
        source=_RUDER,
    )
    passes: int = option(
        1,
        "Times that the clip is gone through, forwards and backwards in turn: from 2, for motion "
        "that is fast; every pass takes --frame-steps.",
        half="video",
        low=1,
        high=100,
        source=_RUDER,
    )
    pass_blend: float = option(
        0.5,
        "How much of a neighbor, carried along, a frame starts from in a later pass; the rest is "
        "its own last pass.",
        half="video",
        low=0,
        high=1,
        source=_RUDER,
    )
    flow: FlowName = option(
        "dis", "How motion is found; raft needs a file of weights.", half="video", common=True
    )
    flow_weights: str = option("none", "File of weights for the flow raft.", half="video")
    cuts: bool = option(True, "Look for scene cuts and start afresh there.", half="video")
    draft: bool = option(
        False,
        "Paint key frames only and carry them along the motion to the frames between: a fraction "
        "of the time, but what moves in a way that is not followed is smeared, and light that "
        "changes comes in jumps.",
        half="video",
        common=True,
    )
    key_every: int = option(
        8, "Frames from one key frame to the next in a draft.", half="video", low=2, high=100
    )
    refresh_steps: int = option(
        8,
        "Evaluations for a frame of a draft in which something is seen that no key frame shows.",
        half="video",
        low=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.distances:
            raise SettingsError("distances: no frame is named; 1 is the one before")
        if (self.flow == "raft") != (self.flow_weights != "none"):
            raise SettingsError(
                "flow_weights: the flow raft needs a file of trained weights, and the others need "
                "none"
            )
        if self.draft and self.passes > 1:
            raise SettingsError("a draft goes through the clip once; passes must be 1 with it")
