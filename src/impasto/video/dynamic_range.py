"""Checks and notes about the dynamic range and the primaries of a clip."""

from __future__ import annotations

from impasto.errors import SettingsError
from impasto.pictures.transfer import HLG, WHITE
from impasto.settings.clips import VideoSettings
from impasto.video.io.frames import Clip

__all__ = ["check_no_pictures", "range_notes"]


def check_no_pictures(clip: Clip, *, keeps_frames: bool) -> None:
    """Raise a SettingsError if frames of high dynamic range would be kept as pictures."""
    if clip.keep_hdr and keeps_frames:
        raise SettingsError(
            "keep_hdr: frames of high dynamic range are not kept as PNG files; name a clip as the "
            "output and no folder of frames, or leave out keep_hdr"
        )


def range_notes(clip: Clip, video: VideoSettings) -> tuple[str, ...]:
    """Return at most one line, about how the colors of a clip are converted or kept."""
    signal, name = clip.signal, clip.path.name
    if not signal.is_hdr:
        if video.keep_hdr:
            return (f"{name} is not of high dynamic range: --keep-hdr changes nothing",)
        if signal.is_srgb:
            return ()
        return (
            f"{name} has other primaries or another transfer function than BT.709; it is converted",
        )
    kind = "HLG" if signal.transfer == HLG else "PQ"
    if clip.keep_hdr:
        return (
            f"{name} is {kind}, and so is the result, in 10 bits; the paintings' white has "
            f"{WHITE:g} cd/m²",
        )
    return (
        f"{name} is of high dynamic range ({kind}); the result is BT.709 of standard range, by the "
        f"tone curve of BT.2390 from {signal.peak:g} to {WHITE:g} cd/m² (--keep-hdr keeps the "
        "range)",
    )
