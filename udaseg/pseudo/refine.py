"""Refine the pseudo-labels of a whole set."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from udaseg.config import Refine
from udaseg.data.augment import resize_label
from udaseg.data.images.read import image_size, read_train_ids, write_label
from udaseg.errors import UdasegError
from udaseg.inference.confidence import argmax_label, thresholded_label, where_confident
from udaseg.inference.predictions import CONFIDENCE, Predictions
from udaseg.io.documents.refinement import Refinement
from udaseg.io.files import write_json
from udaseg.labels import IGNORE, ClassSpace, flat_palette
from udaseg.metrics import count_pairs
from udaseg.parallel import processes
from udaseg.parallel.threads import Progress, map_in_order, with_progress
from udaseg.pseudo.aggregation import aggregate, size_thresholds
from udaseg.pseudo.rectification import Rectify
from udaseg.pseudo.temporal import FrameBefore

REFERENCE_AREA = 1280 * 760  # pixels of the images for which N_base0 and N_base1 were published


def refine(
    labels: Mapping[str, Path],
    predictions: Predictions | None,
    space: ClassSpace,
    settings: Refine,
    out: Path,
    *,
    source_pixels: Sequence[int] | None = None,
    rectify: Rectify | None = None,
    before: FrameBefore | None = None,
    batch: int = 1,
    progress: Progress | None = None,
) -> Refinement:
    """Write `labels/<stem>.png`, refined step by step, and `refine.json`; return the latter's content.

    `labels` are the files of the images to refine, by stem. Without `predictions` nothing but the labels is known: no
    step may ask for a confidence, for prototypes or for the frame before.
    Aggregation needs source_pixels [C], the pixels of each class in the source labels (Algorithm 1 of the
    depth-distribution paper: a class that is common there needs large components). It drops a label where the
    confidence is below `settings.confidence`, then where its component is too small. The prototypes need `rectify`:
    they decide anew on the labelled pixels, or on all (ProDA), and the confidence is then that of their decision;
    `batch` is how many images they look at together. The steps by the frame before need `before`.
    """
    chosen, palette, classes = settings.steps, flat_palette(space), len(space)
    assert source_pixels is not None or "aggregate" not in chosen
    assert rectify is not None or "prototypes" not in chosen
    assert before is not None or not settings.uses_flow
    assert predictions is not None or (chosen == ("aggregate",) and settings.confidence == 0)
    (out / "labels").mkdir(parents=True, exist_ok=True)
    stems = list(labels)
    shard = processes.shard(stems, batch)

    def size_of(stem: str) -> tuple[int, int]:
        return image_size(labels[stem]) if predictions is None else predictions.size(stem)

    def minimum_of(size: tuple[int, int]) -> np.ndarray:
        area = size[0] * size[1] / REFERENCE_AREA if settings.scale_with_area else 1.0
        return size_thresholds(source_pixels, settings.base0, settings.base1, area)

    def scores() -> Iterator[tuple[str, np.ndarray | None]]:
        """Give the rectified logits of the batches that are not done yet, which are those of a run left alone."""
        batches = [shard[i : i + batch] for i in range(0, len(shard), batch)]
        exist = [all((out / "labels" / f"{stem}.png").exists() for stem in own) for own in batches]
        left = [stem for own, done in zip(batches, exist, strict=True) if not done for stem in own]
        yield from ((stem, None) for own, done in zip(batches, exist, strict=True) if done for stem in own)
        yield from rectify(left) if "prototypes" in chosen else ((stem, None) for stem in left)

    def stepwise(label_HW: np.ndarray, stem: str, rectified_Chw: np.ndarray | None) -> np.ndarray:
        size = label_HW.shape
        for step in chosen:
            if step == "temporal":
                label_HW = before.keep_agreeing(label_HW, stem)
            elif step == "carry":
                label_HW = before.carry(label_HW, stem)
            elif step == "prototypes":
                if settings.decide == "nearest":
                    decided_hw = nearest_label(rectified_Chw, settings.margin / settings.temperature)
                    decided_HW = resize_label(decided_hw, size)
                else:
                    decided_HW = argmax_label(rectified_Chw, *size, predictions.align_corners)
                label_HW = decided_HW if settings.pixels == "all" else _where_labelled(label_HW, decided_HW)
            else:
                if settings.confidence > 0:
                    is_rectified = "prototypes" in chosen[: chosen.index("aggregate")]
                    label_HW = _where_labelled(sure_label(stem, rectified_Chw if is_rectified else None), label_HW)
                label_HW = aggregate(label_HW, minimum_of(size))
        return label_HW

    def sure_label(stem: str, rectified_Chw: np.ndarray | None) -> np.ndarray:
        """Return the most likely class where its probability is at least `settings.confidence`, and 255 elsewhere."""
        least, size = np.full(classes, settings.confidence, np.float32), predictions.size(stem)
        if rectified_Chw is None and predictions.store == CONFIDENCE:
            return where_confident(*predictions.label_and_confidence(stem), least)
        logits_Chw = predictions.logits(stem) if rectified_Chw is None else rectified_Chw
        return thresholded_label(logits_Chw, *size, predictions.align_corners, np.zeros_like(least), least)

    def refined(scored: tuple[str, np.ndarray | None]) -> np.ndarray:
        stem, rectified_Chw = scored
        path, size = out / "labels" / f"{stem}.png", size_of(stem)
        before_HW = read_train_ids(labels[stem], space)
        if before_HW.shape != size:
            raise UdasegError(
                f"{labels[stem]} has the size {before_HW.shape}, its prediction is for {size}",
                "make the pseudo-labels and the predictions from the same images",
            )
        if path.exists():
            done_HW = read_train_ids(path, space)
            if done_HW.shape != size:
                raise UdasegError(f"{path} has the size {done_HW.shape}, its prediction is for {size}", "remove it")
            return _counts(before_HW, done_HW, classes)
        after_HW = stepwise(before_HW, stem, rectified_Chw)
        write_label(path, after_HW, palette)
        return _counts(before_HW, after_HW, classes)

    total = np.zeros((3, classes), np.int64)
    for counts in with_progress(map_in_order(refined, scores()), len(shard), progress):
        total += counts
    total = processes.sum_of_all(total)
    largest = max({size_of(stem) for stem in stems}, key=math.prod)
    document = Refinement(
        classes=list(space.classes),
        order=list(chosen),
        confidence=settings.confidence,
        minimum=minimum_of(largest).tolist() if "aggregate" in chosen else [None] * classes,
        **{name: counts.tolist() for name, counts in zip(("before", "after", "flipped"), total, strict=True)},
    )
    if processes.is_first():
        write_json(out / document.file, document.content())
    return document


def nearest_label(logits_Chw: np.ndarray, margin: float) -> np.ndarray:
    """Return the class of the largest logit, uint8 [h, w], and 255 where the second is less than `margin` below (CAG).

    A single class has no second.
    """
    label_hw = logits_Chw.argmax(0).astype(np.uint8)
    if len(logits_Chw) == 1:
        return label_hw
    second_hw, first_hw = np.partition(logits_Chw, -2, axis=0)[-2:]
    return np.where(first_hw - second_hw >= margin, label_hw, np.uint8(IGNORE))


def _where_labelled(mask_HW: np.ndarray, label_HW: np.ndarray) -> np.ndarray:
    """Return label where mask is not IGNORE, and IGNORE elsewhere.

    That is the largest of uint8; np.where takes 5 to 30 times as long.
    """
    return np.maximum(label_HW, (mask_HW == IGNORE) * np.uint8(IGNORE))


def _counts(before_HW: np.ndarray, after_HW: np.ndarray, classes: int) -> np.ndarray:
    """Count the pixels of each class before, after, and, of those before, the ones that are another class after."""
    counts = count_pairs(before_HW, after_HW)
    before, after = counts.sum(1), counts.sum(0)
    return np.stack([before, after, before - counts.diagonal() - counts[:, IGNORE]])[:, :classes]
