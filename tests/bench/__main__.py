"""The benchmarks: `make bench`, or `python tests/bench --help`."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KERNELS = ("confidence", "histograms", "aggregation", "confusion", "fda", "density", "mixtures", "prototypes")
PROGRAMS = ("stages", "networks", "training", "loader", "growth")  # each in a process of its own
THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def kernels(chosen: list[str], size: tuple[int, int]) -> dict[str, Any]:
    """Time kernels on one thread; NumPy, Numba and PyTorch read the variables when they are imported."""
    os.environ |= dict.fromkeys(THREADS, "1") | {"NO_ALBUMENTATIONS_UPDATE": "1"}  # else it looks for a newer version
    from measure import bandwidth, lines, measure

    gigabytes = bandwidth()
    print(f"{size[0]}x{size[1]}, one thread, memory at {gigabytes:.1f} GB/s; medians of processor time\n")
    results = []
    for name in chosen:
        for row in import_module(f"kernels.{name}").rows(size):
            results.append(measure(row, gigabytes))
            print("\n".join(lines(results[-1])), flush=True)
    return {"gigabytes_per_second": gigabytes, "kernels": results}


def run_program(name: str, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Run `<name>.py`, which prints a table and writes it as JSON; return the JSON."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.json"
        subprocess.run([sys.executable, HERE / f"{name}.py", out, *map(str, size)], check=True)
        return json.loads(out.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/bench", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    parser.add_argument("--size", default="1024x2048", help="of the images, HEIGHTxWIDTH, multiples of 32")
    parser.add_argument(
        "--only", nargs="+", choices=KERNELS + PROGRAMS, default=KERNELS + PROGRAMS, metavar="NAME",
        help=f"some of them: {', '.join(KERNELS + PROGRAMS)}",
    )  # fmt: skip
    arguments = parser.parse_args()
    height, width = map(int, arguments.size.split("x"))
    if height % 32 or width % 32:
        parser.error(f"--size is {arguments.size}, expected multiples of 32")
    if arguments.out.is_dir() or not arguments.out.parent.is_dir():  # before the work of an hour, not after it
        parser.error(f"--out is {arguments.out}, expected a file in a folder that exists")
    results: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),  # of the machine before the start: other work slows the bench down
        "size": [height, width],
    }

    def save() -> None:  # after each part: a later part may fail
        arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    for name in PROGRAMS:
        if name in arguments.only:
            results[name] = run_program(name, (height, width))
            save()
            print(flush=True)
    chosen = [name for name in KERNELS if name in arguments.only]
    if chosen:
        results |= kernels(chosen, (height, width))
        save()
    print(f"\nwritten to {arguments.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
