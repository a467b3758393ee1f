"""The numbers of the report: scores, gains, the closed gap, confusions, shares, and the spread over seeds."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from udaseg.errors import UdasegError
from udaseg.io.documents.results import Metrics
from udaseg.report.collect import ROLES, TRAINING, RunData, Stage


@dataclass(frozen=True)
class Score:
    """A quantity for the three models, as fractions from 0 to 1; None where it is not known."""

    name: str
    source: float | None
    adapted: float | None
    oracle: float | None
    truth: float | None = None  # share of the labelled pixels that belong to the class

    @property
    def delta(self) -> float | None:
        return None if self.source is None or self.adapted is None else self.adapted - self.source

    @property
    def gap_closed(self) -> float | None:
        """Return (adapted - source-only) / (oracle - source-only); None where the oracle is not better."""
        if self.delta is None or self.oracle is None or self.oracle <= self.source:
            return None
        return self.delta / (self.oracle - self.source)


def evaluations(run: RunData) -> dict[str, Metrics]:
    """Return the metrics by role: source-only, adapted (of the last round) and oracle, where they are evaluated.

    Raises UdasegError where they score different classes: their differences would mean nothing.
    """
    stages = {role: run.evaluation(role) for role in ROLES}
    metrics = {role: stage.result for role, stage in stages.items() if stage}
    classes = {tuple(result.classes) for result in metrics.values()}
    if len(classes) > 1:
        raise UdasegError(
            f"the evaluations of {run.path} score different classes: "
            + "; ".join(f"{stages[role].name} has {len(result.classes)}" for role, result in metrics.items()),
            "evaluate the models with one recipe",
        )
    return metrics


def class_scores(metrics: dict[str, Metrics]) -> list[Score]:
    """Return the IoU of every class for the three models, in the order of the class space."""
    first = next(iter(metrics.values()))
    pixels = [sum(row) for row in first.confusion]
    total = sum(pixels) or 1
    return [
        Score(name, *(metrics[role].iou[c] if role in metrics else None for role in ROLES), truth=pixels[c] / total)
        for c, name in enumerate(first.classes)
    ]


def mean_scores(metrics: dict[str, Metrics]) -> list[Score]:
    """Return the means (mIoU first) and the pixel accuracy for the three models."""
    named = {"miou": "mIoU", "miou16": "mIoU, 16 classes", "miou13": "mIoU, 13 classes"}
    scores = [
        Score(name, *(getattr(metrics[role], key) if role in metrics else None for role in ROLES))
        for key, name in {**named, "pixel_accuracy": "pixel accuracy"}.items()
    ]
    return [scores[0], *(s for s in scores[1:] if (s.source, s.adapted, s.oracle) != (None, None, None))]


def confusion_shares(metrics: Metrics) -> list[list[float | None]]:
    """Divide each row of the confusion matrix (a true class) by its pixels; None where the class is absent."""
    totals = [sum(row) for row in metrics.confusion]
    return [[n / total if total else None for n in row] for row, total in zip(metrics.confusion, totals, strict=True)]


def largest_confusions(metrics: Metrics, count: int) -> list[tuple[str, str, float]]:
    """Return the largest shares of a true class that are predicted as another: (truth, prediction, share)."""
    names = metrics.classes
    wrong = [
        (names[t], names[p], share)
        for t, row in enumerate(confusion_shares(metrics))
        for p, share in enumerate(row)
        if share and t != p
    ]
    return sorted(wrong, key=lambda entry: -entry[2])[:count]


@dataclass(frozen=True)
class LabelRow:
    """The pixels of a class from prediction to training label, and their shares."""

    name: str
    threshold: float | None
    predicted: int | None
    kept: int | None
    minimum: int | None  # pixels of the smallest component that refinement keeps
    refined: int | None
    shares: tuple[float | None, float | None, float | None]  # of predictions, of pseudo-labels, after refinement


def label_rows(pseudo: Stage | None, refine: Stage | None) -> list[LabelRow]:
    """Return the thresholds and pixel counts of one round, a row for each class."""
    thresholds = pseudo.result if pseudo else None
    refinement = refine.result if refine else None
    if thresholds is None and refinement is None:
        return []
    names = (thresholds or refinement).classes
    if thresholds and refinement and thresholds.classes != refinement.classes:
        raise UdasegError(f"{pseudo.name} and {refine.name} have different classes", f"run {refine.name} again")
    empty = [None] * len(names)
    threshold, predicted = (thresholds.threshold, thresholds.predicted) if thresholds else (empty, empty)
    kept = thresholds.kept if thresholds else refinement.before
    minimum, refined = (refinement.minimum, refinement.after) if refinement else (empty, empty)
    shares = zip(*(_shares(values) for values in (predicted, kept, refined)), strict=True)
    return [LabelRow(*row) for row in zip(names, threshold, predicted, kept, minimum, refined, shares, strict=True)]


def spread(runs: Sequence[RunData]) -> list[dict[str, Any]]:
    """Return mean and standard deviation over the seeds of each group of runs.

    The deviation is that of a sample (n - 1). Groups of one run have no row; a mean that a run lacks is None.
    """
    rows = []
    for group in experiments(runs):
        scored = [metrics for run in group if {"source", "adapted"} & (metrics := evaluations(run)).keys()]
        means = [mean_scores(metrics)[0] for metrics in scored]
        if len(means) < 2:
            continue
        row: dict[str, Any] = {"names": [run.name for run in group], "count": len(means)}
        for key in ("source", "adapted", "delta", "oracle", "gap_closed"):
            row[key] = _over_seeds([getattr(score, key) for score in means])
        rows.append(row)
    return rows


def experiments(runs: Sequence[RunData]) -> list[list[RunData]]:
    """Group runs that differ in nothing but their seed; a second run at the same seed makes a group of its own."""
    groups: dict[tuple[str, int], list[RunData]] = {}
    for run in runs:
        settings, again = _settings(run), 0
        while seed(run) in [seed(other) for other in groups.get((settings, again), ())]:
            again += 1
        groups.setdefault((settings, again), []).append(run)
    return list(groups.values())


def classes_over_seeds(group: Sequence[RunData]) -> list[tuple[float, float] | None] | None:
    """Return mean and deviation of each class's IoU, for the last models of runs; None where a run has no scores."""
    lists = [class_scores(metrics) if (metrics := evaluations(run)) else [] for run in group]
    if not all(lists):
        return None
    last = [[row.source if row.adapted is None else row.adapted for row in rows] for rows in lists]
    return [_over_seeds(values) for values in zip(*last, strict=True)]


def _over_seeds(values: Sequence[float | None]) -> tuple[float, float] | None:
    """Return mean and deviation; 0 for a single value, None where a value is missing."""
    if None in values:
        return None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def seed(run: RunData) -> int | None:
    """Return the seed of the run's training, None where it has none: other stages draw no random numbers."""
    return next((stage.manifest.seed for stage in run.stages if stage.manifest and stage.kind in TRAINING), None)


def lineage(run: RunData, stage: Stage) -> list[Stage]:
    """Return the stages of a run that a stage depends on, itself the last, by the paths of their inputs.

    Empty where no stage of the run trained the model: its origin is not known then.
    """
    stages, open_stages = [stage], [stage]
    while open_stages:
        for path in open_stages.pop().inputs.values():
            parts = PurePath(path).parts
            maker = next((one for one in run.stages if one.manifest and _is_inside(parts, one.name)), None)
            if maker is not None and maker not in stages:
                stages.append(maker)
                open_stages.append(maker)
    is_trained = any(one.kind in TRAINING for one in stages)
    return [one for one in run.stages if one in stages] if is_trained else []


def _is_inside(parts: tuple[str, ...], name: str) -> bool:
    """Tell whether a path is that of a stage, or of a file or folder in its directory."""
    stage = PurePath(name).parts
    return any(parts[len(parts) - less - len(stage) : len(parts) - less] == stage for less in range(2))


def _settings(run: RunData) -> str:
    # The lineage of the last scores makes the experiment; further stages and an upper bound change nothing.
    last = run.evaluation("adapted") or run.evaluation("source")
    stages = [] if last is None else lineage(run, last)
    stages = stages or [stage for stage in run.stages if stage.leaf != "evaluate-oracle"]
    settings = {stage.name: stage.manifest.settings for stage in stages if stage.manifest}
    return json.dumps(without_paths(settings), sort_keys=True)


def without_paths(value: Any) -> Any:
    """Drop seeds and paths from settings: they differ between runs of one experiment."""
    if isinstance(value, dict):
        inner = {key: without_paths(one) for key, one in value.items() if key != "seed"}
        return {key: one for key, one in inner.items() if not (isinstance(one, str) and "/" in one)}
    return value


def _shares(counts: Sequence[int | None]) -> list[float | None]:
    total = sum(count or 0 for count in counts)
    return [None if count is None or not total else count / total for count in counts]
