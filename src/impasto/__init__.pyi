"""The public names and their homes. `__init__.py` loads each from here when it is first used."""

from ._version import __version__ as __version__
from .audio.files import Sound as Sound, load_sound as load_sound, save_sound as save_sound
from .audio.transfer import (
    SoundPastiche as SoundPastiche,
    SoundTransfer as SoundTransfer,
    plan_sound as plan_sound,
    stylize_sound as stylize_sound,
)
from .errors import (
    DivergenceError as DivergenceError,
    ImageError as ImageError,
    ImpastoError as ImpastoError,
    MemoryLimitError as MemoryLimitError,
    SettingsError as SettingsError,
    ShapeError as ShapeError,
    SoundError as SoundError,
    TruncatedClip as TruncatedClip,
    VideoError as VideoError,
    WeightsError as WeightsError,
)
from .network.encoder import Encoder as Encoder
from .objective.objective import Objective as Objective
from .optimize.loop import Step as Step
from .painting.guidance import Guidance as Guidance
from .painting.pastiche import Pastiche as Pastiche
from .painting.stylizer import Stylizer as Stylizer, stylize as stylize
from .pictures.colors import recolor as recolor
from .pictures.files import (
    load_image as load_image,
    load_picture as load_picture,
    read_metadata as read_metadata,
    save_image as save_image,
)
from .pictures.picture import Picture as Picture
from .settings.clips import VideoSettings as VideoSettings
from .settings.pictures import Settings as Settings
from .settings.recipes import (
    RECIPES as RECIPES,
    Recipe as Recipe,
    recipe_settings as recipe_settings,
)
from .settings.sounds import AudioSettings as AudioSettings
from .style import STATISTICS as STATISTICS, Statistic as Statistic, gram_matrix as gram_matrix
from .variations.dream import dream as dream
from .variations.reconstruction import reconstruct as reconstruct
from .variations.texture import texture as texture
from .video.stylize_video import plan_video as plan_video, stylize_video as stylize_video
