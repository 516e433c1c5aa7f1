"""Paint any picture in the style of any other: neural style transfer by optimisation.

>>> import impasto
>>> pastiche = impasto.stylize("photo.jpg", "painting.jpg")  # doctest: +SKIP
>>> pastiche.save("pastiche.png")  # doctest: +SKIP

Names are loaded when first used, so that `import impasto` touches no disk, network or GPU, and
the command line answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from impasto._version import __version__

if TYPE_CHECKING:
    from impasto.audio.files import Sound, load_sound, save_sound
    from impasto.audio.transfer import SoundPastiche, SoundTransfer, plan_sound, stylize_sound
    from impasto.errors import (
        DivergenceError,
        ImageError,
        ImpastoError,
        MemoryLimitError,
        SettingsError,
        ShapeError,
        SoundError,
        TruncatedClip,
        VideoError,
        WeightsError,
    )
    from impasto.network.encoder import Encoder
    from impasto.objective.objective import Objective
    from impasto.optimize.loop import Step
    from impasto.painting.guidance import Guidance
    from impasto.painting.pastiche import Pastiche
    from impasto.painting.stylizer import Stylizer, stylize
    from impasto.pictures.colors import recolor
    from impasto.pictures.files import load_image, load_picture, read_metadata, save_image
    from impasto.pictures.picture import Picture
    from impasto.settings.clips import VideoSettings
    from impasto.settings.pictures import Settings
    from impasto.settings.recipes import RECIPES, Recipe, recipe_settings
    from impasto.settings.sounds import AudioSettings
    from impasto.style import STATISTICS, Statistic, gram_matrix
    from impasto.variations.dream import dream
    from impasto.variations.variation import reconstruct, texture
    from impasto.video.stylize_video import plan_video, stylize_video

_HOMES = {
    "audio.transfer": ("SoundPastiche", "SoundTransfer", "plan_sound", "stylize_sound"),
    "settings.sounds": ("AudioSettings",),
    "pictures.colors": ("recolor",),
    "variations.dream": ("dream",),
    "network.encoder": ("Encoder",),
    "errors": (
        "DivergenceError",
        "ImageError",
        "ImpastoError",
        "MemoryLimitError",
        "SettingsError",
        "ShapeError",
        "SoundError",
        "TruncatedClip",
        "VideoError",
        "WeightsError",
    ),
    "pictures.files": ("load_image", "load_picture", "read_metadata", "save_image"),
    "painting.guidance": ("Guidance",),
    "pictures.picture": ("Picture",),
    "objective.objective": ("Objective",),
    "optimize.loop": ("Step",),
    "settings.recipes": ("RECIPES", "Recipe", "recipe_settings"),
    "settings.pictures": ("Settings",),
    "audio.files": ("Sound", "load_sound", "save_sound"),
    "style": ("STATISTICS", "Statistic", "gram_matrix"),
    "painting.pastiche": ("Pastiche",),
    "painting.stylizer": ("Stylizer", "stylize"),
    "variations.variation": ("reconstruct", "texture"),
    "settings.clips": ("VideoSettings",),
    "video.stylize_video": ("plan_video", "stylize_video"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "RECIPES",
    "STATISTICS",
    "AudioSettings",
    "DivergenceError",
    "Encoder",
    "Guidance",
    "ImageError",
    "ImpastoError",
    "MemoryLimitError",
    "Objective",
    "Pastiche",
    "Picture",
    "Recipe",
    "Settings",
    "SettingsError",
    "ShapeError",
    "Sound",
    "SoundError",
    "SoundPastiche",
    "SoundTransfer",
    "Statistic",
    "Step",
    "Stylizer",
    "TruncatedClip",
    "VideoError",
    "VideoSettings",
    "WeightsError",
    "__version__",
    "dream",
    "gram_matrix",
    "load_image",
    "load_picture",
    "load_sound",
    "plan_sound",
    "plan_video",
    "read_metadata",
    "recipe_settings",
    "recolor",
    "reconstruct",
    "save_image",
    "save_sound",
    "stylize",
    "stylize_sound",
    "stylize_video",
    "texture",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'impasto' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"impasto.{_HOME[name]}"), name)

    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
