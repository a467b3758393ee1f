"""Runs that differ in their seed alone: which they are, and the mean and spread of their scores."""

import json
import statistics
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from udaseg.report.run_data import TRAINING, RunData, Stage
from udaseg.report.scores import class_scores, evaluations, mean_scores


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
