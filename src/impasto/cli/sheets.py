"""Sheets of pictures, painted one after the other: reconstructions by layer, blends of styles."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from impasto.cli.failures import INTERRUPTED, interruptible, memory_errors
from impasto.cli.output import check_output, conclude, write
from impasto.cli.run_steps import Ending, follow
from impasto.cli.task import Task, prepare, source
from impasto.settings.pictures import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from impasto.painting.picture_plan import PicturePlan

__all__ = ["LAYERS", "blend_shares", "paint_blends", "paint_layers"]

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
_KINDS: tuple[Literal["content", "style"], ...] = ("content", "style")


@dataclass(frozen=True)
class _Cell:
    row: int
    column: int
    caption: str
    plan: Callable[[], PicturePlan]


def paint_layers(task: Task, settings: Settings) -> None:
    """Reconstruct content and style at five layers: figure 1 of Gatys et al. 2015."""

    def begin() -> tuple[list[_Cell], Mapping[str, Any]]:
        from impasto.pictures.files import load_picture
        from impasto.pictures.picture import identity
        from impasto.variations.reconstruction import plan_reconstruction

        picture = load_picture(source(task.content))

        def cell(row: int, column: int) -> _Cell:
            of, layer = _KINDS[row], LAYERS[column]
            return _Cell(
                row, column, f"{of}: {layer}",
                lambda: plan_reconstruction(
                    picture, layer, settings, of=of, device=task.run.device, memory=task.run.memory
                ),
            )  # fmt: skip

        # The deepest layer first: a picture can be too small for it only.
        order = reversed(range(len(LAYERS)))
        cells = [cell(row, column) for column in order for row in range(len(_KINDS))]
        made = {"command": "reconstruct", "sheet": list(LAYERS)}
        return cells, {"made": made, "content": identity(picture)}

    _paint_sheet(task, settings, begin)


def paint_blends(task: Task, settings: Settings, count: int) -> None:
    """Paint a row of `count` blends of two styles, or a grid of `count` × `count` of four."""

    def begin() -> tuple[list[_Cell], Mapping[str, Any]]:
        from impasto.painting.faces import face_note, with_faces
        from impasto.painting.guidance import Guidance
        from impasto.painting.inputs import load_inputs
        from impasto.painting.stylizer import Stylizer

        inputs = load_inputs(
            source(task.content), [source(str(style)) for style in task.styles], settings,
            guidance=Guidance(**task.guides), init=task.init,
        )  # fmt: skip
        found = with_faces(settings, inputs.photo)
        if note := face_note(settings, found):
            task.note(note)
        number = len(inputs.paintings)
        own = settings.per_style("style_weight", number)
        stylizer = Stylizer(found, device=task.run.device, memory=task.run.memory)

        def cell(row: int, column: int, shares: Sequence[float]) -> _Cell:
            # Styles that go to the same place share the weight; see `guidance.shares`.
            weights = tuple(
                share * number * weight for share, weight in zip(shares, own, strict=True)
            )
            caption = ":".join(f"{100 * share:.0f}" for share in shares)
            blended = found.replace(style_weight=weights)
            return _Cell(row, column, caption, lambda: stylizer.with_settings(blended).plan(inputs))

        made = {"command": "blend", "count": count}
        cells = [
            cell(row, column, shares)
            for row, line in enumerate(blend_shares(number, count))
            for column, shares in enumerate(line)
        ]
        return cells, {"made": made, **inputs.identities}

    _paint_sheet(task, settings, begin)


def blend_shares(styles: int, count: int) -> list[list[tuple[float, ...]]]:
    """Return the shares of 2 styles in a row of `count`, or of 4 at the corners of a grid.

    >>> blend_shares(2, 3)
    [[(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)]]
    """
    row: list[tuple[float, ...]] = [(1 - i / (count - 1), i / (count - 1)) for i in range(count)]
    if styles == 2:
        return [row]
    return [
        [tuple(down * across for down in rows for across in columns) for columns in row]
        for rows in row
    ]


def _paint_sheet(
    task: Task,
    settings: Settings,
    begin: Callable[[], tuple[list[_Cell], Mapping[str, Any]]],
) -> None:
    """Paint the cells one after the other, and write them on one sheet, with captions.

    After Ctrl-C, the sheet shows the finished cells; the others are gray.
    """
    start = time.perf_counter()
    with interruptible(task), memory_errors(settings.long_side):
        import torch

        from impasto.painting.pastiche import Pastiche
        from impasto.pictures.films import sheet
        from impasto.pictures.picture import Picture, on_paper

        prepare(task)
        cells, inputs = begin()
        images: dict[_Cell, Tensor] = {}
        history: list[Mapping[str, Any]] = []
        ending = Ending(torch.empty(0), (), {})
        for cell in cells:
            if ending.finished:
                try:
                    plan = cell.plan()
                    if not images:
                        check_output(task)
                    task.note(f"{len(images) + 1}/{len(cells)}  {cell.caption}")
                    ending = follow(plan.steps(), plan.levels, task)
                    history += ending.history
                    finished = plan.finish(ending.image, ())
                    images[cell] = on_paper(Picture(finished.image, finished.alpha))
                except KeyboardInterrupt:  # before the cell's first step
                    if not images:
                        raise
                    note = f"Interrupted after {len(images)} of {len(cells)} cells; wrote"
                    ending = replace(ending, note=note, code=INTERRUPTED)
            if cell not in images:
                images[cell] = torch.full_like(images[cells[0]], 0.8)
        rows: list[list[tuple[str, Tensor]]] = [[] for _ in range(1 + max(c.row for c in cells))]
        for cell in sorted(cells, key=lambda each: each.column):
            rows[cell.row].append((cell.caption, images[cell]))
        whole = Pastiche(sheet(rows), None, settings, history, inputs, finished=ending.finished)
        write(whole, task)
    ending = replace(ending, image=whole.image, history=history)
    conclude(whole, ending, task, time.perf_counter() - start)
