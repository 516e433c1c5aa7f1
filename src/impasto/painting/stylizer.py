"""The method, read top to bottom: a photo and paintings in, a pastiche out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from impasto.errors import DivergenceError, SettingsError
from impasto.machine import choose_device, free_memory
from impasto.network.encoder import Encoder
from impasto.objective.deferred_layers import deferring
from impasto.objective.objective import TERMS, seen_layers
from impasto.objective.targets import Targets
from impasto.objective.tiled_objective import TiledObjective, obstacle
from impasto.objective.tiled_targets import describe, measure_content_in_tiles
from impasto.optimize.loop import Step, Terms, optimize
from impasto.painting.canvas import Surface
from impasto.painting.guidance import Guidance, layer_masks
from impasto.painting.inputs import (
    Inputs,
    enlarge,
    initial_image,
    load_inputs,
    scaled_style,
    style_side,
)
from impasto.painting.memory_plan import Workload, unusual, workloads
from impasto.painting.pastiche import Pastiche, finish, record
from impasto.painting.pyramid import Level, pyramid
from impasto.painting.style_targets import Description, Palette, style_guides
from impasto.pictures.colors import content_in_color, style_in_color
from impasto.pictures.files import Source
from impasto.pictures.masks import fitted
from impasto.pictures.picture import Picture, fit, resize
from impasto.settings.pictures import Settings
from impasto.style import chosen_statistic

__all__ = ["Stylizer", "stylize"]


class Stylizer:
    """An encoder on a device with settings, ready to paint many pictures.

    Args:
        settings: what determines the pictures.
        device: "cpu", "cuda", "cuda:1" or "mps"; None takes the first of cuda, mps and cpu that is
            there. (Only the CPU was tried by us.)
        memory: bytes that the process (or a GPU's memory) may hold. It decides which sizes are
            computed whole and which in tiles: the same picture, in less memory and more time; and
            how much of its past the optimizer remembers. None: what is free.
        tile: compute larger pictures in tiles, of which so many px count in each direction,
            also where memory would allow more.

    Raises:
        WeightsError: the network's weights are missing or damaged.
        SettingsError: no such device.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        device: str | torch.device | None = None,
        memory: float | None = None,
        tile: int | None = None,
    ) -> None:
        self.settings = settings or Settings()
        if tile is not None and tile < 1:
            raise SettingsError(f"tile: {tile} is not a side of at least 1 px")
        self.memory = memory
        self.tile = tile
        self.device = choose_device(device)
        self.layers = [
            name for kind in ("content", "style") for name in seen_layers(self.settings, kind)
        ]
        self.encoder = Encoder(
            self.layers,
            network=self.settings.network,
            weights=self.settings.weights,
            convention=self.settings.weights_convention,
            normalized=self.settings.normalized,
            pooling=self.settings.pooling,
            pooling_rescaled=self.settings.pooling_rescaled,
            padding=self.settings.padding,
            pixel_range=self.settings.pixel_range,
            precision=self.settings.precision,
            compiled=self.settings.compiled,
            # Which promises that no pixel outside is pulled.
            exact=self.settings.guidance == "inside",
        ).to(self.device)

    def steps(
        self,
        content: Source,
        styles: Source | Sequence[Source],
        *,
        guidance: Guidance | None = None,
        init: Source | None = None,
    ) -> Iterator[Step]:
        """Paint, and yield after every evaluation of the objective.

        Args:
            content: the photo.
            styles: a painting, or several: blended, or each where its mask says.
            guidance: masks; None: every style everywhere.
            init: a picture to start from, instead of `settings.init`.

        Raises:
            ImageError: a picture cannot be read, or is too small for the layers.
            SettingsError: not as many masks, weights or scales as styles.
            MemoryLimitError: a size does not fit; names the largest that does.
            DivergenceError: the optimization failed; carries the last good image.
        """
        inputs = load_inputs(content, styles, self.settings, guidance=guidance, init=init)
        return self.paint(inputs)

    def paint(
        self,
        inputs: Inputs,
        plan: Sequence[Workload] | None = None,
        blend: Sequence[float] | None = None,
    ) -> Iterator[Step]:
        """Paint what was read already; see `steps`.

        Args:
            plan: how each level is computed; None: see `plan`.
            blend: how much of each painting there is; see `Palette.targets`.
        """
        plan = plan or self.plan(inputs.photo, inputs.paintings)
        self._check_masks(inputs, plan[-1].level)
        pastiche = initial_image(inputs, self.settings, plan[0].level.size)
        done, seconds = 0, 0.0
        least: int | None = None  # tiles that memory sufficed for, where it was less than planned
        for number, work in enumerate(plan, 1):
            level, tile = work.level, _smaller(work.tile, least)
            objective = self.objective(inputs, replace(work, tile=tile), blend=blend)
            start = enlarge(pastiche.cpu(), inputs.photo, level.size)
            terms = deferring(objective, level.steps)
            for step in self.paint_level(start, terms, work, inputs):
                yield replace(
                    step,
                    losses={**dict.fromkeys(TERMS, 0.0), **step.losses},  # also where a weight is 0
                    index=done + step.index,
                    count=self.settings.steps,
                    level=number,
                    levels=len(plan),
                    seconds=seconds + step.seconds,
                )
            pastiche, done, seconds = step.image, done + level.steps, seconds + step.seconds
            least = least if objective.tile == tile else objective.tile

    def plan(self, photo: Picture, paintings: Sequence[Picture] = ()) -> tuple[Workload, ...]:
        """Plan the sizes, coarse to fine, and how each is computed with the memory there is.

        Raises:
            MemoryLimitError: a size does not fit; names the largest that does.
            SettingsError: tiles were asked for, but what is compared cannot be cut.
        """
        files = sum(each.size[0] * each.size[1] for each in (photo, *paintings))
        return self.allot(self.levels(photo), files=files)

    def levels(self, photo: Picture) -> tuple[Level, ...]:
        """Plan the sizes, coarse to fine, and their steps."""
        return pyramid(photo.size, self.settings, smallest=self.encoder.minimum_side)

    def allot(
        self, levels: Sequence[Level], *, files: int = 0, whole: bool = False
    ) -> tuple[Workload, ...]:
        """Choose how levels are computed; see `plan`.

        Args:
            files: pixels of the files of photo and paintings, which are held as well.
            whole: not in tiles, come what may.
        """
        if not whole:
            self._check_tiles(levels)
        budget = free_memory(self.device) if self.memory is None else self.memory
        return workloads(
            levels, self.encoder, self.settings,
            budget=budget, tile=self.tile, files=files, whole=whole,
        )  # fmt: skip

    def objective(
        self,
        inputs: Inputs,
        work: Workload,
        palette: Palette | None = None,
        blend: Sequence[float] | None = None,
    ) -> TiledObjective:
        """Measure what a level aims at.

        Args:
            palette: the paintings, measured already; None: not yet.
            blend: how much of each painting there is; see `Palette.targets`.
        """
        palette = palette or self.palette(inputs, work.level, tile=work.tile)
        targets = self.targets(
            inputs, work.level, palette, tile=work.tile, half=work.half, blend=blend
        )
        return TiledObjective(self.encoder, targets, self.settings, tile=work.tile)

    def measure(
        self, inputs: Inputs, level: Level, *, tile: int | None = None, half: bool = False
    ) -> Targets:
        """Measure what to aim at, at the size of a level.

        Args: tile, half: see `Workload`.
        """
        palette = self.palette(inputs, level, tile=tile)
        return self.targets(inputs, level, palette, tile=tile, half=half)

    def palette(self, inputs: Inputs, level: Level, *, tile: int | None = None) -> Palette:
        """Measure the paintings, at the size of a level.

        Of the photo only its colors are looked at, and only where `settings.color` gives them to
        the paintings: one palette serves for many photos.
        """
        content = resize(inputs.photo.image, level.size)
        return Palette(
            self.settings, self.device, partial(self._describe, inputs, level, content, tile)
        )

    def targets(
        self,
        inputs: Inputs,
        level: Level,
        palette: Palette,
        *,
        tile: int | None = None,
        half: bool = False,
        blend: Sequence[float] | None = None,
    ) -> Targets:
        """Measure the photo, and choose from a palette.

        Args:
            tile, half: see `Workload`.
            blend: see `Palette.targets`.
        """
        settings = self.settings
        content = resize(inputs.photo.image, level.size)
        return Targets(
            content=measure_content_in_tiles(
                self.encoder,
                content_in_color(content, settings.color).to(self.device),
                seen_layers(settings, "content"),
                tile=tile,
                half=half,
            ),
            style=palette.targets(inputs.layout, level, blend),
            content_counts=self._content_counts(inputs, level),
        )

    def _describe(
        self, inputs: Inputs, level: Level, content: Tensor, tile: int | None, number: int
    ) -> Description:
        """Measure the painting of one part of the layout, or what its mask picks of it."""
        settings, part = self.settings, inputs.layout.parts[number]
        image = self._scaled(inputs, part.style, level, content)
        return describe(
            self.encoder,
            image.to(self.device),
            seen_layers(settings, "style"),
            chosen_statistic(settings),
            self._guides(part.style_mask, (image.shape[-2], image.shape[-1])),
            tile=tile,
        )

    def _check_masks(self, inputs: Inputs, level: Level) -> None:
        """Raise a SettingsError for a mask in which no layer has a position left."""
        if not seen_layers(self.settings, "style"):
            return
        for part in inputs.layout.parts:
            painting, scale = inputs.paintings[part.style], inputs.scales(self.settings)[part.style]
            side = style_side(painting, level.long_side, scale)
            for mask, size in (
                (part.mask, level.size),
                (part.style_mask, fit(painting.size, side)),
            ):
                if mask is not None and bool(mask.any()) and not self._guides(mask, size):
                    raise SettingsError(
                        f"guidance {self.settings.guidance}: what a mask of style "
                        f"{part.style + 1} picks is too small for the style layers to see; try "
                        "guidance simple, or all, or a larger picture"
                    )

    def _check_tiles(self, levels: Sequence[Level]) -> None:
        """Raise a SettingsError if a level needs tiles, but cannot be cut."""
        reason = obstacle(self.settings, self.encoder)
        if self.tile is not None and reason is not None:
            sides = [level.long_side for level in levels if level.long_side > self.tile]
            if sides:
                raise SettingsError(
                    f"{sides[0]} px are more than a tile of {self.tile}, but {reason}"
                )

    def _scaled(self, inputs: Inputs, number: int, level: Level, content: Tensor) -> Tensor:
        painting, scale = inputs.paintings[number], inputs.scales(self.settings)[number]
        image = scaled_style(painting, level, self.settings, scale)
        return style_in_color(image, content, self.settings.color)

    def _guides(self, mask: Tensor | None, size: tuple[int, int]) -> dict[str, Tensor] | None:
        return style_guides(mask, size, self.settings, self.device)

    def _content_counts(self, inputs: Inputs, level: Level) -> dict[str, Tensor]:
        """Return how much each position of the content layers counts: 1, more in the mask."""
        settings, mask = self.settings, inputs.layout.content_mask
        if mask is None:
            return {}
        layers = seen_layers(settings, "content")
        masks = layer_masks(fitted(mask, level.size), layers, network=settings.network)
        more = settings.content_mask_weight - 1
        return {name: (1 + more * each).to(self.device) for name, each in masks.items()}

    def paint_level(
        self, image: Tensor, objective: Terms, work: Workload, inputs: Inputs
    ) -> Iterator[Step]:
        """Optimize what of the picture is painted, where the photo's pixels or colors are kept."""
        settings, level = self.settings, work.level
        feather = level.scaled(settings.feather, settings.long_side)
        painted = inputs.layout.painted(level.size, feather)
        if settings.color != "luminance" and painted is None:
            yield from self.descend(image, objective, level, work)
            return
        surface = Surface(resize(inputs.photo.image, level.size), painted, settings, self.device)
        start = surface.start(image.to(self.device))
        try:
            seen = partial(_shown_to, objective, surface)
            for step in self.descend(start, seen, level, work):
                yield replace(step, image=surface.picture(step.image))
        except DivergenceError as error:
            raise DivergenceError(str(error), surface.picture(error.image)) from error

    def descend(
        self, image: Tensor, objective: Terms, level: Level, work: Workload | None = None
    ) -> Iterator[Step]:
        """Minimize the objective from an image, with the settings' optimizer, at one level.

        Args: work: how much of its past the optimizer remembers; None: as the settings say.
        """
        settings = self.settings
        return optimize(
            image.to(self.device),
            objective,
            steps=level.steps,
            optimizer=settings.optimizer,
            learning_rate=settings.learning_rate,
            history=settings.history if work is None else work.history,
            half=work is not None and work.half,
            averaging=settings.averaging,
            clamp=settings.clamp,
            second_decay=settings.second_decay,
            normalized_pixels=settings.normalized_pixels,
            patience=settings.patience,
        )

    def stylize(
        self,
        content: Source,
        styles: Source | Sequence[Source],
        *,
        guidance: Guidance | None = None,
        init: Source | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Pastiche:
        """Paint to the end and return the result.

        Raises: as `steps`.
        """
        inputs = load_inputs(content, styles, self.settings, guidance=guidance, init=init)
        history, plan = [], self.plan(inputs.photo, inputs.paintings)
        for step in self.paint(inputs, plan):
            history.append(record(step))
            if on_step is not None:
                on_step(step)
        return finish(step.image, inputs, self.settings, history, computed=unusual(plan))


def _smaller(one: int | None, other: int | None) -> int | None:
    """Return the smaller of two tiles, of which None is the largest."""
    return min((each for each in (one, other) if each is not None), default=None)


def _shown_to(objective: Terms, surface: Surface, plane: Tensor) -> Mapping[str, Tensor]:
    return objective(surface.seen(plane))


def stylize(
    content: Source,
    styles: Source | Sequence[Source],
    settings: Settings | None = None,
    *,
    guidance: Guidance | None = None,
    device: str | torch.device | None = None,
    memory: float | None = None,
    init: Source | None = None,
) -> Pastiche:
    """Paint a photo in the style of one or more paintings.

    Args:
        content: the photo: a path, a binary file, a Pillow image, an array or a tensor.
        styles: a painting, or a list of them.
        settings: None takes the default recipe; see `recipe_settings` for others.
        guidance: masks that say which style goes where; None: every style everywhere.
        device, memory: as for `Stylizer`.
        init: a picture to start from, instead of `settings.init`.

    Raises:
        ImageError: a picture cannot be read, or is too small for the layers.
        SettingsError: not as many masks, weights or scales as styles.
        WeightsError: the network's weights are missing or damaged.
        MemoryLimitError: a size does not fit; names the largest that does.
        DivergenceError: the optimization failed; carries the last good image.
    """
    stylizer = Stylizer(settings, device=device, memory=memory)
    return stylizer.stylize(content, styles, guidance=guidance, init=init)
