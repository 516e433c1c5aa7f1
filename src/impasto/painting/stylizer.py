"""The method from top to bottom: a photo and paintings go in, and a pastiche comes out."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from impasto.errors import SettingsError
from impasto.machine import choose_device, free_memory
from impasto.network.encoder import Encoder
from impasto.network.weights import own_weights
from impasto.objective.deferred_layers import deferring
from impasto.objective.layer_weights import seen_layers
from impasto.objective.objective import KINDS, Objective, obstacle
from impasto.objective.terms import Term
from impasto.optimize.loop import Step, Terms
from impasto.painting.canvas import complete, paint_level
from impasto.painting.faces import with_faces
from impasto.painting.guidance import Guidance
from impasto.painting.inputs import Inputs, enlarge, initial_image, load_inputs
from impasto.painting.level_targets import StyleTargets, check_masks, measure_targets
from impasto.painting.memory_plan import Workload, workloads
from impasto.painting.pastiche import Pastiche
from impasto.painting.picture_plan import PicturePlan
from impasto.painting.pyramid import Level, pyramid
from impasto.painting.time_budget import TimeBudget
from impasto.pictures.files import Source
from impasto.pictures.picture import Image, resized
from impasto.settings.pictures import Settings

__all__ = ["Stylizer", "stylize"]


class Stylizer:
    """An encoder on a device with settings, ready to paint many pictures.

    Args:
        settings: the options that determine a picture, besides its inputs; None: the defaults.
        device: "cpu", "cuda", "cuda:1" or "mps"; None takes the first of cuda, mps and cpu that
            exists. (We have tried only the CPU.)
        memory: the limit, in bytes, for the memory of the process, or for a GPU's memory. None:
            the free memory. If a size needs more, L-BFGS keeps its history in 16 bits, which makes
            no measurable difference. If the settings allow tiles, the picture is also computed in
            tiles, which take more time but give the same picture. If this does not suffice, the
            history becomes shorter, and the tiles become smaller.
        tile: the longest side, in px, of a tile's inner box. Larger pictures are computed in
            tiles, even if they fit into memory. None: the longest that fits.
        terms: further terms of the objective. Each item is a function that is called once per
            level with the photo at the level's size, (1, 3, H, W), and returns the term; see
            `impasto.objective.terms`.

    Raises:
        WeightsError: the network's weights are missing or damaged.
        SettingsError: the device does not exist, the tile is smaller than 1 px, or the settings
            of the network do not fit its weights.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        device: str | torch.device | None = None,
        memory: float | None = None,
        tile: int | None = None,
        terms: Sequence[Callable[[Image], Term]] = (),
    ) -> None:
        if tile is not None and tile < 1:
            raise SettingsError(f"tile: {tile} is not a side of at least 1 px")
        self.settings = settings or Settings()
        self.memory = memory
        self.tile = tile
        self.terms = tuple(terms)
        self.device = choose_device(device)
        self.encoder = Encoder(**_network(self.settings)).to(self.device)

    def with_settings(self, settings: Settings) -> Stylizer:
        """Return a stylizer for other settings, with the same encoder if they allow it.

        Raises:
            WeightsError: the network's weights are missing or damaged.
            SettingsError: the settings of the network do not fit its weights.
        """
        other = copy.copy(self)
        other.settings = settings
        if _network(settings) != _network(self.settings):
            other.encoder = Encoder(**_network(settings)).to(self.device)
        return other

    def stylize(
        self,
        content: Source,
        styles: Source | Sequence[Source],
        *,
        guidance: Guidance | None = None,
        init: Source | None = None,
        seconds: float | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Pastiche:
        """Paint a picture to the end, and return the result.

        Args:
            content, styles, guidance, init: as for `steps`.
            seconds: paint for about this long, coarse to fine, instead of `settings.steps` steps;
                see `impasto.painting.time_budget`. None: make all steps.
            on_step: called after every evaluation.

        Raises: as for `steps`.
        """
        budget = None if seconds is None else TimeBudget(time.perf_counter() + seconds)
        inputs = load_inputs(content, styles, self.settings, guidance=guidance, init=init)
        return self.plan(inputs, budget=budget).paint(on_step)

    def steps(
        self,
        content: Source,
        styles: Source | Sequence[Source],
        *,
        guidance: Guidance | None = None,
        init: Source | None = None,
        start: Step | None = None,
    ) -> Iterator[Step]:
        """Paint a picture, and yield a step after every evaluation of the objective.

        Args:
            content: the photo.
            styles: a painting, or several. Several are blended, except where masks separate them.
            guidance: masks that say which style goes where; None: every style everywhere.
            init: the picture to start from, instead of the one that `settings.init` names.
            start: a step of an earlier run with these inputs and sizes; the run continues after
                it. None: it begins at the first level.

        Raises:
            ImageError: a picture cannot be read, or is too small for the layers.
            ShapeError: an array or tensor has the wrong shape.
            SettingsError: there is no style; there is not one mask, weight or scale for each
                style; a mask is too small for the layers; `settings.init` names a file that
                does not exist; or the picture is larger than the stylizer's tile, but cannot be
                computed in tiles.
            MemoryLimitError: a size does not fit; the message names the largest one that does.
            DivergenceError: the optimization failed; the error holds the last good image.
        """
        inputs = load_inputs(content, styles, self.settings, guidance=guidance, init=init)
        return self.plan(inputs).steps(start)

    def plan(
        self,
        inputs: Inputs,
        *,
        blend: Sequence[float] | None = None,
        budget: TimeBudget | None = None,
    ) -> PicturePlan:
        """Plan a pastiche of pictures that are already loaded.

        Args:
            inputs: the pictures.
            blend: for each painting, a factor ≥ 0 of its share. The sum of the factors is 1. None:
                all factors are 1.
            budget: the time of the run, which determines the steps; None: `settings` do.

        Raises:
            MemoryLimitError: a size does not fit; the message names the largest one that does.
            SettingsError: the picture is larger than the stylizer's tile, but cannot be computed
                in tiles; or a mask is too small for the layers.
        """
        if budget is not None:
            scheduled = self.with_settings(budget.schedule(self.settings))
            return replace(scheduled.plan(inputs, blend=blend), budget=budget)
        settings, photo = with_faces(self.settings, inputs.photo), inputs.photo
        if settings != self.settings:
            return self.with_settings(settings).plan(inputs, blend=blend)
        levels = pyramid(photo.size, settings, smallest=self.encoder.minimum_side)
        works = self.allot(levels, files=(photo, *inputs.paintings))
        check_masks(inputs, settings, levels[-1])
        weights = own_weights(settings.weights)
        # The side of the tiles that fitted into memory, if it was smaller than planned.
        least: int | None = None
        latest: tuple[int | None, Objective] | None = None

        def aim(work: Workload) -> Terms:
            nonlocal least, latest
            if latest is not None and latest[1].tile != latest[0]:
                least = latest[1].tile
            latest = None  # frees the targets of the previous level
            tile = min((side for side in (work.tile, least) if side is not None), default=None)
            objective = self.objective(inputs, replace(work, tile=tile), blend=blend)
            latest = tile, objective
            return deferring(objective, work.level.steps)

        return PicturePlan(
            settings=settings,
            works=works,
            inputs=inputs.identities | ({"weights": weights} if weights else {}),
            begin=lambda size: initial_image(inputs, settings, size),
            enlarge=lambda image, size: enlarge(image, photo, size, settings.resampling),
            aim=aim,
            descend=lambda image, losses, work: paint_level(
                image, losses, work, inputs, settings, self.device
            ),
            complete=lambda image: complete(image, inputs, settings),
            alpha=photo.alpha,
            kinds=KINDS,
        )

    def allot(
        self, levels: Sequence[Level], *, files: Sequence[Any] = (), whole: str = ""
    ) -> tuple[Workload, ...]:
        """Choose how each level is computed with the available memory.

        Args:
            levels: the levels, coarse to fine.
            files: other pictures that stay in memory, at their full size.
            whole: the reason why no level may be computed in tiles; "": levels may be.

        Raises: MemoryLimitError, SettingsError: as for `plan`.
        """
        reason = obstacle(self.settings, self.encoder)
        too_large = [level.long_side for level in levels if level.long_side > (self.tile or 0)]
        if self.tile is not None and reason is not None and too_large and not whole:
            raise SettingsError(
                f"{too_large[0]} px are more than a tile of {self.tile}, but {reason}"
            )
        return workloads(
            levels, self.encoder, self.settings,
            budget=free_memory(self.device) if self.memory is None else self.memory,
            tile=self.tile, files=sum(file.size[0] * file.size[1] for file in files), whole=whole,
        )  # fmt: skip

    def objective(
        self,
        inputs: Inputs,
        work: Workload,
        *,
        styles: StyleTargets | None = None,
        blend: Sequence[float] | None = None,
        terms: Sequence[Term] = (),
    ) -> Objective:
        """Measure the photo and the paintings at one level, and return the level's objective.

        Args:
            inputs: the pictures.
            work: the level, and how it is computed.
            styles: style targets that are measured already; None: the paintings are measured now.
            blend: see `plan`.
            terms: further terms, besides those of the stylizer.
        """
        targets = measure_targets(
            self.encoder, inputs, self.settings, work, styles=styles, blend=blend
        )
        photo = resized(inputs.photo, work.level.size, self.settings.resampling).image
        photo = photo.to(self.device)
        own = [make(photo) for make in self.terms]
        return Objective(self.encoder, targets, self.settings, tile=work.tile, terms=[*own, *terms])


def _network(settings: Settings) -> dict[str, Any]:
    """Return the arguments of the encoder for these settings."""
    return {
        "layers": seen_layers(settings),
        "network": settings.network,
        "weights": settings.weights,
        "convention": settings.weights_convention,
        "normalized": settings.normalized,
        "pooling": settings.pooling,
        "pooling_rescaled": settings.pooling_rescaled,
        "padding": settings.padding,
        "pixel_range": settings.pixel_range,
        "precision": settings.precision,
        "compiled": settings.compiled,
        # With guidance "inside", a style loss has no gradient outside its mask. The rounding errors
        # of Winograd's algorithm would reach three pixels further than the filters.
        "exact": settings.guidance == "inside",
    }


def stylize(
    content: Source,
    styles: Source | Sequence[Source],
    settings: Settings | None = None,
    *,
    guidance: Guidance | None = None,
    device: str | torch.device | None = None,
    memory: float | None = None,
    init: Source | None = None,
    seconds: float | None = None,
) -> Pastiche:
    """Paint a photo in the style of one or more paintings.

    Args:
        content: the photo: a path, a binary file, a Pillow image, an array or a tensor.
        styles: a painting, or a list of them.
        settings: None takes the default recipe; see `recipe_settings` for others.
        guidance: masks that say which style goes where; None: every style everywhere.
        device, memory: as for `Stylizer`.
        init: the picture to start from, instead of the one that `settings.init` names.
        seconds: paint for about this long, coarse to fine, instead of `settings.steps` steps. Time
            for loading the network comes on top. None: make all steps.

    Raises:
        ImageError: a picture cannot be read, or is too small for the layers.
        ShapeError: an array or tensor has the wrong shape.
        SettingsError: the device does not exist; there is no style; there is not one mask, weight
            or scale for each style; a mask is too small for the layers; or `settings.init` names
            a file that does not exist.
        WeightsError: the network's weights are missing or damaged.
        MemoryLimitError: a size does not fit; the message names the largest one that does.
        DivergenceError: the optimization failed; the error holds the last good image.
    """
    stylizer = Stylizer(settings, device=device, memory=memory)
    return stylizer.stylize(content, styles, guidance=guidance, init=init, seconds=seconds)
