"""Thresholds, counts and shares of pseudo-labels by class, from prediction to training label."""

from collections.abc import Sequence
from dataclasses import dataclass

from udaseg.errors import UdasegError
from udaseg.report.run_data import Stage


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


def _shares(counts: Sequence[int | None]) -> list[float | None]:
    total = sum(count or 0 for count in counts)
    return [None if count is None or not total else count / total for count in counts]
