"""The rows of a comparison as text: for a terminal, Markdown, LaTeX, CSV and JSON."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from udaseg.report.compare import Row, Spread
from udaseg.report.published import Published, PublishedRow
from udaseg.report.wording import DASH, percent, points

MARK = "*"  # on a printed mean that is not the mean of its printed classes
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": r"$-$", "Δ": r"$\Delta$", "–": "--",
}  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """A table of text: the first column is left-aligned, the others right-aligned; notes stand below."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def summary(rows: Sequence[Row], table: Published | None, notes: Sequence[str]) -> Sheet:
    """Lay out the means of all rows, beside what was printed where there is a table of that; rows nobody ran last."""
    marked = _Marks(table)
    shown = {
        "seeds": any(len(row.runs) > 1 for row in rows),
        "mIoU": bool(rows),
        "Δ": any(row.delta for row in rows),
        "gap closed": any(row.gap_closed for row in rows),
        "published": table is not None,
    }
    lines = []
    for row in rows:
        cells = (str(len(row.runs)), spread(row.miou), spread(row.delta, points), spread(row.gap_closed))
        lines.append((row.label, *cells, marked.headline(row.printed)))
    run = {id(row.printed) for row in rows}
    left = [printed for printed in (table.rows if table else ()) if id(printed) not in run]
    lines += [(printed.method, *[DASH] * 4, marked.headline(printed)) for printed in left]
    kept = [True, *shown.values()]
    cut = tuple(tuple(cell for cell, there in zip(line, kept, strict=True) if there) for line in lines)
    title = "mIoU in %" + (f"; published: {table.title}. {table.source}" if table else "")
    header = ("method", *(name for name, there in shown.items() if there))
    return Sheet(title, header, cut, (*notes, *marked.notes))


def by_class(rows: Sequence[Row], table: Published | None, notes: Sequence[str]) -> Sheet:
    """Lay out the IoU of every class, a column for each row; without rows, what was printed."""
    if rows:
        classes = rows[0].runs[0].metrics["classes"]
        columns = {row.label: [*map(spread, row.iou), spread(row.miou)] for row in rows}
        found: tuple[str, ...] = ()
    else:
        marked = _Marks(table)
        classes = table.classes
        blank = (None,) * len(classes)
        columns = {row.method: [*map(percent, row.iou or blank), marked.headline(row)] for row in table.rows}
        found = tuple(marked.notes)
    lines = zip(*columns.values(), strict=True)
    named = tuple((name, *line) for name, line in zip((*classes, "mean"), lines, strict=True))
    return Sheet("IoU in %", ("class", *columns), named, (*notes, *found))


class _Marks:
    """Prints published means, and notes those that are not the mean of their classes."""

    def __init__(self, table: Published | None):
        self._table, self.notes = table, []

    def headline(self, row: PublishedRow | None) -> str:
        if row is None:
            return DASH
        wrong = self._table.wrong_means(row)
        self.notes += [
            f"{MARK} {row.method}: printed {name} {percent(printed)}, the mean of its printed classes is "
            f"{percent(mean, 2)}"
            for name, (printed, mean) in wrong.items()
        ]
        short = row.miou is None and row.miou13 is not None
        return percent(row.headline) + (" of 13" if short else "") + (MARK if wrong else "")


def spread(value: Spread | None, number=percent) -> str:
    """Print a mean with its deviation."""
    if value is None:
        return DASH
    return number(value.mean) + (f" ± {percent(value.deviation)}" if value.deviation is not None else "")


def markdown(sheet: Sheet) -> str:
    """Write a sheet as a Markdown table with its notes below."""
    lines = [sheet.header, ("---", *["---:"] * (len(sheet.header) - 1)), *sheet.rows]
    table = ["| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines]
    notes = [f"\n{note.replace(MARK, chr(92) + MARK)}" for note in sheet.notes]
    return "\n".join([*table, *notes])


def latex(sheet: Sheet) -> str:
    """Write a sheet as a LaTeX tabular with booktabs' rules; notes are comments."""
    lines = [" & ".join(_escaped(cell) for cell in line) + r" \\" for line in (sheet.header, *sheet.rows)]
    begin = [rf"\begin{{tabular}}{{l{'r' * (len(sheet.header) - 1)}}}", r"\toprule", lines[0], r"\midrule"]
    notes = [f"% {note}" for note in (sheet.title, *sheet.notes)]
    return "\n".join([*notes, *begin, *lines[1:], r"\bottomrule", r"\end{tabular}"])


def _escaped(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def comma_separated(rows: Sequence[Row], table: Published | None) -> str:
    """Write all numbers in percent, a line for each row, with the classes as columns; fields nobody has are empty."""
    classes = rows[0].runs[0].metrics["classes"] if rows else table.classes
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["method", "recipe", "seeds", "miou", "miou_sd", "delta", "delta_sd", "gap_closed", "gap_closed_sd",
         "published", "published_mean_of_classes", *classes]
    )  # fmt: skip
    printed = {row.printed.method for row in rows if row.printed}
    for row in rows:
        numbers = [number for value in (row.miou, row.delta, row.gap_closed) for number in value or (None, None)]
        seeds = " ".join(str(run.seed) for run in row.runs)
        ious = [None if one is None else one.mean for one in row.iou]
        fields = [*numbers, *_printed(row.printed, table), *ious]
        writer.writerow([row.label, row.recipe, seeds, *map(_figure, fields)])
    for one in table.rows if table else ():
        if one.method not in printed:
            ious = [None] * len(classes) if rows or not one.iou else one.iou
            fields = [*[None] * 6, *_printed(one, table), *ious]
            writer.writerow([one.method, one.recipe or "", "", *map(_figure, fields)])
    return out.getvalue().rstrip("\n")


def _printed(row: PublishedRow | None, table: Published | None) -> list[float | None]:
    if row is None:
        return [None, None]
    wrong = table.wrong_means(row)
    return [row.headline, next(iter(wrong.values()))[1] if wrong else None]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def document(rows: Sequence[Row], table: Published | None, notes: Sequence[str]) -> dict[str, Any]:
    """Give everything as plain values, fractions of 1, for JSON."""
    measured = [
        {
            "method": row.label,
            "recipe": row.recipe,
            "runs": [{"path": str(run.path), "seed": run.seed, "miou": run.metrics["miou"]} for run in row.runs],
            "miou": row.miou._asdict(),
            "delta": row.delta and row.delta._asdict(),
            "gap_closed": row.gap_closed and row.gap_closed._asdict(),
            "iou": [one and one._asdict() for one in row.iou],
            "published": row.printed and row.printed.method,
        }
        for row in rows
    ]
    said: dict[str, Any] = {"classes": rows[0].runs[0].metrics["classes"] if rows else None, "rows": measured}
    if table is not None:
        printed = [
            {
                "method": row.method,
                "recipe": row.recipe,
                "miou": row.miou,
                "miou13": row.miou13,
                "iou": list(row.iou),
                "wrong_means": {
                    name: {"printed": one, "mean": mean} for name, (one, mean) in table.wrong_means(row).items()
                },
            }
            for row in table.rows
        ]
        about = {"name": table.name, "title": table.title, "source": table.source, "mean_of": table.mean_of}
        said["published"] = {**about, "classes": list(table.classes), "rows": printed}
    return said | {"notes": list(notes)}
