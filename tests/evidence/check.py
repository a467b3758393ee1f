"""Compare the recipes of stored tables with those of today's code; nothing is run."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from .definitions import Pair, Table
from .recipes import digest, row_recipe


def changed_rows(path: Path, pairs: Mapping[str, Pair], tables: Mapping[str, Table]) -> list[str]:
    """Return what a stored CSV and today's code differ in: rows of another recipe, rows that one of them lacks."""
    with path.open(encoding="utf-8", newline="") as file:
        stored = [*csv.DictReader(file)]
    pair, table = pairs.get(stored[0]["pair"]), tables.get(stored[0]["table"])
    if pair is None or table is None:
        return [f"there is no pair {stored[0]['pair']} or no table {stored[0]['table']} any more"]
    changes = json.loads(stored[0]["set"] or "{}")
    today = {row.name: digest(row_recipe(row, table, pair, changes).recipe) for row in table.all_rows}
    measured: dict[str, set[str]] = {}
    for line in stored:
        measured.setdefault(line["row"], set()).add(line["digest"])
    found = [
        f"{name} would change: measured as {', '.join(sorted(digests))}, today {today[name]}"
        for name, digests in measured.items()
        if name in today and digests != {today[name]}
    ]
    found += [f"{name} is no row of it any more" for name in measured if name not in today]
    return found + [f"{name} has no score" for name in today if name not in measured]


def check(paths: Sequence[Path], pairs: Mapping[str, Pair], tables: Mapping[str, Table]) -> int:
    """Print for each stored CSV what would change; return the exit code, 1 where something would."""
    code = 0
    for path in paths:
        found = changed_rows(path, pairs, tables)
        print(f"{path.stem}: {'as today' if not found else f'{len(found)} rows differ'}")
        for line in found:
            print(f"  {line}")
        code |= bool(found)
    return code
