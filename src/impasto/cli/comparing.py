"""Run a comparison: paint the missing pictures, measure all results, and store the scores."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from impasto.cli.failures import INTERRUPTED
from impasto.cli.measuring import check_memory
from impasto.cli.run_steps import follow
from impasto.cli.task import Task
from impasto.errors import ImageError, ShapeError
from impasto.settings.pictures import NetworkName, Settings

if TYPE_CHECKING:
    from impasto.evaluation.comparison.cases import Method, Pair
    from impasto.evaluation.comparison.measurements import Measurements, Subject
    from impasto.evaluation.comparison.results import Comparison, Result
    from impasto.painting.stylizer import Stylizer

__all__ = ["SCORES", "compare"]

SCORES = "measurements.json"


class _Problems:
    """The pictures that cannot be used: each is one line on stderr, and the comparison goes on."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        """Print and keep a line."""
        self.lines.append(" ".join(line.split()))
        typer.echo(f"Left out: {self.lines[-1]}", err=True)

    @contextmanager
    def passed_over(self, case: str) -> Iterator[None]:
        """Turn an error of a picture into a problem with the name of its case."""
        try:
            yield
        except (ImageError, ShapeError) as error:
            self.add(f"{case}: {error}")


def compare(
    task: Task,
    pairs: Sequence[Pair],
    methods: Sequence[Method],
    settings: Mapping[str, Settings],
    folder: Path,
) -> tuple[Comparison, dict[str, int]]:
    """Paint and measure what is missing in the folder of a comparison.

    Args: settings: of each method that a recipe paints.

    Returns: the comparison, and the numbers of pictures that were painted and measured.

    Raises: MemoryLimitError: a picture does not fit; WeightsError, ImpastoError: as for painting.
    """
    from impasto.evaluation.comparison.measurements import Measurements, common_network, input_sums
    from impasto.evaluation.comparison.results import Comparison

    problems = _Problems()
    sums: dict[str, tuple[str, str]] = {}
    for pair in pairs:
        with problems.passed_over(pair.name):
            sums[pair.name] = input_sums(pair)
    usable = [pair for pair in pairs if pair.name in sums]
    painters = {name: _Painter(task, each, folder / "painted") for name, each in settings.items()}
    subjects: list[Subject] = []
    for method in methods:
        subjects += _results(method, usable, sums, painters.get(method.name), problems)
    network = common_network(subject.painted_by for subject in subjects)
    store = Measurements(folder / SCORES)
    results, inputs = _measured(task, subjects, store, network, folder / "thumbnails", problems)
    names = [method.name for method in methods]
    comparison = Comparison(
        pairs, names, results, inputs, network, problems.lines, _notes(subjects, network)
    )
    painted = sum(painter.painted for painter in painters.values())
    return comparison, {"painted": painted, "measured": store.measured}


def _results(
    method: Method,
    pairs: Sequence[Pair],
    sums: Mapping[str, tuple[str, str]],
    painter: _Painter | None,
    problems: _Problems,
) -> list[Subject]:
    """Find or paint the results of a method."""
    from impasto.evaluation.comparison.cases import result_in
    from impasto.evaluation.comparison.measurements import Subject

    found: list[Subject] = []
    for pair in pairs:
        case = f"{pair.name}, {method.name}"
        with problems.passed_over(case):
            if painter is not None:
                path = painter.paint(pair, method.name, sums[pair.name], problems)
            else:
                path = result_in(method.folder or Path(), pair)
            if path is not None:
                found.append(Subject.read(pair, method.name, path, sums[pair.name]))
    return found


def _measured(
    task: Task,
    subjects: Sequence[Subject],
    store: Measurements,
    network: NetworkName,
    thumbnails: Path,
    problems: _Problems,
) -> tuple[dict[tuple[str, str], Result], dict[str, tuple[Path, Path]]]:
    """Measure results that have no scores yet; return all results, and the inputs' thumbnails."""
    from impasto.evaluation.comparison.measurements import common_side, thumbnail
    from impasto.evaluation.comparison.results import Result

    results: dict[tuple[str, str], Result] = {}
    inputs: dict[str, tuple[Path, Path]] = {}
    for number, subject in enumerate(subjects, 1):
        pair = subject.pair
        side = common_side(each for each in subjects if each.pair == pair)
        with problems.passed_over(f"{pair.name}, {subject.method}"):
            if not store.knows(subject, network, side):
                check_memory(subject.size, side, task.run.memory, "smaller results")
                task.note(f"{number}/{len(subjects)}  measuring {pair.name}, {subject.method}")
            scores = store.scores(subject, network, side, task.run.device)
            own, photo, painting = (
                thumbnail(path, digest, thumbnails)
                for path, digest in zip(
                    (subject.path, pair.content, pair.style), subject.sums, strict=True
                )
            )
            results[pair.name, subject.method] = Result(subject, scores, own)
            inputs[pair.name] = (photo, painting)
    return results, inputs


def _notes(subjects: Sequence[Subject], network: str) -> list[str]:
    """Return what a reader of the table must know about sizes and networks."""
    notes = []
    sides: dict[str, set[int]] = {}
    for subject in subjects:
        sides.setdefault(subject.pair.name, set()).add(max(subject.size))
    if uneven := [name for name, found in sides.items() if len(found) > 1]:
        notes.append(
            f"The results of {len(uneven)} of {len(sides)} pairs have different sizes. All are "
            "compared at the size of the smallest; artifacts are measured at each one's own size."
        )
    partial = dict.fromkeys(each.method for each in subjects if each.painted_by == network)
    if partial:
        notes.append(
            f"{network.upper()} measured all results and also painted those of "
            f"{', '.join(partial)}, so these look better than they are."
        )
    return notes


class _Painter:
    """Paints pairs with one set of settings; a picture that exists is not painted again."""

    def __init__(self, task: Task, settings: Settings, folder: Path) -> None:
        self._task, self._settings, self._folder = task, settings, folder
        self._stylizer: Stylizer | None = None
        self.painted = 0

    def paint(
        self, pair: Pair, method: str, sums: tuple[str, str], problems: _Problems
    ) -> Path | None:
        """Return the picture of a pair, which is painted if it is missing; None: it failed.

        Raises: KeyboardInterrupt: also in the middle of a picture, which is then not kept.
        """
        from impasto.painting.inputs import load_inputs
        from impasto.painting.stylizer import Stylizer

        target = (
            self._folder / _file_name(method) / f"{_file_name(pair.name)}-{self._key(sums)}.png"
        )
        if target.exists():
            return target
        if self._stylizer is None:
            run = self._task.run
            self._stylizer = Stylizer(self._settings, device=run.device, memory=run.memory)
        plan = self._stylizer.plan(load_inputs(pair.content, [pair.style], self._settings))
        ending = follow(plan.steps(), plan.levels, self._task, label=f"{pair.name}, {method}")
        if ending.code == INTERRUPTED:
            raise KeyboardInterrupt
        if ending.code:
            problems.add(f"{pair.name}, {method}: the loss of this run exploded")
            return None
        plan.finish(ending.image, ending.history).save(target)
        self.painted += 1
        return target

    def _key(self, sums: tuple[str, str]) -> str:
        """Return the first digits of a SHA-256 sum of everything that determines the picture."""
        from impasto._version import __version__

        facts = [__version__, self._settings.to_dict(), *sums]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _file_name(name: str) -> str:
    """Return a name that every file system takes; two names never become one."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:60]
    if plain == name and name == name.lower():
        return plain
    return (
        f"{plain}-{hashlib.sha256(name.encode(errors='backslashreplace')).hexdigest()[:6]}".lstrip(
            "-"
        )
    )
