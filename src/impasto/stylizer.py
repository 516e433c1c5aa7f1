"""The method, read top to bottom: a photo and paintings in, a pastiche out."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from impasto.color import Canvas, content_in_color, style_in_color
from impasto.encoder import Encoder
from impasto.errors import DivergenceError, ImageError, SettingsError, nearest_match
from impasto.images import (
    Picture,
    Source,
    fit,
    load_picture,
    resize,
    save_image,
    to_pillow,
)
from impasto.layers import deepest, minimum_side
from impasto.losses import TERMS, Objective, seen_layers
from impasto.optimize import Step, Terms, optimize
from impasto.pyramid import Level, pyramid, steps_within
from impasto.settings import Settings
from impasto.statistics import chosen_statistic
from impasto.targets import Targets, measure_content, measure_style
from impasto.weights import own_weights

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["Pastiche", "Stylizer", "stylize"]

INITS = ("content", "style", "noise")
# A step is timed at the picture's size, but at no more than this long side, in px.
_TIMED_SIDE = 512


@dataclass(frozen=True, eq=False, repr=False)
class Pastiche:
    """A finished picture and how it was made.

    Attributes:
        image: (1, 3, H, W) float32, sRGB in [0, 1].
        alpha: the photo's, (1, 1, H, W), or None where it is opaque.
        settings: what it was made with.
        history: per step its level, seconds and losses, under "layers" also apart by layer.
        inputs: bare names and SHA-256 sums of the files it was made from.
        finished: whether it was painted to its last step.
    """

    image: Tensor
    alpha: Tensor | None
    settings: Settings
    history: Sequence[Mapping[str, Any]] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    finished: bool = True

    @property
    def metadata(self) -> dict[str, Any]:
        """What is written into the file: enough to make the picture again."""
        from impasto import __version__

        ended = {} if self.finished else {"finished": False, "steps": len(self.history)}
        bare = {name: Path(getattr(self.settings, name)).name for name in ("init", "weights")}
        return {
            "impasto": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "settings": self.settings.to_dict() | bare,
            **self.inputs,
            **ended,
        }

    def to_pillow(self) -> PIL.Image.Image:
        """Return an 8-bit Pillow image, RGBA where the photo had transparency."""
        return to_pillow(self.image, self.alpha)

    def save(
        self, path: str | os.PathLike[str], *, bits: int = 8, dpi: float | None = None
    ) -> None:
        """Write a PNG, JPEG, WebP or TIFF file, with the settings in its metadata.

        Args:
            bits: a channel: 8, or 16 in PNG and TIFF.
            dpi: dots per inch to note in the file, for printing.

        Raises: ImageError: it cannot be written; an old file stays whole.
        """
        save_image(self.image, path, alpha=self.alpha, metadata=self.metadata, bits=bits, dpi=dpi)

    def __repr__(self) -> str:
        height, width = self.image.shape[-2:]
        return f"<Pastiche, {width} x {height} px, {len(self.history)} steps>"

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.to_pillow().save(buffer, "png")
        return buffer.getvalue()


class Stylizer:
    """An encoder on a device with settings, ready to paint many pictures.

    Args:
        settings: what determines the pictures.
        device: "cpu", "cuda", "cuda:1" or "mps"; None takes the first of cuda, mps and cpu that is
            there. (Only the CPU was tried by us.)

    Raises:
        WeightsError: the network's weights are missing or damaged.
        SettingsError: no such device.
    """

    def __init__(
        self, settings: Settings | None = None, *, device: str | torch.device | None = None
    ) -> None:
        self.settings = settings or Settings()
        self.device = choose_device(device)
        self.layers = [
            name for kind in ("content", "style") for name in seen_layers(self.settings, kind)
        ]
        self.encoder = Encoder(
            self.layers,
            network=self.settings.network,
            weights=self.settings.weights,
            convention=self.settings.weights_convention,
            normalised=self.settings.normalised,
            pooling=self.settings.pooling,
            pooling_rescaled=self.settings.pooling_rescaled,
            padding=self.settings.padding,
            pixel_range=self.settings.pixel_range,
        ).to(self.device)

    def steps(
        self, content: Source, styles: Source | Sequence[Source], *, init: Source | None = None
    ) -> Iterator[Step]:
        """Paint, and yield after every evaluation of the objective.

        Args:
            content: the photo.
            styles: a painting, or several, blended equally.
            init: a picture to start from, instead of `settings.init`.

        Raises:
            ImageError: a picture cannot be read, or is too small for the layers.
            DivergenceError: the optimisation failed; carries the last good image.
        """
        photo, paintings = load_inputs(content, styles, self.settings)
        levels = self.levels(photo)
        pastiche = initial_image(photo, paintings, self.settings, levels[0].size, init)
        done, seconds = 0, 0.0
        for number, level in enumerate(levels, 1):
            objective = Objective(
                self.encoder, self.measure(photo, paintings, level), self.settings
            )
            start = enlarge(pastiche.cpu(), photo, level.size)
            for step in self._paint(start, objective.by_layer, level, photo):
                yield replace(
                    step,
                    losses={**dict.fromkeys(TERMS, 0.0), **step.losses},  # also where a weight is 0
                    index=done + step.index,
                    count=self.settings.steps,
                    level=number,
                    levels=len(levels),
                    seconds=seconds + step.seconds,
                )
            pastiche, done, seconds = step.image, done + level.steps, seconds + step.seconds

    def levels(self, photo: Picture) -> tuple[Level, ...]:
        """Plan the sizes, coarse to fine, and their steps."""
        return pyramid(photo.size, self.settings, smallest=self.encoder.minimum_side)

    def measure(self, photo: Picture, paintings: Sequence[Picture], level: Level) -> Targets:
        """Measure what to aim at, at the size of a level."""
        settings = self.settings
        content = resize(photo.image, level.size)
        styles = [
            style_in_color(scaled_style(each, level, settings), content, settings.color)
            for each in paintings
        ]
        return Targets(
            content=measure_content(
                self.encoder,
                content_in_color(content, settings.color).to(self.device),
                seen_layers(settings, "content"),
            ),
            style=measure_style(
                self.encoder,
                [each.to(self.device) for each in styles],
                layers=seen_layers(settings, "style"),
                statistic=chosen_statistic(settings),
            ),
        )

    def _paint(
        self, image: Tensor, objective: Terms, level: Level, photo: Picture
    ) -> Iterator[Step]:
        """Optimise the picture, or what of it is painted where the photo's colors are kept."""
        if self.settings.color != "luminance":
            yield from self.descend(image, objective, level)
            return
        canvas = Canvas(resize(photo.image, level.size).to(self.device))
        start = canvas.blank(image.to(self.device))
        try:
            for step in self.descend(start, lambda plane: objective(canvas.grey(plane)), level):
                yield replace(step, image=canvas.paint(step.image))
        except DivergenceError as error:
            raise DivergenceError(str(error), canvas.paint(error.image)) from error

    def descend(self, image: Tensor, objective: Terms, level: Level) -> Iterator[Step]:
        """Minimise the objective from an image, with the settings' optimiser, at one level."""
        settings = self.settings
        return optimize(
            image.to(self.device),
            objective,
            steps=level.steps,
            optimizer=settings.optimizer,
            learning_rate=settings.learning_rate,
            history=settings.history,
            averaging=settings.averaging,
            clamp=settings.clamp,
            second_decay=settings.second_decay,
            normalised_pixels=settings.normalised_pixels,
        )

    def stylize(
        self,
        content: Source,
        styles: Source | Sequence[Source],
        *,
        init: Source | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Pastiche:
        """Paint to the end and return the result.

        Raises: as `steps`.
        """
        photo, paintings = load_inputs(content, styles, self.settings)
        start = chosen_init(self.settings) if init is None else load_picture(init)
        history = []
        for step in self.steps(photo, paintings, init=start):
            history.append(record(step))
            if on_step is not None:
                on_step(step)
        return finish(step.image, photo, paintings, self.settings, history, start)

    def within(self, content: Picture, seconds: float, *, spent: float = 0.0) -> Settings:
        """Choose steps for a time budget, from a step measured on this machine.

        Args:
            content: the photo, for its proportions.
            seconds: the whole budget.
            spent: how much of it is gone already; measuring comes on top by itself.

        Raises: SettingsError: the time is too short for the size; says what would do.
        """
        start = time.perf_counter()
        cost = self._seconds_per_megapixel(content)
        spent += time.perf_counter() - start
        return steps_within(
            content.size, self.settings, seconds=seconds, spent=spent, seconds_per_megapixel=cost
        )

    def _seconds_per_megapixel(self, content: Picture) -> float:
        # As large as affordable: the cost of some statistics grows faster than the picture.
        size = fit(content.size, min(self.settings.long_side, _TIMED_SIDE))
        size = (max(size[0], self.encoder.minimum_side), max(size[1], self.encoder.minimum_side))
        image = resize(content.image, size)
        level = Level(size, max(size), 3)
        objective = Objective(self.encoder, self.measure(content, [content], level), self.settings)
        times = [step.seconds for step in self.descend(image, objective.by_layer, level)]
        return (times[-1] - times[0]) / (len(times) - 1) / (size[0] * size[1] / 1e6)


def stylize(
    content: Source,
    styles: Source | Sequence[Source],
    settings: Settings | None = None,
    *,
    device: str | torch.device | None = None,
    init: Source | None = None,
) -> Pastiche:
    """Paint a photo in the style of one or more paintings.

    Args:
        content: the photo: a path, a binary file, a Pillow image, an array or a tensor.
        styles: a painting, or a list of them.
        settings: None takes the default recipe; see `recipe_settings` for others.
        device: as for `Stylizer`.
        init: a picture to start from, instead of `settings.init`.

    Raises:
        ImageError: a picture cannot be read, or is too small for the layers.
        WeightsError: the network's weights are missing or damaged.
        DivergenceError: the optimisation failed; carries the last good image.
    """
    return Stylizer(settings, device=device).stylize(content, styles, init=init)


def choose_device(name: str | torch.device | None) -> torch.device:
    """Return the device of that name; None and "auto" take the first that is there.

    Raises: SettingsError: no such device, or not on this machine.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name is None or name == "auto":
        return torch.device(next(device for device, present in there.items() if present))
    kind, _, index = str(name).partition(":")
    if kind not in there:
        raise SettingsError(
            f"device {name}: no such device (auto, cpu, cuda or mps){nearest_match(kind, there)}"
        )
    if not there[kind]:
        raise SettingsError(f"device {name}: this machine, or this build of torch, has none")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if ":" in str(name) and not (index.isdecimal() and int(index) < count):
        raise SettingsError(f"device {name}: there are {count}, counted from {kind}:0")
    return torch.device(str(name))


def load_inputs(
    content: Source, styles: Source | Sequence[Source], settings: Settings
) -> tuple[Picture, list[Picture]]:
    """Read the photo and the paintings and check that the layers can see them.

    Raises: ImageError: one cannot be read, or is too small; SettingsError: no painting.
    """
    many: list[Any] = list(styles) if isinstance(styles, list | tuple) else [styles]
    if not many:
        raise SettingsError("no style given: name at least one painting")
    photo = load_picture(content)
    paintings = [load_picture(style) for style in many]
    names = [name for kind in ("content", "style") for name in seen_layers(settings, kind)]
    deep = deepest(tuple(names), settings.network)
    check_size(photo, fit(photo.size, settings.long_side), deep, "content")
    for painting in paintings:
        side = style_side(painting, settings.long_side, settings)
        check_size(painting, fit(painting.size, side), deep, "style", settings.style_scale)
    return photo, paintings


def check_size(
    picture: Picture, scaled: tuple[int, int], layer: str, role: str, scale: float = 1.0
) -> None:
    """Raise an ImageError for a picture in which the deepest layer has no feature left."""
    least = minimum_side(layer)
    (height, width), (rows, columns) = picture.size, scaled
    if min(height, width, rows, columns) < least:
        shrunk = f" at style_scale {scale:g}" if scale < 1 else ""
        becomes = f", which becomes {columns} x {rows}{shrunk}" if scaled != picture.size else ""
        what = "style_scale" if becomes and shrunk else "picture"
        raise ImageError(
            f"{picture.name or role}: {width} x {height} px{becomes}, is too small: the layer "
            f"{layer} needs at least {least} px on each side; use a larger {what}, a larger "
            "size or shallower layers"
        )


def style_side(style: Picture, long_side: int, settings: Settings) -> int:
    """Return the long side at which a painting is looked at: never above its own."""
    return min(max(style.size), max(1, round(long_side * settings.style_scale)))


def scaled_style(style: Picture, level: Level, settings: Settings) -> Tensor:
    """Return a painting at the size it is looked at on this level, (1, 3, h, w)."""
    seen = tuple(seen_layers(settings, "style"))
    least = minimum_side(deepest(seen, settings.network)) if seen else 1
    side = style_side(style, level.long_side, settings)
    height, width = fit(style.size, side)
    return resize(style.image, (max(height, least), max(width, least)))


def initial_image(
    photo: Picture,
    paintings: Sequence[Picture],
    settings: Settings,
    size: tuple[int, int],
    init: Source | None = None,
) -> Tensor:
    """Return the picture to start from, (1, 3, H, W), for a level of this size (H, W)."""
    source = chosen_init(settings) if init is None else init
    if source is not None:
        return resize(load_picture(source).image, size)
    if settings.init == "content":
        return resize(photo.image, size)
    if settings.init == "style":
        covering = _covering(paintings[0].image, size)
        return style_in_color(covering, resize(photo.image, size), settings.color)
    generator = torch.Generator().manual_seed(settings.seed)
    noise = torch.randn((1, 3, *size), generator=generator)
    return _MEAN_COLOR + settings.noise * noise


# ImageNet's mean color: what VGG takes for "nothing" (Simonyan & Zisserman), in sRGB.
_MEAN_COLOR = torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1) / 255


def chosen_init(settings: Settings) -> Picture | None:
    """Read the file that `settings.init` names; None where it names no file.

    Raises: SettingsError: neither a name nor a file; ImageError: the file cannot be read.
    """
    if settings.init in INITS:
        return None
    if not os.path.exists(settings.init):  # noqa: PTH110  (false, not an error, if too long)
        raise SettingsError(
            f"init: {settings.init} is neither {', '.join(INITS)} nor a file that exists"
            f"{nearest_match(settings.init, INITS)}"
        )
    return load_picture(settings.init)


def enlarge(pastiche: Tensor, photo: Picture, size: tuple[int, int]) -> Tensor:
    """Bring the result of a coarser level to the next one's size, (H, W).

    An enlarged picture has nothing in its finest band, where the styles have much, so the photo's
    own detail is put there: the next level starts from less loss than half of what a blurred
    picture has (docs/performance.md).
    """
    if tuple(pastiche.shape[-2:]) == size:
        return pastiche
    sharp = resize(photo.image, size)
    height, width = pastiche.shape[-2:]
    blurred = resize(resize(sharp, (height, width)), size)
    return (resize(pastiche, size) + sharp - blurred).clamp(0, 1)


def _covering(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize and crop an image, centred, so that it covers the size without distortion."""
    (height, width), (rows, columns) = image.shape[-2:], size
    factor = max(rows / height, columns / width)
    tall, wide = max(rows, round(height * factor)), max(columns, round(width * factor))
    larger = resize(image, (tall, wide))
    top, left = (tall - rows) // 2, (wide - columns) // 2
    return larger[..., top : top + rows, left : left + columns]


def record(step: Step) -> dict[str, Any]:
    """Return a step's numbers without its picture; those of its layers as "layers"."""
    return {
        "step": step.index,
        "level": step.level,
        "seconds": step.seconds,
        **step.losses,
        "total": step.total,
        "layers": step.layers,
    }


def finish(
    image: Tensor,
    photo: Picture,
    paintings: Sequence[Picture],
    settings: Settings,
    history: Sequence[Mapping[str, Any]],
    init: Picture | None = None,
) -> Pastiche:
    """Make a pastiche of the last image: at full size, with the photo's alpha and its history."""
    size = fit(photo.size, settings.long_side)
    alpha = None if photo.alpha is None else resize(photo.alpha, size)
    inputs: dict[str, Any] = {
        "content": identity(photo),
        "styles": [identity(each) for each in paintings],
    }
    if init is not None:
        inputs["init"] = identity(init)
    if weights := own_weights(settings.weights):
        inputs["weights"] = weights
    whole = resize(image.detach().cpu().clamp(0, 1), size)
    if settings.color == "luminance":  # also where a coarser picture was just enlarged
        canvas = Canvas(resize(photo.image, size))
        whole = canvas.paint(canvas.blank(whole))
    return Pastiche(whole, alpha, settings, tuple(history), inputs)


def identity(picture: Picture) -> dict[str, str | None]:
    """Return what a picture is known by: its bare name and the SHA-256 of its file."""
    return {"name": picture.name, "sha256": picture.sha256}
