"""Runs side by side: means and spreads over seeds, what a change brings, and what was printed of it."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from udaseg.errors import UdasegError
from udaseg.io.documents.read import read_document
from udaseg.io.documents.results import Metrics
from udaseg.io.documents.run import RunFile
from udaseg.report.collect import Stage, last_evaluation
from udaseg.report.published import Published, PublishedRow
from udaseg.report.scores import lineage, seed, without_paths


class Spread(NamedTuple):
    """The mean of a number over seeds and its standard deviation, that of a sample; None of a single one."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Run:
    """What a run came to: its recipe, its seed, the settings that make the experiment, and its last scores."""

    path: Path
    recipe: str
    evaluation: str  # the stage: evaluate, evaluate-warmup
    seed: int | None
    settings: dict[str, Any]  # by dotted key
    metrics: Metrics
    miou: float  # the one the run is read by
    scale: str | None = None  # full or toy


@dataclass(frozen=True)
class Row:
    """Runs that differ in nothing but their seed. Scores are fractions; gains are over the first row."""

    label: str
    recipe: str
    runs: tuple[Run, ...]
    miou: Spread
    iou: tuple[Spread | None, ...]  # of each class; None of one that is absent from a run
    miou13: Spread | None = None  # None in a class space without the 13
    delta: Spread | None = None
    gap_closed: Spread | None = None
    printed: PublishedRow | None = None


def read_run(path: Path) -> Run:
    """Read a run directory, or one evaluation in it. Raises UdasegError where nothing is evaluated there."""
    stages, stage = last_evaluation(path)
    folder = stages.path
    if stage.result.miou is None:
        raise UdasegError(
            f"{folder / stage.name}: none of the classes occurs, so there is no mean", "evaluate it again"
        )
    hint = f"any stage with --run {folder} --recipe NAME writes it again"
    run_file = read_document(folder / RunFile.file, RunFile, hint)
    recipe, scale = (Path(run_file.recipe).stem, run_file.scale) if run_file else (folder.name, None)
    makers = lineage(stages, stage) or [one for one in stages.stages if one is stage or _makes_the_model(one)]
    settings: dict[str, Any] = {}
    for one in (one for one in makers if one.manifest):
        settings |= _flat(without_paths(one.manifest.settings), "" if one.round == 0 else f"{one.name}/")
    return Run(path, recipe, stage.name, seed(stages), settings, stage.result, stage.result.miou, scale)


def _makes_the_model(stage: Stage) -> bool:
    return stage.kind not in ("evaluate", "report", "stats", "data", "ensemble")


def _flat(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def compare(runs: Sequence[Run], oracle: Sequence[Run] = (), table: Published | None = None) -> list[Row]:
    """Lay runs out in rows, in the order of their first ones, the oracle last; the first row is what gains are over.

    The share of the gap closed is (row - first) / (oracle - first). Gains and shares are taken a seed at a time where
    the rows have the same seeds. Beside a table whose means are over fewer classes, runs are read by their mean over
    those. Raises UdasegError where runs score different classes.
    """
    if table is not None:
        runs, oracle = ([_read_by(run, table) for run in some] for some in (runs, oracle))
    everything = [*runs, *oracle]
    for run in everything[1:]:
        if run.metrics.classes != everything[0].metrics.classes:
            raise UdasegError(
                f"{run.path} scores {len(run.metrics.classes)} classes and {everything[0].path} "
                f"{len(everything[0].metrics.classes)}, or others",
                "compare runs of one class space",
            )
    rows, bounds = _rows(runs), _rows(oracle)
    if len(bounds) > 1:
        raise UdasegError(
            f"the runs given with --oracle are {len(bounds)} experiments: {', '.join(row.label for row in bounds)}",
            "give the seeds of one",
        )
    bound = bounds[0] if bounds else None
    measured = [_gains(row, rows[0], bound) for row in rows]
    if bound is not None:
        measured.append(_gains(bound, rows[0], None))
    return measured if table is None else _beside(measured, table)


def _read_by(run: Run, table: Published) -> Run:
    """Read a run by its mean over 16 or 13 classes where it scores more than the table's means are over."""
    miou = getattr(run.metrics, f"miou{table.mean_of}", None) if len(run.metrics.classes) > table.mean_of else None
    return run if miou is None else replace(run, miou=miou)


def _rows(runs: Sequence[Run]) -> list[Row]:
    groups: dict[tuple[str, str, int], list[Run]] = {}
    for run in runs:
        key = run.recipe, json.dumps(run.settings, sort_keys=True)
        # A second run at the same seed is no further seed: it gets a row of its own.
        again = 0
        while run.seed in [other.seed for other in groups.get((*key, again), ())]:
            again += 1
        groups.setdefault((*key, again), []).append(run)
    rows = []
    for (recipe, _, again), group in groups.items():
        others = [one[0] for key, one in groups.items() if key[0] == recipe and one is not group]
        label = recipe if not others else _told_apart(group[0], next(iter(groups.values()))[0], others, again)
        ious = zip(*(run.metrics.iou for run in group), strict=True)
        iou = tuple(None if None in values else _spread(values) for values in ious)
        of_13 = [run.metrics.miou13 for run in group]
        miou13 = None if None in of_13 else _spread(of_13)
        rows.append(Row(label, recipe, tuple(group), _spread([run.miou for run in group]), iou, miou13))
    return rows


def _told_apart(run: Run, first: Run, others: Sequence[Run], again: int) -> str:
    """Name a run by its evaluation where others are of another, else by what it is set to where another of its recipe
    is not; by its path where nothing differs."""
    if all(one.evaluation != run.evaluation for one in others):
        return f"{run.recipe}, {run.evaluation}"
    differing = [
        [key for key in sorted({*run.settings, *one.settings}) if run.settings.get(key) != one.settings.get(key)]
        for one in others
    ]
    keys = sorted({key for some in differing for key in some})
    if not keys or again:
        return str(run.path)
    # Those that tell it from every other, and where there is room the first of the rest.
    needed: list[str] = []
    for some in differing:
        if some and not set(some) & set(needed):
            needed.append(some[0])
    shown = sorted([*needed, *[key for key in keys if key not in needed][: max(0, 3 - len(needed))]])
    told = ", ".join(f"{key}={json.dumps(run.settings.get(key))}" for key in shown)
    return f"{run.recipe} ({told}{', ...' if len(keys) > len(shown) else ''})"


def _spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def _gains(row: Row, first: Row, bound: Row | None) -> Row:
    if row is first:
        return row
    delta = _together(lambda own, base: own - base, row, first)
    gap = None
    if bound is not None:
        gap = _together(
            lambda own, base, best: (own - base) / (best - base) if best > base else None, row, first, bound
        )
    return replace(row, delta=delta, gap_closed=gap)


def _together(number: Callable[..., float | None], *rows: Row) -> Spread | None:
    """Work a number out a seed at a time where all rows have the same seeds, else once, from their means."""
    scores = [{run.seed: run.miou for run in row.runs} for row in rows]
    if all(one.keys() == scores[0].keys() for one in scores):
        values = [number(*(one[key] for one in scores)) for key in scores[0]]
        return None if None in values else _spread(values)
    value = number(*(row.miou.mean for row in rows))
    return None if value is None else Spread(value, None)


def _beside(rows: list[Row], table: Published) -> list[Row]:
    """Put what was printed beside the rows of the same recipe; such a row goes by its printed name."""
    printed = {row.recipe: row for row in table.rows if row.recipe is not None}
    named = []
    for row in rows:
        found = printed.get(row.recipe)
        label = row.label.replace(row.recipe, found.method, 1) if found else row.label
        named.append(replace(row, label=label, printed=found))
    return named


def comparison_warnings(rows: Sequence[Row], table: Published | None = None) -> list[str]:
    """Return a warning for each reason why the rows cannot be compared number by number."""
    found = []
    runs = [run for row in rows for run in row.runs]
    for key, what in (("images", "numbers of images"), ("convention", "conventions")):
        values = dict.fromkeys(str(getattr(run.metrics, key)) for run in runs)
        if len(values) > 1:
            found.append(f"the runs are scored on different {what}: {'; '.join(values)}")
    seeds = dict.fromkeys(tuple(sorted(str(run.seed) for run in row.runs)) for row in rows)
    if len(seeds) > 1:
        found.append(
            "not all rows have the same seeds: between those that have not, gains are differences of means, without a "
            "deviation"
        )
    if table is None or not runs:
        return found
    count = len(runs[0].metrics.classes)
    if any(run.miou != run.metrics.miou for run in runs):
        found.append(f"the runs score {count} classes; their mIoU here is that of the {table.mean_of} of the table")
    elif count != table.mean_of:
        found.append(f"the runs score {count} classes, the published means are over {table.mean_of}")
    if any(run.scale == "toy" for run in runs):
        found.append("runs at toy scale are of small networks and few small images, what is published is not")
    return found
