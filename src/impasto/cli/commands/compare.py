"""The command `impasto compare PAIRS`: several methods on many pairs, measured and shown."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.comparing import SCORES, compare
from impasto.cli.failures import failed_allocations, interruptible
from impasto.cli.measuring import TOO_LARGE
from impasto.cli.task import Task, check_no_streams, set_up_machine
from impasto.cli.typer_flags import Changes, gather_settings, with_flags
from impasto.errors import ImageError, SettingsError, counted
from impasto.settings.command_flags import RecipeOptions, RunOptions
from impasto.settings.pictures import Settings
from impasto.storage import check_results, check_target, replace_file

if TYPE_CHECKING:
    from impasto.evaluation.comparison.cases import Method, Pair
    from impasto.evaluation.comparison.results import Comparison

__all__ = ["compare_command"]

_FILES = ("scores.csv", "summary.json", "sheet.png", "report.html", "blind.html")

Pairs = Annotated[
    Path,
    typer.Argument(
        metavar="PAIRS",
        help="A CSV file with the columns pair (a name), content (a photo) and style (a painting).",
    ),
]
Methods = Annotated[
    list[str],
    typer.Option(
        "--method", "-m", metavar="NAME=FOLDER",
        help="A method and its results: a folder with one picture for each pair, such as "
        "town.png for the pair town. NAME=recipe:RECIPE paints the pairs by a recipe or a "
        "settings file. Repeat it for each method.",
    ),
]  # fmt: skip
Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="DIR",
        help="Folder of the report. A second run with the same folder paints and measures only "
        "what is missing.",
    ),
]  # fmt: skip


@with_flags
def compare_command(
    pairs: Pairs,
    method: Methods,
    output: Output,
    *,
    run: RunOptions,
    changes: Changes,
) -> None:
    """Compare several methods on many pairs: tables, plots, a sheet, and a blind test.

    DIR/report.html is the report, and DIR/blind.html asks which of two results you would hang.
    Differences are taken from the first method. Flags of a picture, such as --long-side, are for
    all methods that a recipe paints. docs/compare.md explains the report.
    """
    start = time.perf_counter()
    task = Task(content="", output=str(output), run=run, makes="report")
    check_no_streams("comparisons", pairs, output)
    with interruptible(task), failed_allocations(TOO_LARGE.format(smaller="smaller pictures")):
        set_up_machine(task)
        from impasto.evaluation.comparison.cases import read_pairs
        from impasto.machine import choose_device

        choose_device(run.device)
        cases, methods = read_pairs(pairs), named_methods(method)
        settings = settings_of(methods, changes, cases[0])
        check_output(output, pairs, cases, methods, overwrite=run.force)
        comparison, counts = compare(task, cases, methods, settings, output)
        summary = write(comparison, output)
    facts = {
        "output": str(output), **counts, "results": len(comparison.results),
        "seconds": round(time.perf_counter() - start, 2),
    }  # fmt: skip
    conclude(comparison, task, facts)
    if run.json:
        typer.echo(json.dumps({**facts, **summary}))
    if comparison.problems:
        raise typer.Exit(1)


def named_methods(texts: Sequence[str]) -> list[Method]:
    """Read the methods. Raises: SettingsError: one is wrong, or two have one name."""
    from impasto.evaluation.comparison.cases import read_method

    methods = {each.name: each for each in map(read_method, texts)}
    if len(methods) < len(texts):
        raise SettingsError("two methods have the same name; give each --method its own name")
    for each in methods.values():
        if each.folder is not None and not each.folder.is_dir():
            raise ImageError("cannot be read: there is no such folder", path=each.folder)
    return list(methods.values())


def settings_of(
    methods: Sequence[Method], changes: Mapping[str, Any], pair: Pair
) -> dict[str, Settings]:
    """Return the settings of each method that a recipe paints."""
    settings = {
        each.name: gather_settings(RecipeOptions(recipe=each.recipe), changes, [pair.style])
        for each in methods
        if each.recipe is not None
    }
    if changes and not settings:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in changes)
        raise SettingsError(
            f"{flags} would change nothing, because no method is painted; add a method "
            "NAME=recipe:RECIPE, or leave them out"
        )
    return settings


def check_output(
    folder: Path,
    table: Path,
    pairs: Sequence[Pair],
    methods: Sequence[Method],
    *,
    overwrite: bool,
) -> None:
    """Check that the report can be written, and replaces no input and no file of others.

    Raises: SettingsError: it would replace an input; ImageError: a file is there already.
    """
    reads: list[tuple[str, Path]] = [("the table of pairs", table)]
    for pair in pairs:
        reads += [("a photo", pair.content), ("a painting", pair.style)]
    reads += [("a result", each.folder) for each in methods if each.folder is not None]
    check_results(reads, [("--output", folder / name) for name in (*_FILES, SCORES)])
    for name in _FILES:
        again = overwrite or (folder / SCORES).exists()
        check_target(folder / name, overwrite=again, error=ImageError)


def write(comparison: Comparison, folder: Path) -> dict[str, Any]:
    """Write all files of the report; return the summary."""
    from impasto.evaluation.comparison.blind import blind_test
    from impasto.evaluation.comparison.contact_sheet import contact_sheet
    from impasto.evaluation.comparison.report import report
    from impasto.evaluation.comparison.results import scores_csv, summary
    from impasto.pictures.files import save_image

    facts = summary(comparison)
    sheet = contact_sheet(comparison)
    if sheet is None:  # that of an earlier run would be wrong now
        (folder / "sheet.png").unlink(missing_ok=True)
    else:
        save_image(sheet, folder / "sheet.png")
    texts = {
        "scores.csv": scores_csv(comparison, folder),
        "summary.json": json.dumps(facts, indent=2, ensure_ascii=False),
        "report.html": report(comparison, sheet=sheet is not None),
        "blind.html": blind_test(comparison),
    }
    for name, text in texts.items():  # names of files and methods can contain bytes of no UTF-8
        replace_file(folder / name, text.encode(errors="backslashreplace"))
    return facts


def conclude(comparison: Comparison, task: Task, facts: Mapping[str, Any]) -> None:
    """Print what was done, and how many pictures were left out."""
    pairs, methods = (
        counted(len(comparison.pairs), "pair"),
        counted(len(comparison.methods), "method"),
    )
    task.note(
        f"Wrote {task.output}: {pairs}, {methods}, {facts['painted']} painted, "
        f"{facts['measured']} measured, {facts['seconds']:.0f} s"
    )
    for note in comparison.notes:
        task.note(f"Note: {note}")
    if comparison.problems:
        task.note(
            f"{counted(len(comparison.problems), 'picture')} could not be used; see the lines "
            "above and the report."
        )
