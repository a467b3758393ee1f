"""Self-training over its rounds: the threshold and the share of kept pixels of each class."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from udaseg.report.label_counts import LabelRow
from udaseg.report.svg import element, line, svg, text


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


def course(numbers: Sequence[int], series: Sequence[tuple[str, Sequence[float | None]]], label: str) -> Markup:
    """Draw fractions over the rounds as a small chart from 0 to 1; a value above 1 lies on its upper edge.

    `series` are pairs of a style class and one value a round, or None.
    """
    left, top, width, height = 3, 4, 94, 40
    across = [left + width * i / max(len(numbers) - 1, 1) for i in range(len(numbers))]
    shapes = [line(left, top + height * part, left + width, top + height * part, "grid") for part in (0, 0.5, 1)]
    shapes += [
        text(x, top + height + 11, number, anchor, "axis")
        for x, number, anchor in ((across[0], numbers[0], "start"), (across[-1], numbers[-1], "end"))
    ]
    for style, values in series:
        spots = [(x, top + height * (1 - min(y, 1.0))) for x, y in zip(across, values, strict=True) if y is not None]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        shapes.append(element("polyline", points=points, class_=f"curve {style}"))
        shapes += [element("circle", cx=x, cy=y, r=2, class_=f"spot {style}") for x, y in spots]
    return svg(100, top + height + 14, label, *shapes)
