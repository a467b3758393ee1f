"""Work over many pictures at once, with results in order and a bounded number of them in memory."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Progress = Callable[[int, int], None]


def ordered(function: Callable[[Item], Outcome], items: Iterable[Item], most: int | None = None) -> Iterator[Outcome]:
    """Give function(item) for each item, in order, computed by a thread for each core, at most `most`.

    The work is decoding, encoding and compiled kernels, which all let other threads run meanwhile. At most twice as
    many results wait as there are threads. The first error ends it; what has not begun by then is not begun.
    """
    workers = min(os.cpu_count() or 1, most or sys.maxsize)
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Outcome]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def counted(outcomes: Iterable[Outcome], total: int, progress: Progress | None) -> Iterator[Outcome]:
    """Pass results on, and tell `progress` how many there have been."""
    for done, outcome in enumerate(outcomes, 1):
        if progress is not None:
            progress(done, total)
        yield outcome
