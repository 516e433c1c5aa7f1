"""Paint any picture in the style of any other: neural style transfer by optimization.

>>> import impasto
>>> pastiche = impasto.stylize("photo.jpg", "painting.jpg")  # doctest: +SKIP
>>> pastiche.save("pastiche.png")  # doctest: +SKIP

`__init__.pyi` lists the public names. Each is loaded when it is first used, so that
`import impasto` uses no disk, network or GPU, and the command line answers immediately.
"""

import lazy_loader

from impasto._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
