"""One sheet with what five layers know of a picture, after figure 1 of Gatys et al. 2015."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from impasto.apps.painting import (
    Ending,
    Job,
    check_output,
    conclude,
    follow,
    interruptible,
    memory_errors,
    prepare,
    source,
    write,
)
from impasto.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LAYERS", "paint_sheet"]

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
_CONTENT: Literal["content"] = "content"
_STYLE: Literal["style"] = "style"


def paint_sheet(job: Job, settings: Settings) -> None:
    """Reconstruct content and style at each layer and write them on one sheet.

    On Ctrl-C the sheet shows what there is; what is missing stays grey.
    """
    import torch

    from impasto.films import sheet
    from impasto.images import load_picture
    from impasto.inputs import identity
    from impasto.stylizer import Pastiche
    from impasto.variations import plan_reconstruction

    start = time.perf_counter()
    with interruptible(job), memory_errors(settings.long_side):
        prepare(job)
        picture = load_picture(source(job.content))
        kinds = [(of, layer) for of in (_CONTENT, _STYLE) for layer in reversed(LAYERS)]
        images: dict[tuple[str, str], Tensor] = {}
        history: list[Mapping[str, Any]] = []
        ending = Ending(torch.empty(0), (), {})
        # The deepest layer first: it is the one that a small picture has too few pixels for.
        for of, layer in kinds:
            if ending.code:
                images[of, layer] = ending.image.new_full(ending.image.shape, 0.8)
                continue
            plan = plan_reconstruction(picture, layer, settings, of=of, device=job.device)
            if not images:
                check_output(job)
            job.note(f"{of} {layer}")
            ending = follow(plan.steps(), plan.levels, job)
            history += ending.history
            images[of, layer] = plan.finish(ending.image, ()).image
        rows = [
            [(f"{of}: {layer}", images[of, layer]) for layer in LAYERS] for of in (_CONTENT, _STYLE)
        ]
        made = {"made": {"command": "reconstruct", "sheet": list(LAYERS)}}
        whole = Pastiche(
            sheet(rows), None, settings, history, {**made, "content": identity(picture)},
            finished=ending.finished,
        )  # fmt: skip
        write(whole, job)
    conclude(
        whole,
        replace(ending, image=whole.image, history=history),
        job,
        time.perf_counter() - start,
    )
