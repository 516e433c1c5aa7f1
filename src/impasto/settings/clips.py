"""`VideoSettings`: every option that changes a painted clip and is not in `Settings`.

This module does not import torch, so that `--help` is fast.
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
    """The options that determine a painted clip, besides `Settings`.

    They are checked when the object is created, and do not change afterwards.

    Raises: SettingsError: a value has the wrong type, is out of its range, is unknown, or
        contradicts another one.
    """

    temporal_weight: float = option(
        100.0,
        "Weight of the temporal loss, which compares a frame with earlier frames moved along the "
        "motion; larger values give less flicker. With 0, a frame only starts from the earlier "
        "ones.",
        half="video",
        low=0,
        source=_RUDER,
        common=True,
    )
    frame_steps: int = option(
        30,
        "Number of steps for a frame; the first frame of a scene has the number --steps instead. "
        "More steps take more time and give a more finished picture.",
        half="video",
        low=1,
        common=True,
    )
    distances: tuple[int, ...] = option(
        (1, 2, 4),
        "Distances, in frames, to the earlier frames that a frame is compared with; a farther "
        "frame is used only for pixels that the nearer ones do not show.",
        half="video",
        low=1,
        high=100,
        source=_RUDER,
    )
    passes: int = option(
        1,
        "Number of passes through the clip, forward and backward in turn; two or more improve "
        "clips with fast motion. Every pass paints each frame with --frame-steps.",
        half="video",
        low=1,
        high=100,
        source=_RUDER,
    )
    pass_blend: float = option(
        0.5,
        "Share of the neighboring frame in the start of a frame, from the second pass on. Such a "
        "frame starts from a mix of its neighbor, moved along the motion, and its own result of "
        "the previous pass.",
        half="video",
        low=0,
        high=1,
        source=_RUDER,
    )
    flow: FlowName = option(
        "dis",
        "Method that estimates the motion between frames (optical flow); raft needs impasto[raft] "
        "and a file of weights.",
        half="video",
        common=True,
    )
    flow_weights: str = option(
        "none",
        "File of weights for the flow method raft; none for the other methods.",
        half="video",
    )
    cuts: bool = option(
        True, "Detect scene cuts; a new scene does not use the frames before it.", half="video"
    )
    draft: bool = option(
        False,
        "Paint key frames only, and move them along the motion to the frames between them. This "
        "takes a fraction of the time. But motion that is not detected looks smeared, and changes "
        "of light appear suddenly.",
        half="video",
        common=True,
    )
    key_every: int = option(
        8,
        "Number of frames from one key frame to the next in a draft; larger values take less "
        "time but smear more.",
        half="video",
        low=2,
        high=100,
    )
    refresh_steps: int = option(
        8,
        "Number of steps for a frame of a draft in which more than 0.2 % of the pixels are not "
        "visible in any key frame; above 25 %, --frame-steps is used.",
        half="video",
        low=0,
    )
    keep_hdr: bool = option(
        False,
        "Keep the dynamic range and the primaries of a PQ or HLG clip; the result has 10 bits. "
        "Otherwise it becomes BT.709 of standard range.",
        half="video",
        source="ITU-R BT.2100, BT.2390, BT.2408",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.distances:
            raise SettingsError(
                "distances is empty: give at least one number; 1 is the previous frame"
            )
        if (self.flow == "raft") != (self.flow_weights != "none"):
            raise SettingsError(
                f"flow_weights is {self.flow_weights}, and flow is {self.flow}: raft needs a file "
                "of trained weights, and the other methods take none"
            )
        if self.draft and self.passes > 1:
            raise SettingsError("a draft has only one pass: set passes to 1, or turn draft off")
