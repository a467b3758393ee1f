"""The errors of estimated depth: of a run, and beside published ones."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from udaseg.io.documents.metrics import Metrics
from udaseg.metrics import DEPTH_ERRORS
from udaseg.report.compare import Row

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


def depth_notes(rows: Sequence[Row]) -> list[str]:
    """Return a line for each row whose published row has depth errors: the measured and the published ones."""
    notes = []
    for row in rows:
        if row.printed is None or not row.printed.depth:
            continue
        measured = measured_depth(row)
        pairs = [
            f"{label} {_format(name, measured.get(name))} ({_format(name, row.printed.depth.get(name))})"
            for name, label in LABELS.items()
        ]
        notes.append(f"depth errors of {row.label}, in brackets the published ones: {'; '.join(pairs)}")
    return notes


def measured_depth(row: Row) -> dict[str, float]:
    """Return the mean of each depth error over the seeds of a row, by name; of those that all runs have."""
    runs = [run.metrics.depth for run in row.runs]
    values = {name: [depth and getattr(depth, name) for depth in runs] for name in LABELS}
    return {name: statistics.fmean(errors) for name, errors in values.items() if None not in errors}


def _format(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if name.startswith("delta") else f"{value:.2f}"
