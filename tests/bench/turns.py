"""Time calls of PyTorch against each other, one call of each in turns."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CLOCK = "one thread, its processor time" if DEVICE.type == "cpu" else torch.cuda.get_device_name(DEVICE)


def use_one_thread() -> None:
    """Compute on one thread on a CPU: a busy machine hardly changes its processor time."""
    if DEVICE.type == "cpu":
        torch.set_num_threads(1)


def now() -> float:
    """Return seconds: processor time on a CPU, the wall clock on a CUDA device."""
    if DEVICE.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(DEVICE)
    return time.perf_counter()


def seconds(call: Callable[[], Any]) -> float:
    """Time one call."""
    start = now()
    call()
    return now() - start


def medians(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each call, timed `repeats` times in turns, after one call that is not timed."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            duration = seconds(call)
            if turn:
                times[name].append(duration)
    return {name: statistics.median(values) for name, values in times.items()}
