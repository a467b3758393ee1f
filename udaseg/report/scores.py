"""The numbers of the report: scores, gains, the closed gap, confusions, shares, and the spread over seeds."""

from dataclasses import dataclass

from udaseg.errors import UdasegError
from udaseg.io.documents.metrics import Metrics
from udaseg.report.run_data import ROLES, RunData


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
