"""Every recipe of full scale to its report on made-up files: `make fullscale`, or `python -m tests.fullscale NAME`."""

import os
import sys
import tempfile
import time
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before NumPy, Numba and PyTorch
    os.environ.setdefault(_name, "1")

from udaseg.config.load import shipped_recipes  # noqa: E402

from .chain import run_to_report, write_data  # noqa: E402

failed = []
with tempfile.TemporaryDirectory(prefix="udaseg-fullscale-") as folder:
    os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
    recipes = sys.argv[1:] or [name for name in shipped_recipes() if name != "demo"]  # demo has no full scale
    write_data(Path(folder, "data"), recipes)
    for number, name in enumerate(recipes, 1):
        start = time.perf_counter()
        said = run_to_report(name, Path(folder))
        seconds = time.perf_counter() - start
        print(f"[{number}/{len(recipes)}] {name}: {'failed' if said else 'report'} after {seconds:.0f} s", flush=True)
        if said:
            failed.append(name)
            print(said, flush=True)
sys.exit(f"no report: {', '.join(failed)}" if failed else 0)
