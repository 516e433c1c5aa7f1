"""The command redo: paint a picture again from what its own file says, in any size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.apps.flags import Bits, Device, Dpi, Force, Json, Print, Quiet, Threads, Time
from impasto.apps.options import check_budget
from impasto.apps.painting import Job, paint
from impasto.apps.printing import for_print, long_side_for_print
from impasto.errors import ImageError, SettingsError
from impasto.settings import Settings

if TYPE_CHECKING:
    from impasto.images import Picture

__all__ = ["Recipe", "find_inputs", "read_recipe", "redo_command"]


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
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Paint PICTURE again from its own metadata; at its size, the same pixels."""
    flags = {"long_side": long_side, "steps": steps}
    given = {name: value for name, value in flags.items() if value is not None}
    sizes = for_print(paper, dpi, given)
    check_budget(budget, given)
    recipe = read_recipe(picture)
    content, styles, init, weights = find_inputs(recipe, [picture.parent, *(look_in or [])])
    settings = recipe.settings if steps is None else recipe.settings.replace(steps=steps)
    if weights is not None:
        settings = settings.replace(weights=str(weights))
    if paper is not None:
        long_side = _print_side(content, sizes.pop("print_size"), sizes["dpi"])
    start = _loaded(init)
    if long_side is not None and long_side != settings.long_side:
        settings, start = resized(picture, settings, long_side, content)
    job = Job(
        content=str(content), styles=styles, output=output or beside(picture), budget=budget,
        force=force, bits=bits, threads=threads, device=device, quiet=quiet, json=as_json,
        init=start, **sizes,
    )  # fmt: skip
    if recipe.ended:
        job.note(f"{picture} {recipe.ended}; now all steps are painted")
    paint(job, settings)


def _print_side(content: Path, paper: tuple[float, float], dpi: float | None) -> int:
    from impasto.images import load_picture

    return long_side_for_print(load_picture(content).size, paper, dpi)


def _loaded(path: Path | None) -> Picture | None:
    from impasto.images import load_picture

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
        ended: in words, how the picture came to be unfinished; None if it did not.
    """

    label: str
    settings: Settings
    content: Mapping[str, Any]
    styles: Sequence[Mapping[str, Any]]
    init: Mapping[str, Any] | None
    weights: Mapping[str, Any] | None = None
    ended: str | None = None


def read_recipe(picture: Path) -> Recipe:
    """Read how a picture was made from its metadata.

    Raises: ImageError: it cannot be read or says nothing; SettingsError: it says what this
        version does not know.
    """
    from impasto.images import read_metadata

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
    inputs: list[Any] = [
        content,
        *(styles if isinstance(styles, list) else [None]),
        *(each for each in (init, weights) if each),
    ]
    if not styles or not all(map(_is_input, inputs)):
        raise ImageError(f"{picture}: its metadata do not name the pictures it was made from")
    values = noted.get("settings")
    if not isinstance(values, dict):
        raise ImageError(f"{picture}: its metadata hold no settings")
    try:
        settings = Settings.from_dict(values)
    except SettingsError as error:
        version = noted.get("impasto", "unknown")
        raise SettingsError(
            f"{picture} was made by impasto {version}, whose settings this version does not "
            f"know: {error}"
        ) from error
    paintings = inputs[1 : 1 + len(styles)]
    ended = _ended(noted, settings)
    return Recipe(str(picture), settings, inputs[0], paintings, init, weights, ended)


def _ended(noted: Mapping[str, Any], settings: Settings) -> str | None:
    """Say how an unfinished picture ended."""
    if noted.get("finished") is not False:
        return None
    done = noted.get("steps")
    if isinstance(done, int):
        return f"was ended after {done} of its {settings.steps} steps"
    return "was ended before its last step"


def _is_input(value: Any) -> bool:
    return isinstance(value, dict) and all(
        value.get(key, ...) is None or isinstance(value.get(key), str) for key in ("name", "sha256")
    )


def find_inputs(
    recipe: Recipe, folders: Sequence[Path]
) -> tuple[Path, list[Path], Path | None, Path | None]:
    """Find the photo, the paintings, the start and the weights by their SHA-256.

    A file of the right name is looked at first; then every file of the folders, so that renamed
    ones are found too.

    Raises: ImageError: some are not there; names them all.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ImageError(f"{folder}: there is no such folder")
    perhaps = [recipe.init, recipe.weights]
    wanted = [recipe.content, *recipe.styles, *(each for each in perhaps if each)]
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
    content, *styles = (found[each["sha256"]] for each in (recipe.content, *recipe.styles))
    init, weights = (found[each["sha256"]] if each else None for each in perhaps)
    return content, styles, init, weights


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


def resized(
    picture: Path, settings: Settings, long_side: int, content: Path
) -> tuple[Settings, Picture]:
    """Return settings and start that paint the picture in another size, composition kept.

    The pyramid begins above the picture's own size, so that no coarser level undoes what it has
    decided; enlarged, the picture gets the photo's detail, as between two levels.
    """
    from impasto.images import load_picture
    from impasto.inputs import enlarge
    from impasto.pyramid import pyramid

    start = load_picture(picture)
    own = max(start.size)
    coarsest = 0 if long_side <= own else own
    settings = settings.replace(long_side=long_side, coarsest=coarsest)
    photo = load_picture(content)
    first = pyramid(photo.size, settings)[0].size
    if max(first) <= own:
        return settings, start
    image = enlarge(start.image, photo, first)
    return settings, replace(start, image=image, alpha=None)


def beside(picture: Path) -> str:
    """Return the name of the result where none is given."""
    return str(picture.with_name(f"{picture.stem}-redo{picture.suffix}"))
