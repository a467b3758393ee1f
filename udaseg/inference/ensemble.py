"""Several networks as one: the average of what they say of each image (multi-band transfer of FDA, section 3.3)."""

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
    """Write `predictions.h5`: the logarithm of the weighted mean softmax at the networks' stride; count the images.

    One image is in memory at a time, and those that are there already are not averaged again. Raises UdasegError
    where the files differ in classes, images, the size of an image or its grid.
    """
    with ExitStack() as opened:
        stores = [opened.enter_context(Predictions(path)) for path in files]
        first = stores[0]
        for other in stores[1:]:
            _require_alike(first, other)
        with PredictionsWriter(out, first.classes, first.align_corners) as writer:
            for done, stem in enumerate(first.stems, 1):
                if not writer.holds(stem):
                    logits = [store.logits(stem) for store in stores]
                    _require_equal(stem, stores, [list(logits_CHW.shape) for logits_CHW in logits], "grid")
                    _require_equal(stem, stores, [list(store.size(stem)) for store in stores], "size")
                    writer.put(stem, mean_scores(logits, weights), *first.size(stem))
                if progress is not None:
                    progress(done, len(first.stems))
    return len(first.stems)


def mean_scores(logits: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Return log(sum_i w_i softmax(logits_i)), the weights made to sum to one: float16 [C, h, w] in and out."""
    mean_CHW = np.zeros(logits[0].shape, np.float32)
    for logits_CHW, weight in zip(logits, np.asarray(weights, np.float64) / np.sum(weights), strict=True):
        scores_CHW = logits_CHW.astype(np.float32)
        scores_CHW -= scores_CHW.max(0)
        np.exp(scores_CHW, out=scores_CHW)
        mean_CHW += scores_CHW * (np.float32(weight) / scores_CHW.sum(0))
    return np.log(np.maximum(mean_CHW, np.finfo(np.float32).tiny)).astype(np.float16)


def _require_alike(first: Predictions, other: Predictions) -> None:
    """Raise UdasegError unless two files are of the same classes, images and way to upsample."""
    differences = [name for name in ("classes", "align_corners") if getattr(first, name) != getattr(other, name)]
    if differences:
        said = "; ".join(f"{name}: {getattr(first, name)} and {getattr(other, name)}" for name in differences)
        raise UdasegError(f"{first.path} and {other.path} cannot be averaged: {said}", "predict with networks alike")
    odd = sorted(set(first.stems) ^ set(other.stems))
    if odd:
        raise UdasegError(
            f"{first.path} and {other.path} hold different images: {len(odd)} are in one alone, such as {odd[0]}",
            "predict the same images with all networks",
        )


def _require_equal(stem: str, stores: Sequence[Predictions], found: list[list[int]], what: str) -> None:
    for store, value in zip(stores, found, strict=True):
        if value != found[0]:
            raise UdasegError(
                f"{stem} has the {what} {found[0]} in {stores[0].path} and {value} in {store.path}",
                "predict with the same target.size and predict.scales, and with networks of one stride",
            )
