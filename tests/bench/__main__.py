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
WHOLE = ("stages", "networks", "training", "growth")  # each in a process of its own
THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def kernels(chosen: list[str], size: tuple[int, int]) -> dict[str, Any]:
    """Time kernels on one thread, which has to be said before NumPy, Numba and PyTorch are loaded."""
    os.environ |= dict.fromkeys(THREADS, "1") | {"NO_ALBUMENTATIONS_UPDATE": "1"}  # it would look for a newer version
    from measure import bandwidth, lines, measured

    gigabytes = bandwidth()
    print(f"{size[0]}x{size[1]}, one thread, memory at {gigabytes:.1f} GB/s; medians of processor time\n")
    found = []
    for name in chosen:
        for row in import_module(f"kernels.{name}").rows(size):
            found.append(measured(row, gigabytes))
            print("\n".join(lines(found[-1])), flush=True)
    return {"gigabytes_per_second": gigabytes, "kernels": found}


def whole(name: str, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Run `<name>.py`, which prints a table and leaves the same as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        subprocess.run([sys.executable, HERE / f"{name}.py", out, *map(str, size)], check=True)
        return json.loads(out.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/bench", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    parser.add_argument("--size", default="1024x2048", help="of the images, HEIGHTxWIDTH, multiples of 32")
    parser.add_argument(
        "--only", nargs="+", choices=KERNELS + WHOLE, default=KERNELS + WHOLE, metavar="NAME",
        help=f"some of them: {', '.join(KERNELS + WHOLE)}",
    )  # fmt: skip
    given = parser.parse_args()
    height, width = map(int, given.size.split("x"))
    if height % 32 or width % 32:
        parser.error(f"--size is {given.size}, expected multiples of 32")
    if given.out.is_dir() or not given.out.parent.is_dir():  # said before an hour's work, not after it
        parser.error(f"--out is {given.out}, expected a file in a folder that exists")
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),  # of the machine before it began: other work slows it down
        "size": [height, width],
    }

    def keep() -> None:  # after each part, so that one that fails does not take the others with it
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")

    for name in WHOLE:
        if name in given.only:
            found[name] = whole(name, (height, width))
            keep()
            print(flush=True)
    chosen = [name for name in KERNELS if name in given.only]
    if chosen:
        found |= kernels(chosen, (height, width))
        keep()
    print(f"\nwritten to {given.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
