"""How one level is painted: the optimized variable, and the pictures that belong to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from impasto.errors import DivergenceError
from impasto.network.encoder import TORCHVISION_STD
from impasto.optimize.loop import Step, Terms, optimize
from impasto.painting.inputs import Inputs, enlarge
from impasto.painting.memory_plan import Workload
from impasto.pictures.colors import luminance
from impasto.pictures.picture import check_image, fit, resized
from impasto.settings.pictures import Settings

__all__ = ["Canvas", "Surface", "complete", "minimize", "paint_level"]

_DEVIATIONS = torch.tensor(TORCHVISION_STD).view(1, 3, 1, 1)


class Canvas:
    """The luminance that is optimized when every pixel keeps the photo's color.

    In YIQ, I and Q are differences of red, green and blue, so they do not change when the same
    number t is added to all three channels. The pixel x = photo + t is in the gamut if t lies
    between −min(photo) and 1 − max(photo). A canvas maps this interval to [0, 1]:

    x(u) = photo − min + u · (1 − max + min),  min and max over the pixel's three channels

    For every u, x has the photo's I and Q and is in the gamut. At the gamut's border, the
    luminance is limited and the color is kept. A fully saturated pixel has only one luminance.

    Args:
        photo: (1, 3, H, W), sRGB in [0, 1].

    Paper: Gatys et al. 2016, arXiv 1606.05897, paint the luminance and combine it with the photo's
        I and Q afterwards. Differs: they are combined within the loop, and stay in the gamut.
    """

    def __init__(self, photo: Tensor) -> None:
        check_image(photo)
        low, high = photo.amin(dim=1, keepdim=True), photo.amax(dim=1, keepdim=True)
        self.chroma = photo - low  # the pixel x for u = 0
        self.room = 1 - (high - low)  # the length of the interval of t

    def blank(self, image: Tensor) -> Tensor:
        """Return the canvas whose luminance is nearest to an image's, (1, 1, H, W) in [0, 1]."""
        difference = luminance(image.to(self.chroma)) - luminance(self.chroma)
        return torch.where(self.room > 0, difference / self.room, 0).clamp(0, 1)

    def paint(self, canvas: Tensor) -> Tensor:
        """Return the picture of a canvas, in the photo's colors, (1, 3, H, W)."""
        return self.chroma + canvas.clamp(0, 1) * self.room

    def gray(self, canvas: Tensor) -> Tensor:
        """Return a canvas's luminance as a gray picture, (1, 3, H, W), for the encoder."""
        return (luminance(self.chroma) + canvas * self.room).expand(-1, 3, -1, -1)


class Surface:
    """The optimized variable when only a mask or the luminance is painted.

    Outside the masks, the picture is the photo at every step, so the painted parts fit it. If the
    setting `color` is "luminance", only the luminance is optimized.

    Args:
        photo: the photo at the level's size, (1, 3, H, W).
        painted: the painted share of each pixel, (1, 1, H, W) in [0, 1]; None: 1 everywhere.
    """

    def __init__(
        self, photo: Tensor, painted: Tensor | None, settings: Settings, device: torch.device
    ) -> None:
        photo = photo.to(device)
        self.painted = None if painted is None else painted.to(device)
        self.canvas = Canvas(photo) if settings.color == "luminance" else None
        self.blank = self.start(photo)

    def start(self, image: Tensor) -> Tensor:
        """Return the value of the variable whose picture is nearest to an image."""
        return image if self.canvas is None else self.canvas.blank(image)

    def seen(self, plane: Tensor) -> Tensor:
        """Return the image that the network sees for a value of the variable."""
        shown = self._shown(plane)
        return shown if self.canvas is None else self.canvas.gray(shown)

    def picture(self, plane: Tensor) -> Tensor:
        """Return the picture for a value of the variable."""
        shown = self._shown(plane)
        return shown if self.canvas is None else self.canvas.paint(shown)

    def _shown(self, plane: Tensor) -> Tensor:
        return plane if self.painted is None else self.blank.lerp(plane, self.painted)


def paint_level(
    image: Tensor,
    losses: Terms,
    work: Workload,
    inputs: Inputs,
    settings: Settings,
    device: torch.device,
) -> Iterator[Step]:
    """Paint one level: minimize the losses where the masks and the color setting allow it.

    Args:
        image: the picture to start from, (1, 3, H, W), at the level's size.
        losses: image → losses by name.
    """
    level = work.level
    feather = level.scaled(settings.feather, settings.long_side)
    painted = inputs.layout.painted(level.size, feather)
    if settings.color != "luminance" and painted is None:
        yield from minimize(image, losses, work, settings, device, gray=inputs.gray)
        return
    photo = resized(inputs.photo, level.size, settings.resampling).image
    surface = Surface(photo, painted, settings, device)

    def seen(plane: Tensor) -> Mapping[str, Tensor]:
        return losses(surface.seen(plane))

    try:
        start = surface.start(image.to(device))
        for step in minimize(start, seen, work, settings, device, gray=inputs.gray):
            yield replace(step, image=surface.picture(step.image))
    except DivergenceError as error:
        raise DivergenceError(str(error), surface.picture(error.image)) from error


def minimize(
    image: Tensor,
    losses: Terms,
    work: Workload,
    settings: Settings,
    device: torch.device,
    *,
    gray: bool = False,
) -> Iterator[Step]:
    """Minimize the losses with the settings' optimizer and the level's history.

    Args:
        image, losses: as for `paint_level`; the image may also be a canvas.
        gray: the image is gray and stays so: the optimizer changes one value per pixel, which is
            red, green and blue at once.
    """
    if gray and image.shape[1] > 1:
        yield from _minimize_gray(image, losses, work, settings, device)
        return
    unit = None
    if settings.normalized_pixels:  # the luminance alone has one channel
        unit = _DEVIATIONS if image.shape[1] == 3 else _DEVIATIONS.mean(1, keepdim=True)
    yield from optimize(
        image.to(device),
        losses,
        steps=work.level.steps,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        history=work.history,
        half=work.half,
        averaging=settings.averaging,
        clamp=settings.clamp,
        second_decay=settings.second_decay,
        unit=unit,
        patience=settings.patience,
        until=work.until,
    )


def _minimize_gray(
    image: Tensor, losses: Terms, work: Workload, settings: Settings, device: torch.device
) -> Iterator[Step]:
    def seen(plane: Tensor) -> Mapping[str, Tensor]:
        return losses(plane.expand(-1, 3, -1, -1))

    try:
        for step in minimize(image[:, :1], seen, work, settings, device):
            yield replace(step, image=step.image.repeat(1, 3, 1, 1))
    except DivergenceError as error:
        raise DivergenceError(str(error), error.image.repeat(1, 3, 1, 1)) from error


def complete(image: Tensor, inputs: Inputs, settings: Settings) -> Tensor:
    """Enlarge the last image of a run to full size, and restore the photo where nothing is painted.

    An image that is enlarged gets the photo's finest detail; see `enlarge`.

    Returns: (1, 3, H, W), sRGB in [0, 1], on the CPU.
    """
    size = fit(inputs.photo.size, settings.long_side)
    whole = enlarge(image.detach().cpu().clamp(0, 1), inputs.photo, size, settings.resampling)
    photo = resized(inputs.photo, size, settings.resampling).image
    if settings.color == "luminance":  # enlarging a picture changes its colors a little
        canvas = Canvas(photo)
        whole = canvas.paint(canvas.blank(whole))
    painted = inputs.layout.painted(size, settings.feather)
    return whole if painted is None else torch.where(painted == 0, photo, whole)
