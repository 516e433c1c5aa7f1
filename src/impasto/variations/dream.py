"""DeepDream: the same encoder and levels, but what a layer sees is exaggerated."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from impasto.errors import SettingsError
from impasto.optimize.lbfgs import favor_coarse
from impasto.optimize.loop import Step, Terms
from impasto.painting.inputs import enlarge, load_inputs
from impasto.painting.memory_plan import Workload
from impasto.painting.pastiche import Pastiche
from impasto.painting.picture_plan import PicturePlan
from impasto.painting.pyramid import pyramid
from impasto.painting.stylizer import Stylizer
from impasto.pictures.files import Source, load_picture
from impasto.pictures.picture import identity, resize
from impasto.settings.pictures import Settings
from impasto.settings.recipes import DREAM

__all__ = ["dream", "plan_dream"]

# How far a dream is shifted at most, in px (Mordvintsev's notebook).
_JITTER = 32
# How many bands of the gradient are favored: more of them push whole areas to pure colors.
_BANDS = 2


def dream(
    image: Source,
    layer: str = "relu4_3",
    settings: Settings | None = None,
    *,
    channel: int | None = None,
    jitter: int = _JITTER,
    device: str | torch.device | None = None,
    memory: float | None = None,
) -> Pastiche:
    """Exaggerate what a layer sees in a picture: DeepDream.

    Args:
        image: the picture to begin with.
        layer: whose mean activation is to grow.
        settings: `learning_rate` is how far the average pixel moves per step; levels are octaves.
            Layers, weights and optimizer are not looked at. None: four octaves of 12 steps.
        channel: a channel of the layer, from 0; None: all.
        jitter: the picture is seen shifted by up to so many px, newly chosen at each step.
        device: as for `Stylizer`.
        memory: bytes that the process (or a GPU's memory) may hold; None: what is free.

    Raises: as `stylize`; SettingsError: no such channel.
    Source: Mordvintsev, Olah & Tyka, Inceptionism, 2015.
    """
    return plan_dream(
        image, layer, settings, channel=channel, jitter=jitter, device=device, memory=memory
    ).paint()


def plan_dream(
    image: Source,
    layer: str = "relu4_3",
    settings: Settings | None = None,
    *,
    channel: int | None = None,
    jitter: int = _JITTER,
    device: str | torch.device | None = None,
    memory: float | None = None,
) -> PicturePlan:
    """Plan what `dream` paints."""
    settings = (settings or Settings().replace(**DREAM)).replace(
        content_layers=(layer,), content_layer_weights=(), content_weight=1.0, style_weight=0.0,
        style_layers=(layer,), style_layer_weights=(), init="content",
    )  # fmt: skip
    photo = load_inputs(picture := load_picture(image), picture, settings).photo
    stylizer = Stylizer(settings, device=device, memory=memory)
    levels = pyramid(photo.size, settings, smallest=stylizer.encoder.minimum_side)
    _check_channel(stylizer, layer, channel)
    # Like Adam, a dream remembers no past steps.
    without_history = stylizer.with_settings(settings.replace(optimizer="adam"))

    def losses(image: Tensor) -> dict[str, Tensor]:
        features = stylizer.encoder(image)[layer]
        seen = features if channel is None else features[:, channel]
        return {"dream": -seen.mean()}  # minimized, so that the activation grows

    def descend(start: Tensor, losses: Terms, work: Workload) -> Iterator[Step]:
        # A seed per octave: equal shifts at every size would leave a pattern.
        return ascend(
            start.to(stylizer.device), losses, steps=work.level.steps, rate=settings.learning_rate,
            jitter=jitter, seed=settings.seed + work.level.long_side,
        )  # fmt: skip

    return PicturePlan(
        settings=settings,
        works=without_history.allot(levels, files=(photo,), whole="a dream has no tiles"),
        inputs={
            "made": {"command": "dream", "layer": layer, "channel": channel, "jitter": jitter},
            "content": identity(photo),
        },
        begin=lambda size: resize(photo.image, size),
        enlarge=lambda image, size: enlarge(image, photo, size),
        aim=lambda work: losses,
        descend=descend,
        complete=lambda image: enlarge(image, photo, levels[-1].size).clamp(0, 1),
        alpha=photo.alpha,
    )


def ascend(
    image: Tensor, terms: Terms, *, steps: int, rate: float, jitter: int, seed: int
) -> Iterator[Step]:
    """Follow the gradient, scaled to a mean size of `rate` px values, within [0, 1].

    The coarse bands of the gradient are strengthened as for L-BFGS: VGG's own gradient is mostly
    pixel noise, in which no shape can grow.

    Yields: a step per evaluation, the last of them without an update that nobody would see.
    """
    generator = torch.Generator().manual_seed(seed % 2**63)
    start = time.perf_counter()
    for index in range(1, steps + 1):
        shift = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
        leaf = image.roll(shift, (2, 3)).detach().requires_grad_(True)
        losses = terms(leaf)
        (gradient,) = torch.autograd.grad(torch.stack(list(losses.values())).sum(), leaf)
        numbers = {name: float(loss.detach()) for name, loss in losses.items()}
        yield Step(image, numbers, index, steps, seconds=time.perf_counter() - start)
        smooth = favor_coarse(gradient, bands=_BANDS).roll([-each for each in shift], (2, 3))
        image = (image - rate * smooth / smooth.abs().mean().clamp_min(1e-12)).clamp(0, 1)


def _check_channel(stylizer: Stylizer, layer: str, channel: int | None) -> None:
    least = stylizer.encoder.minimum_side
    with torch.no_grad():
        blank = torch.zeros((1, 3, least, least), device=stylizer.device)
        count = stylizer.encoder(blank)[layer].shape[1]
    if channel is not None and not 0 <= channel < count:
        raise SettingsError(f"channel {channel}: {layer} has {count}, counted from 0")
