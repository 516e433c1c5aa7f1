"""The command redo: paint a picture again from what its own file says, in any size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.printing import for_print, long_side_for_print
from impasto.cli.run import Job, paint
from impasto.cli.run_options import (
    Bits,
    Device,
    Dpi,
    Force,
    Json,
    Memory,
    Print,
    Quiet,
    Threads,
    Time,
)
from impasto.cli.setting_flags import check_budget, memory_limit
from impasto.errors import ImageError, SettingsError
from impasto.settings.pictures import Settings

if TYPE_CHECKING:
    from impasto.pictures.picture import Picture

__all__ = ["Recipe", "find_files", "read_recipe", "redo_command"]


def redo_command(
    picture: Annotated[
        Path, typer.Argument(metavar="PICTURE", help="A picture that impasto has painted.")
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="NEW", help="The result. [default: PICTURE-redo.…]"),
    ] = None,
    look_in: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Where photo, paintings and own weights are, if not beside the picture; may be "
            "repeated.",
        ),
    ] = None,
    long_side: Annotated[
        int | None,
        typer.Option(min=1, metavar="PX", help="Another size: starts from the picture as it is."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Other than the picture's own.")
    ] = None,
    budget: Time = None,
    paper: Print = None,
    dpi: Dpi = None,
    force: Force = False,
    bits: Bits = 8,
    threads: Threads = None,
    device: Device = "auto",
    memory: Memory = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Paint PICTURE again from its own metadata; at its size, the same pixels."""
    flags = {"long_side": long_side, "steps": steps}
    given = {name: value for name, value in flags.items() if value is not None}
    sizes = for_print(paper, dpi, given)
    check_budget(budget, given)
    recipe = read_recipe(picture)
    files = find_files(recipe, [picture.parent, *(look_in or [])])
    content = files[recipe.content["sha256"]]
    settings = recipe.settings if steps is None else recipe.settings.replace(steps=steps)
    if recipe.weights:
        settings = settings.replace(weights=str(files[recipe.weights["sha256"]]))
    if paper is not None:
        long_side = _print_side(content, sizes.pop("print_size"), sizes["dpi"])
    start = files[recipe.init["sha256"]] if recipe.init else None
    if long_side is not None and long_side != settings.long_side:
        settings, start = resized(picture, settings, long_side), picture
    job = Job(
        content=str(content), styles=[files[each["sha256"]] for each in recipe.styles],
        output=output or beside(picture), budget=budget, force=force, bits=bits, threads=threads,
        device=device, memory=memory_limit(memory), quiet=quiet, json=as_json,
        init=_loaded(start),
        guidance=masks_of(recipe.guidance, files), **sizes,
    )  # fmt: skip
    if recipe.ended:
        job.note(f"{picture} {recipe.ended}; now all steps are painted")
    paint(job, settings)


def _print_side(content: Path, paper: tuple[float, float], dpi: float | None) -> int:
    from impasto.pictures.files import load_picture

    return long_side_for_print(load_picture(content).size, paper, dpi)


def _loaded(path: Path | None) -> Picture | None:
    from impasto.pictures.files import load_picture

    return None if path is None else load_picture(path)


@dataclass(frozen=True)
class Recipe:
    """What a picture's file says about how it was made.

    Attributes:
        label: the picture's name, for messages.
        settings: all of them.
        content: name and SHA-256 of the photo.
        styles: of the paintings.
        init: of the picture it was started from; None if from none.
        weights: of a weights file of one's own; None if none was used.
        guidance: of masks and maps, one or a list of them under each name.
        ended: in words, how the picture came to be unfinished; None if it did not.
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
        """Every file that it was made from."""
        masks = [each for noted in self.guidance.values() for each in _as_list(noted) if each]
        perhaps = [self.init, self.weights]
        return [self.content, *self.styles, *(each for each in perhaps if each), *masks]


def read_recipe(picture: Path) -> Recipe:
    """Read how a picture was made from its metadata.

    Raises: ImageError: it cannot be read or says nothing; SettingsError: it says what this
        version does not know.
    """
    from impasto.pictures.files import read_metadata

    noted = read_metadata(picture)
    if not noted:
        raise ImageError(
            f"{picture}: nothing in it says how it was made; only a picture that impasto wrote, "
            "and no program has written since, can be redone"
        )
    made = noted.get("made")
    if isinstance(made, dict):
        raise ImageError(
            f"{picture} was made by `impasto {made.get('command')}`; only pictures of "
            "`impasto stylize` can be redone"
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
        raise ImageError(f"{picture}: its metadata do not name the pictures it was made from")
    values = noted.get("settings")
    if not isinstance(values, dict):
        raise ImageError(f"{picture}: its metadata hold no settings")
    try:
        # How the network is run is the machine's matter: the next may have nothing to compile with.
        settings = Settings.from_dict({**values, "compiled": False})
    except SettingsError as error:
        version = noted.get("impasto", "unknown")
        raise SettingsError(
            f"{picture} was made by impasto {version}, whose settings this version does not "
            f"know: {error}"
        ) from error
    paintings = inputs[1 : 1 + len(styles)]
    ended = _ended(noted, settings)
    return Recipe(str(picture), settings, inputs[0], paintings, init, weights, guidance, ended)


def _ended(noted: Mapping[str, Any], settings: Settings) -> str | None:
    """Say how an unfinished picture ended."""
    if noted.get("finished") is not False:
        return None
    done = noted.get("steps")
    if isinstance(done, int):
        return f"was ended after {done} of its {settings.steps} steps"
    return "was ended before its last step"


# What the metadata may name beside photo, paintings, start and weights.
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


def find_files(recipe: Recipe, folders: Sequence[Path]) -> dict[str, Path]:
    """Find what a picture was made from by SHA-256; return the files by it.

    A file of the right name is looked at first; then every file of the folders, so that renamed
    ones are found too.

    Raises: ImageError: some are not there; names them all.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ImageError(f"{folder}: there is no such folder")
    wanted = recipe.files
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
            f"{recipe.label} was made from {', '.join(dict.fromkeys(lost))}, not found in "
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
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None  # not ours to read, so it cannot be ours


def resized(picture: Path, settings: Settings, long_side: int) -> Settings:
    """Return settings that paint the picture, from itself, in another size.

    The pyramid begins at the picture's own size, so that no coarser level undoes what it has
    decided; enlarged, the picture gets the photo's detail, as between two levels.
    """
    from impasto.pictures.files import load_picture

    own = max(load_picture(picture).size)
    coarsest = 0 if long_side <= own else own
    feather = settings.feather * long_side / settings.long_side
    return settings.replace(long_side=long_side, coarsest=coarsest, feather=min(feather, 1000.0))


def beside(picture: Path) -> str:
    """Return the name of the result where none is given."""
    return str(picture.with_name(f"{picture.stem}-redo{picture.suffix}"))
