"""The pyramid: the levels of a picture, coarse to fine, each with its size and number of steps.

Large shapes form at a coarse level, where a step is cheap. Finer levels start from its result and
only add detail.
"""

from __future__ import annotations

from dataclasses import dataclass

from impasto.errors import SettingsError, counted
from impasto.pictures.picture import fit
from impasto.settings.pictures import Settings

__all__ = ["Level", "pyramid"]


@dataclass(frozen=True)
class Level:
    """One size of the pyramid.

    Attributes:
        size: (H, W) in px.
        long_side: the long side, in px.
        steps: the number of evaluations of the objective at this size.
    """

    size: tuple[int, int]
    long_side: int
    steps: int

    def scaled(self, length: float, long_side: int) -> float:
        """Convert a length, in px of a picture with this long side, to px of this level."""
        return length * self.long_side / long_side


def pyramid(size: tuple[int, int], settings: Settings, *, smallest: int = 1) -> tuple[Level, ...]:
    """Plan the levels for a photo, coarse to fine; the last level has `settings.long_side`.

    Args:
        size: (H, W) of the photo.
        smallest: levels with a short side below this, in px, are left out, except the last one.

    Returns: levels whose steps add up to `settings.steps`. With `level_steps`, the last level may
             be smaller.
    Raises:  SettingsError: there are more `level_steps` than levels.
    """
    sides = [settings.long_side]
    while settings.coarsest and sides[-1] / settings.level_ratio >= settings.coarsest * 0.99:
        # The factor 0.99 is for rounding: 512 / √2 / √2 must count as 256.
        sides.append(round(settings.long_side / settings.level_ratio ** len(sides)))
    sides = [
        side for side in sides if side == settings.long_side or min(fit(size, side)) >= smallest
    ]
    counts = settings.level_steps
    if len(counts) > len(sides):
        raise SettingsError(
            f"level_steps has {counted(len(counts), 'number')}, but the picture has only "
            f"{counted(len(sides), 'level')}, of "
            f"{', '.join(map(str, sides[::-1]))} px"
        )
    # Without one step each, the coarsest levels are left out.
    sides = sides[::-1] if counts else sides[: settings.steps][::-1]
    shares = counts or _share(settings.steps, [side**-settings.step_decay for side in sides])
    return tuple(
        Level(fit(size, side), side, count) for side, count in zip(sides, shares, strict=False)
    )


def _share(total: int, weights: list[float]) -> list[int]:
    """Split a whole number in proportion to the weights, into parts of at least 1."""
    spare = total - len(weights)
    shares = [1 + int(spare * weight / sum(weights)) for weight in weights]
    shares[0] += total - sum(shares)  # the remainder goes to the cheapest level
    return shares
