"""Time callables against each other, one call at a time in turns, and against what memory allows.

Times are those of the processor, of all threads of the process together. With one thread that is what a clock on the
wall shows on a quiet machine, and on a busy one it leaves out the waiting for others.
"""

import ctypes
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Call = Callable[[], Any]
SECONDS = 1.5  # spent on each callable, first call aside
MOST, LEAST = 25, 3  # repeats
ONCE = 4.0  # what takes longer than this is timed by its first call alone


@dataclass(frozen=True)
class Row:
    """One job, done by udaseg and by its peers.

    A peer is prepared when its turn comes, and may then find that its package is not installed. `moved` counts the
    bytes that any implementation reads and writes at the least. `difference` says by how much two answers differ,
    `targets` how many times as fast as a peer udaseg means to be.
    """

    name: str
    ours: Call
    peers: dict[str, Callable[[], Call]]
    moved: int
    difference: Callable[[Any, Any], dict[str, float]]
    targets: dict[str, float] = field(default_factory=dict)


def largest(name: str = "largest") -> Callable[[Any, Any], dict[str, float]]:
    """Compare arrays by the largest difference of two values."""

    def difference(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
        return {name: float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())}

    return difference


def relative(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Compare arrays by the largest difference over the largest value."""
    return {"relative": float(np.abs(a - b).max() / np.abs(b).max())}


def bandwidth() -> float:
    """Measure how many bytes a second one thread copies, read and written, in GB/s: the median of nine copies."""
    source, copy = np.ones(1 << 25), np.empty(1 << 25)  # 256 MB each, larger than any cache
    seconds = [_seconds(lambda: np.copyto(copy, source)) for _ in range(10)][1:]
    return 2 * source.nbytes / statistics.median(seconds) / 1e9


def measured(row: Row, gigabytes: float) -> dict[str, Any]:
    """Time a row; give its line of bench.json."""
    calls: dict[str, Call] = {"udaseg": row.ours}
    missing = {}
    for name, prepare in row.peers.items():
        try:
            calls[name] = prepare()
        except ImportError as error:
            missing[name] = f"not installed ({error.name})"
    row.ours()  # compiles, or loads what was compiled
    answers, megabytes, times = {}, {}, {}
    for name, call in calls.items():
        megabytes[name], (seconds, answers[name]) = _peak(lambda call=call: _timed(call))
        times[name] = [seconds]
    repeats = {
        name: 0 if first > ONCE else max(LEAST, min(MOST, round(SECONDS / first))) for name, (first,) in times.items()
    }
    for turn in range(max(repeats.values())):
        for name, call in calls.items():
            if turn < repeats[name]:
                times[name].append(_seconds(call))
    milliseconds = {name: 1e3 * statistics.median(own[1:] or own) for name, own in times.items()}
    ours = milliseconds["udaseg"]
    floor = row.moved / gigabytes / 1e6
    peers = {
        name: {
            "ms": milliseconds[name],
            "ratio": milliseconds[name] / ours,
            "target": row.targets.get(name),
            "megabytes": megabytes[name],
            "difference": row.difference(answers["udaseg"], answers[name]),
            "repeats": len(times[name][1:]) or 1,
        }
        for name in calls
        if name != "udaseg"
    }
    return {
        "row": row.name,
        "ms": ours,
        "megabytes": megabytes["udaseg"],
        "floor_ms": floor,
        "times_floor": ours / floor,
        "peers": peers | {name: {"missing": reason} for name, reason in missing.items()},
    }


def lines(found: dict[str, Any]) -> list[str]:
    """Give the lines of the table for a row: udaseg's, then each peer's."""
    title = (
        f"{found['row']:<46}{found['ms']:>10.2f} ms{found['megabytes']:>8.0f} MB"
        f"   floor {found['floor_ms']:.2f} ms, x{found['times_floor']:.1f}"
    )
    text = [title]
    for name, peer in found["peers"].items():
        if "missing" in peer:
            text.append(f"  {name:<44}{peer['missing']}")
            continue
        target = f" (target {peer['target']:g}x)" if peer["target"] else ""
        short = " MISSED" if peer["target"] and peer["ratio"] < peer["target"] else ""
        differs = ", ".join(f"{key} {value:.1g}" for key, value in peer["difference"].items())
        text.append(
            f"  {name:<44}{peer['ms']:>10.2f} ms{peer['megabytes']:>8.0f} MB   {peer['ratio']:.1f}x{target}{short};"
            f" differs by: {differs}"
        )
    return text


def _timed(call: Call) -> tuple[float, Any]:
    start = time.process_time()
    answer = call()
    return time.process_time() - start, answer


def _seconds(call: Call) -> float:
    return _timed(call)[0]


def _peak(call: Call) -> tuple[float, Any]:
    """Give by how many MB the process grew at most during a call, and what it returned; 0 where Linux does not say."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # memory that was freed but kept would hide what the call takes
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    except (OSError, AttributeError):
        return 0.0, call()
    before = _kilobytes("VmRSS")
    answer = call()
    return max(0.0, (_kilobytes("VmHWM") - before) * 1024 / 1e6), answer


def _kilobytes(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) if found else 0
