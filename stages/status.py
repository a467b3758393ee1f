"""udaseg status: which stages of a run are done, which have to run, and why."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from udaseg.errors import UdasegError
from udaseg.pipeline import chain_status
from udaseg.pipeline.run_file import RUN_FILE

from .terminal.command import run_command
from .terminal.result import print_result

REASONS = 3  # that are printed of a stage that runs again


@run_command(without=("estimate", "round_", "out", "force", "dry_run"))
def command(
    open_run,
    folder: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="A run, which knows its recipe; default: the one of --run.")
    ] = None,
) -> None:
    """Show which stages of a run are done, which have to run, and why.

    Example: udaseg status runs/demo
    """
    if folder is not None and not (folder / RUN_FILE).is_file():
        raise UdasegError(
            f"{folder} is no run: it has no {RUN_FILE}", "plan a new one, as with: udaseg status --recipe demo"
        )
    run = open_run() if folder is None else open_run(run=folder)
    stages = chain_status.states(run)
    from rich.table import Table
    from rich.text import Text

    title = f"{run.recipe.name} in {run.folder}"
    table = Table("stage", "state", "age", "took", "result", title=title, title_justify="left", box=None)
    for row in stages:
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.0f} s"
        number = next((_number(name, value) for name, value in (row["metrics"] or {}).items()), "")
        table.add_row(row["stage"], row["state"], _age(row["finished"]), seconds, number)
    print_result(run, {"run": str(run.folder), "stages": stages}, table, Text("\n".join(_reasons(stages))))


def _reasons(rows: list[dict[str, Any]]) -> list[str]:
    """Say why stages run again that were begun before, and what the first of the waiting ones waits for."""
    again = [row for row in rows if row["state"] == "to run" and Path(row["path"]).is_dir()]
    waiting = [row for row in rows if row["state"] == "waiting"][:1]
    lines = []
    for row in (*again, *waiting):
        more = f"; and {len(row['why']) - REASONS} more (--json lists them)" if len(row["why"]) > REASONS else ""
        lines.append(f"{row['stage']} {row['state']}: {'; '.join(row['why'][:REASONS])}{more}")
    return lines


def _age(started: str | None) -> str:
    if started is None:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds()
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _number(name: str, value: Any) -> str:
    if name == "miou":
        return f"mIoU {100 * value:.1f} %"
    return f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
