"""Compare runs: means and spreads over seeds, gains over the first row, and published numbers."""

import json
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from udaseg.errors import UdasegError
from udaseg.io.documents.metrics import Metrics
from udaseg.io.documents.read import read_document
from udaseg.io.documents.run_file import RunFile
from udaseg.report.networks import Network, is_printed, read_network
from udaseg.report.published import Published, PublishedRow
from udaseg.report.run_data import TRAINING, Stage, last_evaluation
from udaseg.report.seeds import lineage, seed, without_paths


class Spread(NamedTuple):
    """The mean of a number over seeds and its standard deviation, that of a sample; None for one seed."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Run:
    """The result of a run: its recipe, seed, settings that make the experiment, and last scores."""

    path: Path
    recipe: str
    evaluation: str  # the stage: evaluate, evaluate-warmup
    seed: int | None
    settings: dict[str, Any]  # by dotted key
    metrics: Metrics
    miou: float  # the mean that the comparison uses
    scale: str | None = None  # full or toy
    network: Network | None = None  # that of the last training; None where it is not known


@dataclass(frozen=True)
class Row:
    """Runs that differ in their seed alone. Scores are fractions; gains are over the first row."""

    label: str
    recipe: str
    runs: tuple[Run, ...]
    miou: Spread
    iou: tuple[Spread | None, ...]  # by class; None for a class that a run lacks
    miou13: Spread | None = None  # None in a class space without these 13
    accuracy: Spread | None = None  # of pixels
    delta: Spread | None = None
    gap_closed: Spread | None = None
    printed: PublishedRow | None = None

    @property
    def network(self) -> Network | None:
        """The network of the row's runs, which is a setting and so the same in all."""
        return self.runs[0].network

    @property
    def has_printed_network(self) -> bool:
        """Whether the network is that of the published row, or the row prints none."""
        printed = self.printed.network if self.printed else None
        return printed is None or (self.network is not None and is_printed(self.network, printed))


def read_run(path: Path) -> Run:
    """Read a run directory, or one evaluation in it. Raises UdasegError where there is no finished evaluation."""
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
    trainings = [one.manifest.settings for one in makers if one.manifest and one.kind in TRAINING]
    network = next(filter(None, map(read_network, reversed(trainings))), None)
    return Run(path, recipe, stage.name, seed(stages), settings, stage.result, stage.result.miou, scale, network)


def _makes_the_model(stage: Stage) -> bool:
    return stage.kind not in ("evaluate", "report", "stats", "data", "ensemble")


def _flat(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def compare(runs: Sequence[Run], oracle: Sequence[Run] = (), table: Published | None = None) -> list[Row]:
    """Group runs into rows, in the order of their first runs, the oracle last; gains are over the first row.

    The share of the closed gap is (row - first) / (oracle - first). Gains and shares are computed seed by seed where
    the rows have the same seeds. Beside a table whose means are over 16 or 13 classes, runs are compared by their mean
    over these. Raises UdasegError where runs score different classes.
    """
    if table is not None:
        runs, oracle = ([_with_mean_of(run, table) for run in group] for group in (runs, oracle))
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
    return measured if table is None else _with_published(measured, table)


def _with_mean_of(run: Run, table: Published) -> Run:
    """Return a run with its mean over the 16 or 13 classes of the table, where it scores more classes."""
    miou = getattr(run.metrics, f"miou{table.mean_of}", None) if len(run.metrics.classes) > table.mean_of else None
    return run if miou is None else replace(run, miou=miou)


def _rows(runs: Sequence[Run]) -> list[Row]:
    groups: dict[tuple[str, str, int], list[Run]] = {}
    for run in runs:
        key = run.recipe, json.dumps(run.settings, sort_keys=True)
        # A second run with the same seed is no further seed: it gets another row.
        again = 0
        while run.seed in [other.seed for other in groups.get((*key, again), ())]:
            again += 1
        groups.setdefault((*key, again), []).append(run)
    rows = []
    for (recipe, _, again), group in groups.items():
        others = [one[0] for key, one in groups.items() if key[0] == recipe and one is not group]
        label = recipe if not others else _label(group[0], next(iter(groups.values()))[0], others, again)
        ious = zip(*(run.metrics.iou for run in group), strict=True)
        iou = tuple(None if None in values else over_seeds(values) for values in ious)
        of_13 = [run.metrics.miou13 for run in group]
        miou13 = None if None in of_13 else over_seeds(of_13)
        accuracy = over_seeds([run.metrics.pixel_accuracy for run in group])  # there is one where there is a mean
        rows.append(Row(label, recipe, tuple(group), over_seeds([run.miou for run in group]), iou, miou13, accuracy))
    return rows


def _label(run: Run, first: Run, others: Sequence[Run], again: int) -> str:
    """Return a label that distinguishes a run from others of its recipe.

    It is the evaluation where that differs from all others, else the settings that differ, else the path.
    """
    if all(one.evaluation != run.evaluation for one in others):
        return f"{run.recipe}, {run.evaluation}"
    differing = [
        [key for key in sorted({*run.settings, *one.settings}) if run.settings.get(key) != one.settings.get(key)]
        for one in others
    ]
    keys = sorted({key for some in differing for key in some})
    if not keys or again:
        return str(run.path)
    # The settings that distinguish it from every other run, and up to three settings in all.
    needed: list[str] = []
    for some in differing:
        if some and not set(some) & set(needed):
            needed.append(some[0])
    listed = sorted([*needed, *[key for key in keys if key not in needed][: max(0, 3 - len(needed))]])
    values = ", ".join(f"{key}={json.dumps(run.settings.get(key))}" for key in listed)
    return f"{run.recipe} ({values}{', ...' if len(keys) > len(listed) else ''})"


def over_seeds(values: Sequence[float]) -> Spread:
    """Return the mean and the standard deviation of a sample; a single value has no deviation."""
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def _gains(row: Row, first: Row, bound: Row | None) -> Row:
    if row is first:
        return row
    delta = _seed_by_seed(lambda score, base: score - base, row, first)
    gap = None
    if bound is not None:
        gap = _seed_by_seed(
            lambda score, base, best: (score - base) / (best - base) if best > base else None, row, first, bound
        )
    return replace(row, delta=delta, gap_closed=gap)


def _seed_by_seed(number: Callable[..., float | None], *rows: Row) -> Spread | None:
    """Compute a number for each seed where all rows have the same seeds, else once, from their means."""
    scores = [{run.seed: run.miou for run in row.runs} for row in rows]
    if all(one.keys() == scores[0].keys() for one in scores):
        values = [number(*(one[key] for one in scores)) for key in scores[0]]
        return None if None in values else over_seeds(values)
    value = number(*(row.miou.mean for row in rows))
    return None if value is None else Spread(value, None)


def _with_published(rows: list[Row], table: Published) -> list[Row]:
    """Add published rows to the rows of their recipes.

    A row takes the printed name where it has the printed network. Else it keeps its own, and says what is beside it.
    Settings stay in the name where several rows are beside one.
    """
    matched = [replace(row, printed=_printed_row(row.runs[0], table)) for row in rows]
    beside = Counter(row.printed.method for row in matched if row.printed is not None)
    return [row if row.printed is None else replace(row, label=_label_beside(row, beside)) for row in matched]


def _label_beside(row: Row, beside: Counter[str]) -> str:
    name = row.printed.method
    own = row.recipe if beside[name] == 1 else row.label
    return own.replace(row.recipe, name, 1) if row.has_printed_network else f"{own} beside {name}"


def _printed_row(run: Run, table: Published) -> PublishedRow | None:
    """Return the published row of a run: of those of its recipe that it fulfils, the one that says most."""
    fulfilled = [
        row
        for row in table.rows
        if run.recipe in row.recipes
        and row.evaluation in (None, run.evaluation)
        and all(_is_set(run, key, value) for key, value in row.settings.items())
    ]
    return max(fulfilled, key=lambda row: len(row.settings) + (row.evaluation is not None), default=None)


def _is_set(run: Run, key: str, expected: Any) -> bool:
    """Tell whether all stages of a run that read a setting have this value for it; None also where none reads it."""
    values = [value for name, value in run.settings.items() if name.rpartition("/")[2] == key]
    return all(value == expected for value in values) if values else expected is None


def network_warnings(rows: Sequence[Row]) -> list[str]:
    """Return a line for each row whose runs have another network than the published row beside them."""
    return [
        f"{row.label}: the run is {row.network or 'an unknown network'}, the published network is {row.printed.network}"
        for row in rows
        if not row.has_printed_network
    ]


def comparison_warnings(rows: Sequence[Row], table: Published | None = None) -> list[str]:
    """Return a warning for each reason why the rows cannot be compared number by number."""
    warnings = []
    runs = [run for row in rows for run in row.runs]
    for key, words in (("images", "numbers of images"), ("convention", "conventions")):
        values = dict.fromkeys(str(getattr(run.metrics, key)) for run in runs)
        if len(values) > 1:
            warnings.append(f"the runs are scored on different {words}: {'; '.join(values)}")
    seeds = dict.fromkeys(tuple(sorted(str(run.seed) for run in row.runs)) for row in rows)
    if len(seeds) > 1:
        warnings.append(
            "not all rows have the same seeds: between those that do not, gains are differences of means, without a "
            "deviation"
        )
    if table is None or not runs:
        return warnings
    count = len(runs[0].metrics.classes)
    if any(run.miou != run.metrics.miou for run in runs):
        warnings.append(f"the runs score {count} classes; their mIoU here is that of the {table.mean_of} of the table")
    elif count != table.mean_of:
        warnings.append(f"the runs score {count} classes, the published means are over {table.mean_of}")
    full = [run for run in runs if run.scale != "toy"]
    if table.gt_size and any(run.metrics.gt_size != list(table.gt_size) for run in full):
        size = f"{table.gt_size[0]}x{table.gt_size[1]}"
        warnings.append(
            f"the published scores are of labels resized to {size}, those of some runs are not: `udaseg evaluate "
            f"--gt-size {size}` makes them so"
        )
    elif not table.gt_size and any(run.metrics.gt_size for run in full):
        warnings.append("some runs score resized labels, the published scores do not, as far as is known")
    if any(run.scale == "toy" for run in runs):
        warnings.append("runs at toy scale use small networks and few small images; published results do not")
    return warnings
