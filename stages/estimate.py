"""What a stage takes, before it is run: time, disk and memory, told from a few of its images or steps."""

import io
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from udaseg.errors import UdasegError
from udaseg.parallel import processes

from .sample import Sample
from .session import Planned, Session, emit, say

TELLING = 2.0  # seconds that a sample has to take longer than the smallest one
PATIENCE = 60.0  # seconds after which no larger sample is tried


class Cost(NamedTuple):
    seconds: float
    disk: float  # bytes


def estimate(phase: str, session: Session, run: Callable[[Sample], None]) -> None:
    """Say what a stage will take, from samples of it that are run in a temporary place and thrown away.

    The first sample, of one image or step, shows what it costs to begin; how much longer a larger one takes than
    the same one again tells what each further image or step costs.
    """
    if processes.count() > 1:
        raise UdasegError("--estimate looks at what one process takes", "run it without torchrun")
    began = time.monotonic()
    first, sample = _sampled(phase, run, {})
    again, _ = _sampled(phase, run, {})
    seconds, disk, seen = first.seconds, first.disk, {}
    for what, count in sample.whole.items():
        done, cost = 1, again
        while done < count and (done == 1 or _unclear(cost, again, began)):
            done = min(count, 3 * done)
            cost, _ = _sampled(phase, run, {what: done / count})
        seen[what] = done
        if done > 1:
            seconds += max(0.0, cost.seconds - again.seconds) * (count - 1) / (done - 1)
            disk += max(0.0, cost.disk - again.disk) * (count - 1) / (done - 1)
    _tell(sample, session, Cost(seconds, disk), seen)


def _unclear(cost: Cost, again: Cost, began: float) -> bool:
    return cost.seconds - again.seconds < TELLING and time.monotonic() - began < PATIENCE


def _sampled(phase: str, run: Callable[[Sample], None], shares: dict[str, float]) -> tuple[Cost, Sample]:
    """Run a sample; give what it took, and what it found there is in all."""
    said = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="udaseg-") as place:
        sample = Sample(phase, Path(place), shares)
        start = time.monotonic()
        try:
            with redirect_stderr(said), redirect_stdout(io.StringIO()):
                run(sample)
        except Planned:  # what it needs first, which has been said
            print(said.getvalue(), end="", file=sys.stderr)
            raise
        seconds = time.monotonic() - start
        files = (path for path in (Path(place) / "out").rglob("*") if path.is_file())
        return Cost(seconds, sum(path.stat().st_size for path in files)), sample


def _memory() -> tuple[int, int]:
    """Give the most bytes that this process ever held in memory, and on a GPU."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    torch = sys.modules.get("torch")
    on_gpu = torch.cuda.max_memory_reserved() if torch is not None and torch.cuda.is_available() else 0
    return most if sys.platform == "darwin" else 1024 * most, on_gpu


def _tell(sample: Sample, session: Session, cost: Cost, seen: dict[str, int]) -> None:
    from rich.text import Text

    from udaseg.pipeline.format import duration, size

    out = (session.out or session.run).absolute()
    free = shutil.disk_usage(next(path for path in (out, *out.parents) if path.exists())).free
    memory, on_gpu = _memory()
    memory += sample.kept
    values = {
        "stage": sample.phase, **sample.whole, "sample": seen, "seconds": round(cost.seconds, 3),
        "disk_bytes": round(cost.disk), "free_disk_bytes": free, "memory_bytes": memory, "gpu_memory_bytes": on_gpu,
    }  # fmt: skip
    work = ", ".join(f"{count:,} {what}" for what, count in sample.whole.items()) or "all of it"
    gpu = f", {size(on_gpu)} on the GPU" if on_gpu else ""
    taken = f"about {duration(cost.seconds)}, {size(cost.disk)} on disk, {size(memory)} of memory{gpu}"
    emit(session, values, Text(f"{sample.phase}: {work}: {taken}"))
    if cost.disk > free:
        say(f"{sample.phase}: warning: only {size(free)} are free where it would write")
