"""The errors of estimated depth: of a run, and beside published ones."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from udaseg.io.documents.metrics import Metrics
from udaseg.metrics import DEPTH_ERRORS
from udaseg.report.compare import Row
from udaseg.report.published import Published

LABELS = dict(zip(DEPTH_ERRORS, ("Rel", "Rel²", "RMS, m", "LRMS", "δ1, %", "δ2, %", "δ3, %"), strict=True))


def depth_errors(evaluations: Mapping[str, Metrics]) -> dict[str, Any] | None:
    """Return a table of the depth errors, with a column for each role that was scored on depth; None without any."""
    scored = {role: result.depth for role, result in evaluations.items() if result.depth}
    if not scored:
        return None
    rows = [
        (label, [_format(name, getattr(depth, name)) for depth in scored.values()]) for name, label in LABELS.items()
    ]
    return {"roles": list(scored), "rows": rows, "convention": next(iter(scored.values())).convention}


def depth_notes(rows: Sequence[Row], table: Published | None) -> list[str]:
    """Return a line for each published row with depth errors: these, and those measured in the runs beside it."""
    measured = {row.printed.method: measured_depth(row) for row in rows if row.printed is not None}
    notes = []
    for printed in table.rows if table else ():
        if not printed.depth:
            continue
        own = measured.get(printed.method, {})
        errors = [
            f"{label} {_format(name, printed.depth[name])}" + (f" (here {_format(name, own[name])})" if own else "")
            for name, label in LABELS.items()
        ]
        notes.append(f"depth errors of {printed.method}: {'; '.join(errors)}")
    return notes


def measured_depth(row: Row) -> dict[str, float]:
    """Return the mean of each depth error over the seeds of a row, by name; none where a run lacks one."""
    runs = [run.metrics.depth for run in row.runs]
    values = {name: [depth and getattr(depth, name) for depth in runs] for name in LABELS}
    if any(None in errors for errors in values.values()):
        return {}
    return {name: statistics.fmean(errors) for name, errors in values.items()}


def _format(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if name.startswith("delta") else f"{value:.2f}"
