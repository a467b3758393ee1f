"""The state of each stage of a chain: up to date, to run, or waiting, and why."""

from dataclasses import replace
from typing import Any

from udaseg.errors import UdasegError
from udaseg.pipeline import datasets, toytown
from udaseg.pipeline.chain import steps
from udaseg.pipeline.manifest import read_manifest
from udaseg.pipeline.manifest import reasons as find_reasons
from udaseg.pipeline.run import Run


def states(run: Run) -> list[dict[str, Any]]:
    """Look at every stage of the chain without running any: it is up to date, has to run, or waits for another."""
    run = replace(run, dry_run=True)
    rendered = not toytown.needs_rendering(run)
    if rendered:
        datasets.require_datasets(run)
    rows = []
    for step in steps(run):
        folder = step.run.stage_folder(step.name)
        manifest = read_manifest(folder)
        try:
            reasons = find_reasons(step.job()) if rendered else ["toytown is not rendered yet"]
            state = "to run" if reasons else "up to date"
        except UdasegError as error:
            state, reasons = "waiting", [error.message]
        rows.append(
            {
                "stage": step.label,
                "state": state,
                "why": reasons,
                "finished": manifest and manifest["started"],
                "seconds": manifest and manifest["seconds"],
                "metrics": manifest and manifest["metrics"],
                "path": str(folder),
            }
        )
    return rows
