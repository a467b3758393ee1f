"""Refine the pseudo-labels of a whole set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.confidence import label_and_confidence
from udaseg.data.pictures import read_train_ids, write_label
from udaseg.errors import UdasegError
from udaseg.files import write_json
from udaseg.labels import ClassSpace, flat_palette
from udaseg.metrics import class_counts
from udaseg.parallel import Progress, counted, ordered
from udaseg.predictions import Predictions
from udaseg.recipe import Refine
from udaseg.refine.aggregation import aggregate, filter_confidence, size_thresholds

REFERENCE_AREA = 1280 * 760  # pixels of the pictures for which N_base0 and N_base1 were published


def refine(
    labels: Path,
    predictions: Predictions,
    space: ClassSpace,
    source_pixels: Sequence[int],
    settings: Refine,
    out: Path,
    *,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write `labels/<stem>.png`, spatially aggregated, and `refine.json`; return the latter's content.

    source_pixels [C] counts the pixels of each class in the source labels (Algorithm 1 of the depth-distribution
    paper: a class that is common there needs large components). A label is dropped where the network's confidence is
    below `settings.confidence`, then where its component is too small.
    """
    palette, classes = flat_palette(space), len(space)
    (out / "labels").mkdir(parents=True, exist_ok=True)

    def minimum_of(size: tuple[int, int]) -> np.ndarray:
        area = size[0] * size[1] / REFERENCE_AREA if settings.scale_with_area else 1.0
        return size_thresholds(source_pixels, settings.base0, settings.base1, area)

    def refined(stem: str) -> tuple[np.ndarray, np.ndarray]:
        path = out / "labels" / f"{stem}.png"
        label_HW = read_train_ids(labels / f"{stem}.png", space)
        before = class_counts(label_HW, classes)
        if path.exists():
            return before, class_counts(read_train_ids(path, space), classes)
        size = predictions.size(stem)
        if label_HW.shape != size:
            raise UdasegError(
                f"{labels / stem}.png has the size {label_HW.shape}, its prediction is for {size}",
                "make the pseudo-labels and the predictions from the same pictures",
            )
        _, confidence_HW = label_and_confidence(predictions.logits(stem), *size, predictions.align_corners)
        label_HW = aggregate(filter_confidence(label_HW, confidence_HW, settings.confidence), minimum_of(size))
        write_label(path, label_HW, palette)
        return before, class_counts(label_HW, classes)

    before, after = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    for was, now in counted(ordered(refined, predictions.stems), len(predictions.stems), progress):
        before += was
        after += now
    sizes = {predictions.size(stem) for stem in predictions.stems}
    document = {
        "classes": list(space.classes),
        "confidence": settings.confidence,
        "minimum": minimum_of(max(sizes)).tolist(),
        "before": before.tolist(),
        "after": after.tolist(),
    }
    write_json(out / "refine.json", document)
    return document
