"""The command `impasto redo PICTURE`: paint a picture again from its metadata, in any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.failures import interruptible
from impasto.cli.input_files import LookIn, find_files, is_input
from impasto.cli.run import paint
from impasto.cli.task import STDIO, Task, settings_read
from impasto.cli.typer_flags import with_flags
from impasto.errors import ImageError, SettingsError, counted
from impasto.settings.command_flags import (
    FileOptions,
    KeptFileOptions,
    KeptPrintOptions,
    PrintOptions,
    RecordOptions,
    RunOptions,
    TimeOptions,
)
from impasto.settings.pictures import Settings
from impasto.settings.units import long_side_for_print
from impasto.storage import NamedFile

if TYPE_CHECKING:
    from impasto.pictures.picture import Picture

__all__ = ["Origin", "read_origin", "redo_command"]


Painted = Annotated[
    Path, typer.Argument(metavar="PICTURE", help="A picture that impasto has painted.")
]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="NEW", help="The result. [default: PICTURE-redo.…]"),
]
LongSide = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="PX", help="Long side, for another size; the run then starts from PICTURE."
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Number of steps, instead of the number in PICTURE."),
]


@with_flags
def redo_command(
    picture: Painted,
    output: Output = None,
    look_in: LookIn = None,
    long_side: LongSide = None,
    steps: Steps = None,
    *,
    time: TimeOptions,
    print: KeptPrintOptions,
    record: RecordOptions,
    file: KeptFileOptions,
    run: RunOptions,
) -> None:
    """Paint PICTURE again from its metadata, at its size or another.

    The result keeps the bits per channel and the dots per inch. At the same size, the same version
    paints the same pixels on the same machine and device, with any number of threads. Without
    impasto's compiled code, the number of threads must be the same, too. Otherwise sums are rounded
    differently, and details may change. A picture that was painted with --time gets the same steps
    again.
    """
    flags = {"long_side": long_side, "steps": steps}
    given = {name: value for name, value in flags.items() if value is not None}
    print.check(given)
    time.check(given)
    task = Task(content="", output=output or beside(picture), time=time, record=record, run=run)
    with interruptible(task):  # searching large folders takes time
        origin = read_origin(picture)
        files = find_files(origin.label, origin.files, [picture.parent, *(look_in or [])])
    settings = origin.settings if steps is None else origin.settings.replace(steps=steps)
    if origin.weights:
        settings = settings.replace(weights=str(files[origin.weights["sha256"]]))
    content = files[origin.content["sha256"]]
    if print.paper:
        long_side = long_side_for_print(_loaded(content).size, print.paper, print.dpi)
    init = _loaded(files[origin.init["sha256"]]) if origin.init else None
    if long_side is not None and long_side != settings.long_side:
        settings, init = resized(picture, settings, long_side), _loaded(picture)
    reads: list[NamedFile] = [("the picture to paint again", picture), *settings_read(settings)]
    if origin.init:
        reads.append(("the picture of --init", files[origin.init["sha256"]]))
    if origin.ended:
        task.note(f"{picture} {origin.ended}; now all steps are painted")
    task = replace(
        task, content=str(content), styles=[files[each["sha256"]] for each in origin.styles],
        guides=masks_of(origin.guidance, files), init=init,
        print=kept_print(picture, print), file=kept_format(picture, file, task),
        reads=reads,
    )  # fmt: skip
    paint(task, settings)


def kept_print(picture: Path, given: KeptPrintOptions) -> PrintOptions:
    """Return the dots per inch that were given, or those of the picture."""
    if given.resolution is not None:
        return PrintOptions(dpi=given.resolution)
    dpi = _loaded(picture).dpi
    # A Python program can have written others than this command accepts.
    return PrintOptions(dpi=dpi if dpi is not None and 10 <= dpi <= 2400 else None)


def kept_format(picture: Path, given: KeptFileOptions, task: Task) -> FileOptions:
    """Return the bits per channel that were given, or those of the picture if the file can."""
    from impasto.pictures.files import holds, read_bits

    if given.bits is not None:
        return FileOptions(bits=given.bits)
    bits = read_bits(picture)
    if task.output == STDIO or holds(task.output, bits):
        return FileOptions(bits=bits)
    task.note(
        f"{picture} has {bits} bits per channel, and {task.output} cannot hold more than 8; "
        ".png and .tiff can"
    )
    return FileOptions(bits=8)


def _loaded(path: Path) -> Picture:
    from impasto.pictures.files import load_picture

    return load_picture(path)


@dataclass(frozen=True)
class Origin:
    """How a picture was made, from its own file.

    Attributes:
        label: the picture's name, for messages.
        settings: all settings.
        content: the name and the SHA-256 of the photo.
        styles: the same for each painting.
        init: the same for the picture that the run started from; None: there was none.
        weights: the same for the user's weights file; None: there was none.
        guidance: the same for masks and maps; each name has one of them, or a list.
        ended: in words, how an unfinished picture ended; None: it is finished.
    """

    label: str
    settings: Settings
    content: Mapping[str, Any]
    styles: Sequence[Mapping[str, Any]]
    init: Mapping[str, Any] | None
    weights: Mapping[str, Any] | None = None
    guidance: Mapping[str, Any] = field(default_factory=dict)
    ended: str | None = None

    @property
    def files(self) -> list[Mapping[str, Any]]:
        """Every file that the picture was made from."""
        masks = [each for noted in self.guidance.values() for each in _as_list(noted) if each]
        perhaps = [self.init, self.weights]
        return [self.content, *self.styles, *(each for each in perhaps if each), *masks]


def read_origin(picture: Path) -> Origin:
    """Read how a picture was made from its metadata.

    Raises:
        ImageError: it cannot be read, or has no metadata from impasto.
        SettingsError: it has settings that this version does not know.
    """
    from impasto.pictures.files import read_metadata

    noted = read_metadata(picture)
    if not noted:
        raise ImageError(
            "does not say how it was made; only a picture that impasto wrote, and that no other "
            "program has changed, can be redone",
            path=picture,
        )
    made = noted.get("made")
    if isinstance(made, dict):
        raise ImageError(
            f"was made by `impasto {made.get('command')}`; only pictures of `impasto stylize` can "
            "be redone",
            path=picture,
        )
    content, styles, init = noted.get("content"), noted.get("styles"), noted.get("init")
    weights = noted.get("weights")
    guidance = {name: noted[name] for name in GUIDES if noted.get(name)}
    inputs: list[Any] = [
        content,
        *(styles if isinstance(styles, list) else [None]),
        *(each for each in (init, weights) if each),
        *(each for masks in guidance.values() for each in _as_list(masks) if each is not None),
    ]
    if not styles or not all(map(is_input, inputs)):
        raise ImageError(
            "does not name the pictures that it was made from, so it cannot be redone", path=picture
        )
    values = noted.get("settings")
    if not isinstance(values, dict):
        raise ImageError("holds no settings in its metadata, so it cannot be redone", path=picture)
    try:
        # Compiling depends on the machine; this one may have no compiler.
        settings = Settings.from_dict({**Settings.recorded(values), "compiled": False})
    except SettingsError as error:
        version = noted.get("impasto", "unknown")
        if "." in str(values.get("statistic", "")):  # a class of somebody's own module
            raise SettingsError(
                f"was painted with the user-defined statistic {values['statistic']}; only Python "
                "code that has this class can paint it again",
                path=picture,
            ) from error
        raise SettingsError(
            f"was made by impasto {version}, and this version does not know its settings: {error}",
            path=picture,
        ) from error
    paintings = inputs[1 : 1 + len(styles)]
    ended = _ended(noted, settings)
    return Origin(str(picture), settings, inputs[0], paintings, init, weights, guidance, ended)


def _ended(noted: Mapping[str, Any], settings: Settings) -> str | None:
    """Describe how an unfinished picture ended."""
    if noted.get("finished") is not False:
        return None
    done = noted.get("steps")
    if isinstance(done, int):
        return f"was stopped after {done} of its {counted(settings.steps, 'step')}"
    return "was stopped before its last step"


# Further inputs in the metadata, besides photo, paintings, start and weights.
GUIDES = ("masks", "style_masks", "regions", "style_regions", "content_mask")


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def masks_of(guidance: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    """Return the files of masks and maps as `Guidance` takes them."""

    def mask(noted: Mapping[str, Any] | None) -> str | None:
        if noted is None:
            return None
        return ("not:" if noted.get("inverted") else "") + str(files[noted["sha256"]].absolute())

    return {
        name: [mask(each) for each in noted] if isinstance(noted, list) else mask(noted)
        for name, noted in guidance.items()
    }


def resized(picture: Path, settings: Settings, long_side: int) -> Settings:
    """Return settings that paint the picture, from itself, in another size.

    The pyramid begins at the picture's own size, so that no coarser level changes its composition.
    An enlarged picture gets fine detail from the photo, as between two levels. The steps of a
    picture that was painted within a time are shared anew, because the levels are others.
    """
    from impasto.pictures.files import load_picture

    own = max(load_picture(picture).size)
    coarsest = 0 if long_side <= own else own
    feather = settings.feather * long_side / settings.long_side
    return settings.replace(
        long_side=long_side, coarsest=coarsest, level_steps=(), feather=min(feather, 1000.0)
    )


def beside(picture: Path) -> str:
    """Return the name of the result if none is given."""
    return str(picture.with_name(f"{picture.stem}-redo{picture.suffix}"))
