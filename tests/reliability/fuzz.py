"""Damage every kind of file that the toolkit reads, in thousands of ways: each ends in success or in one error.

    python -m tests.reliability.fuzz [--cases 2000] [--only NAME] [--case N]

The work is done in a child process with little memory: where it crashes or hangs, that is a finding, and another child
goes on behind it.
"""

import argparse
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SECONDS = 20  # for one case
STARTING = 120  # seconds for a child to begin with one
SPARE = 3 << 30  # bytes that a reader may allocate


def damaged(kind, place: Path, seed: int, sound: dict) -> str:
    """Damage one file and read it; give "read", "refused", or what is wrong."""
    from udaseg.errors import UdasegError

    from .kinds import numbers, wrong
    from .mutations import mutated, write

    if kind.name not in sound:
        folder = place / kind.name.replace("/", "_")
        folder.mkdir(parents=True)
        path = kind.make(folder)
        target = path if path.is_file() else next(path.iterdir())
        sound[kind.name] = path, target, target.read_bytes(), numbers(kind.read(path))
    path, target, data, expected = sound[kind.name]
    how, changed = mutated(data, kind.mutations, seed)
    write(target, changed)
    try:
        value = kind.read(path)
    except UdasegError as error:
        lines = f"{error.message}\n{error.hint}".count("\n")
        return "refused" if lines < 20 and len(error.message) < 3000 else f"{how}: says {len(error.message)} characters"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)
        own = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in where if "/udaseg/" in frame.filename]
        return f"{how}: {type(error).__name__}: {str(error)[:300]} at {' < '.join(own[-3:][::-1])}"
    finally:
        write(target, data)
    if kind.exact and numbers(value) != expected:
        return f"{how}: something else is read without a word"
    bad = wrong(value)
    return "read" if bad is None else f"{how}: {bad} is read without a word"


def child(first: int, cases: int, run: Path, only: str) -> None:
    from . import kinds

    known = [kind for kind in (*kinds.READ, *kinds.commands(run)) if only in kind.name]
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE, used + SPARE))
    sound: dict = {}
    with tempfile.TemporaryDirectory() as place:
        for case in range(first, cases):
            kind = known[case % len(known)]
            print(json.dumps([case, kind.name]), flush=True)
            print(json.dumps([case, kind.name, damaged(kind, Path(place), case, sound)]), flush=True)


def fuzz(cases: int, run: Path, only: str = "", first: int = 0) -> dict[str, Counter]:
    """Try so many cases; return the outcomes by kind of file."""
    outcomes: dict[str, Counter] = {}
    while first < cases:
        arguments = [sys.executable, "-W", "ignore", "-m", "tests.reliability.fuzz", "--child", str(first)]
        arguments += ["--cases", str(cases), "--run", str(run), "--only", only]
        # What an extension writes to stderr itself, libpng and HDF5 do, is not read.
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        begun = None
        for line in _lines(process):
            case, kind, *outcome = json.loads(line)
            begun = (case, kind)
            if outcome:
                _count(outcomes, case, kind, outcome[0])
                begun, first = None, case + 1
        hangs = process.poll() is None and first < cases
        process.kill()
        code = process.wait()
        if begun is not None:
            case, kind = begun
            _count(outcomes, case, kind, "hangs" if hangs else f"ends the process with {code}")
            first = case + 1
        elif first < cases:
            raise SystemExit(f"the child ended with {code} before case {first}")
    return outcomes


def _lines(process: subprocess.Popen) -> Iterator[bytes]:
    """Give the lines of a child until it ends, or says nothing for too long."""
    descriptor, rest, patience = process.stdout.fileno(), b"", STARTING
    while select.select([descriptor], [], [], patience)[0]:
        data = os.read(descriptor, 65536)
        if not data:
            process.wait()
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
        patience = SECONDS


def _count(outcomes: dict[str, Counter], case: int, kind: str, outcome: str) -> None:
    outcomes.setdefault(kind, Counter())[outcome if outcome in ("read", "refused") else "wrong"] += 1
    if outcome not in ("read", "refused"):
        print(f"case {case}: {kind}: {outcome}", flush=True)


def table(outcomes: dict[str, Counter]) -> bool:
    """Print the outcomes; tell whether all is well."""
    print(f"\n{'file':<75}{'read':>6}{'refused':>9}{'wrong':>7}")
    for kind, counts in outcomes.items():
        print(f"{kind:<75}{counts['read']:>6}{counts['refused']:>9}{counts['wrong']:>7}")
    total = sum(outcomes.values(), Counter())
    print(f"{f'{total.total()} cases':<75}{total['read']:>6}{total['refused']:>9}{total['wrong']:>7}")
    return not total["wrong"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--only", default="", help="kinds whose name has this in it")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--child", type=int)
    parser.add_argument("--run", type=Path)
    given = parser.parse_args()
    if given.child is not None:
        child(given.child, given.cases, given.run, given.only)
        return
    from .tiny import finished

    with finished(given.run) as run:
        sys.exit(not table(fuzz(given.cases, run, given.only, given.first)))


if __name__ == "__main__":
    main()
