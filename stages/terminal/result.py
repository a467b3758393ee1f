"""The result of a command, printed on stdout."""

import json
from collections.abc import Mapping
from typing import Any

from udaseg.parallel import processes
from udaseg.pipeline.run import Run


def print_result(run: Run, values: Mapping[str, Any], *tables: Any) -> None:
    """Print a result on stdout: as JSON with --json, else as Rich tables or texts, without those that are None.

    Nothing is printed of a stage that another one needs first, and of all but the last stage of a chain.
    """
    if not run.prints or not processes.is_first():
        return
    if run.json:
        print(json.dumps(values, indent=1, ensure_ascii=False))
    else:
        from .tables import console

        console().print(*(table for table in tables if table is not None))
