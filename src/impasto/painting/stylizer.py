"""The method, read top to bottom: a photo and paintings in, a pastiche out."""

from __future__ import annotations

import copy
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
from impasto.painting.guidance import Guidance
from impasto.painting.inputs import Inputs, enlarge, initial_image, load_inputs
from impasto.painting.level_targets import StyleTargets, check_masks, measure_targets
from impasto.painting.memory_plan import Workload, workloads
from impasto.painting.pastiche import Pastiche
from impasto.painting.picture_plan import PicturePlan
from impasto.painting.pyramid import Level, pyramid
from impasto.pictures.files import Source
from impasto.pictures.picture import Image, resize
from impasto.settings.pictures import Settings

__all__ = ["Stylizer", "stylize"]


class Stylizer:
    """An encoder on a device with settings, ready to paint many pictures.

    Args:
        settings: what determines the pictures.
        device: "cpu", "cuda", "cuda:1" or "mps"; None takes the first of cuda, mps and cpu that
            exists. (Only the CPU was tried by us.)
        memory: bytes that the process (or a GPU's memory) may hold. It decides which sizes are
            computed whole and which in tiles: the same picture, in less memory and more time. It
            also decides how much of its past the optimizer remembers. None: what is free.
        tile: compute larger pictures in tiles, of which so many px count in each direction,
            also where memory would allow more.
        terms: more terms of the objective. Each is a function that is called once per level with
            the photo at the level's size, (1, 3, H, W), and returns the term; see
            `impasto.objective.terms`.

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
        """Return a stylizer for other settings; it shares the network where they ask for the same.

        Raises: WeightsError: as when one is made.
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
        on_step: Callable[[Step], None] | None = None,
    ) -> Pastiche:
        """Paint to the end and return the result.

        Args: as for `steps`; on_step is called after every evaluation.

        Raises: as `steps`.
        """
        inputs = load_inputs(content, styles, self.settings, guidance=guidance, init=init)
        return self.plan(inputs).paint(on_step)

    def steps(
        self,
        content: Source,
        styles: Source | Sequence[Source],
        *,
        guidance: Guidance | None = None,
        init: Source | None = None,
        start: Step | None = None,
    ) -> Iterator[Step]:
        """Paint, and yield after every evaluation of the objective.

        Args:
            content: the photo.
            styles: a painting, or several: blended, or each where its mask says.
            guidance: masks; None: every style everywhere.
            init: a picture to start from, instead of `settings.init`.
            start: a step of an earlier run with these inputs and sizes: goes on after it.

        Raises:
            ImageError: a picture cannot be read, or is too small for the layers.
            SettingsError: the numbers of masks, weights or scales and of styles differ.
            MemoryLimitError: a size does not fit; names the largest that does.
            DivergenceError: the optimization failed; carries the last good image.
        """
        inputs = load_inputs(content, styles, self.settings, guidance=guidance, init=init)
        return self.plan(inputs).steps(start)

    def plan(self, inputs: Inputs, *, blend: Sequence[float] | None = None) -> PicturePlan:
        """Plan a pastiche of pictures that were read already.

        Args: blend: how much of each painting there is, of sum 1; None: all are there.

        Raises:
            MemoryLimitError: a size does not fit; names the largest that does.
            SettingsError: tiles were asked for, but the objective cannot be cut.
        """
        settings, photo = self.settings, inputs.photo
        levels = pyramid(photo.size, settings, smallest=self.encoder.minimum_side)
        works = self.allot(levels, files=(photo, *inputs.paintings))
        check_masks(inputs, settings, levels[-1])
        weights = own_weights(settings.weights)
        # The tile that memory sufficed for, where it was smaller than planned.
        least: int | None = None
        latest: tuple[int | None, Objective] | None = None

        def aim(work: Workload) -> Terms:
            nonlocal least, latest
            if latest is not None and latest[1].tile != latest[0]:
                least = latest[1].tile
            latest = None  # frees what the level before aimed at
            tile = min((side for side in (work.tile, least) if side is not None), default=None)
            objective = self.objective(inputs, replace(work, tile=tile), blend=blend)
            latest = tile, objective
            return deferring(objective, work.level.steps)

        return PicturePlan(
            settings=settings,
            works=works,
            inputs=inputs.identities | ({"weights": weights} if weights else {}),
            begin=lambda size: initial_image(inputs, settings, size),
            enlarge=lambda image, size: enlarge(image, photo, size),
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
        """Choose how each level is computed with the memory there is.

        Args:
            files: pictures that are held in memory as well, at the sizes of their files.
            whole: why no level is computed in tiles; empty: it may be.

        Raises: as `plan`.
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
            tile=self.tile, files=sum(each.size[0] * each.size[1] for each in files), whole=whole,
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
        """Measure the photo and the paintings at one level, and return what it minimizes.

        Args:
            styles: the paintings, measured already; None: not yet.
            blend: see `plan`.
            terms: more terms, beside those that the stylizer makes.
        """
        targets = measure_targets(
            self.encoder, inputs, self.settings, work, styles=styles, blend=blend
        )
        photo = resize(inputs.photo.image, work.level.size).to(self.device)
        own = [make(photo) for make in self.terms]
        return Objective(self.encoder, targets, self.settings, tile=work.tile, terms=[*own, *terms])


def _network(settings: Settings) -> dict[str, Any]:
    """Return what these settings ask of the encoder."""
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
        # Guidance inside promises that no pixel outside a mask is pulled. Winograd's rounding
        # errors reach three pixels further than the filters do.
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
        SettingsError: the numbers of masks, weights or scales and of styles differ.
        WeightsError: the network's weights are missing or damaged.
        MemoryLimitError: a size does not fit; names the largest that does.
        DivergenceError: the optimization failed; carries the last good image.
    """
    stylizer = Stylizer(settings, device=device, memory=memory)
    return stylizer.stylize(content, styles, guidance=guidance, init=init)
