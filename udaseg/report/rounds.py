"""Self-training over its rounds: what became of each class's threshold and of the share that was kept."""

from collections.abc import Sequence
from typing import Any

from udaseg.report.curves import course
from udaseg.report.scores import LabelRow


def across(labelling: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Set thresholds and kept shares side by side, a row a class, a column a round.

    `labelling` holds `round` and `rows` of each round. None where fewer than two rounds chose labels, or where their
    classes differ.
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
