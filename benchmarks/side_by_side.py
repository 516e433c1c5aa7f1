#!/usr/bin/env python3
"""Run impasto beside other programs: how soon its picture is as good as theirs.

    python benchmarks/side_by_side.py [--no-peers] [--schedule fast] [--runs 3]
        [--kinds race longer default] [--report]

Other programs run once and are kept (see peers.py). impasto runs as a user would run it, as a
command of its own on the same files, and saves a picture every 5 steps. Every picture, 8-bit as
saved, is scored by the objective of neural-style, and counts from when it was on disk, the start of
Python included. Printed is when the first one was at or below what another program had reached:
nothing is interpolated. For their loss before clipping, which no picture shows, one more run of
impasto has 400 steps. The machine's speed drifts, and what is kept may be from another one: the
last column compares after dividing either time by that of a plain forward and backward of the
network, measured right before and after. --report prints and draws what is kept, and runs nothing.
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
# The default aims at something else; how long a whole picture takes is told once per large case.
WHOLE_FROM = 512
# What another program's own loss becomes beyond what pixels can show takes more steps than `fast`
# has; steps are shared among levels, so these are another run.
LONGER = ("--steps", "400")
_FRAME = re.compile(r"step-(\d+)")
Run = dict[str, Any]


# ---- running ------------------------------------------------------------------------------------


def command_line(side: int, *options: str) -> list[str]:
    """Return the command as a user types it."""
    return [
        *("python", "-m", "impasto", "stylize", "content.png", "style.png", "-o", "out.png"),
        *("--long-side", str(side), *options, "--force", "--quiet"),
    ]


def measure(pair: str, side: int, build: Path, *options: str, framed: bool) -> Run:
    """Run impasto on one pair and score its pictures: its frames, or where it has none, the last.

    Args:
        pair: a key of PAIRS.
        side: the long side of content and style, in px.
        build: a folder for what is written.
        options: of `impasto stylize`.
        framed: save pictures of the run.
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
    """Run impasto as often as asked for on one pair, once for longer, and once by its default."""
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
    """List what another program reached, as (description, objective, seconds)."""
    saved: dict[int, tuple[float, float]] = {}
    for number, seconds, score in run["trace"]:
        saved.setdefault(number, (score, seconds))  # pastiche saves its last picture twice
    reached = [(f"after {number}", *saved[number]) for number in EVALUATIONS if number in saved]
    # Only neural-style prints the objective that pictures are scored by. Its own loss is that of
    # pixels which may leave the range; saving clips them, which costs some of it.
    last = EVALUATIONS[-1]
    if run["program"].startswith("neural-style") and last in saved:
        unclipped = [loss for number, loss in run["unclipped"] if number == last]
        reached += [(f"after {last}, before clipping", loss, saved[last][1]) for loss in unclipped]
    return reached


def compare(theirs: Sequence[Run], ours: Sequence[Run]) -> list[dict[str, Any]]:
    """Compare every goal of every kept run with impasto's runs on the same pair and size.

    Returns: rows: pair, side, program, goal, objective, seconds (of the other program), reached
        (impasto's seconds, best, median and worst of its runs; ∞: never), ratio and normalized:
        how many times as long the other program took, against the median.
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
    """Return the seconds of a plain forward and backward around a run."""
    return statistics.fmean(run["plain_seconds"])


def _of_case(runs: Sequence[Run], pair: str, side: int) -> list[Run]:
    return [run for run in runs if run["pair"] == pair and max(run["size"]) == side]


# ---- telling ------------------------------------------------------------------------------------


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
            "impasto there in, s: best / median / worst",
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
    """Say, per program and goal, how many times as fast over all cases: least, median, most."""
    lines = []
    for program, goal in dict.fromkeys((row["program"], row["goal"]) for row in rows):
        same = [row for row in rows if (row["program"], row["goal"]) == (program, goal)]
        texts = []
        for kind in ("ratio", "normalized"):
            values = sorted(row[kind] for row in same)
            chosen = (values[0], statistics.median(values), values[-1])
            texts.append(" / ".join(_times(each) for each in chosen))
        lines.append([program, goal, str(len(same)), *texts])
    head = ["program", "evaluations", "cases", "times as fast: least / median / most", "normalized"]
    return markdown(head, lines)


def _seconds(seconds: float) -> str:
    return "never" if math.isinf(seconds) else f"{seconds:.1f}"


def _times(ratio: float) -> str:
    return "–" if ratio == 0 else f"{ratio:.1f}"


def draw(theirs: dict[str, Any], ours: dict[str, Any]) -> bytes:
    """Draw objective against time, a panel per case; of impasto's runs, the middle one."""
    from matplotlib.figure import Figure

    cases = [(pair, side) for pair, side in CASES if _of_case(ours["runs"], pair, side)]
    columns = min(2, len(cases))
    rows = math.ceil(len(cases) / columns)
    figure = Figure(figsize=(5.4 * columns, 3.1 * rows), dpi=150, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for (pair, side), axes in zip(cases, panels, strict=False):  # takes no panel too many
        races = [run for run in _of_case(ours["runs"], pair, side) if run["kind"] == "race"]
        middle = sorted(races, key=lambda run: run["seconds"])[(len(races) - 1) // 2]
        _draw_case(axes, [*_of_case(theirs["runs"], pair, side), middle])
        axes.set_title(f"{pair}, {side} px", loc="left", fontsize=11)
    for axes in list(panels):  # what is left
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
    # A picture of noise is a thousand times as bad: what is compared lies at the bottom.
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
    """Write the names of lines at the right of where they end, one below the other."""
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
    """Run what is missing of other programs, then impasto; print the tables and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--no-peers", action="store_true", help="take what is kept of them")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--pairs", nargs="*", default=list(PAIRS), choices=list(PAIRS))
    parser.add_argument("--sizes", nargs="*", type=int, default=[256, 512])
    parser.add_argument("--schedule", default="fast", help="of impasto; its recipe's name")
    parser.add_argument("--runs", type=int, default=3, help="of impasto, per case")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS,
                        help="of runs of impasto; what is kept of others stays")  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="not again what is kept of impasto")
    parser.add_argument("--report", action="store_true", help="run nothing")
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
        sys.exit("nothing is kept yet")
    print(report(theirs, kept))
    write_file(PICTURE, draw(theirs, kept))


if __name__ == "__main__":
    main()
