"""The paintings of a run, measured once each, and put together for masks and weights that change.

A picture needs it once; a clip for every frame, with masks that move and styles that give way to
each other, and nothing is measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from impasto.objective.objective import seen_layers
from impasto.objective.targets import StyleTarget, blend_styles
from impasto.painting.guidance import Layout, layer_guides, shares
from impasto.painting.pyramid import Level
from impasto.pictures.masks import fitted
from impasto.settings.pictures import Settings
from impasto.style import chosen_statistic

__all__ = ["Description", "Palette", "style_guides"]

Description = Mapping[str, Tensor]  # layer → the statistic's target there


class Palette:
    """What a picture's style can be aimed at, at one size.

    Args:
        settings: which layers, and how much each painting counts.
        device: where guides are needed.
        describe: number of a part of the layout → its painting, measured. Asked once for each, and
            not before it counts.
    """

    def __init__(
        self, settings: Settings, device: torch.device, describe: Callable[[int], Description]
    ) -> None:
        self.settings = settings
        self.device = device
        self.describe = describe
        self.known: dict[int, Description] = {}

    def targets(
        self, layout: Layout, level: Level, blend: Sequence[float] | None = None
    ) -> tuple[StyleTarget, ...]:
        """Return one target for all styles that go everywhere, and one for each that does not.

        Args:
            layout: where they go; of the same parts as those that are described.
            blend: how much of each painting there is, ≥ 0 and of sum 1; None: all are there.
        """
        settings = self.settings
        masks = layout.masks(level.size, level.scaled(settings.feather, settings.long_side))
        count = 1 + max(part.style for part in layout.parts)
        weights = settings.per_style("style_weight", count)
        present = None if blend is None else [blend[part.style] for part in layout.parts]
        weighed = [
            (number, mask, share * weights[part.style])
            for number, (part, mask, share) in enumerate(
                zip(layout.parts, masks, shares(masks, present), strict=True)
            )
            if share * weights[part.style] > 0
        ]
        together = [each for each in weighed if each[1] is None]
        groups = [together] if together else []
        groups += [[each] for each in weighed if each[1] is not None]
        return tuple(self._target(group, level.size) for group in groups)

    def _target(
        self, group: Sequence[tuple[int, Tensor | None, float]], size: tuple[int, int]
    ) -> StyleTarget:
        numbers, (mask, *_), weights = zip(*group, strict=True)
        blended = blend_styles(
            chosen_statistic(self.settings), [self._described(each) for each in numbers], weights
        )
        return StyleTarget(
            blended, sum(weights), style_guides(mask, size, self.settings, self.device)
        )

    def _described(self, number: int) -> Description:
        if number not in self.known:
            self.known[number] = self.describe(number)
        return self.known[number]


def style_guides(
    mask: Tensor | None, size: tuple[int, int], settings: Settings, device: torch.device
) -> dict[str, Tensor] | None:
    """Bring a mask to the size (H, W) of its image, and to the grids of the style layers."""
    if mask is None:
        return None
    guides = layer_guides(
        fitted(mask, size),
        seen_layers(settings, "style"),
        network=settings.network,
        form=settings.guidance,
    )
    return {name: guide.to(device) for name, guide in guides.items()}
