"""How well scores without target labels order the models of runs: `python -m tests.evidence.judge RUNS`.

RUNS has a directory for each pair of domains, with the runs of the pair in it at any depth, as `make evidence` makes
them. What was judged before is not judged again, so the same command takes in new runs.
"""

import argparse
import os
import sys
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before NumPy, Numba and PyTorch
    os.environ.setdefault(_name, "1")

from udaseg.errors import UdasegError  # noqa: E402
from udaseg.io.files import atomic  # noqa: E402
from udaseg.pipeline.log import log  # noqa: E402
from udaseg.stages import cli  # whose import fills the list of stages  # noqa: E402, F401

from .judge_document import Found, as_csv, as_markdown, as_svg  # noqa: E402
from .judged import Model, Trained, find_runs, judge_all  # noqa: E402
from .measure import Places  # noqa: E402


def measure(folders: list[Path], data: str | None, images: int, seed: int, kept: Path) -> Found:
    """Judge all models below some directories, pair by pair."""
    pairs: dict[str, list[Trained]] = {}
    for folder in folders:
        for run in find_runs(folder, data):
            pairs.setdefault(run.pair, []).append(run)
    if not pairs:
        raise UdasegError(
            f"no finished training lies in a pair's directory in {', '.join(map(str, folders))}",
            "measure a table first: `make evidence PAIR=toytown`",
        )
    models: dict[str, Model] = {}
    for runs in pairs.values():
        models |= judge_all(runs, images, seed, kept)
    return Found([run for runs in pairs.values() for run in runs], models, images)


def main(arguments: list[str]) -> int:
    """Measure, and write the document, the CSV and the chart; return the exit code."""
    parser = argparse.ArgumentParser(prog="tests.evidence.judge", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="directories with a directory for each pair")
    parser.add_argument("--data", help="the directory of the datasets; default: that of each run")
    parser.add_argument("--images", type=int, default=32, help="images of each domain")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--kept", type=Path, default=Path("runs/judged"), help="where judged models are kept")
    parser.add_argument("--out", type=Path, default=Places.out, help="where judge.md, judge.csv and judge.svg go")
    given = parser.parse_args(arguments)
    try:
        found = measure(given.runs, given.data, given.images, given.seed, given.kept)
    except UdasegError as error:
        print(f"error: {error.message}\n hint: {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("evidence: interrupted; the same command continues", file=sys.stderr)
        return 130
    for name, content in (("md", as_markdown(found)), ("csv", as_csv(found)), ("svg", as_svg(found))):
        with atomic(given.out / f"judge.{name}") as temporary:
            temporary.write_text(content, encoding="utf-8")
    log(f"evidence: {given.out / 'judge.md'}, and .csv and .svg beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
