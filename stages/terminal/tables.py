"""The tables on the terminal."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

DEPTH = {
    "rel": "Rel", "rel2": "Rel²", "rms": "RMS", "lrms": "LRMS", "delta1": "δ1", "delta2": "δ2", "delta3": "δ3"
}  # fmt: skip

NARROWEST = 72
UNBROKEN = 1000  # columns: no table is as wide
SCORE_NAMES, SCORE_WIDTH = 18, 9  # columns of a terminal: of the names of scores, of the values of a model


def console() -> Console:
    """Give what prints tables on stdout: as wide as the terminal, in a pipe or a file as wide as they are."""
    limited = sys.stdout.isatty() or "COLUMNS" in os.environ
    # Where there is too little room the terminal breaks lines: cut off, numbers would be others.
    width = max(NARROWEST, shutil.get_terminal_size().columns) if limited else UNBROKEN
    return Console(width=width, markup=False, emoji=False)  # names are the user's, brackets in them are no markup


def scores_table(before: dict[str, Any] | None, metrics: dict[str, Any]) -> Table:
    """Lay the scores of a model out by class and mean, beside those of the source-only model where there are any."""
    size = metrics.get("gt_size")
    at = f", labels resized to {size[0]}x{size[1]}" if size else ""
    table = Table(title=f"IoU in % on {metrics['images']} images{at}", title_justify="left")
    table.add_column("class")
    if before is not None and before["classes"] != metrics["classes"]:
        before = None
    columns = [before, metrics] if before is not None else [metrics]
    for heading in ["source-only", "adapted", "change"] if before is not None else ["IoU"]:
        table.add_column(heading, justify="right")
    for name, *values in zip(metrics["classes"], *(column["iou"] for column in columns), strict=True):
        table.add_row(name, *map(percent, values), *_change(values))
    table.add_section()
    for key, label in (("miou", "mean"), ("miou16", "mean of 16"), ("miou13", "mean of 13")):
        values = [column[key] for column in columns]
        if None not in values:
            table.add_row(label, *map(percent, values), *_change(values), style="bold" if key == "miou" else None)
        if key == "miou":
            _add_spread(table, columns)
    return table


def depth_table(before: dict[str, Any] | None, metrics: dict[str, Any]) -> Table | None:
    """Lay the errors of the estimated depth out, as `scores_table` does; None where none was scored."""
    columns = [one["depth"] for one in (before, metrics) if one is not None and one.get("depth")]
    if not metrics.get("depth"):
        return None
    table = Table(title="estimated depth", title_justify="left", caption=columns[-1]["convention"], min_width=60)
    table.add_column("error")
    for heading in ["source-only", "adapted"] if len(columns) == 2 else ["model"]:
        table.add_column(heading, justify="right")
    for key, label in DEPTH.items():
        table.add_row(label, *("none" if one[key] is None else f"{one[key]:.3f}" for one in columns))
    return table


def read_metrics(stage: Path) -> dict[str, Any] | None:
    """Read the metrics of an evaluate stage; None where it has none. Raises UdasegError for damaged ones."""
    if not (stage / "metrics.json").exists():
        return None
    from udaseg.report.stage_results import read_result

    return read_result(stage, "evaluate").content()


def percent(value: float | None) -> str:
    """Print a share in percent; a class that does not occur has none."""
    return "absent" if value is None else f"{100 * value:.1f}"


def _add_spread(table: Table, columns: list[dict[str, Any]]) -> None:
    """Add what is known of how sure the means are: their interval over images, and the last models of a training."""
    intervals = [column.get("miou_interval") for column in columns]
    last = [column.get("last") for column in columns]
    rows = {
        "its 95 % interval": ["" if one is None else "-".join(map(percent, one)) for one in intervals],
        "mean of the last models": ["" if one is None else _spread(one["mean"], one["deviation"], "") for one in last],
    }
    for label, cells in rows.items():
        if any(cells):
            table.add_row(label, *cells, *[""] * (len(table.columns) - 1 - len(cells)))


def _change(values: list[float | None]) -> list[str]:
    if len(values) < 2:
        return []
    return [""] if None in values else [f"{100 * (values[1] - values[0]):+.1f}"]


def check_table(report) -> Table:
    """Lay out what a check of a dataset found, split by split."""
    table = Table(title=f"{report.dataset} in {report.root}", title_justify="left")
    for heading in ("split", "images", "labels", "depth", "expected", "coding", "sizes", "ignored"):
        justify = "left" if heading in ("split", "coding", "sizes") else "right"
        table.add_column(heading, justify=justify, overflow="fold")
    for split in report.splits:
        sizes = sorted(split.sizes.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{size} ({count})" for size, count in sizes[:3]) + (", ..." if len(sizes) > 3 else "")
        expected = "" if split.expected is None else str(split.expected)
        ignored = "" if split.ignored is None else f"{100 * split.ignored:.1f} %"
        counts = map(str, (split.images, split.labels, split.depth))
        table.add_row(split.name, *counts, expected, split.coding or "", shown, ignored)
    return table


def shares_table(report) -> Table:
    """Lay out the share of the labelled pixels and the images that each class has, split by split."""
    splits = [split for split in report.splits if split.classes]
    table = Table(title="classes: % of the labelled pixels, and images that show them", title_justify="left")
    table.add_column("class")
    for split in splits:
        table.add_column(split.name, justify="right")
        table.add_column("images", justify="right")
    for name in dict.fromkeys(name for split in splits for name in split.classes):
        cells = [
            text
            for split in splits
            for text in (f"{100 * split.classes.get(name, 0):.2f}", str(split.images_with.get(name, 0)))
        ]
        table.add_row(name, *cells)
    return table


def ablation_table(document: dict[str, Any]) -> Table:
    """Lay out what a recipe scores without each of its ingredients: means over the seeds, and every seed."""
    seeds = document["seeds"]
    spread = f", mean ± standard deviation of {len(seeds)} seeds" if len(seeds) > 1 else f", seed {seeds[0]}"
    table = Table(title=f"{document['recipe']}: mIoU in %{spread}", title_justify="left")
    table.add_column("without")
    for heading in ("mIoU", "change", *(f"seed {seed}" for seed in seeds if len(seeds) > 1)):
        table.add_column(heading, justify="right")
    for name, variant in document["variants"].items():
        full = not variant["changes"]
        mean = _spread(variant["mean"], variant["deviation"], "")
        change = "" if full else _spread(variant["change"], variant["change_deviation"], "+")
        each = map(percent, variant["miou"]) if len(seeds) > 1 else ()
        table.add_row("nothing" if full else name, mean, change, *each, style="bold" if full else None)
    return table


def judgement_table(document, order: list[str], by: str) -> Table:
    """Lay the scores of models out, a column for each, the best first by one score; the best of each score is bold.

    Where the terminal has no room for all models, the first ones are shown, and the caption says how many are not.
    """
    shown = order[: max(2, (console().width - SCORE_NAMES) // SCORE_WIDTH)]
    images = f"{len(document.target)} target and {len(document.source)} source images"
    names = [f"{number} {model.removesuffix('/model.pt')}" for number, model in enumerate(shown, 1)]
    rest = [f"and {len(order) - len(shown)} more: see judge.json"] if len(order) > len(shown) else []
    title = f"scores without target labels on {images}, ranked by {by}"
    table = Table(title=title, title_justify="left", caption="\n".join([*names, *rest]), caption_justify="left")
    table.add_column("score")
    for number in range(1, len(shown) + 1):
        table.add_column(str(number), justify="right")
    for name, better in document.better.items():
        values = [document.models[model].scores[name] for model in shown]
        best = [document.best.get(name) == model for model in shown]
        cells = [
            Text("" if value is None else f"{value:.3f}", style="bold" if is_best else "")
            for value, is_best in zip(values, best, strict=True)
        ]
        table.add_row(f"{name} {'↑' if better == 'larger' else '↓'}", *cells)
    if any(model.miou is not None for model in document.models.values()):
        table.add_section()
        table.add_row("true mIoU", *(percent(document.models[model].miou) for model in shown))
    return table


def sheet_table(sheet) -> Table:
    """Turn the layout of a comparison into a table."""
    table = Table(*sheet.header, title=sheet.title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in sheet.rows:
        table.add_row(*row)
    return table


def _spread(mean: float, deviation: float | None, sign: str) -> str:
    text = f"{100 * mean:{sign}.1f}"
    return text if deviation is None else f"{text} ± {100 * deviation:.1f}"
