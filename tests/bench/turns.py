"""Time things that PyTorch does against each other, one call of each in turns."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CLOCK = "one thread, its processor time" if DEVICE.type == "cpu" else torch.cuda.get_device_name(DEVICE)


def alone() -> None:
    """Compute on one thread, whose processor time a busy machine leaves as it is; a CUDA device is not shared."""
    if DEVICE.type == "cpu":
        torch.set_num_threads(1)


def now() -> float:
    """Give the seconds of the clock: the processor's where that computes, the wall's where a CUDA device does."""
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
    """Time each call so many times, in turns, after one that does not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            took = seconds(call)
            if turn:
                times[name].append(took)
    return {name: statistics.median(own) for name, own in times.items()}
