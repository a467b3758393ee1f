"""Self-training over its rounds: the threshold and the share of kept pixels of each class."""

from collections.abc import Sequence
from typing import Any

from udaseg.report.label_counts import LabelRow
from udaseg.report.svg import course


def across(labelling: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return thresholds and kept shares by class and round.

    `labelling` has `round` and `rows` of each round. None for fewer than two rounds, or where their classes differ.
    """
    parts = [part for part in labelling if part["pseudo"]]
    names = [[row.name for row in part["rows"]] for part in parts]
    if len(parts) < 2 or any(one != names[0] for one in names):
        return None
    numbers = [part["round"] for part in parts]
    courses = [_course(numbers, rows) for rows in zip(*(part["rows"] for part in parts), strict=True)]
    return {"numbers": numbers, "classes": courses}


def _course(numbers: Sequence[int], rows: Sequence[LabelRow]) -> dict[str, Any]:
    thresholds = [row.threshold for row in rows]
    kept = [row.kept / row.predicted if row.predicted and row.kept is not None else None for row in rows]
    label = f"threshold and kept share of {rows[0].name} over the rounds"
    return {
        "name": rows[0].name,
        "thresholds": thresholds,
        "kept": kept,
        "without": [number for number, row in zip(numbers, rows, strict=True) if row.kept == 0],
        "chart": course(numbers, [("s0", thresholds), ("s1", kept)], label),
    }
