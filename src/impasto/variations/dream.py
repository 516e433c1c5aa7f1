"""DeepDream: a picture in which the features of one layer are exaggerated."""

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
from impasto.pictures.picture import identity, resized
from impasto.settings.pictures import Settings
from impasto.settings.recipes import DREAM

__all__ = ["dream", "plan_dream"]

# The longest random shift, in px (Mordvintsev's notebook).
_JITTER = 32
# The number of coarse bands of the gradient that are strengthened. More bands would turn whole
# areas into pure colors.
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
    """Exaggerate the features of one layer in a picture: DeepDream.

    Args:
        image: the picture to start from.
        layer: the layer whose mean activation is maximized.
        settings: `learning_rate` is the mean change of a pixel per step, and the levels are the
            octaves. Layers, weights and the optimizer are ignored. None: four octaves of 12 steps.
        channel: the channel of the layer, counted from 0; None: all channels.
        jitter: the longest shift, in px, in each direction. Before each step, the picture is
            shifted by a random distance, and it is shifted back after the step.
        device, memory: as for `Stylizer`.

    Raises: as for `stylize`; SettingsError: the layer has no such channel.
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
    """Plan a dream. Args, Raises: as for `dream`."""
    settings = (settings or Settings().replace(**DREAM)).replace(
        content_layers=(layer,), content_layer_weights=(), content_weight=1.0, style_weight=0.0,
        style_layers=(layer,), style_layer_weights=(), init="content",
    )  # fmt: skip
    inputs = load_inputs(picture := load_picture(image), picture, settings)
    photo = inputs.photo
    stylizer = Stylizer(settings, device=device, memory=memory)
    levels = pyramid(photo.size, settings, smallest=stylizer.encoder.minimum_side)
    _check_channel(stylizer, layer, channel)
    # Like Adam, a dream keeps no history.
    without_history = stylizer.with_settings(settings.replace(optimizer="adam"))

    def larger(image: Tensor, size: tuple[int, int]) -> Tensor:
        return enlarge(image, photo, size, settings.resampling)

    def losses(image: Tensor) -> dict[str, Tensor]:
        features = stylizer.encoder(image)[layer]
        seen = features if channel is None else features[:, channel]
        return {"dream": -seen.mean()}  # minimized, so that the activation grows

    def descend(start: Tensor, losses: Terms, work: Workload) -> Iterator[Step]:
        # Every octave has its own seed, because equal shifts at every size leave a pattern.
        return ascend(
            start.to(stylizer.device), losses, steps=work.level.steps, rate=settings.learning_rate,
            jitter=jitter, seed=settings.seed + work.level.long_side, gray=inputs.gray,
        )  # fmt: skip

    return PicturePlan(
        settings=settings,
        works=without_history.allot(
            levels, files=(photo,), whole="a dream is not computed in tiles"
        ),
        inputs={
            "made": {"command": "dream", "layer": layer, "channel": channel, "jitter": jitter},
            "content": identity(photo),
        },
        begin=lambda size: resized(photo, size, settings.resampling).image,
        enlarge=larger,
        aim=lambda work: losses,
        descend=descend,
        complete=lambda image: larger(image, levels[-1].size).clamp(0, 1),
        alpha=photo.alpha,
    )


def ascend(
    image: Tensor,
    terms: Terms,
    *,
    steps: int,
    rate: float,
    jitter: int,
    seed: int,
    gray: bool = False,
) -> Iterator[Step]:
    """Minimize the losses by gradient descent within [0, 1].

    Every step changes the average pixel by `rate`. The coarse bands of the gradient are
    strengthened as for L-BFGS, because VGG's gradient is mostly noise of single pixels, in which no
    shapes can grow.

    Args: gray: the image is gray and stays so: all channels of a pixel change alike.

    Yields: a step per evaluation, with the picture that was evaluated.
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
        if gray:
            gradient = gradient.mean(1, keepdim=True).expand_as(gradient)
        smooth = favor_coarse(gradient, bands=_BANDS).roll(
            [-distance for distance in shift], (2, 3)
        )
        image = (image - rate * smooth / smooth.abs().mean().clamp_min(1e-12)).clamp(0, 1)


def _check_channel(stylizer: Stylizer, layer: str, channel: int | None) -> None:
    least = stylizer.encoder.minimum_side
    with torch.no_grad():
        blank = torch.zeros((1, 3, least, least), device=stylizer.device)
        count = stylizer.encoder(blank)[layer].shape[1]
    if channel is not None and not 0 <= channel < count:
        raise SettingsError(f"channel {channel}: {layer} has {count} channels, counted from 0")
