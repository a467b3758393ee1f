"""Tables of methods over seeds, between the bounds of their network: `make evidence`, or `python -m tests.evidence`."""

import argparse
import os
import signal
import sys
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before NumPy, Numba and PyTorch
    os.environ.setdefault(_name, "1")

from udaseg.config.load import parse_change  # noqa: E402
from udaseg.errors import UdasegError  # noqa: E402
from udaseg.stages.terminal.options import parse_seeds  # noqa: E402

from .check import check  # noqa: E402
from .definitions import choose, read_pairs, read_tables, tables_of  # noqa: E402
from .measure import Places, measure  # noqa: E402


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="tests.evidence", description=__doc__)
    parser.add_argument("pair", nargs="?", help="of domains, in pairs.yaml")
    parser.add_argument("table", nargs="?", help="of tables.yaml; default: all that are meant for the pair")
    parser.add_argument("--seeds", default="0,1,2", help="the seeds of every row")
    parser.add_argument("--jobs", type=int, default=2, help="rows at a time, each on one thread")
    parser.add_argument("--data", type=Path, default=Places.data, help="the directory of the folder datasets")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        help="change a setting of all rows, but for those that change it themselves: warmup.steps=900",
    )
    parser.add_argument("--runs", type=Path, default=Places.runs, help="where the rows are run")
    parser.add_argument("--out", type=Path, default=Places.out, help="where tables are written")
    parser.add_argument("--check", action="store_true", help="compare stored tables with today's recipes; run nothing")
    given = parser.parse_args(arguments)
    if given.pair is None and not given.check:
        parser.error(f"name a pair: {', '.join(read_pairs())}")
    if given.jobs < 1:
        parser.error(f"--jobs is {given.jobs}, expected 1 or more")
    return given


def main(arguments: list[str]) -> int:
    """Measure, or check; return the exit code."""
    given = parse(arguments)
    try:
        pairs, tables = read_pairs(), read_tables()
        pair = None if given.pair is None else choose("pair", given.pair, pairs)
        table = None if given.table is None else choose("table", given.table, tables)
        if pair is not None and table is not None and pair.name not in table.pairs:
            raise UdasegError(
                f"the table {table.name} is not meant for the pair {pair.name}",
                f"name one of its pairs: {', '.join(table.pairs)}",
            )
        if given.check:
            name = f"{pair.name if pair else '*'}-{table.name if table else '*'}.csv"
            stored = sorted(given.out.glob(name))
            if not stored:
                raise UdasegError(
                    f"there is no {given.out / name} to check", "measure a table first: `make evidence PAIR=toytown`"
                )
            return check(stored, pairs, tables)
        places = Places(given.data, given.runs, given.out)
        changes, failed = dict(map(parse_change, given.set)), []
        for one in tables_of(pair, tables) if table is None else [table]:
            seeds = parse_seeds(given.seeds)
            failed += measure(pair, one, seeds, jobs=given.jobs, changes=changes, places=places)
    except UdasegError as error:
        print(f"error: {error.message}\n hint: {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("evidence: interrupted; the same command continues", file=sys.stderr)
        return 130
    for task in failed:
        print(f"failed: {task.row.name}, seed {task.seed}: {task.last_words}; see {task.log}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # rows in other processes are stopped too
    sys.exit(main(sys.argv[1:]))
