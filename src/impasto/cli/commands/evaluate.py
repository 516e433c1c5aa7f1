"""The command `impasto evaluate RESULT`: how much photo, painting and fault is in a result?"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.failures import failed_allocations, interruptible
from impasto.cli.input_files import LookIn, find_files, is_input
from impasto.cli.measuring import TOO_LARGE, check_memory
from impasto.cli.task import Task, check_no_streams, set_up_machine
from impasto.cli.typer_flags import with_flags
from impasto.errors import ImageError
from impasto.settings.command_flags import MachineOptions, RunOptions

if TYPE_CHECKING:
    from impasto.evaluation.scores import Scores

__all__ = ["evaluate_command"]

_SMALLER = "a smaller --long-side"

Result = Annotated[
    Path, typer.Argument(metavar="RESULT", help="A pastiche, of impasto or another program.")
]
Content = Annotated[
    Path | None,
    typer.Option(
        "--content", "-c", metavar="PHOTO", help="The photo. [default: as RESULT's metadata say]"
    ),
]
Styles = Annotated[
    list[Path] | None,
    typer.Option(
        "--style", "-s", metavar="PAINTING",
        help="A painting; may be repeated. [default: as RESULT's metadata say]",
    ),
]  # fmt: skip
LongSide = Annotated[
    int,
    typer.Option(
        metavar="PX", min=1,
        help="Long side at which features, edges and colors are compared; a smaller result keeps "
        "its size.",
    ),
]  # fmt: skip


@with_flags
def evaluate_command(
    result: Result,
    content: Content = None,
    style: Styles = None,
    look_in: LookIn = None,
    long_side: LongSide = 512,
    *,
    machine: MachineOptions,
) -> None:
    """Measure how much of the photo and of the painting is in RESULT, and its artifacts.

    docs/evaluation.md explains each metric.
    """
    start = time.perf_counter()
    run = RunOptions.from_dict(machine.to_dict())
    task = Task(content="", output="", run=run, makes="scores")
    check_no_streams("pictures that are measured", result, content, *(style or []))
    with interruptible(task), failed_allocations(TOO_LARGE.format(smaller=_SMALLER)):
        set_up_machine(task)
        photo, paintings = inputs_of(result, content, style or [], look_in or [])
        from impasto.evaluation.scores import evaluate
        from impasto.pictures.files import load_picture

        check_memory(load_picture(result).size, long_side, run.memory, _SMALLER)

        scores = evaluate(result, photo, paintings, long_side=long_side, device=run.device)
    if run.json:
        facts = {"result": str(result), "seconds": round(time.perf_counter() - start, 2)}
        typer.echo(json.dumps({**facts, **scores.to_dict()}))
    else:
        for line in table(scores):
            typer.echo(line)


def inputs_of(
    result: Path, content: Path | None, styles: Sequence[Path], look_in: Sequence[Path]
) -> tuple[Path, list[Path]]:
    """Return the photo and the paintings: those given, or those that the metadata name.

    Raises: ImageError: the metadata name none, or the files cannot be found.
    """
    from impasto.pictures.files import read_metadata

    if content is not None and styles:
        return content, list(styles)
    noted = read_metadata(result)
    photo, paintings = noted.get("content"), noted.get("styles")
    inputs: list[Any] = [photo, *(paintings if isinstance(paintings, list) else [])]
    if len(inputs) < 2 or not all(map(is_input, inputs)):
        raise ImageError(
            "does not say which photo and paintings it was made from; name them with --content "
            "and --style",
            path=result,
        )
    wanted = [*([] if content else inputs[:1]), *([] if styles else inputs[1:])]
    files = find_files(str(result), wanted, [result.parent, *look_in])
    return (
        content or files[inputs[0]["sha256"]],
        list(styles) or [files[each["sha256"]] for each in inputs[1:]],
    )


def table(scores: Scores) -> list[str]:
    """Format the scores for a terminal of 80 columns, by group."""
    from impasto.evaluation.metrics import GROUPS, METRICS

    height, width = scores.size
    known = "did not paint" if scores.painted_by else "may have painted"
    lines = [f"Compared at {width} x {height} px by {scores.network}, which {known} this picture."]
    for group, question in GROUPS.items():
        lines += ["", f"{group.capitalize()}: {question}"]
        for name, metric in METRICS.items():
            if metric.group != group:
                continue
            if name in scores.missing:
                lines.append(f"  {name:14}       –  not measured: {scores.missing[name]}")
            else:
                better = f"{metric.better} is better"
                lines.append(f"  {name:14}{scores[name]:8.4f}  {better:16}  {metric.meaning}")
    return lines
