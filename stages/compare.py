"""udaseg compare: runs side by side, over seeds, beside what was published."""

import json
from pathlib import Path
from typing import Annotated

import typer

from udaseg.errors import UdasegError
from udaseg.pipeline.log import log


def _tables(incomplete: str) -> list[str]:
    from udaseg.report.published import tables

    return [name for name in tables() if name.startswith(incomplete)]


def command(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run directories, evaluations in them, or directories of runs.")
    ] = None,
    oracle: Annotated[list[Path] | None, typer.Option(help="A run of the upper bound; again for each seed.")] = None,
    published: Annotated[
        str | None, typer.Option(help="A published table by name, such as gta2city.", autocompletion=_tables)
    ] = None,
    classes: Annotated[bool, typer.Option("--classes", help="The IoU of every class, a column for each row.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, fractions of 1.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, percent, with all classes.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    as_latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX tabular (booktabs).")] = False,
) -> None:
    """Compare runs: mean and spread over seeds, the gain over the first row, the share of the gap to an oracle.

    Of a directory that holds runs, all runs below it are read. Runs that differ in nothing but their seed share a row.
    A published mean that is not the mean of its published classes is marked. A run of another network than the
    published row beside it is named in a warning.

    Example: udaseg compare runs/a runs/b --published realtime-gta2city
    """
    if as_json + as_csv + as_markdown + as_latex > 1:
        raise UdasegError("--json, --csv, --markdown and --latex each print all there is", "give one of them")
    if not runs and published is None:
        raise UdasegError(
            "there is nothing to compare",
            "name runs, or a published table: udaseg compare --published realtime-gta2city",
        )
    if oracle and not runs:
        raise UdasegError(
            "--oracle is the upper bound of other runs, and there are none",
            "name the runs to compare before --oracle: udaseg compare runs/demo --oracle runs/oracle",
        )
    from udaseg.report import comparison_table
    from udaseg.report.compare import compare, comparison_warnings, network_warnings, read_run
    from udaseg.report.depth_errors import depth_notes
    from udaseg.report.find_runs import read_runs
    from udaseg.report.published import published as read_published

    table = None if published is None else read_published(published)
    read, found = read_runs(runs or [])
    rows = compare(read, [read_run(path) for path in oracle or []], table) if read else []
    notes = [*comparison_warnings(rows, table), *depth_notes(rows, table), *(warnings := network_warnings(rows))]
    for warning in [*warnings, *found]:
        log(f"compare: warning: {warning}")
    if len(read) > len(runs or []):  # of directories: which runs share a row is not to be guessed
        notes += [f"{row.label}: {', '.join(str(run.path) for run in row.runs)}" for row in rows]
    notes += found
    if oracle and len(rows) == 2:
        notes.append(
            "there is one row beside the oracle, the one that gains and shares are over: name the source-only models "
            f"before it, as in {read[0].path / 'evaluate-warmup'}"
        )
    if as_json:
        print(json.dumps(comparison_table.document(rows, table, notes), indent=1, ensure_ascii=False))
        return
    if as_csv:
        print(comparison_table.comma_separated(rows, table))
        return
    laid_out = (comparison_table.by_class if classes else comparison_table.summary)(rows, table, notes)
    if as_markdown or as_latex:
        print((comparison_table.markdown if as_markdown else comparison_table.latex)(laid_out))
        return
    from .terminal.tables import console, sheet_table

    console().print(sheet_table(laid_out))
    for note in laid_out.notes:
        print(note)
