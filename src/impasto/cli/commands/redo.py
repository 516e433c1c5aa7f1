"""The command `impasto redo PICTURE`: paint a picture again from its metadata, in any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.run import paint
from impasto.cli.task import Task, settings_read
from impasto.cli.typer_flags import with_flags
from impasto.errors import ImageError, ImpastoError, SettingsError
from impasto.settings.command_flags import (
    FileOptions,
    PrintOptions,
    RecordOptions,
    RunOptions,
    TimeOptions,
)
from impasto.settings.pictures import Settings
from impasto.settings.units import long_side_for_print
from impasto.storage import sha256_of

if TYPE_CHECKING:
    from impasto.pictures.picture import Picture

__all__ = ["Origin", "find_files", "read_origin", "redo_command"]


Painted = Annotated[
    Path, typer.Argument(metavar="PICTURE", help="A picture that impasto has painted.")
]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="NEW", help="The result. [default: PICTURE-redo.…]"),
]
LookIn = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder of the photo, the paintings and a weights file, if they are not beside the "
        "picture; may be repeated.",
    ),
]
LongSide = Annotated[
    int | None,
    typer.Option(min=1, metavar="PX", help="Another size: the run starts from the picture."),
]
Steps = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Another number of steps than the picture's."),
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
    print: PrintOptions,
    record: RecordOptions,
    file: FileOptions,
    run: RunOptions,
) -> None:
    """Paint PICTURE again from its own metadata; an equal size gives equal pixels."""
    flags = {"long_side": long_side, "steps": steps}
    given = {name: value for name, value in flags.items() if value is not None}
    print.check(given)
    time.check(given)
    origin = read_origin(picture)
    files = find_files(origin, [picture.parent, *(look_in or [])])
    settings = origin.settings if steps is None else origin.settings.replace(steps=steps)
    if origin.weights:
        settings = settings.replace(weights=str(files[origin.weights["sha256"]]))
    content = files[origin.content["sha256"]]
    if print.paper:
        long_side = long_side_for_print(_loaded(content).size, print.paper, print.dpi)
    init = _loaded(files[origin.init["sha256"]]) if origin.init else None
    if long_side is not None and long_side != settings.long_side:
        settings, init = resized(picture, settings, long_side), _loaded(picture)
    task = Task(
        content=str(content), styles=[files[each["sha256"]] for each in origin.styles],
        output=output or beside(picture), guides=masks_of(origin.guidance, files), init=init,
        time=time, print=PrintOptions(dpi=print.resolution), record=record, file=file, run=run,
        reads=[("the picture to paint again", picture), *settings_read(settings)],
    )  # fmt: skip
    if origin.ended:
        task.note(f"{picture} {origin.ended}; now all steps are painted")
    paint(task, settings)


def _loaded(path: Path) -> Picture:
    from impasto.pictures.files import load_picture

    return load_picture(path)


@dataclass(frozen=True)
class Origin:
    """How a picture was made, from its own file.

    Attributes:
        label: the picture's name, for messages.
        settings: all settings.
        content: name and SHA-256 of the photo.
        styles: the same of the paintings.
        init: the same of the picture that the run started from; None: there was none.
        weights: the same of the user's weights file; None: there was none.
        guidance: the same of masks and maps, one or a list of them under each name.
        ended: in words, why the picture is unfinished; None: it is finished.
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
        ImageError: it cannot be read, or has no metadata of impasto.
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
    if not styles or not all(map(_is_input, inputs)):
        raise ImageError("does not name the pictures that it was made from", path=picture)
    values = noted.get("settings")
    if not isinstance(values, dict):
        raise ImageError("holds no settings in its metadata", path=picture)
    try:
        # Compiling depends on the machine; this one may have no compiler.
        settings = Settings.from_dict({**values, "compiled": False})
    except SettingsError as error:
        version = noted.get("impasto", "unknown")
        if "." in str(values.get("statistic", "")):  # a class of somebody's own module
            raise SettingsError(
                f"was painted with a statistic of its author's own, {values['statistic']}; only "
                "Python code that has this class can paint it again",
                path=picture,
            ) from error
        raise SettingsError(
            f"was made by impasto {version}, whose settings this version does not know: {error}",
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
        return f"was ended after {done} of its {settings.steps} steps"
    return "was ended before its last step"


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


def _is_input(value: Any) -> bool:
    return isinstance(value, dict) and all(
        value.get(key, ...) is None or isinstance(value.get(key), str) for key in ("name", "sha256")
    )


def find_files(origin: Origin, folders: Sequence[Path]) -> dict[str, Path]:
    """Find the files that a picture was made from, by their SHA-256.

    Files of the right name are tried first, then all files of the folders: they may be renamed.

    Returns: SHA-256 → file.

    Raises: ImageError: some are missing; names them all.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ImageError("cannot be read: there is no such folder", path=folder)
    wanted = origin.files
    names = {str(each["name"]) for each in wanted}
    missing = {str(each["sha256"]) for each in wanted if each["sha256"]}
    found: dict[str, Path] = {}
    for path in _candidates(folders, names):
        if not missing:
            break
        digest = _digest(path)
        if digest in missing:
            found[digest] = path
            missing.remove(digest)
    lost = [
        f"{each['name'] or 'a picture without a file'} (SHA-256 {each['sha256'] or 'unknown'})"
        for each in wanted
        if each["sha256"] not in found
    ]
    if lost:
        raise ImageError(
            f"{origin.label} was made from {', '.join(dict.fromkeys(lost))}, not found in "
            f"{', '.join(str(folder) for folder in folders)}; name their folder with --look-in"
        )
    return found


def _candidates(folders: Sequence[Path], names: set[str]) -> Iterator[Path]:
    """Yield the files of the folders, those of the right names first."""
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    yield from (path for path in files if path.name in names)
    yield from (path for path in files if path.name not in names)


def _digest(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except ImpastoError:
        return None  # a file that we may not read is none of the inputs


def resized(picture: Path, settings: Settings, long_side: int) -> Settings:
    """Return settings that paint the picture, from itself, in another size.

    The pyramid begins at the picture's own size, so that no coarser level changes its composition.
    An enlarged picture gets the photo's detail, as between two levels.
    """
    from impasto.pictures.files import load_picture

    own = max(load_picture(picture).size)
    coarsest = 0 if long_side <= own else own
    feather = settings.feather * long_side / settings.long_side
    return settings.replace(long_side=long_side, coarsest=coarsest, feather=min(feather, 1000.0))


def beside(picture: Path) -> str:
    """Return the name of the result if none is given."""
    return str(picture.with_name(f"{picture.stem}-redo{picture.suffix}"))
