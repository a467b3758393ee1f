"""Work over many images at once, with results in order and a bounded number of them in memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Progress = Callable[[int, int], None]


def cores() -> int:
    """Count the cores that this process may use, beside the others that torchrun has started on the machine."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, allowed // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def map_in_order(
    function: Callable[[Item], Outcome], items: Iterable[Item], most: int | None = None, ahead: int = 0
) -> Iterator[Outcome]:
    """Give function(item) for each item, in order, computed by a thread for each core, at most `most`.

    The work is decoding, encoding and compiled kernels, which all let other threads run meanwhile. At most twice as
    many results wait as there are threads, or `ahead` where that is more. The first error ends it; what has not begun
    by then is not begun.
    """
    workers = cores() if most is None else min(cores(), most)
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Outcome]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > max(2 * workers, ahead):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def with_progress(outcomes: Iterable[Outcome], total: int, progress: Progress | None) -> Iterator[Outcome]:
    """Pass results on, and tell `progress` how many there have been."""
    for done, outcome in enumerate(outcomes, 1):
        if progress is not None:
            progress(done, total)
        yield outcome
