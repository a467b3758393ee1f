"""Time calls against each other, one call of each in turns, and against what memory allows.

Times are processor time of all threads of the process. With one thread that is what a clock shows on a quiet machine;
on a busy machine it leaves out the waiting for others.
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
SECONDS = 1.5  # for the repeats of each call
MAX_REPEATS, MIN_REPEATS = 25, 3
ONCE = 4.0  # a call that takes longer is not repeated


@dataclass(frozen=True)
class Row:
    """One job, done by udaseg and by its peers.

    A peer is a function that prepares the call; it raises ImportError where its package is not installed. `moved` is
    the number of bytes that any implementation has to read and write. `difference` compares two answers; `targets` says
    how many times as fast as a peer udaseg aims to be.
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
    """Measure the bytes that one thread reads and writes a second when it copies, in GB/s: the median of nine."""
    source, copy = np.ones(1 << 25), np.empty(1 << 25)  # 256 MB each, larger than any cache
    seconds = [_seconds(lambda: np.copyto(copy, source)) for _ in range(10)][1:]
    return 2 * source.nbytes / statistics.median(seconds) / 1e9


def measure(row: Row, gigabytes: float) -> dict[str, Any]:
    """Time a row; return its entry of bench.json."""
    calls: dict[str, Call] = {"udaseg": row.ours}
    missing = {}
    for name, prepare in row.peers.items():
        try:
            calls[name] = prepare()
        except ImportError as error:
            missing[name] = f"not installed ({error.name})"
    row.ours()  # compiles the kernels, or loads them
    answers, megabytes, times = {}, {}, {}
    for name, call in calls.items():
        megabytes[name], (seconds, answers[name]) = _peak(lambda call=call: _timed(call))
        times[name] = [seconds]
    repeats = {
        name: 0 if first > ONCE else max(MIN_REPEATS, min(MAX_REPEATS, round(SECONDS / first)))
        for name, (first,) in times.items()
    }
    for turn in range(max(repeats.values())):
        for name, call in calls.items():
            if turn < repeats[name]:
                times[name].append(_seconds(call))
    milliseconds = {name: 1e3 * statistics.median(values[1:] or values) for name, values in times.items()}
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


def lines(result: dict[str, Any]) -> list[str]:
    """Return the lines of the table for a row: that of udaseg, then that of each peer."""
    title = (
        f"{result['row']:<46}{result['ms']:>10.2f} ms{result['megabytes']:>8.0f} MB"
        f"   floor {result['floor_ms']:.2f} ms, x{result['times_floor']:.1f}"
    )
    text = [title]
    for name, peer in result["peers"].items():
        if "missing" in peer:
            text.append(f"  {name:<44}{peer['missing']}")
            continue
        target = f" (target {peer['target']:g}x)" if peer["target"] else ""
        missed = " MISSED" if peer["target"] and peer["ratio"] < peer["target"] else ""
        differs = ", ".join(f"{key} {value:.1g}" for key, value in peer["difference"].items())
        text.append(
            f"  {name:<44}{peer['ms']:>10.2f} ms{peer['megabytes']:>8.0f} MB   {peer['ratio']:.1f}x{target}{missed};"
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
    """Return the peak of memory of a call in MB, 0 where the system does not tell, and the result of the call."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # freed memory that the process still has would hide the need of the call
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
    except (OSError, AttributeError):
        return 0.0, call()
    before = _kilobytes("VmRSS")
    answer = call()
    return max(0.0, (_kilobytes("VmHWM") - before) * 1024 / 1e6), answer


def _kilobytes(name: str) -> int:
    match = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(match[1]) if match else 0
