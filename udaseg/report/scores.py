"""The numbers of the report: scores, gains, the gap, confusions, shares, and the spread over seeds."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from udaseg.errors import UdasegError
from udaseg.report.collect import ROLES, TRAINING, RunData, Stage


@dataclass(frozen=True)
class Score:
    """One quantity under the three models, as fractions from 0 to 1; None where there is no such number."""

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
        """Return (adapted - source-only) / (oracle - source-only), where the oracle is the better one."""
        if self.delta is None or self.oracle is None or self.oracle <= self.source:
            return None
        return self.delta / (self.oracle - self.source)


def evaluations(run: RunData) -> dict[str, dict[str, Any]]:
    """Return the results of source-only, adapted (of the last round) and oracle, as far as they are there.

    Raises UdasegError where they score different classes, since no difference between them would mean anything.
    """
    stages = {role: run.evaluation(role) for role in ROLES}
    found = {role: stage.result for role, stage in stages.items() if stage}
    classes = {tuple(result["classes"]) for result in found.values()}
    if len(classes) > 1:
        raise UdasegError(
            f"the evaluations of {run.path} score different classes: "
            + "; ".join(f"{stages[role].name} has {len(result['classes'])}" for role, result in found.items()),
            "evaluate the models with one recipe",
        )
    return found


def class_scores(found: dict[str, dict[str, Any]]) -> list[Score]:
    """Return the IoU of every class under the three models, in the order of the class space."""
    any_result = next(iter(found.values()))
    pixels = [sum(row) for row in any_result["confusion"]]
    total = sum(pixels) or 1
    return [
        Score(name, *(found[role]["iou"][c] if role in found else None for role in ROLES), truth=pixels[c] / total)
        for c, name in enumerate(any_result["classes"])
    ]


def mean_scores(found: dict[str, dict[str, Any]]) -> list[Score]:
    """Return the means (mIoU first) and the pixel accuracy under the three models."""
    named = {"miou": "mIoU", "miou16": "mIoU, 16 classes", "miou13": "mIoU, 13 classes"}
    scores = [
        Score(name, *(found[role].get(key) if role in found else None for role in ROLES))
        for key, name in {**named, "pixel_accuracy": "pixel accuracy"}.items()
    ]
    return [scores[0], *(s for s in scores[1:] if (s.source, s.adapted, s.oracle) != (None, None, None))]


def confusion_shares(result: dict[str, Any]) -> list[list[float | None]]:
    """Divide each row of the confusion matrix (the truth) by its pixels; None where the class is absent."""
    totals = [sum(row) for row in result["confusion"]]
    return [[n / total if total else None for n in row] for row, total in zip(result["confusion"], totals, strict=True)]


def largest_confusions(result: dict[str, Any], count: int) -> list[tuple[str, str, float]]:
    """Return the largest shares of a true class that another class takes: (truth, prediction, share)."""
    names = result["classes"]
    wrong = [
        (names[t], names[p], share)
        for t, row in enumerate(confusion_shares(result))
        for p, share in enumerate(row)
        if share and t != p
    ]
    return sorted(wrong, key=lambda entry: -entry[2])[:count]


@dataclass(frozen=True)
class LabelRow:
    """One class on its way from prediction to training label: pixels, and the shares made of them."""

    name: str
    threshold: float | None
    predicted: int | None
    kept: int | None
    minimum: int | None  # pixels a component needs to pass aggregation
    refined: int | None
    shares: tuple[float | None, float | None, float | None]  # of predictions, of pseudo-labels, after refinement


def label_rows(pseudo: Stage | None, refine: Stage | None) -> list[LabelRow]:
    """Set thresholds and pixel counts of one round side by side, a row for each class."""
    chosen = pseudo.result if pseudo else None
    after = refine.result if refine else None
    if chosen is None and after is None:
        return []
    names = (chosen or after)["classes"]
    if chosen and after and chosen["classes"] != after["classes"]:
        raise UdasegError(f"{pseudo.name} and {refine.name} have different classes", f"run {refine.name} again")
    empty = [None] * len(names)
    threshold = chosen["threshold"] if chosen else empty
    predicted = chosen["predicted"] if chosen else empty
    kept = chosen["kept"] if chosen else after["before"]
    minimum, refined = (after["minimum"], after["after"]) if after else (empty, empty)
    shares = zip(*(_shares(values) for values in (predicted, kept, refined)), strict=True)
    return [LabelRow(*row) for row in zip(names, threshold, predicted, kept, minimum, refined, shares, strict=True)]


def spread(runs: Sequence[RunData]) -> list[dict[str, Any]]:
    """Give mean and standard deviation over the seeds of each group of runs.

    The deviation is that of a sample (n - 1). Groups of one are left out, and a mean that not all of a group have.
    """
    rows = []
    for group in experiments(runs):
        means = [mean_scores(found)[0] for run in group if {"source", "adapted"} & (found := evaluations(run)).keys()]
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
    """Give mean and deviation of each class's IoU, of the models that runs came to; None where one has no scores."""
    lists = [class_scores(found) if (found := evaluations(run)) else [] for run in group]
    if not all(lists):
        return None
    last = [[row.source if row.adapted is None else row.adapted for row in rows] for rows in lists]
    return [_over_seeds(values) for values in zip(*last, strict=True)]


def _over_seeds(values: Sequence[float | None]) -> tuple[float, float] | None:
    """Give mean and deviation, 0 of a single value; None where a value is missing."""
    if None in values:
        return None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def seed(run: RunData) -> Any:
    """Return the seed of the run's training, None before there was any: other stages draw nothing."""
    return next((stage.manifest.get("seed") for stage in run.stages if stage.manifest and stage.kind in TRAINING), None)


def lineage(run: RunData, stage: Stage) -> list[Stage]:
    """Find the stages of a run that went into a stage, itself the last, by the paths of their inputs.

    Empty where the model is not the run's own: what made it is not known then.
    """
    found, todo = [stage], [stage]
    while todo:
        for given in (todo.pop().manifest.get("inputs") or {}).values():
            parts = PurePath(str(given.get("path"))).parts
            maker = next((one for one in run.stages if one.manifest and _within(parts, one.name)), None)
            if maker is not None and maker not in found:
                found.append(maker)
                todo.append(maker)
    trained = any(one.kind in TRAINING for one in found)
    return [one for one in run.stages if one in found] if trained else []


def _within(parts: tuple[str, ...], name: str) -> bool:
    """Tell whether a path, as it was when the stage ran, is that of a stage, of a file in it or of its labels."""
    own = PurePath(name).parts
    return any(parts[len(parts) - less - len(own) : len(parts) - less] == own for less in range(2))


def _settings(run: RunData) -> str:
    # What went into the last scores makes the experiment; a stage beside that, or an upper bound, changes nothing.
    last = run.evaluation("adapted") or run.evaluation("source")
    own = [] if last is None else lineage(run, last)
    done = own or [stage for stage in run.stages if stage.leaf != "evaluate-oracle"]
    settings = {stage.name: stage.manifest.get("settings") for stage in done if stage.manifest}
    return json.dumps(without_places(settings), sort_keys=True)


def without_places(value: Any) -> Any:
    """Drop seeds and paths: they differ between runs of one experiment."""
    if isinstance(value, dict):
        kept = {key: without_places(inner) for key, inner in value.items() if key != "seed"}
        return {key: inner for key, inner in kept.items() if not (isinstance(inner, str) and "/" in inner)}
    return value


def _shares(counts: Sequence[int | None]) -> list[float | None]:
    total = sum(count or 0 for count in counts)
    return [None if count is None or not total else count / total for count in counts]
