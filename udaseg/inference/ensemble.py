"""Average the predictions of several networks (multi-band transfer of FDA, section 3.3)."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from udaseg.errors import UdasegError
from udaseg.inference.predictions import Predictions, PredictionsWriter


def ensemble(
    files: Sequence[Path],
    weights: Sequence[float],
    out: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Average several predictions files into `predictions.h5` in the folder `out`; return the number of images.

    The result holds the logarithm of the weighted mean softmax, at the networks' stride. Images that are already in
    it are not averaged again. One image is in memory at a time. Raises UdasegError where the files differ in classes,
    images, the size of an image, or the grid of its logits.
    """
    with ExitStack() as stack:
        stores = [stack.enter_context(Predictions(path)) for path in files]
        first = stores[0]
        for store in stores:
            store.require_logits("the average of several networks")
        for other in stores[1:]:
            _check_compatible(first, other)
        with PredictionsWriter(out, first.classes, first.align_corners) as writer:
            for done, stem in enumerate(first.stems, 1):
                if not writer.holds(stem):
                    logits = [store.logits(stem) for store in stores]
                    _check_equal(stem, stores, [list(logits_CHW.shape) for logits_CHW in logits], "grid")
                    _check_equal(stem, stores, [list(store.size(stem)) for store in stores], "size")
                    writer.put(stem, average_logits(logits, weights), *first.size(stem))
                if progress is not None:
                    progress(done, len(first.stems))
    return len(first.stems)


def average_logits(logits: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Return log(sum_i w_i softmax(logits_i)): float16 [C, h, w] in and out; the weights are scaled to a sum of one."""
    mean_CHW = np.zeros(logits[0].shape, np.float32)
    for logits_CHW, weight in zip(logits, np.asarray(weights, np.float64) / np.sum(weights), strict=True):
        probabilities_CHW = logits_CHW.astype(np.float32)
        probabilities_CHW -= probabilities_CHW.max(0)
        np.exp(probabilities_CHW, out=probabilities_CHW)
        mean_CHW += probabilities_CHW * (np.float32(weight) / probabilities_CHW.sum(0))
    return np.log(np.maximum(mean_CHW, np.finfo(np.float32).tiny)).astype(np.float16)


def _check_compatible(first: Predictions, other: Predictions) -> None:
    """Raise UdasegError unless two files have the same classes, images and way of upsampling."""
    differences = [name for name in ("classes", "align_corners") if getattr(first, name) != getattr(other, name)]
    if differences:
        values = "; ".join(f"{name}: {getattr(first, name)} and {getattr(other, name)}" for name in differences)
        raise UdasegError(
            f"{first.path} and {other.path} cannot be averaged: {values}", "predict with networks of the same kind"
        )
    unshared = sorted(set(first.stems) ^ set(other.stems))
    if unshared:
        raise UdasegError(
            f"{first.path} and {other.path} hold different images: {len(unshared)} are only in one, "
            f"such as {unshared[0]}",
            "predict the same images with all networks",
        )


def _check_equal(stem: str, stores: Sequence[Predictions], values: list[list[int]], name: str) -> None:
    for store, value in zip(stores, values, strict=True):
        if value != values[0]:
            raise UdasegError(
                f"{stem} has the {name} {values[0]} in {stores[0].path} and {value} in {store.path}",
                "predict with the same target.size and predict.scales, and with networks of the same stride",
            )
