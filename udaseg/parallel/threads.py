"""Map a function over items with threads: results in order, a bounded number of them in memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]  # is called with (done, total)


def cores() -> int:
    """Return how many CPU cores this process may use, at least 1.

    Several processes that torchrun started on one machine share its cores equally.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, allowed // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], max_workers: int | None = None, ahead: int = 0
) -> Iterator[Result]:
    """Yield function(item) for each item, in order, computed by a pool of threads.

    There is one thread a core, but at most `max_workers`. Suited to decoding, encoding and compiled kernels: they
    release the interpreter's lock. At most twice as many results wait as there are threads, or `ahead` results if
    that is more. The first error is raised to the caller, and no further item is started.
    """
    workers = cores() if max_workers is None else min(cores(), max_workers)
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > max(2 * workers, ahead):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def with_progress(results: Iterable[Result], total: int, progress: Progress | None) -> Iterator[Result]:
    """Yield the results unchanged, and call progress(done, total) before each."""
    for done, result in enumerate(results, 1):
        if progress is not None:
            progress(done, total)
        yield result
