"""Count classes over a labelled set, for stats.json: what spatial priors and class weights are made from."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from udaseg.data.records import LabelledSet

Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


def class_counts(pictures: LabelledSet, progress: Progress | None = None) -> dict[str, Any]:
    """Count the pixels of each class, and the images that show it, over a labelled set.

    Returns {classes, pixels [C], images [C], per_image {stem: [C]}} of plain ints; ignored pixels are in none.
    `progress` gets (done, total). Raises UdasegError for the first label that cannot be read.
    """
    classes = len(pictures.space)
    per_image = {}
    counted = in_order(lambda i: histogram(pictures.label(i))[:classes], range(len(pictures)))
    for i, counts in enumerate(counted):
        per_image[pictures.records[i].stem] = counts.tolist()
        if progress:
            progress(i + 1, len(pictures))
    table = np.array(list(per_image.values()), np.int64).reshape(-1, classes)
    return {
        "classes": list(pictures.space.classes),
        "pixels": table.sum(0).tolist(),
        "images": (table > 0).sum(0).tolist(),
        "per_image": per_image,
    }


def histogram(values: np.ndarray) -> np.ndarray:
    """Count the values of a uint8 array [H, W]: int64 [256]."""
    # Pillow counts bytes as they are; NumPy's bincount would first widen each to eight.
    return np.array(Image.fromarray(values).histogram(), np.int64)


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Do one piece of work for each item on all cores, giving the results in order.

    Decoding runs outside Python's lock, so threads are enough. Only a few items are ever under way: memory stays flat
    however many there are.
    """
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting: deque = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
