#!/usr/bin/env python3
"""Compare impasto with other programs: how soon is its picture as good as theirs?

    python benchmarks/side_by_side.py [--no-peers] [--schedule fast] [--runs 3]
        [--kinds race longer default] [--report]

The other programs run once, and their results are stored (see peers.py). impasto runs as a command
on the same files, as a user would run it, and saves a picture every 5 steps. The objective of
neural-style scores every saved 8-bit picture. A picture's time is that at which it was on disk, and
includes the start of Python. The table gives the time of the first picture that is at or below the
objective of the other program; nothing is interpolated. The other program's loss before clipping
belongs to no saved picture; for it, one more run of impasto has 400 steps. The machine's speed
drifts, and stored results may be from another machine. So the last column first divides both times
by that of a plain forward and backward pass of the network, measured before and after each run.
--report prints and draws the stored results, and runs nothing.
"""

from __future__ import annotations

import argparse
import io
import math
import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import peers
from measuring import (
    CASES,
    IMAGES,
    PAIRS,
    RESULTS,
    ROOT,
    demand_success,
    environment,
    first_at_or_below,
    machine,
    markdown,
    neutral_objective,
    plain_seconds,
    prepare,
    read_results,
    watch,
    write_results,
)

from impasto.pictures.files import load_image
from impasto.storage import write_file

KEPT = RESULTS / "side_by_side.json"
PICTURE = IMAGES / "side_by_side.png"
EVERY = 5
EVALUATIONS = (200, 500)
KINDS = ("race", "longer", "default")
# The default has another objective. Only large cases measure the time of its finished picture.
WHOLE_FROM = 512
# To reach another program's loss before clipping takes more steps than `fast` has. The levels share
# the steps, so this needs a separate run.
LONGER = ("--steps", "400")
_FRAME = re.compile(r"step-(\d+)")
Run = dict[str, Any]


# ---- running ------------------------------------------------------------------------------------


def command_line(side: int, *options: str) -> list[str]:
    """Return the command that a user would type."""
    return [
        *("python", "-m", "impasto", "stylize", "content.png", "style.png", "-o", "out.png"),
        *("--long-side", str(side), *options, "--force", "--quiet"),
    ]


def measure(pair: str, side: int, build: Path, *options: str, framed: bool) -> Run:
    """Run impasto on one pair, and score its saved frames or, without frames, its result.

    Args:
        pair: a key of PAIRS.
        side: the long side of content and style, in px.
        build: a folder for all output.
        options: of `impasto stylize`.
        framed: save frames of the run.
    """
    folder = build / f"{pair}-{side}" / "impasto"
    content, style = prepare(pair, side, folder)
    frames = ["--frames", "frames", "--every", str(EVERY)] if framed else []
    command = command_line(side, *options, *frames)
    size = tuple(load_image(content).shape[-2:])
    before = plain_seconds(size)
    run = watch(
        [sys.executable, *command[1:]],
        folder,
        pictures="frames/step-*.png" if framed else "out.png",
        environment=environment(),
    )
    after = plain_seconds(size)
    demand_success(run, " ".join(command))
    score, trace = neutral_objective(content, style), []
    for path, seconds in sorted(run["seen"].items()):
        digits = _FRAME.fullmatch(path.stem)
        if tuple(load_image(path).shape[-2:]) == size:
            trace.append([int(digits[1]) if digits else None, seconds, score(path)])
    return {
        "program": "impasto",
        "options": " ".join(options),
        "pair": pair,
        "size": list(size),
        "command": " ".join(command),
        "plain_seconds": [before, after],
        "seconds": run["seconds"],
        "peak_mb": run["peak_mb"],
        "trace": trace,
    }


def run_case(pair: str, side: int, arguments: argparse.Namespace) -> list[Run]:
    """Do the chosen kinds of runs on one pair: the race, a longer run, and the default."""
    options = ["--recipe", "neural-style", "--schedule", arguments.schedule, *arguments.more]
    runs = []
    for kind in arguments.kinds:
        if kind == "race":
            ways = [options] * arguments.runs
        elif kind == "longer":
            ways = [[*options, *LONGER]]
        else:
            ways = [["--recipe", "default"]] if side >= WHOLE_FROM else []
        runs += [measure(pair, side, arguments.build, *way, framed=kind != "default")
                 | {"kind": kind} for way in ways]  # fmt: skip
    for run in runs:
        print(f"impasto {run['options']}, {pair} {side} px: {run['seconds']:.1f} s, "
              f"{run['trace'][-1]}", flush=True)  # fmt: skip
    return runs


# ---- comparing ----------------------------------------------------------------------------------


def goals(run: Run) -> list[tuple[str, float, float]]:
    """List the results of another program, as (description, objective, seconds)."""
    saved: dict[int, tuple[float, float]] = {}
    for number, seconds, score in run["trace"]:
        saved.setdefault(number, (score, seconds))  # pastiche saves its last picture twice
    reached = [(f"after {number}", *saved[number]) for number in EVALUATIONS if number in saved]
    # Only neural-style prints the objective that scores the pictures. Its printed loss is that of
    # pixels which may leave the range. Saving clips them, which makes the objective worse.
    last = EVALUATIONS[-1]
    if run["program"].startswith("neural-style") and last in saved:
        unclipped = [loss for number, loss in run["unclipped"] if number == last]
        reached += [(f"after {last}, before clipping", loss, saved[last][1]) for loss in unclipped]
    return reached


def compare(theirs: Sequence[Run], ours: Sequence[Run]) -> list[dict[str, Any]]:
    """Compare every goal of every stored run with impasto's runs on the same pair and size.

    Returns: rows: pair, side, program, goal, objective, seconds (of the other program), reached
        (impasto's seconds: best, median and worst of its runs; ∞: never), ratio and normalized
        (the other program's time divided by impasto's median).
    """
    rows = []
    for pair, side in CASES:
        known = _of_case(ours, pair, side)
        for run in _of_case(theirs, pair, side):
            for goal, objective, seconds in goals(run):
                kind = "longer" if goal.endswith("clipping") else "race"
                races = [each for each in known if each["kind"] == kind]
                if not races:
                    continue
                reached = [first_at_or_below(each["trace"], objective) for each in races]
                times = sorted(math.inf if each is None else each for each in reached)
                in_plain = sorted(
                    math.inf if each is None else each / plain(race)
                    for each, race in zip(reached, races, strict=True)
                )
                median = statistics.median_high
                rows.append({
                    "pair": pair, "side": side, "program": run["program"], "goal": goal,
                    "objective": objective, "seconds": seconds,
                    "reached": [times[0], median(times), times[-1]],
                    "ratio": seconds / median(times),
                    "normalized": seconds / plain(run) / median(in_plain),
                })  # fmt: skip
    return rows


def plain(run: Run) -> float:
    """Return the mean seconds of the plain forward and backward passes around a run."""
    return statistics.fmean(run["plain_seconds"])


def _of_case(runs: Sequence[Run], pair: str, side: int) -> list[Run]:
    return [run for run in runs if run["pair"] == pair and max(run["size"]) == side]


# ---- reporting ----------------------------------------------------------------------------------


def report(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """Return the tables in Markdown."""
    rows = compare(theirs["runs"], ours["runs"])
    lines = [
        [f"{row['pair']}, {row['side']} px", row["program"], row["goal"],
         f"{row['objective']:.4g}", f"{row['seconds']:.0f}",
         " / ".join(_seconds(each) for each in row["reached"]),
         _times(row["ratio"]), _times(row["normalized"])]
        for row in rows
    ]  # fmt: skip
    head = ["pair", "program", "evaluations", "objective", "its time, s",
            "impasto's time, s: best / median / worst",
            "times as fast", "normalized"]  # fmt: skip
    parts = [markdown(head, lines), _summary(rows)]
    whole = [run for run in ours["runs"] if run["kind"] == "default"]
    if whole:
        parts.append(markdown(
            ["pair", "size", "the default's finished picture, whole process", "peak memory"],
            [[run["pair"], f"{run['size'][1]} × {run['size'][0]}", f"{run['seconds']:.0f} s",
              f"{run['peak_mb'] / 1000:.2f} GB"] for run in whole],
        ))  # fmt: skip
    parts.append(f"Other programs: {theirs.get('machine', '?')}. impasto: {ours['machine']}.")
    return "\n\n".join(parts)


def _summary(rows: Sequence[dict[str, Any]]) -> str:
    """Return a table of the ratios of all cases for each program and goal."""
    lines = []
    for program, goal in dict.fromkeys((row["program"], row["goal"]) for row in rows):
        same = [row for row in rows if (row["program"], row["goal"]) == (program, goal)]
        texts = []
        for kind in ("ratio", "normalized"):
            values = sorted(row[kind] for row in same)
            chosen = (values[0], statistics.median(values), values[-1])
            texts.append(" / ".join(_times(each) for each in chosen))
        lines.append([program, goal, str(len(same)), *texts])
    head = ["program", "evaluations", "cases", "times as fast: min / median / max", "normalized"]
    return markdown(head, lines)


def _seconds(seconds: float) -> str:
    return "never" if math.isinf(seconds) else f"{seconds:.1f}"


def _times(ratio: float) -> str:
    return "–" if ratio == 0 else f"{ratio:.1f}"


def draw(theirs: dict[str, Any], ours: dict[str, Any]) -> bytes:
    """Draw objective against time, one panel per case, with the median run of impasto."""
    from matplotlib.figure import Figure

    cases = [(pair, side) for pair, side in CASES if _of_case(ours["runs"], pair, side)]
    columns = min(2, len(cases))
    rows = math.ceil(len(cases) / columns)
    figure = Figure(figsize=(5.4 * columns, 3.1 * rows), dpi=150, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for (pair, side), axes in zip(cases, panels, strict=False):  # some stay unused
        races = [run for run in _of_case(ours["runs"], pair, side) if run["kind"] == "race"]
        middle = sorted(races, key=lambda run: run["seconds"])[(len(races) - 1) // 2]
        _draw_case(axes, [*_of_case(theirs["runs"], pair, side), middle])
        axes.set_title(f"{pair}, {side} px", loc="left", fontsize=11)
    for axes in list(panels):  # unused panels
        axes.set_axis_off()
    figure.supxlabel(f"seconds from the command; dots: {' and '.join(map(str, EVALUATIONS))} "
                     "evaluations", fontsize=11)  # fmt: skip
    figure.supylabel("objective of neural-style, million", fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


_COLORS = {
    "impasto": "tab:red",
    "neural-style": "tab:blue",
    "neural-style from the content": "tab:green",
    "pastiche": "tab:gray",
}


def _draw_case(axes: Any, runs: Sequence[Run]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for run in runs:
        own = run["program"] == "impasto"
        _, seconds, scores = zip(*run["trace"], strict=True)
        axes.plot(seconds, scores, color=_COLORS[run["program"]], linewidth=2.4 if own else 1.6,
                  zorder=3 if own else 2)  # fmt: skip
        marked = [each[1:] for each in run["trace"] if not own and each[0] in EVALUATIONS]
        if marked:
            axes.plot(*zip(*marked, strict=True), "o", color=_COLORS[run["program"]], markersize=4)
    axes.set(xscale="log", yscale="log")
    # The objective of noise is a thousand times as large; the comparison is at the bottom.
    least = min(score for run in runs for *_, score in run["trace"])
    axes.set_ylim(0.85 * least, 30 * least)
    for axis, unit in ((axes.xaxis, 1), (axes.yaxis, 1e6)):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _, unit=unit: f"{value / unit:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    _label(axes, [(run["program"], run["trace"][-1][-1]) for run in runs])


def _label(axes: Any, ends: Sequence[tuple[str, float]]) -> None:
    """Write the names of the lines beside their ends, one below the other."""
    low, high = (math.log(each) for each in axes.get_ylim())
    place = 1.0
    for name, score in sorted(ends, key=lambda each: -each[1]):
        wanted = (math.log(score) - low) / (high - low)
        place = min(place - 0.09, max(wanted, 0.09 * len(ends)))
        axes.text(1.02, place, name.replace(" from", "\nfrom"), color=_COLORS[name], fontsize=10,
                  transform=axes.transAxes, va="center",
                  weight="bold" if name == "impasto" else "normal")  # fmt: skip
        place -= 0.09 if " from" in name else 0.0


# ---- the command --------------------------------------------------------------------------------


def main() -> None:
    """Run the missing other programs, then impasto; print the tables and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--no-peers", action="store_true", help="use their stored results")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--pairs", nargs="*", default=list(PAIRS), choices=list(PAIRS))
    parser.add_argument("--sizes", nargs="*", type=int, default=[256, 512])
    parser.add_argument("--schedule", default="fast", help="impasto's schedule: a recipe's name")
    parser.add_argument("--runs", type=int, default=3, help="number of impasto's runs per case")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS,
                        help="kinds of runs; stored runs of other kinds stay")  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="do not repeat stored runs")
    parser.add_argument("--report", action="store_true", help="only show stored results")
    arguments, arguments.more = parser.parse_known_args()
    arguments.build = arguments.build.resolve()
    cases = [(pair, side) for pair, side in CASES
             if pair in arguments.pairs and side in arguments.sizes]  # fmt: skip
    fixed = arguments.no_peers or arguments.report
    theirs = read_results(peers.KEPT) if fixed else peers.run_missing(arguments.build, cases)
    kept = read_results(KEPT)
    for pair, side in [] if arguments.report else cases:
        known = [run for run in _of_case(kept["runs"], pair, side)
                 if run["kind"] in arguments.kinds]  # fmt: skip
        if known and arguments.keep:
            continue
        runs = run_case(pair, side, arguments)
        kept["machine"] = machine()
        kept["runs"] = [run for run in kept["runs"] if run not in known] + runs
        write_results(KEPT, kept)
    if not kept["runs"]:
        sys.exit("there are no stored results yet")
    print(report(theirs, kept))
    write_file(PICTURE, draw(theirs, kept))


if __name__ == "__main__":
    main()
