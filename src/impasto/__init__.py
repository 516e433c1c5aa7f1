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

if TYPE_CHECKING:
    from impasto.audio import SoundPastiche, SoundTransfer, plan_sound, stylize_sound
    from impasto.audio_settings import AudioSettings
    from impasto.color import recolor
    from impasto.dreaming import dream
    from impasto.encoder import Encoder
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
    from impasto.files import load_image, load_picture, read_metadata, save_image
    from impasto.guidance import Guidance
    from impasto.images import Picture
    from impasto.losses import Objective
    from impasto.optimize import Step
    from impasto.pastiche import Pastiche
    from impasto.recipes import RECIPES, Recipe, recipe_settings
    from impasto.settings import Settings
    from impasto.sounds import Sound, load_sound, save_sound
    from impasto.statistics import STATISTICS, Statistic, gram_matrix
    from impasto.stylizer import Stylizer, stylize
    from impasto.variations import reconstruct, texture
    from impasto.video.settings import VideoSettings
    from impasto.video.stylize_video import plan_video, stylize_video

__version__ = "0.1.0"

_HOMES = {
    "audio": ("SoundPastiche", "SoundTransfer", "plan_sound", "stylize_sound"),
    "audio_settings": ("AudioSettings",),
    "color": ("recolor",),
    "dreaming": ("dream",),
    "encoder": ("Encoder",),
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
    "files": ("load_image", "load_picture", "read_metadata", "save_image"),
    "guidance": ("Guidance",),
    "images": ("Picture",),
    "losses": ("Objective",),
    "optimize": ("Step",),
    "recipes": ("RECIPES", "Recipe", "recipe_settings"),
    "settings": ("Settings",),
    "sounds": ("Sound", "load_sound", "save_sound"),
    "statistics": ("STATISTICS", "Statistic", "gram_matrix"),
    "pastiche": ("Pastiche",),
    "stylizer": ("Stylizer", "stylize"),
    "variations": ("reconstruct", "texture"),
    "video.settings": ("VideoSettings",),
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
