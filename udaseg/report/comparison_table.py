"""The rows of a comparison as text: for a terminal, Markdown, LaTeX, CSV and JSON."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from udaseg.pipeline.format import DASH, percent, points
from udaseg.report.compare import Row, Spread
from udaseg.report.published import Published, PublishedRow

MARK = "*"  # on a published mean that is not the mean of its classes
MEANS = {"miou": "mIoU", "miou13": "mIoU of 13"}
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": r"$-$", "Δ": r"$\Delta$", "–": "--",
}  # fmt: skip


@dataclass(frozen=True)
class TextTable:
    """A table of text: the first column is left-aligned, the others right-aligned; notes are below."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def summary(rows: Sequence[Row], table: Published | None, notes: Sequence[str]) -> TextTable:
    """Return the means of all rows, beside published ones where there is a table; rows without runs are last."""
    marks = _Marks(table)
    printed = table.rows if table else ()
    base = rows[0].printed if rows else None  # published gains are over the same row as the measured ones
    of_13 = any(one.miou13 is not None for one in printed)
    has_accuracy = any(one.accuracy is not None for one in printed)
    columns = {
        "seeds": any(len(row.runs) > 1 for row in rows),
        "accuracy": has_accuracy and bool(rows),
        "mIoU": bool(rows),
        "mIoU of 13": of_13 and any(row.miou13 for row in rows),
        "Δ": any(row.delta for row in rows),
        "gap closed": any(row.gap_closed for row in rows),
        "published accuracy": has_accuracy,
        "published": table is not None,
        "published Δ": base is not None and base.miou is not None and len(printed) > 1 and len(rows) > 1,
        "published, of 13": of_13,
        "network": any(one.network for one in printed),
    }

    def published_cells(row: PublishedRow | None) -> tuple[str, ...]:
        has_gain = row is not None and row is not base and columns["published Δ"] and row.miou is not None
        gain = points(row.miou - base.miou) if has_gain else DASH
        accuracy = DASH if row is None else percent(row.accuracy)
        return accuracy, marks.mean(row, "miou"), gain, marks.mean(row, "miou13")

    lines = []
    for row in rows:
        means = spread(row.accuracy), spread(row.miou), spread(row.miou13)
        cells = (str(len(row.runs)), *means, spread(row.delta, points), spread(row.gap_closed))
        lines.append((row.label, *cells, *published_cells(row.printed), str(row.network or DASH)))
    run = {id(row.printed) for row in rows}
    without_run = [one for one in printed if id(one) not in run]
    lines += [(one.method, *[DASH] * 6, *published_cells(one), one.network or DASH) for one in without_run]
    is_used = [True, *columns.values()]
    cells = tuple(tuple(cell for cell, use in zip(line, is_used, strict=True) if use) for line in lines)
    header = ("method", *(name for name, use in columns.items() if use))
    source = [f"published: {table.title}. {table.source}"] if table else []
    if table and table.gt_size:
        source[0] += f"; its code resizes labels to {table.gt_size[0]}x{table.gt_size[1]} before it counts"
    return TextTable("mIoU in %", header, cells, (*source, *notes, *marks.notes))


def by_class(rows: Sequence[Row], table: Published | None, notes: Sequence[str]) -> TextTable:
    """Return the IoU of every class, a column for each row and its published row; without rows, the published table."""
    marks = _Marks(table)
    classes = rows[0].runs[0].metrics.classes if rows else table.classes

    def published_cells(row: PublishedRow) -> list[str]:
        iou = dict(zip(table.classes, row.iou, strict=False))
        return [*(percent(iou.get(name)) for name in classes), marks.mean(row, "miou")]

    columns = [] if rows else [(row.method, published_cells(row)) for row in table.rows]
    for row in rows:
        columns.append((row.label, [*map(spread, row.iou), spread(row.miou)]))
        if row.printed is not None:
            columns.append((f"{row.label}, published", published_cells(row.printed)))
    lines = zip(*(cells for _, cells in columns), strict=True)
    lines = tuple((name, *line) for name, line in zip((*classes, "mean"), lines, strict=True))
    return TextTable("IoU in %", ("class", *(heading for heading, _ in columns)), lines, (*notes, *marks.notes))


class _Marks:
    """Format published means, and collect notes on those that are not the mean of their classes."""

    def __init__(self, table: Published | None):
        self._table, self.notes = table, []

    def mean(self, row: PublishedRow | None, field: str) -> str:
        if row is None:
            return DASH
        wrong = self._table.wrong_means(row).get(field)
        if wrong is not None:
            printed, mean = wrong
            self.notes.append(
                f"{MARK} {row.method}: printed {MEANS[field]} {percent(printed)}, the mean of its printed classes is "
                f"{percent(mean, 2)}"
            )
        return percent(getattr(row, field)) + (MARK if wrong else "")


def spread(value: Spread | None, number=percent) -> str:
    """Format a mean with its deviation."""
    if value is None:
        return DASH
    return number(value.mean) + (f" ± {percent(value.deviation)}" if value.deviation is not None else "")


def markdown(table: TextTable) -> str:
    """Return a table as Markdown, with its notes below."""
    rows = [table.header, ("---", *["---:"] * (len(table.header) - 1)), *table.rows]
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    notes = [f"\n{note.replace(MARK, chr(92) + MARK)}" for note in table.notes]
    return "\n".join([*lines, *notes])


def latex(table: TextTable) -> str:
    """Return a table as a LaTeX tabular with the rules of booktabs; notes are comments."""
    lines = [" & ".join(_escape(cell) for cell in row) + r" \\" for row in (table.header, *table.rows)]
    begin = [rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}", r"\toprule", lines[0], r"\midrule"]
    notes = [f"% {note}" for note in (table.title, *table.notes)]
    return "\n".join([*notes, *begin, *lines[1:], r"\bottomrule", r"\end{tabular}"])


def _escape(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def comma_separated(rows: Sequence[Row], table: Published | None) -> str:
    """Return all numbers in percent as CSV, a line for each row, with a column for each class."""
    classes = rows[0].runs[0].metrics.classes if rows else table.classes
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["method", "recipe", "seeds", "accuracy", "accuracy_sd", "miou", "miou_sd", "miou13", "miou13_sd", "delta",
         "delta_sd", "gap_closed", "gap_closed_sd", "published_accuracy", "published", "published_mean_of_classes",
         "published_miou13", "published_miou13_mean_of_classes", "network", "published_network", *classes]
    )  # fmt: skip
    printed = {row.printed.method for row in rows if row.printed}
    for row in rows:
        spreads = row.accuracy, row.miou, row.miou13, row.delta, row.gap_closed
        numbers = [number for value in spreads for number in value or (None, None)]
        seeds = " ".join(str(run.seed) for run in row.runs)
        ious = [None if one is None else one.mean for one in row.iou]
        fields = [*numbers, *_published(row.printed, table)]
        networks = [row.network or "", (row.printed and row.printed.network) or ""]
        writer.writerow([row.label, row.recipe, seeds, *map(_figure, fields), *networks, *map(_figure, ious)])
    for one in table.rows if table else ():
        if one.method not in printed:
            ious = [None] * len(classes) if rows or not one.iou else one.iou
            fields = [*[None] * 10, *_published(one, table)]
            cells = [*map(_figure, fields), "", one.network or "", *map(_figure, ious)]
            writer.writerow([one.method, one.recipe or "", "", *cells])
    return out.getvalue().rstrip("\n")


def _published(row: PublishedRow | None, table: Published | None) -> list[float | None]:
    if row is None:
        return [None] * 5
    wrong = table.wrong_means(row)
    means = [number for field in MEANS for number in (getattr(row, field), wrong.get(field, (None, None))[1])]
    return [row.accuracy, *means]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def document(rows: Sequence[Row], table: Published | None, notes: Sequence[str]) -> dict[str, Any]:
    """Return everything as plain values for JSON, scores as fractions of 1."""
    measured = [
        {
            "method": row.label,
            "recipe": row.recipe,
            "network": row.network and row.network._asdict(),
            "runs": [{"path": str(run.path), "seed": run.seed, "miou": run.miou} for run in row.runs],
            "accuracy": row.accuracy and row.accuracy._asdict(),
            "miou": row.miou._asdict(),
            "miou13": row.miou13 and row.miou13._asdict(),
            "delta": row.delta and row.delta._asdict(),
            "gap_closed": row.gap_closed and row.gap_closed._asdict(),
            "iou": [one and one._asdict() for one in row.iou],
            "published": row.printed and row.printed.method,
        }
        for row in rows
    ]
    result: dict[str, Any] = {"classes": rows[0].runs[0].metrics.classes if rows else None, "rows": measured}
    if table is not None:
        printed = [
            {
                "method": row.method,
                "recipe": row.recipe,
                "network": row.network,
                "accuracy": row.accuracy,
                "miou": row.miou,
                "miou13": row.miou13,
                "iou": list(row.iou),
                "depth": dict(row.depth),
                "wrong_means": {
                    name: {"printed": one, "mean": mean} for name, (one, mean) in table.wrong_means(row).items()
                },
            }
            for row in table.rows
        ]
        about = {"name": table.name, "title": table.title, "source": table.source, "mean_of": table.mean_of}
        about["gt_size"] = table.gt_size and list(table.gt_size)
        result["published"] = {**about, "classes": list(table.classes), "rows": printed}
    return result | {"notes": list(notes)}
